/* reference_encode.c - every operation of encoders in the plainest code: the judge of the shipped
 * ones, and the place to read what an operation computes (TURTLE_ISA=reference).
 *
 * There is one thread and no blocking; every sum is in double and rounded to float32 once, at its end. */
#include <math.h>

#include "io/dtype.h"
#include "kernels/cpu/cpu.h"

/* Rounds an operand of a product. */
static double operand(float x, Precision precision) {
    if (precision == PRECISION_FP16) return f32_from_f16(f16_from_f32(x));
    if (precision == PRECISION_BF16) return f32_from_bf16(bf16_from_f32(x));
    return x;
}

static float weight_at(const Weight *w, int64_t o, int64_t i, int64_t t) {
    const int64_t at = o * w->out_step + i * w->in_step + t * w->tap_step;
    float x = NAN;
    dtype_to_f32(&x, (const uint8_t *)w->data + at * dtype_bytes(w->type), w->type, false, 1);
    return x;
}

static double activate(double x, Activation activation) {
    switch (activation) {
    case ACT_NONE: return x;
    case ACT_RELU: return x > 0.0 ? x : 0.0;
    case ACT_QUICK_GELU: return x / (1.0 + exp(-1.702 * x));
    case ACT_GELU: return x * 0.5 * erfc(-x / sqrt(2.0));
    case ACT_GELU_TANH:
        return 0.5 * x * (1.0 + tanh(0.79788456080286536 * (x + 0.044715 * x * x * x)));
    case ACT_SILU: return x / (1.0 + exp(-x));
    }
    return NAN;
}

static float finish(double sum, float before, const Epilogue *e, int64_t channel) {
    if (e->scale) sum *= e->scale[channel];
    if (e->bias) sum += e->bias[channel];
    if (e->add) sum += before;
    return (float)activate(sum, e->activation);
}

static bool are_floats(Matrix out, Matrix in) {
    return out.data && in.data && out.type == PRECISION_FP32 && in.type == PRECISION_FP32;
}

static Status linear(Queue *q, Matrix to, Matrix from, const Weight *w, const Epilogue *e,
                     int64_t rows, void *scratch) {
    REQUIRE(q, are_floats(to, from) && w && w->taps == 1 && e && rows >= 1, "linear");
    (void)scratch;
    float *out = to.data;
    const float *in = from.data, *times = e->times.data;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < w->out; o++) {
            double sum = 0.0;
            for (int64_t i = 0; i < w->in; i++)
                sum += operand(in[r * from.row + i], w->precision) *
                       operand(weight_at(w, o, i, 0), w->precision);
            out[r * to.row + o] = finish(sum, out[r * to.row + o], e, o);
            if (times) out[r * to.row + o] *= times[r * e->times.row + o];
        }
    return OK;
}

/* Returns the product of one window with one output channel; (y,x) is the window's corner. */
static double correlate(const float *image, const Weight *w, const Window *win, int64_t y,
                        int64_t x, int64_t o) {
    double sum = 0.0;
    for (int64_t ky = 0; ky < win->kernel; ky++)
        for (int64_t kx = 0; kx < win->kernel; kx++) {
            if (y + ky < 0 || y + ky >= win->height || x + kx < 0 || x + kx >= win->width) continue;
            const float *pixel = image + ((y + ky) * win->width + x + kx) * w->in;
            for (int64_t i = 0; i < w->in; i++)
                sum += operand(pixel[i], w->precision) *
                       operand(weight_at(w, o, i, ky * win->kernel + kx), w->precision);
        }
    return sum;
}

static Status conv2d(Queue *q, Matrix out, Matrix in, const Weight *w, const Window *win,
                     const Epilogue *e, int64_t B, void *scratch) {
    REQUIRE(q,
            are_floats(out, in) && w && win && win->kernel * win->kernel == w->taps && e && B >= 1,
            "conv2d");
    (void)scratch;
    const int64_t height = window_out(win->height, win), width = window_out(win->width, win);
    const int64_t image = win->out_image ? win->out_image : height * width * w->out;
    for (int64_t b = 0; b < B; b++)
        for (int64_t p = 0; p < height * width; p++)
            for (int64_t o = 0; o < w->out; o++) {
                float *to = (float *)out.data + b * image + p * w->out + o;
                const double sum = correlate(
                    (const float *)in.data + b * win->height * win->width * w->in, w, win,
                    p / width * win->stride - win->pad, p % width * win->stride - win->pad, o);
                *to = finish(sum, *to, e, o);
            }
    return OK;
}

