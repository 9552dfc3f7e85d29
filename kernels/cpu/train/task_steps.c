/*
 * task_steps.c - the two halves of an outer iteration around the inner one, all spaces (paper Eqs. 9, 12)
 *
 *     task_labels   P_k = softmax(theta_k(Z_k)),  Y, P_bar, entropy
 *     task_step     loss, its gradient to the logits of P_k, through weight norm, Adam
 *
 * Cost     6BdC flops per space, in the operations that both call.
 * Mapping  the shipped operations one after the other: on a CPU a call costs nothing.
 * Needs    scratch: what stands between two parts, then the most that a part needs.
 */
#include <string.h>

#include "kernels/cpu/operations.h"

/* The pieces of the scratch memory. */
typedef struct {
    float *linear; /* (task_size) the weight, then the gradient of one task encoder */
    void *work;    /* scratch of one part at a time */
    int64_t bytes; /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, int64_t C, int64_t d, int64_t work) {
    Scratch s = {0};
    Pieces pieces = {scratch, 0};
    s.linear = take_f32(&pieces, task_size(C, d));
    s.work = take(&pieces, work);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_task_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    const int64_t parts[] = {cpu_matmul_scratch(MATMUL_NT, B, C, d), cpu_batch_entropy_scratch(C),
                             cpu_label_grad_scratch(type, K, C, d),
                             cpu_linear_grad_scratch(type, B, C, d),
                             C * (int64_t)sizeof(float)}; /* task_grad */
    int64_t work = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) work = most(work, parts[i]);
    return lay_out(NULL, C, d, work).bytes;
}

static int64_t largest_d(const TaskSteps *s) {
    int64_t d = 0;
    for (int k = 0; k < s->K; k++) d = most(d, s->space[k].Z.d);
    return d;
}

Status cpu_task_labels(Queue *q, const TaskSteps *s) {
    REQUIRE(q, tasks_complete(s, batch_servable), "task_labels");
    const int64_t B = s->B, C = s->C;
    const Scratch scratch = lay_out(s->scratch, C, largest_d(s), 0);
    float *W = scratch.linear;
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *P = s->P + k * B * C;
        const int64_t d = space->Z.d;
        cpu_weight_norm(q, W, space->task, C, d);
        cpu_matmul(q, MATMUL_NT, P, &space->Z, W, space->task + C * d, B, C, d, scratch.work);
        cpu_softmax(q, P, P, B, C);
    }
    cpu_label_mean(q, s->Y, s->P, s->K, B, C);
    return cpu_batch_entropy(q, s->P_bar, s->entropy, s->P, s->K, B, C, scratch.work);
}

Status cpu_task_step(Queue *q, const TaskSteps *s, const InnerSteps *heads) {
    REQUIRE(q, tasks_complete(s, batch_servable) && heads_match(s, heads), "task_step");
    const int64_t B = s->B, C = s->C;
    const Scratch scratch = lay_out(s->scratch, C, largest_d(s), 0);
    float *grad = scratch.linear;
    InnerSteps in = *heads;
    in.Y = s->Y;
    in.scratch = scratch.work;
    cpu_label_grad(q, s->loss, s->Y, &in); /* grad_Y takes the place of Y */
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *grad_logits = s->P + k * B * C; /* takes the place of P_k */
        const int64_t d = space->Z.d;
        cpu_task_grad(q, grad_logits, s->Y, s->P_bar + k * C, s->K, s->gamma, B, C, scratch.work);
        cpu_linear_grad(q, grad, grad_logits, &space->Z, B, C, scratch.work);
        cpu_weight_norm_grad(q, grad, grad, space->task, C, d);
        cpu_adam(q, space->task, grad, space->m1, space->m2, task_size(C, d), s->lr, s->step);
    }
    return q->status;
}

Status cpu_random_heads(Queue *q, const InnerSteps *heads, uint64_t seed,
                        const int64_t *iteration) {
    REQUIRE(q, heads_drawable(heads) && iteration, "random_heads");
    for (int k = 0; k < heads->K; k++) {
        const InnerSpace *space = &heads->space[k];
        const size_t bytes = (size_t)linear_size(heads->C, space->Z.d) * sizeof(float);
        cpu_random_linear(q, space->head, heads->C, space->Z.d, seed, PHILOX_HEAD, k, iteration);
        memset(space->m1, 0, bytes);
        memset(space->m2, 0, bytes);
    }
    return q->status;
}
