/* prompts.h - names of classes and the sentences that they are put into.
 *
 * data/prompts/prompts.txt, compiled into the program, has the lists of 27 data sets; a file of one's
 * own has one class per line, further names of the same class behind tabs.
 */
#ifndef TURTLE_IO_TEXT_PROMPTS_H
#define TURTLE_IO_TEXT_PROMPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

/* Texts of a list, one after the other. */
typedef struct {
    char *bytes; /* each text ends with a zero byte; owned */
    const char **item;
    int64_t count;
} PromptTexts;

typedef struct {
    PromptTexts names; /* of all classes: names.item[begin[c]] .. [begin[c + 1] - 1] are class c */
    int64_t *begin;    /* (classes + 1); owned */
    int64_t classes;
    PromptTexts templates; /* "a photo of a {}." */
} Prompts;

/* The list of a data set; ERR_ARG if it has none. On failure *out is zeroed. */
Status prompts_find(Prompts *out, const char *dataset, Error *err);
/* The classes of a file (io/text/text_lines.h) replace those of *p. Blank lines may stand at the end. A
 * blank line between names, an empty name, one that stands twice (as the tokenizer sees it: small
 * letters, single blanks), bytes that are no UTF-8 and fewer than two classes are ERR_FORMAT. */
Status prompts_read_names(Prompts *p, const char *path, Error *err);
/* Templates, one per line, each with one {} in it, replace those of *p; blank lines are passed
 * over. */
Status prompts_read_templates(Prompts *p, const char *path, Error *err);
/* "A photo of a {}." replaces the templates of *p. */
Status prompts_default_template(Prompts *p, Error *err);
void prompts_free(Prompts *p); /* NULL and twice are fine */

/* Prompts of class c: every template with every name. */
int64_t prompts_of(const Prompts *p, int64_t c);
/* The i-th of them, template after template; fresh memory, NULL if there is none. */
char *prompt_text(const Prompts *p, int64_t c, int64_t i);

#endif
