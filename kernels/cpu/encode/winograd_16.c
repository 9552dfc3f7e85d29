/*
 * winograd_16.c - winograd.c's convolutions with products of bfloat16
 *
 * Shapes   as in winograd.c; pixels of the input and the output are float32 or bfloat16.
 * Cost     8 B H W in out flops, for 18 of the plain sum, at the rate of pairs.
 * Mapping  the weight is transformed and rounded when it is loaded: [out/64][place][in/2][64][2].
 *          for each TILES tiles:                                   blocks over threads
 *              transform the input in float32, rounded: [place][TILES][in]
 *              for each strip: 16 products of pairs; transform back; scale, bias, residual, activation
 * Numerics Both operands of the 16 products are rounded, by 2^-8 of themselves at most. Outputs are sums of nine
 *          products, whose variance is 25/9 of the convolution's: they err 5/3 as much as without transformations.
 *          CLIP RN50's features err by 3.7e-3 of float32's either way.
 * Needs    scratch: winograd_16_scratch; 1 MiB for each thread at 512 channels.
 * History  CLIP RN50 in bf16, batch 16, one core of an AMD EPYC (Zen 4), CPU seconds: unfolded windows
 *          (linear.c) 1.00; v1 0.83 (predicted 0.79: finishing sums was thought to cost half). Sums finished
 *          in one pass (product_16.c): 0.79.
 */
#include "kernels/cpu/encode/winograd_tile.h"

enum { GAP = 32 }; /* elements between tiles, which keep out of each other's cache sets */
_Static_assert(PACK_IN % BF16_RUN == 0, "channels are whole runs of pairs");

typedef uint32_t Words __attribute__((vector_size(4 * VEC_FLOATS)));
typedef uint16_t Halves __attribute__((vector_size(2 * VEC_FLOATS)));

/* Returns the numbers of bfloat16 at `from`. */
static inline Vec widened(const uint16_t *from) {
    Halves h;
    memcpy(&h, from, sizeof h);
    return (Vec)(__builtin_convertvector(h, Words) << 16);
}

/* Rounds as bf16_from_f32 does. */
static inline void store_rounded(uint16_t *to, Vec x) {
    const Words bits = (Words)x, nan = (Words)(x != x), rounded = bits + 0x7fff + (bits >> 16 & 1),
                kept = (nan & (bits | 0x400000)) | (~nan & rounded);
    const Halves h = __builtin_convertvector(kept >> 16, Halves);
    memcpy(to, &h, sizeof h);
}

static int64_t tile_row(int64_t in) {
    return in + GAP;
}

static int64_t thread_bytes(int64_t in) {
    return PLACES * TILES *
           (tile_row(in) * (int64_t)sizeof(uint16_t) + BF16_COLS * (int64_t)sizeof(float));
}

int64_t winograd_16_scratch(int64_t depth, int threads) {
    return threads * thread_bytes(ceil_div(depth, 9));
}

/* --- the weight ------------------------------------------------------------------------------- */

int64_t winograd_16_bytes(const Weight *w) {
    const bool serves = w->precision == PRECISION_BF16 && w->taps == 9 && w->in % PACK_IN == 0 &&
                        w->out % PACK_IN == 0;
    return serves ? PLACES * w->in * round_up(w->out, BF16_COLS) * (int64_t)sizeof(uint16_t) : 0;
}

typedef struct {
    uint16_t *packed;
    const Weight *w;
} Packing;

/* Passes are strips of BF16_COLS output channels, with zeros beyond the last one. */
static void pack_strips(const void *loop, int64_t first, int64_t end, int thread) {
    const Packing *p = loop;
    const int64_t in = p->w->in;
    float g[9][PACK_IN], u[PLACES][BF16_COLS][PACK_IN + 4];
    (void)thread;
    memset(u, 0, sizeof u);
    for (int64_t strip = first; strip < end; strip++)
        for (int64_t i = 0; i < in; i += PACK_IN) {
            const int64_t o = strip * BF16_COLS, n = least(p->w->out - o, BF16_COLS);
            for (int64_t c = 0; c < n; c++) {
                read_kernels(g, p->w, o + c, i, 1.0f);
                transform_kernels(u[0][c], (int64_t)BF16_COLS * (PACK_IN + 4), g);
            }
            for (int place = 0; place < PLACES; place++) {
                uint16_t *to = p->packed + ((strip * PLACES + place) * in + i) * BF16_COLS;
                Pairs pairs[BF16_COLS];
                for (int64_t c = 0; c < BF16_COLS; c++) {
                    uint16_t row[PACK_IN];
                    for (int k = 0; k < PACK_IN; k++)
                        row[k] = c < n ? bf16_from_f32(u[place][c][k]) : 0;
                    memcpy(pairs[c], row, sizeof row);
                }
                pairs_to_strip((uint32_t *)(void *)to, (const Pairs *)pairs, PACK_IN / 2);
            }
        }
}

void winograd_16_pack(uint16_t *packed, const Weight *w, Threads *pool) {
    const Packing p = {packed, w};
    threads_loop(pool, ceil_div(w->out, BF16_COLS), 1, pack_strips, &p);
}

