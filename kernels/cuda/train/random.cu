/*
 * random.cu - initial weights and batches from Philox (kernels/philox.h): the bits of every backend
 *
 *     head[i] = +-1/sqrt(d) uniform(seed; stream, k, *iteration, i),   rows[i] = permutation(i)
 *
 * Shapes   head (C d + C), rows (B), iteration (1), in device memory.
 * Cost     random_linear: 4Cd bytes written, 40 integer multiplications per four weights. C=1000
 *          d=768: 3.1 MB, floor 0.6 us at 4.8 TB/s (H200 data sheet), that is a launch.
 *          random_rows: 8B bytes, about 16 rounds of the mixer per row: a launch.
 * Mapping  a thread per Philox block of four weights, or per row: every number is a function of its
 *          index, so nothing is shared and nothing depends on the grid.
 *
 *              thread t  ->  words 0 1 2 3  ->  head[4t .. 4t + 3], as 16 bytes where aligned
 *
 * Needs    C, d >= 1; 1 <= B <= N. No alignment, padding or scratch.
 * History  Not measured yet.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/philox.h"

constexpr int THREADS = 256;

__global__ void random_linear_quads(float *__restrict__ head, int64_t n, float bound, uint64_t seed,
                                    int stream, int k, const int64_t *__restrict__ iteration,
                                    bool aligned) {
    const int64_t quad = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = 4 * quad;
    if (i >= n) return;
    const Philox words = philox_at(seed, stream, k, *iteration, quad);
    float x[4];
    UNROLL
    for (int j = 0; j < 4; j++) x[j] = philox_uniform(words.word[j], bound);
    if (aligned && i + 4 <= n) {
        store_float4(head + i, make_float4(x[0], x[1], x[2], x[3]));
    } else {
        UNROLL
        for (int j = 0; j < 4; j++)
            if (i + j < n) head[i + j] = x[j];
    }
}

/* The heads of all spaces and their moments, which are zero. */
struct RandomHeads {
    struct {
        float *head, *m1, *m2;
        int64_t n;
        float bound;
    } space[MAX_SPACES];
};

__global__ void random_heads_quads(const RandomHeads heads, uint64_t seed,
                                   const int64_t *__restrict__ iteration) {
    const int k = (int)blockIdx.y;
    const auto &s = heads.space[k];
    const int64_t quad = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = 4 * quad;
    if (i >= s.n) return;
    const Philox words = philox_at(seed, PHILOX_HEAD, k, *iteration, quad);
    UNROLL
    for (int j = 0; j < 4; j++)
        if (i + j < s.n) {
            s.head[i + j] = philox_uniform(words.word[j], s.bound);
            s.m1[i + j] = s.m2[i + j] = 0.0f;
        }
}

__global__ void random_rows_each(int64_t *__restrict__ rows, int64_t B, int64_t N, uint64_t seed,
                                 const int64_t *__restrict__ iteration) {
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= B) return;
    const RowPermutation p = row_permutation((uint64_t)N, seed, PHILOX_ROWS, *iteration);
    rows[i] = (int64_t)permuted_row(&p, (uint64_t)i);
}

extern "C" Status cuda_random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed,
                                     int stream, int k, const int64_t *iteration) {
    REQUIRE(q, head && C >= 1 && d >= 1 && iteration, "random_linear");
    const int64_t n = linear_size(C, d);
    const float bound = (float)(1.0 / sqrt((double)d));
    cost(q, 0.0, 4.0 * n);
    return launch(q, random_linear_quads, grid_of(ceil_div(n, 4 * THREADS)), THREADS, 0, head, n,
                  bound, seed, stream, k, iteration, aligned_16(head));
}

extern "C" Status cuda_random_heads(Queue *q, const InnerSteps *heads, uint64_t seed,
                                    const int64_t *iteration) {
    REQUIRE(q, heads_drawable(heads) && iteration, "random_heads");
    RandomHeads all = {};
    int64_t most = 0, sum = 0;
    for (int k = 0; k < heads->K; k++) {
        const InnerSpace *s = &heads->space[k];
        const int64_t n = linear_size(heads->C, s->Z.d);
        all.space[k] = {s->head, s->m1, s->m2, n, (float)(1.0 / sqrt((double)s->Z.d))};
        sum += n;
        if (n > most) most = n;
    }
    const int64_t blocks = ceil_div(most, 4 * THREADS);
    REQUIRE(q, blocks <= INT32_MAX, "random_heads");
    cost(q, 0.0, 12.0 * (double)sum);
    return launch(q, random_heads_quads, dim3((unsigned)blocks, (unsigned)heads->K), THREADS, 0,
                  all, seed, iteration);
}

extern "C" Status cuda_random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                                   const int64_t *iteration) {
    REQUIRE(q, rows && B >= 1 && N >= B && iteration, "random_rows");
    cost(q, 0.0, 8.0 * B);
    return launch(q, random_rows_each, grid_of(ceil_div(B, THREADS)), THREADS, 0, rows, B, N, seed,
                  iteration);
}