static double score(const float *q, const float *k, int64_t width) {
    double sum = 0.0;
    for (int64_t i = 0; i < width; i++) sum += (double)q[i] * k[i];
    return sum / sqrt((double)width);
}

/* Writes to `out` the query or key of token t, rotated to its place. */
static void rotate(float *out, const float *x, const Rope *rope, int64_t t, int64_t width) {
    const int64_t half = width / 2;
    for (int64_t i = 0; i < width; i++) out[i] = x[i];
    if (!rope || !rope->cos || t < rope->first) return;
    for (int64_t i = 0; i < half; i++) {
        const double c = rope->cos[(t - rope->first) * half + i],
                     s = rope->sin[(t - rope->first) * half + i];
        out[i] = (float)(x[i] * c - x[half + i] * s);
        out[half + i] = (float)(x[half + i] * c + x[i] * s);
    }
}

static Status attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                        int64_t queries, int64_t keys, int64_t heads, int64_t width, bool causal,
                        const Rope *rope, void *scratch) {
    REQUIRE(queue,
            out.data && q.data && k.data && v.data && B >= 1 && queries >= 1 && keys >= 1 &&
                width >= 1 && width <= MAX_HEAD_DIM,
            "attention");
    (void)scratch;
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < queries; t++)
            for (int64_t h = 0; h < heads * width; h += width) {
                const float *key = (const float *)k.data + b * k.image + h,
                            *value = (const float *)v.data + b * v.image + h;
                float query[MAX_HEAD_DIM], at[MAX_HEAD_DIM];
                const int64_t seen = causal ? t + 1 : keys;
                double max = -INFINITY, sum = 0.0, mean[MAX_HEAD_DIM] = {0};
                rotate(query, (const float *)q.data + b * q.image + t * q.row + h, rope, t, width);
                for (int64_t s = 0; s < seen; s++) {
                    rotate(at, key + s * k.row, rope, s, width);
                    max = fmax(max, score(query, at, width));
                }
                for (int64_t s = 0; s < seen; s++) {
                    rotate(at, key + s * k.row, rope, s, width);
                    const double p = exp(score(query, at, width) - max);
                    sum += p;
                    for (int64_t i = 0; i < width; i++) mean[i] += p * value[s * v.row + i];
                }
                for (int64_t i = 0; i < width; i++)
                    ((float *)out.data)[b * out.image + t * out.row + h + i] =
                        (float)(mean[i] / sum);
            }
    return OK;
}

static Status layer_norm(Queue *q, Matrix out, const float *x, int64_t x_row, const float *weight,
                         const float *bias, double eps, int64_t rows, int64_t d) {
    REQUIRE(q, out.data && out.type == PRECISION_FP32 && x && weight && bias && rows >= 1 && d >= 1,
            "layer_norm");
    for (int64_t r = 0; r < rows; r++) {
        const float *row = x + r * x_row;
        double mean = 0.0, variance = 0.0;
        for (int64_t j = 0; j < d; j++) mean += row[j];
        mean /= (double)d;
        for (int64_t j = 0; j < d; j++) variance += (row[j] - mean) * (row[j] - mean);
        variance /= (double)d;
        for (int64_t j = 0; j < d; j++)
            ((float *)out.data)[r * out.row + j] =
                (float)((row[j] - mean) / sqrt(variance + eps) * weight[j] + bias[j]);
    }
    return OK;
}

static Status pixels(Queue *q, float *out, const uint8_t *in, const float mean[3],
                     const float std[3], int64_t B, int64_t side) {
    REQUIRE(q, out && in && B >= 1 && side >= 1, "pixels");
    for (int64_t i = 0; i < B * side * side * 3; i++)
        out[i] = ((float)in[i] / 255.0f - mean[i % 3]) / std[i % 3];
    return OK;
}

static Status add_tokens(Queue *q, float *x, const float *first, int64_t prefix,
                         const float *position, int64_t B, int64_t n, int64_t d) {
    REQUIRE(q, x && (first || prefix == 0) && B >= 1, "add_tokens");
    const int64_t T = prefix + n;
    for (int64_t i = 0; i < B * T * d; i++) {
        const int64_t t = i / d % T, j = i % d;
        x[i] = t < prefix ? first[t * d + j]
               : position ? x[i] + position[(t - prefix) * d + j]
                          : x[i];
    }
    return OK;
}

