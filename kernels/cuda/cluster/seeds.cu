/*
 * seeds.cu - random starts of k-means: samples drawn by weight, and the steps of k-means++
 *
 *     rows[r,l]: drawn with probability weight[n,r] / sum,    chosen[r]: the candidate that leaves
 *     the least sum over n of min(closest[n,r], |z_n - candidate|^2)
 *
 * Shapes   R restarts side by side with L candidates each: M = R L columns of one product. weight
 *          and closest (N,R), rows (R,L), chosen (R) `stride` apart.
 * Cost     seed_step 2NMd flops, 4N(d + 2M + 2R) bytes; weighted_rows 4NR bytes. N 50000, d 768,
 *          R 10, L 6: 4.6 GFLOP, 69 us at the 67 TFLOP/s of float32 (H200 data sheet).
 * Mapping  seed_step: a block per tile of 64 samples; distances (N,M) wait in scratch, a block's
 *          sums are added in order; then a block per restart chooses, then `closest` follows.
 *          weighted_rows: a block per draw goes down four levels; at each its first thread takes
 *          the first child whose running sum passes the target:
 *
 *              256 chunks -> runs of a chunk -> 256 quads of a run -> 4 samples
 *
 *          Rounding may leave a target that no child passes: then the last child that weighs
 *          anything is taken, so that a sample without weight is never drawn.
 * Needs    scratch: cuda_seed_scratch, cuda_weighted_scratch, aligned to 8. Rows outside [0, N)
 *          become NaN.
 * History  Not measured yet.
 */
#include "kernels/cuda/cluster/cluster.cuh"
#include "kernels/cuda/tile/gemm.cuh"

constexpr int SUM_SHARED = CLUSTER_WARPS * (int)sizeof(double); /* bytes that block_sum needs */

/* --- drawing ---------------------------------------------------------------------------------- */

constexpr int QUAD = 4, RUN = QUAD * CLUSTER_THREADS; /* samples */

/* run_sum (runs,R) */
__global__ void __launch_bounds__(CLUSTER_THREADS)
    weighted_rows_sums(double *run_sum, const float *__restrict__ weight, int64_t N, int64_t R) {
    const int64_t first = (int64_t)blockIdx.x * RUN + threadIdx.x;
    for (int64_t r = 0; r < R; r++) {
        double sum = 0.0;
        for (int i = 0; i < QUAD; i++) {
            const int64_t n = first + i * CLUSTER_THREADS;
            if (n < N) sum += weight[n * R + r];
        }
        sum = block_sum<CLUSTER_THREADS>(sum, shared_mem<double>());
        if (threadIdx.x == 0) run_sum[blockIdx.x * R + r] = sum;
    }
}

/* Returns the first of n children with which `sum` passes the target, or the last one that weighs anything.
 * `sum` becomes the sum of the children before it. */
template <class Child>
__device__ __forceinline__ int64_t descend(double &sum, double target, int64_t n, Child child) {
    int64_t taken = 0;
    double before = sum;
    for (int64_t i = 0; i < n; i++) {
        const double x = child(i);
        if (x > 0.0) {
            taken = i;
            before = sum;
            if (sum + x > target) break;
        }
        sum += x;
    }
    sum = before;
    return taken;
}

__global__ void __launch_bounds__(CLUSTER_THREADS)
    weighted_rows_draw(int64_t *rows, const double *run_sum, const float *weight, int64_t N,
                       int64_t R, int64_t L, uint64_t seed, int64_t first, int64_t step) {
    double *child = shared_mem<double>();
    int64_t *chosen = shared_mem<int64_t>(CLUSTER_THREADS * (int)sizeof(double));
    const int64_t r = blockIdx.x / L, l = blockIdx.x % L;
    const int64_t runs = ceil_div(N, RUN), chunk = ceil_div(runs, CLUSTER_THREADS);
    const int64_t begin = threadIdx.x * chunk;
    double sum = 0.0, whole = 0.0, target = 0.0;
    for (int64_t i = begin; weight && i < begin + chunk && i < runs; i++) sum += run_sum[i * R + r];
    child[threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.x == 0) {
        const Philox words = philox_at(seed, PHILOX_STARTS, (int)l, first + r, step);
        const double u = unit_interval(words.word[0], words.word[1]);
        for (int i = 0; i < CLUSTER_THREADS; i++) whole += child[i];
        *chosen = -1;
        if (whole > 0.0) {
            target = u * whole, sum = 0.0;
            const int64_t from =
                chunk * descend(sum, target, CLUSTER_THREADS, [&](int64_t i) { return child[i]; });
            const int64_t left = runs - from < chunk ? runs - from : chunk;
            *chosen = from + descend(sum, target, left,
                                     [&](int64_t i) { return run_sum[(from + i) * R + r]; });
        } else {
            rows[blockIdx.x] = (int64_t)(u * (double)N);
        }
    }
    __syncthreads();
    const int64_t run = *chosen;
    if (run < 0) return; /* the whole block leaves */
    auto weight_at = [&](int64_t n) { return n < N ? (double)weight[n * R + r] : 0.0; };
    const int64_t quad = run * RUN + threadIdx.x * QUAD;
    double own = 0.0;
    for (int i = 0; i < QUAD; i++) own += weight_at(quad + i);
    child[threadIdx.x] = own;
    __syncthreads();
    if (threadIdx.x != 0) return;
    const int64_t from = run * RUN + QUAD * descend(sum, target, CLUSTER_THREADS,
                                                    [&](int64_t i) { return child[i]; });
    rows[blockIdx.x] =
        from + descend(sum, target, QUAD, [&](int64_t i) { return weight_at(from + i); });
}

