/*
 * gradient.cuh - the weight gradient of a linear layer and its epilogue, in one kernel
 *
 *     grad_W (C,d) = scale R^T Z,  grad_bias (C) = scale (column sums of R),  then epilogue(k, i, grad)
 *
 * Shapes   R (B,C) and Z (B,d) in the operand type, of one space or of several at once.
 * Cost     2BCd flops; R once per tile of features, Z once per tile of classes, partial sums
 *          8 splits C d bytes through the L2 cache.
 * Mapping  a tile of (classes, features) per block, the batch cut into `splits` pieces so that all
 *          tiles and pieces together are one wave of blocks:
 *
 *                      features ->                        1. every block: its piece's product, stored
 *              classes  tile 0 | tile 1 | ...             2. add_release on the tile's counter,
 *                       pieces 0..splits-1 each              wait_for the other pieces
 *                                                         3. every block: its share of the tile,
 *                                                            summed over pieces in order, epilogue
 *
 *          Blocks wait for each other, so the launch is cooperative: all are resident or it fails.
 *          With more tiles than resident blocks there is one piece and nobody waits.
 * Needs    Partial sums and counters in scratch. Counters are zero before the first step; the m-th
 *          step waits for m + 1 times the pieces.
 * Ladder   A plain version, in pieces of the batch, is kernels/cuda/ladder/step4_pieces.cu.
 * History  Not measured yet.
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_GRADIENT_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_GRADIENT_CUH

#include "kernels/cuda/tile/gemm.cuh"
#include "kernels/tiles.h"

template <class T> struct GradientSpace {
    View<T> R, Z;   /* (B,C) (B,d) */
    int64_t d;      /* features */
    float unit;     /* Z times it are the features */
    int first_tile; /* number of this space's first tile among the tiles of all spaces */
    float *partial; /* (tiles, splits, ROWS, COLS) */
    float *bias;    /* (class tiles, splits, ROWS) */
};

template <class T> struct Gradient {
    GradientSpace<T> space[MAX_SPACES];
    int K, tiles, splits;
    int64_t B, C;
    float scale;
    const float *scale_dev; /* one more factor, read when the kernel runs; NULL means 1 */
    unsigned *counter;      /* (tiles) zero before the first step */
    int64_t m;              /* steps that used the counters before this launch */
};

/* The tile of a block: classes x features. */
using GradientTile16 = Shape2<GRADIENT_ROWS(16), GRADIENT_COLS(16), 1, 4>;
using GradientTile64 = Shape2<GRADIENT_ROWS(64), GRADIENT_COLS(64), 2, 2>;
using GradientTile128 = Shape2<GRADIENT_ROWS(128), GRADIENT_COLS(128), 2, 2>;

template <class F> auto with_gradient_tile(int64_t C, F f) {
    if (GRADIENT_ROWS(C) == 16) return f(GradientTile16());
    if (GRADIENT_ROWS(C) == 64) return f(GradientTile64());
    return f(GradientTile128());
}

template <class T, class S>
using GradientGemm = Gemm<T, S, ACROSS, ACROSS>; /* depth is the batch */

/* One piece of one tile: where it lies. */
struct Piece {
    int k, tile, split; /* space; tile among the tiles of all spaces; piece of the batch */
    int64_t own;        /* tile among the tiles of its space */
    int64_t class_tile, row, col;
};
template <class T, class S> __device__ Piece piece_at(const Gradient<T> &g, int at) {
    Piece p = {0, at / g.splits, at % g.splits, 0, 0, 0, 0};
    while (p.k + 1 < g.K && p.tile >= g.space[p.k + 1].first_tile) p.k++;
    const int64_t across = ceil_div(g.space[p.k].d, S::COLS);
    p.own = p.tile - g.space[p.k].first_tile;
    p.class_tile = p.own / across;
    p.row = p.class_tile * S::ROWS;
    p.col = p.own % across * S::COLS;
    return p;
}

