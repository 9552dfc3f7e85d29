/* vec.h - vectors of gcc and clang: the including file's instruction set decides what they are, and
 * ELEMENT, 4 bytes of it, what they are made of. */
#ifndef TURTLE_KERNELS_CPU_GEMM_VEC_H
#define TURTLE_KERNELS_CPU_GEMM_VEC_H

#include <string.h>

#include "kernels/cpu/gemm/gemm.h"

#ifndef ELEMENT
#define ELEMENT float
#endif
typedef ELEMENT Vec __attribute__((vector_size(4 * VEC_FLOATS)));
enum { VECS = TILE_COLS / VEC_FLOATS };

static inline Vec load(const ELEMENT *p) {
    Vec v;
    memcpy(&v, p, sizeof v); /* one unaligned load */
    return v;
}

static inline void store(ELEMENT *p, Vec v) {
    memcpy(p, &v, sizeof v);
}

/* Fetches line k of a tile of sums, which has ROW_LINES lines a row, before the sums are added to it. A tile calls it
 * once in a step: all lines at once would take every place for a miss, and the loads of operands would wait behind
 * them. */
enum { LINE = 64 / 4, ROW_LINES = TILE_COLS > LINE ? TILE_COLS / LINE : 1 };
static inline void fetch_line(const ELEMENT *out, int64_t out_row, int64_t k) {
    __builtin_prefetch(out + k / ROW_LINES * out_row + k % ROW_LINES * LINE, 1);
}

/* Returns p, of which the compiler forgets where it came from. It then takes one row behind the other with one pointer,
 * where it would compute an address for every vector before the loop, and spill what has no register. */
static inline __attribute__((always_inline)) ELEMENT *hidden(ELEMENT *p) {
    __asm__("" : "+r"(p));
    return p;
}

/* Stores or adds the first `cols` of a row of sums. */
static inline void store_row(ELEMENT *to, const Vec sum[VECS], int64_t cols, bool accumulate) {
    for (int v = 0; v < VECS && cols > 0; v++, to += VEC_FLOATS, cols -= VEC_FLOATS) {
        if (cols >= VEC_FLOATS) {
            store(to, accumulate ? load(to) + sum[v] : sum[v]);
        } else {
            ELEMENT edge[VEC_FLOATS];
            store(edge, sum[v]);
            for (int64_t j = 0; j < cols; j++) to[j] = accumulate ? to[j] + edge[j] : edge[j];
        }
    }
}

/* Stores or adds a tile of sums. `rows` is a constant at every call. A whole tile has a way without conditions
 * on every row, for which sums would leave their registers. */
static inline __attribute__((always_inline)) void store_tile(const int rows, ELEMENT *to,
                                                             int64_t row, Vec sum[][VECS],
                                                             int64_t cols, bool accumulate) {
    if (cols < TILE_COLS) {
        UNROLL
        for (int i = 0; i < rows; i++) {
            Vec edge[VECS]; /* an address of the sums themselves would keep all of them in memory */
            for (int v = 0; v < VECS; v++) edge[v] = sum[i][v];
            store_row(to + i * row, edge, cols, accumulate);
        }
        return;
    }
    UNROLL
    for (int i = 0; accumulate && i < rows; i++, to = hidden(to + row))
        for (int v = 0; v < VECS; v++)
            store(to + v * VEC_FLOATS, load(to + v * VEC_FLOATS) + sum[i][v]);
    UNROLL
    for (int i = 0; !accumulate && i < rows; i++, to = hidden(to + row))
        for (int v = 0; v < VECS; v++) store(to + v * VEC_FLOATS, sum[i][v]);
}

#endif
