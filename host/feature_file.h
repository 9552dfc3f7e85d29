/* feature_file.h - a representation while it is written batch by batch: the matrix and, beside it,
 * the list of its images.
 *
 * Rows go to <stem>.npy.part and names to <stem>.txt.part; commit gives both their final names, the
 * matrix last. A call that was stopped, or killed, leaves the parts, whole rows of which a later
 * call with the same fingerprint continues.
 */
#ifndef TURTLE_HOST_FEATURE_FILE_H
#define TURTLE_HOST_FEATURE_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "../io/sources.h"

typedef struct {
    char *path, *names_path; /* final */
    char *part, *names_part;
    FILE *rows, *names;
    int64_t d, count; /* numbers per row, rows so far */
} FeatureFile;

/* Opens both parts. `fingerprint` (one line, up to 100 characters) stands for everything that rows
 * depend on. Parts of an earlier call are ERR_ARG unless `resume`; then *next is the source behind
 * the last whole row, else it is 0. */
Status feature_file_open(FeatureFile *out, const char *stem, int64_t d, const char *fingerprint,
                         bool resume, const SourceList *list, int64_t first, int64_t *next,
                         Error *err);
/* True if an earlier call finished: a matrix of d columns with a row for each name of its list, all
 * of them sources from `first` on. */
bool feature_file_finished(const char *stem, int64_t d, const SourceList *list, int64_t first);
/* One row: features (d) of the image called `name`. Write errors are found by flush and commit. */
void feature_file_add(FeatureFile *f, const float *features, const char *name);
Status feature_file_flush(FeatureFile *f, Error *err);
Status feature_file_commit(FeatureFile *f, Error *err);
/* Closes the parts, removing them unless `keep`. After a commit it only frees. */
void feature_file_close(FeatureFile *f, bool keep);

#endif
