/*
 * wide_logits.cuh - logits of all spaces on the tensor cores of compute capability 9.0, the maximum and sum of
 * every row, and its epilogue
 *
 *     x = Z W^T + b,   top = max_c x,   sum = sum_c exp(x - top),   then epilogue.store(row)
 *
 * Shapes   Z (B,d) and W (C,d) of 16 bits that the TMA can load (tensor_map.cuh), b (C), Y (B,C) or none;
 *          32 < C <= 2048.
 * Cost     2BCd flops per space; Z once, W once for each 128 rows of a cluster, through the L2 cache.
 * Mapping  pieces of rows are dealt to clusters of 1, 2, 4 or 8 blocks; plan.h says how many:
 *
 *              C <= 128   a block has all classes, a cluster 1, 2 or 4 x 128 rows: W is loaded once and
 *                         multicast
 *              more       a cluster has 128 rows, a block 256 classes: Z is loaded once and multicast; a
 *                         row's parts are exchanged through the cluster's shared memory, 8 bytes a block.
 *                         In a cluster twice as large two blocks have the same classes of other rows, and
 *                         load W once for both
 *
 *          wgmma.cuh has the product. Logits never leave the registers. While two groups are in the
 *          epilogue of a piece the third loads the next one.
 * Needs    a launch of clusters of the plan's size. An earlier launch may store W ordinarily; this launch
 *          only with fences on both sides (inner_wgmma.cu).
 * Ladder   kernels/cuda/ladder/step7_cluster.cu shares W in a cluster; ladder/step8_wgmma.cu multiplies by wgmma.
 * History  Not measured yet.
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_WIDE_LOGITS_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_WIDE_LOGITS_CUH

extern "C" {
#include "kernels/plan/plan.h"
}
#include "kernels/cuda/tile/wgmma.cuh"

struct WideLogits {
    int K, split_bits; /* 2^split_bits blocks of a cluster split the classes of the same rows */
    int64_t B, C;
    const float *Y;                /* (B,C); NULL where the epilogue asks for no labels */
    const float *mass;             /* (B) sums of Y's rows, where the epilogue asks for them */
    const float *bias[MAX_SPACES]; /* (C), which this launch may write between two visits */
    int d[MAX_SPACES];
    int order[MAX_SPACES]; /* spaces with most features first */
    CUtensorMap Z[MAX_SPACES], W[MAX_SPACES];
};

/* An epilogue of rows has
 *
 *     LABELS         whether it asks for Y and for losses
 *     EXPONENTIALS   d is exp(x - part.top), else x
 *     store(a, k, at, d, h, part, row, labels)   row h of the place `at`, whose classes are in d; returns the
 *                    thread's part of the row's loss
 *     losses(k)      (wide_losses(B, C)) double, where it has labels */

/* Shared memory behind the ring. It has two areas of each kind: blocks write those of the next piece while a slower
 * block still reads those of the last one. */
constexpr int EXCHANGE = RING_SHARED; /* (2, 64) float4: maximum and sum of a thread's two rows */
constexpr int BIAS = EXCHANGE + 2 * WideTile::ROWS / 2 * 16;   /* (2, 256) float */
constexpr int LOSSES = BIAS + 2 * WideTile::COLS * 4;          /* (2, 8) double */
constexpr int WIDE_LOGITS_SHARED = LOSSES + 2 * WIDE_CONSUMERS / WARP * 8;
static_assert(EXCHANGE % 16 == 0, "float4s are aligned");
static_assert(WIDE_LOGITS_SHARED == WGMMA_SHARED, "tiles.h counts with it");

/* Returns the partial losses of a space: one of each block of 128 rows, and of each block that splits its classes. */
__host__ __device__ inline int64_t wide_losses(int64_t B, int64_t C) {
    return ceil_div(B, WideTile::ROWS) * WGMMA_SPLITS(C);
}

/* --- rows ------------------------------------------------------------------------------------- */

/* Takes the place of logits outside of the classes. It is finite: 0 times it is 0, and its exponential is 0 as soon as
 * a row has classes. */
constexpr float OUTSIDE = -1e30f;

/* Returns exp(x), x <= 0, in three instructions instead of expf's eight: off by 1.5 |x| 2^-24 of it, and two places. */
__device__ __forceinline__ float exp_below(float x) {
    return exp2_approx(x * 1.44269504f);
}

