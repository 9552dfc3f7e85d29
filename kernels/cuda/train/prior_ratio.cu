/*
 * prior_ratio.cu - P_bar / pi: the batch-mean label beside the expected one (Eq. 12 with a prior)
 *
 * Shapes   P_bar (K,C) in place, prior (C).
 * Cost     8KC bytes: a launch.
 * Mapping  one thread per element.
 * Needs    K, C >= 1. No alignment, padding or scratch.
 */
#include "kernels/cuda/backend/operations.h"

constexpr int THREADS = 256;

__global__ void prior_ratio_elements(float *P_bar, const float *prior, int64_t n, int64_t C) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) P_bar[i] /= prior[i % C];
}

extern "C" Status cuda_prior_ratio(Queue *q, float *P_bar, const float *prior, int K, int64_t C) {
    REQUIRE(q, P_bar && prior && K >= 1 && C >= 1, "prior_ratio");
    cost(q, 1.0 * K * C, 8.0 * K * C);
    return launch(q, prior_ratio_elements, grid_of(ceil_div(K * C, THREADS)), THREADS, 0, P_bar,
                  prior, K * C, C);
}
