/* transpose.h - squares of elements of 4 bytes, transposed in registers: what weights are packed with. */
#ifndef TURTLE_KERNELS_CPU_GEMM_TRANSPOSE_H
#define TURTLE_KERNELS_CPU_GEMM_TRANSPOSE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include "kernels/cpu/gemm/fold_avx512.h"

enum { SQUARE = 16 }; /* rows and columns */

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
