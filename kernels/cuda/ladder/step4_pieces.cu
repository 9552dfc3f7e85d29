/*
 * step4_pieces.cu - step 4 of the ladder: the batch in pieces
 *
 *     partial[n] = sum over rows b of piece n of R[b]^T Z[b]      then      grad = 1/B sum_n partial[n], in order
 *
 * Idea     A sum over 10 000 rows has few results: at C 10 the gradient's tiles are 49 blocks, and most SMs sleep. Sixteen
 *          pieces of the batch are sixteen times as many blocks. Their sums are added in the order of the pieces, so
 *          every run has the same bits, which atomics would not give.
 * Mapping  block (tile, piece) as in step 2; then a thread per weight adds the 16 partial sums and applies Adam.
 * Time         seconds = 2 x 2 B C' d'/32 128 bytes / ports  +  16 x 8 C (d+1) bytes / L2  +  3 launches
 *          Both products now wait for the ports of shared memory alone; C' and d' are in whole tiles.
 * See      gdb -q -batch -ex 'break piece_of if n == 3 && threadIdx.x == 0' -ex run -ex finish --args build/ladder-emu 4
 *              Breakpoint 1, piece_of (a=..., n=...3)
 *              Value returned is $1 = {first = 28, end = 37}
 * Look at  Rows 28 to 36 of 150 are piece 3. Exercise: find the number of pieces at which the second term of the time
 *          outgrows what pieces gain.
 */
#include "kernels/cuda/ladder/tiles.cuh"

struct Rows {
    int first, end;
};
__device__ Rows piece_of(const Ladder &a, int n) {
    const int64_t B = a.B;
    return {(int)(B * n / LADDER_PIECES), (int)(B * (n + 1) / LADDER_PIECES)};
}

__global__ void __launch_bounds__(TILE_THREADS) piece_of_weights(const Ladder a) {
    const int across = a.d / SIDE + 1, tile = (int)blockIdx.x / LADDER_PIECES,
              n = (int)blockIdx.x % LADDER_PIECES;
    const int row = tile / across * SIDE, col = tile % across * SIDE;
    const Rows rows = piece_of(a, n);
    const float sum = gradient_tile(a, row, col, rows.first, rows.end);
    const int c = row + (int)threadIdx.x / SIDE, j = col + (int)threadIdx.x % SIDE;
    if (c < a.C && j <= a.d) a.partial[((int64_t)n * a.C + c) * (a.d + 1) + j] = sum;
}

__global__ void sum_per_thread(const Ladder a, int pieces, float scale, int steps_done) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < (int64_t)a.C * (a.d + 1)) add_pieces(a, i, pieces, scale, steps_done);
}

/* --- on the host ---------------------------------------------------------------------------------- */

const char *launch_add_pieces(const Ladder &a, int pieces, float scale, int steps_done) {
    return ladder_launch(sum_per_thread, (a.C * (a.d + 1) + 127) / 128, 128, 0, a, pieces, scale,
                         steps_done);
}

static const char *run(const Ladder *a, int M) {
    const int tiles = (a->C + SIDE - 1) / SIDE * (a->d / SIDE + 1);
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = launch_fused_rows(*a);
        if (!fault)
            fault = ladder_launch(piece_of_weights, tiles * LADDER_PIECES, TILE_THREADS,
                                  GRADIENT_TILE_BYTES, *a);
        if (!fault) fault = launch_add_pieces(*a, LADDER_PIECES, 1.0f, a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double product = 2.0 * B * 16.0 * whole(C, 16) / 32.0 * 128.0;
    return port_seconds(p, product * d + product * (d + 16.0)) +
           partial_seconds(p, LADDER_PIECES, C, d) + 3.0 * p->node_s;
}

extern "C" const LadderStep ladder_step4 = {
    "the batch in pieces", "fused_rows piece_of_weights sum_per_thread", run, seconds, false};