/* The maximum of a row's logits, and the sum of their exponentials relative to it: over a block's classes, or all. */
struct RowPart {
    float top, sum;
};

/* The place of a thread in its tile: the rows `first` and first + 8 (h = 0 and 1), and, from class0 on, the classes
 * 8j and 8j + 1. They are x[4j + 2h] and x[4j + 2h + 1] of d (ptx_hopper.cuh). */
template <int COLS> struct RowPlace {
    static constexpr bool SPLITS = COLS == WideTile::COLS;
    int first, t, classes; /* classes: how many are left from class0 on; may be < 0 */
    int64_t row0, class0;

    /* part: which of the blocks it is that split the classes */
    __device__ RowPlace(int64_t C, int64_t row, int part) : row0(row) {
        const int lane = (int)threadIdx.x % WARP;
        first = (int)threadIdx.x / WARP * 16 + lane / 4;
        t = lane % 4;
        class0 = (SPLITS ? (int64_t)part * COLS : 0) + 2 * t;
        classes = (int)(C - class0);
    }
    __device__ int64_t row(int h) const {
        return row0 + first + 8 * h;
    }
};

/* Returns whether two neighbouring classes of a matrix (B,C) may be moved at once. */
__device__ __forceinline__ bool in_pairs(const WideLogits &a, const float *matrix) {
    return a.C % 2 == 0 && (uintptr_t)matrix % 8 == 0;
}

/* A thread's labels, zero outside. Where one block has all classes, all are under way while it multiplies. Else they
 * come in batches through two buffers, the next batch before the last one is used: 128 labels do not fit beside the
 * products. An epilogue goes through h and j in order. */
#if defined(TURTLE_AB_LABELS_IN_TWOS) /* the other side of a measurement: two pairs a batch, the fewest that an epilogue takes */
constexpr int LABELS_AT_ONCE = 2;
#else
constexpr int LABELS_AT_ONCE = 8;
#endif
template <int COLS> struct Labels {
    static constexpr int PAIRS = COLS / 8;
    static constexpr int BATCH = RowPlace<COLS>::SPLITS ? LABELS_AT_ONCE : PAIRS, BATCHES = 2 * PAIRS / BATCH;
    float2 y[2][BATCH];
    float mass[2]; /* of the two rows, where blocks split the classes and a.mass has them */

    __device__ __forceinline__ void load(const WideLogits &a, const RowPlace<COLS> &at, int batch) {
        const bool pairs = in_pairs(a, a.Y);
        const int h = batch * BATCH / PAIRS, from = 8 * (batch * BATCH % PAIRS);
        const float *row = a.Y + at.row(h) * a.C + at.class0 + from;
        const int classes = at.row(h) < a.B ? at.classes - from : 0;
        float2(&own)[BATCH] = y[batch % 2];
        UNROLL
        for (int j = 0; j < BATCH; j++) own[j] = make_float2(0.0f, 0.0f);
        if (pairs) {
            UNROLL
            for (int j = 0; j < BATCH; j++)
                if (8 * j < classes) own[j] = *(const float2 *)(row + 8 * j);
        } else {
            UNROLL
            for (int j = 0; j < BATCH; j++) {
                if (8 * j < classes) own[j].x = row[8 * j];
                if (8 * j + 1 < classes) own[j].y = row[8 * j + 1];
            }
        }
    }
    __device__ __forceinline__ void begin(const WideLogits &a, const RowPlace<COLS> &at) {
        if (BATCHES > 2 && a.mass) {
            UNROLL
            for (int h = 0; h < 2; h++) mass[h] = at.row(h) < a.B ? a.mass[at.row(h)] : 0.0f;
        }
        load(a, at, 0);
        if (BATCHES == 2) load(a, at, 1);
    }
    /* Call it before the labels of pair j are used. */
    __device__ __forceinline__ void advance(const WideLogits &a, const RowPlace<COLS> &at, int h,
                                            int j) {
        const int next = (h * PAIRS + j) / BATCH + 1;
        if (BATCHES > 2 && j % BATCH == 0 && next < BATCHES) load(a, at, next);
    }
    __device__ __forceinline__ float2 of(int h, int j) const {
        return y[(h * PAIRS + j) / BATCH % 2][j % BATCH];
    }
};

