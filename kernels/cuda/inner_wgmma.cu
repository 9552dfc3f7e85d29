/*
 * inner_wgmma.cu - the inner loop in one launch for many classes: compute capability 9.0, 16 bits
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu; 32 < C <= 2048, Z of float16 or bfloat16.
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
    unsigned *arrived;     /* (1) zero at the start */
    int order[MAX_SPACES]; /* those with most features first */
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
        const int64_t tiles = ceil_div(s.Z.width, WIDE_DEPTH);
        if constexpr (LOADS) {
            if (threadIdx.x == WIDE_CONSUMERS)
                ring_load<SHARED, COLS>(
                    ring, tiles,
                    [&](int i, int64_t t) {
                        return BoxAt{&wide.Z[k], (int)t * WIDE_DEPTH, row0 + 64 * i};
                    },
                    [&](int j, int64_t t) {
                        return BoxAt{&wide.W[k], (int)t * WIDE_DEPTH, class0 + 64 * j};
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

template <class T, SharedOperand SHARED, bool LOADS>
__device__ __forceinline__ void wide_piece(const Wide<T> &wide, Ring &ring, const Piece &p) {
    constexpr int SIZE = WideTile::ROWS * WideTile::COLS;
    const Gradient<T> &g = wide.phases.gradient;
    const GradientSpace<T> &s = g.space[p.k];
    const int64_t tiles = ceil_div(g.B, WIDE_DEPTH), first = tiles * p.split / g.splits,
                  count = tiles * (p.split + 1) / g.splits - first;
    if constexpr (LOADS) {
        if (threadIdx.x == WIDE_CONSUMERS)
            ring_load<SHARED>(
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
        ring_multiply<T, MN_MAJOR, SHARED>(ring, d, count, [&](const unsigned char *R) {
            if (p.col == 0) add_columns<T>(columns, R);
        });
        if (p.tile < 0) return;
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
template <class T, int COLS, bool LOADS>
__device__ __forceinline__ void wide_loop(const Wide<T> &wide) {
    const InnerPhases<T> &p = wide.phases;
    const Gradient<T> &gradient = p.gradient;
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    const WideDeal deal(gradient, SPLITS ? (int)cluster_size() : 1);
    Ring ring;
    for (int m = 0; m < wide.M; m++) {
        ring.stage = 0; /* the same in all blocks of a cluster */
        wide_rows<T, COLS, LOADS>(wide, ring);
        wide_barrier(wide.arrived, 2 * m + 1);

        for (int at = deal.own; at < deal.items; at += deal.workers)
            wide_piece<T, SPLITS ? SHARE_B : SHARE_NONE, LOADS>(wide, ring,
                                                                deal.piece(gradient, at));
        if constexpr (!LOADS) {
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS); /* Adam's constants lie in the idle ring */
            p.finish.prepare(m);
            for (int at = deal.own; at < deal.items; at += deal.workers) {
                const Piece piece = deal.piece(gradient, at);
                if (piece.tile < 0) continue;
                gradient_ready(gradient, piece, m);
                barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
                gradient_share<T, WideTile>(gradient, piece, p.finish);
            }
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

/* Pieces of the batch per tile: those with the shortest predicted time; blocks compute so many tiles, of
 * which `tiles` are not behind the last class. A tile of depth takes 0.6 us
 * (4.2 MFLOP at 7 TFLOP/s an SM), a piece 2 us around them; 256 KB of it pass the L2 cache twice, at 5.5
 * TB/s. */
static int64_t wide_splits(int64_t computed, int64_t tiles, int64_t depth, int64_t blocks) {
    int64_t best = 1;
    double least = INFINITY;
    for (int64_t splits = 1; splits <= depth && splits <= MAX_SPLITS; splits++) {
        if (splits > 1 && tiles * splits > WIDE_PIECES) break;
        const double us = (double)ceil_div(computed * splits, blocks) *
                              (0.6 * (double)ceil_div(depth, splits) + 2) +
                          (double)(tiles * splits) * 2 * 131072 / 5.5e6;
        if (us < least) least = us, best = splits;
    }
    return best;
}

/* Lays tiles, pieces and scratch out, as gradient_plan does. */
template <class T>
static void wide_plan(Gradient<T> *g, int64_t blocks, int together, void *scratch) {
    int64_t tiles = 0;
    const int64_t class_tiles = ceil_div(g->C, WideTile::ROWS);
    for (int k = 0; k < g->K; k++) {
        g->space[k].first_tile = (int)tiles;
        tiles += class_tiles * ceil_div(g->space[k].d, WideTile::COLS);
    }
    g->tiles = (int)tiles;
    g->splits = 1;
    g->splits = (int)wide_splits((int64_t)WideDeal::items_of(*g, together) * together, tiles,
                                 ceil_div(g->B, WIDE_DEPTH), blocks);
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

bool wide_serves(const InnerSteps *in, const Plan &plan) {
    if (in->M > INT32_MAX / 2 || in->B > INT32_MAX - 1024 || largest_d(in) > INT32_MAX - 256)
        return false;
    if (in->tier == INNER_MEGA) return true;
    int clusters = 0;
    const cudaError_t asked = with_wide_tile(plan, [&](auto cols) {
        return resident_clusters(&clusters, inner_mega_v3_wgmma<Fp16, cols()>, plan.cluster,
                                 WIDE_THREADS, WIDE_SHARED);
    });
    return asked == cudaSuccess && clusters >= 1;
}

Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan) {
    return with_wide_tile(plan, [&](auto cols) {
        if (in->space[0].Z.type == DTYPE_F16) return wide_launch<Fp16, cols()>(q, in, plan);
        return wide_launch<Bf16, cols()>(q, in, plan);
    });
}
