/*
 * inner_wgmma.cu - the inner loop in one launch for many classes: compute capability 9.0, 16 bits
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu; 32 < C <= 2048, Z of float16 or bfloat16.
 * Cost     4BCd flops per step and space. C 1000, B 10000, d 768, predicted on an H200: 15.4 GFLOP a
 *          phase are 19 us at 795 TFLOP/s; rows are 79 items over 33 clusters, so 3 rounds (80 %).
 * Mapping  blocks stay, in clusters of 1, 2, 4 or 8, as many as hold all classes, 256 a block:
 *
 *              phase     items                                 writes
 *              rows      (space, 128 rows) a cluster           R, a loss
 *                        Z of the rows is loaded once and multicast; a row's maxima, sums, label mass
 *                        and loss are exchanged through the cluster's shared memory: 16 bytes a block
 *              ----- grid barrier -----
 *              pieces    (256 features, piece of the batch) a cluster, 128 classes a block: partial
 *                        gradients (wide_gradient.cuh); Z is loaded once and multicast
 *              ----- the pieces of each tile wait for one another -----
 *              shares    gradient.cuh: sum, Adam               W, m1, m2, the rounded W
 *              ----- grid barrier -----
 *
 *          To 128 classes a block has whole rows, a cluster 1, 2 or 4 x 128 rows, for which it loads W
 *          once; the pieces of the gradient are then the blocks' own.
 *          wgmma.cuh has the product of both. Logits never leave the registers.
 * Needs    scratch (cuda_inner_scratch), a cooperative launch of clusters. R and the rounded W are
 *          stored ordinarily and loaded by the TMA: fenced by both sides.
 * Budget   shared memory: ring 4 x 48 KB, exchange 4 KB, sums 2 KB: 202944 of 232448 bytes. Registers:
 *          224 x 256 + 56 x 128 = 64512 of 65536; 128 of a thread's 224 are the product.
 * History  Not measured on a GPU yet. A block of 288 threads has 168 registers a thread, as 384 have
 *          (a quarter of the file is shared by every fourth warp): it spilled 1.7 KB.
 *          v3.1 33 to 128 classes, tiles of 64 or 128, W shared by multicast: predicted at C 100, d 768 +
 *          1536 on an H200, 0.361 ms of steps instead of 0.557. The gradient's Z shared in clusters that
 *          split the classes: at C 1000 a gradient of 60 us instead of 101.
 *          To try: more rows a cluster at C 1000, so that W is loaded less often.
 */
#include "inner.cuh"
#include "wide_gradient.cuh"

template <class T> struct Wide {
    InnerPhases<T> phases;
    int M;
    unsigned *arrived;     /* (1) zero at the start */
    int order[MAX_SPACES]; /* those with most features first */
    CUtensorMap Z[MAX_SPACES], W[MAX_SPACES], R[MAX_SPACES];
};

/* Shared memory behind the ring and the gradient's. Two of what the rows exchange: the next item's while a
 * slower block still reads the last one's. */
constexpr int EXCHANGE = WIDE_GRADIENT_SHARED; /* (2, 128) float4: maximum, sum, label mass, dot */
constexpr int LOSSES = EXCHANGE + 2 * WideTile::ROWS * 16; /* (2, 8) double */
constexpr int WIDE_SHARED = LOSSES + 2 * WIDE_CONSUMERS / WARP * 8;
static_assert(EXCHANGE % 16 == 0, "float4s are aligned");
static_assert(WIDE_SHARED == WGMMA_SHARED, "plan.h counts with it");

/* --- rows ------------------------------------------------------------------------------------- */

/* What a thread has of a row's logits: their maximum; relative to it, their exponentials' sum; the labels' sum
 * and their product with the logits. Of a quad, a block or the whole row. */
struct RowPart {
    float top, sum, mass, dot;
};

/* The place of a thread in its tile: rows `first` and first + 8, h = 0 and 1; of class0 and on the
 * classes 8j and 8j + 1, which are x[4j + 2h] and x[4j + 2h + 1] of d and of the labels (ptx.cuh). */