/* Stores of(x), for each x of d, in row h of a matrix (B,C). Four lanes store a sector. */
template <int COLS, class Of>
__device__ __forceinline__ void store_row(const WideLogits &a, float *matrix,
                                          const RowPlace<COLS> &at, const float (&d)[COLS / 2],
                                          int h, Of of) {
    const bool pairs = in_pairs(a, matrix);
    float *row = matrix + at.row(h) * a.C + at.class0;
    const int classes = at.row(h) < a.B ? at.classes : 0;
    UNROLL
    for (int j = 0; j < COLS / 8; j++) {
        const float2 two = of(j, d[4 * j + 2 * h], d[4 * j + 2 * h + 1]);
        if (pairs) {
            if (8 * j < classes) *(float2 *)(row + 8 * j) = two;
        } else {
            if (8 * j < classes) row[8 * j] = two.x;
            if (8 * j + 1 < classes) row[8 * j + 1] = two.y;
        }
    }
}

/* Returns the quad's part of row h, whose logits lie in d. EXPONENTIALS take the logits' place. */
template <bool EXPONENTIALS, int COLS>
__device__ __forceinline__ RowPart row_part(float (&d)[COLS / 2], int h) {
    RowPart part = {d[2 * h], 0.0f};
    UNROLL
    for (int i = 0; i < COLS / 4; i++) part.top = fmaxf(part.top, d[i / 2 * 4 + 2 * h + i % 2]);
    part.top = group_max<4>(part.top);
    UNROLL
    for (int i = 0; i < COLS / 4; i++) {
        float &x = d[i / 2 * 4 + 2 * h + i % 2];
        const float e = exp_below(x - part.top);
        part.sum += e;
        if (EXPONENTIALS) x = e;
    }
    part.sum = group_sum<4>(part.sum);
    return part;
}

/* Replaces the parts of two rows by the whole rows. Lane t of a quad loads those of blocks t and t + 4 among the `splits`
 * that have these rows, at once. */
__device__ __forceinline__ void whole_rows(RowPart (&row)[2], float4 *exchange, int t,
                                           unsigned splits) {
    if (t == 0) *exchange = make_float4(row[0].top, row[0].sum, row[1].top, row[1].sum);
    __syncwarp();
    cluster_sync();
    float4 part[2];
    UNROLL
    for (unsigned i = 0; i < 2; i++) {
        const unsigned other = (unsigned)t + 4 * i, first = cluster_rank() & ~(splits - 1);
        part[i] = make_float4(OUTSIDE, 0.0f, OUTSIDE, 0.0f);
        if (other < splits)
            part[i] = cluster_load_float4(cluster_address(exchange, first + other));
    }
    __syncwarp();
    const float top0 = group_max<4>(fmaxf(part[0].x, part[1].x)),
                top1 = group_max<4>(fmaxf(part[0].z, part[1].z));
    row[0] = {top0, group_sum<4>(part[0].y * exp_below(part[0].x - top0) +
                                 part[1].y * exp_below(part[1].x - top0))};
    row[1] = {top1, group_sum<4>(part[0].w * exp_below(part[0].z - top1) +
                                 part[1].w * exp_below(part[1].z - top1))};
}

/* Applies the epilogue to a thread's rows, whose products are in d. bias: the block's, in shared memory. Returns the
 * thread's part of the loss. */
template <int COLS, class Epilogue>
__device__ __forceinline__ double row_epilogue(const WideLogits &a, const Epilogue &epilogue, int k,
                                               const RowPlace<COLS> &at, float (&d)[COLS / 2],
                                               Labels<COLS> &labels, int turn) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    const float *bias = shared_mem<float>(BIAS) + turn * WideTile::COLS + 2 * at.t;
    UNROLL
    for (int j = 0; j < COLS / 8; j++) {
        const float2 two = *(const float2 *)(bias + 8 * j);
        d[4 * j] += two.x, d[4 * j + 1] += two.y;
        d[4 * j + 2] += two.x, d[4 * j + 3] += two.y;
    }
    RowPart part[2], row[2];
    UNROLL
    for (int h = 0; h < 2; h++)
        row[h] = part[h] = row_part<Epilogue::EXPONENTIALS, COLS>(d, h);
    if constexpr (SPLITS) {
        if constexpr (Epilogue::LABELS) labels.begin(a, at); /* under way while blocks wait */
        if (a.split_bits > 0)
            whole_rows(row,
                       shared_mem<float4>(EXCHANGE) + turn * WideTile::ROWS / 2 +
                           at.first / 16 * 8 + at.first % 8,
                       at.t, 1u << a.split_bits);
    }
    double loss = 0.0;
    UNROLL
    for (int h = 0; h < 2; h++)
        loss += epilogue.store(a, k, at, d, h, part[h], row[h], labels);
    return loss;
}

