/*
 * linear_grad.c - gradient of a linear layer: grad_W = R^T Z, grad_bias = column sums of R
 *
 * Shapes   R (B,C), Z (B,d) in; grad (C,d) then (C) out.
 * Cost     2BCd flops; 4Bd bytes of Z once, the private gradients stay in cache.
 * Mapping  rows cut into groups with a private gradient each (gemm.h), groups over threads; within
 *          a group panel after panel; the groups are added in order.
 * Needs    scratch: groups * linear_size(C,d) floats.
 */
#include <string.h>

#include "gemm.h"
#include "operations.h"

Status cpu_linear_grad(Queue *q, float *grad, const float *grad_logits, const float *Z, int64_t B,
                       int64_t C, int64_t d, void *scratch) {
    REQUIRE(q, grad && grad_logits && Z && scratch && B >= 1 && C >= 1 && d >= 1, "linear_grad");
    const int64_t groups = gradient_groups(B, C, d), n = linear_size(C, d);
    const int64_t panels = (B + PANEL - 1) / PANEL;
    float *partial = scratch;
    PARALLEL_FOR(num_threads(q->device->threads) schedule(dynamic))
    for (int64_t g = 0; g < groups; g++) {
        float *own = partial + g * n;
        memset(own, 0, (size_t)n * sizeof *own);
        for (int64_t p = group_first(g, groups, panels); p < group_first(g + 1, groups, panels);
             p++) {
            const int64_t first = p * PANEL, rows = B - first < PANEL ? B - first : PANEL;
            panel_gradient(own, grad_logits + first * C, C, Z + first * d, rows, C, d);
        }
    }
    PARALLEL_FOR(simd num_threads(q->device->threads) schedule(static, ELEMENT_RUN))
    for (int64_t i = 0; i < n; i++) {
        float sum = partial[i];
        for (int64_t g = 1; g < groups; g++) sum += partial[g * n + i];
        grad[i] = sum;
    }
    return OK;
}

int64_t cpu_linear_grad_scratch(int64_t B, int64_t C, int64_t d) {
    return gradient_groups(B, C, d) * linear_size(C, d) * (int64_t)sizeof(float);
}
