/*
 * inner_wgmma.cu - the inner loop in one launch for many classes: compute capability 9.0, 16 bits
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu; 32 < C <= 2048, Z of float16 or bfloat16.
 * Cost     4BCd flops per step and space. C 1000, B 10000, d 768, predicted on an H200: 15.4 GFLOP a
 *          phase are 19 us at 795 TFLOP/s; rows are 79 pieces over 33 clusters, so 3 rounds (80 %).
 * Mapping  blocks stay, in clusters of 1, 2, 4 or 8: as many as hold all classes, 256 a block, or twice as
 *          many, whose halves have other rows:
 *
 *              phase     items                                 writes
 *              rows      (space, 128 or 256 rows) a cluster    R, a loss
 *                        Z of the rows is loaded once and multicast, and so is W for both halves; a row's
 *                        maxima and sums are exchanged through the cluster's shared memory: 8 bytes a block
 *              ----- grid barrier -----
 *              pieces    (256 features, piece of the batch) a cluster, 128 classes a block: partial
 *                        gradients (wide_gradient.cuh); Z is loaded once and multicast
 *              ----- the pieces of each tile wait for one another -----
 *              shares    wide_gradient.cuh: sum, Adam          W, m1, m2, the rounded W
 *              ----- grid barrier -----
 *
 *          Up to 128 classes a block has whole rows, and a cluster 1, 2 or 4 x 128 rows, for which it loads
 *          W once; then each block has pieces of the gradient of its own.
 *          wgmma.cuh has the product of both phases. Logits never leave the registers.
 * Needs    scratch (cuda_inner_scratch), a cooperative launch of clusters. R and the rounded W are
 *          stored ordinarily and loaded by the TMA: both sides fence them.
 * Budget   shared memory: ring 4 x 48 KB, exchange 2 KB, biases 2 KB, losses: 200896 of 232448 bytes. Registers:
 *          224 x 256 + 56 x 128 = 64512 of 65536; 128 of a thread's 224 are the product.
 * Ladder   Small kernels explain this one: kernels/cuda/ladder/step7_cluster.cu, then ladder/step8_wgmma.cu.
 * History  Not measured on a GPU yet. A block of 288 threads has 168 registers a thread, as one of 384 has
 *          (every fourth warp shares a quarter of the file): it spilled 1.7 KB (nvcc 13.0, sm_90a). Division by
 *          / in the epilogue of rows is a call, around which six registers spilled.
 */
#include "kernels/cuda/inner/inner_forms.cuh"
#include "kernels/cuda/inner/inner_phases.cuh"
#include "kernels/cuda/train/wide_logits.cuh"

template <class T> struct Wide {
    InnerPhases<T> phases;
    int M;
    unsigned *arrived; /* (1) zero at the start */
    float *mass; /* (B), which logits.mass reads */
    WideLogits logits;
    CUtensorMap R[MAX_SPACES];
};

/* The sums of columns lie where the parts of rows lay before. */
static_assert(WIDE_GRADIENT_SHARED <= WIDE_LOGITS_SHARED,
              "the launch's shared memory serves both phases");

/* --- rows ------------------------------------------------------------------------------------- */

/* The epilogue that stores R: row h is `share` times the exponentials, minus the labels. Lanes swap pairs with
 * their neighbour, so that four lanes store the 16 classes of two fragments, a whole sector:
 *
 *     lane        0            1             2            3
 *     has      0,1 8,9      2,3 10,11     4,5 12,13    6,7 14,15      (classes of the 16)
 *     stores   0 ... 3      8 ... 11      4 ... 7      12 ... 15 */
