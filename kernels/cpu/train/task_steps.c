/*
 * task_steps.c - the two halves of an outer iteration around the inner one, all spaces (paper Eqs. 9, 12)
 *
 *     task_labels   P_k = softmax(theta_k(Z_k)),  Y, P_bar, entropy
 *     task_step     loss, its gradient to the logits of P_k, through weight norm, Adam
 *
 * Cost     6BdC flops per space, in the operations that both call.
 * Mapping  the shipped operations one after the other: on a CPU a call costs nothing. For few classes the gradients to
 *          heads' losses and to the task follow each other panel by panel, so that memory is read once.
 * Needs    scratch: what stands between two parts, then the most that a part needs.
 * History  B 10000, d 768, C 10, CPU time of one thread, AMD EPYC (Zen 4), gcc 12.2:
 *          v1: each operation over the whole batch. v2: one pass for both gradients: 4.6 -> 3.8 ms, whole iterations
 *          44.2 -> 42.9 (predicted 1.1 ms less, 31 MB at 27 GB/s). At C 100 two spaces do not fit the second-level
 *          cache together: nothing gained, 809 and 812, so that they keep v1.
 */
#include <string.h>

#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/operations.h"

/* The pieces of the scratch memory. */
typedef struct {
    float *linear;            /* (task_size) the weight, then the gradient of one task encoder */
    float *slope[MAX_SPACES]; /* (C) the entropy's terms (cpu_task_slope) */
    bool at_once;             /* one pass takes all gradients */
    void *grad[MAX_SPACES];   /* of one space's gradient, panel by panel; `work` unless at_once */
    void *work;               /* scratch of one part at a time */
    int64_t bytes;            /* of all pieces */
} Scratch;

/* Returns whether label_grad and every gradient cut a batch into ROW_GROUPS groups of as many rows: a pass over all of
 * them then needs one cut. Gradients are in fewer groups where a batch is small, and caches hold it, and where classes
 * are many, and products leave memory the time that it needs. */
static bool cut_alike(const DType *type, int K, int64_t B, int64_t C, int64_t d) {
    bool alike = cpu_label_groups(C) == ROW_GROUPS;
    for (int k = 0; k < K; k++)
        alike &= panel_rows(type[k], C) == panel_rows(DTYPE_F32, C) &&
                 gradient_groups(type[k], B, C, d) == ROW_GROUPS;
    return alike;
}

/* d is the largest of all spaces. */
static Scratch lay_out(void *scratch, const DType *type, int K, int64_t B, int64_t C, int64_t d,
                       int64_t work) {
    Scratch s = {.at_once = cut_alike(type, K, B, C, d)};
    Pieces pieces = {scratch, 0};
    s.linear = take_f32(&pieces, task_size(C, d));
    for (int k = 0; k < K; k++) {
        s.slope[k] = take_f32(&pieces, C);
        if (s.at_once) s.grad[k] = take(&pieces, cpu_linear_grad_scratch(type[k], B, C, d, d));
    }
    s.work = take(&pieces, work);
    for (int k = 0; !s.at_once && k < K; k++) s.grad[k] = s.work;
    s.bytes = pieces.bytes;
    return s;
}

/* Returns the bytes for spaces of which the largest has d features. */
static int64_t bytes_of(DType type, int K, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    DType types[MAX_SPACES];
    for (int k = 0; k < K; k++) types[k] = type;
    const int64_t parts[] = {cpu_matmul_scratch(MATMUL_NT, B, C, d), cpu_batch_entropy_scratch(C),
                             cpu_label_grad_scratch(type, K, C, d),
                             cpu_linear_grad_scratch(type, B, C, d_least, d)};
    int64_t work = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) work = most(work, parts[i]);
    return lay_out(NULL, types, K, B, C, d, work).bytes;
}

int64_t cpu_task_scratch(DType type, int K, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    int64_t bytes = 0;
    for (; d >= d_least; d = features_in_more_groups(type, B, C, d))
        bytes = most(bytes, bytes_of(type, K, B, C, d_least, d));
    return bytes;
}

static int64_t largest_d(const TaskSteps *s) {
    int64_t d = 0;
    for (int k = 0; k < s->K; k++) d = most(d, s->space[k].Z.d);
    return d;
}

static Scratch scratch_of(const TaskSteps *s) {
    DType types[MAX_SPACES];
    for (int k = 0; k < s->K; k++) types[k] = s->space[k].Z.type;
    return lay_out(s->scratch, types, s->K, s->B, s->C, largest_d(s), 0);
}

Status cpu_task_labels(Queue *q, const TaskSteps *s) {
    REQUIRE(q, tasks_complete(s, batch_servable), "task_labels");
    const int64_t B = s->B, C = s->C;
    const Scratch scratch = scratch_of(s);
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

/* --- the gradient ------------------------------------------------------------------------------- */

typedef struct {
    const TaskSteps *s;
    const Scratch *scratch;
    LinearGradPanels panels[MAX_SPACES];
} Pass;

/* Turns a panel's grad_Y into all spaces' grad_logits, which take the place of P, and adds their gradients. */
static void add_panel(const void *context, int64_t g, int64_t first, int64_t n) {
    const Pass *pass = context;
    const TaskSteps *s = pass->s;
    const int64_t C = s->C;
    for (int k = 0; k < s->K; k++) {
        float *P = s->P + k * s->B * C;
        cpu_task_grad_rows(P, s->Y, pass->scratch->slope[k], s->K, C, first, n);
        cpu_linear_grad_add(&pass->panels[k], g, first, n, P + first * C);
    }
}

Status cpu_task_step(Queue *q, const TaskSteps *s, const InnerSteps *heads) {
    REQUIRE(q, tasks_complete(s, batch_servable) && heads_match(s, heads), "task_step");
    const int64_t B = s->B, C = s->C;
    const Scratch scratch = scratch_of(s);
    float *grad = scratch.linear;
    InnerSteps in = *heads;
    in.Y = s->Y;
    in.scratch = scratch.work;
    Pass pass = {.s = s, .scratch = &scratch};
    for (int k = 0; scratch.at_once && k < s->K; k++) {
        cpu_task_slope(scratch.slope[k], s->P_bar + k * C, s->gamma, B, C);
        pass.panels[k] = cpu_linear_grad_panels(q->device, &s->space[k].Z, B, C, scratch.grad[k]);
        pass.panels[k].shared = true;
    }
    /* grad_Y takes the place of Y, and grad_logits that of P */
    if (scratch.at_once) cpu_label_grad_then(q, s->loss, s->Y, &in, add_panel, &pass);
    else cpu_label_grad(q, s->loss, s->Y, &in);
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *grad_logits = s->P + k * B * C;
        const int64_t d = space->Z.d;
        if (scratch.at_once) {
            cpu_linear_grad_end(&pass.panels[k], grad);
        } else {
            cpu_task_grad(q, grad_logits, s->Y, s->P_bar + k * C, s->K, s->gamma, B, C,
                          scratch.slope[k]);
            cpu_linear_grad(q, grad, grad_logits, &space->Z, B, C, scratch.grad[k]);
        }
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
