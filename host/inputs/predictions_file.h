/* predictions_file.h - files of predictions, row by row: lines path,cluster,confidence,margin under a header. */
#ifndef TURTLE_HOST_INPUTS_PREDICTIONS_FILE_H
#define TURTLE_HOST_INPUTS_PREDICTIONS_FILE_H

#include <stdint.h>

#include "io/status.h"

enum { PREDICTIONS_MOST_CLUSTER = 1 << 20 }; /* numbers of clusters stay below */

typedef struct {
    int64_t row;        /* 0 for the first row under the header */
    const char *path;   /* with a zero byte behind; lives until the next row */
    int64_t path_bytes; /* without the zero byte */
    int64_t cluster;
    double confidence, margin; /* NaN where the file has no such column */
} PredictionRow;

/* Calls take(context, row, err) for every row of `path`, until it returns another status than OK, which
 * is then the result. Columns are found by their names in the header, in any order; `class`
 * serves where there is no `cluster`, and further ones are passed over. ERR_FORMAT names file and line: a header without path and cluster, a cluster that is no
 * number, a confidence that is none. Messages begin with `module`. Memory is that of the longest row. */
Status predictions_file_read(const char *module, const char *path,
                             Status (*take)(void *context, const PredictionRow *row, Error *err),
                             void *context, Error *err);

#endif
