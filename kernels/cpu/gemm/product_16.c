/*
 * product_16.c - out = times act(add out + scale (A W^T) + bias), A and W rounded to bfloat16
 *
 * Shapes   A (rows,depth) comes row by row (Left: rows of a matrix, or windows of images) in float32 or
 *          bfloat16; out, residual and gate are of either type, too.
 *          W was packed when it was loaded: [cols/64][depth/2][64][2], depth a multiple of 32.
 * Cost     2 rows cols depth flops; 2 bytes a weight, once for each block of rows.
 * Mapping  for each block of rows:                                     blocks over threads
 *              round A, all of its depth, into a panel that stays in the second-level cache
 *              for each strip of 64 output channels: sums (rows,64), by the device's product of
 *                  pairs; then scale, bias, residual, activation and gate, from the first level
 *          The scale is that of the sums: weights of 16 bits in their file stay exact.
 * Needs    scratch: product_16_scratch(threads, depth).
 * History  One core of an AMD EPYC (Zen 4) with AVX512-BF16, CPU time, 234 GFLOP/s at most.
 *          v1, sums finished row by row: 172 GFLOP/s for 4112 rows, depth 384, 1536 channels; 192 for
 *          800 rows, depth 768, 3072 channels (predicted 200 for both: the finish was thought free).
 *          v2, strips in loops of known length: 192 and 202. Packing takes 0.75 ns a weight.
 *          v3, sums without a function or with ReLU in one pass: CLIP RN50 0.83 -> 0.79 s (predicted 0.78).
 *          Tried and dropped: runs of 64, 128, 192, 384 pairs instead of 96 in pair_tile.h: 183, 195,
 *          198, 195 instead of 192, for training's bits depend on them.
 *          Dropped: rows of bfloat16 read where they lie, not from a panel: DINOv2 ViT-S/14 1.03 -> 1.03 s, ViT-B/32
 *          0.68 -> 0.69 (predicted 3 % less, the share of copies): strided reads cost as much.
 */
#include "kernels/cpu/gemm/product_16.h"

#include <string.h>

#include "io/dtype.h"
#include "kernels/cpu/gemm/transpose.h"

enum {
    ROWS = 96,       /* rows of a block, at most: a multiple of all TILE_ROWS and of AMX's 32 */
    LEAST_ROWS = 12, /* rows of a block where depth is large */
    PANEL_BYTES = 384 << 10, /* of a panel, at most, where LEAST_ROWS have no more */
    RUN = 2 * STRIP_PAIRS,   /* weights of one output channel that are rounded at a time */
    GAP = 32 /* elements between the rows of a panel, which keep out of each other's cache sets */
};
_Static_assert(ROWS % TILE_ROWS == 0 && LEAST_ROWS % TILE_ROWS == 0, "blocks are whole tiles");
_Static_assert(BF16_RUN / 2 % SQUARE == 0 && BF16_COLS % SQUARE == 0, "packed squares are whole");

static int64_t padded_depth(const Weight *w) {
    return round_up(w->in * w->taps, BF16_RUN);
}

/* Returns the tiles of a block of rows. */
static int64_t block_tiles(int64_t depth) {
    const int64_t rows = PANEL_BYTES / (2 * (depth + GAP));
    return most(least(rows, ROWS), LEAST_ROWS) / TILE_ROWS;
}

/* --- the weight ------------------------------------------------------------------------------- */

int64_t product_16_bytes(const Weight *w) {
    return round_up(w->out, BF16_COLS) * padded_depth(w) * (int64_t)sizeof(uint16_t);
}

/* Reads n weights of one output channel from place k of the depth on: depth runs over taps, then inputs. */
static void read_weights(float *to, const Weight *w, int64_t channel, int64_t k, int64_t n) {
    const int64_t bytes = dtype_bytes(w->type);
    for (int64_t part; n > 0; to += part, k += part, n -= part) {
        const int64_t tap = k / w->in, i = k % w->in;
        const uint8_t *from = (const uint8_t *)w->data +
                              (channel * w->out_step + tap * w->tap_step + i * w->in_step) * bytes;
        part = least(n, w->in - i);
        if (w->in_step == 1) {
            dtype_to_f32(to, from, w->type, false, part);
        } else {
            for (int64_t j = 0; j < part; j++, from += w->in_step * bytes)
                dtype_to_f32(to + j, from, w->type, false, 1);
        }
    }
}

