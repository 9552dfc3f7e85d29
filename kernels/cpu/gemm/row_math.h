/* row_math.h - what softmax and cross-entropy do with one row of logits: its maximum, its exponentials and their sum,
 * what the labels weigh, and the residual.
 *
 * A row has n classes and `width` elements, whole vectors. Its bias is -1e30 beyond n: those elements get exponential 0.
 *
 * With AVX-512 sums are taken lane by lane, then halves on halves; elsewhere the compiler decides. It adds one lane
 * behind the other, leaves the last labels to a loop of their own, and has seven instructions for 2^n in two factors where
 * AVX-512 has one: a row's residual takes 70 ns its way and 44 this way for 100 classes, 480 and 330 for 1000 (AMD EPYC,
 * Zen 4, gcc 12.2). */
#ifndef TURTLE_KERNELS_CPU_GEMM_ROW_MATH_H
#define TURTLE_KERNELS_CPU_GEMM_ROW_MATH_H

#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/gemm/vec_math.h"
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/* Writes the bias of n classes as a row has it. */
static inline void bias_of_rows(float *to, const float *bias, int64_t n, int64_t width) {
    for (int64_t c = 0; c < width; c++) to[c] = c < n ? bias[c] : -1e30f;
}

/* x += bias. Returns the largest; NaN is passed over. */
static inline float largest_with_bias(float *x, const float *bias, int64_t width) {
#if defined(__AVX512F__)
    __m512 top = _mm512_set1_ps(-INFINITY);
    for (int64_t i = 0; i < width; i += VEC_FLOATS) {
        const __m512 v = _mm512_loadu_ps(x + i) + _mm512_loadu_ps(bias + i);
        _mm512_storeu_ps(x + i, v);
        top = _mm512_max_ps(v, top); /* the second operand, where one is NaN */
    }
    return _mm512_reduce_max_ps(top);
#else
    float top = -INFINITY;
    SIMD(reduction(max : top))
    for (int64_t i = 0; i < width; i++) {
        x[i] += bias[i];
        top = x[i] > top ? x[i] : top;
    }
    return top;
#endif
}

#if defined(__AVX512F__)
/* Returns exp_f32 of every lane, to the bit: scalef rounds a subnormal result once, as two factors do. All float32s up
 * to 88 were compared. */
static inline __m512 exp_lanes(__m512 x) {
    const float series[] = {1.0f / 720.0f, 1.0f / 120.0f, 1.0f / 24.0f, 1.0f / 6.0f,
                            0.5f,          1.0f,          1.0f};
    const __m512 shift = _mm512_set1_ps(0x1.8p23f);
    x = _mm512_max_ps(_mm512_set1_ps(-150.0f), x); /* NaN stays */
    const __m512 n = _mm512_fmadd_ps(x, _mm512_set1_ps(0x1.715476p0f), shift) - shift;
    const __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.7f7d1cp-20f),
                                      _mm512_fnmadd_ps(n, _mm512_set1_ps(0x1.62e400p-1f), x));
    __m512 p = _mm512_set1_ps(1.0f / 5040.0f);
    _Pragma("GCC unroll 7") for (int i = 0; i < 7; i++) p =
        _mm512_fmadd_ps(p, r, _mm512_set1_ps(series[i]));
    return _mm512_scalef_ps(p, n);
}

/* The first n elements of a vector, or all of them. */
static inline __mmask16 mask_of(int64_t n) {
    return n >= VEC_FLOATS ? 0xffff : (__mmask16)((1u << n) - 1);
}
/* Returns the n elements at p, and zeros behind them where they are no whole vector. */
static inline __m512 load_classes(const float *p, int64_t n) {
    return n >= VEC_FLOATS ? _mm512_loadu_ps(p) : _mm512_maskz_loadu_ps(mask_of(n), p);
}
#endif

/* The sums of a row: exp(x - top), and of its labels y and y (x - top). */
typedef struct {
    float exp, mass, dot;
} RowSum;

