/*
 * tokens.c - the small operations between pixels, tokens and features (kernels/encode.h)
 *
 * Cost     each operation reads its input once and writes its output once: memory bound.
 * Mapping  images, or rows of pixels, over threads.
 */
#include <string.h>

#include "io/dtype.h"
#include "kernels/cpu/encode/encode.h"

typedef struct {
    float *out;
    const uint8_t *pixels;
    const float *mean, *std;
    int64_t side;
} Pixels;

static void normalise_lines(const void *loop, int64_t first, int64_t end, int thread) {
    const Pixels *p = loop;
    const int64_t side = p->side;
    const float *mean = p->mean, *std = p->std;
    (void)thread;
    for (int64_t line = first; line < end; line++) {
        const uint8_t *from = p->pixels + line * side * 3;
        float *to = p->out + line * side * 3;
        for (int64_t x = 0; x < side; x++) /* the order of the published transforms */
            for (int c = 0; c < 3; c++)
                to[3 * x + c] = ((float)from[3 * x + c] / 255.0f - mean[c]) / std[c];
    }
}

Status cpu_pixels(Queue *q, float *out, const uint8_t *pixels, const float mean[3],
                  const float std[3], int64_t B, int64_t side) {
    REQUIRE(q, out && pixels && mean && std && B >= 1 && side >= 1, "pixels");
    const Pixels p = {out, pixels, mean, std, side};
    threads_loop(q->device->pool, B * side, rows_run(3 * side), normalise_lines, &p);
    return OK;
}

/* Arguments of the operations on images of tokens; each operation uses the ones it needs. */
typedef struct {
    float *out;
    int64_t out_row;
    const float *x, *first, *position;
    int64_t prefix, T, from, n, d;
} Images;

static void add_images(const void *loop, int64_t begin, int64_t end, int thread) {
    const Images *in = loop;
    const int64_t prefix = in->prefix, n = in->n, d = in->d;
    const float *first = in->first, *position = in->position;
    (void)thread;
    for (int64_t b = begin; b < end; b++) {
        float *image = in->out + b * (prefix + n) * d, *patches = image + prefix * d;
        for (int64_t j = 0; j < prefix * d; j++) image[j] = first[j];
        for (int64_t j = 0; position && j < n * d; j++) patches[j] += position[j];
    }
}

