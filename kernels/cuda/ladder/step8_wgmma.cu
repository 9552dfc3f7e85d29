/*
 * step8_wgmma.cu - step 8 of the ladder: wgmma, one group loads while the other multiplies
 *
 *     x (64 x N, float32) += a (64 x 16) b (16 x N)      both operands in shared memory, by 128 threads together
 *
 * Idea     wgmma reads its operands where the TMA puts them, so no thread touches Z, W or R before the product. Then a
 *          block has two trades: load() starts copies into empty stages of a ring, multiply() empties full ones.
 *          mbarriers tell each of the other; read the two functions side by side.
 * Mapping  group 0 multiplies, thread 128 loads. Logits: 64 rows x 64 classes over d. Gradient: 64 classes x 256 features
 *          over a piece of the batch; the threads from 192 on sum R for the bias meanwhile.
 * Time     At 64 classes this tile just fills, and partial gradients of 40 pieces replace those of every 64 rows.
 *              seconds = (4Bd + 128 d B/64 + 128 B (1 + d/256) + 320 C (d+1)) bytes / L2  +  256 Bd / wgmma  +  3 launches
 *          At 10 classes five sixths of the tile are padding, and the batch comes twice: step 7 is the better one.
 * Needs    compute capability 9.0a; ring.cuh holds the ring. Sums run in the hardware's order: bits are its own.
 * See      gdb -q -batch -ex 'break load<4> if a.y == 128 && tiles == 1' -ex run -ex 'print threadIdx.x' \
 *              -ex 'print blockIdx.x' --args build/ladder-emu 8
 *              Breakpoint 1..., load<4> (a=..., b=..., tiles=...1)
 *              $1 = 128
 *              $2 = 39
 * Look at  150 rows are three tiles for forty pieces; the last piece has the last one. Break at `multiply` as well.
 */
#include "kernels/cuda/ladder/ring.cuh"
#include "kernels/cuda/tile/compiled.cuh"

constexpr int WIDE = 256, GROUP = 128, ALL = 2 * GROUP;
/* One thread: fills the ring with a box of `a` and BOXES of `b` a tile. */
template <int BOXES> __device__ void load(const Walk &a, const Walk &b, int tiles) {
    for (int t = 0; t < tiles; t++) {
        const int s = t % RING;
        mbarrier_wait(empty(s), t / RING % 2 ^ 1);
        mbarrier_arrive_expect(full(s), (1 + BOXES) * BOX);
        unsigned char *box = shared_mem<unsigned char>(s * STAGE);
        load_box(box, a.map, a.x + t * a.dx, a.y + t * a.dy, full(s));
        for (int i = 1; i <= BOXES; i++)
            load_box(box + i * BOX, b.map, b.x + t * b.dx + 64 * (i - 1), b.y + t * b.dy, full(s));
    }
}
/* 128 threads: x = the product over all tiles. */
template <int N, Major MAJOR> __device__ void multiply(float (&x)[N / 2], int tiles) {
    UNROLL
    for (int i = 0; i < N / 2; i++) x[i] = 0.0f;
    for (int t = 0; t < tiles; t++) {
        const int s = t % RING;
        mbarrier_wait(full(s), t / RING % 2);
        __syncwarp();
        const unsigned char *box = shared_mem<unsigned char>(s * STAGE);
        wgmma_fence();
        UNROLL
        for (int k = 0; k < 4; k++) /* 16 depths each */
            wgmma<WGMMA_F16, N, MAJOR, MAJOR>(x, tile_descriptor<MAJOR>(box, k, BOX),
                                              tile_descriptor<MAJOR>(box + BOX, k, BOX));
        wgmma_commit();
        wgmma_wait<0>(x);
        if (threadIdx.x % WARP == 0) mbarrier_arrive(empty(s)); /* a warp is done */
    }
}
__global__ void __launch_bounds__(ALL)
    rows_by_wgmma(const Ladder a, const __grid_constant__ CUtensorMap Z, const __grid_constant__ CUtensorMap W) {
    const int row = (int)blockIdx.x * LADDER_ROWS;
    begin_ring();
    if (threadIdx.x == GROUP) load<1>({&Z, 0, row, 64, 0}, {&W, 0, 0, 64, 0}, a.d / 64);
    if (threadIdx.x >= GROUP) return;
    float x[32];
    multiply<64, K_MAJOR>(x, a.d / 64);
    band_residuals<64>(a, x, row + (int)threadIdx.x / WARP * BAND, [&](int b, int c, uint32_t pair) {
        if (b < a.B) *(uint32_t *)(a.R16 + (int64_t)b * 64 + c) = pair;
    });
}

