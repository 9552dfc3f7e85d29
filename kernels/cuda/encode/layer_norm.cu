/*
 * layer_norm.cu - every row less its mean, over its standard deviation (kernels/encode.h)
 *
 *     out[r,j] = (x[r,j] - mean_r) / sqrt(variance_r + eps) * weight[j] + bias[j]
 *
 * Shapes   x (rows,d) float32, rows x_row apart; weight, bias (d); out (rows,d) in its own type. out may be x.
 * Cost     4 rows d bytes in, 2 or 4 rows d out. 64 images of 257 tokens, d 1024: 101 MB in 16 bits, floor
 *          21 us at 4.8 TB/s (H200 data sheet).
 * Mapping  LANES threads share a row, a warp or a block; each keeps up to ITEMS times 8 neighbouring numbers in
 *          registers, so memory is read once although mean and variance are two sums:
 *
 *              lane     0         1              31       0
 *              column   0 ... 7 | 8 ... 15 | ... 255 | 256 ... 263 | ...        16 bytes a store in 16 bits
 *
 *              d   <= 512       <= 1024      <= 2048        <= 4096        more, or unaligned
 *                  warp, 2      warp, 4      block, 2       block, 4       layer_norm_v1_naive
 *
 * Needs    v2: d, x_row and out's row are multiples of 8, everything aligned to 16 bytes. No scratch.
 *          A row's sums depend on d alone, so its bits are the same in any batch and place.
 * History  Not measured yet. v1_naive, a warp per row that reads it three times: the oracle.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/encode/activations.cuh"
#include "kernels/cuda/tile/rows.cuh"

struct LayerNorm {
    Matrix out;
    const float *x;
    int64_t x_row;
    const float *weight, *bias;
    float eps;
    int64_t rows, d;
};

__global__ void layer_norm_v1_naive(const LayerNorm a) {
    constexpr int PER_BLOCK = ROW_THREADS / WARP;
    const int64_t r = (int64_t)blockIdx.x * PER_BLOCK + (int)threadIdx.x / WARP;
    const int lane = (int)threadIdx.x % WARP;
    if (r >= a.rows) return; /* a whole warp leaves */
    const float *x = a.x + r * a.x_row;
    float sum = 0.0f, square = 0.0f;
    for (int64_t j = lane; j < a.d; j += WARP) sum += x[j];
    const float mean = warp_sum(sum) / (float)a.d;
    for (int64_t j = lane; j < a.d; j += WARP) square += (x[j] - mean) * (x[j] - mean);
    const float scale = 1.0f / sqrtf(warp_sum(square) / (float)a.d + a.eps);
    for (int64_t j = lane; j < a.d; j += WARP)
        put(a.out, r * a.out.row + j, (x[j] - mean) * scale * a.weight[j] + a.bias[j]);
}

template <int LANES, int ITEMS>
__global__ void __launch_bounds__(ROW_THREADS) layer_norm_v2_vector(const LayerNorm a) {
    using Shape = RowShape<LANES, ITEMS>;
    const int64_t r = row_of_thread<Shape>();
    const int lane = (int)threadIdx.x % LANES;
    /* The lanes of a row past the last stay for the shuffles. They read nothing: in place, the last row changes. */
    const int d = r < a.rows ? (int)a.d : 0;
    const float *row = a.x + r * a.x_row;
    float x[ITEMS][8], sum = 0.0f, square = 0.0f;
    const auto total = [](float part) {
        if constexpr (LANES <= WARP) return group_sum<LANES>(part);
        else return block_sum<LANES>(part, shared_mem<float>());
    };
    UNROLL
    for (int i = 0; i < ITEMS; i++) {
        const int j = 8 * (lane + i * LANES);
        const bool inside = j < d;
        const float4 low = inside ? load_float4(row + j) : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float4 high = inside ? load_float4(row + j + 4) : low;
        x[i][0] = low.x, x[i][1] = low.y, x[i][2] = low.z, x[i][3] = low.w;
        x[i][4] = high.x, x[i][5] = high.y, x[i][6] = high.z, x[i][7] = high.w;
    }
    UNROLL
    for (int i = 0; i < ITEMS; i++) {
        UNROLL
        for (int n = 0; n < 8; n++) sum += x[i][n]; /* zeros beyond d */
    }
    const float mean = total(sum) / (float)a.d;
    UNROLL
    for (int i = 0; i < ITEMS; i++) {
        if (8 * (lane + i * LANES) >= d) continue;
        UNROLL
        for (int n = 0; n < 8; n++) square += (x[i][n] - mean) * (x[i][n] - mean);
    }
    const float scale = 1.0f / sqrtf(total(square) / (float)a.d + a.eps);
    if (r >= a.rows) return;
    UNROLL
    for (int i = 0; i < ITEMS; i++) {
        const int j = 8 * (lane + i * LANES);
        if (j >= d) continue;
        UNROLL
        for (int half = 0; half < 2; half++) {
            const float4 w = load_float4(a.weight + j + 4 * half),
                         b = load_float4(a.bias + j + 4 * half);
            float *y = x[i] + 4 * half;
            y[0] = (y[0] - mean) * scale * w.x + b.x;
            y[1] = (y[1] - mean) * scale * w.y + b.y;
            y[2] = (y[2] - mean) * scale * w.z + b.z;
            y[3] = (y[3] - mean) * scale * w.w + b.w;
        }
        put_eight(a.out, r * a.out.row + j, x[i]);
    }
}

template <int LANES, int ITEMS> static Status start(Queue *q, const LayerNorm &a) {
    using Shape = RowShape<LANES, ITEMS>;
    return launch(q, (layer_norm_v2_vector<LANES, ITEMS>), grid_of(row_blocks<Shape>(a.rows)),
                  Shape::THREADS, ROW_SHARED, a);
}

extern "C" Status cuda_layer_norm(Queue *q, Matrix out, const float *x, int64_t x_row,
                                  const float *weight, const float *bias, double eps, int64_t rows,
                                  int64_t d) {
    REQUIRE(q, out.data && x && weight && bias && rows >= 1 && d >= 1 && x_row >= d && out.row >= d,
            "layer_norm");
    const LayerNorm a = {out, x, x_row, weight, bias, (float)eps, rows, d};
    const bool vectors = d % 8 == 0 && x_row % 8 == 0 && out.row % 8 == 0 && aligned_16(x) &&
                         aligned_16(out.data) && aligned_16(weight) && aligned_16(bias);
    cost(q, 8.0 * (double)(rows * d), (double)(rows * d * (4 + precision_bytes(out.type))));
    if (q->device->naive || !vectors || d > 4096)
        return launch(q, layer_norm_v1_naive, grid_of(ceil_div(rows, ROW_THREADS / WARP)),
                      ROW_THREADS, 0, a);
    if (d <= 512) return start<WARP, 2>(q, a);
    if (d <= 1024) return start<WARP, 4>(q, a);
    if (d <= 2048) return start<128, 2>(q, a);
    return start<128, 4>(q, a);
}
