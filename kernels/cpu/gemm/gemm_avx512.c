/* gemm_avx512.c - the micro-kernels with AVX-512: 6 x 64, four loads and six broadcasts for
 * twenty-four fused multiply-adds; and dot products, 4 x 6, ten loads for as many. */
#include <immintrin.h>

#include "kernels/cpu/gemm/fold_avx512.h"
#include "kernels/cpu/gemm/gemm_tile.h"

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
    store_sums(rows, cols, out, out_row, sum);
}

void dot_tile_flat(int64_t rows, int64_t cols, int64_t depth, const float *Z, int64_t Z_row,
                   const float *W, int64_t W_row, float *out, int64_t out_row, const char *ahead,
                   int64_t ahead_step) {
    /* clang-format off */
#define CASE(r, c) case (r) * 8 + (c): dots(r, c, depth, Z, Z_row, W, W_row, out, out_row, (Ahead){ahead, ahead_step}); break;
#define COLS(r) CASE(r, 1) CASE(r, 2) CASE(r, 3) CASE(r, 4) CASE(r, 5) CASE(r, 6)
    switch (rows * 8 + cols) { COLS(1) COLS(2) COLS(3) COLS(4) default: break; }
#undef COLS
#undef CASE
    /* clang-format on */
}

/* Rows first .. end of a tile's DOT_ROWS, which are copied past the caches to `to`, where rows are `row` floats apart and
 * aligned to 64 bytes. */
typedef struct {
    float *to;
    int64_t row;
    int first, end;
} CopiedRows;
/* n rows that are fetched. */
typedef struct {
    const float *const *at;
    int64_t n;
} FetchedRows;

static inline __attribute__((always_inline)) void
arriving_dots(const int cols, int64_t depth, const float *const Z[DOT_ROWS], const float *W,
              int64_t W_row, float *out, int64_t out_row, CopiedRows copy, FetchedRows fetch) {
    __m512 sum[DOT_COLS][DOT_ROWS], z[DOT_ROWS];
    UNROLL
    for (int i = 0; i < DOT_ROWS; i++) UNROLL
    for (int c = 0; c < cols; c++) sum[c][i] = _mm512_setzero_ps();
    for (int64_t k = 0; k < depth; k += VEC_FLOATS) {
        const __mmask16 mask = (__mmask16)((1u << least(depth - k, VEC_FLOATS)) - 1);
        const bool whole = mask == 0xffff;
        for (int64_t i = 0; i < fetch.n; i++) __builtin_prefetch(fetch.at[i] + k, 0, 2);
        UNROLL
        for (int i = 0; i < DOT_ROWS; i++)
            z[i] = whole ? _mm512_loadu_ps(Z[i] + k) : _mm512_maskz_loadu_ps(mask, Z[i] + k);
        for (int i = copy.first; i < copy.end; i++) {
            if (whole) _mm512_stream_ps(copy.to + i * copy.row + k, _mm512_loadu_ps(Z[i] + k));
            else
                _mm512_mask_storeu_ps(copy.to + i * copy.row + k, mask,
                                      _mm512_maskz_loadu_ps(mask, Z[i] + k));
        }
        UNROLL
        for (int c = 0; c < cols; c++) {
            const __m512 w = whole ? _mm512_loadu_ps(W + c * W_row + k)
                                   : _mm512_maskz_loadu_ps(mask, W + c * W_row + k);
            UNROLL
            for (int i = 0; i < DOT_ROWS; i++) sum[c][i] = _mm512_fmadd_ps(z[i], w, sum[c][i]);
        }
    }
    store_sums(DOT_ROWS, cols, out, out_row, sum);
}

/* Does what dot_tile does for DOT_ROWS rows that lie apart, copies some of them, and fetches others. */
static void arriving_dot_tile(int64_t cols, int64_t depth, const float *const Z[DOT_ROWS],
                              const float *W, int64_t W_row, float *out, int64_t out_row,
                              CopiedRows copy, FetchedRows fetch) {
    /* clang-format off */
#define CASE(c) case c: arriving_dots(c, depth, Z, W, W_row, out, out_row, copy, fetch); break;
    switch (cols) { CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) default: break; }
#undef CASE
    /* clang-format on */
}

/* Groups of classes take the panel one after the other: one group of W stays in the first-level cache. Every tile copies
 * its share, and fetches its share, so that memory is busy all the time. */
void arriving_logits(float *logits, int64_t ld, const Arriving *in, const float *W, int64_t n,
                     int64_t C, int64_t d) {
    const int64_t groups = ceil_div(C, DOT_COLS), shares = in->parts * groups;
    for (int64_t g = 0; g < groups; g++) {
        const int64_t c = g * C / groups, end = (g + 1) * C / groups, share = in->part * groups + g;
        for (int64_t i = 0; i < n; i += DOT_ROWS) {
            const int64_t fetched = (share * n + i) / shares,
                          fetched_end = (share * n + i + DOT_ROWS) / shares;
            arriving_dot_tile(end - c, d, in->rows + i, W + c * d, d, logits + i * ld + c, ld,
                              (CopiedRows){in->to + i * in->row, in->row,
                                           (int)ceil_div(share * DOT_ROWS, shares),
                                           (int)ceil_div((share + 1) * DOT_ROWS, shares)},
                              (FetchedRows){in->next + fetched, fetched_end - fetched});
        }
    }
    end_stream();
}

void rows_to_lanes(Lanes lanes, const float *rows, int64_t ld, int64_t n, int64_t C) {
    const __mmask16 mask = (__mmask16)((1u << C) - 1);
    __m512 v[LANES];
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) v[i] =
        _mm512_maskz_loadu_ps(i < n ? mask : 0, rows + i * ld);
    transpose_vectors(v);
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) _mm512_storeu_ps(lanes[i], v[i]);
}

void lanes_to_rows(float *rows, int64_t ld, const Lanes lanes, int64_t n, int64_t C) {
    const __mmask16 mask = (__mmask16)((1u << C) - 1);
    __m512 v[LANES];
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++) v[i] = _mm512_loadu_ps(lanes[i]);
    transpose_vectors(v);
    _Pragma("GCC unroll 16") for (int i = 0; i < LANES; i++)
        _mm512_mask_storeu_ps(rows + i * ld, i < n ? mask : 0, v[i]);
}
