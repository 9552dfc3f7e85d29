/*
 * linear_grad.c - gradient of a linear layer: grad_W = R^T Z, grad_bias = column sums of R
 *
 * Shapes   R (B,C), Z (B,d) in; grad (C,d) then (C) out.
 * Cost     2BCd flops; 4Bd bytes of Z once, the private gradients stay in cache.
 * Mapping  rows cut into groups with a private gradient each (gemm.h), groups over threads; within
 *          a group panel after panel; the groups are added in order.
 * Needs    scratch: groups * linear_size(C,d) floats.
 */
#include "kernels/cpu/gemm/gemm.h"
#include "kernels/cpu/operations.h"

/* The pieces of the scratch memory. */
typedef struct {
    int64_t groups;
    float *grad;     /* (groups, linear_size) */
    float *features; /* (groups, panel_buffer) */
    char *residual;  /* (groups, residual_bytes) */
    int64_t bytes; /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, const Batch *Z, int64_t B, int64_t C) {
    Scratch s = {.groups = gradient_groups(Z->type, B, C, Z->d)};
    Pieces pieces = {scratch, 0};
    s.grad = take_f32(&pieces, s.groups * linear_size(C, Z->d));
    s.features = take_f32(&pieces, s.groups * panel_buffer(Z));
    s.residual = take(&pieces, s.groups * residual_bytes(Z->type, C));
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d) {
    return lay_out(NULL, &(Batch){.type = type, .d = d}, B, C).bytes;
}

typedef struct {
    const Device *device;
    const Scratch *s;
    float *grad;
    const float *grad_logits;
    const Batch *Z;
    int64_t B, C;
} LinearGrad;

static void run_groups(const void *loop, int64_t first_group, int64_t end_group, int thread) {
    const LinearGrad *l = loop;
    const Scratch *s = l->s;
    const Batch *Z = l->Z;
    const int64_t B = l->B, C = l->C, n = linear_size(C, Z->d), height = panel_rows(Z->type),
                  panels = ceil_div(B, height);
    (void)thread;
    for (int64_t g = first_group; g < end_group; g++) {
        float *own = s->grad + g * n;
        const int64_t begin = group_first(g, s->groups, panels),
                      end = group_first(g + 1, s->groups, panels);
        for (int64_t p = begin; p < end; p++) {
            const int64_t first = p * height, rows = least(B - first, height);
            panel_gradient(
                own, p > begin, l->grad_logits + first * C, C,
                panel_features(l->device, Z, first, rows, s->features + g * panel_buffer(Z)), rows,
                C, Z->d, s->residual + g * residual_bytes(Z->type, C));
        }
    }
}

/* Passes are runs of elements. */
static void add_groups(const void *loop, int64_t begin, int64_t end, int thread) {
    const LinearGrad *l = loop;
    const int64_t n = linear_size(l->C, l->Z->d);
    (void)thread;
    for (int64_t first = begin * ELEMENT_RUN; first < end * ELEMENT_RUN && first < n;
         first += ELEMENT_RUN)
        sum_groups(l->grad + first, l->s->grad, l->s->groups, n, first,
                   least(n - first, ELEMENT_RUN));
}

Status cpu_linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z, int64_t B,
                       int64_t C, void *scratch) {
    REQUIRE(q, grad && grad_logits && batch_servable(Z) && scratch && B >= 1 && C >= 1,
            "linear_grad");
    const Scratch s = lay_out(scratch, Z, B, C);
    const LinearGrad l = {q->device, &s, grad, grad_logits, Z, B, C};
    threads_loop(q->device->pool, s.groups, 1, run_groups, &l);
    threads_loop(q->device->pool, element_runs(linear_size(C, Z->d)),
                 rows_run(ELEMENT_RUN * s.groups), add_groups, &l);
    return OK;
}