/* 1. The piece's product, stored among the partial sums. All threads of the block call it. */
template <class T, class S> __device__ void gradient_product(const Gradient<T> &g, const Piece &p) {
    using G = GradientGemm<T, S>;
    constexpr int SIZE = S::ROWS * S::COLS;
    static_assert(S::ROWS <= S::THREADS, "a thread per class for the columns");
    const GradientSpace<T> &s = g.space[p.k];
    const bool sums_columns =
        p.col == 0 && threadIdx.x < S::ROWS; /* one thread adds a column of R */
    const int64_t tiles = ceil_div(g.B, G::DEPTH), first = tiles * p.split / g.splits,
                  count = tiles * (p.split + 1) / g.splits - first;
    float column = 0.0f;
    const float *product =
        G::run(0, s.R, p.row, s.Z, p.col, first, count, [&](const typename T::Element *R) {
            if (!sums_columns) return;
            for (int b = 0; b < G::DEPTH; b++)
                column += to_float<T>(R[b * G::TileA::STRIDE + threadIdx.x]);
        });
    float *partial = s.partial + (p.own * g.splits + p.split) * SIZE;
    for (int i = threadIdx.x; i < SIZE; i += S::THREADS)
        partial[i] = product[i / S::COLS * S::RESULT_STRIDE + i % S::COLS];
    if (sums_columns) s.bias[(p.class_tile * g.splits + p.split) * S::ROWS + threadIdx.x] = column;
}

/* 2. Tells the other pieces of the tile, and waits for them. */
template <class T> __device__ void gradient_arrive(const Gradient<T> &g, const Piece &p) {
    __syncthreads(); /* the release below publishes what all threads wrote before */
    if (g.splits > 1 && threadIdx.x == 0) add_release(g.counter + p.tile, 1);
}
template <class T> __device__ void gradient_ready(const Gradient<T> &g, const Piece &p, int64_t m) {
    if (g.splits > 1 && threadIdx.x == 0)
        wait_for(g.counter + p.tile, (unsigned)(m + 1) * (unsigned)g.splits);
}
template <class T> __device__ void gradient_wait(const Gradient<T> &g, const Piece &p, int64_t m) {
    gradient_ready(g, p, m);
    __syncthreads();
}

/* 3. The piece's share of the tile, summed over the pieces in order, then given to the epilogue. */
template <class T, class S, class Epilogue>
__device__ void gradient_share(const Gradient<T> &g, const Piece &p, const Epilogue &epilogue) {
    constexpr int SIZE = S::ROWS * S::COLS;
    const GradientSpace<T> &s = g.space[p.k];
    const float *partial = s.partial + p.own * g.splits * SIZE;
    const float *bias = s.bias + p.class_tile * g.splits * S::ROWS;
    const float scale = g.scale_dev ? g.scale * *g.scale_dev : g.scale;
    const int share = (int)ceil_div(SIZE, g.splits), begin = p.split * share;
    const int end = begin + share < SIZE ? begin + share : SIZE;
    for (int i = begin + threadIdx.x; i < end; i += S::THREADS) {
        const int64_t c = p.row + i / S::COLS, j = p.col + i % S::COLS;
        if (c >= g.C || j >= s.d) continue;
        float sum = 0.0f;
        for (int n = 0; n < g.splits; n++) sum += partial[(int64_t)n * SIZE + i];
        epilogue(p.k, c, j, s.d, c * s.d + j, sum * scale * s.unit);
    }
    const int64_t c = p.row + threadIdx.x;
    if (p.split == 0 && p.col == 0 && threadIdx.x < S::ROWS && c < g.C) {
        float sum = 0.0f;
        for (int n = 0; n < g.splits; n++) sum += bias[n * S::ROWS + threadIdx.x];
        epilogue(p.k, c, s.d, s.d, g.C * s.d + c, sum * scale);
    }
}

template <class T, class S, class Epilogue>
__global__ void __launch_bounds__(S::THREADS, 3)
    gradient_tiled(const Gradient<T> g, const Epilogue epilogue) {
    const Piece p = piece_at<T, S>(g, (int)blockIdx.x);
    gradient_product<T, S>(g, p);
    gradient_arrive(g, p);
    gradient_wait(g, p, g.m);
    epilogue.begin(g.m);
    gradient_share<T, S>(g, p, epilogue);
    epilogue.end(g.m);
}

