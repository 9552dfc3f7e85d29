/* ptx_scalar.h - the conversions, counters, barriers and vectors of kernels/cuda/tile/ptx.cuh,
 * emulated. */
#ifndef TURTLE_KERNELS_EMU_INCLUDE_PTX_SCALAR_H
#define TURTLE_KERNELS_EMU_INCLUDE_PTX_SCALAR_H

#include <cuda_runtime.h>

#include "io/dtype.h"

#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

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
    if (magnitude > 0x7f800000u) return bits | 0x400000u;
    if (magnitude == 0x7f800000u) return bits;
    return (bits + 0x1000u) & ~0x1fffu;
}
inline float exp2_approx(float x) {
    return exp2f(x);
}

/* --- between blocks --------------------------------------------------------------------------- */

inline unsigned add_release(unsigned *counter, unsigned by, CALLER) {
    emu::check_aligned(counter, 4, "add_release", file, line);
    const unsigned before = __atomic_fetch_add(counter, by, __ATOMIC_RELEASE);
    emu::maybe_yield();
    return before;
}
inline unsigned load_acquire(const unsigned *counter, CALLER) {
    emu::check_aligned(counter, 4, "load_acquire", file, line);
    emu::loop_yield(counter, file, line); /* whoever reads in a loop lets the others run */
    return __atomic_load_n(counter, __ATOMIC_ACQUIRE);
}
inline void wait_for(const unsigned *counter, unsigned target, CALLER) {
    emu::check_aligned(counter, 4, "wait_for", file, line);
    emu::wait_until(counter, target, file, line);
    (void)__atomic_load_n(counter, __ATOMIC_ACQUIRE);
}

/* --- between threads of a block --------------------------------------------------------------- */

inline void barrier_sync(int id, int threads, CALLER) {
    emu::named_barrier(id, threads, true, file, line);
}
inline void barrier_arrive(int id, int threads, CALLER) {
    emu::named_barrier(id, threads, false, file, line);
}

inline void keep_order(int &) {}
inline int opaque(int x) {
    return x;
}

/* --- vectors ---------------------------------------------------------------------------------- */

inline float4 load_float4(const float *p, CALLER) {
    emu::check_aligned(p, 16, "load_float4", file, line);
    float4 x;
    memcpy(&x, p, sizeof x);
    return x;
}
inline void store_float4(float *p, float4 x, CALLER) {
    emu::check_aligned(p, 16, "store_float4", file, line);
    memcpy(p, &x, sizeof x);
}

#undef CALLER

#endif
