/* layer_tiles.h - the tiles of encoders' layers (cuda/encode/layer.cuh) and of attention (attention_mma.cuh,
 * attention.cu), in which kernels and model agree. Plain C. */
#ifndef TURTLE_KERNELS_LAYER_TILES_H
#define TURTLE_KERNELS_LAYER_TILES_H

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

#endif