extern "C" int64_t cuda_weighted_scratch(int64_t N, int64_t R) {
    return ceil_div(N, RUN) * R * (int64_t)sizeof(double);
}

extern "C" Status cuda_weighted_rows(Queue *q, int64_t *rows, const float *weight, int64_t N,
                                     int64_t R, int64_t L, uint64_t seed, int64_t first,
                                     int64_t step, void *scratch) {
    REQUIRE(q, rows && N >= 1 && R >= 1 && L >= 1 && L < 256 && first >= 0 && step >= 0 && scratch,
            "weighted_rows");
    double *run_sum = (double *)scratch;
    cost(q, (double)N * (double)R, 4.0 * (double)N * (double)R);
    if (weight)
        launch(q, weighted_rows_sums, grid_of(ceil_div(N, RUN)), CLUSTER_THREADS, SUM_SHARED,
               run_sum, weight, N, R);
    cost(q, 0.0, 8.0 * (double)(R * L));
    return launch(q, weighted_rows_draw, grid_of(R * L), CLUSTER_THREADS,
                  (CLUSTER_THREADS + 1) * (int)sizeof(double), rows, (const double *)run_sum,
                  weight, N, R, L, seed, first, step);
}

/* --- rows as centres -------------------------------------------------------------------------- */

__global__ void __launch_bounds__(CLUSTER_THREADS)
    pick_rows_warp(float *at, float *norm2, int64_t C, const int64_t *__restrict__ rows,
                   const Rows Z, const float *__restrict__ Z_norm2) {
    const int64_t c = row_of_warp();
    if (c >= C) return;
    const int64_t n = rows[c];
    const bool inside = n >= 0 && n < Z.N; /* too late to refuse */
    for (int64_t j = threadIdx.x % WARP; j < Z.d; j += WARP)
        at[c * Z.d + j] = inside ? Z.at(n)[j] : NAN;
    if (threadIdx.x % WARP == 0) norm2[c] = inside ? Z_norm2[n] : NAN;
}

extern "C" Status cuda_pick_rows(Queue *q, const Centers *centers, const int64_t *rows,
                                 const Samples *s) {
    REQUIRE(q, centers_servable(centers) && rows && samples_servable(s), "pick_rows");
    cost(q, 0.0, 8.0 * (double)centers->C * (double)s->Z.d);
    return launch(q, pick_rows_warp, grid_of(warp_blocks(centers->C)), CLUSTER_THREADS, 0,
                  centers->at, centers->norm2, centers->C, rows, rows_of_batch(&s->Z, s->N),
                  (const float *)s->norm2);
}

/* --- k-means++ -------------------------------------------------------------------------------- */

struct SeedStep {
    View<Fp32> Z, candidates;     /* (N,d) (M,d) */
    const float *Z_norm2, *norm2; /* (N) (M) */
    const float *closest;         /* (N,R) or NULL: infinite */
    int64_t R, L;
    float *distance2; /* (N,M) */
    double *partial;  /* (blocks,M) */
};

template <class S> __global__ void __launch_bounds__(S::THREADS) seed_step_tiles(const SeedStep a) {
    using G = Gemm<Fp32, S, ALONG, ALONG>;
    static_assert(S::COLS <= S::THREADS, "a thread per column for the sums");
    const int64_t row = (int64_t)blockIdx.x * S::ROWS, N = a.Z.lines, M = a.candidates.lines;
    for (int64_t col = 0; col < M; col += S::COLS) {
        float *tile =
            G::run(0, a.Z, row, a.candidates, col, 0, ceil_div(a.Z.width, G::DEPTH), Nothing());
        const int columns = (int)(M - col < S::COLS ? M - col : S::COLS);
        for (int i = threadIdx.x; i < S::ROWS * S::COLS; i += S::THREADS) {
            const int64_t n = row + i / S::COLS, m = col + i % S::COLS;
            float *x = tile + i / S::COLS * S::RESULT_STRIDE + i % S::COLS;
            if (n < N && m < M) {
                const float apart = a.Z_norm2[n] + a.norm2[m] - 2.0f * *x;
                *x = apart > 0.0f ? apart : 0.0f;
                a.distance2[n * M + m] = *x;
                if (a.closest) *x = fminf(*x, a.closest[n * a.R + m / a.L]);
            } else {
                *x = 0.0f;
            }
        }
        __syncthreads();
        if ((int)threadIdx.x >= columns) continue;
        double sum = 0.0;
        for (int i = 0; i < S::ROWS; i++) sum += tile[i * S::RESULT_STRIDE + threadIdx.x];
        a.partial[blockIdx.x * M + col + threadIdx.x] = sum;
    }
}

