/*
 * weight_norm.c - W[c,:] = g[c] v[c,:]/|v[c,:]| and its gradient (Salimans & Kingma 2016)
 *
 *     grad_g = <grad_W,v>/|v|,   grad_v = g/|v| (grad_W - <grad_W,v>/|v|^2 v)
 *
 * Shapes   task: v (C,d), bias (C), g (C); grad_linear: W (C,d), bias (C).
 * Cost     8Cd bytes forward, 12Cd backward. Norms in double: one rounding each.
 * Mapping  classes over threads.
 */
#include "kernels/cpu/operations.h"

static double dot(const float *restrict a, const float *restrict b, int64_t n) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

typedef struct {
    float *out; /* W, or the gradient */
    const float *task, *grad_linear;
    int64_t C, d;
} WeightNorm;

static void norm_classes(const void *loop, int64_t first, int64_t end, int thread) {
    const WeightNorm *n = loop;
    const int64_t d = n->d;
    const float *g = n->task + linear_size(n->C, d);
    (void)thread;
    for (int64_t c = first; c < end; c++) {
        const float *v = n->task + c * d;
        float *W = n->out + c * d;
        const float scale = (float)(g[c] / sqrt(dot(v, v, d)));
        for (int64_t j = 0; j < d; j++) W[j] = scale * v[j];
    }
}

static void grad_classes(const void *loop, int64_t first, int64_t end, int thread) {
    const WeightNorm *n = loop;
    const int64_t C = n->C, d = n->d;
    const float *g = n->task + linear_size(C, d);
    float *grad = n->out;
    (void)thread;
    for (int64_t c = first; c < end; c++) {
        const float *v = n->task + c * d, *grad_W = n->grad_linear + c * d;
        const double length = sqrt(dot(v, v, d)), along = dot(grad_W, v, d) / length;
        const float scale = (float)(g[c] / length), project = (float)(along / length);
        for (int64_t j = 0; j < d; j++) grad[c * d + j] = scale * (grad_W[j] - project * v[j]);
        grad[C * d + c] = n->grad_linear[C * d + c];
        grad[linear_size(C, d) + c] = (float)along;
    }
}

Status cpu_weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d) {
    REQUIRE(q, W && task && C >= 1 && d >= 1, "weight_norm");
    const WeightNorm n = {.out = W, .task = task, .C = C, .d = d};
    threads_loop(q->device->pool, C, rows_run(d), norm_classes, &n);
    return OK;
}

Status cpu_weight_norm_grad(Queue *q, float *grad, const float *grad_linear, const float *task,
                            int64_t C, int64_t d) {
    REQUIRE(q, grad && grad_linear && task && C >= 1 && d >= 1, "weight_norm_grad");
    const WeightNorm n = {grad, task, grad_linear, C, d};
    threads_loop(q->device->pool, C, rows_run(d), grad_classes, &n);
    return OK;
}
