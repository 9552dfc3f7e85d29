/*
 * softmax.c - P[r,:] = softmax(logits[r,:]), and Y = 1/K sum_k P_k (paper Eq. 9)
 *
 * Cost     8 rows C bytes; (4K + 4)BC bytes. About 20 flops per exp.
 * Mapping  rows over threads, classes in vectors (row_math.h); of few classes, rows in vectors (gemm.h, Lanes).
 * History  ns a row of 100 and 1000 classes, AVX-512, one thread of an AMD EPYC (Zen 4), gcc 12.2:
 *          v1: loops that the compiler turns into vectors: 82 and 432.
 *          v2: row_math.h, as residuals have it (predicted 45 and 330): 41 and 360.
 */
#include <string.h>

#include "kernels/cpu/gemm/row_math.h"
#include "kernels/cpu/operations.h"

typedef struct {
    float *P;
    const float *logits;
    int64_t C;
} Softmax;

/* Computes n rows of few classes side by side. */
static void softmax_lanes(float *P, const float *logits, int64_t n, int64_t C) {
    Lanes x;
    float top[LANES], sum[LANES] = {0};
    rows_to_lanes(x, logits, C, n, C);
    memcpy(top, x[0], sizeof top);
    for (int64_t c = 1; c < C; c++)
        for (int l = 0; l < LANES; l++) top[l] = x[c][l] > top[l] ? x[c][l] : top[l];
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) {
            x[c][l] = exp_f32(x[c][l] - top[l]);
            sum[l] += x[c][l];
        }
    for (int l = 0; l < LANES; l++) sum[l] = 1.0f / sum[l];
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) x[c][l] *= sum[l];
    lanes_to_rows(P, C, x, n, C);
}

void cpu_softmax_rows(float *P, const float *logits, int64_t rows, int64_t C) {
    if (LANE_CLASSES > 0 && C <= LANE_CLASSES) {
        for (int64_t r = 0; r < rows; r += LANES)
            softmax_lanes(P + r * C, logits + r * C, least(rows - r, LANES), C);
        return;
    }
    for (int64_t r = 0; r < rows; r++) softmax_row(P + r * C, logits + r * C, C);
}

static void softmax_run(const void *loop, int64_t first, int64_t end, int thread) {
    const Softmax *s = loop;
    (void)thread;
    cpu_softmax_rows(s->P + first * s->C, s->logits + first * s->C, end - first, s->C);
}

Status cpu_softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C) {
    REQUIRE(q, P && logits && rows >= 1 && C >= 1, "softmax");
    threads_loop(q->device->pool, rows, rows_run(C), softmax_run, &(Softmax){P, logits, C});
    return OK;
}

typedef struct {
    float *Y;
    const float *P;
    int K;
    int64_t n; /* elements of Y */
} LabelMean;

void cpu_label_mean_run(float *Y, const float *P, int K, int64_t n, int64_t first, int64_t end) {
    const float share = 1.0f / (float)K;
    SIMD()
    for (int64_t i = first; i < end; i++) {
        float sum = P[i];
        for (int k = 1; k < K; k++) sum += P[k * n + i];
        Y[i] = sum * share;
    }
}

static void average(const void *loop, int64_t first, int64_t end, int thread) {
    const LabelMean *m = loop;
    (void)thread;
    cpu_label_mean_run(m->Y, m->P, m->K, m->n, first, end);
}

Status cpu_label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C) {
    REQUIRE(q, Y && P && K >= 1 && B >= 1 && C >= 1, "label_mean");
    threads_loop(q->device->pool, B * C, LOOP_RUN, average, &(LabelMean){Y, P, K, B * C});
    return OK;
}