/* Computes all pieces of rows that are dealt to this cluster (plan_rows.h). */
template <class T, int COLS, bool LOADS, class Epilogue>
__device__ __forceinline__ void wide_rows(const WideLogits &a, const Epilogue &epilogue,
                                          Ring &ring) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    constexpr SharedOperand SHARED = SPLITS ? SHARE_BOTH : SHARE_B; /* rows of Z and W, or W */
    const int size = (int)cluster_size(), rank = (int)cluster_rank();
    const int split_bits = SPLITS ? a.split_bits : 0, part = rank & ((1 << split_bits) - 1);
    const int sharers = size >> split_bits, member = rank >> split_bits;
    const int blocks = row_pieces(a.B, WideTile::ROWS, 1);
    const int pieces = row_pieces(a.B, WideTile::ROWS, sharers);
    const int clusters = (int)gridDim.x / size, own = (int)blockIdx.x / size;
    const int class0 = part * COLS;
    /* The loading group runs one exchange ahead. A block with all classes exchanges nothing. Alone, its cluster barrier
     * may be compiled as one of the block, whose arrive does nothing: its wait would stop the loads of the next piece. */
    bool owes = false;
    for (int round = 0;; round++) {
        const DealtPiece piece = dealt_piece(own, clusters, round, pieces, true);
        if (piece.place >= a.K) break;
        const int k = a.order[piece.place];
        const int block = row_block(piece.piece, sharers, member), row0 = block * WideTile::ROWS;
        const int turn = round % 2; /* the half of the exchange that this piece uses */
        const int tiles = (int)ceil_div(a.d[k], WIDE_DEPTH);
        if constexpr (LOADS) {
            if (threadIdx.x == WIDE_CONSUMERS)
                ring_load<SHARED, COLS>(
                    ring, tiles, split_bits,
                    [&](int i, int t) {
                        return BoxAt{&a.Z[k], t * WIDE_DEPTH, row0 + 64 * i};
                    },
                    [&](int j, int t) {
                        return BoxAt{&a.W[k], t * WIDE_DEPTH, class0 + 64 * j};
                    });
            __syncwarp();
            if (split_bits > 0) {
                if (owes) cluster_wait();
                cluster_arrive();
                owes = true;
            }
        } else {
            const RowPlace<COLS> at(a.C, row0, part);
            const int thread = (int)threadIdx.x;
            float d[COLS / 2], bias = OUTSIDE;
            if (thread < COLS && class0 + thread < a.C) bias = a.bias[k][class0 + thread];
            Labels<COLS> labels;
            if constexpr (!SPLITS && Epilogue::LABELS) labels.begin(a, at);
            ring_multiply<T, K_MAJOR, SHARED>(ring, d, tiles, [](const unsigned char *) {});
            if (thread < COLS) shared_mem<float>(BIAS)[turn * WideTile::COLS + thread] = bias;
            barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
            const double rows_loss = row_epilogue<COLS>(a, epilogue, k, at, d, labels, turn);
            if constexpr (Epilogue::LABELS) {
                const double loss = warp_sum(rows_loss);
                double *slots = shared_mem<double>(LOSSES) + turn * (WIDE_CONSUMERS / WARP);
                if (thread % WARP == 0) slots[thread / WARP] = loss;
                barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
                if (thread == 0 && block < blocks) {
                    double sum = 0.0;
                    for (int w = 0; w < WIDE_CONSUMERS / WARP; w++) sum += slots[w];
                    epilogue.losses(k)[(block << split_bits) + part] = sum;
                }
                __syncwarp();
            }
        }
    }
    if (owes) cluster_wait();
}

