/*
 * step2_tiles.cu - step 2 of the ladder: tiles in shared memory (tiles.cuh)
 *
 *     logits (16 x 16) += Z (16 x 32) W (16 x 32)^T      and      grad (16 x 16) += R (32 x 16)^T Z (32 x 16)
 *
 * Idea     A block needs 16 rows of Z and 16 of W, each number 16 times. Its threads load each number once, side by side,
 *          and take it from shared memory sixteen times.
 * Mapping  a block of 256 threads per tile; thread t has element (t / 16, t % 16) of the product.
 * Time     A multiply-add still takes two loads, now of one clock each. The gradient has C/16 x (d/16 + 1) blocks, 49 for
 *          132 SMs at C 10; each of their 8 warps takes 2 clocks of the port for every row of the batch.
 *              seconds = 2 B C' d/32 128 bytes / ports  +  rounds 16 B / clock  +  3 launches       C': C in whole 16s
 * Bits     Each sum runs over the same numbers in the same order as in step 1, so all bits are step 1's.
 * See      gdb -q -batch -ex 'break logits_tile if row == 16 && threadIdx.x == 37' -ex run \
 *              -ex 'print row + threadIdx.x / 16' -ex 'print col + threadIdx.x % 16' --args build/ladder-emu 2
 *              Breakpoint 1, logits_tile (a=..., row=...16, col=...0)
 *              $1 = 18
 *              $2 = 5
 * Look at  Thread 37 of the second block has row 18 and class 5. Exercise: let a thread have 4 x 4 logits.
 */
#include "kernels/cuda/ladder/tiles.cuh"

__global__ void __launch_bounds__(TILE_THREADS) tile_of_logits(const Ladder a) {
    const int across = (a.C + SIDE - 1) / SIDE, tile = (int)blockIdx.x;
    const int row = tile / across * SIDE, col = tile % across * SIDE;
    const float logit = logits_tile(a, row, col);
    const int b = row + (int)threadIdx.x / SIDE, c = col + (int)threadIdx.x % SIDE;
    if (b < a.B && c < a.C) a.R[(int64_t)b * a.C + c] = logit;
}

__global__ void __launch_bounds__(TILE_THREADS) tile_of_weights(const Ladder a, int steps_done) {
    const int across = a.d / SIDE + 1, tile = (int)blockIdx.x; /* the last tile has the bias */
    const int row = tile / across * SIDE, col = tile % across * SIDE;
    const float sum = gradient_tile(a, row, col, 0, a.B);
    const int c = row + (int)threadIdx.x / SIDE, j = col + (int)threadIdx.x % SIDE;
    if (c < a.C && j <= a.d) move_weight(a, c, j, sum, steps_done);
}

/* --- on the host ---------------------------------------------------------------------------------- */

const char *launch_weight_tiles(const Ladder &a, int steps_done) {
    return ladder_launch(tile_of_weights, (a.C + SIDE - 1) / SIDE * (a.d / SIDE + 1), TILE_THREADS,
                         GRADIENT_TILE_BYTES, a, steps_done);
}

static const char *run(const Ladder *a, int M) {
    const int tiles = (a->B + SIDE - 1) / SIDE * ((a->C + SIDE - 1) / SIDE);
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = ladder_launch(tile_of_logits, tiles, TILE_THREADS, LOGITS_TILE_BYTES, *a);
        if (!fault) fault = launch_residual_rows(*a);
        if (!fault) fault = launch_weight_tiles(*a, a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double wide = whole(C, 16), tiles = wide * (d / 16.0 + 1.0);
    return port_seconds(p, 2.0 * B * 16.0 * wide * d / 32.0 * 128.0) +
           whole(tiles, p->sms) * 16.0 * B / p->clock_hz + 3.0 * p->node_s;
}

extern "C" const LadderStep ladder_step2 = {
    "tiles in shared memory", "tile_of_logits thread_per_row tile_of_weights", run, seconds, false};
