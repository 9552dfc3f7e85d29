/* gemm_avx512.c - the micro-kernels with AVX-512: 6 x 64, four loads and six broadcasts for
 * twenty-four fused multiply-adds; and dot products, 4 x 6, ten loads for as many. */
#include <immintrin.h>

#include "kernels/cpu/gemm/gemm_tile.h"

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

/* `rows` and `cols` are constants at every call, so that the sums become registers. */
static inline __attribute__((always_inline)) void dots(const int rows, const int cols,
                                                       int64_t depth, const float *Z, int64_t Z_row,
                                                       const float *W, int64_t W_row, float *out,
                                                       int64_t out_row, Ahead ahead) {
    __m512 sum[DOT_COLS][DOT_ROWS], z[DOT_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++) UNROLL
    for (int c = 0; c < cols; c++) sum[c][i] = _mm512_setzero_ps();
    int64_t k = 0;
    for (; k + VEC_FLOATS <= depth; k += VEC_FLOATS, ahead.at += ahead.step) {
        __builtin_prefetch(ahead.at, 0, 2); /* beyond the end is no fault */
        __builtin_prefetch(ahead.at + 64, 0, 2);
        UNROLL
        for (int i = 0; i < rows; i++) {
            z[i] = _mm512_loadu_ps(Z + i * Z_row + k);
        }
        UNROLL
        for (int c = 0; c < cols; c++) {
            const __m512 w = _mm512_loadu_ps(W + c * W_row + k);
            UNROLL
            for (int i = 0; i < rows; i++) sum[c][i] = _mm512_fmadd_ps(z[i], w, sum[c][i]);
        }
    }
    if (k < depth) { /* masked loads cost half of the speed: only here */
        const __mmask16 mask = (__mmask16)((1u << (depth - k)) - 1);
        UNROLL
        for (int i = 0; i < rows; i++) z[i] = _mm512_maskz_loadu_ps(mask, Z + i * Z_row + k);
        UNROLL
        for (int c = 0; c < cols; c++) {
            const __m512 w = _mm512_maskz_loadu_ps(mask, W + c * W_row + k);
            UNROLL
            for (int i = 0; i < rows; i++) sum[c][i] = _mm512_fmadd_ps(z[i], w, sum[c][i]);
        }
    }
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

void dot_tile(int64_t rows, int64_t cols, int64_t depth, const float *Z, int64_t Z_row,
              const float *W, int64_t W_row, float *out, int64_t out_row, Ahead ahead) {
    /* clang-format off */
#define CASE(r, c) case (r) * 8 + (c): dots(r, c, depth, Z, Z_row, W, W_row, out, out_row, ahead); break;
#define COLS(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4) CASE(r, 5) CASE(r, 6)
    switch (rows * 8 + cols) { COLS(1) COLS(2) COLS(3) COLS(4) default: break; }
#undef COLS
#undef CASE
    /* clang-format on */
}
