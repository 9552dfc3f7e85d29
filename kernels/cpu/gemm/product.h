/* product.h - the blocked matrix product under matmul, linear layers and convolutions. */
#ifndef TURTLE_KERNELS_CPU_GEMM_PRODUCT_H
#define TURTLE_KERNELS_CPU_GEMM_PRODUCT_H

#include "kernels/cpu/gemm/gemm.h"
#include "kernels/encode.h"

#define product ISA(product)
#define product_finish ISA(product_finish)
#define left_rows ISA(left_rows)
#define left_rows_16 ISA(left_rows_16)
#define product_scratch ISA(product_scratch)

/* The left operand. `fill` copies rows i .. i+n and depth k .. k+deep into a panel whose rows lie PANEL_ROW
 * apart. An operand that is bfloat16 in memory has data_16 instead of data, and `fill_16` copies all of its
 * depth into a panel whose rows lie panel_row apart. */
typedef struct Left {
    void (*fill)(const struct Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                 int64_t deep);
    void (*fill_16)(const struct Left *left, uint16_t *panel, int64_t panel_row, int64_t i,
                    int64_t n, int64_t depth);
    const float *data;
    const uint16_t *data_16;
    int64_t row;          /* elements between rows of a linear layer's input */
    const Window *window; /* the window of a convolution */
    int64_t channels, out_height, out_width;
} Left;

/* Depth is cut into blocks so that a packed strip of the weight (DEPTH_BLOCK x TILE_COLS) stays in
 * the first-level cache while the rows pass; the panel's row length keeps rows out of each other's
 * cache sets. */
enum { DEPTH_BLOCK = 256, PANEL_ROW = DEPTH_BLOCK + 16 };
enum { COL_BLOCK = 256 }; /* output channels that are packed at a time */

/* out (rows,w->out) = epilogue(left w^T); row r of the output is out_row elements after row r-1, and
 * images of `image_rows` rows begin out_image elements apart. */
typedef struct {
    float *out;
    int64_t rows, out_row, image_rows, out_image;
    uint16_t *out_16; /* instead of `out` where the output is bfloat16: of product_16 alone */
} Output;

/* How the rows and output channels of a product are dealt to threads: in blocks of rows as even as tiles allow, so that
 * threads finish together, and, where there are fewer blocks than threads, in strips of channels too. */
typedef struct {
    int64_t rows, tiles, blocks, strips;
} Deal;

/* Rows i .. i+n and channels j .. j+cols. A piece may be empty. */
typedef struct {
    int64_t i, n, j, cols;
} Piece;

/* Deals rows in blocks of up to `high` tiles of TILE_ROWS. */
static inline Deal deal_rows(int64_t rows, int64_t high, int64_t threads) {
    const int64_t tiles = ceil_div(rows, TILE_ROWS),
                  blocks = round_up(ceil_div(tiles, high), least(threads, tiles));
    return (Deal){rows, tiles, blocks, ceil_div(threads, blocks)};
}

/* Returns piece `number` of blocks x strips, where `cols` channels are cut in whole runs of `wide`. */
static inline Piece deal_piece(const Deal *d, int64_t number, int64_t cols, int64_t wide) {
    const int64_t block = number / d->strips, strip = number % d->strips,
                  width = round_up(ceil_div(cols, d->strips), wide),
                  i = block * d->tiles / d->blocks * TILE_ROWS,
                  end = least((block + 1) * d->tiles / d->blocks * TILE_ROWS, d->rows),
                  j = least(strip * width, cols);
    return (Piece){i, end - i, j, least(width, cols - j)};
}

void product(Output out, const Left *left, const Weight *w, const Epilogue *epilogue, void *scratch,
             Threads *pool);
int64_t product_scratch(int64_t cols, int64_t depth);
/* Adds the bias to n channels of a row from `first` on, activates and gates them. `times` are that row's gates,
 * of the channels from `first` on, or NULL. */
void product_finish(float *out, const Epilogue *e, const float *times, int64_t first, int64_t n);

/* Return the left operand of a linear layer: rows of a matrix, `row` elements apart. */
Left left_rows(const float *data, int64_t row);
Left left_rows_16(const uint16_t *data, int64_t row);

#endif
