/*
 * step7_cluster.cu - step 7 of the ladder: a cluster shares W, by TMA multicast
 *
 *     block 0 loads boxes 0, 4, 8 of W, block 1 boxes 1, 5, 9, ...      each box lands in all four blocks at once
 *
 * Idea     Every block reads all of W in every step, which is C d numbers from the L2 cache for 64 rows. Four blocks of a
 *          cluster load a quarter each, and the TMA writes it into the shared memory of all four: one read serves four.
 * Mapping  as step 6, in clusters of four. One thread starts the copies; an mbarrier counts their bytes in each block, and
 *          all threads wait for its phase. A box is 64 features of all classes, swizzled: piece j of line c lies at
 *          place j ^ (c mod 8), so that ldmatrix meets all banks without padding.
 * Time         seconds = those of step 6  -  2 (C - C'/4) d B/64 bytes / L2      C' = 16 or 64: boxes have padding, too
 * Needs    compute capability 9.0. d/64 boxes; whole clusters: blocks beyond the batch have no rows and add slices.
 * Trap     Adam stores W16 ordinarily and the TMA reads it by another way, the async proxy. Both sides fence.
 * Bits     Only the way of W differs: all bits are step 5's and step 6's.
 * See      gdb -q -batch -ex 'break load_share if rank == 2' -ex run -ex 'print rank' -ex 'print blockIdx.x' \
 *              -ex 'print threadIdx.x' --args build/ladder-emu 7
 *              Breakpoint 1..., load_share<16> (
 *              $1 = 2
 *              $2 = 2
 *              $3 = 0
 * Look at  At d 768 thread 0 of rank 2 loads boxes 2, 6, 10. Here d is 128: W is two boxes, and it only announces bytes.
 *          Exercise: let a cluster of two share W and predict the time.
 */
#include "kernels/cuda/ladder/bands.cuh"
#include "kernels/cuda/tile/compiled.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/cuda/tile/tensor_map.cuh"

constexpr int CLUSTER = 4, BOX_FEATURES = 64;

/* One thread of each block calls it: announces all of W to its own mbarrier and loads every fourth box for all. */
template <int CLASSES>
__device__ void load_share(const Ladder &a, const CUtensorMap *map, uint16_t *w, uint64_t *full,
                           int rank) {
    mbarrier_arrive_expect(full, (unsigned)(2 * CLASSES * a.d));
    for (int box = rank; box < a.d / BOX_FEATURES; box += CLUSTER)
        load_box_multicast(w + box * CLASSES * BOX_FEATURES, map, box * BOX_FEATURES, 0, full,
                           (1u << CLUSTER) - 1);
}

template <int CLASSES>
__global__ void __launch_bounds__(BAND_THREADS)
    rows_in_clusters(const Ladder a, const __grid_constant__ CUtensorMap map, int M, int pieces) {
    uint16_t *w = shared_mem<uint16_t>(), *z = w + CLASSES * a.d, *r = z + LADDER_ROWS * (a.d + 8);
    uint64_t *full = (uint64_t *)(r + LADDER_ROWS * (CLASSES + 8));
    const int block = (int)blockIdx.x, row = block * LADDER_ROWS;
    const int64_t weights = (int64_t)a.C * (a.d + 1);
    unsigned epoch = 0;
    if (threadIdx.x == 0) mbarrier_init(full, 1), fence_mbarrier_init();
    if (block < pieces) copy_lines(z, a.Z16 + (int64_t)row * a.d, LADDER_ROWS, a.B - row, a.d);
    cp_async_commit();
    __syncwarp();
    cluster_sync(); /* all mbarriers of the cluster can count */
    for (int m = 0; m < M; m++) {
        if (threadIdx.x == 0) load_share<CLASSES>(a, &map, w, full, (int)cluster_rank());
        cp_async_wait<0>();
        __syncthreads();
        mbarrier_wait(full, m % 2);
        if (block < pieces) {
            float x[CLASSES / 2];
            band_logits<CLASSES>(x, z, a.d, [&](int c, int k) {
                return w + k / 64 * CLASSES * 64 + c * 64 + ((k % 64 / 8) ^ (c % 8)) * 8;
            });
            band_residuals<CLASSES>(a, x, row + (int)threadIdx.x / WARP * BAND,
                                    [&](int b, int c, uint32_t pair) {
                                        *(uint32_t *)(r + (b - row) * (CLASSES + 8) + c) = pair;
                                    });
            __syncthreads();
            band_gradient<CLASSES>(a, z, r, a.partial + block * weights);
        }
        grid_barrier(a.arrived, epoch);
        for (int64_t i = block * BAND_THREADS + threadIdx.x; i < weights; i += gridDim.x * BAND_THREADS)
            add_pieces(a, i, pieces, 1.0f / R_SCALE, a.done + m);
        fence_proxy_async_global(); /* for the stores of this thread */
        grid_barrier(a.arrived, epoch);
        fence_proxy_async_global(); /* for the copies that this thread starts */
    }
    cluster_sync(); /* nobody returns while a peer's copy may still come */
}

/* --- on the host ---------------------------------------------------------------------------------- */

template <int CLASSES> static const char *run_as(const Ladder *a, int M) {
    const int pieces = (a->B + LADDER_ROWS - 1) / LADDER_ROWS;
    CUtensorMap map;
    if (!has_clusters(compiled_for(rows_in_clusters<CLASSES>)))
        return "it needs compute capability 9.0";
    if (!tensor_map(&map, a->W16, a->d, LADDER_CLASSES, a->d, BOX_FEATURES, CLASSES))
        return "there are no tensor maps here";
    if (cudaMemsetAsync(a->arrived, 0, sizeof(unsigned), NULL) != cudaSuccess)
        return "the barrier could not be reset";
    return ladder_launch_as(CLUSTER, true, rows_in_clusters<CLASSES>,
                            (pieces + CLUSTER - 1) / CLUSTER * CLUSTER, BAND_THREADS,
                            band_bytes(CLASSES, a->d) + 8, *a, map, M, pieces);
}
static const char *run(const Ladder *a, int M) {
    return a->C <= 16 ? run_as<16>(a, M) : run_as<64>(a, M);
}

static double seconds(const PlanDevice *p, double B, double C, double d) {
    const double saved = C - (C <= 16.0 ? 16.0 : 64.0) / CLUSTER; /* lines of W, for each block */
    return ladder_step(5)->seconds(p, B, C, d) -
           2.0 * saved * d * whole(B, LADDER_ROWS) / p->l2_bytes_s;
}

extern "C" const LadderStep ladder_step7 = {"a cluster shares W, by TMA multicast",
                                            "rows_in_clusters", run, seconds, true};
