/* cuda_runtime.h - the CUDA that kernels/cuda uses, for a host compiler: every CUDA thread a fiber.
 *
 * Found instead of the toolkit's header of this name by the emulator's objects (-Ikernels/emu/include). The
 * first half is what kernels say, the second what the host says; names and meanings are the
 * toolkit's (CUDA C++ Programming Guide; CUDA Runtime API). kernels/emu/README.md says what is
 * poisoned and what is reported. */
#ifndef TURTLE_EMU_CUDA_RUNTIME_H
#define TURTLE_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>

#define TURTLE_EMULATED 1

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
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) int4 {
    int x, y, z, w;
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
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) {
    return {x, y, z, w};
}

/* Of the thread that runs: the scheduler sets them when it switches, so that a debugger may ask for
 * them. */
extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

/* --- what threads do together ----------------------------------------------------------------- */

namespace emu {

/* The running thread reports what hardware would leave undefined, and the program ends. */
[[noreturn]] void fault(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Waits until all live threads of the block have come; they must have come to the same line. */
void block_barrier(const char *file, int line);
int block_count(bool predicate, const char *file, int line); /* of true predicates */
void named_barrier(int id, int threads, const char *file, int line);

/* The lanes of `mask` meet: the last to come runs compute(operands, mask) for all, operands[lane]
 * being what each brought. Lanes that name another mask or another meeting are a fault. */
typedef void Compute(void *const *operands, unsigned mask);
void meet(unsigned mask, const char *what, Compute *compute, void *operand);

int lane(); /* of the running thread */
void *shared_memory(int offset, size_t alignment);
int shared_bytes(); /* dynamic shared memory of the running block */

/* Other threads run before this one goes on. `wait_until` waits for *counter - target >= 0. */
void yield();
void wait_until(const unsigned *counter, unsigned target);

/* What orders memory between threads, for ThreadSanitizer. */
void release(const void *address);
void acquire(const void *address);

/* Asynchronous copies of the running thread. */
void copy_begin(void *shared, const void *global, int bytes, int size);
void copy_commit();
void copy_wait(int youngest);

inline void check_aligned(const void *address, size_t to, const char *what) {
    if ((uintptr_t)address % to) fault("%s: %p is not aligned to %zu bytes", what, address, to);
}

/* Shuffles: each lane brings a value and the lane it wants. */
template <class T> struct Shuffle {
    T value, result;
    int from;
};
template <class T> T shuffle(unsigned mask, T value, int from, const char *what) {
    Shuffle<T> s = {value, value, from};
    meet(
        mask, what,
        [](void *const *operands, unsigned mask) {
            for (int i = 0; i < warpSize; i++) {
                if (!(mask >> i & 1)) continue;
                auto *own = (Shuffle<T> *)operands[i];
                if (!(mask >> own->from & 1))
                    fault("shuffle: lane %d reads lane %d, which is not in mask %08x", i, own->from,
                          mask);
                own->result = ((Shuffle<T> *)operands[own->from])->value;
            }
        },
        &s);
    return s.result;
}

/* Reductions over the mask: every lane receives the same. */
template <class T> struct Reduction { T value, result; };
template <class T, class Op> T reduce(unsigned mask, T value, const char *what, Op) {
    Reduction<T> r = {value, value};
    meet(
        mask, what,
        [](void *const *operands, unsigned mask) {
            bool first = true;
            T all = T();
            for (int i = 0; i < warpSize; i++)
                if (mask >> i & 1) {
                    const T v = ((Reduction<T> *)operands[i])->value;
                    all = first ? v : Op::of(all, v);
                    first = false;
                }
            for (int i = 0; i < warpSize; i++)
                if (mask >> i & 1) ((Reduction<T> *)operands[i])->result = all;
        },
        &r);
    return r.result;
}
struct Add {
    template <class T> static T of(T a, T b) {
        return a + b;
    }
};
struct Min {
    template <class T> static T of(T a, T b) {
        return b < a ? b : a;
    }
};
struct Max {
    template <class T> static T of(T a, T b) {
        return a < b ? b : a;
    }
};
struct And {
    template <class T> static T of(T a, T b) {
        return a & b;
    }
};
struct Or {
    template <class T> static T of(T a, T b) {
        return a | b;
    }
};
struct Xor {
    template <class T> static T of(T a, T b) {
        return a ^ b;
    }
};

unsigned ballot(unsigned mask, bool predicate, const char *what);
unsigned live_mask(); /* lanes of the warp that have not ended */

/* Atomics are plain: fibers do not preempt. They order nothing (relaxed), as in CUDA. */
template <class T, class F> T atomic(T *address, F change) {
    check_aligned(address, sizeof(T), "atomic");
    const T before = *address;
    *address = change(before);
    return before;
}

} // namespace emu

#define __syncthreads() emu::block_barrier(__FILE__, __LINE__)
#define __syncthreads_count(p) emu::block_count((p) != 0, __FILE__, __LINE__)
#define __syncthreads_or(p) (emu::block_count((p) != 0, __FILE__, __LINE__) > 0)
#define __syncthreads_and(p) (emu::block_count((p) == 0, __FILE__, __LINE__) == 0)

inline void __syncwarp(unsigned mask = 0xffffffffu) {
    emu::ballot(mask, true, "__syncwarp");
}
template <class T> T __shfl_sync(unsigned mask, T x, int from, int width = warpSize) {
    const int base = emu::lane() / width * width;
    return emu::shuffle(mask, x, base + (from & (width - 1)), "__shfl_sync");
}
template <class T> T __shfl_xor_sync(unsigned mask, T x, int with, int width = warpSize) {
    const int from = emu::lane() ^ with;
    return emu::shuffle(mask, x, from / width == emu::lane() / width ? from : emu::lane(),
                        "__shfl_xor_sync");
}
template <class T> T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = warpSize) {
    const int own = emu::lane(), from = own - (int)by;
    return emu::shuffle(mask, x, from < own / width * width ? own : from, "__shfl_up_sync");
}
template <class T> T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = warpSize) {
    const int own = emu::lane(), from = own + (int)by;
    return emu::shuffle(mask, x, from >= (own / width + 1) * width ? own : from,
                        "__shfl_down_sync");
}
inline unsigned __ballot_sync(unsigned mask, int p) {
    return emu::ballot(mask, p != 0, "__ballot_sync");
}
inline int __any_sync(unsigned mask, int p) {
    return emu::ballot(mask, p != 0, "__any_sync") != 0;
}
inline int __all_sync(unsigned mask, int p) {
    return emu::ballot(mask, p == 0, "__all_sync") == 0;
}
inline unsigned __activemask() {
    return emu::live_mask();
}
template <class T> T __reduce_add_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_add_sync", emu::Add());
}
template <class T> T __reduce_min_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_min_sync", emu::Min());
}
template <class T> T __reduce_max_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_max_sync", emu::Max());
}
template <class T> T __reduce_and_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_and_sync", emu::And());
}
template <class T> T __reduce_or_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_or_sync", emu::Or());
}
template <class T> T __reduce_xor_sync(unsigned mask, T x) {
    return emu::reduce(mask, x, "__reduce_xor_sync", emu::Xor());
}

