/*
 * inner_wgmma.cu - the inner loop in one launch for many classes: compute capability 9.0, 16 bits
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu; 128 < C <= 2048, Z of float16 or bfloat16.
 * Cost     4BCd flops per step and space. C 1000, B 10000, d 768, predicted on an H200: 15.4 GFLOP a
 *          phase are 26 us at 600 TFLOP/s; rows are 79 items over 32 clusters, so 3 rounds (82 %).
 * Mapping  blocks stay, in clusters of 1, 2, 4 or 8, as many as hold all classes, 256 a block:
 *
 *              phase     items                                 writes
 *              rows      (space, 128 rows) a cluster           R, a loss
 *                        Z of the rows is loaded once and multicast; a row's maxima, sums, label mass
 *                        and loss are exchanged through the cluster's shared memory: 16 bytes a block
 *              ----- grid barrier -----
 *              pieces    (128 x 256 of W, piece of the batch) a block: partial gradients
 *              ----- the pieces of each tile wait for one another -----
 *              shares    gradient.cuh: sum, Adam               W, m1, m2, the rounded W
 *              ----- grid barrier -----
 *
 *          wgmma.cuh has the product of both. Logits never leave the registers.
 * Needs    scratch (cuda_inner_scratch), a cooperative launch of clusters. R and the rounded W are
 *          stored ordinarily and loaded by the TMA: fenced by both sides.
 * Budget   shared memory: ring 4 x 48 KB, exchange 4 KB, sums 2 KB: 202944 of 232448 bytes. Registers:
 *          224 x 256 + 56 x 128 = 64512 of 65536; 128 of a thread's 224 are the product.
 * History  Not measured on a GPU yet. A block of 288 threads has 168 registers a thread, as 384 have
 *          (a quarter of the file is shared by every fourth warp): it spilled 1.7 KB.
 *          To try: Z's boxes of the pieces by multicast; R through shared memory, for its stores fill
 *          half a sector each.
 */
#include "inner.cuh"
#include "wgmma.cuh"

template <class T> struct Wide {
    InnerPhases<T> phases;
    int M;
    unsigned *arrived; /* (1) zero at the start */
    CUtensorMap Z[MAX_SPACES], W[MAX_SPACES], R[MAX_SPACES];
};

/* Shared memory behind the ring. Two of what the rows exchange: the next item's while a slower block
 * still reads the last one's. */
constexpr int EXCHANGE = RING_SHARED; /* (2, 128) float4: maximum, sum, label mass, dot */
constexpr int LOSSES = EXCHANGE + 2 * WideTile::ROWS * 16;          /* (2, 8) double */
constexpr int COLUMN_SUMS = LOSSES + 2 * WIDE_CONSUMERS / WARP * 8; /* (2 groups, 4, 64) float */
constexpr int WIDE_SHARED = COLUMN_SUMS + 2 * 4 * 64 * 4;
static_assert(EXCHANGE % 16 == 0, "float4s are aligned");
static_assert(WIDE_SHARED == WGMMA_SHARED, "plan.h counts with it");

/* Named barriers. */
enum { OF_GROUP = 1 /* and 2 */, OF_CONSUMERS = 3 };

/* --- rows ------------------------------------------------------------------------------------- */

/* The residual of a row from its logits x, in d[2h + 4j + i] (ptx.cuh), in three sweeps around an
 * exchange. Returns the row's loss in the first block's lane t = 0. */
