/* label_lines.h - labels as text: one a line, perhaps below the name of the column. */
#ifndef TURTLE_HOST_INPUTS_LABEL_LINES_H
#define TURTLE_HOST_INPUTS_LABEL_LINES_H

#include <stdint.h>

#include "io/text/text_lines.h"

typedef struct {
    TextLines lines; /* the file */
    char **item;     /* (count) its lines, without blanks and quotes around them; owned */
    int64_t count;
    int header; /* 1: item[0] is the name of the column, else 0 */
} LabelLines;

/* Splits the text of a file of `expected` labels. Blank lines are empty labels, but those at the
 * end of the file beyond `expected`. The first line is a header where it is no number, occurs
 * nowhere else and is one line too many, or says `label` or a word like it above numbers. Several
 * columns are ERR_FORMAT, as is what text_lines_of refuses. */
Status label_lines_open(LabelLines *out, const FileMap *text, const char *path, int64_t expected,
                        Error *err);
void label_lines_close(LabelLines *lines); /* NULL and twice are fine */

#endif