inline void __threadfence() {}
inline void __threadfence_block() {}
inline void __threadfence_system() {}

template <class T> T atomicAdd(T *a, T by) {
    return emu::atomic(a, [by](T x) { return x + by; });
}
template <class T> T atomicSub(T *a, T by) {
    return emu::atomic(a, [by](T x) { return x - by; });
}
template <class T> T atomicMin(T *a, T by) {
    return emu::atomic(a, [by](T x) { return by < x ? by : x; });
}
template <class T> T atomicMax(T *a, T by) {
    return emu::atomic(a, [by](T x) { return x < by ? by : x; });
}
template <class T> T atomicExch(T *a, T by) {
    return emu::atomic(a, [by](T) { return by; });
}
template <class T> T atomicAnd(T *a, T by) {
    return emu::atomic(a, [by](T x) { return x & by; });
}
template <class T> T atomicOr(T *a, T by) {
    return emu::atomic(a, [by](T x) { return x | by; });
}
template <class T> T atomicCAS(T *a, T expected, T by) {
    return emu::atomic(a, [expected, by](T x) { return x == expected ? by : x; });
}

/* --- arithmetic ------------------------------------------------------------------------------- */

inline float __expf(float x) {
    return expf(x);
}
inline float __logf(float x) {
    return logf(x);
}
inline float __fdividef(float a, float b) {
    return a / b;
}
inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
inline double rsqrt(double x) {
    return 1.0 / sqrt(x);
}
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline int __float_as_int(float x) {
    return (int)__float_as_uint(x);
}
inline float __int_as_float(int bits) {
    return __uint_as_float((unsigned)bits);
}
inline double __longlong_as_double(long long bits) {
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}
inline long long __double_as_longlong(double x) {
    long long bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t both = (uint64_t)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++)
        out |= (unsigned)(both >> 8 * (selector >> 4 * i & 7) & 0xff) << 8 * i;
    return out;
}
inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
template <class T> T __ldg(const T *p) {
    return *p;
}
template <class T> T __ldcg(const T *p) {
    return *p;
}
template <class T> void __stcg(T *p, T x) {
    *p = x;
}
inline size_t __cvta_generic_to_shared(const void *p) {
    return (size_t)p;
}
template <class T> constexpr T min(T a, T b) {
    return b < a ? b : a;
}
template <class T> constexpr T max(T a, T b) {
    return a < b ? b : a;
}

/* The block's dynamic shared memory from byte `offset` on (tile.cuh). */
template <typename T> inline T *shared_mem(int offset = 0) {
    return (T *)emu::shared_memory(offset, alignof(T));
}

#include "cuda_host.h"

#endif