template <class T>
__device__ __forceinline__ double finish_rows(const Residual<T> &a, const ResidualSpace<T> &s,
                                              float (&d)[128], int64_t row0, int turn) {
    const int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const int first = (int)threadIdx.x / WARP * 16 + g; /* and 8 rows on: h = 1 */
    const unsigned rank = cluster_rank(), size = cluster_size();
    const int64_t class0 = (int64_t)rank * WideTile::COLS + 2 * t; /* its 4j are 8j classes on */
    int classes = (int)(a.C - class0);                             /* may be < 0 */
    float4 *exchange = shared_mem<float4>(EXCHANGE) + turn * WideTile::ROWS + first;
    const float *bias = s.bias + class0;
    UNROLL
    for (int i = 0; i < 128; i++) {
        const int c = i / 4 * 8 + i % 2;
        if (i % 4 == 0) keep_order(classes);
        d[i] = c < classes ? d[i] + bias[c] : -INFINITY;
    }
    UNROLL
    for (int h = 0; h < 2; h++) {
        const int64_t b = row0 + first + 8 * h;
        const bool inside = b < a.B;
        const float *y = a.Y + b * a.C + class0;
        float top = -INFINITY, sum = 0.0f, mass = 0.0f, dot = 0.0f;
        UNROLL
        for (int i = 0; i < 64; i++) top = fmaxf(top, d[i / 2 * 4 + 2 * h + i % 2]);
        top = lanes_max<4>(top);
        UNROLL
        for (int i = 0; i < 64; i++) {
            const int c = i / 2 * 8 + i % 2;
            if (i % 4 == 0) keep_order(classes);
            if (c < classes) {
                const float x = d[i / 2 * 4 + 2 * h + i % 2] - top;
                const float label = inside ? y[c] : 0.0f;
                sum += expf(x);
                mass += label;
                dot += label * x;
            }
        }
        sum = lanes_sum<4>(sum), mass = lanes_sum<4>(mass), dot = lanes_sum<4>(dot);
        if (t == 0) exchange[8 * h] = make_float4(top, sum, mass, dot);
    }
    __syncwarp();
    cluster_sync();
    double loss = 0.0;
    UNROLL
    for (int h = 0; h < 2; h++) {
        const int64_t b = row0 + first + 8 * h;
        const float *y = a.Y + b * a.C + class0;
        float top = -INFINITY, sum = 0.0f, mass = 0.0f, dot = 0.0f;
        auto of = [&](unsigned r) {
            return cluster_load_float4(cluster_address(exchange + 8 * h, r));
        };
        NO_UNROLL
        for (unsigned r = 0; r < size; r++) top = fmaxf(top, of(r).x);
        NO_UNROLL
        for (unsigned r = 0; r < size; r++) {
            const float4 part = of(r);
            if (part.y == 0.0f) continue; /* a block without classes */
            sum += part.y * expf(part.x - top);
            mass += part.z;
            dot += part.w + part.z * (part.x - top);
        }
        if (b >= a.B) continue;
        if (t == 0) loss += (double)(mass * logf(sum) - dot);
        const float share = mass / sum;
        const int padding = (int)(a.stride - a.C);
        typename T::Element *R = s.R + b * a.stride + class0;
        UNROLL
        for (int j = 0; j < 32; j++) {
            if (j % 2 == 0) keep_order(classes);
            if (8 * j < classes + padding) { /* both are even: pairs are whole */
                uint32_t pair = 0;
                UNROLL
                for (int i = 0; i < 2; i++) {
                    const float label = 8 * j + i < classes ? y[8 * j + i] : 0.0f;
                    const float r = expf(d[4 * j + 2 * h + i] - top) * share - label;
                    pair |= (uint32_t)from_float<T>(r * a.residual_scale) << 16 * i;
                }
                *(uint32_t *)(R + 8 * j) = pair;
            }
        }
    }
    return rank == 0 ? loss : 0.0;
}

