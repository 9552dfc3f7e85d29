/* gemm_tile.h - the micro-kernel's body, in the vector types of gcc and clang: the including file's
 * instruction set decides what a Vec is. See gemm.h. */
#include <string.h>

#include "gemm.h"

typedef float Vec __attribute__((vector_size(4 * VEC_FLOATS)));
enum { VECS = TILE_COLS / VEC_FLOATS };

static inline Vec load(const float *p) {
    Vec v;
    memcpy(&v, p, sizeof v); /* one unaligned load */
    return v;
}

static inline void store(float *p, Vec v) {
    memcpy(p, &v, sizeof v);
}

/* `rows` is a constant at every call, so that the accumulators become registers. */
static inline __attribute__((always_inline)) void tile(const int rows, int64_t cols, int64_t depth,
                                                       Operand a, Operand b, float *out,
                                                       int64_t out_row, bool accumulate) {
    Vec sum[TILE_ROWS][VECS];
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < VECS; v++) sum[i][v] = (Vec){0};
    const float *at = a.at, *bt = b.at;
    for (int64_t k = 0; k < depth; k++, at += a.step, bt += b.step) {
        Vec row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load(bt + v * VEC_FLOATS);
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < VECS; v++) sum[i][v] += at[i * a.row] * row[v];
    }
    for (int i = 0; i < rows; i++) {
        float *to = out + i * out_row;
        if (cols == TILE_COLS) {
            for (int v = 0; v < VECS; v++)
                store(to + v * VEC_FLOATS,
                      accumulate ? load(to + v * VEC_FLOATS) + sum[i][v] : sum[i][v]);
        } else {
            float edge[TILE_COLS];
            for (int v = 0; v < VECS; v++) store(edge + v * VEC_FLOATS, sum[i][v]);
            for (int64_t j = 0; j < cols; j++) to[j] = accumulate ? to[j] + edge[j] : edge[j];
        }
    }
}

void gemm_tile(int64_t rows, int64_t cols, int64_t depth, Operand a, Operand b, float *out,
               int64_t out_row, bool accumulate) {
    switch (rows) {
    case 1: tile(1, cols, depth, a, b, out, out_row, accumulate); break;
    case 2: tile(2, cols, depth, a, b, out, out_row, accumulate); break;
    case 3: tile(3, cols, depth, a, b, out, out_row, accumulate); break;
    case 4: tile(4, cols, depth, a, b, out, out_row, accumulate); break;
#if defined(__AVX2__)
    case 5: tile(5, cols, depth, a, b, out, out_row, accumulate); break;
    case 6: tile(6, cols, depth, a, b, out, out_row, accumulate); break;
#endif
    default: break; /* rows <= TILE_ROWS */
    }
}