template <class T> struct ResidualEpilogue {
    static constexpr bool LABELS = true, EXPONENTIALS = false;
    const Residual<T> &r;

    __device__ double *losses(int k) const {
        return r.space[k].loss_partial;
    }
    template <int COLS>
    __device__ __forceinline__ double store(const WideLogits &a, int k, const RowPlace<COLS> &at,
                                            const float (&d)[COLS / 2], int h, const RowPart &,
                                            const RowPart &row, Labels<COLS> &labels) const {
        constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
        const bool odd = at.t % 2 == 1, inside = at.row(h) < a.B;
        const int64_t own = at.class0 - 2 * at.t + at.t / 2 * 4 + (odd ? 8 : 0);
        const int left = inside ? (int)(r.stride - own) : 0; /* a multiple of 4 */
        typename T::Element *R = r.space[k].R + at.row(h) * r.stride + own;
        float mass = 0.0f, dot = 0.0f;
        if constexpr (SPLITS) {
            mass = labels.mass[h];
        } else {
            UNROLL
            for (int j = 0; j < COLS / 8; j++) mass += labels.of(h, j).x + labels.of(h, j).y;
            mass = group_sum<4>(mass);
        }
        const float share = __fdividef(mass, row.sum); /* within two places; IEEE division is a call */
        UNROLL
        for (int j = 0; j < COLS / 8; j += 2) {
            uint32_t pair[2];
            labels.advance(a, at, h, j);
            UNROLL
            for (int i = 0; i < 2; i++) {
                const float2 y = labels.of(h, j + i);
                const float x0 = d[4 * (j + i) + 2 * h] - row.top,
                            x1 = d[4 * (j + i) + 2 * h + 1] - row.top;
                dot += y.x * x0;
                dot += y.y * x1;
                pair[i] = pair_of<T>((exp_below(x0) * share - y.x) * r.residual_scale,
                                     (exp_below(x1) * share - y.y) * r.residual_scale);
            }
            const uint32_t other = __shfl_xor_sync(ALL_LANES, odd ? pair[0] : pair[1], 1);
            if (8 * j < left)
                *(uint2 *)(R + 8 * j) =
                    odd ? make_uint2(other, pair[1]) : make_uint2(pair[0], other);
        }
        const bool tells = at.t == 0 && at.class0 == 0; /* once a row */
        return (tells ? (double)(mass * logf(row.sum)) : 0.0) - (double)dot;
    }
};

/* Adds the labels of every row, a warp a row, once for all steps. */
__device__ __forceinline__ void add_labels(const WideLogits &a, float *mass) {
    const int warps = (int)(gridDim.x * blockDim.x / WARP), lane = (int)threadIdx.x % WARP;
    for (int64_t b = (blockIdx.x * blockDim.x + threadIdx.x) / WARP; b < a.B; b += warps) {
        float sum = 0.0f;
        for (int64_t c = lane; c < a.C; c += WARP) sum += a.Y[b * a.C + c];
        sum = warp_sum(sum);
        if (lane == 0) mass[b] = sum;
    }
}

/* --- the kernel ------------------------------------------------------------------------------- */

/* A barrier of the grid behind which the TMA may load what was stored before it. `before` is the number of
 * barriers that came before; it is computed, not kept, for registers are few. */
__device__ __forceinline__ void wide_barrier(unsigned *arrived, int before) {
    unsigned epoch = gridDim.x * (unsigned)before;
    fence_proxy_async_global(); /* for the stores of this thread */
    fence_proxy_async();        /* Adam's constants lie in the ring, which a peer's copies overwrite */
    grid_barrier(arrived, epoch);
    if (threadIdx.x != WIDE_CONSUMERS) return;
    fence_proxy_async_global(); /* for the loads that this thread starts */
}

/* All steps. LOADS: the threads that load call it; else the threads that multiply. */
template <class T, int COLS, bool LOADS>
__device__ __forceinline__ void wide_loop(const Wide<T> &wide) {
    const InnerPhases<T> &p = wide.phases;
    const Gradient<T> &gradient = p.gradient;
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    const ResidualEpilogue<T> residuals = {p.residual};
    Ring ring;
    for (int m = 0; m < wide.M; m++) {
        ring.stage = 0; /* in all blocks of a cluster */
        wide_rows<T, COLS, LOADS>(wide.logits, residuals, ring);
        wide_barrier(wide.arrived, 2 * m + 1);

        int together = 1;
        if constexpr (SPLITS) {
            together = (int)cluster_size();
            keep_order(together); /* the deal takes no registers while rows are multiplied */
        }
        const WideDeal deal(gradient, together);
        for (int at = deal.own; at < deal.items; at += deal.workers)
            wide_piece<T, SPLITS ? SHARE_B : SHARE_NONE, LOADS>(gradient, deal, at, wide.R,
                                                                wide.logits.Z, ring);
        if constexpr (LOADS) { /* a warp that has no loads to start */
            if (p.adam.losses && blockIdx.x == 0 && threadIdx.x / WARP == WIDE_THREADS / WARP - 1)
                p.adam.write_loss(m);
        } else {
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); /* Adam's constants lie in the idle ring */
            p.adam.prepare(m);
            wide_shares<SPLITS ? 4 : 8>(gradient, deal, m, p.adam);
        }
        if (m + 1 < wide.M) wide_barrier(wide.arrived, 2 * m + 2);
    }
}

