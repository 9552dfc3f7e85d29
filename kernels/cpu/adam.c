/*
 * adam.c - one Adam step of n parameters (Kingma & Ba 2015, as torch.optim.Adam)
 *
 *     m1 = b1 m1 + (1-b1) g,  m2 = b2 m2 + (1-b2) g^2,
 *     p -= lr/(1-b1^t) m1 / (sqrt(m2)/sqrt(1-b2^t) + eps)
 *
 * Cost     28n bytes, 10 flops per parameter with one division and one root: memory bound.
 * Mapping  parameters over threads, in vectors.
 */
#include "operations.h"

Status cpu_adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                double lr, const int64_t *step) {
    REQUIRE(q, parameters && grad && m1 && m2 && step && n >= 1, "adam");
    const AdamStep a = adam_step(lr, *step);
    PARALLEL_FOR(simd num_threads(q->device->threads) schedule(static, ELEMENT_RUN))
    for (int64_t i = 0; i < n; i++) adam_update(a, parameters + i, grad[i], m1 + i, m2 + i);
    return OK;
}
