/*
 * tokens.c - what stands between pixels, tokens and features (kernels/encode.h)
 *
 * Cost     each reads its input once and writes its output once: memory bound.
 * Mapping  images, or rows of pixels, over threads.
 */
#include "encode.h"

Status cpu_pixels(Queue *q, float *out, const uint8_t *pixels, const float mean[3],
                  const float std[3], int64_t B, int64_t side) {
    REQUIRE(q, out && pixels && mean && std && B >= 1 && side >= 1, "pixels");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t line = 0; line < B * side; line++) {
        const uint8_t *from = pixels + line * side * 3;
        float *to = out + line * side * 3;
        for (int64_t x = 0; x < side; x++) /* the order of the published transforms */
            for (int c = 0; c < 3; c++)
                to[3 * x + c] = ((float)from[3 * x + c] / 255.0f - mean[c]) / std[c];
    }
    return OK;
}

Status cpu_add_tokens(Queue *q, float *x, const float *first, int64_t prefix, const float *position,
                      int64_t B, int64_t n, int64_t d) {
    REQUIRE(q, x && first && position && prefix >= 1 && B >= 1 && n >= 1 && d >= 1, "add_tokens");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) {
        float *image = x + b * (prefix + n) * d, *patches = image + prefix * d;
        for (int64_t j = 0; j < prefix * d; j++) image[j] = first[j];
        for (int64_t j = 0; j < n * d; j++) patches[j] += position[j];
    }
    return OK;
}

Status cpu_embed(Queue *q, float *out, const int32_t *ids, const Weight *table,
                 const float *position, int64_t B, int64_t T) {
    REQUIRE(q,
            out && ids && table && table->data && position && table->in_step == 1 &&
                dtype_is_float(table->type) && B >= 1 && T >= 1,
            "embed");
    const int64_t d = table->in;
    for (int64_t i = 0; i < B * T; i++) {
        REQUIRE(q, ids[i] >= 0 && ids[i] < table->out, "embed");
        const int64_t row = ids[i] * table->out_step * dtype_bytes(table->type);
        dtype_to_f32(out + i * d, (const uint8_t *)table->data + row, table->type, false, d);
        for (int64_t j = 0; j < d; j++) out[i * d + j] += position[i % T * d + j];
    }
    return OK;
}

/* The mean over n rows of d, summed row by row. */
static void mean_row(float *out, const float *x, int64_t n, int64_t d) {
    for (int64_t j = 0; j < d; j++) out[j] = 0.0f;
    for (int64_t t = 0; t < n; t++)
        for (int64_t j = 0; j < d; j++) out[j] += x[t * d + j];
    for (int64_t j = 0; j < d; j++) out[j] /= (float)n;
}

Status cpu_pool_tokens(Queue *q, float *out, const float *x, const float *position, int64_t B,
                       int64_t n, int64_t d) {
    REQUIRE(q, out && x && position && B >= 1 && n >= 1 && d >= 1, "pool_tokens");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) {
        const float *image = x + b * n * d;
        float *to = out + b * (n + 1) * d;
        mean_row(to, image, n, d);
        for (int64_t j = 0; j < d; j++) to[j] += position[j];
        for (int64_t j = 0; j < n * d; j++) to[d + j] = image[j] + position[d + j];
    }
    return OK;
}

Status cpu_avg_pool(Queue *q, float *out, const float *in, int64_t B, int64_t H, int64_t W,
                    int64_t C, int64_t k) {
    REQUIRE(q, out && in && B >= 1 && C >= 1 && k >= 1 && H >= k && W >= k, "avg_pool");
    const int64_t height = H / k, width = W / k;
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t line = 0; line < B * height; line++) {
        const float *from = in + (line / height * H + line % height * k) * W * C;
        for (int64_t x = 0; x < width; x++) {
            float *to = out + (line * width + x) * C;
            for (int64_t c = 0; c < C; c++) to[c] = 0.0f;
            for (int64_t y = 0; y < k; y++)
                for (int64_t i = 0; i < k; i++)
                    for (int64_t c = 0; c < C; c++) to[c] += from[(y * W + x * k + i) * C + c];
            for (int64_t c = 0; c < C; c++) to[c] /= (float)(k * k);
        }
    }
    return OK;
}

Status cpu_mean_tokens(Queue *q, float *out, int64_t out_row, const float *x, int64_t B, int64_t T,
                       int64_t first, int64_t n, int64_t d) {
    REQUIRE(q,
            out && x && B >= 1 && d >= 1 && out_row >= d && first >= 0 && n >= 1 && first + n <= T,
            "mean_tokens");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) mean_row(out + b * out_row, x + (b * T + first) * d, n, d);
    return OK;
}
