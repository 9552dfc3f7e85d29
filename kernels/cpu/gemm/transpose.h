/* transpose.h - squares of elements of 4 bytes, transposed in registers: what weights are packed with. */
#ifndef TURTLE_KERNELS_CPU_GEMM_TRANSPOSE_H
#define TURTLE_KERNELS_CPU_GEMM_TRANSPOSE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>

enum { SQUARE = 16 }; /* rows and columns */

/* Transposes sixteen vectors: pairs, fours, then blocks of four. */
static inline __attribute__((always_inline)) void transpose_vectors(__m512 v[SQUARE]) {
    __m512 t[SQUARE];
    _Pragma("GCC unroll 8") for (int i = 0; i < SQUARE; i += 2) {
        t[i] = _mm512_unpacklo_ps(v[i], v[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(v[i], v[i + 1]);
    }
    _Pragma("GCC unroll 4") for (int i = 0; i < SQUARE; i += 4) {
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
    _Pragma("GCC unroll 16") for (int i = 0; i < SQUARE; i++) v[i] = t[i];
}

/* to (SQUARE,SQUARE) = from (SQUARE,SQUARE) transposed. Rows are to_row and from_row elements apart, and need not be
 * aligned. */
static inline void transpose_square(void *to, int64_t to_row, const void *from, int64_t from_row) {
    const char *rows = from;
    char *columns = to;
    __m512 v[SQUARE];
    _Pragma("GCC unroll 16") for (int i = 0; i < SQUARE; i++) v[i] =
        _mm512_loadu_ps(rows + 4 * i * from_row);
    transpose_vectors(v);
    _Pragma("GCC unroll 16") for (int i = 0; i < SQUARE; i++)
        _mm512_storeu_ps(columns + 4 * i * to_row, v[i]);
}

#else

enum { SQUARE = 4 };
typedef uint32_t Four __attribute__((vector_size(16)));

static inline void transpose_square(void *to, int64_t to_row, const void *from, int64_t from_row) {
    const char *rows = from;
    char *columns = to;
    Four in[SQUARE], out[SQUARE];
    for (int i = 0; i < SQUARE; i++) memcpy(&in[i], rows + 4 * i * from_row, sizeof in[i]);
    for (int i = 0; i < SQUARE; i++) out[i] = (Four){in[0][i], in[1][i], in[2][i], in[3][i]};
    for (int i = 0; i < SQUARE; i++) memcpy(columns + 4 * i * to_row, &out[i], sizeof out[i]);
}

#endif

/* to (n,SQUARE) = the first n columns of from (SQUARE,.) transposed. `ahead`: the SQUARE rows behind these are fetched,
 * for memory is far. */
static inline void transpose_rows(float *to, int64_t to_row, const void *from, int64_t from_row,
                                  int64_t n, bool ahead) {
    const char *at = from;
    int64_t k = 0;
    for (; k + SQUARE <= n; k += SQUARE) {
        for (int64_t i = 0; ahead && i < SQUARE; i++)
            __builtin_prefetch(at + 4 * ((SQUARE + i) * from_row + k), 0, 2);
        transpose_square(to + k * to_row, to_row, at + 4 * k, from_row);
    }
    for (; k < n; k++)
        for (int64_t i = 0; i < SQUARE; i++)
            memcpy(to + k * to_row + i, at + 4 * (i * from_row + k), sizeof *to);
}

#endif
