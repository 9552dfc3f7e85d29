/*
 * product.c - out = times act(add out + scale (A W^T) + bias): matmul, linear layers, convolutions
 *
 * Shapes   A (rows,depth) comes panel by panel (Left: rows of a matrix, or windows of images), W as
 *          it lies in its file (out channels, in channels, taps), in 16 or 32 bits.
 * Cost     2 rows cols depth flops.
 * Mapping  for each COL_BLOCK output channels:
 *              pack W: converted, scaled, in strips of TILE_COLS       strips over threads
 *              for each block of rows:                                 blocks over threads
 *                  for each DEPTH_BLOCK: micro-kernel over strips x rows, of a panel of A that is
 *                                        filled first, or of rows of A where they lie
 *                  bias and activation while the block is in the second-level cache
 *          The scale goes into the packed weight; bias, residual and gate cost no pass of their own.
 * Needs    scratch: product_scratch(cols, depth).
 * History  ViT-B/32, batch 16, one core of an AMD EPYC (Zen 5), AVX-512:
 *          v1: weights packed 16 at a time, one by one: 0.80 s, 15 % of it packing.
 *          v2: 128 at a time, transposed in squares of 4 x 4: 0.70 s (predicted 0.71).
 *          v3: rows are read where they lie, 256 channels are packed at a time, not 512, on an AMD
 *          EPYC (Zen 4): 1.38 -> 1.33 s; DINOv2 ViT-S/14 1.95 -> 1.88 s (seconds of the core).
 *          v4, squares of 16 x 16 with AVX-512, from weights of float32 where they lie, the next ones fetched: on
 *          the EPYC (Zen 4) 1.32 -> 1.28 s (predicted 1.28), for packing takes 3 % instead of 4.5. Runs of 256, 512
 *          and 1024 weights instead of 128: equal.
 *          Tried and dropped: DEPTH_BLOCK 128, 192, 384: 0.73, 0.70, 0.73 s, and 1.07, 1.04, 1.02
 *          instead of 1.02 s for RN50.
 */
#include "kernels/cpu/gemm/product.h"

#include "kernels/cpu/gemm/transpose.h"
#include "kernels/cpu/gemm/vec_math.h"

enum {
    ROW_BLOCK = 96, /* a multiple of every TILE_ROWS; its panel is 102 KiB */
    PACK_RUN = 128, /* weights of one output channel that are converted at a time */
};

int64_t product_scratch(int64_t cols, int64_t depth) {
    return depth * least(round_up(cols, TILE_COLS), COL_BLOCK) * (int64_t)sizeof(float);
}

static void fill_rows(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                      int64_t deep) {
    for (int64_t r = 0; r < n; r++)
        memcpy(panel + r * PANEL_ROW, left->data + (i + r) * left->row + k,
               (size_t)deep * sizeof *panel);
}

Left left_rows(const float *data, int64_t row) {
    return (Left){.fill = fill_rows, .data = data, .row = row};
}

static void fill_rows_16(const Left *left, uint16_t *panel, int64_t panel_row, int64_t i, int64_t n,
                         int64_t depth) {
    for (int64_t r = 0; r < n; r++)
        memcpy(panel + r * panel_row, left->data_16 + (i + r) * left->row,
               (size_t)depth * sizeof *panel);
}

Left left_rows_16(const uint16_t *data, int64_t row) {
    return (Left){.fill_16 = fill_rows_16, .data_16 = data, .row = row};
}

/* --- the weight ------------------------------------------------------------------------------- */

/* Rounds operands of float16 products, which are multiplied in float32. */
static void round_to_f16(float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) x[i] = f32_from_f16(f16_from_f32(x[i]));
}

