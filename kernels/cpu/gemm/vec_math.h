/* vec_math.h - exp and what is built from it in plain arithmetic, so that a loop over it becomes
 * vector code on any processor. */
#ifndef TURTLE_KERNELS_CPU_GEMM_VEC_MATH_H
#define TURTLE_KERNELS_CPU_GEMM_VEC_MATH_H

#include "io/dtype.h"

/* Returns 2^n for -126 <= n <= 127, by writing the exponent field. */
static inline float exp2_whole(int32_t n) {
    return f32_from_bits((uint32_t)(n + 127) << 23);
}

static inline int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* Returns exp(x) for x <= 88, within 2 units in the last place (measured over float32s in [-87, 88]:
 * tests/both/ops_test.c); gradual underflow below -87 and exactly 0 below -104. NaN stays NaN.
 * x = n ln 2 + r, |r| <= ln 2 / 2 (Cody & Waite 1980: ln 2 in two parts); exp(r) by its Taylor
 * series, whose next term is below 2^-27; 2^n in two factors, so that subnormal results round
 * once. */
static inline float exp_f32(float x) {
    const float shift = 0x1.8p23f; /* adding it rounds to a whole number */
    x = x < -150.0f ? -150.0f : x; /* 2^-216: 0 after the second factor */
    const float shifted = x * 0x1.715476p0f + shift, n = shifted - shift;
    const float r = (x - n * 0x1.62e400p-1f) - n * 0x1.7f7d1cp-20f;
    float p = 1.0f / 5040.0f;
    p = p * r + 1.0f / 720.0f;
    p = p * r + 1.0f / 120.0f;
    p = p * r + 1.0f / 24.0f;
    p = p * r + 1.0f / 6.0f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const int32_t whole = bits_of(shifted) -
                          bits_of(shift),  /* no cast, for a cast of NaN is undefined */
        half = ((whole + 512) >> 1) - 256; /* + 512, so that no negative number is shifted */
    return p * exp2_whole(half) * exp2_whole(whole - half);
}

/* Returns ln x of a normal positive x, within 2e-7 |ln x| + 2^-25 (tests/both/ops_test.c). x = m 2^n with m in
 * [sqrt(1/2), sqrt 2), ln m = 2 artanh(s), s = (m - 1)/(m + 1), whose series ends below 2^-29. */
static inline float log_f32(float x) {
    const int32_t n = (bits_of(x) - 0x3f3504f3) >> 23; /* bits of sqrt(1/2) */
    const float m = f32_from_bits((uint32_t)bits_of(x) - ((uint32_t)n << 23));
    const float s = (m - 1.0f) / (m + 1.0f), square = s * s;
    float p = 1.0f / 9.0f;
    p = p * square + 1.0f / 7.0f;
    p = p * square + 1.0f / 5.0f;
    p = p * square + 1.0f / 3.0f;
    p = p * square + 1.0f;
    return (float)n * 0x1.62e430p-1f + 2.0f * s * p;
}

/* Returns ln(1 + u) for finite u >= 0, within 4e-7 of it (tests/cpu/train/logreg_test.c): log_f32 with m - 1 = u where
 * n is 0, before the sum rounds it away. NaN stays NaN. */
static inline float log1p_f32(float u) {
    const float x = 1.0f + u;
    const int32_t n = (bits_of(x) - 0x3f3504f3) >> 23;
    const float m = f32_from_bits((uint32_t)bits_of(x) - ((uint32_t)n << 23));
    const float s = (u < 0.41f ? u : m - 1.0f) / (m + 1.0f), square = s * s;
    float p = 1.0f / 9.0f;
    p = p * square + 1.0f / 7.0f;
    p = p * square + 1.0f / 5.0f;
    p = p * square + 1.0f / 3.0f;
    p = p * square + 1.0f;
    return (float)n * 0x1.62e430p-1f + 2.0f * s * p + 0.0f * u;
}

/* Returns 1 / (1 + exp(-x)); 0 and 1 far out, where the exponential underflows. */
static inline float sigmoid_f32(float x) {
    return 1.0f / (1.0f + exp_f32(x < -88.0f ? 88.0f : -x));
}

/* Returns the distribution function of the standard normal, (1 + erf(x / sqrt 2)) / 2, within 3e-7
 * (tests/cpu/kernels/encode_test.c). With z = |x| / sqrt 2 and t = 1 / (1 + 0.3 z), exp(z^2) erfc(z) / 2 is a
 * polynomial in t (fitted to scipy's erfcx over z in [0, 10], relative error 2e-8); no constant
 * term, so that it vanishes at infinity. */
static inline float normal_cdf_f32(float x) {
    const float z = (x < 0.0f ? -x : x) * 0x1.6a09e6p-1f;
    const float t = 1.0f / (1.0f + 0.3f * z);
    float p = -0x1.094338p-4f;
    p = p * t + 0x1.f13748p-3f;
    p = p * t - 0x1.06491ap-2f;
    p = p * t + 0x1.186e86p-2f;
    p = p * t - 0x1.83af2ep-5f;
    p = p * t + 0x1.b82ae2p-4f;
    p = p * t + 0x1.2fcc84p-4f;
    p = p * t + 0x1.5d9ff0p-4f;
    p = p * t + 0x1.5a7f3ep-4f;
    const float tail = p * t * exp_f32(-z * z);
    return x < 0.0f ? tail : 1.0f - tail;
}

#endif