/* --- the convolution -------------------------------------------------------------------------- */

typedef struct {
    const Output *out;
    Matrix in;
    const Weight *w;
    const Epilogue *e;
    Bf16Product *multiply;
    uint8_t *own; /* thread_bytes of every thread */
    Deal deal;    /* of tiles: a row of its products is a tile */
    int64_t height, width;
} Winograd;

/* v (16 places) = B^T d B of one tile, rounded; places lie `step` elements apart. `pixels` are the tile's 16; NULL: a
 * pixel beyond the image. */
static void transform_tile(uint16_t *v, int64_t step, const void *const pixels[PLACES], bool narrow,
                           int64_t channels) {
    for (int64_t c = 0; c < channels; c += VEC_FLOATS) {
        Vec d[PLACES];
        if (narrow)
            for (int j = 0; j < PLACES; j++)
                d[j] = pixels[j] ? widened((const uint16_t *)pixels[j] + c) : (Vec){0};
        else
            for (int j = 0; j < PLACES; j++)
                d[j] = pixels[j] ? load((const float *)pixels[j] + c) : (Vec){0};
        transform_pixels(d);
        for (int j = 0; j < PLACES; j++) store_rounded(v + j * step + c, d[j]);
    }
}

static void transform_input(uint16_t *v, const Winograd *p, int64_t first, int64_t n) {
    const int64_t in = p->w->in, row = tile_row(in), bytes = precision_bytes(p->in.type);
    for (int64_t i = 0; i < n; i++, v += row) {
        const Place at = place_of(p->height, p->width, first + i);
        const void *pixels[PLACES];
        for (int64_t j = 0; j < PLACES; j++) {
            const int64_t y = at.y - 1 + j / 4, x = at.x - 1 + j % 4;
            const bool inside = y >= 0 && y < p->height && x >= 0 && x < p->width;
            pixels[j] = inside ? (const uint8_t *)p->in.data +
                                     ((at.image * p->height + y) * p->width + x) * in * bytes
                               : NULL;
        }
        transform_tile(v, TILES * row, pixels, p->in.type == PRECISION_BF16, in);
    }
}

/* Finishes channels j .. j+cols of one tile's pixels, or those that the image has. */
static void transform_back(const Winograd *p, int64_t t, const float *m, int64_t j, int64_t cols) {
    const Place at = place_of(p->height, p->width, t);
    const int64_t across = least(p->width - at.x, 2), down = least(p->height - at.y, 2);
    float sum[2][2 * BF16_COLS];
    for (int64_t c = 0; c < BF16_COLS; c += VEC_FLOATS) {
        Vec pixel[2][2];
        transform_sums(pixel, m + c, TILES * BF16_COLS);
        for (int y = 0; y < 2; y++)
            for (int x = 0; x < 2; x++) store(sum[y] + x * BF16_COLS + c, pixel[y][x]);
    }
    for (int64_t y = 0; y < down; y++)
        product_16_finish(p->out, p->e, sum[y], (at.image * p->height + at.y + y) * p->width + at.x,
                          across, j, cols);
}

/* Passes are blocks of up to TILES tiles. */
static void run_blocks(const void *loop, int64_t begin, int64_t end, int thread) {
    const Winograd *p = loop;
    const int64_t in = p->w->in, row = tile_row(in);
    float *m = (float *)(void *)(p->own + thread * thread_bytes(in));
    uint16_t *v = (uint16_t *)(void *)(m + PLACES * TILES * BF16_COLS);
    for (int64_t block = begin; block < end; block++) {
        const Piece piece = deal_piece(&p->deal, block, 1, 1);
        const int64_t t = piece.i, n = piece.n;
        transform_input(v, p, t, n);
        for (int64_t j = 0; j < p->w->out; j += BF16_COLS) {
            const uint16_t *b = (const uint16_t *)p->w->packed + j * PLACES * in;
            for (int64_t place = 0; place < PLACES; place++, b += BF16_COLS * in)
                p->multiply(m + place * TILES * BF16_COLS, BF16_COLS, false,
                            v + place * TILES * row, row, b, n, BF16_COLS, in);
            for (int64_t i = 0; i < n; i++)
                transform_back(p, t + i, m + i * BF16_COLS, j, least(p->w->out - j, BF16_COLS));
        }
    }
}

void winograd_16(Output out, Matrix in, const Weight *w, const Window *window, const Epilogue *e,
                 int64_t B, void *scratch, const Device *device) {
    const int64_t tiles = B * tiles_of(window->height) * tiles_of(window->width);
    Winograd p = {.out = &out,
                  .in = in,
                  .w = w,
                  .e = e,
                  .multiply = device->multiply_bf16,
                  .own = scratch,
                  .height = window->height,
                  .width = window->width,
                  .deal = deal_rows(tiles, TILES / TILE_ROWS, device->threads)};
    p.deal.strips = 1; /* all channels of a block share its transformed tiles */
    threads_loop(device->pool, p.deal.blocks, 1, run_blocks, &p);
}