Status cpu_add_tokens(Queue *q, float *x, const float *first, int64_t prefix, const float *position,
                      int64_t B, int64_t n, int64_t d) {
    REQUIRE(q, x && prefix >= 0 && (first || prefix == 0) && B >= 1 && n >= 1 && d >= 1,
            "add_tokens");
    const Images in = {
        .out = x, .first = first, .position = position, .prefix = prefix, .n = n, .d = d};
    threads_loop(q->device->pool, B, rows_run((prefix + n) * d), add_images, &in);
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

/* Computes the mean over n rows of d elements, summed row by row. */
static void mean_row(float *out, const float *x, int64_t n, int64_t d) {
    for (int64_t j = 0; j < d; j++) out[j] = 0.0f;
    for (int64_t t = 0; t < n; t++)
        for (int64_t j = 0; j < d; j++) out[j] += x[t * d + j];
    for (int64_t j = 0; j < d; j++) out[j] /= (float)n;
}

/* --- activations of either type, CHANNELS at a time ------------------------------------------- */

enum { CHANNELS = 256 };

/* Adds n numbers from element `first` on to sums. */
static void add_numbers(float *sum, Matrix x, int64_t first, int64_t n) {
    const float *full = x.data;
    const uint16_t *half = x.data;
    if (x.type == PRECISION_BF16)
        for (int64_t j = 0; j < n; j++) sum[j] += f32_from_bf16(half[first + j]);
    else
        for (int64_t j = 0; j < n; j++) sum[j] += full[first + j];
}

static void write_numbers(Matrix out, int64_t first, const float *x, int64_t n) {
    float *full = out.data;
    uint16_t *half = out.data;
    if (out.type == PRECISION_BF16)
        for (int64_t j = 0; j < n; j++) half[first + j] = bf16_from_f32(x[j]);
    else
        for (int64_t j = 0; j < n; j++) full[first + j] = x[j];
}

typedef struct {
    Matrix out, x;
    const float *position;
    int64_t n, d;
} Tokened;

static void pool_images(const void *loop, int64_t begin, int64_t end, int thread) {
    const Tokened *in = loop;
    const int64_t n = in->n, d = in->d;
    (void)thread;
    for (int64_t b = begin; b < end; b++)
        for (int64_t j = 0; j < d; j += CHANNELS) {
            const int64_t part = least(d - j, CHANNELS), from = b * n * d + j,
                          to = b * (n + 1) * d + j;
            const float *position = in->position + j;
            float x[CHANNELS] = {0};
            for (int64_t t = 0; t < n; t++) add_numbers(x, in->x, from + t * d, part);
            for (int64_t c = 0; c < part; c++) x[c] = x[c] / (float)n + position[c];
            write_numbers(in->out, to, x, part);
            for (int64_t t = 0; t < n; t++) {
                memcpy(x, position + (t + 1) * d, (size_t)part * sizeof *x);
                add_numbers(x, in->x, from + t * d, part);
                write_numbers(in->out, to + (t + 1) * d, x, part);
            }
        }
}

static void average_images(const void *loop, int64_t begin, int64_t end, int thread) {
    const Images *in = loop;
    (void)thread;
    for (int64_t b = begin; b < end; b++)
        mean_row(in->out + b * in->out_row, in->x + (b * in->T + in->from) * in->d, in->n, in->d);
}

Status cpu_pool_tokens(Queue *q, Matrix out, Matrix x, const float *position, int64_t B, int64_t n,
                       int64_t d) {
    REQUIRE(q, are_activations(out) && are_activations(x) && position && B >= 1 && n >= 1 && d >= 1,
            "pool_tokens");
    const Tokened in = {out, x, position, n, d};
    threads_loop(q->device->pool, B, rows_run(n * d), pool_images, &in);
    return OK;
}

typedef struct {
    Matrix out, in;
    int64_t H, W, C, k;
} Pooling;

static void pool_lines(const void *loop, int64_t first, int64_t end, int thread) {
    const Pooling *p = loop;
    const int64_t H = p->H, W = p->W, C = p->C, k = p->k, height = H / k, width = W / k;
    (void)thread;
    for (int64_t line = first; line < end; line++) {
        const int64_t from = (line / height * H + line % height * k) * W * C;
        for (int64_t x = 0; x < width; x++)
            for (int64_t c = 0; c < C; c += CHANNELS) {
                const int64_t part = least(C - c, CHANNELS);
                float sum[CHANNELS] = {0};
                for (int64_t y = 0; y < k; y++)
                    for (int64_t i = 0; i < k; i++)
                        add_numbers(sum, p->in, from + (y * W + x * k + i) * C + c, part);
                for (int64_t j = 0; j < part; j++) sum[j] /= (float)(k * k);
                write_numbers(p->out, (line * width + x) * C + c, sum, part);
            }
    }
}

Status cpu_avg_pool(Queue *q, Matrix out, Matrix in, int64_t B, int64_t H, int64_t W, int64_t C,
                    int64_t k) {
    REQUIRE(q,
            are_activations(out) && are_activations(in) && B >= 1 && C >= 1 && k >= 1 && H >= k &&
                W >= k,
            "avg_pool");
    const Pooling p = {out, in, H, W, C, k};
    threads_loop(q->device->pool, B * (H / k), rows_run(k * W * C), pool_lines, &p);
    return OK;
}

Status cpu_mean_tokens(Queue *q, float *out, int64_t out_row, const float *x, int64_t B, int64_t T,
                       int64_t first, int64_t n, int64_t d) {
    REQUIRE(q,
            out && x && B >= 1 && d >= 1 && out_row >= d && first >= 0 && n >= 1 && first + n <= T,
            "mean_tokens");
    const Images in = {
        .out = out, .out_row = out_row, .x = x, .T = T, .from = first, .n = n, .d = d};
    threads_loop(q->device->pool, B, rows_run(n * d), average_images, &in);
    return OK;
}