/* Rounds n weights of one output channel from place k of the depth on. Those of float32 that lie side by side take one
 * pass. */
static void round_weights(uint16_t *to, const Weight *w, int64_t channel, int64_t k, int64_t n) {
    float run[RUN] = {0};
    if (w->type == DTYPE_F32 && w->in_step == 1 && w->taps == 1) {
        const uint8_t *from = (const uint8_t *)w->data + 4 * (channel * w->out_step + k);
        for (int64_t i = 0; i < n; i++) {
            float x;
            memcpy(&x, from + 4 * i, sizeof x);
            to[i] = bf16_from_f32(x);
        }
        return;
    }
    read_weights(run, w, channel, k, n);
    for (int64_t i = 0; i < n; i++) to[i] = bf16_from_f32(run[i]);
}

void pairs_to_strip(uint32_t *to, const Pairs *from, int64_t n) {
    for (int64_t k = 0; k < n; k += SQUARE)
        for (int c = 0; c < BF16_COLS; c += SQUARE)
            transpose_square(to + k * BF16_COLS + c, BF16_COLS, from[c] + k,
                             sizeof from[c] / sizeof from[c][0]);
}

typedef struct {
    const Weight *w;
    uint16_t *packed;
    int64_t first; /* output channel with which `packed` begins */
} Packing;

/* Passes are strips of BF16_COLS output channels. */
static void pack_strips(const void *loop, int64_t first, int64_t end, int thread) {
    const Packing *p = loop;
    const int64_t true_depth = p->w->in * p->w->taps, depth = padded_depth(p->w);
    (void)thread;
    for (int64_t strip = first; strip < end; strip++) {
        const int64_t channel = p->first + strip * BF16_COLS;
        uint32_t *to = (uint32_t *)(void *)(p->packed + strip * BF16_COLS * depth);
        for (int64_t k = 0; k < depth; k += RUN, to += RUN / 2 * BF16_COLS) {
            const int64_t n = least(true_depth - k, RUN),
                          cols = least(p->w->out - channel, BF16_COLS);
            Pairs pairs[BF16_COLS];
            for (int64_t c = 0; c < BF16_COLS; c++) {
                uint16_t half[RUN];
                const int64_t there = c < cols ? n : 0;
                round_weights(half, p->w, channel + c, k, there);
                for (int64_t i = there; i < RUN; i++) half[i] = 0;
                memcpy(pairs[c], half, sizeof half);
            }
            pairs_to_strip(to, (const Pairs *)pairs, least(depth - k, RUN) / 2);
        }
    }
}

void product_16_pack(uint16_t *packed, const Weight *w, Threads *pool) {
    const Packing p = {w, packed, 0};
    threads_loop(pool, ceil_div(w->out, BF16_COLS), rows_run(BF16_COLS * padded_depth(w)),
                 pack_strips, &p);
}

/* --- the product ------------------------------------------------------------------------------ */

/* Output channels j0 .. j0+cols. */
typedef struct {
    const Output *out;
    const Left *left;
    const Weight *w;
    const Epilogue *e;
    Bf16Product *multiply;
    const uint16_t *packed; /* of channel j0 on */
    uint16_t *panels;       /* (threads) */
    Deal deal;
    int64_t j0, cols, depth, panel;
} Block;

/* Rounds rows i .. i+n of the left operand into the panel. */
static void fill_panel(uint16_t *panel, const Block *b, int64_t i, int64_t n) {
    const int64_t depth = b->w->in * b->w->taps;
    float line[PANEL_ROW];
    if (b->left->data_16) b->left->fill_16(b->left, panel, b->depth + GAP, i, n, depth);
    for (int64_t r = 0; r < n; r++, panel += b->depth + GAP) {
        for (int64_t k = 0; !b->left->data_16 && k < depth; k += DEPTH_BLOCK) {
            const int64_t deep = least(depth - k, DEPTH_BLOCK);
            b->left->fill(b->left, line, i + r, 1, k, deep);
            for (int64_t j = 0; j < deep; j++) panel[k + j] = bf16_from_f32(line[j]);
        }
        for (int64_t k = depth; k < b->depth; k++) panel[k] = 0;
    }
}

