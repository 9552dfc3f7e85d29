/*
 * adam.cu - one Adam step of n parameters (Kingma & Ba 2015, as torch.optim.Adam)
 *
 *     m1 = b1 m1 + (1-b1) g,  m2 = b2 m2 + (1-b2) g^2,
 *     p -= lr/(1-b1^t) m1 / (sqrt(m2)/sqrt(1-b2^t) + eps)
 *
 * Shapes   parameters, grad, m1, m2 (n); step (1), in device memory.
 * Cost     28n bytes, 12n flops with two divisions and a root: memory bound.
 *          n=769000 (C=1000 d=768): 21.5 MB, floor 4.5 us at 4.8 TB/s (H200 data sheet); n=76900:
 *          0.45 us, that is a launch.
 * Mapping  A thread has 4 neighbouring parameters where 16 bytes are aligned, else one. The first thread
 *          of a block computes the powers of b1 and b2, in double as torch does, while the loads of
 *          all are under way:
 *
 *              thread 0     load p g m1 m2 | exp exp sqrt -> shared |          | update, store
 *              the others   load p g m1 m2 |                        barrier    | update, store
 *
 * Needs    n >= 1. No alignment, padding or scratch. The update itself is adam.cuh's.
 * History  Not measured yet. v1, thread per parameter with its own powers: kept as the readable oracle; it
 *          serves what is not aligned.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/train/adam.cuh"

constexpr int THREADS = 256;

__global__ void adam_v1_naive(float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                              double lr, const int64_t *step) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) adam_update(adam_step(lr, *step), parameters[i], grad[i], m1[i], m2[i]);
}

__global__ void __launch_bounds__(THREADS)
    adam_v2_vector(float *__restrict__ parameters, const float *__restrict__ grad,
                   float *__restrict__ m1, float *__restrict__ m2, int64_t n, double lr,
                   const int64_t *__restrict__ step) {
    AdamStep *shared = shared_mem<AdamStep>();
    const int64_t thread = (int64_t)blockIdx.x * THREADS + threadIdx.x, i = 4 * thread;
    const bool whole = i + 4 <= n;
    float4 p = {}, g = {}, a = {}, b = {};
    if (whole) {
        p = load_float4(parameters + i);
        g = load_float4(grad + i);
        a = load_float4(m1 + i);
        b = load_float4(m2 + i);
    }
    if (threadIdx.x == 0) *shared = adam_step(lr, *step);
    __syncthreads();
    const AdamStep s = *shared;
    if (whole) {
        adam_update(s, p.x, g.x, a.x, b.x);
        adam_update(s, p.y, g.y, a.y, b.y);
        adam_update(s, p.z, g.z, a.z, b.z);
        adam_update(s, p.w, g.w, a.w, b.w);
        store_float4(parameters + i, p);
        store_float4(m1 + i, a);
        store_float4(m2 + i, b);
    } else { /* the last group, of less than 4 */
        for (int64_t j = i; j < n; j++) adam_update(s, parameters[j], grad[j], m1[j], m2[j]);
    }
}

extern "C" Status cuda_adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2,
                            int64_t n, double lr, const int64_t *step) {
    REQUIRE(q, parameters && grad && m1 && m2 && step && n >= 1, "adam");
    cost(q, 12.0 * n, 28.0 * n);
    if (!q->device->naive && aligned_16(parameters) && aligned_16(grad) && aligned_16(m1) &&
        aligned_16(m2))
        return launch(q, adam_v2_vector, grid_of(ceil_div(n, 4 * THREADS)), THREADS,
                      (int)sizeof(AdamStep), parameters, grad, m1, m2, n, lr, step);
    return launch(q, adam_v1_naive, grid_of(ceil_div(n, THREADS)), THREADS, 0, parameters, grad, m1,
                  m2, n, lr, step);
}
