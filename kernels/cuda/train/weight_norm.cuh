/* weight_norm.cuh - weight norm of one row by one block: weight_norm.cu has the formulas. */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_WEIGHT_NORM_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_WEIGHT_NORM_CUH

#include "kernels/cuda/backend/cuda.h"

constexpr int NORM_THREADS = 256;
constexpr int NORM_SHARED =
    NORM_THREADS / WARP * (int)sizeof(double); /* bytes that block_sum needs, at byte 0 */

/* Returns <a,b> of n floats, summed in double, in every thread. */
__device__ __forceinline__ double norm_dot(const float *a, const float *b, int64_t n) {
    double sum = 0.0;
    for (int64_t j = threadIdx.x; j < n; j += NORM_THREADS) sum += (double)a[j] * (double)b[j];
    return block_sum<NORM_THREADS>(sum, shared_mem<double>());
}

/* W[c,:] = norm_scale v[c,:]. */
__device__ __forceinline__ float norm_scale(const float *v, float g, int64_t d) {
    return (float)((double)g / sqrt(norm_dot(v, v, d)));
}

/* grad_v = scale (grad_W - project v),  grad_g = along. */
__device__ __forceinline__ void norm_slopes(const float *grad_W, const float *v, float g, int64_t d,
                                            float &scale, float &project, float &along) {
    const double length = sqrt(norm_dot(v, v, d)), dot = norm_dot(grad_W, v, d) / length;
    scale = (float)((double)g / length);
    project = (float)(dot / length);
    along = (float)dot;
}

#endif
