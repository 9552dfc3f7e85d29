/* residual_scale.cuh - the power of two that brings an unbounded residual into the range of float16. */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_RESIDUAL_SCALE_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_RESIDUAL_SCALE_CUH

#include "kernels/cuda/tile/tile.cuh"

/* Returns 2^(14 - e) for a largest element in [2^e, 2^(e+1)), and 1 where all are zero. Exponents stay in range. */
__device__ __forceinline__ float scale_of(unsigned most) {
    const int e = (int)(most >> 23) - 127;
    const int by = most == 0 ? 0 : e < -100 ? 114 : e > 100 ? -86 : 14 - e;
    return __uint_as_float((unsigned)(by + 127) << 23);
}

#endif
