/*
 * nearest.cu - every sample's nearest centre: a product with its epilogue (kernels/cluster.h)
 *
 *     score_c = <z,c> - |c|^2/2 = (|z|^2 - |z - c|^2)/2,   label = the first c of the largest
 *
 * Shapes   Z (N,d), centres (C,d), |z|^2 (N), |c|^2 (C) in; label (N), and the squared distances of
 *          the best two, first and second (N) or NULL, out.
 * Cost     2NCd flops, float32; 4Nd bytes. N 50000, d 768, C 100: 7.7 GFLOP, floor 115 us at the
 *          67 TFLOP/s of float32 (H200 data sheet); the samples are 154 MB, 32 us.
 * Mapping  as residual.cuh: a block owns the rows of one tile and walks over all centres. Scores
 *          live in one tile of shared memory; `LANES` lanes share a row, each keeps the best two of
 *          its columns in registers from tile to tile, and the lanes compete once, at the end:
 *
 *              C:  <= 16    <= 64    < 256     more          (N,C) scores are never stored
 *              64 x 16   64 x 64  64 x 128  128 x 128
 *
 * Needs    N, C, d >= 1; no scratch. Products are exact (no tf32): labels of near ties would follow
 *          the rounding.
 * History  Not measured yet. v1_naive, thread per sample: kept as the readable oracle.
 */
#include "kernels/cuda/cluster/cluster.cuh"
#include "kernels/cuda/tile/gemm.cuh"

/* The two largest scores so far; `label` is the centre of the first, the lower one of equals. */
struct BestTwo {
    float first, second;
    int label;
    static __device__ __forceinline__ BestTwo none() {
        return {-INFINITY, -INFINITY, INT32_MAX};
    }
    __device__ __forceinline__ void meet(float score, int c) { /* called in rising order of c */
        if (score > first) second = first, first = score, label = c;
        else if (score > second) second = score;
    }
    __device__ __forceinline__ void merge(const BestTwo &other) {
        const bool wins = other.first > first || (other.first == first && other.label < label);
        const float loser = wins ? first : other.first;
        second = fmaxf(wins ? other.second : second, loser);
        if (wins) first = other.first, label = other.label;
    }
};

struct Nearest {
    View<Fp32> Z, centers;
    const float *Z_norm2, *norm2; /* (N) (C) */
    int32_t *label;
    float *first, *second; /* (N) or NULL */
    __device__ __forceinline__ void leave(int64_t n, const BestTwo &best) const {
        label[n] = best.label == INT32_MAX ? 0 : best.label; /* no score above -infinity */
        if (first) first[n] = distance2_of(Z_norm2[n], best.first);
        if (second) second[n] = distance2_of(Z_norm2[n], best.second);
    }
};

__global__ void nearest_v1_naive(const Nearest a) {
    const int64_t n = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (n >= a.Z.lines) return;
    const float *z = a.Z.data + n * a.Z.stride;
    BestTwo best = BestTwo::none();
    for (int64_t c = 0; c < a.centers.lines; c++) {
        float sum = 0.0f;
        for (int64_t j = 0; j < a.Z.width; j++)
            sum = fmaf(z[j], a.centers.data[c * a.centers.stride + j], sum);
        best.meet(sum - 0.5f * a.norm2[c], (int)c);
    }
    a.leave(n, best);
}

/* Left to itself, ptxas wants 24 warps of the narrowest tile on an SM of 8.0, and spills two registers. 20 warps
 * are enough, and leave each thread 96 registers. */
template <class S>
__global__ void __launch_bounds__(S::THREADS, S::COLS == 16 ? 5 : 1)
    nearest_v2_tiles(const Nearest a) {
    using G = Gemm<Fp32, S, ALONG, ALONG>;
    constexpr int LANES = S::COLS / 8;          /* lanes that share a row */
    constexpr int AT_ONCE = S::THREADS / LANES; /* rows of the block in one sweep */
    constexpr int SWEEPS = S::ROWS / AT_ONCE;
    static_assert(S::ROWS % AT_ONCE == 0 && WARP % LANES == 0, "whole sweeps, rows within a warp");
    const int64_t row = (int64_t)blockIdx.x * S::ROWS, C = a.centers.lines;
    const int lane = threadIdx.x % LANES, at = threadIdx.x / LANES;
    BestTwo best[SWEEPS];
    UNROLL
    for (int i = 0; i < SWEEPS; i++) best[i] = BestTwo::none();

    for (int64_t col = 0; col < C; col += S::COLS) {
        const float *tile =
            G::run(0, a.Z, row, a.centers, col, 0, ceil_div(a.Z.width, G::DEPTH), Nothing());
        const int n = (int)(C - col < S::COLS ? C - col : S::COLS);
        for (int c = lane; c < n; c += LANES) {
            const float half = 0.5f * a.norm2[col + c];
            UNROLL
            for (int i = 0; i < SWEEPS; i++)
                best[i].meet(tile[(at + i * AT_ONCE) * S::RESULT_STRIDE + c] - half,
                             (int)(col + c));
        }
    }

    UNROLL
    for (int i = 0; i < SWEEPS; i++) {
        UNROLL
        for (int with = LANES / 2; with > 0; with /= 2)
            best[i].merge({__shfl_xor_sync(ALL_LANES, best[i].first, with),
                           __shfl_xor_sync(ALL_LANES, best[i].second, with),
                           __shfl_xor_sync(ALL_LANES, best[i].label, with)});
        const int64_t n = row + at + i * AT_ONCE;
        if (lane == 0 && n < a.Z.lines) a.leave(n, best[i]);
    }
}

extern "C" Status cuda_nearest(Queue *q, int32_t *label, float *first, float *second,
                               const Samples *s, const Centers *centers, void *scratch) {
    REQUIRE(q, label && samples_servable(s) && centers_servable(centers), "nearest");
    (void)scratch;
    const int64_t N = s->N, C = centers->C, d = s->Z.d;
    const Nearest a = {view<Fp32>(s->Z.data, s->Z.row, N, d),
                       view<Fp32>(centers->at, d, C, d),
                       s->norm2,
                       centers->norm2,
                       label,
                       first,
                       second};
    cost(q, 2.0 * (double)N * (double)C * (double)d, 4.0 * (double)(N + C) * (double)d);
    if (q->device->naive) return launch(q, nearest_v1_naive, grid_of(ceil_div(N, 128)), 128, 0, a);
    auto go = [&](auto shape) {
        using S = decltype(shape);
        return launch(q, (nearest_v2_tiles<S>), grid_of(ceil_div(N, S::ROWS)), S::THREADS,
                      (Gemm<Fp32, S, ALONG, ALONG>::SHARED_BYTES), a);
    };
    if (C <= 16) return go(Shape2<64, 16, 4, 1>());
    if (C <= 64) return go(Shape2<64, 64, 2, 2>());
    if (C < 256) return go(Shape2<64, 128, 2, 2>());
    return go(Shape2<128, 128, 4, 2>());
}

/* It computes every sample and leaves the bounds alone (see History). */
extern "C" Status cuda_nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh,
                                       const Samples *s, const Centers *centers, void *scratch) {
    (void)bounds, (void)fresh;
    return cuda_nearest(q, label, NULL, NULL, s, centers, scratch);
}
