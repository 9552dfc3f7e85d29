/* hungarian.h - the assignment problem: which cluster is which class. */
#ifndef TURTLE_HOST_SCORE_HUNGARIAN_H
#define TURTLE_HOST_SCORE_HUNGARIAN_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

/* These find the optimal assignment of a (rows,cols) cost matrix, row-major: min(rows, cols) pairs,
 * each row and column in one at most, with the least total cost (the greatest if `maximize`). The
 * method is shortest augmenting paths with dual variables (Jonker & Volgenant 1987; Crouse 2016 for
 * the rectangular form), in O(min^2 * max) time. col_of_row (rows) receives the column of each row,
 * or -1; total may be NULL. Neither is defined after a failure. hungarian_i64 is exact; |cost| <=
 * 2^62 / max(rows, cols, 32), so that no sum leaves the range. hungarian_f64 serves |cost| <=
 * 2^1000; a pair that must not be made costs +infinity (-infinity if `maximize`), as in SciPy. Any
 * other value is ERR_ARG, as are an empty matrix and one that forbids every assignment. */
Status hungarian_i64(const int64_t *cost, int64_t rows, int64_t cols, bool maximize,
                     int64_t *col_of_row, int64_t *total, Error *err);
Status hungarian_f64(const double *cost, int64_t rows, int64_t cols, bool maximize,
                     int64_t *col_of_row, double *total, Error *err);

#endif
