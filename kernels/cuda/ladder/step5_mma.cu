/*
 * step5_mma.cu - step 5 of the ladder: tensor cores, by mma.sync (bands.cuh)
 *
 *     x (16 x 8, float32) += a (16 x 16, float16) b (16 x 8, float16)      2048 multiply-adds in one instruction
 *
 * Idea     A warp multiplies small matrices whose elements lie in registers of all its lanes; ldmatrix brings them from
 *          shared memory. Operands are rounded to float16 and the sums stay float32. A block has 64 rows for
 *          both products, so Z comes once where steps 1 to 4 read it twice.
 * Mapping  4 warps with 16 rows each: logits, the softmax in registers, residuals to shared memory; then each warp has
 *          every fourth strip of 16 features of the gradient of all 64 rows.
 * Time     A multiply-add costs a hundredth of step 4's instructions. What is left travels: Z, W for every block, and the
 *          block's gradient; the products hide behind that. One warp a scheduler waits for each of its fragments.
 *              seconds = (2Bd + 2Cd B/64 + 8 C (d+1) B/64) bytes / L2  +  2 d/16 trips to shared memory  +  2 launches
 * Needs    Z16 and W16. Shared memory 2 (64 (d+8) + C' (d+8) + 64 (C'+8)) bytes, C' = 16 or 64.
 * See      gdb -q -batch -ex 'break band_residuals if row0 == 80 && threadIdx.x == 37' -ex run \
 *              -ex 'print row0 + threadIdx.x % 32 / 4' -ex 'print threadIdx.x % 4 * 2' --args build/ladder-emu 5
 *              $1 = 81
 *              $2 = 2
 * Look at  The lane has rows 81 and 89 and classes 2, 3, 10 and 11: `print x` shows its eight logits, 0 as in step 1
 *          until `ignore 1 1`. Classes 10 and 11 are padding. Exercise: which lane has row 90, class 7?
 */
#include "kernels/cuda/ladder/bands.cuh"

template <int CLASSES> __global__ void __launch_bounds__(BAND_THREADS) rows_by_mma(const Ladder a) {
    uint16_t *z = shared_mem<uint16_t>(), *w = z + LADDER_ROWS * (a.d + 8),
             *r = w + CLASSES * (a.d + 8);
    const int block = (int)blockIdx.x, row = block * LADDER_ROWS;
    copy_lines(z, a.Z16 + (int64_t)row * a.d, LADDER_ROWS, a.B - row, a.d);
    copy_lines(w, a.W16, CLASSES, a.C, a.d);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    float x[CLASSES / 2];
    band_logits<CLASSES>(x, z, a.d, [&](int c, int k) { return w + c * (a.d + 8) + k; });
    band_residuals<CLASSES>(a, x, row + (int)threadIdx.x / WARP * BAND,
                            [&](int b, int c, uint32_t pair) {
                                *(uint32_t *)(r + (b - row) * (CLASSES + 8) + c) = pair;
                            });
    __syncthreads(); /* the gradient reads all rows of r */
    band_gradient<CLASSES>(a, z, r, a.partial + (int64_t)block * a.C * (a.d + 1));
}

/* --- on the host ---------------------------------------------------------------------------------- */

static const char *run(const Ladder *a, int M) {
    const int blocks = (a->B + LADDER_ROWS - 1) / LADDER_ROWS;
    const char *fault = NULL;
    for (int m = 0; m < M && !fault; m++) {
        fault = a->C <= 16 ? ladder_launch(rows_by_mma<16>, blocks, BAND_THREADS, band_bytes(16, a->d), *a)
                           : ladder_launch(rows_by_mma<64>, blocks, BAND_THREADS, band_bytes(64, a->d), *a);
        if (!fault) fault = launch_add_pieces(*a, blocks, 1.0f / R_SCALE, a->done + m);
    }
    return fault;
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double blocks = whole(B, LADDER_ROWS);
    return (2.0 * B * d + 2.0 * C * d * blocks) / p->l2_bytes_s + partial_seconds(p, blocks, C, d) +
           2.0 * d / 16.0 * p->shared_clocks / p->clock_hz + 2.0 * p->node_s;
}

extern "C" const LadderStep ladder_step5 = {
    "tensor cores, by mma.sync", "rows_by_mma sum_per_thread", run, seconds, false};