/* Copies the scale and the bias of a strip's channels, with 1 and 0 where there are none. */
static void strip_vectors(float scale[BF16_COLS], float bias[BF16_COLS], const Epilogue *e,
                          int64_t j, int64_t cols) {
    for (int64_t c = 0; c < BF16_COLS; c++) {
        scale[c] = c < cols && e->scale ? e->scale[j + c] : 1.0f;
        bias[c] = c < cols && e->bias ? e->bias[j + c] : 0.0f;
    }
}

/* Adds n numbers of bfloat16, if `narrow`, or of float32 to sums. */
static void add_row(float *sum, const void *x, bool narrow, int64_t n) {
    const uint16_t *half = x;
    const float *full = x;
    if (narrow)
        for (int64_t c = 0; c < n; c++) sum[c] += f32_from_bf16(half[c]);
    else
        for (int64_t c = 0; c < n; c++) sum[c] += full[c];
}

/* Multiplies sums by the first n numbers of a row of gates. */
static void gate_row(float *sum, const Matrix *times, int64_t first, int64_t n) {
    if (times->type == PRECISION_BF16) {
        const uint16_t *gate = (const uint16_t *)times->data + first;
        for (int64_t c = 0; c < n; c++) sum[c] *= f32_from_bf16(gate[c]);
    } else {
        const float *gate = (const float *)times->data + first;
        for (int64_t c = 0; c < n; c++) sum[c] *= gate[c];
    }
}

/* Stores n sums in one of the two types. Whole strips have loops whose length is known. */
static void store_row_of(void *to, bool narrow, const float *sum, int64_t n) {
    uint16_t *half = to;
    if (narrow && n == BF16_COLS)
        for (int64_t c = 0; c < BF16_COLS; c++) half[c] = bf16_from_f32(sum[c]);
    else if (narrow)
        for (int64_t c = 0; c < n; c++) half[c] = bf16_from_f32(sum[c]);
    else if (n == BF16_COLS) memcpy(to, sum, BF16_COLS * sizeof *sum);
    else memcpy(to, sum, (size_t)n * sizeof *sum);
}

/* out = act(add out + scale sum + bias) of a whole strip of one row, in one pass. The row is of bfloat16 if `narrow`,
 * else of float32. Every call has constants for what follows `bias`. */
static inline __attribute__((always_inline)) void
finish_row(void *to, const float *restrict sum, const float *restrict scale,
           const float *restrict bias, const bool narrow, const bool add, const bool relu) {
    uint16_t *restrict half = to;
    float *restrict full = to;
    for (int64_t c = 0; c < BF16_COLS; c++) {
        float x = sum[c] * scale[c] + bias[c];
        if (add) x += narrow ? f32_from_bf16(half[c]) : full[c];
        if (relu) x = x > 0.0f ? x : 0.0f;
        if (narrow) half[c] = bf16_from_f32(x);
        else full[c] = x;
    }
}

static void finish_row_of(void *to, bool narrow, const float *sum, const float *scale,
                          const float *bias, bool add, bool relu) {
    switch (4 * narrow + 2 * add + relu) {
    case 0: finish_row(to, sum, scale, bias, false, false, false); break;
    case 1: finish_row(to, sum, scale, bias, false, false, true); break;
    case 2: finish_row(to, sum, scale, bias, false, true, false); break;
    case 3: finish_row(to, sum, scale, bias, false, true, true); break;
    case 4: finish_row(to, sum, scale, bias, true, false, false); break;
    case 5: finish_row(to, sum, scale, bias, true, false, true); break;
    case 6: finish_row(to, sum, scale, bias, true, true, false); break;
    case 7: finish_row(to, sum, scale, bias, true, true, true); break;
    default: break;
    }
}

