/*
 * cluster_sums.cu - sums of the samples of each cluster, new centres, distances to them
 *
 *     sums[c,:] = sum of round(z_n) over label[n] = c,   at[c] = sums[c]/count[c],   |z_n - c|^2
 *
 * Shapes   Z (N,d), label, before (N), sums (C,d) double, count (C + 1), centres (C,d).
 * Cost     update_sums: 4d bytes and d atomics per change, twice where a sample left a cluster;
 *          the first iteration changes all. update_centers 12Cd bytes, own_distances 4Nd.
 *          N 50000, d 768: 38 million atomic additions at first, 154 MB of samples.
 * Mapping  update_sums: a warp per sample, lane l its columns l, l + 32, ...: the 32 additions of
 *          an instruction fall on neighbouring doubles. They are exact (kernels/cluster.h), so
 *          their order leaves no trace. update_centers: a block per centre. own_distances: a warp
 *          per sample; a block adds its samples' distances in order.
 * Needs    labels in [0, C): a sample with another label is left out. scratch of own_distances:
 *          cuda_own_distances_scratch(N), aligned to 8.
 * History  Not measured yet.
 */
#include "kernels/cuda/cluster/cluster.cuh"

constexpr int SUM_SHARED = CLUSTER_WARPS * (int)sizeof(double); /* bytes that block_sum needs */

/* --- sums ------------------------------------------------------------------------------------- */

__device__ __forceinline__ void add_exact(double *to, double x) {
    atomicAdd(to, x);
}
__device__ __forceinline__ void add_count(int64_t *to, int64_t by) {
    atomicAdd((unsigned long long *)to,
              (unsigned long long)by); /* two's complement: it adds -1, too */
}

/* A warp looks at many samples, so that it adds to count[C] once. The bound of 4 blocks an SM is for ptxas, which
 * else aims at more of them on 8.0 and spills a register. */
__global__ void __launch_bounds__(CLUSTER_THREADS, 4)
    update_sums_atomic(double *sums, int64_t *count, int32_t *before, bool fresh,
                       const int32_t *__restrict__ label, const Rows Z, int64_t C, double grid) {
    const int lane = threadIdx.x % WARP;
    int64_t changed = 0;
    for (int64_t n = row_of_warp(); n < Z.N; n += (int64_t)gridDim.x * CLUSTER_WARPS) {
        const int32_t to = label[n], from = fresh ? -1 : before[n];
        __syncwarp(); /* all lanes have read before[n] */
        if (to == from) continue;
        const bool enters = to >= 0 && to < C, leaves = from >= 0 && from < C;
        const float *z = Z.at(n);
        for (int64_t j = lane; j < Z.d; j += WARP) {
            const double x = cluster_round((double)z[j], grid);
            if (enters) add_exact(sums + to * Z.d + j, x);
            if (leaves) add_exact(sums + from * Z.d + j, -x);
        }
        changed++;
        if (lane != 0) continue;
        before[n] = to;
        if (enters) add_count(count + to, 1);
        if (leaves) add_count(count + from, -1);
    }
    if (lane == 0 && changed) add_count(count + C, changed);
}

extern "C" Status cuda_update_sums(Queue *q, double *sums, int64_t *count, int32_t *before,
                                   bool fresh, const int32_t *label, const Samples *s, int64_t C,
                                   double grid, void *scratch) {
    REQUIRE(q,
            sums && count && before && label && samples_servable(s) && C >= 1 && C <= INT32_MAX &&
                grid > 0.0,
            "update_sums");
    (void)scratch;
    const int64_t N = s->N, d = s->Z.d, most = 8 * (int64_t)q->device->sms;
    cudaError_t error = cudaMemsetAsync(fresh ? count : count + C, 0,
                                        (size_t)(fresh ? C + 1 : 1) * sizeof *count, q->stream);
    if (error == cudaSuccess && fresh)
        error = cudaMemsetAsync(sums, 0, (size_t)(C * d) * sizeof *sums, q->stream);
    if (error != cudaSuccess) return cuda_queue_error(q, "update_sums", error);
    const int64_t blocks = warp_blocks(N) < most ? warp_blocks(N) : most;
    cost(q, fresh ? 2.0 * (double)N * (double)d : 0.0,
         8.0 * (double)N + (fresh ? 4.0 * (double)N * (double)d : 0.0));
    return launch(q, update_sums_atomic, grid_of(blocks), CLUSTER_THREADS, 0, sums, count, before,
                  fresh, label, rows_of_batch(&s->Z, N), C, grid);
}

/* --- centres ---------------------------------------------------------------------------------- */

