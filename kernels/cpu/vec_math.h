/* vec_math.h - exp in plain arithmetic, so that a loop over it becomes vector code on any
 * processor. */
#ifndef TURTLE_KERNELS_CPU_VEC_MATH_H
#define TURTLE_KERNELS_CPU_VEC_MATH_H

#include "../../io/dtype.h"

/* 2^n for -126 <= n <= 127, by writing the exponent field. */
static inline float exp2_whole(int32_t n) {
    return f32_from_bits((uint32_t)(n + 127) << 23);
}

static inline int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* exp(x) for x <= 88, within 2 units in the last place (measured over float32s in [-87, 88]:
 * tests/ops_test.c); gradual underflow below -87 and exactly 0 below -104. NaN stays NaN.
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
    const int32_t whole = bits_of(shifted) - bits_of(shift), /* no cast: one of NaN is undefined */
        half = ((whole + 512) >> 1) - 256;                   /* no negative is shifted */
    return p * exp2_whole(half) * exp2_whole(whole - half);
}

#endif