/* Writes exp(x - top) `to` x itself, or to nowhere where it is NULL. Returns the sums; labels weigh 0 where y is NULL. */
static inline RowSum exponentials(float *to, const float *x, const float *y, float top, int64_t n,
                                  int64_t width) {
#if defined(__AVX512F__)
    __m512 sum = _mm512_setzero_ps(), mass = _mm512_setzero_ps(), dot = _mm512_setzero_ps();
    for (int64_t i = 0; i < width; i += VEC_FLOATS) {
        const __m512 v = _mm512_loadu_ps(x + i) - _mm512_set1_ps(top), e = exp_lanes(v);
        if (to) _mm512_storeu_ps(to + i, e);
        sum += e;
        if (!y) continue;
        const __m512 label = load_classes(y + i, n - i);
        mass += label;
        dot += label * v;
    }
    return (RowSum){_mm512_reduce_add_ps(sum), _mm512_reduce_add_ps(mass),
                    _mm512_reduce_add_ps(dot)};
#else
    float sum = 0.0f, mass = 0.0f, dot = 0.0f;
    SIMD(reduction(+ : mass, dot))
    for (int64_t i = 0; i < (y ? n : 0); i++) {
        mass += y[i];
        dot += y[i] * (x[i] - top);
    }
    SIMD(reduction(+ : sum))
    for (int64_t i = 0; i < width; i++) {
        const float e = exp_f32(x[i] - top);
        if (to) to[i] = e;
        sum += e;
    }
    return (RowSum){sum, mass, dot};
#endif
}

/* p (n) = softmax(x). p may be x, and nothing behind the n elements is touched. The maximum is taken out, so that exp cannot
 * overflow and the sum is at least 1. */
static inline void softmax_row(float *p, const float *x, int64_t n) {
#if defined(__AVX512F__)
    const __m512 lowest = _mm512_set1_ps(-INFINITY); /* its exponential is 0 */
    __m512 top = lowest, sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += VEC_FLOATS)
        top = _mm512_max_ps(_mm512_mask_loadu_ps(lowest, mask_of(n - i), x + i), top);
    const __m512 shift = _mm512_set1_ps(_mm512_reduce_max_ps(top));
    for (int64_t i = 0; i < n; i += VEC_FLOATS) {
        const __m512 e = exp_lanes(_mm512_mask_loadu_ps(lowest, mask_of(n - i), x + i) - shift);
        _mm512_mask_storeu_ps(p + i, mask_of(n - i), e);
        sum += e;
    }
    const __m512 scale = _mm512_set1_ps(1.0f / _mm512_reduce_add_ps(sum));
    for (int64_t i = 0; i < n; i += VEC_FLOATS)
        _mm512_mask_storeu_ps(p + i, mask_of(n - i), load_classes(p + i, n - i) * scale);
#else
    float top = x[0], sum = 0.0f;
    SIMD(reduction(max : top))
    for (int64_t c = 0; c < n; c++) top = x[c] > top ? x[c] : top;
    SIMD(reduction(+ : sum))
    for (int64_t c = 0; c < n; c++) {
        p[c] = exp_f32(x[c] - top);
        sum += p[c];
    }
    const float scale = 1.0f / sum;
    for (int64_t c = 0; c < n; c++) p[c] *= scale;
#endif
}

/* x = x share - y scale; beyond n x is 0 already. */
static inline void residual(float *x, const float *y, float share, float scale, int64_t n) {
#if defined(__AVX512F__)
    for (int64_t i = 0; i < n; i += VEC_FLOATS)
        _mm512_storeu_ps(x + i,
                         _mm512_loadu_ps(x + i) * share - load_classes(y + i, n - i) * scale);
#else
    SIMD()
    for (int64_t i = 0; i < n; i++) x[i] = x[i] * share - y[i] * scale;
#endif
}

#endif
