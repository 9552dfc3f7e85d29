/*
 * logits.cuh - 64 rows of logits of a linear layer, and the maximum and sum of their softmax, on chip
 *
 *     x = Z W^T + b,   top = max_c x,   sum = sum_c exp(x - top)
 *
 * Shapes   Z (B,d) and W (C,d) in the operand type, b (C). The caller decides what becomes of a row.
 * Mapping  a block owns 64 rows and all classes; `lanes` of a warp share a row of logits:
 *
 *              C <= 16    one tile of 64 x 16    2 lanes a row    logits stay in shared memory
 *              C <= 64    one tile of 64 x 64    8 lanes a row
 *              C <= 128   one tile of 64 x 128  16 lanes a row
 *              more       tiles of 64 x 128 in turn; their logits wait in global memory, 256 KB a
 *                         block, which the L2 cache holds, until maximum and sum are known
 *
 *          Maximum and sum are kept as the tiles pass: s <- s exp(m - m') + sum exp(x - m').
 * Needs    logits (B,C) in global memory where C > 128; they may be where the result goes.
 * History  Not measured yet. residual.cuh and head_grad.cu have the same sweep: residual.cuh says what sharing
 *          it spilled, head_grad.cu leaves the label's class out of the sum.
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_LOGITS_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_LOGITS_CUH

#include "kernels/cuda/tile/gemm.cuh"
#include "kernels/tiles.h"

using LogitTile16 = Shape2<LOGIT_ROWS, 16, 4, 1>;
using LogitTile64 = Shape2<LOGIT_ROWS, 64, 2, 2>;
using LogitTile128 = Shape2<LOGIT_ROWS, LOGIT_MOST_COLS, 2, 2>;

__host__ __device__ constexpr int64_t logit_blocks(int64_t B) {
    return ceil_div(B, LOGIT_ROWS);
}
/* Returns the most partial losses of a space: one of each block here, or those of wide_logits.cuh. */
constexpr int64_t most_losses(int64_t B) {
    return WGMMA_MOST_SPLITS * ceil_div(B, WGMMA_ROWS);
}
static_assert(WGMMA_MOST_SPLITS * LOGIT_ROWS >= WGMMA_ROWS, "more than blocks of 64 rows");

template <class F> auto with_logit_tile(int64_t C, F f) {
    if (LOGIT_COLS(C) == 16) return f(LogitTile16());
    if (LOGIT_COLS(C) == 64) return f(LogitTile64());
    return f(LogitTile128());
}

template <class T, class S> constexpr int logit_shared() {
    return Gemm<T, S, ALONG, ALONG>::SHARED_BYTES;
}
template <class S> constexpr int LOGIT_LANES = S::COLS / 8; /* lanes that share a row */

/* Computes rows from LOGIT_ROWS * block on, and calls each_row(b, x, top, sum, lane) for every row, in all the
 * lanes that share it. A lane has columns lane, lane + LOGIT_LANES, ... of x. Lanes of rows beyond the batch
 * (b >= B) take part in shuffles and must not read x. Logits in shared memory are valid until the block's next
 * barrier. All threads of the block call it. */
template <class T, class S, class Row>
__device__ __forceinline__ void logit_rows(const View<T> &Z, const View<T> &W, const float *bias,
                                           float *logits, int64_t B, int64_t C, int64_t block,
                                           Row each_row) {
    using G = Gemm<T, S, ALONG, ALONG>;
    constexpr int LANES = LOGIT_LANES<S>;
    constexpr int AT_ONCE = S::THREADS / LANES; /* rows of the block in one sweep */
    constexpr int SWEEPS = LOGIT_ROWS / AT_ONCE;
    static_assert(LOGIT_ROWS % AT_ONCE == 0 && S::ROWS == LOGIT_ROWS, "whole sweeps");
    const int64_t row = block * S::ROWS;
    const int lane = threadIdx.x % LANES, first = threadIdx.x / LANES;
    const bool waits = C > S::COLS; /* logits do not fit one tile */
    float top[SWEEPS], sum[SWEEPS];
    UNROLL
    for (int i = 0; i < SWEEPS; i++) top[i] = -INFINITY, sum[i] = 0.0f;

    float *tile = NULL;
    for (int64_t col = 0; col < C; col += S::COLS) {
        tile = G::run(0, Z, row, W, col, 0, ceil_div(Z.width, G::DEPTH), Nothing());
        const int n = (int)(C - col < S::COLS ? C - col : S::COLS);
        UNROLL
        for (int i = 0; i < SWEEPS; i++) {
            const int r = first + i * AT_ONCE;
            float *x = tile + r * S::RESULT_STRIDE, most = -INFINITY, total = 0.0f;
            for (int c = lane; c < n; c += LANES) {
                x[c] += bias[col + c];
                most = fmaxf(most, x[c]);
            }
            most = fmaxf(top[i], group_max<LANES>(most));
            for (int c = lane; c < n; c += LANES) {
                total += expf(x[c] - most);
                if (waits && row + r < B) logits[(row + r) * C + col + c] = x[c];
            }
            sum[i] = sum[i] * expf(top[i] - most) + group_sum<LANES>(total);
            top[i] = most;
        }
    }
    UNROLL
    for (int i = 0; i < SWEEPS; i++) {
        const int64_t b = row + first + i * AT_ONCE;
        const float *x = waits ? logits + b * C : tile + (first + i * AT_ONCE) * S::RESULT_STRIDE;
        each_row(b, x, top[i], sum[i], lane);
    }
}

#endif
