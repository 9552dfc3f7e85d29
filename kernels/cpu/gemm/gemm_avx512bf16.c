/* gemm_avx512bf16.c - products of bfloat16 with AVX512-BF16: one instruction multiplies sixteen pairs,
 * twice the multiply-adds of float32 where the processor issues it as often (Zen 4 and 5).
 *
 * Few classes (Bf16Few) waste nothing here either. Logits are dot products of rows as they lie, 4 x 6 at a time.
 * The gradient pairs 32 columns of two rows of Z in registers and multiplies them with up to 12 classes, whose
 * residuals lie as words of two rows. */
#include <immintrin.h>

#include "kernels/cpu/gemm/bf16.h"
#include "kernels/cpu/gemm/fold_avx512.h"

#define PAIR_DOT(sum, a, b) ((Vec)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#define PAIR_PRODUCT bf16_product

#include "kernels/cpu/gemm/pair_tile.h"

static inline __m512i load_elements(const uint16_t *p) {
    return _mm512_loadu_si512(p);
}

static inline __m512 add_pairs(__m512 sum, __m512i a, __m512i b) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
}

/* --- logits of few classes ----------------------------------------------------------------------- */

/* `rows` and `cols` are constants at every call, so that the sums become registers. */
static inline __attribute__((always_inline)) void dots(const int rows, const int cols,
                                                       int64_t depth, const uint16_t *Z,
                                                       int64_t Z_row, const uint16_t *W, float *out,
                                                       int64_t out_row, Ahead ahead) {
    __m512 sum[DOT_COLS][DOT_ROWS];
    UNROLL
    for (int c = 0; c < cols; c++) UNROLL
    for (int i = 0; i < rows; i++) sum[c][i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += BF16_RUN, ahead.at += ahead.step) {
        __m512i z[DOT_ROWS];
        __builtin_prefetch(ahead.at, 0, 2); /* beyond the end is no fault */
        __builtin_prefetch(ahead.at + 64, 0, 2);
        UNROLL
        for (int i = 0; i < rows; i++) z[i] = load_elements(Z + i * Z_row + k);
        UNROLL
        for (int c = 0; c < cols; c++) {
            const __m512i w = load_elements(W + c * depth + k);
            UNROLL
            for (int i = 0; i < rows; i++) sum[c][i] = add_pairs(sum[c][i], z[i], w);
        }
    }
    store_sums(rows, cols, out, out_row, sum);
}

static void few_logits(float *out, int64_t out_row, const uint16_t *Z, int64_t Z_row,
                       const uint16_t *W, int64_t rows, int64_t cols, int64_t depth,
                       const char *next, int64_t bytes) {
    const int64_t groups = ceil_div(cols, DOT_COLS), tiles = groups * ceil_div(rows, DOT_ROWS),
                  fetched = bytes / (tiles * (depth / BF16_RUN)) + 1;
    for (int64_t g = 0; g < groups; g++)
        for (int64_t i = 0; i < rows; i += DOT_ROWS, next += depth / BF16_RUN * fetched) {
            const int64_t c = g * cols / groups, n = (g + 1) * cols / groups - c;
            const Ahead ahead = {next, fetched};
            /* clang-format off */
#define CASE(r, n) case (r) * 8 + (n): \
    dots(r, n, depth, Z + i * Z_row, Z_row, W + c * depth, out + i * out_row + c, out_row, ahead); break;
#define COLS(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4) CASE(r, 5) CASE(r, 6)
            switch (least(rows - i, DOT_ROWS) * 8 + n) { COLS(1) COLS(2) COLS(3) COLS(4) default: break; }
#undef COLS
#undef CASE
            /* clang-format on */
        }
}

/* --- gradient of few classes --------------------------------------------------------------------- */

enum { OUTER_CLASSES = 12, OUTER_COLS = BF16_RUN };

/* Rounds residuals and pairs those of two rows: (rows/2, width) words, 0 beyond the last row and class. */
static void pair_residual(uint32_t *words, int64_t width, const float *residual, int64_t ld,
                          int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i += 2, words += width, residual += 2 * ld)
        for (int64_t c = 0; c < width; c += VEC_FLOATS) {
            const __mmask16 mask = (__mmask16)((1u << least(cols - c, VEC_FLOATS)) - 1),
                            second = i + 1 < rows ? mask : 0;
            const __m512 a = _mm512_maskz_loadu_ps(mask, residual + c),
                         b = _mm512_maskz_loadu_ps(second, residual + ld + c);
            const __m512i low = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(a)),
                          high = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(b));
            _mm512_storeu_si512(words + c, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
}

