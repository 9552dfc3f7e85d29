/*
 * task_grad.cu - gradient of the outer loss with respect to one space's task logits (paper Eq. 12)
 *
 *     q = grad_Y/K + gamma (ln P_bar + 1)/B,    grad_logits = P (q - sum_c P q), in place of P
 *
 * The first term reaches P through Y, of which P is a K-th; the second is the gradient of
 * -gamma H(P_bar). Where P_bar is exactly 0, so is P in every row, and P ln P_bar has the limit 0.
 *
 * Shapes   P, grad_Y (B,C), P_bar (C).
 * Cost     12BC bytes, 6BC flops: memory bound. B=10000 C=100: 12 MB, floor 2.5 us at 4.8 TB/s (H200
 *          data sheet); C=1000: 25 us.
 * Mapping  rows over lanes (rows.cuh). The entropy's slope is equal in every row: a block computes
 *          it once, into shared memory, and goes through rows in strides of the grid:
 *
 *              slope[c] = gamma (ln P_bar[c] + 1)/B, once      row, row + stride, row + 2 stride, ...
 *
 * Needs    B, C >= 1, and C floats in the shared memory of a block: C < 58000 on an H200. No
 *          alignment, padding or scratch (the table's may be NULL).
 * History  Not measured yet. Slopes in registers, for a lane has the same columns in every row, took 255
 *          registers and 128 bytes of stack at C=1000 (nvcc 13.0, sm_90a).
 */
#include <math.h>

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/rows.cuh"

constexpr int GRAD_THREADS_PER_SM =
    1024; /* enough to hide memory; more would share the slopes less */

template <class Shape>
__global__ void __launch_bounds__(Shape::THREADS)
    task_grad_lanes(float *__restrict__ P, const float *__restrict__ grad_Y,
                    const float *__restrict__ P_bar, float share, float weight, int64_t B,
                    int64_t C) {
    float *slope = shared_mem<float>(ROW_SHARED);
    for (int64_t c = threadIdx.x; c < C; c += Shape::THREADS)
        slope[c] = P_bar[c] > 0.0f ? weight * (logf(P_bar[c]) + 1.0f) : 0.0f;
    __syncthreads();

    const int64_t stride = (int64_t)gridDim.x * Shape::PER_BLOCK;
    const int in_warp = (int)threadIdx.x % WARP / Shape::LANES;
    /* the loop counts by the first row of the warp, so that all its lanes go round equally often */
    for (int64_t r = row_of_thread<Shape>() - in_warp; r < B; r += stride) {
        const RowOf<Shape> row(r + in_warp, B, C);
        float *p_row = P + row.start;
        const float *y_row = grad_Y + row.start;
        float p[Shape::HELD], y[Shape::HELD], mean = 0.0f;
        row.hold(p, p_row);
        row.hold(y, y_row);
        row.each([&](int i, int64_t c) {
            mean += row.at(p, p_row, i, c) * (row.at(y, y_row, i, c) * share + slope[c]);
        });
        mean = row.sum(mean);
        row.each([&](int i, int64_t c) {
            p_row[c] = row.at(p, p_row, i, c) * (row.at(y, y_row, i, c) * share + slope[c] - mean);
        });
    }
}

extern "C" Status cuda_task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                                 double gamma, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P && grad_Y && P_bar && K >= 1 && B >= 1 && C >= 1, "task_grad");
    REQUIRE(q, C <= (q->device->shared_per_block - ROW_SHARED) / (int64_t)sizeof(float),
            "task_grad");
    (void)scratch;
    const float share = 1.0f / (float)K, weight = (float)(gamma / (double)B);
    cost(q, 6.0 * B * C, 12.0 * B * C);
    return with_row_shape(C, [&](auto shape) {
        typedef decltype(shape) Shape;
        const int64_t rows = row_blocks<Shape>(B),
                      most = (int64_t)GRAD_THREADS_PER_SM / Shape::THREADS * q->device->sms;
        return launch(q, task_grad_lanes<Shape>, grid_of(rows < most ? rows : most), Shape::THREADS,
                      ROW_SHARED + (int)C * (int)sizeof(float), P, grad_Y, P_bar, share, weight, B,
                      C);
    });
}