/* All items of the rows that are this cluster's. */
template <class T, bool LOADS>
__device__ __forceinline__ void wide_rows(const Wide<T> &wide, Ring &ring) {
    const Residual<T> &a = wide.phases.residual;
    const int blocks = (int)ceil_div(a.B, WideTile::ROWS), items = wide.phases.finish.K * blocks;
    const int clusters = (int)(gridDim.x / cluster_size());
    const int class0 = (int)cluster_rank() * WideTile::COLS;
    int turn = 0;      /* even or odd: which half of the exchange is this item's */
    bool owes = false; /* the loading group runs one exchange ahead */
    for (int item = (int)(blockIdx.x / cluster_size()); item < items; item += clusters, turn ^= 1) {
        const int k = item / blocks, row0 = item % blocks * WideTile::ROWS;
        const ResidualSpace<T> &s = a.space[k];
        const int64_t tiles = ceil_div(s.Z.width, WIDE_DEPTH);
        if constexpr (LOADS) {
            if (threadIdx.x == WIDE_CONSUMERS)
                ring_load<true>(
                    ring, tiles,
                    [&](int i, int64_t t) {
                        return BoxAt{&wide.Z[k], (int)t * WIDE_DEPTH, row0 + 64 * i};
                    },
                    [&](int j, int64_t t) {
                        return BoxAt{&wide.W[k], (int)t * WIDE_DEPTH, class0 + 64 * j};
                    });
            __syncwarp();
            if (owes) cluster_wait();
            cluster_arrive();
            owes = true;
        } else {
            float d[128];
            ring_multiply<T, K_MAJOR, true>(ring, d, tiles, [](const unsigned char *) {});
            const double loss = warp_sum(finish_rows(a, s, d, row0, turn));
            double *slots = shared_mem<double>(LOSSES) + turn * (WIDE_CONSUMERS / WARP);
            if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = loss;
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
            if (threadIdx.x == 0 && cluster_rank() == 0) {
                double sum = 0.0;
                for (int w = 0; w < WIDE_CONSUMERS / WARP; w++) sum += slots[w];
                s.loss_partial[item % blocks] = sum;
            }
            __syncwarp();
        }
    }
    if (owes) cluster_wait();
}

/* --- pieces of the gradient --------------------------------------------------------------------- */

/* Two columns of a box of R, 16 of its 64 lines: lines begin a batch row, elements are classes. */
template <class T>
__device__ __forceinline__ void add_columns(float sum[2], const unsigned char *R) {
    const int pair = (int)threadIdx.x % WARP, lines = (int)threadIdx.x % 128 / WARP * 16;
    UNROLL
    for (int i = 0; i < 16; i++) {
        const int r = lines + i;
        const uint32_t two =
            *(const uint32_t *)(R + 128 * r + 16 * (pair / 4 ^ r % 8) + pair % 4 * 4);
        sum[0] += to_float<T>((uint16_t)two);
        sum[1] += to_float<T>((uint16_t)(two >> 16));
    }
}

template <class T, bool LOADS>
__device__ __forceinline__ void wide_piece(const Wide<T> &wide, Ring &ring, const Piece &p) {
    constexpr int SIZE = WideTile::ROWS * WideTile::COLS;
    const Gradient<T> &g = wide.phases.gradient;
    const GradientSpace<T> &s = g.space[p.k];
    const int64_t tiles = ceil_div(g.B, WIDE_DEPTH), first = tiles * p.split / g.splits,
                  count = tiles * (p.split + 1) / g.splits - first;
    if constexpr (LOADS) {
        if (threadIdx.x == WIDE_CONSUMERS)
            ring_load<false>(
                ring, count,
                [&](int i, int64_t t) {
                    return BoxAt{&wide.R[p.k], (int)p.row + 64 * i, (int)(first + t) * WIDE_DEPTH};
                },
                [&](int j, int64_t t) {
                    return BoxAt{&wide.Z[p.k], (int)p.col + 64 * j, (int)(first + t) * WIDE_DEPTH};
                });
        __syncwarp();
        return;
    } else {
        float d[128], columns[2] = {0.0f, 0.0f};
        ring_multiply<T, MN_MAJOR, false>(ring, d, count, [&](const unsigned char *R) {
            if (p.col == 0) add_columns<T>(columns, R);
        });
        const int group = (int)threadIdx.x / 128, own = (int)threadIdx.x % 128, lane = own % WARP;
        const int row = (int)threadIdx.x / WARP * 16 + lane / 4, col = lane % 4 * 2;
        float *partial = s.partial + (p.own * g.splits + p.split) * SIZE;
        UNROLL
        for (int i = 0; i < 128; i += 2)
            *(float2 *)(partial + (row + i / 2 % 2 * 8) * WideTile::COLS + i / 4 * 8 + col) =
                make_float2(d[i], d[i + 1]);
        if (p.col == 0) {
            float *sums = shared_mem<float>(COLUMN_SUMS) + group * 4 * 64;
            barrier_sync(OF_GROUP + group, 128); /* the last piece's have been read */
            sums[own / WARP * 64 + 2 * lane] = columns[0];
            sums[own / WARP * 64 + 2 * lane + 1] = columns[1];
            barrier_sync(OF_GROUP + group, 128);
            if (own < 64)
                s.bias[(p.class_tile * g.splits + p.split) * WideTile::ROWS + 64 * group + own] =
                    sums[own] + sums[64 + own] + sums[128 + own] + sums[192 + own];
        }
        barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); /* the release is for what all have written */
        if (g.splits > 1 && threadIdx.x == 0) add_release(g.counter + p.tile, 1);
    }
}

