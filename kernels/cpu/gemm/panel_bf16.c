/* panel_bf16.c - products of one panel of bfloat16 features (bf16.h).
 *
 *     logits    A = Z as it lies (n,d);                B = W, packed in pairs along d
 *     gradient  A = residual, transposed (C,n);        B = BF16_COLS columns of Z in pairs of rows
 *
 * The three operands that are not read as they lie are rounded or paired panel by panel, in cache. */
#include <string.h>

#include "kernels/cpu/gemm/bf16.h"

enum { SQUARE = 16 }; /* words that are transposed at a time: lines of sixteen */

static uint32_t pair(float first, float second) {
    return bf16_from_f32(first) | (uint32_t)bf16_from_f32(second) << 16;
}

/* Words first .. first+SQUARE of row c, all c < cols, become column c of `to`, BF16_COLS wide. */
static void pack_square(uint32_t *to, const float *W, int64_t row, int64_t cols, int64_t first,
                        int64_t d) {
    for (int64_t c = 0; c < cols; c++) {
        const float *w = W + c * row;
        for (int64_t k = 0; k < SQUARE; k++) {
            const int64_t j = 2 * (first + k);
            to[k * BF16_COLS + c] = pair(j < d ? w[j] : 0.0f, j + 1 < d ? w[j + 1] : 0.0f);
        }
    }
}

typedef struct {
    uint32_t *words;
    const float *W;
    int64_t C, d;
} Packing;

/* Passes are strips of BF16_COLS classes. */
static void pack_strips(const void *loop, int64_t first, int64_t end, int thread) {
    const Packing *p = loop;
    const int64_t d = p->d, pairs = bf16_depth(d) / 2;
    (void)thread;
    for (int64_t c = first * BF16_COLS; c < end * BF16_COLS; c += BF16_COLS)
        for (int64_t k = 0; k < pairs; k += SQUARE)
            pack_square(p->words + c * pairs + k * BF16_COLS, p->W + c * d, d,
                        least(p->C - c, BF16_COLS), k, d);
}

/* Rounds rows of W for few classes. */
static void pack_rows(uint16_t *packed, const float *W, int64_t C, int64_t d) {
    const int64_t depth = bf16_depth(d);
    for (int64_t c = 0; c < C; c++, packed += depth, W += d) {
        for (int64_t j = 0; j < d; j++) packed[j] = bf16_from_f32(W[j]);
        memset(packed + d, 0, (size_t)(depth - d) * sizeof *packed);
    }
}

void bf16_pack_weight(uint16_t *packed, const Device *device, const float *W, int64_t C,
                      int64_t d) {
    if (device->few_bf16 && C <= FEW_CLASSES) {
        pack_rows(packed, W, C, d);
        return;
    }
    const Packing p = {(uint32_t *)(void *)packed, W, C, d};
    memset(packed, 0, (size_t)bf16_weight_bytes(C, d));
    threads_loop(device->pool, ceil_div(C, BF16_COLS), rows_run(BF16_COLS * d), pack_strips, &p);
}

void bf16_logits(float *logits, int64_t ld, Panel Z, const uint16_t *packed_W, int64_t n, int64_t C,
                 int64_t width, int64_t d) {
    const int64_t depth = bf16_depth(d);
    if (Z.few && C <= FEW_CLASSES) {
        Z.few->logits(logits, ld, Z.at, Z.row, packed_W, n, C, depth, Z.next, Z.bytes);
        return;
    }
    for (int64_t c = 0; c < width; c += BF16_COLS)
        Z.multiply(logits + c, ld, false, Z.at, Z.row, packed_W + c * depth, n,
                   least(width - c, BF16_COLS), depth);
}

/* Transposes (n,C) to (C,depth), rounded, with zeros beyond n. */
static void transpose_residual(uint16_t *transposed, const float *residual, int64_t ld, int64_t n,
                               int64_t C, int64_t depth) {
    uint32_t *to = (uint32_t *)(void *)transposed, square[SQUARE][BF16_COLS];
    for (int64_t i = 0; i < depth / 2; i += SQUARE)
        for (int64_t c = 0; c < C; c += BF16_COLS) {
            const int64_t cols = least(C - c, BF16_COLS);
            for (int64_t k = 0; k < SQUARE; k++) {
                const int64_t first = 2 * (i + k);
                const float *a = residual + first * ld + c, *b = a + ld;
                for (int64_t j = 0; j < cols; j++) /* apart, so that each becomes vectors */
                    square[k][j] = first < n ? bf16_from_f32(a[j]) : 0;
                for (int64_t j = 0; first + 1 < n && j < cols; j++)
                    square[k][j] |= (uint32_t)bf16_from_f32(b[j]) << 16;
            }
            for (int64_t j = 0; j < cols; j++)
                for (int64_t k = 0; k < SQUARE; k++)
                    to[(c + j) * (depth / 2) + i + k] = square[k][j];
        }
}

/* Packs BF16_COLS columns of Z from j on, rows in pairs, with zeros beyond n and d; of the rows behind the panel,
 * `fetched` bytes for every pair. */
static void pair_rows(uint32_t *strip, Panel Z, int64_t j, int64_t cols, int64_t n, int64_t depth,
                      int64_t fetched) {
    static const uint16_t none[BF16_COLS];
    const char *next = Z.next + j / BF16_COLS * (depth / 2) * fetched;
    for (int64_t i = 0; i < depth; i += 2, strip += BF16_COLS, next += fetched) {
        for (int64_t k = 0; k < fetched; k += 64) __builtin_prefetch(next + k, 0, 2);
        const uint16_t *a = i < n ? (const uint16_t *)Z.at + i * Z.row + j : none;
        const uint16_t *b = i + 1 < n ? (const uint16_t *)Z.at + (i + 1) * Z.row + j : none;
        if (cols == BF16_COLS)
            for (int64_t c = 0; c < BF16_COLS; c++) strip[c] = a[c] | (uint32_t)b[c] << 16;
        else
            for (int64_t c = 0; c < BF16_COLS; c++)
                strip[c] = c < cols ? a[c] | (uint32_t)b[c] << 16 : 0;
    }
}

void bf16_gradient(float *grad, bool accumulate, const float *residual, int64_t ld, Panel Z,
                   int64_t n, int64_t C, int64_t d, uint16_t *transposed) {
    if (Z.few && C <= FEW_CLASSES) {
        Z.few->gradient(grad, accumulate, residual, ld, Z.at, Z.row, n, C, d,
                        (uint32_t *)(void *)transposed, Z.next, Z.bytes);
        return;
    }
    const int64_t depth = bf16_depth(n), pairs = ceil_div(d, BF16_COLS) * depth / 2;
    _Alignas(64) uint32_t strip[BF16_PANEL / 2 * BF16_COLS];
    transpose_residual(transposed, residual, ld, n, C, depth);
    for (int64_t j = 0; j < d; j += BF16_COLS) {
        const int64_t cols = least(d - j, BF16_COLS);
        pair_rows(strip, Z, j, cols, n, depth, Z.bytes / pairs + 1);
        Z.multiply(grad + j, d, accumulate, transposed, depth,
                   (const uint16_t *)(const void *)strip, C, cols, depth);
    }
}
