/*
 * wide_gradient.cuh - R^T Z and column sums of R on the tensor cores of compute capability 9.0
 *
 *     grad_W (C,d) = scale R^T Z,  grad_bias (C) = scale (column sums of R),  then epilogue(k, i, grad)
 *
 * Shapes   gradient.cuh's, operands of 16 bits that the TMA can load (tensor_map.cuh).
 * Cost     2BCd flops; R once per 256 features, Z once per cluster of class tiles; partial sums as
 *          gradient.cuh. C 1000, B 10000, d 768 + 1536: 47.2 GFLOP, 272 MB through the L2 cache.
 * Mapping  tiles of 128 classes x 256 features (wgmma.cuh), the batch cut into pieces; blocks deal the
 *          pieces among themselves, then wait for those of each tile and add them in order.
 * Ladder   A plain version is the gradient of kernels/cuda/ladder/step8_wgmma.cu.
 * History  Not measured yet.
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_WIDE_GRADIENT_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_WIDE_GRADIENT_CUH

extern "C" {
#include "kernels/plan/plan.h"
}
#include "kernels/cuda/tile/wgmma.cuh"
#include "kernels/cuda/train/gradient.cuh"

constexpr int COLUMN_SUMS = RING_SHARED; /* behind the ring: (2 groups, 4, 64) float */
constexpr int WIDE_GRADIENT_SHARED = COLUMN_SUMS + 2 * 4 * 64 * 4;

/* --- pieces ----------------------------------------------------------------------------------- */

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

/* The dealing of pieces. Where blocks split the classes a cluster has the same features and the same
 * piece of the batch in all of them, and a class tile each: Z is loaded once for all. Behind the last
 * class tile a block multiplies zeros, for the others wait for its part of Z. */
struct WideDeal {
    int together, groups; /* blocks that share Z; class tiles in so many */
    int items, workers, own, rank;

    template <class T>
    static __host__ __device__ int groups_of(const Gradient<T> &g, int together) {
        return (int)ceil_div(ceil_div(g.C, WideTile::ROWS), together);
    }
    /* Pieces of one block of each `together`. */
    template <class T> static __host__ __device__ int items_of(const Gradient<T> &g, int together) {
        const int class_tiles = (int)ceil_div(g.C, WideTile::ROWS);
        return g.tiles / class_tiles * groups_of(g, together) * g.splits;
    }
    template <class T> __device__ WideDeal(const Gradient<T> &g, int blocks) : together(blocks) {
        groups = groups_of(g, together);
        items = items_of(g, together);
        workers = (int)gridDim.x / together;
        own = (int)blockIdx.x / together;
        rank = (int)blockIdx.x % together;
    }
    /* The block's piece of an item; its class tile may be behind the last. */
    template <class T> __device__ Piece piece(const Gradient<T> &g, int item) const {
        const int class_tiles = (int)ceil_div(g.C, WideTile::ROWS);
        Piece p = {0, 0, item % g.splits, 0, 0, 0, 0};
        int at = item / g.splits, across;
        for (;; p.k++) {
            across = (int)ceil_div(g.space[p.k].d, WideTile::COLS);
            if (at < across * groups) break;
            at -= across * groups;
        }
        p.class_tile = at / across * together + rank;
        p.own = p.class_tile * across + at % across;
        p.tile = g.space[p.k].first_tile + (int)p.own;
        p.row = p.class_tile * WideTile::ROWS;
        p.col = at % across * WideTile::COLS;
        if (p.class_tile >= class_tiles) p.tile = -1;
        return p;
    }
};

