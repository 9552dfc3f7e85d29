/*
 * batch_entropy.c - P_bar = mean over the batch of P, entropy of P_bar (paper Eq. 12)
 *
 *     entropy = -sum_c P_bar ln P_bar,  0 ln 0 = 0
 *
 * It is the entropy of the mean label, not the mean of the entropies.
 *
 * Cost     4KBC bytes read once.
 * Mapping  row groups over threads, their sums in double, added in order.
 * Needs    scratch: ROW_GROUPS * C doubles.
 */
#include "kernels/cpu/operations.h"

int64_t cpu_batch_entropy_scratch(int64_t C) {
    return ROW_GROUPS * C * (int64_t)sizeof(double);
}

/* Computes sums[c] over rows first .. last, in double. */
static void column_sums(double *restrict sums, const float *restrict P, int64_t first, int64_t last,
                        int64_t C) {
    for (int64_t c = 0; c < C; c++) sums[c] = 0.0;
    for (int64_t b = first; b < last; b++) {
        const float *row = P + b * C;
        SIMD()
        for (int64_t c = 0; c < C; c++) sums[c] += (double)row[c];
    }
}

typedef struct {
    double *sums; /* (ROW_GROUPS,C) */
    const float *P;
    int64_t B, C;
} Columns;

static void sum_groups_of_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Columns *s = loop;
    (void)thread;
    for (int64_t g = first; g < end; g++)
        column_sums(s->sums + g * s->C, s->P, group_first(g, ROW_GROUPS, s->B),
                    group_first(g + 1, ROW_GROUPS, s->B), s->C);
}

Status cpu_batch_entropy(Queue *q, float *P_bar, float *entropy, const float *P, int K, int64_t B,
                         int64_t C, void *scratch) {
    REQUIRE(q, P_bar && entropy && P && scratch && K >= 1 && B >= 1 && C >= 1, "batch_entropy");
    double *sums = scratch;
    for (int k = 0; k < K; k++) {
        const Columns s = {sums, P + k * B * C, B, C};
        threads_loop(q->device->pool, ROW_GROUPS, groups_run(B * C), sum_groups_of_rows, &s);
        double H = 0.0;
        for (int64_t c = 0; c < C; c++) {
            double sum = 0.0;
            for (int64_t g = 0; g < ROW_GROUPS; g++) sum += sums[g * C + c];
            const double p = sum / (double)B;
            P_bar[k * C + c] = (float)p;
            if (p > 0.0) H -= p * log(p); /* 0 ln 0 = 0 */
        }
        entropy[k] = (float)H;
    }
    return OK;
}
