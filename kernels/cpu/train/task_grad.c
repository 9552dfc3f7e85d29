/*
 * task_grad.c - gradient of the outer loss with respect to one space's task logits (paper Eq. 12)
 *
 *     q = grad_Y/K + gamma (ln P_bar + 1)/B,    grad_logits = P (q - sum_c P q), in place of P
 *
 * The first term reaches P through Y, of which P is a K-th; the second is the gradient of
 * -gamma H(P_bar). Where P_bar is exactly 0, so is P in every row, and P ln P_bar has the limit 0.
 *
 * Cost     12BC bytes.
 * Mapping  rows over threads.
 * Needs    scratch: C floats.
 */
#include "kernels/cpu/operations.h"

void cpu_task_slope(float *slope, const float *P_bar, double gamma, int64_t B, int64_t C) {
    for (int64_t c = 0; c < C; c++)
        slope[c] =
            P_bar[c] > 0.0f ? (float)(gamma * (log((double)P_bar[c]) + 1.0) / (double)B) : 0.0f;
}

void cpu_task_grad_rows(float *P, const float *grad_Y, const float *slope, int K, int64_t C,
                        int64_t first, int64_t n) {
    const float share = 1.0f / (float)K;
    for (int64_t b = first; b < first + n; b++) {
        const float *y = grad_Y + b * C;
        float *p = P + b * C, mean = 0.0f;
        SIMD(reduction(+ : mean))
        for (int64_t c = 0; c < C; c++) mean += p[c] * (y[c] * share + slope[c]);
        for (int64_t c = 0; c < C; c++) p[c] *= y[c] * share + slope[c] - mean;
    }
}

typedef struct {
    float *P;
    const float *grad_Y, *slope; /* slope: the entropy term, equal in every row */
    int K;
    int64_t C;
} TaskGrad;

static void grad_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const TaskGrad *g = loop;
    (void)thread;
    cpu_task_grad_rows(g->P, g->grad_Y, g->slope, g->K, g->C, first, end - first);
}

Status cpu_task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                     double gamma, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P && grad_Y && P_bar && scratch && K >= 1 && B >= 1 && C >= 1, "task_grad");
    cpu_task_slope(scratch, P_bar, gamma, B, C);
    threads_loop(q->device->pool, B, rows_run(C), grad_rows, &(TaskGrad){P, grad_Y, scratch, K, C});
    return OK;
}
