/*
 * weight_norm.c - W[c,:] = g[c] v[c,:]/|v[c,:]| and its gradient (Salimans & Kingma 2016)
 *
 *     grad_g = <grad_W,v>/|v|,   grad_v = g/|v| (grad_W - <grad_W,v>/|v|^2 v)
 *
 * Shapes   task: v (C,d), bias (C), g (C); grad_linear: W (C,d), bias (C).
 * Cost     8Cd bytes forward, 12Cd backward. Norms in double: one rounding each.
 * Mapping  classes over threads.
 */
#include "operations.h"

static double dot(const float *restrict a, const float *restrict b, int64_t n) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

Status cpu_weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d) {
    REQUIRE(q, W && task && C >= 1 && d >= 1, "weight_norm");
    const float *g = task + linear_size(C, d);
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t c = 0; c < C; c++) {
        const float *v = task + c * d;
        const float scale = (float)(g[c] / sqrt(dot(v, v, d)));
        for (int64_t j = 0; j < d; j++) W[c * d + j] = scale * v[j];
    }
    return OK;
}

Status cpu_weight_norm_grad(Queue *q, float *grad, const float *grad_linear, const float *task,
                            int64_t C, int64_t d) {
    REQUIRE(q, grad && grad_linear && task && C >= 1 && d >= 1, "weight_norm_grad");
    const float *g = task + linear_size(C, d);
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t c = 0; c < C; c++) {
        const float *v = task + c * d, *grad_W = grad_linear + c * d;
        const double length = sqrt(dot(v, v, d)), along = dot(grad_W, v, d) / length;
        const float scale = (float)(g[c] / length), project = (float)(along / length);
        for (int64_t j = 0; j < d; j++) grad[c * d + j] = scale * (grad_W[j] - project * v[j]);
        grad[C * d + c] = grad_linear[C * d + c];
        grad[linear_size(C, d) + c] = (float)along;
    }
    return OK;
}
