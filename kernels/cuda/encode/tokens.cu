/*
 * tokens.cu - what stands before, between and behind the layers: pixels, tokens, positions, means, unit rows
 * (kernels/encode.h)
 *
 * Cost     every number is read and written once: bound by memory. 64 images of 257 tokens, d 1024: positions
 *          134 MB, floor 28 us at 4.8 TB/s (H200 data sheet), once an image and not once a layer.
 * Mapping  pixels             a thread per number
 *          add_tokens, embed  a warp per token
 *          pool_tokens        a warp per token, and column_means for its first one
 *          mean_tokens        column_means: a thread per column of an image, four sums under way
 *          avg_pool           a thread per eight channels of a pixel, or one where C is no multiple of 8
 *          normalize          a warp per row
 *
 * Needs    no alignment and no scratch. Sums run in an order that n or d alone decides.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/encode/activations.cuh"

constexpr int TOKEN_THREADS = 256;
constexpr int TOKEN_WARPS = TOKEN_THREADS / WARP;

/* Returns the number of this warp in the grid. */
static __device__ __forceinline__ int64_t grid_warp() {
    return (int64_t)blockIdx.x * TOKEN_WARPS + (int)threadIdx.x / WARP;
}
static __device__ __forceinline__ int64_t grid_thread() {
    return (int64_t)blockIdx.x * TOKEN_THREADS + threadIdx.x;
}

/* --- pixels ----------------------------------------------------------------------------------- */

struct Channels {
    float mean[3], std[3];
};

/* Both quotients are rounded as in C, so the bits are the CPU's. */
__global__ void pixels_each(float *out, const uint8_t *in, const Channels c, int64_t n) {
    const int64_t i = grid_thread();
    if (i >= n) return;
    const int channel = (int)(i % 3);
    const float mean = channel == 0   ? c.mean[0]
                       : channel == 1 ? c.mean[1]
                                      : c.mean[2],
                std = channel == 0   ? c.std[0]
                      : channel == 1 ? c.std[1]
                                     : c.std[2];
    out[i] = ((float)in[i] / 255.0f - mean) / std;
}

extern "C" Status cuda_pixels(Queue *q, float *out, const uint8_t *pixels, const float mean[3],
                              const float std[3], int64_t B, int64_t side) {
    REQUIRE(q, out && pixels && mean && std && B >= 1 && side >= 1, "pixels");
    const Channels c = {{mean[0], mean[1], mean[2]}, {std[0], std[1], std[2]}};
    const int64_t n = B * side * side * 3;
    cost(q, 3.0 * (double)n, 5.0 * (double)n);
    return launch(q, pixels_each, grid_of(ceil_div(n, TOKEN_THREADS)), TOKEN_THREADS, 0, out,
                  pixels, c, n);
}

/* --- tokens and their positions --------------------------------------------------------------- */

/* to[j] = from[j] + position[j], or from[j] where there is no position: one token, by one warp. EIGHT: d is a multiple
 * of 8 and everything is aligned to 16 bytes. */
template <bool EIGHT>
static __device__ __forceinline__ void place_token(const Matrix &to, int64_t to_at,
                                                   const Matrix &from, int64_t from_at,
                                                   const float *position, int64_t d) {
    constexpr int COLUMNS = EIGHT ? 8 : 1;
    NO_UNROLL /* a load waits for the store before it: four in a turn would only wait four times */
    for (int64_t j = threadIdx.x % WARP * COLUMNS; j < d; j += WARP * COLUMNS) {
        if constexpr (EIGHT) {
            float x[8], add[8] = {};
            get_eight(x, from, from_at + j);
            if (position) get_eight(add, Matrix{(void *)position, 0, PRECISION_FP32}, j);
            UNROLL
            for (int e = 0; e < 8; e++) x[e] += add[e];
            put_eight(to, to_at + j, x);
        } else {
            put(to, to_at + j, get(from, from_at + j) + (position ? position[j] : 0.0f));
        }
    }
}
static bool in_eights(int64_t d, const void *to, const void *from, const void *position) {
    return d % 8 == 0 && aligned_16(to) && aligned_16(from) && aligned_16(position);
}

template <bool EIGHT>
__global__ void add_tokens_warp(const Matrix x, const Matrix first, int64_t prefix,
                                const float *position, int64_t rows, int64_t n, int64_t d) {
    const int64_t r = grid_warp(), t = r % (prefix + n);
    if (r >= rows) return;
    if (t < prefix) place_token<EIGHT>(x, r * d, first, t * d, NULL, d);
    else if (position) place_token<EIGHT>(x, r * d, x, r * d, position + (t - prefix) * d, d);
}

