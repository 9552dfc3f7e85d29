/*
 * random.c - initial weights and batches from Philox (kernels/philox.h)
 *
 * Cost     one Philox block, 40 integer multiplications, per four weights; about 16 mixer rounds
 *          per row.
 * Mapping  elements over threads: every number is a function of its index.
 */
#include "kernels/cpu/operations.h"
#include "kernels/philox.h"

/* Drawing a block of weights, or a row, takes as long as this many elements of other loops (LOOP_RUN). */
enum { WEIGHT_COST = 32, ROW_COST = 128 };

typedef struct {
    float *head;
    int64_t n, iteration;
    float bound;
    uint64_t seed;
    int stream, k;
} Weights;

/* Passes are blocks of four weights. */
static void draw_weights(const void *loop, int64_t first, int64_t end, int thread) {
    const Weights *w = loop;
    (void)thread;
    for (int64_t block = first; block < end; block++) {
        const Philox words = philox_at(w->seed, w->stream, w->k, w->iteration, block);
        for (int64_t i = 4 * block; i < w->n && i < 4 * block + 4; i++)
            w->head[i] = philox_uniform(words.word[i - 4 * block], w->bound);
    }
}

Status cpu_random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed, int stream,
                         int k, const int64_t *iteration) {
    REQUIRE(q, head && C >= 1 && d >= 1 && iteration, "random_linear");
    const int64_t n = linear_size(C, d);
    const float bound = (float)(1.0 / sqrt((double)d));
    const Weights w = {head, n, *iteration, bound, seed, stream, k};
    threads_loop(q->device->pool, ceil_div(n, 4), rows_run(WEIGHT_COST), draw_weights, &w);
    return OK;
}

typedef struct {
    RowPermutation p;
    int64_t *rows;
} Rows;

static void draw_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Rows *r = loop;
    (void)thread;
    for (int64_t i = first; i < end; i++) r->rows[i] = (int64_t)permuted_row(&r->p, (uint64_t)i);
}

Status cpu_random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                       const int64_t *iteration) {
    REQUIRE(q, rows && B >= 1 && N >= B && iteration, "random_rows");
    const Rows r = {row_permutation((uint64_t)N, seed, PHILOX_ROWS, *iteration), rows};
    threads_loop(q->device->pool, B, rows_run(ROW_COST), draw_rows, &r);
    return OK;
}
