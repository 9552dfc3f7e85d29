/*
 * prior_ratio.c - P_bar / pi: the batch-mean label beside the expected one (Eq. 12 with a prior)
 *
 * Cost     8KC bytes.
 */
#include "kernels/cpu/operations.h"

Status cpu_prior_ratio(Queue *q, float *P_bar, const float *prior, int K, int64_t C) {
    REQUIRE(q, P_bar && prior && K >= 1 && C >= 1, "prior_ratio");
    for (int k = 0; k < K; k++)
        for (int64_t c = 0; c < C; c++) P_bar[k * C + c] /= prior[c];
    return OK;
}