extern "C" Status cuda_add_tokens(Queue *q, float *x, const float *first, int64_t prefix,
                                  const float *position, int64_t B, int64_t n, int64_t d) {
    REQUIRE(q,
            x && prefix >= 0 && (first || prefix == 0) && B >= 1 && n >= 0 && prefix + n >= 1 &&
                d >= 1,
            "add_tokens");
    const int64_t rows = B * (prefix + n);
    cost(q, (double)(rows * d), 8.0 * (double)(rows * d));
    auto kernel = in_eights(d, x, first, position) ? named(add_tokens_warp<true>)
                                                   : named(add_tokens_warp<false>);
    return launch_kernel(q, 0, kernel.name, kernel.kernel, grid_of(ceil_div(rows, TOKEN_WARPS)),
                         TOKEN_THREADS, 0, matrix_f32(x, d), matrix_f32(first, d), prefix, position,
                         rows, n, d);
}

/* A token outside the vocabulary becomes NaN, which the caller reports as a feature that is not finite. */
template <bool EIGHT>
__global__ void embed_warp(const Matrix out, const int32_t *ids, const Matrix table, int64_t words,
                           const float *position, int64_t rows, int64_t T, int64_t d) {
    const int64_t r = grid_warp();
    if (r >= rows) return;
    const int64_t id = ids[r];
    if (id >= 0 && id < words)
        place_token<EIGHT>(out, r * d, table, id * d, position + r % T * d, d);
    else
        for (int64_t j = threadIdx.x % WARP; j < d; j += WARP) put(out, r * d + j, NAN);
}

extern "C" Status cuda_embed(Queue *q, float *out, const int32_t *ids, const Weight *table,
                             const float *position, int64_t B, int64_t T) {
    REQUIRE(q, out && ids && table && table->packed && position && B >= 1 && T >= 1, "embed");
    const int64_t d = table->in, rows = B * T;
    cost(q, (double)(rows * d), 12.0 * (double)(rows * d));
    auto kernel = in_eights(d, out, table->packed, position) ? named(embed_warp<true>)
                                                             : named(embed_warp<false>);
    return launch_kernel(q, 0, kernel.name, kernel.kernel, grid_of(ceil_div(rows, TOKEN_WARPS)),
                         TOKEN_THREADS, 0, matrix_f32(out, d), ids,
                         matrix_f32((const float *)table->packed, d), table->out, position, rows, T,
                         d);
}

/* --- means over tokens ------------------------------------------------------------------------ */

/* out[b] (d, out.row apart) = mean over n tokens of x, whose images lie `image` apart, plus `add`. */
__global__ void column_means(const Matrix out, const Matrix x, int64_t image, const float *add,
                             int64_t B, int64_t n, int64_t d) {
    const int64_t blocks = ceil_div(d, TOKEN_THREADS), b = blockIdx.x / blocks;
    const int64_t j = blockIdx.x % blocks * TOKEN_THREADS + threadIdx.x;
    if (b >= B || j >= d) return;
    float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    int64_t t = 0;
    for (; t + 4 <= n; t += 4) {
        UNROLL
        for (int i = 0; i < 4; i++) sum[i] += get(x, b * image + (t + i) * d + j);
    }
    for (; t < n; t++) sum[0] += get(x, b * image + t * d + j);
    const float mean = ((sum[0] + sum[1]) + (sum[2] + sum[3])) / (float)n;
    put(out, b * out.row + j, add ? mean + add[j] : mean);
}

static Status start_means(Queue *q, const Matrix &out, const Matrix &x, int64_t image,
                          const float *add, int64_t B, int64_t n, int64_t d) {
    cost(q, (double)(B * n * d), (double)(B * n * d * precision_bytes(x.type)));
    return launch(q, column_means, grid_of(B * ceil_div(d, TOKEN_THREADS)), TOKEN_THREADS, 0, out,
                  x, image, add, B, n, d);
}

extern "C" Status cuda_mean_tokens(Queue *q, float *out, int64_t out_row, const float *x, int64_t B,
                                   int64_t T, int64_t first, int64_t n, int64_t d) {
    REQUIRE(q, out && x && B >= 1 && n >= 1 && first >= 0 && first + n <= T && d >= 1,
            "mean_tokens");
    return start_means(q, matrix_f32(out, out_row), matrix_f32(x + first * d, d), T * d, NULL, B, n,
                       d);
}

/* All tokens of the images but the first, which is their mean. */
template <bool EIGHT>
__global__ void pool_tokens_warp(const Matrix out, const Matrix x, const float *position,
                                 int64_t rows, int64_t n, int64_t d) {
    const int64_t r = grid_warp();
    if (r >= rows) return;
    const int64_t b = r / n, t = r % n;
    place_token<EIGHT>(out, (b * (n + 1) + t + 1) * out.row, x, r * x.row, position + (t + 1) * d,
                       d);
}

