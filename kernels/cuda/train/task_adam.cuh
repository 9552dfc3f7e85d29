/* task_adam.cuh - one class of a task encoder: the gradient through weight norm, and a step of Adam. */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_TASK_ADAM_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_TASK_ADAM_CUH

#include "kernels/cuda/train/adam.cuh"
#include "kernels/cuda/train/weight_norm.cuh"

constexpr int TASK_ADAM_SHARED = NORM_SHARED + (int)sizeof(AdamStep); /* from byte 0 */

/* A block of NORM_THREADS takes the step. grad (linear_size(C,d)) is the gradient of W and the bias. */
__device__ __forceinline__ void task_adam(float *task, float *m1, float *m2, const float *grad,
                                          int64_t C, int64_t d, int64_t c, double lr,
                                          int64_t steps_done) {
    const int64_t bias = C * d + c, g = bias + C;
    AdamStep *shared = shared_mem<AdamStep>(NORM_SHARED);
    float *v = task + c * d;
    const float *grad_W = grad + c * d;
    float scale, project, along;
    if (threadIdx.x == 0) *shared = adam_step(lr, steps_done);
    norm_slopes(grad_W, v, task[g], d, scale, project, along); /* begins with a barrier */
    const AdamStep step = *shared;
    for (int64_t j = threadIdx.x; j < d; j += NORM_THREADS)
        adam_update(step, v[j], scale * (grad_W[j] - project * v[j]), m1[c * d + j], m2[c * d + j]);
    if (threadIdx.x == 0) {
        adam_update(step, task[bias], grad[bias], m1[bias], m2[bias]);
        adam_update(step, task[g], along, m1[g], m2[g]);
    }
}

#endif
