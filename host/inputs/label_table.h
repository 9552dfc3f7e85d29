/* label_table.h - one number for every distinct label of all splits.
 *
 * A label is a text: whole numbers are written as decimals, so 3, 3.0 and a "3" of a text file are
 * one label whatever type each split's file has. Memory follows the distinct labels, not their
 * values. */
#ifndef TURTLE_HOST_INPUTS_LABEL_TABLE_H
#define TURTLE_HOST_INPUTS_LABEL_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t count; /* distinct labels */
    char *text;    /* texts of all labels, each with a zero byte; owned */
    int64_t used, room;
    int64_t *at;   /* where the text of a label begins; owned */
    int64_t *slot; /* (slots) number of the label that hashes there, or -1; owned */
    int64_t slots; /* a power of two, at most half full; 0 at first */
} LabelTable;

/* Finds the number of the label text[0 .. n-1], a new one if the table does not have it; the text
 * has no zero byte. A table of zeros is empty. */
Status label_table_number(LabelTable *t, const char *text, int64_t n, int64_t *number, Error *err);
/* Returns the text of label `number`. */
const char *label_table_text(const LabelTable *t, int64_t number);
/* Returns whether a text is a whole number as label_table_number wants it; *value receives it. */
bool label_whole(const char *text, int64_t *value);

/* Orders the labels, whole numbers by value before all other texts: labels 0 .. C-1 keep their
 * numbers. now (count) is the new number of each old one. Numbers of new labels may be asked for
 * afterwards, but come behind. */
Status label_table_sort(LabelTable *t, int64_t *now, Error *err);
void label_table_free(LabelTable *t); /* NULL and twice are fine */

#endif
