/*
 * weight_norm.cu - W[c,:] = g[c] v[c,:]/|v[c,:]| and its gradient (Salimans & Kingma 2016)
 *
 *     grad_g = <grad_W,v>/|v|,   grad_v = g/|v| (grad_W - <grad_W,v>/|v|^2 v)
 *
 * Shapes   task: v (C,d), bias (C), g (C); grad_linear: W (C,d), bias (C); grad: like task, may be
 *          grad_linear.
 * Cost     8Cd bytes forward, 12Cd backward; 3Cd and 7Cd flops: memory bound where anything is.
 *          C=1000 d=768: 6.1 MB, floor 1.3 us at 4.8 TB/s (H200 data sheet), and 9.2 MB, 1.9 us;
 *          C=10: a launch.
 * Mapping  block per class, threads over d. Norms and products in double: one rounding each.
 *
 *              class c:  v[c,:] -> sum over threads, warps, block -> scale -> W[c,:]
 *                        \_____________ second sweep: from L1 _____________/
 *
 * Needs    C, d >= 1. No alignment, padding or scratch.
 * History  Not measured yet.
 */
#include <math.h>

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/train/weight_norm.cuh"

__global__ void __launch_bounds__(NORM_THREADS)
    weight_norm_block(float *__restrict__ W, const float *__restrict__ task, int64_t C, int64_t d) {
    const int64_t c = blockIdx.x;
    const float *v = task + c * d;
    const float scale = norm_scale(v, task[C * d + C + c], d);
    for (int64_t j = threadIdx.x; j < d; j += NORM_THREADS) W[c * d + j] = scale * v[j];
}

/* grad may be grad_linear, so neither has __restrict__. A thread reads an element before it writes it, and no
 * other thread does. */
__global__ void __launch_bounds__(NORM_THREADS)
    weight_norm_grad_block(float *grad, const float *grad_linear, const float *task, int64_t C,
                           int64_t d) {
    const int64_t c = blockIdx.x;
    const float *v = task + c * d, *grad_W = grad_linear + c * d;
    float scale, project, along;
    norm_slopes(grad_W, v, task[C * d + C + c], d, scale, project, along);
    for (int64_t j = threadIdx.x; j < d; j += NORM_THREADS)
        grad[c * d + j] = scale * (grad_W[j] - project * v[j]);
    if (threadIdx.x == 0) {
        grad[C * d + c] = grad_linear[C * d + c]; /* weight norm does not touch the bias */
        grad[C * d + C + c] = along;
    }
}

extern "C" Status cuda_weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d) {
    REQUIRE(q, W && task && C >= 1 && d >= 1, "weight_norm");
    cost(q, 3.0 * C * d, 8.0 * C * d);
    return launch(q, weight_norm_block, grid_of(C), NORM_THREADS, NORM_SHARED, W, task, C, d);
}

extern "C" Status cuda_weight_norm_grad(Queue *q, float *grad, const float *grad_linear,
                                        const float *task, int64_t C, int64_t d) {
    REQUIRE(q, grad && grad_linear && task && C >= 1 && d >= 1, "weight_norm_grad");
    cost(q, 7.0 * C * d, 12.0 * C * d);
    return launch(q, weight_norm_grad_block, grid_of(C), NORM_THREADS, NORM_SHARED, grad,
                  grad_linear, task, C, d);
}
