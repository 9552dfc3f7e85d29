/* tile.cuh - the vocabulary of the CUDA kernels: warps, shared memory, sums across lanes.
 *
 * nvcc compiles everything here for a GPU, and a host compiler compiles it for the emulator (kernels/emu). That
 * is why a kernel takes shared memory through shared_mem<T>(offset) alone: a static __shared__ array would be
 * one for all blocks. It writes UNROLL for #pragma unroll, and launch() (cuda.h) starts it, for a host compiler
 * cannot parse <<<...>>>.
 *
 * Threads of a block are numbered in x only: threadIdx.y and .z stay 0. */
#ifndef TURTLE_KERNELS_CUDA_TILE_TILE_CUH
#define TURTLE_KERNELS_CUDA_TILE_TILE_CUH

#include <cuda_runtime.h>
#include <stdint.h>

#include "io/sizes.h"
#include "kernels/cuda/tile/ptx.cuh"

#if defined(__CUDACC__)
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#elif defined(__clang__)
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("nounroll")
#else
#define UNROLL _Pragma("GCC unroll 64")
#define NO_UNROLL _Pragma("GCC unroll 1")
#endif

constexpr int WARP = 32;
constexpr unsigned ALL_LANES = 0xffffffffu;

#if defined(__CUDACC__)
/* Returns the block's dynamic shared memory from byte `offset` on. The launch says its size. */
template <typename T> __device__ __forceinline__ T *shared_mem(int offset = 0) {
    extern __shared__ __align__(1024) unsigned char dynamic_shared[];
    return reinterpret_cast<T *>(dynamic_shared + offset);
}
#endif

/* Move one number, or four at an address of 16 bytes. */
template <int N> __device__ __forceinline__ void load_few(float (&x)[N], const float *p) {
    static_assert(N == 1 || N == 4, "a float or a float4");
    if constexpr (N == 4) {
        const float4 v = load_float4(p);
        x[0] = v.x, x[1] = v.y, x[2] = v.z, x[3] = v.w;
    } else {
        x[0] = *p;
    }
}
template <int N> __device__ __forceinline__ void store_few(float *p, const float (&x)[N]) {
    static_assert(N == 1 || N == 4, "a float or a float4");
    if constexpr (N == 4) store_float4(p, make_float4(x[0], x[1], x[2], x[3]));
    else *p = x[0];
}

/* Return the sum or maximum over each group of LANES neighbouring lanes (a power of two), in every lane of the
 * group. The butterfly adds in the same order in every run, and every lane has the same bits (a + b = b + a).
 * All 32 lanes call them. */
template <int LANES, typename T> __device__ __forceinline__ T group_sum(T x) {
    UNROLL
    for (int lane = LANES / 2; lane > 0; lane /= 2) x += __shfl_xor_sync(ALL_LANES, x, lane);
    return x;
}
template <int LANES> __device__ __forceinline__ float group_max(float x) {
    UNROLL
    for (int lane = LANES / 2; lane > 0; lane /= 2)
        x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, lane));
    return x;
}
/* Return the sum or maximum over the whole warp. */
template <typename T> __device__ __forceinline__ T warp_sum(T x) {
    return group_sum<WARP>(x);
}
__device__ __forceinline__ float warp_max(float x) {
    return group_max<WARP>(x);
}

/* Return the sum or maximum over a block of THREADS threads, in every thread; `slots` is shared memory for
 * THREADS / WARP values. All threads call them; they begin with a barrier. */
template <int THREADS, typename T> __device__ T block_sum(T x, T *slots) {
    static_assert(THREADS % WARP == 0, "whole warps: the shuffles name all lanes");
    x = warp_sum(x);
    __syncthreads(); /* slots may still be read from the call before */
    if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = x;
    __syncthreads();
    x = 0;
    for (int w = 0; w < THREADS / WARP; w++) x += slots[w]; /* in order: the same bits every run */
    return x;
}

template <int THREADS> __device__ float block_max(float x, float *slots) {
    static_assert(THREADS % WARP == 0, "whole warps: the shuffles name all lanes");
    x = warp_max(x);
    __syncthreads(); /* slots may still be read from the call before */
    if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = x;
    __syncthreads();
    x = slots[0];
    for (int w = 1; w < THREADS / WARP; w++) x = fmaxf(x, slots[w]);
    return x;
}

/* Lets all blocks of a cooperative launch meet. `arrived` counts in global memory and is zero when the kernel
 * starts; each thread has an `epoch` of its own, zero at first. Every thread behind the barrier sees what any
 * thread wrote before it. */
__device__ __forceinline__ void grid_barrier(unsigned *arrived, unsigned &epoch,
                                             const char *file = __builtin_FILE(),
                                             int line = __builtin_LINE()) {
    epoch += gridDim.x;
    __syncthreads(); /* one thread releases what the whole block wrote */
    if (threadIdx.x == 0) {
        add_release(arrived, 1);
        wait_for(arrived, epoch, file, line);
    }
    __syncthreads();
}

#endif
