/* cuda_runtime.h - the CUDA that kernels/cuda uses, for a host compiler: every CUDA thread is a fiber.
 *
 * The emulator's objects find this header instead of the toolkit's of the same name
 * (-Ikernels/emu/include). Names and meanings are the toolkit's (CUDA C++ Programming Guide; CUDA
 * Runtime API). kernels/emu/README.md says what is poisoned and what is reported. */
#ifndef TURTLE_EMU_CUDA_RUNTIME_H
#define TURTLE_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <type_traits>

#define TURTLE_EMULATED 1

#if defined(__clang__) /* on a CPU it is no fault if UNROLL cannot unroll a loop */
#pragma clang diagnostic ignored "-Wpass-failed"
#endif

/* --- language --------------------------------------------------------------------------------- */

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __constant__
#define __grid_constant__
#define __align__(n) alignas(n)
/* __shared__ is not defined: a static array would be one for all blocks (tile.cuh: shared_mem) */

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) int2 {
    int x, y;
};
struct alignas(16) int4 {
    int x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
inline float2 make_float2(float x, float y) {
    return {x, y};
}
inline float4 make_float4(float x, float y, float z, float w) {
    return {x, y, z, w};
}
inline int2 make_int2(int x, int y) {
    return {x, y};
}
inline int4 make_int4(int x, int y, int z, int w) {
    return {x, y, z, w};
}
inline uint2 make_uint2(unsigned x, unsigned y) {
    return {x, y};
}
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}
inline double2 make_double2(double x, double y) {
    return {x, y};
}

/* The indices of the thread that runs. The scheduler sets them when it switches, so that a debugger can print
 * them. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace emu {
/* The running thread reports what hardware would leave undefined, and the program ends. */
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

void *shared_memory(int offset, size_t alignment);
int shared_bytes(); /* Returns the bytes of dynamic shared memory of the running block. */
} // namespace emu

/* Returns the block's dynamic shared memory from byte `offset` on (tile.cuh). */
template <typename T> inline T *shared_mem(int offset = 0) {
    return (T *)emu::shared_memory(offset, alignof(T));
}

#include "kernels/emu/include/cuda_arithmetic.h"
#include "kernels/emu/include/cuda_host.h"
#include "kernels/emu/include/cuda_threads.h"

#endif