template <int COLS> struct RowPlace {
    static constexpr bool SPLITS = COLS == WideTile::COLS;
    int first, t, classes; /* classes: that are left from class0 on; may be < 0 */
    int64_t row0, class0;

    template <class T> __device__ RowPlace(const Residual<T> &a, int64_t row) : row0(row) {
        const int lane = (int)threadIdx.x % WARP;
        first = (int)threadIdx.x / WARP * 16 + lane / 4;
        t = lane % 4;
        class0 = (SPLITS ? (int64_t)cluster_rank() * COLS : 0) + 2 * t;
        classes = (int)(a.C - class0);
    }
    __device__ int64_t row(int h) const {
        return row0 + first + 8 * h;
    }
};

/* A thread's labels, zero outside, where one block has all classes: on their way while it multiplies. */
template <class T, int COLS>
__device__ __forceinline__ void load_labels(const Residual<T> &a, const RowPlace<COLS> &at,
                                            float (&y)[COLS / 2]) {
    const bool pairs = a.C % 2 == 0 && (uintptr_t)a.Y % 8 == 0;
    UNROLL
    for (int h = 0; h < 2; h++) {
        const float *row = a.Y + at.row(h) * a.C + at.class0;
        const int classes = at.row(h) < a.B ? at.classes : 0;
        UNROLL
        for (int j = 0; j < COLS / 8; j++) {
            float2 two = make_float2(0.0f, 0.0f);
            if (pairs) {
                if (8 * j < classes) two = *(const float2 *)(row + 8 * j);
            } else {
                if (8 * j < classes) two.x = row[8 * j];
                if (8 * j + 1 < classes) two.y = row[8 * j + 1];
            }
            y[4 * j + 2 * h] = two.x;
            y[4 * j + 2 * h + 1] = two.y;
        }
    }
}

/* The quad's part of row h. Logits become exponentials relative to the part's maximum, zero outside. */
template <int COLS, class Label>
__device__ __forceinline__ RowPart row_part(float (&d)[COLS / 2], int h, int classes, Label label) {
    RowPart part = {-INFINITY, 0.0f, 0.0f, 0.0f};
    UNROLL
    for (int i = 0; i < COLS / 4; i++) part.top = fmaxf(part.top, d[i / 2 * 4 + 2 * h + i % 2]);
    part.top = lanes_max<4>(part.top);
    UNROLL
    for (int i = 0; i < COLS / 4; i++) {
        const int c = i / 2 * 8 + i % 2, at = i / 2 * 4 + 2 * h + i % 2;
        if (i % 4 == 0) keep_order(classes);
        if (c < classes) {
            const float x = d[at] - part.top, y = label(at, c);
            d[at] = expf(x);
            part.sum += d[at];
            part.mass += y;
            part.dot += y * x;
        } else {
            d[at] = 0.0f;
        }
    }
    part.sum = lanes_sum<4>(part.sum);
    part.mass = lanes_sum<4>(part.mass);
    part.dot = lanes_sum<4>(part.dot);
    return part;
}

/* The whole row from the parts of all blocks of the cluster, in order. */
__device__ __forceinline__ RowPart row_of_parts(const float4 *exchange) {
    const unsigned size = cluster_size();
    RowPart row = {-INFINITY, 0.0f, 0.0f, 0.0f};
    auto of = [&](unsigned r) { return cluster_load_float4(cluster_address(exchange, r)); };
    NO_UNROLL
    for (unsigned r = 0; r < size; r++) row.top = fmaxf(row.top, of(r).x);
    NO_UNROLL
    for (unsigned r = 0; r < size; r++) {
        const float4 part = of(r);
        if (part.y == 0.0f) continue; /* a block without classes */
        row.sum += part.y * expf(part.x - row.top);
        row.mass += part.z;
        row.dot += part.w + part.z * (part.x - row.top);
    }
    return row;
}

/* R of row h = share times the exponentials, minus the labels. Lanes swap pairs with their neighbour,
 * so that four of them store the 16 classes of two fragments, a whole sector:
 *
 *     lane        0            1             2            3
 *     has      0,1 8,9      2,3 10,11     4,5 12,13    6,7 14,15      (classes of the 16)
 *     stores   0 ... 3      8 ... 11      4 ... 7      12 ... 15 */
