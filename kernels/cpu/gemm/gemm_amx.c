/* gemm_amx.c - products of bfloat16 with AMX (cpu.h, Bf16Product): tiles of 16 rows of 64 bytes.
 *
 *     out 2 x 2 tiles of 16 x 16 float32 (0 to 3)  +=  A 2 of 16 x 32 (4, 5)  B 2 of 16 x 16 pairs (6, 7)
 *
 * One instruction does 16 x 16 x 32 multiply-adds; four of them use every loaded tile twice. A and B
 * are read as they lie (B's layout is AMX's own), so the arithmetic is all there is.
 *
 * Source   Intel 64 and IA-32 Architectures Software Developer's Manual, volume 1, chapter 18.
 *
 * With AMX_EMULATED the five tile operations are C, so that everything else is tested on any
 * processor (TURTLE_ISA=amx-emulated). Not yet run on a processor with AMX. */
#include <string.h>

#include "kernels/cpu/cpu.h"

enum { TILE = 16, TILE_BYTES = 64 }; /* rows of a tile; bytes of a row, 16 float32 or 32 bfloat16 */

/* The memory that LDTILECFG reads: rows and bytes per row of each of the eight tiles. */
typedef struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} TileConfig;
_Static_assert(sizeof(TileConfig) == 64, "as the manual has it");

#ifdef AMX_EMULATED
#define bf16_product_amx bf16_product_amx_emulated
static _Thread_local TileConfig config;
static _Thread_local uint8_t tiles[8][TILE][TILE_BYTES];

static void tile_config(const TileConfig *c) {
    config = *c;
    memset(tiles, 0, sizeof tiles);
}
static void tile_release(void) {
    config = (TileConfig){0};
}
static void tile_zero(int t) {
    memset(tiles[t], 0, sizeof tiles[t]);
}
static void tile_load(int t, const void *from, int64_t stride) {
    tile_zero(t);
    for (int r = 0; r < config.rows[t]; r++)
        memcpy(tiles[t][r], (const uint8_t *)from + r * stride, config.row_bytes[t]);
}
static void tile_store(int t, void *to, int64_t stride) {
    for (int r = 0; r < config.rows[t]; r++)
        memcpy((uint8_t *)to + r * stride, tiles[t][r], config.row_bytes[t]);
}
static void tile_dot(int out, int a, int b) {
    for (int r = 0; r < config.rows[out]; r++)
        for (int k = 0; k < config.row_bytes[a] / 4; k++)
            for (int c = 0; c < config.row_bytes[out] / 4; c++) {
                float sum;
                uint16_t x[2], y[2];
                memcpy(&sum, &tiles[out][r][4 * c], sizeof sum);
                memcpy(x, &tiles[a][r][4 * k], sizeof x);
                memcpy(y, &tiles[b][k][4 * c], sizeof y);
                sum += f32_from_bf16(x[0]) * f32_from_bf16(y[0]);
                sum += f32_from_bf16(x[1]) * f32_from_bf16(y[1]);
                memcpy(&tiles[out][r][4 * c], &sum, sizeof sum);
            }
}
#else
#include <immintrin.h>
#define tile_config _tile_loadconfig
#define tile_release _tile_release
#define tile_zero _tile_zero
#define tile_load _tile_loadd
#define tile_store _tile_stored
#define tile_dot _tile_dpbf16ps
#endif

/* Returns the configuration of two by two tiles with `upper` and `lower` rows. Where lower is 0, the second
 * row of tiles is unused (a tile of no rows may not be named). */
static TileConfig two_by_two(int upper, int lower) {
    TileConfig c = {.palette = 1};
    for (int t = 0; t < 8; t++) {
        c.row_bytes[t] = TILE_BYTES;
        c.rows[t] = TILE;
    }
    c.rows[0] = c.rows[1] = c.rows[4] = (uint8_t)upper;
    c.rows[2] = c.rows[3] = c.rows[5] = (uint8_t)(lower ? lower : 1);
    return c;
}

/* out (32 columns, rows out_row apart) = or += the rows of A that `two_by_two` configured. */
static void block(float *out, int64_t out_row, bool accumulate, const uint16_t *a, int64_t a_row,
                  const uint16_t *b, bool lower, int64_t depth) {
    const int64_t out_bytes = out_row * (int64_t)sizeof *out, a_bytes = a_row * (int64_t)sizeof *a;
    const int64_t b_bytes = 2 * BF16_COLS * (int64_t)sizeof *b;
    if (accumulate) {
        tile_load(0, out, out_bytes);
        tile_load(1, out + TILE, out_bytes);
        if (lower) {
            tile_load(2, out + TILE * out_row, out_bytes);
            tile_load(3, out + TILE * out_row + TILE, out_bytes);
        }
    } else {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    }
    for (int64_t k = 0; k < depth; k += BF16_RUN, a += BF16_RUN, b += BF16_RUN * BF16_COLS) {
        tile_load(4, a, a_bytes);
        tile_load(6, b, b_bytes);
        tile_load(7, b + 2 * TILE, b_bytes);
        tile_dot(0, 4, 6);
        tile_dot(1, 4, 7);
        if (!lower) continue;
        tile_load(5, a + TILE * a_row, a_bytes);
        tile_dot(2, 5, 6);
        tile_dot(3, 5, 7);
    }
    tile_store(0, out, out_bytes);
    tile_store(1, out + TILE, out_bytes);
    if (!lower) return;
    tile_store(2, out + TILE * out_row, out_bytes);
    tile_store(3, out + TILE * out_row + TILE, out_bytes);
}

void bf16_product_amx(float *out, int64_t out_row, bool accumulate, const uint16_t *a,
                      int64_t a_row, const uint16_t *b, int64_t rows, int64_t cols, int64_t depth) {
    enum { SIDE = 2 * TILE };
    TileConfig config_now = two_by_two(TILE, TILE);
    tile_config(&config_now);
    for (int64_t i = 0; i < rows; i += SIDE) {
        const int64_t n = least(rows - i, SIDE);
        if (n < SIDE) {
            config_now = two_by_two(n < TILE ? (int)n : TILE, n > TILE ? (int)n - TILE : 0);
            tile_config(&config_now);
        }
        for (int64_t j = 0; j < cols; j += SIDE) {
            const int64_t width = least(cols - j, SIDE);
            const uint16_t *a_at = a + i * a_row, *b_at = b + 2 * j;
            float *to = out + i * out_row + j, edge[SIDE * SIDE];
            if (width == SIDE) {
                block(to, out_row, accumulate, a_at, a_row, b_at, n > TILE, depth);
                continue;
            }
            block(edge, SIDE, false, a_at, a_row, b_at, n > TILE, depth);
            for (int64_t r = 0; r < n; r++)
                for (int64_t c = 0; c < width; c++)
                    to[r * out_row + c] =
                        accumulate ? to[r * out_row + c] + edge[r * SIDE + c] : edge[r * SIDE + c];
        }
    }
    tile_release();
}
