/*
 * inner_tiled.cu - the inner loop in one launch for every shape: M steps of all spaces without leaving the chip
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu.
 * Cost     4BCd flops per step and space; two grid barriers a step, 1.2 us each (as others measured
 *          on other GPUs; not measured here), instead of two launches of 1.3 us and their ramps.
 * Mapping  blocks stay; all items of a phase are numbered, and a block takes every gridDim.x-th number:
 *
 *              phase     items                                writes
 *              rows      (space, 64 rows): residual.cuh       R, a loss
 *              ----- grid barrier -----
 *              pieces    (tile of W, piece of the batch)      partial gradients
 *              ----- the pieces of each tile wait for one another -----
 *              shares    of its pieces' tiles: sum, Adam      W, m1, m2, the rounded W
 *              ----- grid barrier -----
 *
 *          Items of all spaces stand in one list (plan_rows.h), so that blocks stay busy whatever the
 *          dimensions. Every block does its pieces before it waits for any tile: no order of blocks can
 *          lock. inner_wgmma.cu serves many classes on compute capability 9.0, inner_slab.cu few classes.
 * Needs    scratch (cuda_inner_scratch), a cooperative launch.
 *          W, R and partial sums are written and read within the launch: never through const
 *          __restrict__ or __ldg, whose loads are not coherent.
 * Ladder   A plain version of the launch that stays and of its barriers is kernels/cuda/ladder/step6_stays.cu.
 * History  Not measured yet.
 */
#include "kernels/cuda/inner/inner_forms.cuh"
#include "kernels/cuda/inner/inner_phases.cuh"

template <class T> struct Tiled {
    InnerPhases<T> phases;
    int64_t M;
    unsigned *arrived; /* (1) zero at the start */
};

/* L, S: the tiles of logits and of the gradient. */
template <class T, class L, class S>
__global__ void __launch_bounds__(S::THREADS, 2) inner_tiled(const Tiled<T> tiled) {
    static_assert(L::THREADS == S::THREADS, "one block serves both phases");
    const InnerPhases<T> &p = tiled.phases;
    const int K = p.adam.K, blocks = row_pieces(p.residual.B, LOGIT_ROWS, 1);
    const int pieces = p.gradient.tiles * p.gradient.splits;
    const Gradient<T> &gradient = p.gradient;
    unsigned epoch = 0;

    round_heads(p);
    grid_barrier(tiled.arrived, epoch);
    for (int64_t m = 0; m < tiled.M; m++) {
        for (int round = 0;; round++) {
            const DealtPiece rows = dealt_piece(blockIdx.x, gridDim.x, round, blocks, false);
            if (rows.place >= K) break;
            residual_rows<T, L>(p.residual, p.residual.space[rows.place], rows.piece);
        }
        grid_barrier(tiled.arrived, epoch);

        for (int at = blockIdx.x; at < pieces; at += gridDim.x) {
            const Piece piece = piece_at<T, S>(gradient, at);
            gradient_product<T, S>(gradient, piece);
            gradient_arrive(gradient, piece);
        }
        p.adam.begin(m);
        for (int at = blockIdx.x; at < pieces; at += gridDim.x) {
            const Piece piece = piece_at<T, S>(gradient, at);
            gradient_wait(gradient, piece, m);
            gradient_share<T, S>(gradient, piece, p.adam);
        }
        p.adam.end(m);
        if (m + 1 < tiled.M) grid_barrier(tiled.arrived, epoch);
    }
}

/* --- on the host ------------------------------------------------------------------------------ */

template <class F> auto with_tiles(int64_t C, F f) {
    if (LOGIT_COLS(C) == 16) return f(LogitTile16(), GradientTile16());
    if (LOGIT_COLS(C) == 64) return f(LogitTile64(), GradientTile64());
    return f(LogitTile128(), GradientTile128());
}

template <class T> static Status steps_of(Queue *q, const InnerSteps *in) {
    const FusedScratch scratch =
        lay_out_fused(in->scratch, in->space[0].Z.type, in->K, in->B, in->C, largest_d(in));
    Tiled<T> tiled = {inner_phases<T>(in, scratch), in->M, scratch.arrived};
    const cudaError_t error = cudaMemsetAsync(tiled.arrived, 0, sizeof *tiled.arrived, q->stream);
    if (error != cudaSuccess) return cuda_queue_error(q, "inner_steps (mega)", error);
    return with_tiles(in->C, [&](auto logits, auto shape) {
        using L = decltype(logits);
        using S = decltype(shape);
        constexpr int forward = Gemm<T, L, ALONG, ALONG>::SHARED_BYTES;
        constexpr int backward = GradientGemm<T, S>::SHARED_BYTES;
        constexpr int shared = forward > backward ? forward : backward;
        static_assert(shared <= TILED_SHARED, "tiles.h says how much shared memory it may need");
        const auto kernel = inner_tiled<T, L, S>;
        const int64_t resident = resident_blocks(q->device, kernel, S::THREADS, shared);
        const Status st = gradient_plan<S>(q, &tiled.phases.gradient, resident, scratch.gradient);
        if (st != OK) return st;
        const int64_t rows_items = in->K * logit_blocks(in->B),
                      pieces = (int64_t)tiled.phases.gradient.tiles * tiled.phases.gradient.splits,
                      most = rows_items > pieces ? rows_items : pieces;
        REQUIRE(q, resident >= 1, "inner_steps (mega)");
        double features = 0.0;
        for (int k = 0; k < in->K; k++) features += (double)in->space[k].Z.d;
        cost(q, 4.0 * (double)in->M * (double)in->B * (double)in->C * features,
             (double)sizeof(typename T::Element) * (double)in->B * features);
        return launch_with(q, COOPERATIVE, (inner_tiled<T, L, S>),
                           dim3((unsigned)(resident < most ? resident : most)), S::THREADS, shared,
                           tiled);
    });
}

Status tiled_steps(Queue *q, const InnerSteps *in) {
    return with_type(&in->space[0].Z, [&](auto type) { return steps_of<decltype(type)>(q, in); });
}