__global__ void __launch_bounds__(CLUSTER_THREADS)
    update_centers_block(float *centers, float *norm2, float *moved,
                         const double *__restrict__ sums, const int64_t *__restrict__ count,
                         int64_t d, bool spherical) {
    double *slots = shared_mem<double>();
    const int64_t c = blockIdx.x;
    const double *sum = sums + c * d;
    float *at = centers + c * d;
    double length2 = 0.0, moved2 = 0.0, norm = 0.0;
    for (int64_t j = threadIdx.x; spherical && j < d; j += CLUSTER_THREADS)
        length2 += sum[j] * sum[j];
    if (spherical) length2 = block_sum<CLUSTER_THREADS>(length2, slots);
    const double divisor = spherical ? sqrt(length2) : (double)count[c];
    const bool moves = count[c] > 0 && divisor > 0.0;
    for (int64_t j = threadIdx.x; j < d; j += CLUSTER_THREADS) {
        const float old = at[j], now = moves ? (float)(sum[j] / divisor) : old;
        const double by = (double)now - old;
        moved2 += by * by;
        norm += (double)now * now;
        at[j] = now;
    }
    moved2 = block_sum<CLUSTER_THREADS>(moved2, slots);
    norm = block_sum<CLUSTER_THREADS>(norm, slots);
    if (threadIdx.x != 0) return;
    moved[c] =
        (float)(sqrt(moved2) * (1.0 + 0x1p-22)); /* rounded up: float32 rounds by 2^-24 at most */
    norm2[c] = (float)norm;
}

/* One block computes the sum of f(i), i < n, in an order that n alone decides. */
template <class F> __device__ __forceinline__ void sum_in_order(double *out, int64_t n, F f) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < n; i += CLUSTER_THREADS) sum += f(i);
    sum = block_sum<CLUSTER_THREADS>(sum, shared_mem<double>());
    if (threadIdx.x == 0) *out = sum;
}

__global__ void __launch_bounds__(CLUSTER_THREADS)
    update_centers_shift(double *shift2, const float *moved, int64_t C) {
    sum_in_order(shift2, C, [&](int64_t c) { return (double)moved[c] * moved[c]; });
}

extern "C" Status cuda_update_centers(Queue *q, const Centers *centers, double *shift2,
                                      const double *sums, const int64_t *count, int64_t d,
                                      bool spherical) {
    REQUIRE(q, centers_servable(centers) && centers->moved && shift2 && sums && count && d >= 1,
            "update_centers");
    const int64_t C = centers->C;
    cost(q, 5.0 * (double)C * (double)d, 12.0 * (double)C * (double)d);
    launch(q, update_centers_block, grid_of(C), CLUSTER_THREADS, SUM_SHARED, centers->at,
           centers->norm2, centers->moved, sums, count, d, spherical);
    cost(q, 2.0 * (double)C, 4.0 * (double)C);
    return launch(q, update_centers_shift, 1, CLUSTER_THREADS, SUM_SHARED, shift2, centers->moved,
                  C);
}

/* --- distances -------------------------------------------------------------------------------- */

/* Samples of a block for each of its warps. */
constexpr int OWN_ROWS = 8;

__global__ void __launch_bounds__(CLUSTER_THREADS)
    own_distances_warp(float *distance2, double *partial, const int32_t *__restrict__ label,
                       const Rows Z, const float *__restrict__ centers, int64_t C) {
    const int lane = threadIdx.x % WARP;
    double own = 0.0; /* sum over the warp's samples, in lane 0 */
    for (int i = 0; i < OWN_ROWS; i++) {
        const int64_t n = row_of_warp() * OWN_ROWS + i;
        if (n >= Z.N) break; /* a whole warp leaves */
        const int32_t c = label[n];
        double sum = c >= 0 && c < C ? 0.0 : (double)NAN;
        for (int64_t j = lane; sum == sum && j < Z.d; j += WARP) {
            const double by = (double)Z.at(n)[j] - centers[c * Z.d + j];
            sum += by * by;
        }
        sum = warp_sum(sum);
        if (lane == 0) distance2[n] = (float)sum, own += sum;
    }
    own = block_sum<CLUSTER_THREADS>(own, shared_mem<double>());
    if (threadIdx.x == 0) partial[blockIdx.x] = own;
}

__global__ void __launch_bounds__(CLUSTER_THREADS)
    own_distances_sum(double *inertia, const double *partial, int64_t n) {
    sum_in_order(inertia, n, [&](int64_t i) { return partial[i]; });
}

static int64_t own_blocks(int64_t N) {
    return ceil_div(N, CLUSTER_WARPS * OWN_ROWS);
}

extern "C" int64_t cuda_own_distances_scratch(int64_t N) {
    return own_blocks(N) * (int64_t)sizeof(double);
}

extern "C" Status cuda_own_distances(Queue *q, float *distance2, double *inertia,
                                     const int32_t *label, const Samples *s, const Centers *centers,
                                     void *scratch) {
    REQUIRE(q,
            distance2 && inertia && label && samples_servable(s) && centers_servable(centers) &&
                scratch,
            "own_distances");
    const int64_t N = s->N, blocks = own_blocks(N);
    cost(q, 3.0 * (double)N * (double)s->Z.d, 4.0 * (double)N * (double)s->Z.d);
    launch(q, own_distances_warp, grid_of(blocks), CLUSTER_THREADS, SUM_SHARED, distance2,
           (double *)scratch, label, rows_of_batch(&s->Z, N), (const float *)centers->at,
           centers->C);
    cost(q, (double)blocks, 8.0 * (double)blocks);
    return launch(q, own_distances_sum, 1, CLUSTER_THREADS, SUM_SHARED, inertia,
                  (const double *)scratch, blocks);
}
