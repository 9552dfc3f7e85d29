/* adam.cuh - one step of Adam, shared by adam.cu and the inner loop's kernels. */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_ADAM_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_ADAM_CUH

#include "kernels/cuda/backend/cuda.h"

/* The factors of the t-th step. Bias corrections are computed in double, as in torch. beta^t is exp(t ln beta):
 * within 1e-16 t |ln beta| of pow, in a third of the code. */
constexpr double LN_BETA1 = -0.10536051565782628, LN_BETA2 = -0.0010005003335835344;
static_assert(ADAM_BETA1 == 0.9 && ADAM_BETA2 == 0.999, "their logarithms");

struct AdamStep {
    float step_size, root;
};

__device__ inline AdamStep adam_step(double lr, int64_t steps_done) {
    const double t = (double)(steps_done + 1);
    AdamStep a;
    a.step_size = (float)(lr / (1.0 - exp(t * LN_BETA1)));
    a.root = (float)sqrt(1.0 - exp(t * LN_BETA2));
    return a;
}

__device__ __forceinline__ void adam_update(AdamStep a, float &parameter, float grad, float &m1,
                                            float &m2) {
    m1 = (float)ADAM_BETA1 * m1 + (float)(1.0 - ADAM_BETA1) * grad;
    m2 = (float)ADAM_BETA2 * m2 + (float)(1.0 - ADAM_BETA2) * grad * grad;
    parameter -= a.step_size * (m1 / (sqrtf(m2) / a.root + (float)ADAM_EPS));
}

#endif
