/*
 * softmax.c - P[r,:] = softmax(logits[r,:]), and Y = 1/K sum_k P_k (paper Eq. 9)
 *
 * Cost     8 rows C bytes; (4K + 4)BC bytes. About 20 flops per exp.
 * Mapping  rows over threads, classes in vectors.
 */
#include "operations.h"
#include "vec_math.h"

Status cpu_softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C) {
    REQUIRE(q, P && logits && rows >= 1 && C >= 1, "softmax");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t r = 0; r < rows; r++) {
        const float *x = logits + r * C;
        float *p = P + r * C, top = x[0], sum = 0.0f; /* p may be x */
        SIMD(reduction(max : top))
        for (int64_t c = 0; c < C; c++) top = x[c] > top ? x[c] : top;
        SIMD(reduction(+ : sum))
        for (int64_t c = 0; c < C; c++) {
            p[c] = exp_f32(x[c] - top); /* the maximum taken out: exp cannot overflow */
            sum += p[c];
        }
        const float scale = 1.0f / sum; /* sum >= 1: the maximum's own term */
        for (int64_t c = 0; c < C; c++) p[c] *= scale;
    }
    return OK;
}

Status cpu_label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C) {
    REQUIRE(q, Y && P && K >= 1 && B >= 1 && C >= 1, "label_mean");
    const float share = 1.0f / (float)K;
    PARALLEL_FOR(simd num_threads(q->device->threads) schedule(static, ELEMENT_RUN))
    for (int64_t i = 0; i < B * C; i++) {
        float sum = P[i];
        for (int k = 1; k < K; k++) sum += P[k * B * C + i];
        Y[i] = sum * share;
    }
    return OK;
}