/* --- logits alone: what a kernel of (logits, epilogue) does ------------------------------------------ */

template <class T, int COLS, class Epilogue>
__device__ __forceinline__ void wide_logits_kernel(const WideLogits &a, const Epilogue &epilogue) {
#if HAS_WGMMA
    Ring::begin();
    Ring ring;
    if (threadIdx.x >= WIDE_CONSUMERS) {
        registers_give<LOADER_REGISTERS>();
        wide_rows<T, COLS, true>(a, epilogue, ring);
    } else {
        registers_take<CONSUMER_REGISTERS>();
        wide_rows<T, COLS, false>(a, epilogue, ring);
    }
    __syncwarp();
    cluster_sync(); /* the other blocks, to which this one releases its last stages, must still be there */
#else
    __trap(); /* the host launches the kernel on 9.0 alone */
#endif
}

/* --- on the host ------------------------------------------------------------------------------ */

/* Fills in space k. Returns false if the TMA cannot load these matrices. */
template <class T>
bool wide_space(WideLogits *a, int k, const View<T> &Z, const View<T> &W, const float *bias) {
    a->bias[k] = bias;
    a->d[k] = (int)Z.width;
    return Z.width <= INT32_MAX - 256 &&
           tensor_map(&a->Z[k], Z.data, Z.width, Z.lines, Z.stride, 64, 64) &&
           tensor_map(&a->W[k], W.data, W.width, W.lines, W.stride, 64, 64);
}

/* Calls f with the classes of a block's tile as a constant. */
template <class F> auto with_wide_tile(const Plan &plan, F f) {
    if (plan.classes == 64) return f(std::integral_constant<int, 64>());
    if (plan.classes == 128) return f(std::integral_constant<int, 128>());
    return f(std::integral_constant<int, WideTile::COLS>());
}

/* Returns how many clusters of the plan's size a device holds at once. */
template <class Kernel> int held_clusters(const Plan &plan, Kernel kernel) {
#if defined(TURTLE_AB_W_NOT_SHARED) /* the other side of a measurement: no two blocks of rows share W where classes are split */
    if (plan.classes == WideTile::COLS && plan.cluster > plan.splits) return 0;
#endif
    int clusters = 0;
    const cudaError_t asked =
        resident_clusters(&clusters, kernel, plan.cluster, WIDE_THREADS, WIDE_LOGITS_SHARED);
    return asked == cudaSuccess ? clusters : 0;
}

/* Launches kernel_of(COLS)(logits, epilogue). The caller fills the logits but for their order, which the plan
 * says. Returns false, having done nothing, if the device or the sizes do not allow wgmma. Launch errors mark
 * the queue failed. */
template <class Epilogue, class KernelOf>
bool wide_logits(Queue *q, WideLogits &a, const Epilogue &epilogue, KernelOf kernel_of) {
    const Device *device = q->device;
    const PlanDevice limits =
        plan_device_like(device->sms, device->shared_per_block, device->capability);
    PlanSpace spaces[MAX_SPACES];
    Plan plan;
    Error err;
    for (int k = 0; k < a.K; k++) spaces[k] = PlanSpace{a.B, a.C, a.d[k]};
    if (a.B > INT32_MAX - 1024 ||
        plan_inner(&plan, &limits, spaces, a.K, DTYPE_F16, false, &err) != OK ||
        plan.form != PLAN_WGMMA)
        return false;
    for (int k = 0; k < a.K; k++) a.order[k] = plan.order[k];
    return with_wide_tile(plan, [&](auto cols) {
        const auto [name, kernel] = kernel_of(cols);
        plan_held(&plan, &limits, held_clusters(plan, kernel));
        const int64_t items = a.K * plan_pieces(&plan);
        int clusters = held_clusters(plan, kernel);
        if (clusters < 1) return false;
        if (clusters > items) clusters = (int)items;
        a.split_bits = plan_split_bits(&plan);
        launch_kernel(q, clusters_of(plan.cluster), name, kernel,
                      dim3((unsigned)(clusters * plan.cluster)), WIDE_THREADS, WIDE_LOGITS_SHARED,
                      a, epilogue);
        return true;
    });
}

#endif
