/*
 * random.c - initial weights and batches from Philox (kernels/philox.h)
 *
 * Cost     one Philox block, 40 integer multiplications, per four weights; about 16 mixer rounds
 *          per row.
 * Mapping  elements over threads: every number is a function of its index.
 */
#include "../philox.h"
#include "operations.h"

Status cpu_random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed, int stream,
                         int k, const int64_t *iteration) {
    REQUIRE(q, head && C >= 1 && d >= 1 && iteration, "random_linear");
    const int64_t n = linear_size(C, d);
    const float bound = (float)(1.0 / sqrt((double)d));
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t block = 0; block < (n + 3) / 4; block++) {
        const Philox words = philox_at(seed, stream, k, *iteration, block);
        for (int64_t i = 4 * block; i < n && i < 4 * block + 4; i++)
            head[i] = philox_uniform(words.word[i - 4 * block], bound);
    }
    return OK;
}

Status cpu_random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                       const int64_t *iteration) {
    REQUIRE(q, rows && B >= 1 && N >= B && iteration, "random_rows");
    const RowPermutation p = row_permutation((uint64_t)N, seed, PHILOX_ROWS, *iteration);
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t i = 0; i < B; i++) rows[i] = (int64_t)permuted_row(&p, (uint64_t)i);
    return OK;
}
