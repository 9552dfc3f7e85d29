/*
 * batch_entropy.cu - P_bar = mean over the batch of P, entropy of P_bar (paper Eq. 12); beside it, where
 * asked, Y = mean over spaces of P (Eq. 9)
 *
 *     P_bar[k,c] = 1/B sum_b P[k,b,c],    entropy[k] = -sum_c P_bar ln P_bar,  0 ln 0 = 0
 *
 * It is the entropy of the mean label, not the mean of the entropies.
 *
 * Shapes   P (K,B,C), P_bar (K,C), entropy (K).
 * Cost     4KBC bytes, KBC flops: memory bound. K=2 B=10000 C=100: 8 MB, floor 1.7 us at 4.8 TB/s
 *          (H200 data sheet); K=1 C=1000: 40 MB, 8.3 us.
 * Mapping  block (group of rows, tile of at most 64 columns, space); its threads in rows of the
 *          tile's width, so that neighbours read neighbours:
 *
 *              width 10:   thread   0 .. 9  10 .. 19  ...  240 .. 249   (250 .. 255 idle)
 *                          column   0 .. 9   0 ..  9  ...    0 ..   9
 *                          row      0        1        ...   24          then + 25, + 50, ...
 *
 *          Sums are in double. The last block of a tile to finish adds the sums of all its blocks, in
 *          the order of the groups; the last tile of a space to finish adds the entropy. Which is last
 *          differs between runs, but not what it computes. Each of a group's K blocks computes Y of a
 *          K-th of the rows: P comes once more, from the L2 cache.
 * Needs    K, B, C >= 1; scratch: cuda_batch_entropy_scratch(K, B, C) bytes, aligned to 8, whose
 *          counters the launcher zeroes.
 * History  Not measured yet. v1, thread per column: kept as the readable oracle.
 */
#include <math.h>

#include "kernels/cuda/backend/operations.h"

constexpr int THREADS = 256;
constexpr int TILE = 64; /* columns of a block at most: 256 bytes of every row */
constexpr int GROUPS =
    128; /* groups of rows, at most: more blocks read faster, but the last one adds longer */
constexpr int RUN = 8; /* rows that a thread adds at least, where there are so many */
static_assert(TILE <= THREADS, "every column of a tile has a thread");

/* The cut of a matrix (B,C) follows its shape alone, so that sums do not depend on the device. */
struct EntropyPlan {
    int64_t tiles, width; /* tiles of columns, as equal as possible: the last may be narrower */
    int64_t groups, rows; /* groups of rows, each of `rows` but the last */
};

static EntropyPlan entropy_plan(int64_t B, int64_t C) {
    EntropyPlan p;
    p.width = ceil_div(C, ceil_div(C, TILE));
    p.tiles = ceil_div(C, p.width);
    const int64_t at_once = THREADS / p.width, wanted = ceil_div(B, at_once * RUN);
    p.rows = ceil_div(B, wanted < GROUPS ? wanted : GROUPS);
    p.groups = ceil_div(B, p.rows);
    return p;
}

__global__ void batch_entropy_v1_naive(float *P_bar, float *entropy, const float *P, int64_t B,
                                       int64_t C) {
    const int64_t k = blockIdx.x;
    double H = 0.0;
    for (int64_t c = threadIdx.x; c < C; c += THREADS) {
        double sum = 0.0;
        for (int64_t b = 0; b < B; b++) sum += (double)P[(k * B + b) * C + c];
        const double p = sum / (double)B;
        P_bar[k * C + c] = (float)p;
        if (p > 0.0) H -= p * log(p); /* 0 ln 0 = 0 */
    }
    H = block_sum<THREADS>(H, shared_mem<double>());
    if (threadIdx.x == 0) entropy[k] = (float)H;
}

/* Returns whether this block is the last of `blocks` to come here; then it sees what the others wrote before they
 * came. All threads call it. */
__device__ __forceinline__ bool last_to_come(unsigned *counter, unsigned blocks, unsigned *flag) {
    __syncthreads(); /* this block's writes are done */
    if (threadIdx.x == 0) {
        *flag = add_release(counter, 1) + 1 == blocks;
        if (*flag) load_acquire(counter);
    }
    __syncthreads();
    return *flag != 0;
}

/* Returns the sum of column[i * step] for i = first, first + by, ... below `end`, in that order. Eight loads at a
 * time are under way together. */
template <typename T>
__device__ __forceinline__ double column_sum(const T *column, int64_t step, int64_t first,
                                             int64_t end, int64_t by) {
    double sum = 0.0;
    int64_t i = first;
    for (; i + (RUN - 1) * by < end; i += RUN * by) {
        T x[RUN];
        UNROLL
        for (int j = 0; j < RUN; j++) x[j] = column[(i + j * by) * step];
        UNROLL
        for (int j = 0; j < RUN; j++) sum += (double)x[j];
    }
    for (; i < end; i += by) sum += (double)column[i * step];
    return sum;
}

/* Adds the sums of the threads that have the same column of a tile, in their order; the result is in
 * the first `width` threads. All threads call it. */
__device__ __forceinline__ double add_rows(double sum, int width, int at_once, double *slots) {
    __syncthreads(); /* slots may still be read from the call before */
    slots[threadIdx.x] = sum;
    __syncthreads();
    sum = 0.0;
    if ((int)threadIdx.x < width)
        for (int row = 0; row < at_once; row++) sum += slots[row * width + (int)threadIdx.x];
    return sum;
}

