/*
 * layer_norm.c - layer norm, SwiGLU's gate and the normalisation of features (kernels/encode.h)
 *
 * Cost     8 rows d bytes each (the gate 12 rows h): memory bound.
 * Mapping  rows over threads; a row stays in the first-level cache for its three sweeps.
 */
#include <math.h>

#include "encode.h"
#include "vec_math.h"

static void norm_row(float *out, const float *x, const float *weight, const float *bias, double eps,
                     int64_t d) {
    float sum = 0.0f, squares = 0.0f;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) sum += x[j];
    const float mean = sum / (float)d;
    SIMD(reduction(+ : squares)) /* of the differences: no cancellation */
    for (int64_t j = 0; j < d; j++) squares += (x[j] - mean) * (x[j] - mean);
    const float inverse = (float)(1.0 / sqrt((double)squares / (double)d + eps));
    for (int64_t j = 0; j < d; j++) out[j] = (x[j] - mean) * inverse * weight[j] + bias[j];
}

Status cpu_layer_norm(Queue *q, float *out, const float *x, int64_t x_row, const float *weight,
                      const float *bias, double eps, int64_t rows, int64_t d) {
    REQUIRE(q, out && x && weight && bias && eps > 0.0 && rows >= 1 && d >= 1 && x_row >= d,
            "layer_norm");
    PARALLEL_FOR(num_threads(q->device->threads) if (rows * d > 65536))
    for (int64_t r = 0; r < rows; r++) norm_row(out + r * d, x + r * x_row, weight, bias, eps, d);
    return OK;
}

Status cpu_silu_gate(Queue *q, float *out, const float *x, int64_t rows, int64_t h) {
    REQUIRE(q, out && x && rows >= 1 && h >= 1, "silu_gate");
    PARALLEL_FOR(num_threads(q->device->threads) if (rows * h > 65536))
    for (int64_t r = 0; r < rows; r++) {
        const float *gate = x + r * 2 * h, *value = gate + h;
        SIMD()
        for (int64_t j = 0; j < h; j++) out[r * h + j] = gate[j] * sigmoid_f32(gate[j]) * value[j];
    }
    return OK;
}

Status cpu_normalize(Queue *q, float *x, int64_t rows, int64_t d) {
    REQUIRE(q, x && rows >= 1 && d >= 1, "normalize");
    for (int64_t r = 0; r < rows; r++) {
        float *row = x + r * d, sum = 0.0f;
        SIMD(reduction(+ : sum))
        for (int64_t j = 0; j < d; j++) sum += row[j] * row[j];
        const float norm = sqrtf(sum);
        for (int64_t j = 0; j < d; j++) row[j] /= norm;
    }
    return OK;
}
