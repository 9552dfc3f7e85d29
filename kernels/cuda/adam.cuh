/* adam.cuh - one step of Adam, shared by adam.cu and the inner loop's kernels. */
#ifndef TURTLE_KERNELS_CUDA_ADAM_CUH
#define TURTLE_KERNELS_CUDA_ADAM_CUH

#include "cuda.h"

/* What the t-th step multiplies with; bias corrections in double, as torch computes them. */
struct AdamStep {
    float step_size, root;
};

__device__ inline AdamStep adam_step(double lr, int64_t steps_done) {
    const double t = (double)(steps_done + 1);
    AdamStep a;
    a.step_size = (float)(lr / (1.0 - pow(ADAM_BETA1, t)));
    a.root = (float)sqrt(1.0 - pow(ADAM_BETA2, t));
    return a;
}

__device__ __forceinline__ void adam_update(AdamStep a, float &parameter, float grad, float &m1,
                                            float &m2) {
    m1 = (float)ADAM_BETA1 * m1 + (float)(1.0 - ADAM_BETA1) * grad;
    m2 = (float)ADAM_BETA2 * m2 + (float)(1.0 - ADAM_BETA2) * grad * grad;
    parameter -= a.step_size * (m1 / (sqrtf(m2) / a.root + (float)ADAM_EPS));
}

#endif
