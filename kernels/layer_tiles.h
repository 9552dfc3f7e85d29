/* layer_tiles.h - the tiles of encoders' layers (cuda/encode/layer.cuh) and of attention (attention_mma.cuh,
 * attention.cu), in which kernels and model agree. Plain C. */
#ifndef TURTLE_KERNELS_LAYER_TILES_H
#define TURTLE_KERNELS_LAYER_TILES_H

#include "io/sizes.h"

/* A block's tile of rows x columns is large where large ones spread over half of the device, else small. A step of the
 * ring has so many bytes of every row. */
enum { LAYER_LARGE = 128, LAYER_SMALL = 64, LAYER_STEP_BYTES = 64 };
#define LAYER_TILES(rows, cols) \
    (((rows) + LAYER_LARGE - 1) / LAYER_LARGE * (((cols) + LAYER_LARGE - 1) / LAYER_LARGE))
#define LAYER_IS_LARGE(rows, cols, sms) \
    ((cols) > LAYER_SMALL && 2 * LAYER_TILES(rows, cols) >= (sms))

/* Attention in 16 bits: a head is computed at one of four widths. A warp takes its queries, a block has up to
 * ATTENTION_WARPS warps, and keys come a stage at a time, the last ones in steps of ATTENTION_FRAGMENT. */
enum { ATTENTION_FRAGMENT = 16, ATTENTION_WARPS = 4, ATTENTION_STAGE_KEYS = 64 };
#define ATTENTION_WIDTH(width) ((width) <= 64 ? 64 : (width) <= 80 ? 80 : (width) <= 96 ? 96 : 128)
#define ATTENTION_ROWS(width) (ATTENTION_FRAGMENT * ((width) <= 80 ? 2 : 1)) /* queries of a warp */

/* Attention in float32: a block takes so many queries, and meets as many keys at a time. */
enum { ATTENTION_FLOAT_TILE = 64 };
#define ATTENTION_FLOAT_WIDTH(width) ((width) <= 64 ? 64 : 128)

/* --- products by TMA and wgmma (cuda/encode/linear_wgmma.cu) ------------------------------------------ */

/* A block's tile has 128 rows and 64, 128 or 256 columns; two blocks of a cluster have rows that follow each other, and
 * share their columns of the weight. A layer of fewer columns or depths goes by mma.sync, whatever its rows. */
enum {
    LAYER_WIDE_ROWS = 128,
    LAYER_WIDE_COLS = 256,
    LAYER_WIDE_BLOCKS = 2,
    LAYER_WIDE_DEPTH = 64,
    LAYER_WIDE_LEAST = 64,
    LAYER_WIDE_LEAD = 2, /* steps of the ring by which the first consumer group begins earlier */
    LAYER_WIDE_STAGES = 4,
    LAYER_WIDE_BAND =
        8, /* tiles of rows, of a cluster each, whose columns come one after the other */
};
#define LAYER_IS_WIDE(cols, depth) ((cols) >= LAYER_WIDE_LEAST && (depth) >= LAYER_WIDE_LEAST)

/* Returns the tiles of clusters that cover a product by tiles of `wide` columns. */
static inline int64_t layer_wide_tiles(int64_t rows, int64_t cols, int wide) {
    return ceil_div(rows, LAYER_WIDE_BLOCKS * LAYER_WIDE_ROWS) * ceil_div(cols, wide);
}

/* Returns the columns of a block's tile: of 256, 128 and 64 those whose waves read least through the L2 cache. In a wave a
 * cluster reads 256 rows of A and the columns of W. */
static inline int layer_wide_cols(int64_t rows, int64_t cols, int sms) {
    const int64_t clusters = most(1, sms / LAYER_WIDE_BLOCKS);
    int best = 0;
    int64_t least_read = INT64_MAX;
    for (int wide = LAYER_WIDE_COLS; wide >= LAYER_WIDE_LEAST; wide /= 2) {
        const int64_t waves = ceil_div(layer_wide_tiles(rows, cols, wide), clusters),
                      read = waves * (LAYER_WIDE_BLOCKS * LAYER_WIDE_ROWS + wide);
        if (read < least_read) least_read = read, best = wide;
    }
    return best;
}

/* A cluster's tile: its place among tiles of rows, and among tiles of columns. */
typedef struct {
    int up, across;
} LayerTile;

/* Returns the i-th tile of up x across. Bands of rows come one after the other; within a band the tiles of a column do. So
 * tiles that run side by side are about as high as wide, and what they share is still in the L2 cache. */
HOST_DEVICE static inline LayerTile layer_tile_at(int i, int up, int across) {
    const int first = i / (LAYER_WIDE_BAND * across) * LAYER_WIDE_BAND, rest = i - first * across;
    const int height = up - first < LAYER_WIDE_BAND ? up - first : LAYER_WIDE_BAND;
    const LayerTile tile = {first + rest % height, rest / height};
    return tile;
}

#endif