/* Converts n elements from element `first` on, `step` apart, to float32, times `scale`. */
static void convert(float *to, const Weight *w, int64_t first, int64_t step, int64_t n,
                    float scale) {
    const uint8_t *from = (const uint8_t *)w->data + first * dtype_bytes(w->type);
    if (step == 1 && w->type == DTYPE_F32 &&
        w->precision == PRECISION_FP32) { /* one pass, no call of memcpy */
        for (int64_t i = 0; i < n; i++) {
            float x;
            memcpy(&x, from + 4 * i, sizeof x);
            to[i] = x * scale;
        }
        return;
    }
    if (step == 1) {
        dtype_to_f32(to, from, w->type, false, n);
    } else {
        for (int64_t i = 0; i < n; i++, from += step * dtype_bytes(w->type))
            dtype_to_f32(to + i, from, w->type, false, 1);
    }
    if (w->precision == PRECISION_FP16) round_to_f16(to, n);
    for (int64_t i = 0; i < n; i++) to[i] *= scale;
}

/* Rows that are longer than a power of two keep out of each other's cache sets. */
typedef float Run[PACK_RUN + 16];

/* Packs n <= PACK_RUN weights of output channels first .. first+cols, at most SQUARE, from input channel i of a tap on:
 * to (n,SQUARE), rows TILE_COLS apart, with zeros beyond `cols`. */
static void pack_run(float *to, const Weight *w, const float *scale, int64_t first, int64_t cols,
                     int64_t tap, int64_t i, int64_t n) {
    const int64_t at = first * w->out_step + tap * w->tap_step + i * w->in_step;
    if (cols == SQUARE && !scale && w->type == DTYPE_F32 && w->precision == PRECISION_FP32 &&
        w->in_step == 1) {
        transpose_rows(to, TILE_COLS, (const uint8_t *)w->data + 4 * at, w->out_step, n, true);
        return;
    }
    Run run[SQUARE];
    memset(run, 0, sizeof run);
    for (int64_t c = 0; c < cols; c++)
        convert(run[c], w, at + c * w->out_step, w->in_step, n, scale ? scale[first + c] : 1.0f);
    transpose_rows(to, TILE_COLS, run, sizeof *run / sizeof **run, n, false);
}

/* Packs output channels first .. first+TILE_COLS as [depth][TILE_COLS], with zeros beyond the last channel.
 * Depth runs over taps, then input channels: the order in which channels-last pixels lie. */
static void pack_strip(float *to, const Weight *w, const float *scale, int64_t first) {
    for (int64_t tap = 0; tap < w->taps; tap++)
        for (int64_t i = 0; i < w->in; i += PACK_RUN) {
            const int64_t n = least(w->in - i, PACK_RUN);
            for (int64_t c = 0; c < TILE_COLS; c += SQUARE)
                pack_run(to + c, w, scale, first + c, most(least(w->out - first - c, SQUARE), 0),
                         tap, i, n);
            to += n * TILE_COLS;
        }
}

/* --- the epilogue ----------------------------------------------------------------------------- */

void product_finish(float *out, const Epilogue *e, const float *times, int64_t first, int64_t n) {
    if (e->bias)
        for (int64_t j = 0; j < n; j++) out[j] += e->bias[first + j];
    switch (e->activation) {
    case ACT_NONE: break;
    case ACT_RELU:
        for (int64_t j = 0; j < n; j++) out[j] = out[j] > 0.0f ? out[j] : 0.0f;
        break;
    case ACT_QUICK_GELU:
        SIMD()
        for (int64_t j = 0; j < n; j++) out[j] *= sigmoid_f32(1.702f * out[j]);
        break;
    case ACT_GELU:
        SIMD()
        for (int64_t j = 0; j < n; j++) out[j] *= normal_cdf_f32(out[j]);
        break;
    case ACT_GELU_TANH: /* (1 + tanh u) / 2 = sigmoid(2 u), 2 u = 2 sqrt(2 / pi) (x + ...) */
        SIMD()
        for (int64_t j = 0; j < n; j++)
            out[j] *= sigmoid_f32(1.5957691f * (out[j] + 0.044715f * out[j] * out[j] * out[j]));
        break;
    case ACT_SILU:
        SIMD()
        for (int64_t j = 0; j < n; j++) out[j] *= sigmoid_f32(out[j]);
        break;
    }
    if (times)
        for (int64_t j = 0; j < n; j++) out[j] *= times[j];
}

/* --- the product ------------------------------------------------------------------------------ */