/* --- the kernel ------------------------------------------------------------------------------- */

/* A barrier of the grid behind which the TMA may load what was stored before it. */
/* `before` barriers were before it: counted, not kept, for registers are few. */
__device__ __forceinline__ void wide_barrier(unsigned *arrived, int before) {
    unsigned epoch = gridDim.x * (unsigned)before;
    fence_proxy_async_global(); /* as the writer */
    grid_barrier(arrived, epoch);
    if (threadIdx.x != WIDE_CONSUMERS) return;
    fence_proxy_async_global(); /* as the reader */
    fence_proxy_async();        /* the ring was Adam's for a while */
}

/* All steps, of the threads that load or of those that multiply. */
template <class T, bool LOADS> __device__ __forceinline__ void wide_loop(const Wide<T> &wide) {
    const InnerPhases<T> &p = wide.phases;
    const Gradient<T> &gradient = p.gradient;
    const int pieces = gradient.tiles * gradient.splits;
    Ring ring;
    for (int m = 0; m < wide.M; m++) {
        ring.stage = 0; /* the same in all blocks of a cluster */
        wide_rows<T, LOADS>(wide, ring);
        wide_barrier(wide.arrived, 2 * m + 1);

        for (int at = (int)blockIdx.x; at < pieces; at += (int)gridDim.x)
            wide_piece<T, LOADS>(wide, ring, piece_at<T, WideTile>(gradient, at));
        if constexpr (!LOADS) {
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); /* Adam's constants lie in the idle ring */
            p.finish.prepare(m);
            for (int at = (int)blockIdx.x; at < pieces; at += (int)gridDim.x) {
                const Piece piece = piece_at<T, WideTile>(gradient, at);
                gradient_ready(gradient, piece, m);
                barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
                gradient_share<T, WideTile>(gradient, piece, p.finish);
            }
            p.finish.end(m);
        }
        if (m + 1 < wide.M) wide_barrier(wide.arrived, 2 * m + 2);
    }
}

template <class T>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    inner_mega_v3_wgmma(const __grid_constant__ Wide<T> wide) {
#if HAS_WGMMA
    Ring::begin();
    round_heads(wide.phases);
    wide_barrier(wide.arrived, 0);
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        wide_loop<T, true>(wide);
    } else {
        registers_take<CONSUMER_REGISTERS>();
        wide_loop<T, false>(wide);
    }
#else
    __trap(); /* the host launches it on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

/* Pieces of the batch per tile: those with the shortest predicted time. A tile of depth takes 0.6 us
 * (4.2 MFLOP at 7 TFLOP/s an SM), a piece 2 us around them; 256 KB of it pass the L2 cache twice, at 5.5
 * TB/s. */