__global__ void __launch_bounds__(ALL)
    weights_by_wgmma(const Ladder a, const __grid_constant__ CUtensorMap R, const __grid_constant__ CUtensorMap Z) {
    const int n = (int)blockIdx.x % LADDER_WIDE_PIECES, col = (int)blockIdx.x / LADDER_WIDE_PIECES * WIDE;
    const int all = (a.B + 63) / 64, first = all * n / LADDER_WIDE_PIECES,
              tiles = all * (n + 1) / LADDER_WIDE_PIECES - first;
    float *partial = a.partial + (int64_t)n * a.C * (a.d + 1);
    const int lane = (int)threadIdx.x % WARP, c0 = (int)threadIdx.x / WARP * 16 + lane / 4, own = (int)threadIdx.x - 192;
    begin_ring();
    if (threadIdx.x == GROUP) load<4>({&R, 0, 64 * first, 0, 64}, {&Z, col, 64 * first, 0, 64}, tiles);
    if (threadIdx.x < GROUP) {
        float grad[WIDE / 2];
        multiply<WIDE, MN_MAJOR>(grad, tiles);
        UNROLL
        for (int i = 0; i < WIDE / 2; i++) {
            const int c = c0 + i / 2 % 2 * 8, j = col + i / 4 * 8 + lane % 4 * 2 + i % 2;
            if (c < a.C && j < a.d) partial[(int64_t)c * (a.d + 1) + j] = grad[i];
        }
    } else if (col == 0 && own >= 0 && own < a.C) { /* the bias */
        float sum = 0.0f;
        for (int b = 64 * first; b < 64 * (first + tiles) && b < a.B; b++) sum += f32_of_f16(a.R16[(int64_t)b * 64 + own]);
        partial[(int64_t)own * (a.d + 1) + a.d] = sum;
    }
}

/* --- on the host ---------------------------------------------------------------------------------- */

static const char *run(const Ladder *a, int M) {
    CUtensorMap Z, W, R;
    if (!has_wgmma(compiled_for(weights_by_wgmma))) return "it needs compute capability 9.0a";
    if (!tensor_map(&Z, a->Z16, a->d, a->B, a->d, 64, 64) || !tensor_map(&R, a->R16, 64, a->B, 64, 64, 64) ||
        !tensor_map(&W, a->W16, a->d, LADDER_CLASSES, a->d, 64, 64))
        return "there are no tensor maps here";
    const int blocks = (a->d + WIDE - 1) / WIDE * LADDER_WIDE_PIECES;
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = ladder_launch(rows_by_wgmma, (a->B + 63) / 64, ALL, RING_BYTES, *a, Z, W);
        if (!fault) fault = ladder_launch(weights_by_wgmma, blocks, ALL, RING_BYTES, *a, R, Z);
        if (!fault) fault = launch_add_pieces(*a, LADDER_WIDE_PIECES, 1.0f / R_SCALE, a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double bytes = 4.0 * B * d + 2.0 * LADDER_CLASSES * d * whole(B, 64) + 128.0 * B * (1.0 + whole(d, WIDE));
    return bytes / p->l2_bytes_s + partial_seconds(p, LADDER_WIDE_PIECES, C, d) +
           256.0 * B * d / p->wgmma_flops_16 + 3.0 * p->node_s;
}

extern "C" const LadderStep ladder_step8 = {
    "wgmma: one group loads, one multiplies", "rows_by_wgmma weights_by_wgmma sum_per_thread", run,
    seconds, true};