template <class T, int COLS, class Label>
__device__ __forceinline__ void store_residual(const Residual<T> &a, const ResidualSpace<T> &s,
                                               const RowPlace<COLS> &at, const float (&d)[COLS / 2],
                                               int h, float share, Label label) {
    const bool odd = at.t % 2 == 1;
    const int64_t own = at.class0 - 2 * at.t + at.t / 2 * 4 + (odd ? 8 : 0);
    const int left = at.row(h) < a.B ? (int)(a.stride - own) : 0; /* a multiple of 4 */
    typename T::Element *R = s.R + at.row(h) * a.stride + own;
    int classes = at.classes;
    UNROLL
    for (int j = 0; j < COLS / 8; j += 2) {
        uint32_t pair[2] = {0, 0};
        keep_order(classes);
        UNROLL
        for (int i = 0; i < 4; i++) {
            const int c = 8 * (j + i / 2) + i % 2, from = 4 * (j + i / 2) + 2 * h + i % 2;
            const float y = c < classes ? label(from, c) : 0.0f, r = d[from] * share - y;
            pair[i / 2] |= (uint32_t)from_float<T>(r * a.residual_scale) << 16 * (i % 2);
        }
        const uint32_t other = __shfl_xor_sync(ALL_LANES, odd ? pair[0] : pair[1], 1);
        if (8 * j < left)
            *(uint2 *)(R + 8 * j) = odd ? make_uint2(other, pair[1]) : make_uint2(pair[0], other);
    }
}

/* The residuals of a thread's rows from their products in d. Returns their loss in lane t = 0 of the block
 * that tells it. y: the labels, where one block has all classes. */
template <class T, int COLS>
__device__ __forceinline__ double finish_rows(const Residual<T> &a, const ResidualSpace<T> &s,
                                              const RowPlace<COLS> &at, float (&d)[COLS / 2],
                                              const float *y, int turn) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    float4 *exchange = shared_mem<float4>(EXCHANGE) + turn * WideTile::ROWS + at.first;
    const float *bias = s.bias + at.class0;
    int classes = at.classes;
    RowPart part[2];
    UNROLL
    for (int i = 0; i < COLS / 2; i++) {
        const int c = i / 4 * 8 + i % 2;
        if (i % 4 == 0) keep_order(classes);
        d[i] = c < classes ? d[i] + bias[c] : -INFINITY;
    }
    auto label = [&](int h) {
        const float *row = a.Y + at.row(h) * a.C + at.class0;
        const bool inside = at.row(h) < a.B;
        return [=](int i, int c) { return !SPLITS ? y[i] : inside ? row[c] : 0.0f; };
    };
    UNROLL
    for (int h = 0; h < 2; h++) {
        part[h] = row_part<COLS>(d, h, classes, label(h));
        if (SPLITS && at.t == 0)
            exchange[8 * h] = make_float4(part[h].top, part[h].sum, part[h].mass, part[h].dot);
    }
    if (SPLITS) {
        __syncwarp();
        cluster_sync();
    }
    double loss = 0.0;
    UNROLL
    for (int h = 0; h < 2; h++) {
        const RowPart row = SPLITS ? row_of_parts(exchange + 8 * h) : part[h];
        const float share = row.mass / row.sum * (SPLITS ? expf(part[h].top - row.top) : 1.0f);
        store_residual<T, COLS>(a, s, at, d, h, share, label(h));
        if (at.t == 0 && at.row(h) < a.B) loss += (double)(row.mass * logf(row.sum) - row.dot);
    }
    return !SPLITS || cluster_rank() == 0 ? loss : 0.0;
}