/* --- on the host ------------------------------------------------------------------------------ */

/* Returns the floats of one space's partial sums with `splits` pieces. */
template <class S> int64_t gradient_partial_floats(int64_t C, int64_t d, int64_t splits) {
    const int64_t tiles = ceil_div(C, S::ROWS) * ceil_div(d, S::COLS);
    return tiles * splits * S::ROWS * S::COLS + ceil_div(C, S::ROWS) * splits * S::ROWS;
}

/* Returns the bytes of scratch for K spaces of at most d features. They grow with d, so a smaller space fits too. */
inline int64_t gradient_scratch(int K, int64_t C, int64_t d) {
    return with_gradient_tile(C, [&](auto shape) {
        using S = decltype(shape);
        const int64_t class_tiles = ceil_div(C, S::ROWS),
                      tiles = class_tiles * ceil_div(d, S::COLS);
        const int64_t blocks =
            most(tiles, least(tiles * GRADIENT_MOST_SPLITS, GRADIENT_MOST_BLOCKS));
        const int64_t floats =
            blocks * S::ROWS * S::COLS + class_tiles * GRADIENT_MOST_SPLITS * S::ROWS + 32;
        return K * (round_up(floats * 4, 64) + round_up(tiles * 4, 64));
    });
}

/* Lays tiles, pieces and scratch out for the spaces whose R, Z and d are filled in, for a kernel of
 * which `resident` blocks are on the chip at once, and zeroes the counters. */
template <class S, class T>
Status gradient_plan(Queue *q, Gradient<T> *g, int64_t resident, void *scratch) {
    const int64_t depth_tiles = ceil_div(g->B, GradientGemm<T, S>::DEPTH);
    int64_t tiles = 0;
    for (int k = 0; k < g->K; k++) {
        g->space[k].first_tile = (int)tiles;
        tiles += ceil_div(g->C, S::ROWS) * ceil_div(g->space[k].d, S::COLS);
    }
    /* two blocks per SM hide each other's latency, more only add partial sums (8 C d bytes each through the
     * L2 cache) */
    const int64_t wave = least(2 * (int64_t)q->device->sms, GRADIENT_MOST_BLOCKS);
    const int64_t wanted = least(resident, wave) / tiles;
    const int64_t splits = most(1, least(wanted, least(GRADIENT_MOST_SPLITS, depth_tiles)));
    g->tiles = (int)tiles;
    g->splits = (int)splits;
    Pieces pieces = {scratch, 0};
    g->counter = take_u32(&pieces, tiles);
    g->m = 0;
    for (int k = 0; k < g->K; k++) {
        const int64_t floats = gradient_partial_floats<S>(g->C, g->space[k].d, splits);
        const int64_t bias = ceil_div(g->C, S::ROWS) * splits * S::ROWS;
        g->space[k].partial = take_f32(&pieces, floats);
        g->space[k].bias = g->space[k].partial + floats - bias;
    }
    const cudaError_t error =
        cudaMemsetAsync(g->counter, 0, (size_t)tiles * sizeof(unsigned), q->stream);
    return error == cudaSuccess ? OK : cuda_queue_error(q, "gradient", error);
}

template <class S, class T, class Epilogue> int gradient_resident(const Device *device) {
    return resident_blocks(device, gradient_tiled<T, S, Epilogue>, S::THREADS,
                           GradientGemm<T, S>::SHARED_BYTES);
}

template <class S, class T, class Epilogue>
Status gradient_launch(Queue *q, const Gradient<T> &g, Epilogue epilogue) {
    constexpr int shared = GradientGemm<T, S>::SHARED_BYTES;
    double features = 0.0;
    for (int k = 0; k < g.K; k++) features += (double)g.space[k].d;
    cost(q, 2.0 * (double)g.B * (double)g.C * features,
         (double)sizeof(typename T::Element) * (double)g.B * (features + g.K * (double)g.C) +
             4.0 * (double)g.C * features);
    return launch_with(q, g.splits > 1 ? COOPERATIVE : 0, (gradient_tiled<T, S, Epilogue>),
                       dim3((unsigned)(g.tiles * g.splits)), S::THREADS, shared, g, epilogue);
}

#endif
