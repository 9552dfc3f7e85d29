/*
 * winograd.c - 3 x 3 convolutions of stride 1 with 4 multiplications for 9: F(2 x 2, 3 x 3) (Winograd
 * 1980; Lavin & Gray 2016, arxiv.org/abs/1509.09308)
 *
 *     out tile = A^T [ sum over channels of (G w G^T) * (B^T d B) ] A       * element by element
 *
 *          | 1  0  0 |         | 1  0 -1  0 |
 *      G = | ½  ½  ½ |   B^T = | 0  1  1  0 |   A^T = | 1  1  1  0 |
 *          | ½ -½  ½ |         | 0 -1  1  0 |         | 0  1 -1 -1 |
 *          | 0  0  1 |         | 0  1  0 -1 |
 *
 * Shapes   a tile is 2 x 2 pixels of the output, made from d, 4 x 4 pixels of the input; its 16
 *          places are 16 products (tiles,channels) (channels,outputs).
 * Cost     8 B H W in out flops, for 18 of the plain sum; 4 transformed numbers for a pixel's one.
 * Mapping  for each COL_BLOCK output channels:
 *              transform the weight: [strip][place][in][TILE_COLS]     strips over threads
 *              for each TILES tiles:                                   blocks over threads
 *                  transform the input: [place][TILES][in]
 *                  for each strip: 16 products by the micro-kernel; transform back; bias, activation
 *          Tiles never span images: a feature depends on its own image alone, in any batch.
 * Numerics B and A only add; halves are exact. The sums are not those of the plain convolution: CLIP
 *          RN50's features move by 3e-7 of their size.
 * Needs    scratch: winograd_scratch; for 512 channels 8 MiB, and 1.7 MiB for each thread.
 * History  CLIP RN50, batch 16, one core of an AMD EPYC (Zen 4), seconds of the core:
 *          v1: unfolded windows (linear.c), 1.89 s. v2: 1.39 s (predicted 1.5).
 */
#include <string.h>

#include "kernels/cpu/encode/winograd_tile.h"

bool winograd_serves(const Weight *w, const Window *window) {
    return (w->precision == PRECISION_FP32 || (w->packed && winograd_16_bytes(w))) &&
           window->kernel == 3 && window->stride == 1 && window->pad == 1 && !window->out_image &&
           w->in % PACK_IN == 0 && w->out % PACK_IN == 0;
}

/* Returns the floats between tiles of the transformed input: no power of two, so that tiles keep out of each
 * other's cache sets. */
static int64_t tile_row(int64_t in) {
    return in + 16;
}

static int64_t thread_floats(int64_t in) {
    return PLACES * TILES * (tile_row(in) + TILE_COLS);
}

int64_t winograd_scratch(int64_t depth, int threads) {
    const int64_t in = ceil_div(depth, 9);
    return (PLACES * in * COL_BLOCK + threads * thread_floats(in)) * (int64_t)sizeof(float);
}

typedef struct {
    float *out, *transformed, *own; /* own: thread_floats of every thread */
    const float *in;
    const Weight *w;
    const Epilogue *e;
    Deal deal; /* of tiles: a row of its products is a tile */
    int64_t height, width;
    int64_t j0, cols; /* output channels j0 .. j0+cols */
} Winograd;

/* --- the weight ------------------------------------------------------------------------------- */

/* Passes are strips of TILE_COLS output channels, with zeros beyond the last one. */
static void transform_strips(const void *loop, int64_t first, int64_t end, int thread) {
    const Winograd *p = loop;
    const int64_t in = p->w->in;
    const float *scale = p->e->scale;
    float g[9][PACK_IN];
    float u[PLACES][TILE_COLS][PACK_IN + 4]; /* not a power of two: columns are read below */
    (void)thread;
    memset(u, 0, sizeof u);
    for (int64_t strip = first; strip < end; strip++)
        for (int64_t i = 0; i < in; i += PACK_IN) {
            const int64_t o = p->j0 + strip * TILE_COLS, n = least(p->w->out - o, TILE_COLS);
            for (int64_t c = 0; c < n; c++) {
                read_kernels(g, p->w, o + c, i, scale ? scale[o + c] : 1.0f);
                transform_kernels(u[0][c], (int64_t)TILE_COLS * (PACK_IN + 4), g);
            }
            for (int64_t c = n; c < TILE_COLS; c++)
                for (int place = 0; place < PLACES; place++)
                    memset(u[place][c], 0, sizeof u[place][c]);
            for (int place = 0; place < PLACES; place++) {
                float *to = p->transformed + ((strip * PLACES + place) * in + i) * TILE_COLS;
                for (int64_t k = 0; k < PACK_IN; k++, to += TILE_COLS)
                    for (int64_t c = 0; c < TILE_COLS; c++) to[c] = u[place][c][k];
            }
        }
}

/* --- tiles ------------------------------------------------------------------------------------ */

/* v (16 places) = B^T d B of one tile for all channels; places lie `step` floats apart. `pixels` are the tile's
 * 16; NULL: a pixel beyond the image, which is 0. */
