/* matching.h - the assignment problem for tables that are mostly zeros. */
#ifndef TURTLE_HOST_SCORE_MATCHING_H
#define TURTLE_HOST_SCORE_MATCHING_H

#include <stdint.h>

#include "io/status.h"

/* Entries of row i are number begin[i] to begin[i + 1] - 1; all others are zero. */
typedef struct {
    int64_t rows, cols;
    const int64_t *begin;  /* (rows + 1) */
    const int64_t *col;    /* (entries) */
    const int64_t *weight; /* (entries) above 0; their sum stays below 2^62 */
} SparseTable;

/* Finds the one-to-one matching of rows and columns with the greatest sum of weights, as
 * hungarian_i64 with `maximize`, in memory that follows the entries instead of rows x cols. A row
 * that gains nothing stays unmatched: its col_of_row (rows) is -1. Time is O(rows x entries) at
 * worst; on contingency tables, where searches end early, it is far less. */
Status matching_greatest(const SparseTable *table, int64_t *col_of_row, Error *err);

#endif
