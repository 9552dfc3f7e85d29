/* panel.c - products of one panel of features: what the inner loop and the outer gradient share. */
#include <string.h>

#include "gemm.h"

void pack_weight(float *packed, const float *W, int64_t C, int64_t d, int threads) {
    (void)threads; /* unused without OpenMP */
    PARALLEL_FOR(num_threads(threads) if (C * d > 65536))
    for (int64_t tile = 0; tile < (C + TILE_COLS - 1) / TILE_COLS; tile++) {
        const int64_t first = tile * TILE_COLS,
                      cols = C - first < TILE_COLS ? C - first : TILE_COLS;
        float *to = packed + first * d;
        for (int64_t j = 0; j < d; j++, to += TILE_COLS) {
            for (int64_t c = 0; c < cols; c++) to[c] = W[(first + c) * d + j];
            for (int64_t c = cols; c < TILE_COLS; c++) to[c] = 0.0f;
        }
    }
}

void panel_logits(float *logits, const float *Z, const float *packed_W, int64_t n, int64_t C,
                  int64_t d) {
    const int64_t ld = round_up(C, TILE_COLS);
    for (int64_t c = 0; c < ld; c += TILE_COLS)
        for (int64_t i = 0; i < n; i += TILE_ROWS)
            gemm_tile(n - i < TILE_ROWS ? n - i : TILE_ROWS, TILE_COLS, d,
                      (Operand){Z + i * d, d, 1}, (Operand){packed_W + c * d, 0, TILE_COLS},
                      logits + i * ld + c, ld, false);
}

void panel_gradient(float *grad, const float *residual, int64_t ld, const float *Z, int64_t n,
                    int64_t C, int64_t d) {
    float edge[PANEL *
               TILE_COLS]; /* the last columns of Z, where a whole vector would pass its end */
    for (int64_t j = 0; j < d; j += TILE_COLS) {
        const int64_t cols = d - j < TILE_COLS ? d - j : TILE_COLS;
        Operand b = {Z + j, 0, d};
        if (cols < TILE_COLS) {
            memset(edge, 0, sizeof edge);
            for (int64_t i = 0; i < n; i++)
                memcpy(edge + i * TILE_COLS, Z + i * d + j, (size_t)cols * sizeof(float));
            b = (Operand){edge, 0, TILE_COLS};
        }
        for (int64_t c = 0; c < C; c += TILE_ROWS)
            gemm_tile(C - c < TILE_ROWS ? C - c : TILE_ROWS, cols, n,
                      (Operand){residual + c, 1, ld}, b, grad + c * d + j, d, true);
    }
    float *grad_bias = grad + C * d;
    for (int64_t i = 0; i < n; i++)
        for (int64_t c = 0; c < C; c++) grad_bias[c] += residual[i * ld + c];
}

int64_t gradient_groups(int64_t B, int64_t C, int64_t d) {
    const int64_t panels = (B + PANEL - 1) / PANEL,
                  bytes = linear_size(C, d) * (int64_t)sizeof(float);
    int64_t groups = ROW_GROUPS;
    while (groups > 1 && (groups > panels || groups * bytes > (int64_t)16 << 20)) groups /= 2;
    return groups;
}
