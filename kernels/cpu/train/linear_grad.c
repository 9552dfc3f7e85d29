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
    int64_t bytes;   /* of all pieces */
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

int64_t cpu_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    int64_t bytes = 0;
    for (; d >= d_least; d = features_in_more_groups(type, B, C, d))
        bytes = most(bytes, lay_out(NULL, &(Batch){.type = type, .d = d}, B, C).bytes);
    return bytes;
}

LinearGradPanels cpu_linear_grad_panels(const Device *device, const Batch *Z, int64_t B, int64_t C,
                                        void *scratch) {
    return (LinearGradPanels){device,  Z,    B, C, gradient_groups(Z->type, B, C, Z->d),
                              scratch, false};
}

static GroupRows rows_of(const LinearGradPanels *l, int64_t g) {
    const DType type = l->Z->type;
    return group_rows(g, l->groups, l->B, panel_rows(type, l->C), panel_unit(type, l->C));
}

void cpu_linear_grad_add(const LinearGradPanels *l, int64_t g, int64_t first, int64_t n,
                         const float *grad_logits) {
    const Batch *Z = l->Z;
    const Scratch s = lay_out(l->scratch, Z, l->B, l->C);
    const GroupRows rows = rows_of(l, g);
    const Panel panel = panel_features(l->device, Z, first, n, s.features + g * panel_buffer(Z));
    panel_gradient(s.grad + g * linear_size(l->C, Z->d), first > panel_first(&rows, 0), grad_logits,
                   l->C, l->shared ? fetching_second_half(panel) : panel, n, l->C, Z->d,
                   s.residual + g * residual_bytes(Z->type, l->C));
}

typedef struct {
    const LinearGradPanels *l;
    const Scratch *s;
    float *grad;
    const float *grad_logits;
} LinearGrad;

static void run_groups(const void *loop, int64_t first_group, int64_t end_group, int thread) {
    const LinearGrad *in = loop;
    const LinearGradPanels *l = in->l;
    (void)thread;
    for (int64_t g = first_group; g < end_group; g++) {
        const GroupRows rows = rows_of(l, g);
        for (int64_t p = 0; p < rows.panels; p++) {
            const int64_t first = panel_first(&rows, p), n = panel_first(&rows, p + 1) - first;
            cpu_linear_grad_add(l, g, first, n, in->grad_logits + first * l->C);
        }
    }
}

/* Passes are runs of elements. */
static void add_groups(const void *loop, int64_t begin, int64_t end, int thread) {
    const LinearGrad *in = loop;
    const int64_t n = linear_size(in->l->C, in->l->Z->d);
    (void)thread;
    for (int64_t first = begin * ELEMENT_RUN; first < end * ELEMENT_RUN && first < n;
         first += ELEMENT_RUN)
        sum_groups(in->grad + first, in->s->grad, in->s->groups, n, first,
                   least(n - first, ELEMENT_RUN));
}

void cpu_linear_grad_end(const LinearGradPanels *l, float *grad) {
    const Scratch s = lay_out(l->scratch, l->Z, l->B, l->C);
    threads_loop(l->device->pool, element_runs(linear_size(l->C, l->Z->d)),
                 rows_run(ELEMENT_RUN * s.groups), add_groups, &(LinearGrad){l, &s, grad, NULL});
}

Status cpu_linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z, int64_t B,
                       int64_t C, void *scratch) {
    REQUIRE(q, grad && grad_logits && batch_servable(Z) && scratch && B >= 1 && C >= 1,
            "linear_grad");
    const LinearGradPanels l = cpu_linear_grad_panels(q->device, Z, B, C, scratch);
    threads_loop(q->device->pool, l.groups, 1, run_groups,
                 &(LinearGrad){&l, NULL, NULL, grad_logits});
    cpu_linear_grad_end(&l, grad);
    return OK;
}
