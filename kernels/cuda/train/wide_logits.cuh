/*
 * wide_logits.cuh - logits of all spaces on the tensor cores of compute capability 9.0, the maximum and sum of
 * every row, and its epilogue
 *
 *     x = Z W^T + b,   top = max_c x,   sum = sum_c exp(x - top),   mass = sum_c Y,
 *     dot = sum_c Y (x - top),   then epilogue.store(row),   loss = sum_b (mass log sum - dot)
 *
 * Shapes   Z (B,d) and W (C,d) of 16 bits that the TMA can load (tensor_map.cuh), b (C), Y (B,C) or none;
 *          32 < C <= 2048.
 * Cost     2BCd flops per space; Z once, W once for each 128 rows of a cluster, through the L2 cache.
 * Mapping  pieces of rows are dealt to clusters of 1, 2, 4 or 8 blocks; plan.h says how many:
 *
 *              C <= 128   a block has all classes, a cluster 1, 2 or 4 x 128 rows: W is loaded once and
 *                         multicast
 *              more       a cluster has 128 rows, a block 256 classes: Z is loaded once and multicast; a
 *                         row's parts are exchanged through the cluster's shared memory, 16 bytes a block
 *
 *          wgmma.cuh has the product. Logits never leave the registers. While two groups are in the
 *          epilogue of a piece the third loads the next one.
 * Needs    a launch of clusters of the plan's size. An earlier launch may store W ordinarily; this launch
 *          only with fences on both sides (inner_wgmma.cu).
 * History  Not measured yet.
 */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_WIDE_LOGITS_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_WIDE_LOGITS_CUH

extern "C" {
#include "kernels/plan/plan.h"
}
#include "kernels/cuda/tile/wgmma.cuh"

struct WideLogits {
    int K;
    int64_t B, C;
    const float *Y;                /* (B,C); NULL where the epilogue asks for no labels */
    const float *bias[MAX_SPACES]; /* (C), which this launch may write between two visits */
    int d[MAX_SPACES];
    int order[MAX_SPACES]; /* spaces with most features first */
    CUtensorMap Z[MAX_SPACES], W[MAX_SPACES];
};

/* An epilogue of rows has
 *
 *     LABELS         whether it asks for Y, mass, dot and losses
 *     EXPONENTIALS   d is exp(x - part.top), else x - part.top
 *     store(a, k, at, d, h, part, row, label)   row h of the place `at`, whose classes are in d
 *     losses(k)      (blocks of 128 rows) double, where it has labels */

/* Shared memory behind the ring. It has two areas for what the rows exchange: blocks write those of the next piece
 * while a slower block still reads those of the last one. */
constexpr int EXCHANGE = RING_SHARED; /* (2, 128) float4: maximum, sum, label mass, dot */
constexpr int LOSSES = EXCHANGE + 2 * WideTile::ROWS * 16; /* (2, 8) double */
constexpr int WIDE_LOGITS_SHARED = LOSSES + 2 * WIDE_CONSUMERS / WARP * 8;
static_assert(EXCHANGE % 16 == 0, "float4s are aligned");
static_assert(WIDE_LOGITS_SHARED == WGMMA_SHARED, "tiles.h counts with it");

/* --- rows ------------------------------------------------------------------------------------- */

/* Four figures of a row's logits, over a quad's classes, a block's or all: their maximum; relative to it, the sum
 * of their exponentials; the sum of the labels, and the product of labels and logits. */
struct RowPart {
    float top, sum, mass, dot;
};

/* The place of a thread in its tile: the rows `first` and first + 8 (h = 0 and 1), and, from class0 on, the classes
 * 8j and 8j + 1. They are x[4j + 2h] and x[4j + 2h + 1] of d and of the labels (ptx_hopper.cuh). */
