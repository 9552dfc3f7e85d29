/* label_file.h - a file of labels: one per sample, whatever type they were saved in.
 *
 * .npy of any integer or float type, of bool or of texts ('<U5', '|S3'), of shape (N,), (N,1) or
 * (1,N), also in .npz, .pt and .safetensors (io/arrays/array_file.h); anything else is text with one label
 * a line, from a file, a pipe or `-`. Texts that are all numbers are read as numbers. Not known are
 * -1, NaN, an empty label, the `-` of image lists, and the least int64, which numpy makes of a NaN.
 */
#ifndef TURTLE_HOST_INPUTS_LABEL_FILE_H
#define TURTLE_HOST_INPUTS_LABEL_FILE_H

#include "host/inputs/label_table.h"

#define LABEL_UNKNOWN (-1)

/* Facts of a file that was read, which the caller may have to say. */
typedef struct {
    int64_t unknown;  /* labels that are not known */
    int64_t fraction; /* the first sample whose label is a number, but not a whole one; -1: none */
    int64_t negative; /* the first sample whose label is below -1; -1: none */
    bool texts;       /* they are not numbers */
    char fraction_text[32]; /* the label of that sample */
    char negative_text[32]; /* the label of that sample */
    char header[64];        /* the first line, taken as the name of the column; or "" */
} LabelFacts;

/* Reads y (N), the number in `table` of each sample's label, or LABEL_UNKNOWN. Refuses, naming the
 * file, what does not hold N labels; `samples_of` is the file of the samples. */
Status label_file_read(int64_t *y, int64_t N, const char *path, const char *samples_of,
                       LabelTable *table, LabelFacts *facts, Error *err);
/* Takes the same of N numbers in memory; `name` stands for the file. */
Status labels_from_memory(int64_t *y, int64_t N, const int64_t *labels, const char *name,
                          LabelTable *table, LabelFacts *facts, Error *err);

#endif
