/* cluster.cuh - shared by the files of k-means: samples and centres as kernels see them
 * (kernels/cluster.h has the formulas). */
#ifndef TURTLE_KERNELS_CUDA_CLUSTER_CLUSTER_CUH
#define TURTLE_KERNELS_CUDA_CLUSTER_CLUSTER_CUH

#include <math.h>

#include "kernels/cuda/backend/operations.h"

constexpr int CLUSTER_THREADS = 256, CLUSTER_WARPS = CLUSTER_THREADS / WARP;

/* Samples are float32 without tf32: distances keep all their digits. */
static inline bool rows_servable(const Batch *Z, int64_t N) {
    return batch_servable(Z) && Z->type == DTYPE_F32 && N >= 1;
}
static inline bool samples_servable(const Samples *s) {
    return s && rows_servable(&s->Z, s->N) && s->norm2;
}
static inline bool centers_servable(const Centers *c) {
    return c && c->at && c->norm2 && c->C >= 1 && c->C <= INT32_MAX;
}

/* Rows of a matrix: row n begins at data + n * stride. */
struct Rows {
    float *data;
    int64_t stride, d, N;
    __device__ __forceinline__ float *at(int64_t n) const {
        return data + n * stride;
    }
};
static inline Rows rows_of_batch(const Batch *Z, int64_t N) {
    return {(float *)Z->data, Z->row, Z->d, N};
}

/* Returns the row of this warp, where each warp has one row. */
__device__ __forceinline__ int64_t row_of_warp() {
    return (int64_t)blockIdx.x * CLUSTER_WARPS + threadIdx.x / WARP;
}
static inline int64_t warp_blocks(int64_t rows) {
    return ceil_div(rows, CLUSTER_WARPS);
}

/* Returns |x|^2, summed in double, in every lane of the warp. */
__device__ __forceinline__ double warp_length2(const float *x, int64_t d) {
    double sum = 0.0;
    for (int64_t j = threadIdx.x % WARP; j < d; j += WARP) sum += (double)x[j] * x[j];
    return warp_sum(sum);
}

/* Returns |z|^2 - 2 score, not below 0; infinite for a score of -infinity. */
__device__ __forceinline__ float distance2_of(float norm2, float score) {
    const float x = (float)((double)norm2 - 2.0 * (double)score);
    return x > 0.0f ? x : 0.0f;
}

#endif