static float *out_at(const Output *o, int64_t row) {
    return o->out + row / o->image_rows * o->out_image + row % o->image_rows * o->out_row;
}

/* Returns how many rows from `row` on lie evenly: up to `n`, not past their image. */
static int64_t even_rows(const Output *o, int64_t row, int64_t n) {
    return least(n, o->image_rows - row % o->image_rows);
}

static void row_block(const Output *out, const Left *left, const Weight *w, const Epilogue *e,
                      const float *packed, int64_t i0, int64_t n, int64_t j0, int64_t cols) {
    float panel[ROW_BLOCK * PANEL_ROW];
    const int64_t depth = w->in * w->taps;
    const float *times = e->times.data;
    const bool in_place = left->fill == fill_rows && w->precision == PRECISION_FP32;
    for (int64_t k0 = 0; k0 < depth; k0 += DEPTH_BLOCK) {
        const int64_t deep = least(depth - k0, DEPTH_BLOCK);
        if (!in_place) left->fill(left, panel, i0, n, k0, deep);
        for (int64_t i = 0; w->precision == PRECISION_FP16 && i < n; i++)
            round_to_f16(panel + i * PANEL_ROW, deep);
        const Operand a = in_place ? (Operand){left->data + i0 * left->row + k0, left->row, 1}
                                   : (Operand){panel, PANEL_ROW, 1};
        for (int64_t j = 0; j < cols; j += TILE_COLS) {
            const Operand b = strip_of(packed + j * depth + k0 * TILE_COLS);
            for (int64_t i = 0, rows; i < n; i += rows) {
                rows = even_rows(out, i0 + i, least(n - i, TILE_ROWS));
                gemm_tile(rows, least(cols - j, TILE_COLS), deep,
                          (Operand){a.at + i * a.row, a.row, 1}, b, out_at(out, i0 + i) + j0 + j,
                          out->out_row, k0 > 0 || e->add, nothing_ahead(packed));
            }
        }
    }
    for (int64_t i = 0; i < n; i++)
        product_finish(out_at(out, i0 + i) + j0, e,
                       times ? times + (i0 + i) * e->times.row + j0 : NULL, j0, cols);
}

/* Output channels j0 .. j0+cols. */
typedef struct {
    const Output *out;
    const Left *left;
    const Weight *w;
    const Epilogue *e;
    float *packed;
    Deal deal;
    int64_t j0, cols;
} Block;

static void pack_strips(const void *loop, int64_t first, int64_t end, int thread) {
    const Block *b = loop;
    const int64_t depth = b->w->in * b->w->taps;
    (void)thread;
    for (int64_t j = first * TILE_COLS; j < end * TILE_COLS; j += TILE_COLS)
        pack_strip(b->packed + j * depth, b->w, b->e->scale, b->j0 + j);
}

static void run_pieces(const void *loop, int64_t first, int64_t last, int thread) {
    const Block *b = loop;
    const int64_t depth = b->w->in * b->w->taps;
    (void)thread;
    for (int64_t number = first; number < last; number++) {
        const Piece p = deal_piece(&b->deal, number, b->cols, TILE_COLS);
        if (p.n > 0 && p.cols > 0)
            row_block(b->out, b->left, b->w, b->e, b->packed + p.j * depth, p.i, p.n, b->j0 + p.j,
                      p.cols);
    }
}

void product(Output out, const Left *left, const Weight *w, const Epilogue *e, void *scratch,
             Threads *pool) {
    const Deal deal = deal_rows(out.rows, ROW_BLOCK / TILE_ROWS, threads_count(pool));
    Block b = {&out, left, w, e, scratch, deal, 0, 0};
    const int64_t depth = w->in * w->taps, run = rows_run(depth * TILE_COLS);
    for (; b.j0 < w->out; b.j0 += COL_BLOCK) {
        b.cols = least(w->out - b.j0, COL_BLOCK);
        threads_loop(pool, ceil_div(b.cols, TILE_COLS), run, pack_strips, &b);
        threads_loop(pool, deal.blocks * deal.strips, 1, run_pieces, &b);
    }
}