/* A block per restart. best (R) receives the candidate's number within its restart. */
__global__ void __launch_bounds__(CLUSTER_THREADS)
    seed_step_choose(int64_t *chosen, int64_t stride, int64_t *best, const double *partial,
                     int64_t blocks, const int64_t *rows, int64_t L) {
    const int64_t r = blockIdx.x, M = gridDim.x * L;
    double least = INFINITY;
    int64_t own = 0;
    for (int64_t l = 0; l < L; l++) {
        double sum = 0.0;
        for (int64_t i = threadIdx.x; i < blocks; i += CLUSTER_THREADS)
            sum += partial[i * M + r * L + l];
        sum = block_sum<CLUSTER_THREADS>(sum, shared_mem<double>());
        if (sum < least) least = sum, own = l; /* the first of equals */
    }
    if (threadIdx.x != 0) return;
    best[r] = own;
    chosen[r * stride] = rows[r * L + own];
}

__global__ void __launch_bounds__(CLUSTER_THREADS)
    seed_step_closest(float *closest, bool fresh, const float *__restrict__ distance2,
                      const int64_t *__restrict__ best, int64_t N, int64_t R, int64_t L) {
    const int64_t i = (int64_t)blockIdx.x * CLUSTER_THREADS + threadIdx.x;
    if (i >= N * R) return;
    const int64_t n = i / R, r = i % R;
    const float x = distance2[(n * R + r) * L + best[r]];
    closest[i] = fresh || x < closest[i] ? x : closest[i];
}

using SeedTile16 = Shape2<64, 16, 4, 1>;
using SeedTile64 = Shape2<64, 64, 2, 2>;
constexpr int SEED_ROWS = 64;
static_assert(SeedTile16::ROWS == SEED_ROWS && SeedTile64::ROWS == SEED_ROWS, "of both tiles");

struct SeedScratch {
    float *at, *norm2, *distance2; /* (M,d) (M) (N,M) */
    double *partial;               /* (blocks,M) */
    int64_t *best;                 /* (R) */
    int64_t bytes;
};
static SeedScratch lay_out(void *scratch, int64_t N, int64_t d, int64_t R, int64_t L) {
    SeedScratch s = {};
    const int64_t M = R * L;
    Pieces pieces = {scratch, 0};
    s.at = take_f32(&pieces, M * d);
    s.norm2 = take_f32(&pieces, M);
    s.distance2 = take_f32(&pieces, N * M);
    s.partial = take_f64(&pieces, ceil_div(N, SEED_ROWS) * M);
    s.best = take_i64(&pieces, R);
    s.bytes = pieces.bytes;
    return s;
}

extern "C" int64_t cuda_seed_scratch(int64_t N, int64_t d, int64_t R, int64_t L) {
    return lay_out(NULL, N, d, R, L).bytes;
}

extern "C" Status cuda_seed_step(Queue *q, int64_t *chosen, int64_t stride, float *closest,
                                 bool fresh, const int64_t *rows, const Samples *s, int64_t R,
                                 int64_t L, void *scratch) {
    REQUIRE(q,
            chosen && stride >= 1 && closest && rows && samples_servable(s) && R >= 1 && L >= 1 &&
                scratch,
            "seed_step");
    const int64_t N = s->N, d = s->Z.d, M = R * L, blocks = ceil_div(N, SEED_ROWS);
    const SeedScratch t = lay_out(scratch, N, d, R, L);
    const Centers candidates = {t.at, t.norm2, NULL, M};
    cuda_pick_rows(q, &candidates, rows, s);
    const SeedStep a = {view<Fp32>(s->Z.data, s->Z.row, N, d),
                        view<Fp32>(t.at, d, M, d),
                        s->norm2,
                        t.norm2,
                        fresh ? NULL : closest,
                        R,
                        L,
                        t.distance2,
                        t.partial};
    cost(q, 2.0 * (double)N * (double)M * (double)d, 4.0 * (double)N * (double)(d + M + R));
    auto go = [&](auto shape) {
        using S = decltype(shape);
        return launch(q, (seed_step_tiles<S>), grid_of(blocks), S::THREADS,
                      (Gemm<Fp32, S, ALONG, ALONG>::SHARED_BYTES), a);
    };
    if (M <= 16) go(SeedTile16());
    else go(SeedTile64());
    cost(q, (double)(blocks * M), 8.0 * (double)(blocks * M));
    launch(q, seed_step_choose, grid_of(R), CLUSTER_THREADS, SUM_SHARED, chosen, stride, t.best,
           (const double *)t.partial, blocks, rows, L);
    cost(q, (double)(N * R), 12.0 * (double)(N * R));
    return launch(q, seed_step_closest, grid_of(ceil_div(N * R, CLUSTER_THREADS)), CLUSTER_THREADS,
                  0, closest, fresh, (const float *)t.distance2, (const int64_t *)t.best, N, R, L);
}