/* All items of the rows that are this cluster's, in the order of plan_rows (plan.h). */
template <class T, int COLS, bool LOADS>
__device__ __forceinline__ void wide_rows(const Wide<T> &wide, Ring &ring) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    constexpr SharedOperand SHARED = SPLITS ? SHARE_A : SHARE_B; /* rows of Z, or W */
    const Residual<T> &a = wide.phases.residual;
    const int size = (int)cluster_size(), rank = (int)cluster_rank();
    const int blocks = (int)ceil_div(a.B, WideTile::ROWS);
    const int groups = SPLITS ? blocks : (int)ceil_div(blocks, size); /* pieces of a space */
    const int clusters = (int)gridDim.x / size, own = (int)blockIdx.x / size;
    const int class0 = SPLITS ? rank * COLS : 0;
    bool owes = false; /* the loading group runs one exchange ahead */
    for (int round = 0;; round++) {
        const int item = round * clusters + (round % 2 ? clusters - 1 - own : own);
        if (item >= wide.phases.finish.K * groups) break;
        const int k = wide.order[item / groups], group = item % groups;
        const int block = SPLITS ? group : group * size + rank, row0 = block * WideTile::ROWS;
        const int turn = round % 2; /* which half of the exchange is this item's */
        const ResidualSpace<T> &s = a.space[k];
        const int tiles = (int)ceil_div(s.Z.width, WIDE_DEPTH);
        if constexpr (LOADS) {
            if (threadIdx.x == WIDE_CONSUMERS)
                ring_load<SHARED, COLS>(
                    ring, tiles,
                    [&](int i, int t) {
                        return BoxAt{&wide.Z[k], t * WIDE_DEPTH, row0 + 64 * i};
                    },
                    [&](int j, int t) {
                        return BoxAt{&wide.W[k], t * WIDE_DEPTH, class0 + 64 * j};
                    });
            __syncwarp();
            if constexpr (SPLITS) {
                if (owes) cluster_wait();
                cluster_arrive();
                owes = true;
            }
        } else {
            float d[COLS / 2], y[SPLITS ? 1 : COLS / 2];
            if constexpr (!SPLITS) load_labels<T, COLS>(a, RowPlace<COLS>(a, row0), y);
            ring_multiply<T, K_MAJOR, SHARED>(ring, d, tiles, [](const unsigned char *) {});
            const double loss =
                warp_sum(finish_rows<T, COLS>(a, s, RowPlace<COLS>(a, row0), d, y, turn));
            double *slots = shared_mem<double>(LOSSES) + turn * (WIDE_CONSUMERS / WARP);
            if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = loss;
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
            if (threadIdx.x == 0 && (SPLITS ? rank == 0 : block < blocks)) {
                double sum = 0.0;
                for (int w = 0; w < WIDE_CONSUMERS / WARP; w++) sum += slots[w];
                s.loss_partial[block] = sum;
            }
            __syncwarp();
        }
    }
    if (owes) cluster_wait();
}

/* --- the kernel ------------------------------------------------------------------------------- */

/* A barrier of the grid behind which the TMA may load what was stored before it; `before` barriers came
 * before: counted, not kept, for registers are few. */
__device__ __forceinline__ void wide_barrier(unsigned *arrived, int before) {
    unsigned epoch = gridDim.x * (unsigned)before;
    fence_proxy_async_global(); /* as the writer */
    grid_barrier(arrived, epoch);
    if (threadIdx.x != WIDE_CONSUMERS) return;
    fence_proxy_async_global(); /* as the reader */
    fence_proxy_async();        /* the ring was Adam's for a while */
}

/* All steps, of the threads that load or of those that multiply. */
template <class T, int COLS, bool LOADS>
__device__ __forceinline__ void wide_loop(const Wide<T> &wide) {
    const InnerPhases<T> &p = wide.phases;
    const Gradient<T> &gradient = p.gradient;
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    Ring ring;
    for (int m = 0; m < wide.M; m++) {
        ring.stage = 0; /* the same in all blocks of a cluster */
        wide_rows<T, COLS, LOADS>(wide, ring);
        wide_barrier(wide.arrived, 2 * m + 1);

        int together = 1;
        if constexpr (SPLITS) {
            together = (int)cluster_size();
            keep_order(together); /* the deal is not kept while rows are multiplied */
        }
        const WideDeal deal(gradient, together);
        for (int at = deal.own; at < deal.items; at += deal.workers)
            wide_piece<T, SPLITS ? SHARE_B : SHARE_NONE, LOADS>(gradient, deal, at, wide.R, wide.Z,
                                                                ring);
        if constexpr (!LOADS) {
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); /* Adam's constants lie in the idle ring */
            p.finish.prepare(m);
            wide_shares(gradient, deal, m, p.finish);
            p.finish.end(m);
        }
        if (m + 1 < wide.M) wide_barrier(wide.arrived, 2 * m + 2);
    }
}

/* COLS: classes of a block's logits. */
template <class T, int COLS>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    inner_mega_v3_wgmma(const __grid_constant__ Wide<T> wide) {
#if HAS_WGMMA
    Ring::begin();
    round_heads(wide.phases);
    wide_barrier(wide.arrived, 0);
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        wide_loop<T, COLS, true>(wide);
    } else {
        registers_take<CONSUMER_REGISTERS>();
        wide_loop<T, COLS, false>(wide);
    }
    __syncwarp();
    cluster_sync(); /* a block's last stages are released to the others, who must still be there */
