/*
 * residual.cuh - logits of a linear head, softmax and residual, in one kernel (paper Eq. 13)
 *
 *     logits = Z W^T + b,   R = softmax(logits) sum_c Y - Y,   loss = sum_b CE(logits_b, Y_b)
 *
 * Shapes   Z (B,d) and W (C,d) in the operand type, b (C), Y (B,C) float32; R (B, round_up(C, 8)) in
 *          the operand type, multiplied by `residual_scale`, zeros behind; a partial loss per block.
 * Cost     2BCd flops; Z, Y, R once, W once per block of rows, from the L2 cache: at C 100, d 768,
 *          fp16 157 x 154 KB = 24 MB, about 4 us, as long as the tensor cores' share.
 * Mapping  a block owns 64 rows and all classes; `lanes` of a warp share a row of logits:
 *
 *              C <= 16    one tile of 64 x 16    2 lanes a row    logits stay in shared memory
 *              C <= 64    one tile of 64 x 64    8 lanes a row
 *              C <= 128   one tile of 64 x 128  16 lanes a row
 *              more       tiles of 64 x 128 in turn; their logits wait in global memory, 256 KB a
 *                         block, which the L2 cache holds, until maximum and sum are known
 *
 *          Maximum and sum are kept as the tiles pass: s <- s exp(m - m') + sum exp(x - m').
 * Needs    loss_partial (blocks) of each space; logits (B,C) where C > 128.
 *          float16: |R| <= 1 times 2^15 leaves no normal value above 2e-9 behind.
 * Ladder   A plain version is kernels/cuda/ladder/step3_fused.cu; ladder/step5_mma.cu has it on tensor cores.
 * History  Not measured yet. The sweep of logits.cuh stands here again: both from there made ptxas spill 16
 *          bytes of the fp16 and bf16 kernels at 128 classes, and 68 of inner_tiled's in fp32 (nvcc 13.0,
 *          sm_90a).
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_RESIDUAL_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_RESIDUAL_CUH

#include <type_traits>

#include "kernels/cuda/train/logits.cuh"

template <class T> struct ResidualSpace {
    View<T> Z, W;           /* (B,d) (C,d) */
    const float *bias;      /* (C), which an earlier launch may have written */
    typename T::Element *R; /* (B, stride) */
    float *logits;          /* (B,C) where C > 128 */
    double *loss_partial;   /* (blocks) */
};

template <class T> struct Residual {
    ResidualSpace<T> space[MAX_SPACES];
    int64_t B, C, stride; /* elements between rows of R: round_up(C, 8) */
    const float *Y;
    float residual_scale;
};

/* Returns the factor by which residuals, which lie in [-1, 1], are multiplied before rounding to float16. */
template <class T> __host__ __device__ constexpr float residual_scale() {
    return std::is_same<T, Fp16>::value ? 32768.0f : 1.0f;
}

/* Rows LOGIT_ROWS * block and on of one space. All threads of the block call it. */
template <class T, class S>
__device__ void residual_rows(const Residual<T> &a, const ResidualSpace<T> &s, int64_t block) {
    using G = Gemm<T, S, ALONG, ALONG>;
    constexpr int LANES = S::COLS / 8;          /* lanes that share a row */
    constexpr int AT_ONCE = S::THREADS / LANES; /* rows of the block in one sweep */
    constexpr int SWEEPS = LOGIT_ROWS / AT_ONCE;
    static_assert(LOGIT_ROWS % AT_ONCE == 0 && S::ROWS == LOGIT_ROWS, "whole sweeps");
    const int64_t row = block * S::ROWS;
    const int lane = threadIdx.x % LANES, first = threadIdx.x / LANES;
    const bool waits = a.C > S::COLS; /* logits do not fit one tile */
    float top[SWEEPS], sum[SWEEPS];
    UNROLL
    for (int i = 0; i < SWEEPS; i++) top[i] = -INFINITY, sum[i] = 0.0f;

    float *tile = NULL;
    for (int64_t col = 0; col < a.C; col += S::COLS) {
        tile = G::run(0, s.Z, row, s.W, col, 0, ceil_div(s.Z.width, G::DEPTH), Nothing());
        const int n = (int)(a.C - col < S::COLS ? a.C - col : S::COLS);
        UNROLL
        for (int i = 0; i < SWEEPS; i++) {
            const int r = first + i * AT_ONCE;
            float *x = tile + r * S::RESULT_STRIDE, most = -INFINITY, total = 0.0f;
            for (int c = lane; c < n; c += LANES) {
                x[c] += s.bias[col + c];
                most = fmaxf(most, x[c]);
            }
            most = fmaxf(top[i], group_max<LANES>(most));
            for (int c = lane; c < n; c += LANES) {
                total += expf(x[c] - most);
                if (waits && row + r < a.B) s.logits[(row + r) * a.C + col + c] = x[c];
            }
            sum[i] = sum[i] * expf(top[i] - most) + group_sum<LANES>(total);
            top[i] = most;
        }
    }

    double loss = 0.0;
    UNROLL
    for (int i = 0; i < SWEEPS; i++) {
        const int64_t b = row + first + i * AT_ONCE;
        const bool inside = b < a.B; /* lanes of rows beyond the batch only shuffle */
        const float *x =
            waits ? s.logits + b * a.C : tile + (first + i * AT_ONCE) * S::RESULT_STRIDE;
        const float *y = a.Y + b * a.C;
        float mass = 0.0f, dot = 0.0f;
        for (int64_t c = lane; inside && c < a.C; c += LANES) {
            mass += y[c];
            dot += y[c] * (x[c] - top[i]);
        }
        mass = group_sum<LANES>(mass);
        dot = group_sum<LANES>(dot);
        if (inside && lane == 0) loss += (double)(mass * logf(sum[i]) - dot);
        const float share = mass / sum[i];
        for (int64_t c = lane; inside && c < a.stride; c += LANES) {
            const float r = c < a.C ? expf(x[c] - top[i]) * share - y[c] : 0.0f;
            s.R[b * a.stride + c] = from_float<T>(r * a.residual_scale);
        }
    }
    __syncthreads(); /* logits in shared memory are read no more */
    loss = block_sum<S::THREADS>(loss, shared_mem<double>(0));
    if (threadIdx.x == 0) s.loss_partial[block] = loss;
}

template <class T, class S>
__global__ void __launch_bounds__(S::THREADS) residual_tiled(const Residual<T> a) {
    residual_rows<T, S>(a, a.space[blockIdx.y], blockIdx.x);
}

template <class T> Status residual_launch(Queue *q, const Residual<T> &a, int K) {
    double features = 0.0;
    for (int k = 0; k < K; k++) features += (double)a.space[k].Z.width;
    cost(q, 2.0 * (double)a.B * (double)a.C * features,
         (double)sizeof(typename T::Element) *
                 ((double)a.B * (features + K * (double)a.C) + (double)a.C * features) +
             4.0 * (double)a.B * (double)a.C);
    const dim3 grid((unsigned)logit_blocks(a.B), (unsigned)K);
    return with_logit_tile(a.C, [&](auto shape) {
        using S = decltype(shape);
        return launch(q, (residual_tiled<T, S>), grid, S::THREADS, (logit_shared<T, S>()), a);
    });
}

#endif