/* Computes OUTER_COLS columns of n classes' gradients. n is a constant at every call. */
static inline __attribute__((always_inline)) void
outer(const int n, float *grad, bool accumulate, const uint32_t *words, int64_t width,
      const uint16_t *Z, int64_t Z_row, int64_t rows, int64_t d, int64_t cols, Ahead ahead) {
    static const uint16_t order[2][BF16_RUN] = {
        {0, 32, 1, 33, 2,  34, 3,  35, 4,  36, 5,  37, 6,  38, 7,  39,
         8, 40, 9, 41, 10, 42, 11, 43, 12, 44, 13, 45, 14, 46, 15, 47},
        {16, 48, 17, 49, 18, 50, 19, 51, 20, 52, 21, 53, 22, 54, 23, 55,
         24, 56, 25, 57, 26, 58, 27, 59, 28, 60, 29, 61, 30, 62, 31, 63}};
    const __m512i left = load_elements(order[0]), right = load_elements(order[1]);
    __m512 sum[OUTER_CLASSES][2];
    _Pragma("GCC unroll 12") for (int c = 0; c < n; c++) sum[c][0] = sum[c][1] =
        _mm512_setzero_ps();
    for (int64_t i = 0; i < rows; i += 2, words += width, Z += 2 * Z_row, ahead.at += ahead.step) {
        const __m512i a = load_elements(Z),
                      b = i + 1 < rows ? load_elements(Z + Z_row) : _mm512_setzero_si512(),
                      one = _mm512_permutex2var_epi16(a, left, b),
                      two = _mm512_permutex2var_epi16(a, right, b);
        __builtin_prefetch(ahead.at, 0, 2); /* beyond the end is no fault */
        __builtin_prefetch(ahead.at + 64, 0, 2);
        _Pragma("GCC unroll 12") for (int c = 0; c < n; c++) {
            const __m512i w = _mm512_set1_epi32((int)words[c]);
            sum[c][0] = add_pairs(sum[c][0], w, one);
            sum[c][1] = add_pairs(sum[c][1], w, two);
        }
    }
    const __mmask16 mask[2] = {
        (__mmask16)((1u << least(cols, VEC_FLOATS)) - 1),
        (__mmask16)((1u << most(least(cols - VEC_FLOATS, VEC_FLOATS), 0)) - 1)};
    _Pragma("GCC unroll 12") for (int c = 0; c < n; c++) for (int v = 0; v < 2; v++) {
        float *to = grad + c * d + v * VEC_FLOATS;
        const __m512 before = accumulate ? _mm512_maskz_loadu_ps(mask[v], to) : _mm512_setzero_ps();
        _mm512_mask_storeu_ps(to, mask[v], before + sum[c][v]);
    }
}

static void few_gradient(float *grad, bool accumulate, const float *residual, int64_t ld,
                         const uint16_t *Z, int64_t Z_row, int64_t rows, int64_t cols, int64_t d,
                         uint32_t *words, const char *next, int64_t bytes) {
    const int64_t width = round_up(cols, VEC_FLOATS), groups = ceil_div(cols, OUTER_CLASSES),
                  steps = ceil_div(rows, 2),
                  fetched = bytes / (steps * groups * ceil_div(d, OUTER_COLS)) + 1;
    pair_residual(words, width, residual, ld, rows, cols);
    for (int64_t j = 0; j < d; j += OUTER_COLS)
        for (int64_t g = 0; g < groups; g++, next += steps * fetched) {
            const int64_t c = g * cols / groups, n = (g + 1) * cols / groups - c;
            float *to = grad + c * d + j;
            switch (n) {
#define CASE(n)                                                                  \
    case n:                                                                      \
        outer(n, to, accumulate, words + c, width, Z + j, Z_row, rows, d, d - j, \
              (Ahead){next, fetched});                                           \
        break
                CASE(1);
                CASE(2);
                CASE(3);
                CASE(4);
                CASE(5);
                CASE(6);
                CASE(7);
                CASE(8);
                CASE(9);
                CASE(10);
                CASE(11);
                CASE(12);
#undef CASE
            default: break;
            }
        }
}

const Bf16Few few_bf16_avx512bf16 = {few_logits, few_gradient};
