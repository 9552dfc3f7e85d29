/* cuda_arithmetic.h - functions of numbers and bits that CUDA adds to C. Included by cuda_runtime.h.
 *
 * Functions that are approximate on a GPU (__expf, ...) are the exact ones here. */
#ifndef TURTLE_EMU_CUDA_ARITHMETIC_H
#define TURTLE_EMU_CUDA_ARITHMETIC_H

/* These are macros, for the C library declares their names for itself. */
#define __expf(x) expf(x)
#define __exp10f(x) exp10f(x)
#define __logf(x) logf(x)
#define __log2f(x) log2f(x)
#define __log10f(x) log10f(x)
#define __powf(x, y) powf(x, y)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)

inline float __fdividef(float a, float b) {
    return a / b;
}
inline float rsqrtf(float x) {
    return 1.0f / sqrtf(x);
}
inline double rsqrt(double x) {
    return 1.0 / sqrt(x);
}
inline float __saturatef(float x) {
    return x > 0.0f ? fminf(x, 1.0f) : 0.0f; /* NaN becomes 0 */
}

/* Each result is rounded once; nothing is contracted. */
inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
inline float __fmul_rn(float a, float b) {
    return a * b;
}
inline float __fadd_rn(float a, float b) {
    return a + b;
}
inline float __fsub_rn(float a, float b) {
    return a - b;
}
inline float __fdiv_rn(float a, float b) {
    return a / b;
}
inline float __fsqrt_rn(float x) {
    return sqrtf(x);
}
inline float __frcp_rn(float x) {
    return 1.0f / x;
}
inline double __dmul_rn(double a, double b) {
    return a * b;
}
inline double __dadd_rn(double a, double b) {
    return a + b;
}
inline int __float2int_rn(float x) {
    return (int)rintf(x);
}
inline int __float2int_rz(float x) {
    return (int)x;
}
inline float __int2float_rn(int x) {
    return (float)x;
}

/* --- bits ------------------------------------------------------------------------------------- */

namespace emu {
template <class To, class From> To bits_as(From x) {
    static_assert(sizeof(To) == sizeof(From), "the same bits");
    To to;
    memcpy(&to, &x, sizeof to);
    return to;
}
} // namespace emu

inline unsigned __float_as_uint(float x) {
    return emu::bits_as<unsigned>(x);
}
inline float __uint_as_float(unsigned x) {
    return emu::bits_as<float>(x);
}
inline int __float_as_int(float x) {
    return emu::bits_as<int>(x);
}
inline float __int_as_float(int x) {
    return emu::bits_as<float>(x);
}
inline long long __double_as_longlong(double x) {
    return emu::bits_as<long long>(x);
}
inline double __longlong_as_double(long long x) {
    return emu::bits_as<double>(x);
}
inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
inline int __popcll(unsigned long long x) {
    return __builtin_popcountll(x);
}
inline int __ffs(int x) {
    return __builtin_ffs(x);
}
inline int __ffsll(long long x) {
    return __builtin_ffsll(x);
}
inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
inline int __clzll(long long x) {
    return x ? __builtin_clzll((unsigned long long)x) : 64;
}
inline unsigned __brev(unsigned x) {
    unsigned out = 0;
    for (int i = 0; i < 32; i++) out |= (x >> i & 1) << (31 - i);
    return out;
}
inline unsigned __umulhi(unsigned a, unsigned b) {
    return (unsigned)((uint64_t)a * b >> 32);
}
inline int __mulhi(int a, int b) {
    return (int)((int64_t)a * b >> 32);
}
__extension__ typedef unsigned __int128 emu_uint128;
__extension__ typedef __int128 emu_int128;
inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned long long)((emu_uint128)a * b >> 64);
}
inline long long __mul64hi(long long a, long long b) {
    return (long long)((emu_int128)a * b >> 64);
}
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned selector) {
    const uint64_t both = (uint64_t)b << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) {
        const unsigned s = selector >> 4 * i & 15, byte = (unsigned)(both >> 8 * (s & 7)) & 0xff;
        out |= (s & 8 ? (byte & 0x80 ? 0xff : 0) : byte) << 8 * i;
    }
    return out;
}
inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((uint64_t)high << 32 | low) << (by & 31) >> 32);
}
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return (unsigned)(((uint64_t)high << 32 | low) >> (by & 31));
}

/* --- smaller, greater ------------------------------------------------------------------------- */

template <class T> constexpr T min(T a, T b) {
    return b < a ? b : a;
}
template <class T> constexpr T max(T a, T b) {
    return a < b ? b : a;
}
/* NaN loses against a number, as in fminf. */
inline float min(float a, float b) {
    return fminf(a, b);
}
inline float max(float a, float b) {
    return fmaxf(a, b);
}
inline double min(double a, double b) {
    return fmin(a, b);
}
inline double max(double a, double b) {
    return fmax(a, b);
}

/* --- memory, time ----------------------------------------------------------------------------- */

template <class T> T __ldg(const T *p) {
    return *p;
}
template <class T> T __ldcg(const T *p) {
    return *p;
}
template <class T> T __ldcs(const T *p) {
    return *p;
}
template <class T> void __stcg(T *p, T x) {
    *p = x;
}
template <class T> void __stcs(T *p, T x) {
    *p = x;
}
inline size_t __cvta_generic_to_shared(const void *p) {
    return (size_t)p;
}
inline void __trap(const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    emu::fault("__trap at %s:%d", file, line);
}
/* Returns a number that counts up; its cycles have no fixed length. */
long long clock64();

#endif