/* COLS: the classes of a block's tile of logits. */
template <class T, int COLS>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    inner_wgmma(const __grid_constant__ Wide<T> wide) {
#if HAS_WGMMA
    Ring::begin();
    round_heads(wide.phases);
    if (RowPlace<COLS>::SPLITS) add_labels(wide.logits, wide.mass);
    wide_barrier(wide.arrived, 0);
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        wide_loop<T, COLS, true>(wide);
    } else {
        registers_take<CONSUMER_REGISTERS>();
        wide_loop<T, COLS, false>(wide);
    }
    __syncwarp();
    cluster_sync(); /* the other blocks, to which this one releases its last stages, must still be there */
#else
    __trap(); /* the host launches the kernel on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

template <class T, int COLS>
static Status wide_launch(Queue *q, const InnerSteps *in, const Plan &plan) {
    const char *what = "inner_steps (mega, clusters)";
    const auto kernel = inner_wgmma<T, COLS>;
    const int size = plan.cluster;
    const FusedScratch scratch =
        lay_out_fused(in->scratch, in->space[0].Z.type, in->K, in->B, in->C, largest_d(in));
    Wide<T> wide = {};
    wide.phases = inner_phases<T>(in, scratch);
    wide.M = (int)in->M;
    wide.arrived = scratch.arrived;
    wide.mass = scratch.mass;
    wide.phases.adam.loss_blocks = wide_losses(in->B, in->C);
    wide.logits.K = in->K;
    wide.logits.split_bits = plan_split_bits(&plan);
    wide.logits.B = in->B;
    wide.logits.C = in->C;
    wide.logits.Y = in->Y;
    wide.logits.mass = scratch.mass;
    double features = 0.0;
    for (int k = 0; k < in->K; k++) {
        const ResidualSpace<T> &s = wide.phases.residual.space[k];
        const int64_t stride = wide.phases.residual.stride;
        features += (double)s.Z.width;
        wide.logits.order[k] = plan.order[k];
        REQUIRE(q,
                wide_space(&wide.logits, k, s.Z, s.W, s.bias) &&
                    tensor_map(&wide.R[k], s.R, in->C, in->B, stride, 64, 64),
                "inner_steps (tensor maps)");
    }
    int clusters = 0;
    const cudaError_t asked =
        resident_clusters(&clusters, kernel, size, WIDE_THREADS, WIDE_LOGITS_SHARED);
    if (asked != cudaSuccess) return cuda_queue_error(q, what, asked);
    if (clusters < 1) return cuda_queue_error(q, what, cudaErrorCooperativeLaunchTooLarge);
    const int together = RowPlace<COLS>::SPLITS ? size : 1;
    wide_plan(&wide.phases.gradient, q->device->sms, plan.splits, scratch.gradient);
    const int64_t pieces = (int64_t)WideDeal::items_of(wide.phases.gradient, together) * together,
                  rows = in->K * plan_pieces(&plan) * size,
                  most = round_up(rows > pieces ? rows : pieces, size),
                  blocks = (int64_t)clusters * size < most ? (int64_t)clusters * size : most;
    cudaError_t error = cudaMemsetAsync(wide.arrived, 0, sizeof *wide.arrived, q->stream);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(scratch.gradient, 0,
                                (size_t)wide.phases.gradient.tiles * sizeof(unsigned), q->stream);
    if (error != cudaSuccess) return cuda_queue_error(q, what, error);
    cost(q, 4.0 * (double)in->M * (double)in->B * (double)in->C * features,
         2.0 * (double)in->B * features);
    return launch_with(q, COOPERATIVE | clusters_of(size), (inner_wgmma<T, COLS>),
                       dim3((unsigned)blocks), WIDE_THREADS, WIDE_LOGITS_SHARED, wide);
}

bool wide_sizes(const InnerSteps *in) {
    return in->M <= INT32_MAX / 2 && in->B <= INT32_MAX - 1024 && largest_d(in) <= INT32_MAX - 256;
}

int wide_clusters(const Plan &plan) {
    return with_wide_tile(
        plan, [&](auto cols) { return held_clusters(plan, inner_wgmma<Fp16, cols()>); });
}

Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan) {
    return with_wide_tile(plan, [&](auto cols) {
        if (in->space[0].Z.type == DTYPE_F16) return wide_launch<Fp16, cols()>(q, in, plan);
        return wide_launch<Bf16, cols()>(q, in, plan);
    });
}
