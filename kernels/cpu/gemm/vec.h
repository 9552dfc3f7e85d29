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

#endif
