/* layer_tiles.h - the tiles of encoders' layers (cuda/encode/layer.cuh), in which kernels and model agree. Plain C. */
#ifndef TURTLE_KERNELS_LAYER_TILES_H
#define TURTLE_KERNELS_LAYER_TILES_H

/* A block's tile of rows x columns is large where large ones spread over half of the device, else small. A step of the
 * ring has so many bytes of every row. */
enum { LAYER_LARGE = 128, LAYER_SMALL = 64, LAYER_STEP_BYTES = 64 };
#define LAYER_TILES(rows, cols) \
    (((rows) + LAYER_LARGE - 1) / LAYER_LARGE * (((cols) + LAYER_LARGE - 1) / LAYER_LARGE))
#define LAYER_IS_LARGE(rows, cols, sms) \
    ((cols) > LAYER_SMALL && 2 * LAYER_TILES(rows, cols) >= (sms))

#endif
