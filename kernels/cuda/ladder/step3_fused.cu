/*
 * step3_fused.cu - step 3 of the ladder: the softmax where the logits are
 *
 *     R[b,c] = softmax(Z[b] W^T + bias)[c] sum_c Y[b,c] - Y[b,c]      in one kernel, for 16 rows a block
 *
 * Idea     A softmax needs a whole row of logits. The block that has 16 rows computes all their classes, keeps them in
 *          shared memory and stores residuals. So logits never travel, and a launch is saved.
 * Mapping  as step 2, but a block goes through all tiles of classes; then 16 of its 256 threads do a row each.
 * Time     The logits' way to the L2 cache and back goes, and so does one launch. At few classes launches are what fusing
 *          saves; only kernels that are faster than these make that worth the effort.
 *              seconds = those of step 2  -  8 BC bytes / L2  -  a launch
 * Bits     A row's softmax runs in the order of step 1, so all bits are step 1's.
 * See      gdb -q -batch -ex 'break residual_row if blockIdx.x == 2 && threadIdx.x == 5' -ex run \
 *              -ex 'print blockIdx.x * 16 + threadIdx.x' --args build/ladder-emu 3
 *              Breakpoint 1, residual_row (x=..., y=..., C=10)
 *              $1 = 37
 * Look at  `x` is shared memory of block 2 and `y` the labels of row 37. Exercise: give the softmax all 256 threads
 *          (group_sum of ../tile/tile.cuh) and say which bits change.
 */
#include "kernels/cuda/ladder/tiles.cuh"

constexpr int LINE = LADDER_CLASSES + 1; /* an odd number: 16 threads walk along 16 rows */

__global__ void __launch_bounds__(TILE_THREADS) fused_rows(const Ladder a) {
    float *logits = shared_mem<float>(LOGITS_TILE_BYTES); /* (16, LINE) behind the tiles */
    const int row = (int)blockIdx.x * SIDE, r = (int)threadIdx.x / SIDE,
              c = (int)threadIdx.x % SIDE;
    for (int col = 0; col < a.C; col += SIDE)
        logits[r * LINE + col + c] = logits_tile(a, row, col);
    __syncthreads();
    const int b = row + (int)threadIdx.x;
    if (threadIdx.x < SIDE && b < a.B)
        residual_row(logits + threadIdx.x * LINE, a.Y + (int64_t)b * a.C, a.C);
    __syncthreads();
    for (int col = c; col < a.C && row + r < a.B; col += SIDE)
        a.R[(int64_t)(row + r) * a.C + col] = logits[r * LINE + col];
}

/* --- on the host ---------------------------------------------------------------------------------- */

const char *launch_fused_rows(const Ladder &a) {
    return ladder_launch(fused_rows, (a.B + SIDE - 1) / SIDE, TILE_THREADS,
                         LOGITS_TILE_BYTES + SIDE * LINE * 4, a);
}

static const char *run(const Ladder *a, int M) {
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = launch_fused_rows(*a);
        if (!fault) fault = launch_weight_tiles(*a, a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    return ladder_step(1)->seconds(p, B, C, d) - 8.0 * B * C / p->l2_bytes_s - p->node_s;
}

extern "C" const LadderStep ladder_step3 = {"the softmax where the logits are",
                                            "fused_rows tile_of_weights", run, seconds, false};