template <int COLS> struct RowPlace {
    static constexpr bool SPLITS = COLS == WideTile::COLS;
    int first, t, classes; /* classes: how many are left from class0 on; may be < 0 */
    int64_t row0, class0;

    __device__ RowPlace(int64_t C, int64_t row) : row0(row) {
        const int lane = (int)threadIdx.x % WARP;
        first = (int)threadIdx.x / WARP * 16 + lane / 4;
        t = lane % 4;
        class0 = (SPLITS ? (int64_t)cluster_rank() * COLS : 0) + 2 * t;
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

/* Loads a thread's labels, zero outside, where one block has all classes: they are under way while it multiplies. */
template <int COLS>
__device__ __forceinline__ void load_labels(const WideLogits &a, const RowPlace<COLS> &at,
                                            float (&y)[COLS / 2]) {
    const bool pairs = in_pairs(a, a.Y);
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
        const float x = of(d[4 * j + 2 * h]), y = of(d[4 * j + 2 * h + 1]);
        if (pairs) {
            if (8 * j < classes) *(float2 *)(row + 8 * j) = make_float2(x, y);
        } else {
            if (8 * j < classes) row[8 * j] = x;
            if (8 * j + 1 < classes) row[8 * j + 1] = y;
        }
    }
}

/* Returns the quad's part of row h. Logits become what the epilogue asks for; outside of the classes zeros. */
template <class Epilogue, int COLS, class Label>
__device__ __forceinline__ RowPart row_part(float (&d)[COLS / 2], int h, int classes, Label label) {
    RowPart part = {-INFINITY, 0.0f, 0.0f, 0.0f};
    UNROLL
    for (int i = 0; i < COLS / 4; i++) part.top = fmaxf(part.top, d[i / 2 * 4 + 2 * h + i % 2]);
    part.top = group_max<4>(part.top);
    UNROLL
    for (int i = 0; i < COLS / 4; i++) {
        const int c = i / 2 * 8 + i % 2, at = i / 2 * 4 + 2 * h + i % 2;
        if (i % 4 == 0) keep_order(classes);
        if (c < classes) {
            const float x = d[at] - part.top, e = expf(x);
            d[at] = Epilogue::EXPONENTIALS ? e : x;
            part.sum += e;
            if constexpr (Epilogue::LABELS) {
                const float y = label(at, c);
                part.mass += y;
                part.dot += y * x;
            }
        } else {
            d[at] = 0.0f;
        }
    }
    part.sum = group_sum<4>(part.sum);
    if constexpr (Epilogue::LABELS) {
        part.mass = group_sum<4>(part.mass);
        part.dot = group_sum<4>(part.dot);
    }
    return part;
}

/* Returns the whole row from the parts of all blocks of the cluster, added in order. */
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

/* Applies the epilogue to a thread's rows, whose products are in d. y: the labels, where one block has all
 * classes. Returns the rows' loss in lane t = 0 of the block that tells it, elsewhere 0. */
template <int COLS, class Epilogue>
__device__ __forceinline__ double row_epilogue(const WideLogits &a, const Epilogue &epilogue, int k,
                                               const RowPlace<COLS> &at, float (&d)[COLS / 2],
                                               const float *y, int turn) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    float4 *exchange = shared_mem<float4>(EXCHANGE) + turn * WideTile::ROWS + at.first;
    const float *bias = a.bias[k] + at.class0;
    int classes = at.classes;
    RowPart part[2];
    UNROLL
    for (int i = 0; i < COLS / 2; i++) {
        const int c = i / 4 * 8 + i % 2;
        if (i % 4 == 0) keep_order(classes);
        d[i] = c < classes ? d[i] + bias[c] : -INFINITY;
    }
    auto label = [&](int h) {
        const float *row = Epilogue::LABELS ? a.Y + at.row(h) * a.C + at.class0 : NULL;
        const bool inside = at.row(h) < a.B;
        return [=](int i, int c) { return !SPLITS ? y[i] : inside ? row[c] : 0.0f; };
    };
    UNROLL
    for (int h = 0; h < 2; h++) {
        part[h] = row_part<Epilogue, COLS>(d, h, classes, label(h));
        if (SPLITS && at.t == 0)
            exchange[8 * h] = make_float4(part[h].top, part[h].sum, part[h].mass, part[h].dot);
    }
    if (SPLITS) {
        __syncwarp();
        if (cluster_size() > 1) cluster_sync();
    }
    double loss = 0.0;
    UNROLL
    for (int h = 0; h < 2; h++) {
        const RowPart row = SPLITS ? row_of_parts(exchange + 8 * h) : part[h];
        epilogue.store(a, k, at, d, h, part[h], row, label(h));
        if (Epilogue::LABELS && at.t == 0 && at.row(h) < a.B)
            loss += (double)(row.mass * logf(row.sum) - row.dot);
    }
    return !SPLITS || cluster_rank() == 0 ? loss : 0.0;
}

