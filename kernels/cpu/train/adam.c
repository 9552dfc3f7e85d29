/*
 * adam.c - one Adam step of n parameters (Kingma & Ba 2015, as torch.optim.Adam)
 *
 *     m1 = b1 m1 + (1-b1) g,  m2 = b2 m2 + (1-b2) g^2,
 *     p -= lr/(1-b1^t) m1 / (sqrt(m2)/sqrt(1-b2^t) + eps)
 *
 * Cost     28n bytes, 10 flops per parameter with one division and one root: memory bound.
 * Mapping  parameters over threads, in vectors.
 */
#include "kernels/cpu/operations.h"

typedef struct {
    AdamStep step;
    float *parameters, *m1, *m2;
    const float *grad;
} Adam;

static void update(const void *loop, int64_t first, int64_t end, int thread) {
    const Adam *a = loop;
    const AdamStep step = a->step;
    float *parameters = a->parameters, *m1 = a->m1, *m2 = a->m2;
    const float *grad = a->grad;
    (void)thread;
    SIMD()
    for (int64_t i = first; i < end; i++)
        adam_update(step, parameters + i, grad[i], m1 + i, m2 + i);
}

Status cpu_adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                double lr, const int64_t *step) {
    REQUIRE(q, parameters && grad && m1 && m2 && step && n >= 1, "adam");
    const Adam a = {adam_step(lr, *step), parameters, m1, m2, grad};
    threads_loop(q->device->pool, n, LOOP_RUN, update, &a);
    return OK;
}