/* partial (K,groups,C); tile_counter (K,tiles) and space_counter (K) are zero on entry. Data that
 * other blocks write is read without __restrict__, for the read-only cache could hold an older value. */
__global__ void __launch_bounds__(THREADS)
    batch_entropy_v2_tickets(float *Y, float *P_bar, float *entropy, const float *__restrict__ P,
                             double *partial, unsigned *tile_counter, unsigned *space_counter,
                             int64_t B, int64_t C, EntropyPlan plan) {
    double *slots = shared_mem<double>();
    unsigned *flag = shared_mem<unsigned>(THREADS * (int)sizeof(double));
    const int64_t group = blockIdx.x, tile = blockIdx.y, k = blockIdx.z;
    const int64_t first_column = tile * plan.width, left = C - first_column;
    const int width = (int)(left < plan.width ? left : plan.width), at_once = THREADS / width;
    const int column = (int)threadIdx.x % width, row = (int)threadIdx.x / width;
    const int64_t c = first_column + column, end = (group + 1) * plan.rows;

    if (Y && row < at_once) {
        const int K = (int)gridDim.z;
        const int64_t share = ceil_div(plan.rows, K), begin = group * plan.rows + k * share;
        int64_t past = (k + 1) * share < plan.rows ? begin + share : (group + 1) * plan.rows;
        if (past > B) past = B;
        for (int64_t b = begin + row; b < past; b += at_once) {
            float y = P[b * C + c];
            for (int other = 1; other < K; other++) y += P[(other * B + b) * C + c];
            Y[b * C + c] = y * (1.0f / (float)K);
        }
    }

    double sum = 0.0;
    if (row < at_once) /* else the thread is idle */
        sum = column_sum(P + k * B * C + c, C, group * plan.rows + row, end < B ? end : B, at_once);
    sum = add_rows(sum, width, at_once, slots);
    double *sums = partial + k * plan.groups * C;
    if ((int)threadIdx.x < width) sums[group * C + c] = sum;
    if (!last_to_come(tile_counter + k * plan.tiles + tile, (unsigned)plan.groups, flag)) return;

    sum = 0.0;
    if (row < at_once) sum = column_sum(sums + c, C, row, plan.groups, at_once);
    sum = add_rows(sum, width, at_once, slots);
    if ((int)threadIdx.x < width) P_bar[k * C + c] = (float)(sum / (double)B);
    if (!last_to_come(space_counter + k, (unsigned)plan.tiles, flag)) return;

    double H = 0.0;
    for (int64_t i = threadIdx.x; i < C; i += THREADS) {
        const double p = P_bar[k * C + i];
        if (p > 0.0) H -= p * log(p); /* 0 ln 0 = 0 */
    }
    H = block_sum<THREADS>(H, slots);
    if (threadIdx.x == 0) entropy[k] = (float)H;
}

struct EntropyScratch {
    int64_t counters;
    unsigned *counter; /* (counters): (K,tiles), then (K) */
    double *partial;   /* (K,groups,C) */
    int64_t bytes;
};
static EntropyScratch lay_out(void *scratch, int K, int64_t C, EntropyPlan p) {
    EntropyScratch s = {};
    Pieces pieces = {scratch, 0};
    s.counters = (p.tiles + 1) * K;
    s.counter = take_u32(&pieces, s.counters);
    s.partial = take_f64(&pieces, K * p.groups * C);
    s.bytes = pieces.bytes;
    return s;
}

extern "C" int64_t cuda_batch_entropy_scratch(int K, int64_t B, int64_t C) {
    return lay_out(NULL, K, C, entropy_plan(B, C)).bytes;
}

extern "C" Status cuda_batch_entropy(Queue *q, float *P_bar, float *entropy, const float *P, int K,
                                     int64_t B, int64_t C, void *scratch) {
    return cuda_batch_labels(q, NULL, P_bar, entropy, P, K, B, C, scratch);
}

extern "C" Status cuda_batch_labels(Queue *q, float *Y, float *P_bar, float *entropy,
                                    const float *P, int K, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P_bar && entropy && P && scratch && K >= 1 && B >= 1 && C >= 1, "batch_entropy");
    if (q->device->naive && Y) cuda_label_mean(q, Y, P, K, B, C);
    cost(q, (double)K * B * C, 4.0 * (K + (Y != NULL)) * B * C);
    if (q->device->naive)
        return launch(q, batch_entropy_v1_naive, dim3((unsigned)K), THREADS,
                      THREADS / WARP * (int)sizeof(double), P_bar, entropy, P, B, C);
    const EntropyPlan p = entropy_plan(B, C);
    REQUIRE(q, p.tiles <= UINT16_MAX && K <= UINT16_MAX, "batch_entropy"); /* grid's y and z */
    const EntropyScratch s = lay_out(scratch, K, C, p);
    const cudaError_t zeroed =
        cudaMemsetAsync(s.counter, 0, (size_t)s.counters * sizeof *s.counter, q->stream);
    if (zeroed != cudaSuccess) return cuda_queue_error(q, "batch_entropy", zeroed);
    return launch(q, batch_entropy_v2_tickets,
                  dim3((unsigned)p.groups, (unsigned)p.tiles, (unsigned)K), THREADS,
                  THREADS * (int)sizeof(double) + (int)sizeof(unsigned), Y, P_bar, entropy, P,
                  s.partial, s.counter, s.counter + K * p.tiles, B, C, p);
}
