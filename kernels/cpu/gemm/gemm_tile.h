/* gemm_tile.h - the micro-kernel's body, in the vector types of gcc and clang: the including file's
 * instruction set decides what a Vec is. See gemm.h. */
#include "kernels/cpu/gemm/vec.h"

/* Adds one step of the depth, A's elements by B's vectors, to the sums. A strip that is not NULL receives the vectors.
 * The line at `ahead` and the one behind it are fetched. */
static inline __attribute__((always_inline)) void multiply_add(const int rows, Vec sum[][VECS],
                                                               const float *a, int64_t a_row,
                                                               const float *b, const char *ahead,
                                                               float *strip) {
    Vec row[VECS];
    for (int v = 0; v < VECS; v++) row[v] = load(b + v * VEC_FLOATS);
    for (int v = 0; strip && v < VECS; v++) store(strip + v * VEC_FLOATS, row[v]);
    if (ahead) {                         /* a constant */
        __builtin_prefetch(ahead, 0, 2); /* beyond the end is no fault */
        __builtin_prefetch(ahead + 64, 0, 2);
    }
    UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < VECS; v++) sum[i][v] += a[i * a_row] * row[v];
}

static inline __attribute__((always_inline)) void
add_step(const int rows, Vec sum[][VECS], Operand *a, Operand *b, Ahead *ahead, float *strip) {
    multiply_add(rows, sum, a->at, a->row, b->at, ahead->at, strip);
    a->at += a->step, b->at += b->step, ahead->at += ahead->step;
}

/* `rows` is a constant at every call and the loops over it are unrolled, so that the accumulators
 * become registers. A strip that is not NULL receives B. */
static inline __attribute__((always_inline)) void tile(const int rows, int64_t cols, int64_t depth,
                                                       Operand a, Operand b, float *out,
                                                       int64_t out_row, bool accumulate,
                                                       Ahead ahead, float *strip) {
    Vec sum[TILE_ROWS][VECS];
    UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < VECS; v++) sum[i][v] = (Vec){0};
    int64_t k = 0;
    for (; k < rows * ROW_LINES && k < depth; k++) {
        fetch_line(out, out_row, k);
        add_step(rows, sum, &a, &b, &ahead, strip ? strip + k * TILE_COLS : NULL);
    }
    for (; k < depth; k++)
        add_step(rows, sum, &a, &b, &ahead, strip ? strip + k * TILE_COLS : NULL);
    store_tile(rows, hidden(out), out_row, sum, cols, accumulate);
}

#if TILE_ROWS >= 6
#define HIGH_CASES(CASE) CASE(5) CASE(6)
#else
#define HIGH_CASES(CASE)
#endif
#define CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) HIGH_CASES(CASE) /* 1 <= rows <= TILE_ROWS */

void gemm_tile_flat(int64_t rows, int64_t cols, int64_t depth, const float *a, int64_t a_row,
                    int64_t a_step, const float *b, int64_t b_step, float *out, int64_t out_row,
                    bool accumulate, const char *ahead, int64_t ahead_step) {
    const Operand A = {a, a_row, a_step}, B = {b, 0, b_step};
    const Operand packed = {a, 1, a_step}; /* constant offsets instead of addresses */
    const Ahead next = {ahead, ahead_step};
    switch (rows) {
#define CASE(n)                                                                                \
    case n:                                                                                    \
        if (a_row == 1) tile(n, cols, depth, packed, B, out, out_row, accumulate, next, NULL); \
        else tile(n, cols, depth, A, B, out, out_row, accumulate, next, NULL);                 \
        break;
        CASES(CASE)
#undef CASE
    default: break;
    }
}

void gemm_tile_packing_flat(float *strip, int64_t rows, int64_t depth, const float *a,
                            int64_t a_step, const float *b, int64_t b_step, float *out,
                            int64_t out_row, bool accumulate, const char *ahead,
                            int64_t ahead_step) {
    const Operand packed = {a, 1, a_step}, B = {b, 0, b_step};
    const Ahead next = {ahead, ahead_step};
    switch (rows) {
#define CASE(n) \
    case n: tile(n, TILE_COLS, depth, packed, B, out, out_row, accumulate, next, strip); break;
        CASES(CASE)
#undef CASE
    default: break;
    }
}

/* Does what `tile` does where B's rows lie apart. */
static inline __attribute__((always_inline)) void
tile_B_apart(const int rows, int64_t depth, const float *a, int64_t a_step, const float *const *B,
             int64_t at, float *out, int64_t out_row, bool accumulate) {
    Vec sum[TILE_ROWS][VECS];
    UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < VECS; v++) sum[i][v] = (Vec){0};
    for (int64_t k = 0; k < depth; k++, a += a_step)
        multiply_add(rows, sum, a, 1, B[k] + at, NULL, NULL);
    store_tile(rows, hidden(out), out_row, sum, TILE_COLS, accumulate);
}

/* Does what `tile` does where A's rows lie apart. */
static inline __attribute__((always_inline)) void
tile_A_apart(const int rows, int64_t cols, int64_t depth, const float *const *A, int64_t at,
             Operand b, float *out, int64_t out_row, bool accumulate, Ahead ahead) {
    Vec sum[TILE_ROWS][VECS];
    const float *a[TILE_ROWS];
    UNROLL
    for (int i = 0; i < rows; i++) {
        a[i] = A[i] + at;
        for (int v = 0; v < VECS; v++) sum[i][v] = (Vec){0};
    }
    for (int64_t k = 0; k < depth; k++, b.at += b.step, ahead.at += ahead.step) {
        Vec row[VECS];
        for (int v = 0; v < VECS; v++) row[v] = load(b.at + v * VEC_FLOATS);
        __builtin_prefetch(ahead.at, 0, 2);
        __builtin_prefetch(ahead.at + 64, 0, 2);
        UNROLL
        for (int i = 0; i < rows; i++)
            for (int v = 0; v < VECS; v++) sum[i][v] += a[i][k] * row[v];
    }
    store_tile(rows, hidden(out), out_row, sum, cols, accumulate);
}

void gemm_tile_A_apart_flat(int64_t rows, int64_t cols, int64_t depth, const float *const *A,
                            int64_t at, const float *b, float *out, int64_t out_row,
                            bool accumulate, const char *ahead, int64_t ahead_step) {
    const Operand B = strip_of(b);
    const Ahead next = {ahead, ahead_step};
    switch (rows) {
#define CASE(n) \
    case n: tile_A_apart(n, cols, depth, A, at, B, out, out_row, accumulate, next); break;
        CASES(CASE)
#undef CASE
    default: break;
    }
}

void gemm_tile_B_apart(int64_t rows, int64_t depth, const float *a, int64_t a_step,
                       const float *const *B, int64_t at, float *out, int64_t out_row,
                       bool accumulate) {
    switch (rows) {
#define CASE(n) \
    case n: tile_B_apart(n, depth, a, a_step, B, at, out, out_row, accumulate); break;
        CASES(CASE)
#undef CASE
    default: break;
    }
}
