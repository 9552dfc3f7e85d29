/*
 * task_grad.c - gradient of the outer loss with respect to one space's task logits (paper Eq. 12)
 *
 *     q = grad_Y/K + gamma (ln P_bar + 1)/B,    grad_logits = P (q - sum_c P q), in place of P
 *
 * The first term reaches P through Y, of which it is 1/K; the second is the gradient of
 * -gamma H(P_bar). Where P_bar is exactly 0, so is P in every row, and P ln P_bar has the limit 0.
 *
 * Cost     12BC bytes.
 * Mapping  rows over threads.
 * Needs    scratch: C floats.
 */
#include "operations.h"

Status cpu_task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                     double gamma, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, P && grad_Y && P_bar && scratch && K >= 1 && B >= 1 && C >= 1, "task_grad");
    const float share = 1.0f / (float)K;
    float *slope = scratch; /* of the entropy term, the same in every row */
    for (int64_t c = 0; c < C; c++)
        slope[c] =
            P_bar[c] > 0.0f ? (float)(gamma * (log((double)P_bar[c]) + 1.0) / (double)B) : 0.0f;
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) {
        const float *y = grad_Y + b * C;
        float *p = P + b * C, mean = 0.0f;
        SIMD(reduction(+ : mean))
        for (int64_t c = 0; c < C; c++) mean += p[c] * (y[c] * share + slope[c]);
        for (int64_t c = 0; c < C; c++) p[c] *= y[c] * share + slope[c] - mean;
    }
    return OK;
}
