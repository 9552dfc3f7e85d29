/*
 * layer_norm.c - layer norm and the normalisation of features (kernels/encode.h)
 *
 * Cost     8 rows d bytes each, 6 where a norm writes bfloat16: memory bound.
 * Mapping  rows of a norm over threads; a row stays in the first-level cache for its three sweeps. The few rows of
 *          features are normalised by one thread.
 */
#include <math.h>

#include "kernels/cpu/encode/encode.h"
#include "kernels/cpu/gemm/vec_math.h"

/* Writes the row to `to`, rounded to bfloat16 if `narrow`, else as float32, where `to` may be x. */
static void norm_row(void *to, bool narrow, const float *x, const float *weight, const float *bias,
                     double eps, int64_t d) {
    uint16_t *half = to;
    float *out = to;
    float sum = 0.0f, squares = 0.0f;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) sum += x[j];
    const float mean = sum / (float)d;
    SIMD(reduction(+ : squares)) /* squares of the differences: no cancellation */
    for (int64_t j = 0; j < d; j++) squares += (x[j] - mean) * (x[j] - mean);
    const float inverse = (float)(1.0 / sqrt((double)squares / (double)d + eps));
    if (narrow)
        for (int64_t j = 0; j < d; j++)
            half[j] = bf16_from_f32((x[j] - mean) * inverse * weight[j] + bias[j]);
    else
        for (int64_t j = 0; j < d; j++) out[j] = (x[j] - mean) * inverse * weight[j] + bias[j];
}

typedef struct {
    Matrix out;
    const float *x;
    int64_t x_row, d;
    const float *weight, *bias;
    double eps;
} Norms;

static void norm_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Norms *n = loop;
    (void)thread;
    for (int64_t r = first; r < end; r++) {
        char *to = (char *)n->out.data + r * n->out.row * precision_bytes(n->out.type);
        norm_row(to, n->out.type == PRECISION_BF16, n->x + r * n->x_row, n->weight, n->bias, n->eps,
                 n->d);
    }
}

Status cpu_layer_norm(Queue *q, Matrix out, const float *x, int64_t x_row, const float *weight,
                      const float *bias, double eps, int64_t rows, int64_t d) {
    REQUIRE(q,
            are_activations(out) && x && weight && bias && eps > 0.0 && rows >= 1 && d >= 1 &&
                x_row >= d && out.row >= d,
            "layer_norm");
    const Norms n = {out, x, x_row, d, weight, bias, eps};
    threads_loop(q->device->pool, rows, rows_run(d), norm_rows, &n);
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
