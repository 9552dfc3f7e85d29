/*
 * softmax.cu - P[r,:] = softmax(logits[r,:]), and Y = 1/K sum_k P_k (paper Eq. 9)
 *
 * Shapes   logits, P (rows,C), P may be logits; P (K,B,C), Y (B,C).
 * Cost     8 rows C bytes and about 40 rows C flops, two exponentials each: memory bound.
 *          (4K + 4)BC bytes, KBC flops.
 *          rows=10000 C=100: 8 MB, floor 1.7 us at 4.8 TB/s (H200 data sheet); C=1000: 17 us.
 *          K=2 B=10000 C=100: 12 MB, floor 2.5 us.
 * Mapping  softmax: 4, 8, 32 or 128 lanes a row, which stays in registers (rows.cuh).
 *          label_mean: 4 neighbouring labels a thread where 16 bytes are aligned, else one.
 * Needs    rows, K, B, C >= 1. No alignment, padding or scratch.
 * History  Not measured yet. softmax_v1, thread per row: kept as the readable oracle. A warp per row of 1000,
 *          32 columns a lane, took 102 registers (nvcc 13.0, sm_90a), in cross_entropy.cu 169.
 */
#include <math.h>

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/rows.cuh"

__global__ void softmax_v1_naive(float *P, const float *logits, int64_t rows, int64_t C) {
    const int64_t r = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= rows) return;
    const float *x = logits + r * C;
    float top = x[0];
    double sum = 0.0; /* in double: 5000 additions in float32 lose two digits */
    for (int64_t c = 1; c < C; c++) top = fmaxf(top, x[c]);
    for (int64_t c = 0; c < C; c++) sum += (double)expf(x[c] - top);
    for (int64_t c = 0; c < C; c++) P[r * C + c] = expf(x[c] - top) / (float)sum;
}

/* P may be logits, so neither has __restrict__. A lane reads a column before it writes it, and no other lane does. */
template <class Shape>
__global__ void __launch_bounds__(Shape::THREADS)
    softmax_v2_lanes(float *P, const float *logits, int64_t rows, int64_t C) {
    const RowOf<Shape> row(row_of_thread<Shape>(), rows, C);
    const float *from = logits + row.start;
    float *to = P + row.start;
    float x[Shape::HELD], top = -INFINITY, sum = 0.0f;
    row.hold(x, from);
    row.each([&](int i, int64_t c) { top = fmaxf(top, row.at(x, from, i, c)); });
    top = row.max(top); /* the maximum is taken out: exp cannot overflow */
    row.each([&](int i, int64_t c) { sum += expf(row.at(x, from, i, c) - top); });
    const float scale = 1.0f / row.sum(sum); /* sum >= 1: the maximum's own term */
    row.each([&](int i, int64_t c) { to[c] = expf(row.at(x, from, i, c) - top) * scale; });
}

extern "C" Status cuda_softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C) {
    REQUIRE(q, P && logits && rows >= 1 && C >= 1, "softmax");
    cost(q, 40.0 * rows * C, 8.0 * rows * C);
    if (q->device->naive)
        return launch(q, softmax_v1_naive, grid_of(ceil_div(rows, ROW_THREADS)), ROW_THREADS, 0, P,
                      logits, rows, C);
    return with_row_shape(C, [&](auto shape) {
        typedef decltype(shape) Shape;
        return launch(q, softmax_v2_lanes<Shape>, grid_of(row_blocks<Shape>(rows)), Shape::THREADS,
                      ROW_SHARED, P, logits, rows, C);
    });
}

/* --- label_mean ------------------------------------------------------------------------------- */

constexpr int MEAN_THREADS = 256;

__global__ void label_mean_v1_naive(float *__restrict__ Y, const float *__restrict__ P, int K,
                                    int64_t n) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    float sum = P[i];
    for (int k = 1; k < K; k++) sum += P[k * n + i];
    Y[i] = sum * (1.0f / (float)K);
}

__global__ void label_mean_v2_vector(float *__restrict__ Y, const float *__restrict__ P, int K,
                                     int64_t n) {
    const int64_t i = 4 * ((int64_t)blockIdx.x * blockDim.x + threadIdx.x);
    if (i >= n) return; /* n is a multiple of 4 */
    float4 sum = load_float4(P + i);
    for (int k = 1; k < K; k++) {
        const float4 p = load_float4(P + k * n + i);
        sum.x += p.x, sum.y += p.y, sum.z += p.z, sum.w += p.w;
    }
    const float share = 1.0f / (float)K;
    sum.x *= share, sum.y *= share, sum.z *= share, sum.w *= share;
    store_float4(Y + i, sum);
}

extern "C" Status cuda_label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C) {
    REQUIRE(q, Y && P && K >= 1 && B >= 1 && C >= 1, "label_mean");
    const int64_t n = B * C;
    cost(q, (double)K * n, 4.0 * (K + 1) * n);
    if (!q->device->naive && n % 4 == 0 && aligned_16(Y) &&
        aligned_16(P)) /* then every P_k is aligned */
        return launch(q, label_mean_v2_vector, grid_of(ceil_div(n / 4, MEAN_THREADS)), MEAN_THREADS,
                      0, Y, P, K, n);
    return launch(q, label_mean_v1_naive, grid_of(ceil_div(n, MEAN_THREADS)), MEAN_THREADS, 0, Y, P,
                  K, n);
}
