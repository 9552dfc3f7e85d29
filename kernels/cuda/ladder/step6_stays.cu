/*
 * step6_stays.cu - step 6 of the ladder: the batch stays on the chip
 *
 *     one launch:  load Z | M times: (logits, R, partial R^T Z | all blocks meet | sums, Adam, W | all blocks meet)
 *
 * Idea     Z does not change. A block that stays keeps its 64 rows in shared memory for all M steps, and where blocks need
 *          each other's gradients they meet at a barrier of the grid in place of a launch.
 * Mapping  as step 5; in the second half of a step block i adds slice i of all weights, so Adam's moments are touched by
 *          one block alone. Barriers count up and never reset: a block adds 1 with release and waits with acquire.
 * Time         seconds = (2Bd/M + 2Cd B/64 + 8 C (d+1) B/64) bytes / L2  +  2 d/16 trips to shared memory
 *                        +  2 barriers  +  1/M of a launch                                              M: 10
 * Needs    a cooperative launch: all blocks are on the chip at once, or it fails. So B <= 64 SMs: 8448 on an H200.
 * Trap     W16 and `partial` are written in this launch. Were they `const __restrict__`, nvcc would read them through the
 *          path of constants, which does not see the stores (tests/coherent).
 * Bits     The sums are those of step 5, block by block in order: all bits are step 5's.
 * See      gdb -q -batch -ex 'break add_slice if block == 2 && threadIdx.x == 0' -ex run \
 *              -ex 'print *a.arrived' -ex continue -ex 'print *a.arrived' --args build/ladder-emu 6
 *              Breakpoint 1, add_slice (a=..., block=...2, blocks=3, done=...0)
 *              $1 = 3
 *              Breakpoint 1, add_slice (a=..., block=...2, blocks=3, done=...1)
 *              $2 = 9
 * Look at  All three blocks have arrived before one adds. Two barriers later it is three times three.
 */
#include "kernels/cuda/ladder/bands.cuh"

/* Weights block, block + blocks, ... in runs of 128: adds the partial sums of all blocks in order, then Adam. */
__device__ void add_slice(const Ladder &a, int block, int blocks, int done) {
    const int64_t weights = (int64_t)a.C * (a.d + 1);
    for (int64_t i = (int64_t)block * BAND_THREADS + threadIdx.x; i < weights;
         i += (int64_t)blocks * BAND_THREADS)
        add_pieces(a, i, blocks, 1.0f / R_SCALE, done);
}

template <int CLASSES>
__global__ void __launch_bounds__(BAND_THREADS) rows_that_stay(const Ladder a, int M) {
    uint16_t *z = shared_mem<uint16_t>(), *w = z + LADDER_ROWS * (a.d + 8),
             *r = w + CLASSES * (a.d + 8);
    const int block = (int)blockIdx.x, row = block * LADDER_ROWS;
    unsigned epoch = 0;
    copy_lines(z, a.Z16 + (int64_t)row * a.d, LADDER_ROWS, a.B - row, a.d); /* once */
    for (int m = 0; m < M; m++) {
        copy_lines(w, a.W16, CLASSES, a.C, a.d); /* every step; past L1, which may hold the step before */
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        float x[CLASSES / 2];
        band_logits<CLASSES>(x, z, a.d, [&](int c, int k) { return w + c * (a.d + 8) + k; });
        band_residuals<CLASSES>(a, x, row + (int)threadIdx.x / WARP * BAND,
                                [&](int b, int c, uint32_t pair) {
                                    *(uint32_t *)(r + (b - row) * (CLASSES + 8) + c) = pair;
                                });
        __syncthreads();
        band_gradient<CLASSES>(a, z, r, a.partial + (int64_t)block * a.C * (a.d + 1));
        grid_barrier(a.arrived, epoch); /* all partial sums are there */
        add_slice(a, block, (int)gridDim.x, a.done + m);
        grid_barrier(a.arrived, epoch); /* W is whole, and nobody reads partial sums any more */
    }
}

/* --- on the host ---------------------------------------------------------------------------------- */

static const char *run(const Ladder *a, int M) {
    const int blocks = (a->B + LADDER_ROWS - 1) / LADDER_ROWS;
    if (cudaMemsetAsync(a->arrived, 0, sizeof(unsigned), NULL) != cudaSuccess)
        return "the barrier could not be reset";
    return a->C <= 16 ? ladder_launch_as(1, true, rows_that_stay<16>, blocks, BAND_THREADS,
                                         band_bytes(16, a->d), *a, M)
                      : ladder_launch_as(1, true, rows_that_stay<64>, blocks, BAND_THREADS,
                                         band_bytes(64, a->d), *a, M);
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double M = 10.0;
    return ladder_step(4)->seconds(p, B, C, d) - (1.0 - 1.0 / M) * 2.0 * B * d / p->l2_bytes_s -
           2.0 * p->node_s + 2.0 * (p->barrier_s + p->drain_s) + p->heavy_node_s / M;
}

extern "C" const LadderStep ladder_step6 = {"the batch stays on the chip", "rows_that_stay", run,
                                            seconds, false};
