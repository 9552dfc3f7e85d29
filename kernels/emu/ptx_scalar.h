/* ptx_scalar.h - the conversions, counters and vectors of kernels/cuda/ptx.cuh, emulated. */
#ifndef TURTLE_EMU_PTX_SCALAR_H
#define TURTLE_EMU_PTX_SCALAR_H

#include <cuda_runtime.h>

#include "../../io/dtype.h"

inline uint16_t f16_of(float x) {
    return f16_from_f32(x);
}
inline float f32_of_f16(uint16_t h) {
    return f32_from_f16(h);
}
inline uint16_t bf16_of(float x) {
    return bf16_from_f32(x);
}
inline float f32_of_bf16(uint16_t h) {
    return f32_from_bf16(h);
}
inline uint32_t f16x2_of(float low, float high) {
    return (uint32_t)f16_of(high) << 16 | f16_of(low);
}
inline uint32_t bf16x2_of(float low, float high) {
    return (uint32_t)bf16_of(high) << 16 | bf16_of(low);
}
/* Ties away from zero: half of the last kept place is added to the magnitude. NaN stays NaN. */
inline uint32_t tf32_of(float x) {
    const uint32_t bits = __float_as_uint(x), magnitude = bits & 0x7fffffffu;
    if (magnitude >= 0x7f800000u) return bits & ~0x1fffu;
    return (bits + 0x1000u) & ~0x1fffu;
}

inline unsigned add_release(unsigned *counter, unsigned by) {
    emu::release(counter);
    return atomicAdd(counter, by);
}
inline unsigned load_acquire(const unsigned *counter) {
    emu::yield(); /* whoever reads in a loop lets the others run */
    emu::acquire(counter);
    return *counter;
}
inline void wait_for(const unsigned *counter, unsigned target) {
    emu::wait_until(counter, target);
    emu::acquire(counter);
}

inline float4 load_float4(const float *p) {
    emu::check_aligned(p, 16, "load_float4");
    return *reinterpret_cast<const float4 *>(p);
}
inline void store_float4(float *p, float4 x) {
    emu::check_aligned(p, 16, "store_float4");
    *reinterpret_cast<float4 *>(p) = x;
}

#endif
