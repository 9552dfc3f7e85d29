/*
 * argmax.c - the first maximum of every row, its value and its distance from the second largest
 *
 * Cost     4 rows cols bytes read. A NaN is never larger, but stands where it comes first.
 * Mapping  rows over threads.
 */
#include "kernels/cpu/operations.h"

typedef struct {
    int32_t *index;
    float *top, *margin;
    const float *X;
    int64_t cols;
} Argmax;

static void find_maxima(const void *loop, int64_t from, int64_t end, int thread) {
    const Argmax *a = loop;
    const int64_t cols = a->cols;
    (void)thread;
    for (int64_t r = from; r < end; r++) {
        const float *x = a->X + r * cols;
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
        a->index[r] = (int32_t)best;
        if (a->top) a->top[r] = first;
        if (a->margin) a->margin[r] = first - second;
    }
}

Status cpu_argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X, int64_t rows,
                  int64_t cols) {
    REQUIRE(q, index && X && rows >= 1 && cols >= 2, "argmax");
    const Argmax a = {index, top, margin, X, cols};
    threads_loop(q->device->pool, rows, rows_run(cols), find_maxima, &a);
    return OK;
}