extern "C" Status cuda_pool_tokens(Queue *q, Matrix out, Matrix x, const float *position, int64_t B,
                                   int64_t n, int64_t d) {
    REQUIRE(q,
            out.data && x.data && position && B >= 1 && n >= 1 && d >= 1 && out.row == d &&
                x.row == d,
            "pool_tokens");
    const Matrix means = {out.data, (n + 1) * d, out.type};
    start_means(q, means, x, n * d, position, B, n, d);
    cost(q, (double)(B * n * d),
         (double)(B * n * d * (precision_bytes(x.type) + precision_bytes(out.type))));
    auto kernel = in_eights(d, out.data, x.data, position) ? named(pool_tokens_warp<true>)
                                                           : named(pool_tokens_warp<false>);
    return launch_kernel(q, 0, kernel.name, kernel.kernel, grid_of(ceil_div(B * n, TOKEN_WARPS)),
                         TOKEN_THREADS, 0, out, x, position, B * n, n, d);
}

/* --- average pool ----------------------------------------------------------------------------- */

/* One thread has CHANNELS neighbouring channels of an output pixel. */
template <int CHANNELS>
__global__ void avg_pool_pixels(const Matrix out, const Matrix in, int64_t n, int64_t H, int64_t W,
                                int64_t C, int64_t k) {
    const int64_t i = grid_thread();
    if (i >= n) return;
    const int64_t groups = C / CHANNELS, c = i % groups * CHANNELS, pixel = i / groups;
    const int64_t wide = W / k, x = pixel % wide, y = pixel / wide % (H / k),
                  b = pixel / wide / (H / k);
    float sum[CHANNELS] = {};
    for (int64_t ky = 0; ky < k; ky++)
        for (int64_t kx = 0; kx < k; kx++) {
            const int64_t at = ((b * H + y * k + ky) * W + x * k + kx) * C + c;
            if constexpr (CHANNELS == 8) {
                float v[8];
                get_eight(v, in, at);
                UNROLL
                for (int e = 0; e < 8; e++) sum[e] += v[e];
            } else {
                sum[0] += get(in, at);
            }
        }
    UNROLL
    for (int e = 0; e < CHANNELS; e++) sum[e] /= (float)(k * k);
    if constexpr (CHANNELS == 8) put_eight(out, pixel * C + c, sum);
    else put(out, pixel * C + c, sum[0]);
}

extern "C" Status cuda_avg_pool(Queue *q, Matrix out, Matrix in, int64_t B, int64_t H, int64_t W,
                                int64_t C, int64_t k) {
    REQUIRE(q,
            out.data && in.data && out.type == in.type && B >= 1 && C >= 1 && k >= 1 && H >= k &&
                W >= k && out.row == C && in.row == C,
            "avg_pool");
    const int64_t numbers = B * (H / k) * (W / k) * C;
    cost(q, (double)(numbers * k * k),
         (double)((numbers + B * H * W * C) * precision_bytes(in.type)));
    if (C % 8 == 0 && aligned_16(out.data) && aligned_16(in.data))
        return launch(q, avg_pool_pixels<8>, grid_of(ceil_div(numbers / 8, TOKEN_THREADS)),
                      TOKEN_THREADS, 0, out, in, numbers / 8, H, W, C, k);
    return launch(q, avg_pool_pixels<1>, grid_of(ceil_div(numbers, TOKEN_THREADS)), TOKEN_THREADS,
                  0, out, in, numbers, H, W, C, k);
}

/* --- unit rows -------------------------------------------------------------------------------- */

__global__ void normalize_warp(float *x, int64_t rows, int64_t d) {
    const int64_t r = grid_warp();
    if (r >= rows) return;
    float *row = x + r * d, sum = 0.0f;
    for (int64_t j = threadIdx.x % WARP; j < d; j += WARP) sum += row[j] * row[j];
    const float norm = sqrtf(warp_sum(sum));
    for (int64_t j = threadIdx.x % WARP; j < d; j += WARP) row[j] /= norm;
}

extern "C" Status cuda_normalize(Queue *q, float *x, int64_t rows, int64_t d) {
    REQUIRE(q, x && rows >= 1 && d >= 1, "normalize");
    cost(q, 3.0 * (double)(rows * d), 8.0 * (double)(rows * d));
    return launch(q, normalize_warp, grid_of(ceil_div(rows, TOKEN_WARPS)), TOKEN_THREADS, 0, x,
                  rows, d);
}
