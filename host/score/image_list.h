/* image_list.h - names of a split's samples: the lines of `<stem>.txt` beside the features of its first space. */
#ifndef TURTLE_HOST_SCORE_IMAGE_LIST_H
#define TURTLE_HOST_SCORE_IMAGE_LIST_H

#include "host/inputs/inputs.h"
#include "io/text/text_lines.h"

typedef struct {
    TextLines lines;
    char *path; /* owned; NULL: there is no list */
} ImageList;

/* Opens the image list of a split; where there is none, image_list_next returns false at once. A list
 * of another length than the features is ERR_FORMAT: its lines would name the wrong images. On failure
 * *out is zeroed. */
Status image_list_open(ImageList *out, const Split *split, Error *err);
/* Goes to the line of the next sample; blank lines are passed over. Returns false at the end. */
bool image_list_next(ImageList *list, TextLine *line);
void image_list_close(ImageList *list); /* NULL and twice are fine */

#endif
