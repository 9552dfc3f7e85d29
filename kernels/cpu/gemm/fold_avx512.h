/* fold_avx512.h - many vectors of AVX-512 at once: the sums of their elements, with which dot products end, and squares
 * of them transposed. */
#ifndef TURTLE_KERNELS_CPU_GEMM_FOLD_AVX512_H
#define TURTLE_KERNELS_CPU_GEMM_FOLD_AVX512_H

#include <immintrin.h>
#include <string.h>

#include "kernels/cpu/gemm/gemm.h"

/* Return the halves of a and b, or their halves' halves, added: a's sums, then b's. */
static inline __m512 add_halves(__m512 a, __m512 b) {
    return _mm512_shuffle_f32x4(a, b, 0x44) + _mm512_shuffle_f32x4(a, b, 0xee);
}
static inline __m512 add_quarters(__m512 a, __m512 b) {
    return _mm512_shuffle_f32x4(a, b, 0x88) + _mm512_shuffle_f32x4(a, b, 0xdd);
}

/* Returns the sums of the elements of DOT_ROWS x cols vectors, cols <= 4: element 4i + c is that of sum[c][i].
 * Elements are added in the order of _mm512_reduce_add_ps, halves on halves, but for many vectors at once. */
static inline __attribute__((always_inline)) __m512 sums_of(const int cols,
                                                            __m512 sum[][DOT_ROWS]) {
    __m512 four[4]; /* a class: four rows of four elements */
    UNROLL
    for (int c = 0; c < 4; c++)
        if (c < cols)
            four[c] =
                add_quarters(add_halves(sum[c][0], sum[c][1]), add_halves(sum[c][2], sum[c][3]));
        else four[c] = four[c % cols];
    const __m512 a = _mm512_shuffle_ps(four[0], four[1], 0x44) +
                     _mm512_shuffle_ps(four[0], four[1], 0xee),
                 b = _mm512_shuffle_ps(four[2], four[3], 0x44) +
                     _mm512_shuffle_ps(four[2], four[3], 0xee);
    return _mm512_shuffle_ps(a, b, 0x88) + _mm512_shuffle_ps(a, b, 0xdd);
}

/* Stores the sums of the elements of sum[c][i] as out[i,c]. `rows` and `cols` are constants at every call. */
static inline __attribute__((always_inline)) void store_sums(const int rows, const int cols,
                                                             float *out, int64_t out_row,
                                                             __m512 sum[DOT_COLS][DOT_ROWS]) {
    if (rows < DOT_ROWS) {
        UNROLL
        for (int i = 0; i < rows; i++) UNROLL
        for (int c = 0; c < cols; c++) out[i * out_row + c] = _mm512_reduce_add_ps(sum[c][i]);
        return;
    }
    UNROLL
    for (int c = 0; c < cols; c += 4) {
        const int n = cols - c < 4 ? cols - c : 4;
        float edge[VEC_FLOATS];
        _mm512_storeu_ps(edge, sums_of(n, sum + c));
        UNROLL
        for (int i = 0; i < rows; i++)
            memcpy(out + i * out_row + c, edge + 4 * i, (size_t)n * sizeof *edge);
    }
}

/* Transposes sixteen vectors: pairs, fours, then blocks of four. */
static inline __attribute__((always_inline)) void transpose_vectors(__m512 v[LANES]) {
    __m512 t[LANES];
    _Pragma("GCC unroll 8") for (int i = 0; i < LANES; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < LANES; i += 4) {
        v[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
        v[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
        v[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        v[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < 4; i++) { /* columns i, i + 4, i + 8, i + 12 */
        const __m512 a = _mm512_shuffle_f32x4(v[i], v[i + 4], 0x88),
                     b = _mm512_shuffle_f32x4(v[i], v[i + 4], 0xdd),
                     c = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0x88),
                     d = _mm512_shuffle_f32x4(v[i + 8], v[i + 12], 0xdd);
        t[i] = _mm512_shuffle_f32x4(a, c, 0x88);
        t[i + 4] = _mm512_shuffle_f32x4(b, d, 0x88);
        t[i + 8] = _mm512_shuffle_f32x4(a, c, 0xdd);
        t[i + 12] = _mm512_shuffle_f32x4(b, d, 0xdd);
    }
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) v[i] = t[i];
}

#endif
