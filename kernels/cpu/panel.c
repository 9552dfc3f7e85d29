/* panel.c - products of one panel of features: what the inner loop and the outer gradient share. */
#include <string.h>

#include "gemm.h"

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

Panel panel_features(const Batch *Z, int64_t first, int64_t n, float *buffer) {
    if (Z->type == DTYPE_F32) return (Panel){(const float *)Z->data + first * Z->row, Z->row};
    const int64_t row = batch_row(DTYPE_F32, Z->d);
    for (int64_t i = 0; i < n; i++)
        dtype_to_f32(buffer + i * row, (const uint16_t *)Z->data + (first + i) * Z->row, Z->type,
                     false, Z->d);
    return (Panel){buffer, row};
}

/* --- logits ----------------------------------------------------------------------------------- */

/* Strips that pass over a panel together stay in the second-level cache beside it. */
enum { STRIP_BYTES = 320 << 10 };

void pack_weight(float *packed, const float *W, int64_t C, int64_t d, int threads) {
    (void)threads; /* unused without OpenMP */
    const int64_t end = packed_classes(C);
    PARALLEL_FOR(num_threads(threads) if (C * d > 65536))
    for (int64_t first = 0; first < end; first += TILE_COLS) {
        const int64_t cols = least(end - first, TILE_COLS);
        float *to = packed + first * d;
        for (int64_t j = 0; j < d; j++, to += TILE_COLS) {
            for (int64_t c = 0; c < cols; c++) to[c] = W[(first + c) * d + j];
            for (int64_t c = cols; c < TILE_COLS; c++) to[c] = 0.0f;
        }
    }
}

/* The classes that are not packed, in groups as even as dot_tile allows. */
static void dot_logits(float *logits, int64_t ld, Panel Z, const float *W, int64_t n, int64_t C,
                       int64_t d) {
    const int64_t first = packed_classes(C), rest = C - first,
                  groups = (rest + DOT_COLS - 1) / DOT_COLS;
    for (int64_t i = 0; i < n; i += DOT_ROWS)
        for (int64_t g = 0; g < groups; g++) {
            const int64_t c = first + g * rest / groups, end = first + (g + 1) * rest / groups;
            dot_tile(least(n - i, DOT_ROWS), end - c, d, Z.at + i * Z.row, Z.row, W + c * d, d,
                     logits + i * ld + c, ld);
        }
}

void panel_logits(float *logits, int64_t ld, Panel Z, const float *packed_W, const float *W,
                  int64_t n, int64_t C, int64_t d) {
    const int64_t end = packed_classes(C), width = least(round_up(C, VEC_FLOATS), ld);
    int64_t block = STRIP_BYTES / (d * (int64_t)sizeof(float)) / TILE_COLS * TILE_COLS;
    if (block < TILE_COLS) block = TILE_COLS;
    for (int64_t first = 0; first < end; first += block)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            for (int64_t c = first; c < least(first + block, end); c += TILE_COLS)
                gemm_tile(least(n - i, TILE_ROWS), least(width - c, TILE_COLS), d,
                          (Operand){Z.at + i * Z.row, Z.row, 1},
                          (Operand){packed_W + c * d, 8 * TILE_COLS, TILE_COLS},
                          logits + i * ld + c, ld, false);
    if (DOT_CLASSES > 0 && end < C) dot_logits(logits, ld, Z, W, n, C, d);
}

/* --- gradient --------------------------------------------------------------------------------- */

void panel_gradient(float *grad, bool accumulate, const float *residual, int64_t ld, Panel Z,
                    int64_t n, int64_t C, int64_t d) {
    const int64_t tiles = (C + TILE_ROWS - 1) / TILE_ROWS;
    float edge[PANEL * TILE_COLS]; /* the last columns of Z: a whole vector would pass their end */
    for (int64_t j = 0; j < d; j += TILE_COLS) {
        const int64_t cols = least(d - j, TILE_COLS);
        Operand b = {Z.at + j, TILE_COLS, Z.row};
        if (cols < TILE_COLS) {
            memset(edge, 0, sizeof edge);
            for (int64_t i = 0; i < n; i++)
                memcpy(edge + i * TILE_COLS, Z.at + i * Z.row + j, (size_t)cols * sizeof(float));
            b = (Operand){edge, 0, TILE_COLS};
        }
        for (int64_t t = 0; t < tiles; t++) { /* of even height: a low one is slow */
            const int64_t c = t * C / tiles, end = (t + 1) * C / tiles;
            gemm_tile(end - c, cols, n, (Operand){residual + c, 1, ld}, b, grad + c * d + j, d,
                      accumulate);
        }
    }
    float *grad_bias = grad + C * d;
    if (!accumulate) memset(grad_bias, 0, (size_t)C * sizeof *grad_bias);
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++) grad_bias[c] += residual[i * ld + c];
}

int64_t gradient_groups(int64_t B, int64_t C, int64_t d) {
    const int64_t panels = (B + PANEL - 1) / PANEL,
                  bytes = linear_size(C, d) * (int64_t)sizeof(float);
    int64_t groups = ROW_GROUPS;
    while (groups > 1 && (groups > panels || groups * bytes > (groups > 16 ? 4 : 16) << 20))
        groups /= 2;
    return groups;
}

void sum_groups(float *sum, const float *grad, int64_t groups, int64_t size, int64_t first,
                int64_t n) {
    memcpy(sum, grad + first, (size_t)n * sizeof *sum);
    for (int64_t g = 1; g < groups; g++) {
        const float *next = grad + g * size + first;
        SIMD()
        for (int64_t i = 0; i < n; i++) sum[i] += next[i];
    }
}