static Status embed(Queue *q, float *out, const int32_t *ids, const Weight *table,
                    const float *position, int64_t B, int64_t T) {
    REQUIRE(q, out && ids && table && position && B >= 1 && T >= 1, "embed");
    for (int64_t i = 0; i < B * T * table->in; i++) {
        const int64_t id = ids[i / table->in], j = i % table->in;
        REQUIRE(q, id >= 0 && id < table->out, "embed");
        out[i] = weight_at(table, id, j, 0) + position[i % (T * table->in)];
    }
    return OK;
}

static float column_mean(const float *x, int64_t n, int64_t step) {
    double sum = 0.0;
    for (int64_t i = 0; i < n; i++) sum += x[i * step];
    return (float)(sum / (double)n);
}

static Status pool_tokens(Queue *q, Matrix out, Matrix x, const float *position, int64_t B,
                          int64_t n, int64_t d) {
    REQUIRE(q, are_floats(out, x) && position && B >= 1 && n >= 1, "pool_tokens");
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < (n + 1) * d; i++) {
            const float *image = (const float *)x.data + b * n * d;
            ((float *)out.data)[b * (n + 1) * d + i] =
                (i < d ? column_mean(image + i, n, d) : image[i - d]) + position[i];
        }
    return OK;
}

static Status avg_pool(Queue *q, Matrix to, Matrix from, int64_t B, int64_t H, int64_t W, int64_t C,
                       int64_t k) {
    REQUIRE(q, are_floats(to, from) && B >= 1 && k >= 1 && H >= k && W >= k, "avg_pool");
    float *out = to.data;
    const float *in = from.data;
    for (int64_t b = 0; b < B; b++)
        for (int64_t y = 0; y < H / k; y++)
            for (int64_t x = 0; x < W / k; x++)
                for (int64_t c = 0; c < C; c++) {
                    double sum = 0.0;
                    for (int64_t i = 0; i < k * k; i++)
                        sum += in[((b * H + y * k + i / k) * W + x * k + i % k) * C + c];
                    *out++ = (float)(sum / (double)(k * k));
                }
    return OK;
}

static Status mean_tokens(Queue *q, float *out, int64_t out_row, const float *x, int64_t B,
                          int64_t T, int64_t first, int64_t n, int64_t d) {
    REQUIRE(q, out && x && B >= 1 && n >= 1 && first + n <= T, "mean_tokens");
    for (int64_t b = 0; b < B; b++)
        for (int64_t j = 0; j < d; j++)
            out[b * out_row + j] = column_mean(x + (b * T + first) * d + j, n, d);
    return OK;
}

static Status normalize(Queue *q, float *x, int64_t rows, int64_t d) {
    REQUIRE(q, x && rows >= 1 && d >= 1, "normalize");
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0.0;
        for (int64_t j = 0; j < d; j++) sum += (double)x[r * d + j] * x[r * d + j];
        for (int64_t j = 0; j < d; j++) x[r * d + j] = (float)(x[r * d + j] / sqrt(sum));
    }
    return OK;
}

static int64_t scratch_bytes(const Device *device, int64_t depth, int64_t keys) {
    (void)device, (void)depth, (void)keys;
    return 0;
}

/* Weights are read as they lie. */
static int64_t pack_bytes(const Weight *w) {
    (void)w;
    return 0;
}

static Status pack(Queue *q, void *packed, const Weight *w) {
    (void)packed, (void)w;
    REQUIRE(q, false, "pack");
    return OK;
}

void cpu_reference_encode(EncodeOps *encode) {
    *encode = (EncodeOps){.linear = linear,
                          .conv2d = conv2d,
                          .attention = attention,
                          .layer_norm = layer_norm,
                          .pixels = pixels,
                          .add_tokens = add_tokens,
                          .embed = embed,
                          .pool_tokens = pool_tokens,
                          .avg_pool = avg_pool,
                          .mean_tokens = mean_tokens,
                          .normalize = normalize,
                          .pack_bytes = pack_bytes,
                          .pack = pack,
                          .scratch_bytes = scratch_bytes};
}
