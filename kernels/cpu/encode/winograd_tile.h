/* winograd_tile.h - tiles and their transformations, for products of float32 and of bfloat16 (winograd.c has the
 * matrices). */
#ifndef TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_TILE_H
#define TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_TILE_H

#include <string.h>

#include "io/dtype.h"
#include "kernels/cpu/encode/winograd.h"
#include "kernels/cpu/gemm/vec.h"

enum {
    PLACES = 16,
    TILES = 48,   /* a multiple of every TILE_ROWS */
    PACK_IN = 32, /* input channels that are transformed at a time */
};
_Static_assert(TILES % TILE_ROWS == 0, "blocks of tiles are whole tiles of the micro-kernel");
_Static_assert(PACK_IN % VEC_FLOATS == 0, "channels are whole vectors");

/* --- weights ---------------------------------------------------------------------------------- */

/* Reads the 3 x 3 kernels of output channel o over PACK_IN input channels from i on, scaled. */
static inline void read_kernels(float to[9][PACK_IN], const Weight *w, int64_t o, int64_t i,
                                float scale) {
    for (int64_t t = 0; t < 9; t++) {
        const uint8_t *from =
            (const uint8_t *)w->data +
            (o * w->out_step + i * w->in_step + t * w->tap_step) * dtype_bytes(w->type);
        for (int64_t c = 0; c < PACK_IN; c++, from += w->in_step * dtype_bytes(w->type)) {
            float x = 0.0f;
            if (w->type == DTYPE_F32) memcpy(&x, from, sizeof x);
            else dtype_to_f32(&x, from, w->type, false, 1);
            to[t][c] = x * scale;
        }
    }
}

/* u (16 places) = G g G^T for PACK_IN kernels side by side; a place's vectors lie `step` floats apart. */
static inline void transform_kernels(float *u, int64_t step, float g[9][PACK_IN]) {
    for (int64_t c = 0; c < PACK_IN; c += VEC_FLOATS) {
        Vec rows[4][3];
        for (int x = 0; x < 3; x++) {
            const Vec a = load(&g[x][c]), b = load(&g[3 + x][c]), d = load(&g[6 + x][c]);
            rows[0][x] = a;
            rows[1][x] = 0.5f * (a + b + d);
            rows[2][x] = 0.5f * (a - b + d);
            rows[3][x] = d;
        }
        for (int y = 0; y < 4; y++) {
            const Vec a = rows[y][0], b = rows[y][1], d = rows[y][2];
            float *at = u + 4 * y * step + c;
            store(at, a);
            store(at + step, 0.5f * (a + b + d));
            store(at + 2 * step, 0.5f * (a - b + d));
            store(at + 3 * step, d);
        }
    }
}

/* --- tiles ------------------------------------------------------------------------------------ */

/* The image of a tile, and the pixel of the output where it begins. */
typedef struct {
    int64_t image, y, x;
} Place;

static inline int64_t tiles_of(int64_t side) {
    return ceil_div(side, 2);
}

static inline Place place_of(int64_t height, int64_t width, int64_t t) {
    const int64_t across = tiles_of(width), image_tiles = across * tiles_of(height),
                  inside = t % image_tiles;
    return (Place){t / image_tiles, 2 * (inside / across), 2 * (inside % across)};
}

/* d = B^T d B, of a tile's 16 pixels. */
static inline __attribute__((always_inline)) void transform_pixels(Vec d[PLACES]) {
    Vec rows[4][4];
    for (int x = 0; x < 4; x++) {
        rows[0][x] = d[x] - d[8 + x];
        rows[1][x] = d[4 + x] + d[8 + x];
        rows[2][x] = d[8 + x] - d[4 + x];
        rows[3][x] = d[4 + x] - d[12 + x];
    }
    for (int y = 0; y < 4; y++) {
        d[4 * y] = rows[y][0] - rows[y][2];
        d[4 * y + 1] = rows[y][1] + rows[y][2];
        d[4 * y + 2] = rows[y][2] - rows[y][1];
        d[4 * y + 3] = rows[y][1] - rows[y][3];
    }
}

/* pixel = A^T m A of one tile; places of m lie `step` floats apart. */
static inline __attribute__((always_inline)) void transform_sums(Vec pixel[2][2], const float *m,
                                                                 int64_t step) {
    Vec rows[2][4];
    for (int x = 0; x < 4; x++) {
        const float *from = m + x * step;
        const Vec one = load(from + 4 * step), two = load(from + 8 * step);
        rows[0][x] = load(from) + one + two;
        rows[1][x] = one - two - load(from + 12 * step);
    }
    for (int y = 0; y < 2; y++) {
        pixel[y][0] = rows[y][0] + rows[y][1] + rows[y][2];
        pixel[y][1] = rows[y][1] - rows[y][2] - rows[y][3];
    }
}

#endif
