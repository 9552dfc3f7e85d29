/* activations.cuh - numbers of a Matrix in device memory, whatever their type: one, or eight neighbours. The type
 * is the same for all threads of a launch, so the branches do not diverge. */
#ifndef TURTLE_KERNELS_CUDA_ENCODE_ACTIVATIONS_CUH
#define TURTLE_KERNELS_CUDA_ENCODE_ACTIVATIONS_CUH

#include "kernels/cuda/backend/cuda.h"

__device__ __forceinline__ float get(const Matrix &m, int64_t at) {
    if (m.type == PRECISION_FP16) return f32_of_f16(((const uint16_t *)m.data)[at]);
    if (m.type == PRECISION_BF16) return f32_of_bf16(((const uint16_t *)m.data)[at]);
    return ((const float *)m.data)[at];
}
__device__ __forceinline__ void put(const Matrix &m, int64_t at, float x) {
    if (m.type == PRECISION_FP16) ((uint16_t *)m.data)[at] = f16_of(x);
    else if (m.type == PRECISION_BF16) ((uint16_t *)m.data)[at] = bf16_of(x);
    else ((float *)m.data)[at] = x;
}

/* Eight neighbours as they lie in memory: `low` alone in 16 bits. A load is under way until they are widened. */
struct Eight {
    float4 low, high;
};

/* Moves eight numbers from or to an address of 16 bytes: one vector in 16 bits, two in float32. */
__device__ __forceinline__ Eight load_eight(const Matrix &m, int64_t at) {
    Eight v = {};
    if (m.type == PRECISION_FP32) {
        v.low = load_float4((const float *)m.data + at);
        v.high = load_float4((const float *)m.data + at + 4);
    } else {
        v.low = load_float4((const float *)((const uint16_t *)m.data + at));
    }
    return v;
}
__device__ __forceinline__ void widen_eight(float (&x)[8], const Eight &v, Precision type) {
    if (type == PRECISION_FP32) {
        x[0] = v.low.x, x[1] = v.low.y, x[2] = v.low.z, x[3] = v.low.w;
        x[4] = v.high.x, x[5] = v.high.y, x[6] = v.high.z, x[7] = v.high.w;
        return;
    }
    const uint32_t pair[4] = {__float_as_uint(v.low.x), __float_as_uint(v.low.y),
                              __float_as_uint(v.low.z), __float_as_uint(v.low.w)};
    UNROLL
    for (int i = 0; i < 4; i++) {
        const uint16_t low = (uint16_t)pair[i], high = (uint16_t)(pair[i] >> 16);
        const bool half = type == PRECISION_FP16;
        x[2 * i] = half ? f32_of_f16(low) : f32_of_bf16(low);
        x[2 * i + 1] = half ? f32_of_f16(high) : f32_of_bf16(high);
    }
}
__device__ __forceinline__ void get_eight(float (&x)[8], const Matrix &m, int64_t at) {
    widen_eight(x, load_eight(m, at), m.type);
}
__device__ __forceinline__ void put_eight(const Matrix &m, int64_t at, const float (&x)[8]) {
    if (m.type == PRECISION_FP32) {
        store_float4((float *)m.data + at, make_float4(x[0], x[1], x[2], x[3]));
        store_float4((float *)m.data + at + 4, make_float4(x[4], x[5], x[6], x[7]));
        return;
    }
    uint32_t pair[4];
    UNROLL
    for (int i = 0; i < 4; i++)
        pair[i] = m.type == PRECISION_FP16 ? f16x2_of(x[2 * i], x[2 * i + 1])
                                           : bf16x2_of(x[2 * i], x[2 * i + 1]);
    store_float4((float *)((uint16_t *)m.data + at),
                 make_float4(__uint_as_float(pair[0]), __uint_as_float(pair[1]),
                             __uint_as_float(pair[2]), __uint_as_float(pair[3])));
}

#endif
