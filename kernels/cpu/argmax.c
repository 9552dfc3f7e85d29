/*
 * argmax.c - the first maximum of every row, its value and its distance from the second largest
 *
 * Cost     4 rows cols bytes read. A NaN is never larger, but stands where it comes first.
 * Mapping  rows over threads.
 */
#include "operations.h"

Status cpu_argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X, int64_t rows,
                  int64_t cols) {
    REQUIRE(q, index && X && rows >= 1 && cols >= 2, "argmax");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t r = 0; r < rows; r++) {
        const float *x = X + r * cols;
        int64_t best = 0;
        float first = x[0], second = -INFINITY;
        for (int64_t c = 1; c < cols; c++) {
            if (x[c] > first) {
                second = first;
                first = x[c];
                best = c;
            } else if (x[c] > second) {
                second = x[c];
            }
        }
        index[r] = (int32_t)best;
        if (top) top[r] = first;
        if (margin) margin[r] = first - second;
    }
    return OK;
}