/* An item of the deal: loaded, or multiplied and stored among the partial sums. */
template <class T, SharedOperand SHARED, bool LOADS>
__device__ __forceinline__ void wide_piece(const Gradient<T> &g, const WideDeal &deal, int item,
                                           const CUtensorMap *R, const CUtensorMap *Z, Ring &ring) {
    constexpr int SIZE = WideTile::ROWS * WideTile::COLS;
    Piece p = deal.piece(g, item);
    const int tiles = (int)ceil_div(g.B, WIDE_DEPTH), /* below 2^25, splits to 2^6 */
        first = tiles * p.split / g.splits, count = tiles * (p.split + 1) / g.splits - first;
    if constexpr (LOADS) {
        if (threadIdx.x == WIDE_CONSUMERS)
            ring_load<SHARED>(
                ring, count, 0,
                [&](int i, int t) {
                    return BoxAt{&R[p.k], (int)p.row + 64 * i, (first + t) * WIDE_DEPTH};
                },
                [&](int j, int t) {
                    return BoxAt{&Z[p.k], (int)p.col + 64 * j, (first + t) * WIDE_DEPTH};
                });
        __syncwarp();
        return;
    } else {
        float d[128], columns[2] = {0.0f, 0.0f};
        const bool sums_columns = p.col == 0;
        ring_multiply<T, MN_MAJOR, SHARED>(ring, d, count, [&](const unsigned char *box) {
            if (sums_columns) add_columns<T>(columns, box);
        });
        keep_order(item); /* found again: registers are few while it multiplies */
        p = deal.piece(g, item);
        if (p.tile < 0) return;
        const GradientSpace<T> &s = g.space[p.k];
        const int thread = (int)threadIdx.x;
        const int group = thread / 128, own = thread % 128, lane = own % WARP;
        const int row = thread / WARP * 16 + lane / 4, col = lane % 4 * 2;
        float *partial = s.partial + (p.own * g.splits + p.split) * SIZE;
        if (p.row + thread / WARP * 16 < g.C) { /* the warp has classes: nobody reads more */
            UNROLL
            for (int i = 0; i < 128; i += 2)
                *(float2 *)(partial + (row + i / 2 % 2 * 8) * WideTile::COLS + i / 4 * 8 + col) =
                    make_float2(d[i], d[i + 1]);
        }
        __syncwarp();
        if (sums_columns) {
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

/* Adds N neighbours of `count` partial sums that lie `apart` floats apart, in order; AT_ONCE of them are under way
 * at a time. */
template <int AT_ONCE, int N>
__device__ __forceinline__ void add_partials(float (&sum)[N], const float *partial, int count,
                                             int apart) {
    UNROLL
    for (int e = 0; e < N; e++) sum[e] = 0.0f;
    NO_UNROLL
    for (int n = 0; n < count; n += AT_ONCE) {
        float part[AT_ONCE][N];
        UNROLL
        for (int i = 0; i < AT_ONCE; i++)
            if (n + i < count) load_few(part[i], partial + (int64_t)(n + i) * apart);
        UNROLL
        for (int i = 0; i < AT_ONCE; i++)
            UNROLL
            for (int e = 0; e < N; e++)
                if (n + i < count) sum[e] += part[i][e];
    }
}

/* A piece's share of its tile, N neighbours a turn: what the epilogue holds is loaded before the sums are. */
template <int N, int AT_ONCE, class T, class Epilogue>
__device__ __forceinline__ void share_weights(const Gradient<T> &g, const Piece &p, float scale,
                                              const Epilogue &epilogue) {
    constexpr int SIZE = WideTile::ROWS * WideTile::COLS, COLS = WideTile::COLS;
    const GradientSpace<T> &s = g.space[p.k];
    const float *partial = s.partial + p.own * g.splits * SIZE;
    const int share = (int)round_up(ceil_div(SIZE, g.splits), 4), begin = p.split * share;
    const int end = begin + share < SIZE ? begin + share : SIZE;
    NO_UNROLL
    for (int i = begin + N * (int)threadIdx.x; i < end; i += N * WIDE_CONSUMERS) {
        const int64_t c = p.row + i / COLS, j = p.col + i % COLS, at = c * s.d + j;
        if (c >= g.C || j >= s.d) continue;
        typename Epilogue::template Held<N> held;
        float sum[N];
        epilogue.load(p.k, at, held);
        add_partials<AT_ONCE>(sum, partial + i, g.splits, SIZE);
        UNROLL
        for (int e = 0; e < N; e++) sum[e] = sum[e] * scale * s.unit;
        epilogue.finish(p.k, c, j, s.d, at, held, sum);
    }
}

/* gradient_share in fours, where rows of weights are whole fours. */
template <int AT_ONCE, class T, class Epilogue>
__device__ __forceinline__ void wide_share(const Gradient<T> &g, const Piece &p,
                                           const Epilogue &epilogue) {
    constexpr int ROWS = WideTile::ROWS;
    const GradientSpace<T> &s = g.space[p.k];
    const float scale = g.scale_dev ? g.scale * *g.scale_dev : g.scale;
#if defined(TURTLE_AB_SHARES_SINGLY) /* the other side of a measurement: a weight a turn */
    const bool in_fours = false;
#else
    const bool in_fours = epilogue.in_fours(p.k, s.d);
#endif
    if (in_fours) share_weights<4, AT_ONCE>(g, p, scale, epilogue);
    else share_weights<1, AT_ONCE>(g, p, scale, epilogue);
    const int own = (int)threadIdx.x;
    const int64_t c = p.row + own, at = g.C * s.d + c;
    if (p.split == 0 && p.col == 0 && own < ROWS && c < g.C) {
        typename Epilogue::template Held<1> held;
        float sum[1];
        epilogue.load(p.k, at, held);
        add_partials<AT_ONCE>(sum, s.bias + p.class_tile * g.splits * ROWS + own, g.splits, ROWS);
        sum[0] *= scale;
        epilogue.finish(p.k, c, s.d, s.d, at, held, sum);
    }
}

/* The shares of a block's pieces, by those that multiply. */
template <int AT_ONCE, class T, class Epilogue>
__device__ __forceinline__ void wide_shares(const Gradient<T> &g, const WideDeal &deal, int64_t m,
                                            const Epilogue &epilogue) {
    for (int at = deal.own; at < deal.items; at += deal.workers) {
        const Piece piece = deal.piece(g, at);
        if (piece.tile < 0) continue;
        gradient_ready(g, piece, m);
        barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
        wide_share<AT_ONCE>(g, piece, epilogue);
    }
}

/* --- the gradient alone ----------------------------------------------------------------------- */

template <class T, class Epilogue> struct WideGradient {
    Gradient<T> gradient;
    Epilogue epilogue;
    CUtensorMap R[MAX_SPACES], Z[MAX_SPACES];
};

template <class T, class Epilogue>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    gradient_wgmma(const __grid_constant__ WideGradient<T, Epilogue> a) {
#if HAS_WGMMA
    const Gradient<T> &g = a.gradient;
    Ring::begin();
    const WideDeal deal(g, (int)cluster_size());
    Ring ring;
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        for (int at = deal.own; at < deal.items; at += deal.workers)
            wide_piece<T, SHARE_B, true>(g, deal, at, a.R, a.Z, ring);
    } else {
        registers_take<CONSUMER_REGISTERS>();
        for (int at = deal.own; at < deal.items; at += deal.workers)
            wide_piece<T, SHARE_B, false>(g, deal, at, a.R, a.Z, ring);
        wide_shares<8>(g, deal, 0, a.epilogue);
    }
    __syncwarp();
    cluster_sync(); /* a block's last stages are released to the others, who must still be there */
#else
    __trap(); /* the host launches it on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

/* Most pieces, 128 KB each, unless tiles alone are more; and what they need for K spaces of at most d:
 * grows with d, so that a smaller one fits too. */
constexpr int64_t WIDE_PIECES = 512;
inline int64_t wide_scratch(int K, int64_t B, int64_t C, int64_t d) {
    const int64_t class_tiles = ceil_div(C, WideTile::ROWS),
                  tiles = K * class_tiles * ceil_div(d, WideTile::COLS);
    const int64_t splits = least(ceil_div(B, WIDE_DEPTH), GRADIENT_MOST_SPLITS);
    const int64_t pieces = most(tiles, least(tiles * splits, WIDE_PIECES));
    return round_up(tiles * 4, 64) + pieces * WideTile::ROWS * WideTile::COLS * 4 +
           K * class_tiles * splits * WideTile::ROWS * 4;
}
/* Returns the scratch memory, in bytes, that serves either kind of gradient, whichever a device takes. */
inline int64_t any_gradient_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    const int64_t tiled = gradient_scratch(K, C, d),
                  wide = type != DTYPE_F32 && C > SLAB_MOST_CLASSES ? wide_scratch(K, B, C, d) : 0;
    return tiled > wide ? tiled : wide;
}

/* Pieces of the batch per tile: those with the shortest predicted time; blocks compute so many tiles, of
 * which `tiles` are not behind the last class. A tile of depth takes 0.6 us
 * (4.2 MFLOP at 7 TFLOP/s an SM), a piece 2 us around them, the sums of a whole tile 10 us; 256 KB of it pass the L2 cache twice, at 5.5
 * TB/s. */
inline int64_t wide_splits(int64_t computed, int64_t tiles, int64_t depth, int64_t blocks) {
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t splits = 1; splits <= depth && splits <= GRADIENT_MOST_SPLITS; splits++) {
        if (splits > 1 && tiles * splits > WIDE_PIECES) break;
        const double us = (double)ceil_div(computed * splits, blocks) *
                              (0.6 * (double)ceil_div(depth, splits) + 2 + 10.0 / (double)splits) +
                          (double)(tiles * splits) * 2 * 131072 / 5.5e6;
        if (us < least) least = us, best = splits;
    }
    return best;
}

/* Lays tiles, pieces and scratch out, as gradient_plan does. Pieces are counted for the blocks that every card of so many
 * SMs holds in clusters of `counted` blocks, however its GPCs are cut (120 of 132): the order of sums does not depend on
 * the card, nor on a launch's share of it, nor on its clusters. A launch deals the pieces to as many blocks as it has. */
template <class T> void wide_plan(Gradient<T> *g, int64_t sms, int counted, void *scratch) {
    const int64_t blocks = most(1, WGMMA_SURE(sms) / counted) * counted;
    int64_t tiles = 0;
    const int64_t class_tiles = ceil_div(g->C, WideTile::ROWS);
    for (int k = 0; k < g->K; k++) {
        g->space[k].first_tile = (int)tiles;
        tiles += class_tiles * ceil_div(g->space[k].d, WideTile::COLS);
    }
    g->tiles = (int)tiles;
    g->splits = 1;
    g->splits = (int)wide_splits((int64_t)WideDeal::items_of(*g, counted) * counted, tiles,
                                 ceil_div(g->B, WIDE_DEPTH), blocks);
    Pieces pieces = {scratch, 0};
    g->counter = take_u32(&pieces, tiles);
    g->m = 0;
    for (int k = 0; k < g->K; k++) {
        const int64_t own = class_tiles * ceil_div(g->space[k].d, WideTile::COLS);
        g->space[k].partial = take_f32(&pieces, own * g->splits * WideTile::ROWS * WideTile::COLS);
        g->space[k].bias = take_f32(&pieces, class_tiles * g->splits * WideTile::ROWS);
    }
}

/* The gradient of all spaces in one launch, with a.gradient filled as for gradient_plan. False: this
 * device or these matrices are not for it, and nothing was done. What fails is the queue's. */
template <class T, class Epilogue>
bool wide_gradient(Queue *q, WideGradient<T, Epilogue> &a, void *scratch) {
    Gradient<T> &g = a.gradient;
    const auto kernel = gradient_wgmma<T, Epilogue>;
    const int together = WGMMA_TOGETHER(g.C);
    int clusters = 0;
    double features = 0.0;
    if (q->device->capability != 90 || g.B > INT32_MAX - 1024) return false;
    for (int k = 0; k < g.K; k++) {
        const GradientSpace<T> &s = g.space[k];
        if (s.d > INT32_MAX - 256 || !tensor_map(&a.R[k], s.R.data, g.C, g.B, s.R.stride, 64, 64) ||
            !tensor_map(&a.Z[k], s.Z.data, s.d, g.B, s.Z.stride, 64, 64))
            return false;
        features += (double)s.d;
    }
    if (resident_clusters(&clusters, kernel, together, WIDE_THREADS, WIDE_GRADIENT_SHARED) !=
            cudaSuccess ||
        clusters < 1)
        return false;
    wide_plan(&g, q->device->sms, together, scratch);
    const int items = WideDeal::items_of(g, together),
              blocks = (items < clusters ? items : clusters) * together;
    const cudaError_t error =
        cudaMemsetAsync(g.counter, 0, (size_t)g.tiles * sizeof(unsigned), q->stream);
    if (error != cudaSuccess) {
        cuda_queue_error(q, "gradient (clusters)", error);
        return true;
    }
    cost(q, 2.0 * (double)g.B * (double)g.C * features,
         2.0 * (double)g.B * (features + g.K * (double)g.C) + 4.0 * (double)g.C * features);
    launch_with(q, COOPERATIVE | clusters_of(together), (gradient_wgmma<T, Epilogue>),
                dim3((unsigned)blocks), WIDE_THREADS, WIDE_GRADIENT_SHARED, a);
    return true;
}

#endif