static void transform_tile(float *v, int64_t step, const float *const pixels[PLACES],
                           int64_t channels) {
    for (int64_t c = 0; c < channels; c += VEC_FLOATS) {
        Vec d[PLACES];
        for (int j = 0; j < PLACES; j++) d[j] = pixels[j] ? load(pixels[j] + c) : (Vec){0};
        transform_pixels(d);
        for (int j = 0; j < PLACES; j++) store(v + j * step + c, d[j]);
    }
}

static void transform_input(float *v, const Winograd *p, int64_t first, int64_t n) {
    const int64_t in = p->w->in, row = tile_row(in);
    for (int64_t i = 0; i < n; i++, v += row) {
        const Place at = place_of(p->height, p->width, first + i);
        const float *pixels[PLACES];
        for (int64_t j = 0; j < PLACES; j++) {
            const int64_t y = at.y - 1 + j / 4, x = at.x - 1 + j % 4;
            const bool inside = y >= 0 && y < p->height && x >= 0 && x < p->width;
            pixels[j] = inside ? p->in + ((at.image * p->height + y) * p->width + x) * in : NULL;
        }
        transform_tile(v, TILES * row, pixels, in);
    }
}

/* Writes A^T m A of one tile, channels first .. first+n of its 2 x 2 pixels, or those that the image has. */
static void transform_back(const Winograd *p, int64_t t, const float *m, int64_t first, int64_t n) {
    const Place at = place_of(p->height, p->width, t);
    const int64_t out = p->w->out, step = TILES * TILE_COLS;
    float *to = p->out + ((at.image * p->height + at.y) * p->width + at.x) * out + first;
    const bool right = at.x + 1 < p->width, below = at.y + 1 < p->height;
    for (int64_t c = 0; c < n; c += VEC_FLOATS) {
        Vec pixel[2][2];
        transform_sums(pixel, m + c, step);
        for (int y = 0; y < (below ? 2 : 1); y++) {
            float *line = to + y * p->width * out + c;
            Vec left = pixel[y][0], other = pixel[y][1];
            if (p->e->add) left += load(line);
            store(line, left);
            if (!right) continue;
            if (p->e->add) other += load(line + out);
            store(line + out, other);
        }
    }
    for (int y = 0; y < (below ? 2 : 1); y++)
        for (int x = 0; x < (right ? 2 : 1); x++)
            product_finish(to + (y * p->width + x) * out, p->e, NULL, first, n);
}

/* Computes strip j of the products of n transformed tiles, place by place, into m (places,TILES,TILE_COLS). */
static void multiply_strip(float *m, const float *v, const Winograd *p, int64_t j, int64_t n) {
    const int64_t in = p->w->in, row = tile_row(in);
    for (int64_t place = 0; place < PLACES; place++) {
        const float *b = p->transformed + (j * PLACES + place * TILE_COLS) * in;
        for (int64_t k = 0; k < in; k += DEPTH_BLOCK)
            for (int64_t i = 0; i < n; i += TILE_ROWS)
                gemm_tile(least(n - i, TILE_ROWS), TILE_COLS, least(in - k, DEPTH_BLOCK),
                          (Operand){v + (place * TILES + i) * row + k, row, 1},
                          strip_of(b + k * TILE_COLS), m + (place * TILES + i) * TILE_COLS,
                          TILE_COLS, k > 0, nothing_ahead(b));
    }
}

/* Passes are blocks of up to TILES tiles. */
static void run_blocks(const void *loop, int64_t begin, int64_t end, int thread) {
    const Winograd *p = loop;
    float *v = p->own + thread * thread_floats(p->w->in),
          *m = v + PLACES * TILES * tile_row(p->w->in);
    for (int64_t block = begin; block < end; block++) {
        const Piece piece = deal_piece(&p->deal, block, 1, 1);
        const int64_t t = piece.i, n = piece.n;
        transform_input(v, p, t, n);
        for (int64_t j = 0; j < p->cols; j += TILE_COLS) {
            multiply_strip(m, v, p, j, n);
            for (int64_t i = 0; i < n; i++)
                transform_back(p, t + i, m + i * TILE_COLS, p->j0 + j,
                               least(p->cols - j, TILE_COLS));
        }
    }
}

void winograd(float *out, const float *in, const Weight *w, const Window *window, const Epilogue *e,
              int64_t B, void *scratch, Threads *pool) {
    const int64_t tiles = B * tiles_of(window->height) * tiles_of(window->width);
    Winograd p = {.out = out,
                  .transformed = scratch,
                  .own = (float *)scratch + PLACES * w->in * COL_BLOCK,
                  .in = in,
                  .w = w,
                  .e = e,
                  .height = window->height,
                  .width = window->width,
                  .deal = deal_rows(tiles, TILES / TILE_ROWS, threads_count(pool))};
    p.deal.strips = 1; /* all channels of a block share its transformed tiles */
    for (; p.j0 < w->out; p.j0 += COL_BLOCK) {
        p.cols = least(w->out - p.j0, COL_BLOCK);
        threads_loop(pool, ceil_div(p.cols, TILE_COLS), 1, transform_strips, &p);
        threads_loop(pool, p.deal.blocks, 1, run_blocks, &p);
    }
}
