/* pair_tile.h - products of 16-bit pairs with vectors (cpu.h, Bf16Product and Int16Product): tiles of
 * TILE_ROWS x TILE_COLS sums, to which each step adds products of pairs. The including file says
 * how, with what name, and ELEMENT (vec.h), the type of sums:
 *     PAIR_DOT(sum, a, b)      a, b: Words, two elements each
 *     PAIR_PRODUCT             the function */
#include "kernels/cpu/gemm/vec.h"

typedef uint32_t Words __attribute__((vector_size(4 * VEC_FLOATS)));

static inline Words load_words(const uint16_t *p) {
    Words w;
    memcpy(&w, p, sizeof w);
    return w;
}

/* Pairs of a strip of B that stay in the first-level cache while the rows pass. */
enum { PAIR_RUN = 96 };

/* Adds one pair of the depth to the sums. */
static inline __attribute__((always_inline)) void add_pair(const int rows, const int vecs,
                                                           Vec sum[][VECS], const uint16_t *a,
                                                           int64_t a_row, const uint16_t *b) {
    Words row[VECS];
    for (int v = 0; v < vecs; v++) row[v] = load_words(b + v * 2 * VEC_FLOATS);
    UNROLL
    for (int i = 0; i < rows; i++) {
        uint32_t pair;
        memcpy(&pair, a + i * a_row, sizeof pair);
        for (int v = 0; v < vecs; v++) sum[i][v] = PAIR_DOT(sum[i][v], (Words){0} + pair, row[v]);
    }
}

/* `rows` and `vecs` are constants at every call, so that the sums become registers. a and b: pairs. */
static inline __attribute__((always_inline)) void
pair_tile(const int rows, const int vecs, int64_t cols, int64_t pairs, const uint16_t *a,
          int64_t a_row, const uint16_t *b, ELEMENT *out, int64_t out_row, bool accumulate) {
    Vec sum[TILE_ROWS][VECS];
    UNROLL
    for (int i = 0; i < rows; i++)
        for (int v = 0; v < VECS; v++) sum[i][v] = (Vec){0};
    int64_t k = 0;
    for (; k < rows * ROW_LINES && k < pairs; k++, a += 2, b += 2 * BF16_COLS) {
        fetch_line(out, out_row, k);
        add_pair(rows, vecs, sum, a, a_row, b);
    }
    for (; k < pairs; k++, a += 2, b += 2 * BF16_COLS) add_pair(rows, vecs, sum, a, a_row, b);
    store_tile(rows, out, out_row, sum, cols, accumulate);
}

void PAIR_PRODUCT(ELEMENT *out, int64_t out_row, bool accumulate, const uint16_t *a, int64_t a_row,
                  const uint16_t *b, int64_t rows, int64_t cols, int64_t depth) {
    for (int64_t k = 0; k < depth / 2; k += PAIR_RUN)
        for (int64_t i = 0; i < rows; i += TILE_ROWS)
            for (int64_t j = 0; j < cols; j += TILE_COLS) {
                const int64_t pairs = depth / 2 - k < PAIR_RUN ? depth / 2 - k : PAIR_RUN;
                const int64_t n = least(rows - i, TILE_ROWS), vecs = ceil_div(cols - j, VEC_FLOATS);
                const uint16_t *a_at = a + i * a_row + 2 * k, *b_at = b + 2 * (k * BF16_COLS + j);
                ELEMENT *to = out + i * out_row + j;
                const bool add = accumulate || k;
                switch (n < TILE_ROWS || vecs >= VECS ? n : -vecs) {
#define CASE(when, rows, vecs) \
    case when: pair_tile(rows, vecs, cols - j, pairs, a_at, a_row, b_at, to, out_row, add); break
                    CASE(1, 1, VECS);
                    CASE(2, 2, VECS);
                    CASE(3, 3, VECS);
                    CASE(4, 4, VECS);
#if TILE_ROWS >= 6
                    CASE(5, 5, VECS);
                    CASE(6, 6, VECS);
#endif
                    /* whole tiles: no wider than `cols` need */
                    CASE(-1, TILE_ROWS, 1);
                    CASE(-2, TILE_ROWS, 2);
                    CASE(-3, TILE_ROWS, VECS < 3 ? VECS : 3);
#undef CASE
                default: break;
                }
            }
}
