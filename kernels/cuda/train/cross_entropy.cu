/*
 * cross_entropy.cu - CE(softmax(logits), Y) with soft labels, mean over the batch, and its gradients
 *
 *     loss = -1/B sum_b sum_c Y log_softmax(logits),  grad_logits = (softmax sum_c Y - Y)/B,
 *     grad_Y (+)= -log_softmax(logits)/B
 *
 * Shapes   logits, Y, grad_logits, grad_Y (B,C); loss (1). grad_logits may be logits; either
 *          gradient may be NULL.
 * Cost     8BC bytes read, 4BC per gradient written (8BC where grad_Y is added to); about 50BC flops:
 *          memory bound. B=10000 C=100 with grad_logits: 12 MB, floor 2.5 us at 4.8 TB/s (H200 data
 *          sheet); C=1000: 25 us.
 * Mapping  rows over lanes (rows.cuh), logits and labels in registers, then
 *
 *              rows of a block -> partial[block]       losses of rows in float, summed in double
 *              partial[0 .. n) -> loss                 a second launch, one block, in order
 *
 * Needs    scratch: cuda_cross_entropy_scratch(B) bytes, aligned to 8; nothing in it on entry.
 * History  Not measured yet.
 */
#include <math.h>

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/rows.cuh"

/* logits and grad_logits may be one array: so they have no __restrict__. */
template <class Shape>
__global__ void __launch_bounds__(Shape::THREADS)
    cross_entropy_lanes(double *partial, float *grad_logits, float *grad_Y, bool add_grad_Y,
                        const float *logits, const float *Y, int64_t B, int64_t C, float scale) {
    const RowOf<Shape> row(row_of_thread<Shape>(), B, C);
    const float *x_row = logits + row.start, *y_row = Y + row.start;
    float x[Shape::HELD], y[Shape::HELD], top = -INFINITY, sum = 0.0f, mass = 0.0f, dot = 0.0f;
    row.hold(x, x_row);
    row.hold(y, y_row);
    row.each([&](int i, int64_t c) { top = fmaxf(top, row.at(x, x_row, i, c)); });
    top = row.max(top);
    row.each([&](int i, int64_t c) {
        const float below = row.at(x, x_row, i, c) - top, label = row.at(y, y_row, i, c);
        sum += expf(below);
        dot += label * below;
        mass += label;
    });
    sum = row.sum(sum);
    dot = row.sum(dot);
    mass = row.sum(mass);
    const float log_sum = logf(sum); /* -inf for a row past the last, where nobody uses it */

    if (grad_Y) /* before grad_logits, which may overwrite the logits */
        row.each([&](int i, int64_t c) {
            float *out = grad_Y + row.start + c;
            *out = (add_grad_Y ? *out : 0.0f) - (row.at(x, x_row, i, c) - top - log_sum) * scale;
        });
    if (grad_logits) {
        const float share =
            mass / sum; /* factor of the softmax: the difference cancels before it is scaled */
        row.each([&](int i, int64_t c) {
            const float p = expf(row.at(x, x_row, i, c) - top) * share;
            grad_logits[row.start + c] = (p - row.at(y, y_row, i, c)) * scale;
        });
    }
    const bool counts = row.lane == 0 && row.columns > 0;
    const double loss = counts ? (double)(mass * log_sum - dot) : 0.0;
    const double block = block_sum<Shape::THREADS>(loss, shared_mem<double>());
    if (threadIdx.x == 0) partial[blockIdx.x] = block;
}

constexpr int SUM_THREADS = ROW_THREADS;

/* One block computes loss = sum of the n partials, in an order that n alone decides, over B. */
__global__ void __launch_bounds__(SUM_THREADS)
    cross_entropy_sum(float *loss, const double *partial, int64_t n, double B) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS) sum += partial[i];
    sum = block_sum<SUM_THREADS>(sum, shared_mem<double>());
    if (threadIdx.x == 0) loss[0] = (float)(sum / B);
}

/* Every block, which has a row at least, leaves a partial sum. */
extern "C" int64_t cuda_cross_entropy_scratch(int64_t B) {
    return B * (int64_t)sizeof(double);
}

extern "C" Status cuda_cross_entropy(Queue *q, float *loss, float *grad_logits, float *grad_Y,
                                     bool add_grad_Y, const float *logits, const float *Y,
                                     int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, loss && logits && Y && scratch && B >= 1 && C >= 1, "cross_entropy");
    double *partial = (double *)scratch;
    const int written = (grad_logits != NULL) + (grad_Y != NULL) * (add_grad_Y ? 2 : 1);
    int64_t blocks = 0;
    cost(q, 50.0 * B * C, 4.0 * (2 + written) * B * C);
    with_row_shape(C, [&](auto shape) {
        typedef decltype(shape) Shape;
        blocks = row_blocks<Shape>(B);
        return launch(q, cross_entropy_lanes<Shape>, grid_of(blocks), Shape::THREADS, ROW_SHARED,
                      partial, grad_logits, grad_Y, add_grad_Y, logits, Y, B, C, 1.0f / (float)B);
    });
    cost(q, (double)blocks, 8.0 * blocks);
    return launch(q, cross_entropy_sum, 1, SUM_THREADS, ROW_SHARED, loss, partial, blocks,
                  (double)B);
}