static int64_t wide_splits(int64_t tiles, int64_t depth, int64_t blocks) {
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t splits = 1; splits <= depth && splits <= MAX_SPLITS; splits++) {
        if (splits > 1 && tiles * splits > WIDE_PIECES) break;
        const double us =
            (double)ceil_div(tiles * splits, blocks) * (0.6 * (double)ceil_div(depth, splits) + 2) +
            (double)(tiles * splits) * 2 * 131072 / 5.5e6;
        if (us < least) least = us, best = splits;
    }
    return best;
}

/* Lays tiles, pieces and scratch out, as gradient_plan does. */
template <class T> static void wide_plan(Gradient<T> *g, int64_t blocks, void *scratch) {
    int64_t tiles = 0;
    const int64_t class_tiles = ceil_div(g->C, WideTile::ROWS);
    for (int k = 0; k < g->K; k++) {
        g->space[k].first_tile = (int)tiles;
        tiles += class_tiles * ceil_div(g->space[k].d, WideTile::COLS);
    }
    g->tiles = (int)tiles;
    g->splits = (int)wide_splits(tiles, ceil_div(g->B, WIDE_DEPTH), blocks);
    g->counter = (unsigned *)scratch;
    g->m = 0;
    float *at = (float *)scratch + round_up(tiles, 16);
    for (int k = 0; k < g->K; k++) {
        const int64_t own = class_tiles * ceil_div(g->space[k].d, WideTile::COLS);
        g->space[k].partial = at;
        at += own * g->splits * WideTile::ROWS * WideTile::COLS;
        g->space[k].bias = at;
        at += class_tiles * g->splits * WideTile::ROWS;
    }
}

template <class T> static Status wide_launch(Queue *q, const InnerSteps *in, int size) {
    const char *what = "inner_steps (mega, clusters)";
    const auto kernel = inner_mega_v3_wgmma<T>;
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
    wide_plan(&wide.phases.gradient, (int64_t)clusters * size, scratch.gradient);
    const int64_t pieces = (int64_t)wide.phases.gradient.tiles * wide.phases.gradient.splits,
                  rows = in->K * ceil_div(in->B, WideTile::ROWS) * size,
                  most = round_up(rows > pieces ? rows : pieces, size),
                  blocks = (int64_t)clusters * size < most ? (int64_t)clusters * size : most;
    cudaError_t error = cudaMemsetAsync(wide.arrived, 0, sizeof *wide.arrived, q->stream);
    if (error == cudaSuccess)
        error = cudaMemsetAsync(scratch.gradient, 0,
                                (size_t)wide.phases.gradient.tiles * sizeof(unsigned), q->stream);
    if (error != cudaSuccess) return cuda_queue_error(q, what, error);
    cost(q, 4.0 * (double)in->M * (double)in->B * (double)in->C * features,
         2.0 * (double)in->B * features);
    return launch_with(q, COOPERATIVE | clusters_of(size), inner_mega_v3_wgmma<T>,
                       dim3((unsigned)blocks), WIDE_THREADS, WIDE_SHARED, wide);
}

bool wide_serves(const InnerSteps *in, const Plan &plan) {
    if (in->M > INT32_MAX / 2 || in->B > INT32_MAX - 256 || largest_d(in) > INT32_MAX - 256)
        return false;
    int clusters = 0;
    return in->tier == INNER_MEGA ||
           (resident_clusters(&clusters, inner_mega_v3_wgmma<Fp16>, plan.cluster, WIDE_THREADS,
                              WIDE_SHARED) == cudaSuccess &&
            clusters >= 1);
}

Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan) {
    if (in->space[0].Z.type == DTYPE_F16) return wide_launch<Fp16>(q, in, plan.cluster);
    return wide_launch<Bf16>(q, in, plan.cluster);
}