#else
    __trap(); /* the host launches it on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

template <class T, int COLS>
static Status wide_launch(Queue *q, const InnerSteps *in, const Plan &plan) {
    const char *what = "inner_steps (mega, clusters)";
    const auto kernel = inner_mega_v3_wgmma<T, COLS>;
    const int size = plan.cluster;
    const FusedScratch scratch =
        lay_out_fused(in->scratch, in->space[0].Z.type, in->K, in->B, in->C, largest_d(in));
    Wide<T> wide = {};
    wide.phases = inner_phases<T>(in, scratch);
    wide.M = (int)in->M;
    wide.arrived = scratch.arrived;
    wide.phases.finish.loss_blocks = ceil_div(in->B, WideTile::ROWS);
    double features = 0.0;
    for (int k = 0; k < in->K; k++) {
        const ResidualSpace<T> &s = wide.phases.residual.space[k];
        const int64_t stride = wide.phases.residual.stride;
        features += (double)s.Z.width;
        wide.order[k] = plan.order[k];
        REQUIRE(q,
                tensor_map(&wide.Z[k], s.Z.data, s.Z.width, in->B, s.Z.stride, 64, 64) &&
                    tensor_map(&wide.W[k], s.W.data, s.W.width, in->C, s.W.stride, 64, 64) &&
                    tensor_map(&wide.R[k], s.R, in->C, in->B, stride, 64, 64),
                "inner_steps (tensor maps)");
    }
    int clusters = 0;
    const cudaError_t asked = resident_clusters(&clusters, kernel, size, WIDE_THREADS, WIDE_SHARED);
    if (asked != cudaSuccess) return cuda_queue_error(q, what, asked);
    if (clusters < 1) return cuda_queue_error(q, what, cudaErrorCooperativeLaunchTooLarge);
    const bool splits = RowPlace<COLS>::SPLITS;
    const int together = splits ? size : 1;
    wide_plan(&wide.phases.gradient, (int64_t)clusters * size, together, scratch.gradient);
    const int64_t row_blocks = ceil_div(in->B, WideTile::ROWS),
                  pieces = (int64_t)WideDeal::items_of(wide.phases.gradient, together) * together,
                  rows = in->K * (splits ? row_blocks : ceil_div(row_blocks, size)) * size,
                  most = round_up(rows > pieces ? rows : pieces, size),
                  blocks = (int64_t)clusters * size < most ? (int64_t)clusters * size : most;
    cudaError_t error = cudaMemsetAsync(wide.arrived, 0, sizeof *wide.arrived, q->stream);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(scratch.gradient, 0,
                                (size_t)wide.phases.gradient.tiles * sizeof(unsigned), q->stream);
    if (error != cudaSuccess) return cuda_queue_error(q, what, error);
    cost(q, 4.0 * (double)in->M * (double)in->B * (double)in->C * features,
         2.0 * (double)in->B * features);
    return launch_with(q, COOPERATIVE | clusters_of(size), (inner_mega_v3_wgmma<T, COLS>),
                       dim3((unsigned)blocks), WIDE_THREADS, WIDE_SHARED, wide);
}

template <class F> static auto with_wide_tile(const Plan &plan, F f) {
    if (plan.classes == 64) return f(std::integral_constant<int, 64>());
    if (plan.classes == 128) return f(std::integral_constant<int, 128>());
    return f(std::integral_constant<int, WideTile::COLS>());
}

bool wide_sizes(const InnerSteps *in) {
    return in->M <= INT32_MAX / 2 && in->B <= INT32_MAX - 1024 && largest_d(in) <= INT32_MAX - 256;
}

int wide_clusters(const Plan &plan) {
    int clusters = 0;
    const cudaError_t asked = with_wide_tile(plan, [&](auto cols) {
        return resident_clusters(&clusters, inner_mega_v3_wgmma<Fp16, cols()>, plan.cluster,
                                 WIDE_THREADS, WIDE_SHARED);
    });
    return asked == cudaSuccess ? clusters : 0;
}

Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan) {
    return with_wide_tile(plan, [&](auto cols) {
        if (in->space[0].Z.type == DTYPE_F16) return wide_launch<Fp16, cols()>(q, in, plan);
        return wide_launch<Bf16, cols()>(q, in, plan);
    });
}
