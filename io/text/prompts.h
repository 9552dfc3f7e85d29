/* prompts.h - names of classes and the sentences that they are put into.
 *
 * data/prompts/prompts.txt, compiled into the program, has the lists of 27 data sets. A file of the
 * user has one class per line, and further names of a class behind tabs.
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
    PromptTexts
        names; /* names of all classes: names.item[begin[c]] .. [begin[c + 1] - 1] are those of class c */
    int64_t *begin; /* (classes + 1); owned */
    int64_t classes;
    PromptTexts templates; /* "a photo of a {}." */
} Prompts;

/* Finds the lists of a data set; ERR_ARG if there are none. On failure *out is zeroed. */
Status prompts_find(Prompts *out, const char *dataset, Error *err);
/* Replaces the classes of *p by those of a file (io/text/text_lines.h). Blank lines may stand at
 * its end. ERR_FORMAT: a blank line between names; an empty name; a name that stands twice as the
 * tokenizer sees it; bytes that are no UTF-8; fewer than two classes. */
Status prompts_read_names(Prompts *p, const char *path, Error *err);
/* Replaces the templates of *p by those of a file, one per line, each with one {} in it. Blank
 * lines are passed over. */
Status prompts_read_templates(Prompts *p, const char *path, Error *err);
/* Replace classes or templates in the same way, by texts of the caller's in place of the lines of a file. */
Status prompts_take_names(Prompts *p, const char *const *text, int64_t count, Error *err);
Status prompts_take_templates(Prompts *p, const char *const *text, int64_t count, Error *err);
/* Replaces the templates of *p by "A photo of a {}.". */
Status prompts_default_template(Prompts *p, Error *err);
/* Sorts classes of one name each as folders of those names, in which '-' stands for '/' and ' ': the order of labels of
 * sets whose folders are called so. Returns how many classes have another number then, -1 without memory. */
int64_t prompts_sort_as_folders(Prompts *p);
void prompts_free(Prompts *p); /* NULL and twice are fine */

/* Returns how many prompts class c has: every template with every name. */
int64_t prompts_of(const Prompts *p, int64_t c);
/* Returns prompt i of class c, template after template, in fresh memory; NULL without memory. */
char *prompt_text(const Prompts *p, int64_t c, int64_t i);

#endif
