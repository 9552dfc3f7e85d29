/* ladder.cuh - what the steps of the ladder share: launches, the softmax of a row, Adam for one weight, and the
 * parts of a prediction. Each step takes from the steps before it what it does not change. */
#ifndef TURTLE_KERNELS_CUDA_LADDER_LADDER_CUH
#define TURTLE_KERNELS_CUDA_LADDER_LADDER_CUH

#include "kernels/cuda/ladder/ladder.h"
#include "kernels/cuda/train/adam.cuh"

/* --- launches ------------------------------------------------------------------------------------- */

/* Launches kernel(args...) on the null stream. cluster: blocks of a cluster; meets: whether blocks wait for each other. */
template <typename... Params, typename... Args>
const char *ladder_launch_as(int cluster, bool meets, void (*kernel)(Params...), int blocks,
                             int threads, int shared, Args... args) {
    cudaLaunchAttribute attributes[2] = {};
    unsigned n = 0;
    if (cluster > 1) {
        attributes[n].id = cudaLaunchAttributeClusterDimension;
        attributes[n].val.clusterDim.x = (unsigned)cluster;
        attributes[n].val.clusterDim.y = attributes[n].val.clusterDim.z = 1;
        n++;
    }
    if (meets) {
        attributes[n].id = cudaLaunchAttributeCooperative;
        attributes[n++].val.cooperative = 1;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.attrs = attributes;
    config.numAttrs = n;
    cudaError_t error = allow_shared(kernel, shared);
    if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, Params(args)...);
    if (error == cudaSuccess) return NULL;
    cudaGetLastError(); /* the next launch would report it again */
    return cudaGetErrorString(error);
}
template <typename... Params, typename... Args>
const char *ladder_launch(void (*kernel)(Params...), int blocks, int threads, int shared,
                          Args... args) {
    return ladder_launch_as(1, false, kernel, blocks, threads, shared, args...);
}

/* --- arithmetic ----------------------------------------------------------------------------------- */

/* Turns the C logits at x into residuals: p sum(y) - y. One thread does a row, in the order of classes. */
__device__ inline void residual_row(float *x, const float *y, int C) {
    float top = -INFINITY, sum = 0.0f, mass = 0.0f;
    for (int c = 0; c < C; c++) top = fmaxf(top, x[c]); /* so that exp cannot overflow */
    for (int c = 0; c < C; c++) sum += expf(x[c] - top), mass += y[c];
    const float share = mass / sum;
    for (int c = 0; c < C; c++) x[c] = fmaf(expf(x[c] - top), share, -y[c]);
}

/* One step of Adam for weight (c, j), or for the bias of class c (j = d), with the sum of R^T Z over the batch. */
__device__ inline void move_weight(const Ladder &a, int c, int j, float sum, int steps_done) {
    const int64_t i = j < a.d ? (int64_t)c * a.d + j : (int64_t)a.C * a.d + c;
    float w = a.head[i], m1 = a.m1[i], m2 = a.m2[i];
    adam_update(adam_step(a.lr, steps_done), w, sum / (float)a.B, m1, m2);
    a.head[i] = w, a.m1[i] = m1, a.m2[i] = m2;
    if (j < a.d) a.W16[i] = f16_of(w); /* steps 5 to 8 read it; W16 has rows of d, too */
}

/* Adds the partial sums of weight (c, j) = i, in the order of the pieces, and moves it. */
__device__ inline void add_pieces(const Ladder &a, int64_t i, int pieces, float scale,
                                  int steps_done) {
    const int64_t weights = (int64_t)a.C * (a.d + 1);
    float sum = 0.0f;
    for (int n = 0; n < pieces; n++) sum += a.partial[n * weights + i];
    move_weight(a, (int)(i / (a.d + 1)), (int)(i % (a.d + 1)), sum * scale, steps_done);
}

/* --- kernels and launches of one step that later steps use ------------------------------------------ */

const char *launch_residual_rows(const Ladder &a);                 /* step 1: logits to residuals */
const char *launch_weight_tiles(const Ladder &a, int steps_done);  /* step 2: the gradient, Adam */
const char *launch_fused_rows(const Ladder &a);                    /* step 3: residuals */
/* Step 4: sums of `pieces` partial gradients, times `scale`; Adam. */
const char *launch_add_pieces(const Ladder &a, int pieces, float scale, int steps_done);

/* --- parts of a prediction -------------------------------------------------------------------------- */

/* Returns how many pieces of that size cover n. */
inline double whole(double n, int size) {
    return (double)(((int64_t)n + size - 1) / size);
}
/* Seconds in which the ports of all SMs' L1 and shared memory move so many bytes. */
inline double port_seconds(const PlanDevice *p, double bytes) {
    return bytes / (128.0 * p->clock_hz * p->sms);
}
/* Seconds of the exchange of partial gradients through the L2 cache: each is written and read once. */
inline double partial_seconds(const PlanDevice *p, double pieces, double C, double d) {
    return 8.0 * pieces * C * (d + 1) / p->l2_bytes_s;
}

#endif