/* Returns element j of output row i, in the type of the output. */
static void *place_of(const Output *o, int64_t i, int64_t j) {
    const int64_t at = i / o->image_rows * o->out_image + i % o->image_rows * o->out_row + j;
    return o->out_16 ? (void *)(o->out_16 + at) : (void *)(o->out + at);
}

/* All BF16_COLS are computed, in loops whose lengths are known. */
void product_16_finish(const Output *o, const Epilogue *e, float *sum, int64_t i, int64_t rows,
                       int64_t j, int64_t cols) {
    const bool relu = e->activation == ACT_RELU, narrow = o->out_16;
    float scale[BF16_COLS], bias[BF16_COLS];
    strip_vectors(scale, bias, e, j, cols);
    if (cols == BF16_COLS && !e->times.data && (relu || e->activation == ACT_NONE)) {
        for (int64_t r = 0; r < rows; r++, sum += BF16_COLS)
            finish_row_of(place_of(o, i + r, j), narrow, sum, scale, bias, e->add, relu);
        return;
    }
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < BF16_COLS; c++)
            sum[r * BF16_COLS + c] = sum[r * BF16_COLS + c] * scale[c] + bias[c];
    for (int64_t r = 0; e->add && r < rows; r++)
        add_row(sum + r * BF16_COLS, place_of(o, i + r, j), narrow, cols);
    product_finish(sum, &(Epilogue){.activation = e->activation}, NULL, 0, rows * BF16_COLS);
    for (int64_t r = 0; r < rows; r++, sum += BF16_COLS) {
        if (e->times.data) gate_row(sum, &e->times, (i + r) * e->times.row + j, cols);
        store_row_of(place_of(o, i + r, j), narrow, sum, cols);
    }
}

static void run_pieces(const void *loop, int64_t first, int64_t last, int thread) {
    const Block *b = loop;
    uint16_t *panel = b->panels + thread * b->panel;
    for (int64_t number = first; number < last; number++) {
        const Piece p = deal_piece(&b->deal, number, b->cols, BF16_COLS);
        if (p.n <= 0 || p.cols <= 0) continue;
        fill_panel(panel, b, p.i, p.n);
        for (int64_t j = p.j; j < p.j + p.cols; j += BF16_COLS) {
            float sum[ROWS * BF16_COLS];
            b->multiply(sum, BF16_COLS, false, panel, b->depth + GAP, b->packed + j * b->depth, p.n,
                        BF16_COLS, b->depth);
            product_16_finish(b->out, b->e, sum, p.i, p.n, b->j0 + j,
                              least(p.j + p.cols - j, BF16_COLS));
        }
    }
}

int64_t product_16_scratch(int threads, int64_t depth) {
    const int64_t deep = round_up(depth, BF16_RUN), row = deep + GAP;
    /* serves every smaller depth, whose blocks may have more rows */
    const int64_t panel = least(ROWS * row, most(PANEL_BYTES / 2, LEAST_ROWS * row));
    return (COL_BLOCK * deep + threads * panel) * (int64_t)sizeof(uint16_t);
}

void product_16(Output out, const Left *left, const Weight *w, const Epilogue *e, void *scratch,
                const Device *device) {
    const int64_t depth = padded_depth(w), high = block_tiles(depth);
    uint16_t *unpacked = scratch; /* room for COL_BLOCK channels of a weight that was not packed */
    Block b = {.out = &out,
               .left = left,
               .w = w,
               .e = e,
               .multiply = device->multiply_bf16,
               .packed = w->packed,
               .panels = unpacked + COL_BLOCK * depth,
               .cols = w->packed ? w->out : COL_BLOCK,
               .depth = depth,
               .deal = deal_rows(out.rows, high, device->threads),
               .panel = high * TILE_ROWS * (depth + GAP)};
    for (const int64_t step = b.cols; b.j0 < w->out; b.j0 += step) {
        b.cols = least(w->out - b.j0, step);
        if (!w->packed) {
            const Packing p = {w, unpacked, b.j0};
            threads_loop(device->pool, ceil_div(b.cols, BF16_COLS), rows_run(BF16_COLS * depth),
                         pack_strips, &p);
            b.packed = unpacked;
        }
        threads_loop(device->pool, b.deal.blocks * b.deal.strips, 1, run_pieces, &b);
    }
}