/* Computes all pieces of rows that are dealt to this cluster (plan_rows.h). */
template <class T, int COLS, bool LOADS, class Epilogue>
__device__ __forceinline__ void wide_rows(const WideLogits &a, const Epilogue &epilogue,
                                          Ring &ring) {
    constexpr bool SPLITS = RowPlace<COLS>::SPLITS;
    constexpr SharedOperand SHARED = SPLITS ? SHARE_A : SHARE_B; /* rows of Z, or W */
    const int size = (int)cluster_size(), rank = (int)cluster_rank();
    const int sharers = SPLITS ? 1 : size, member = SPLITS ? 0 : rank;
    const int blocks = row_pieces(a.B, WideTile::ROWS, 1);
    const int pieces = row_pieces(a.B, WideTile::ROWS, sharers);
    const int clusters = (int)gridDim.x / size, own = (int)blockIdx.x / size;
    const int class0 = SPLITS ? rank * COLS : 0;
    /* The loading group runs one exchange ahead. A block alone exchanges nothing: its cluster barrier may be compiled
     * as one of the block, whose arrive does nothing, so that its wait would stop the loads of the next piece. */
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
                    ring, tiles,
                    [&](int i, int t) {
                        return BoxAt{&a.Z[k], t * WIDE_DEPTH, row0 + 64 * i};
                    },
                    [&](int j, int t) {
                        return BoxAt{&a.W[k], t * WIDE_DEPTH, class0 + 64 * j};
                    });
            __syncwarp();
            if (SPLITS && size > 1) {
                if (owes) cluster_wait();
                cluster_arrive();
                owes = true;
            }
        } else {
            float d[COLS / 2], y[SPLITS || !Epilogue::LABELS ? 1 : COLS / 2];
            if constexpr (!SPLITS && Epilogue::LABELS) load_labels(a, RowPlace<COLS>(a.C, row0), y);
            ring_multiply<T, K_MAJOR, SHARED>(ring, d, tiles, [](const unsigned char *) {});
            const double rows_loss =
                row_epilogue<COLS>(a, epilogue, k, RowPlace<COLS>(a.C, row0), d, y, turn);
            if constexpr (Epilogue::LABELS) {
                const double loss = warp_sum(rows_loss);
                double *slots = shared_mem<double>(LOSSES) + turn * (WIDE_CONSUMERS / WARP);
                if (threadIdx.x % WARP == 0) slots[threadIdx.x / WARP] = loss;
                barrier_sync(OF_CONSUMERS, WIDE_CONSUMERS);
                if (threadIdx.x == 0 && (SPLITS ? rank == 0 : block < blocks)) {
                    double sum = 0.0;
                    for (int w = 0; w < WIDE_CONSUMERS / WARP; w++) sum += slots[w];
                    epilogue.losses(k)[block] = sum;
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
        const int64_t items = a.K * plan_pieces(&plan);
        int clusters = 0;
        if (resident_clusters(&clusters, kernel, plan.cluster, WIDE_THREADS, WIDE_LOGITS_SHARED) !=
                cudaSuccess ||
            clusters < 1)
            return false;
        if (clusters > items) clusters = (int)items;
        launch_kernel(q, clusters_of(plan.cluster), name, kernel,
                      dim3((unsigned)(clusters * plan.cluster)), WIDE_THREADS, WIDE_LOGITS_SHARED,
                      a, epilogue);
        return true;
    });
}

#endif
