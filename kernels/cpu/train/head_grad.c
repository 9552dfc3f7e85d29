/*
 * head_grad.c - cross-entropy of a linear head against hard labels, summed over the rows, and its
 *               gradient: what logistic regression minimises (host/score/logreg.c)
 *
 *     logits = Z W^T + b,    R = softmax(logits) - onehot(y),
 *     loss = sum_b -log softmax(logits_b)[y_b],    grad = (R^T Z, column sums of R)
 *
 * Shapes   Z (B,d), y (B), head (C,d) then (C) in; loss (1), grad like head out.
 * Cost     4BCd flops and one pass over Z, as a step of inner_steps.c, whose pieces serve here: a
 *          panel's logits become its residual and its gradient while the panel is in cache, and
 *          neither logits nor labels of (B,C) exist.
 * Mapping  rows cut into groups with a private gradient each, groups over threads; groups are added
 *          in order.
 * Needs    scratch (cpu_head_grad_scratch). Same bits for any number of threads.
 *
 * The label's own class is left out of the sum of exponentials: its residual p - 1 is minus the
 * others' share, and the loss of a row that is well classified is log(1 + their sum), both without
 * cancellation. Near a minimum that separates the classes the difference is all that is left.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/gemm/row_math.h"
#include "kernels/cpu/operations.h"

/* The pieces of the scratch memory. */
typedef struct {
    int64_t groups, ld, width; /* width: classes in whole vectors; ld: floats between rows */
    char *packed_W;            /* as pack_weight lays it */
    float *bias;               /* (width), -1e30 beyond C: those classes get probability 0 */
    float *grad;               /* (groups, linear_size) */
    float *features;           /* (groups, panel_buffer) */
    float *logits;             /* (groups, panel_rows, ld) */
    char *residual;            /* (groups, residual_bytes) */
    double *loss;              /* (groups) */
    int64_t bytes;             /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, const Batch *Z, int64_t B, int64_t C) {
    Scratch s = {.groups = gradient_groups(Z->type, B, C, Z->d),
                 .ld = batch_row(DTYPE_F32, C),
                 .width = round_up(C, VEC_FLOATS)};
    Pieces pieces = {scratch, 0};
    s.packed_W = take(&pieces, packed_bytes(Z->type, C, Z->d));
    s.bias = take_f32(&pieces, s.width);
    s.grad = take_f32(&pieces, s.groups * linear_size(C, Z->d));
    s.features = take_f32(&pieces, s.groups * panel_buffer(Z));
    s.logits = take_f32(&pieces, s.groups * panel_rows(Z->type, C) * s.ld);
    s.residual = take(&pieces, s.groups * residual_bytes(Z->type, C));
    s.loss = take_f64(&pieces, s.groups);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    int64_t bytes = 0;
    for (; d >= d_least; d = features_in_more_groups(type, B, C, d))
        bytes = most(bytes, lay_out(NULL, &(Batch){.type = type, .d = d}, B, C).bytes);
    return bytes;
}

/* A row's cross-entropy is log(1 + beyond) - below. */
typedef struct {
    float beyond[BF16_PANEL]; /* sum_c exp(x_c - top) - 1 */
    float below[BF16_PANEL];  /* x_y - top */
} RowLosses;

/* Turns the logits of row i (without bias) into its residual. */
static void residual_row(RowLosses *losses, int64_t i, float *restrict x, int32_t y,
                         const float *restrict bias, int64_t width) {
    const float top = largest_with_bias(x, bias, width), below = x[y] - top, own = exp_f32(below);
    x[y] = -1e30f; /* exp: 0 */
    const float others = exponentials(x, x, NULL, top, width, width).exp;
    const float share = 1.0f / (others + own);
    SIMD()
    for (int64_t c = 0; c < width; c++) x[c] *= share;
    x[y] = -others * share;
    losses->beyond[i] = others + (own - 1.0f); /* own is 1, or others holds the 1 of the top */
    losses->below[i] = below;
}

static double cross_entropy_sum(const RowLosses *s, int64_t n) {
    double loss = 0.0;
    SIMD(reduction(+ : loss))
    for (int64_t i = 0; i < n; i++) loss += (double)(log1p_f32(s->beyond[i]) - s->below[i]);
    return loss;
}

/* Computes the gradient and loss of one group of panels. */
static void run_group(const Device *device, const HeadGrad *in, const Scratch *s, int64_t g) {
    const Batch *Z = &in->Z;
    const int64_t C = in->C, height = panel_rows(Z->type, C);
    const GroupRows rows = group_rows(g, s->groups, in->B, height, panel_unit(Z->type, C));
    float *grad = s->grad + g * linear_size(C, Z->d), *logits = s->logits + g * height * s->ld;
    double loss = 0.0;
    RowLosses losses;
    memset(logits, 0, (size_t)(height * s->ld) * sizeof *logits);
    for (int64_t p = 0; p < rows.panels; p++) {
        const int64_t first = panel_first(&rows, p), n = panel_first(&rows, p + 1) - first;
        const Panel panel = panel_features(device, Z, first, n, s->features + g * panel_buffer(Z));
        panel_logits(logits, s->ld, panel, s->packed_W, in->head, n, C, Z->d);
        for (int64_t i = 0; i < n; i++)
            residual_row(&losses, i, logits + i * s->ld, in->y[first + i], s->bias, s->width);
        loss += cross_entropy_sum(&losses, n);
        panel_gradient(grad, p > 0, logits, s->ld, panel, n, C, Z->d,
                       s->residual + g * residual_bytes(Z->type, C));
    }
    s->loss[g] = loss;
}

typedef struct {
    const Device *device;
    const HeadGrad *in;
    const Scratch *s;
    float *grad;
    bool add;
} Gradient;

static void run_groups(const void *loop, int64_t first, int64_t end, int thread) {
    const Gradient *l = loop;
    (void)thread;
    for (int64_t g = first; g < end; g++) run_group(l->device, l->in, l->s, g);
}

/* Passes are runs of elements. */
static void add_groups(const void *loop, int64_t begin, int64_t end, int thread) {
    const Gradient *l = loop;
    const Scratch *s = l->s;
    const int64_t size = linear_size(l->in->C, l->in->Z.d);
    (void)thread;
    for (int64_t first = begin * ELEMENT_RUN; first < end * ELEMENT_RUN && first < size;
         first += ELEMENT_RUN) {
        float run[ELEMENT_RUN], *grad = l->grad + first;
        const int64_t n = least(size - first, ELEMENT_RUN);
        const bool add = l->add;
        sum_groups(run, s->grad, s->groups, size, first, n);
        SIMD()
        for (int64_t i = 0; i < n; i++) grad[i] = add ? grad[i] + run[i] : run[i];
    }
}

static bool classes_in_range(const HeadGrad *in) {
    bool ok = true;
    for (int64_t b = 0; b < in->B; b++) ok &= in->y[b] >= 0 && in->y[b] < in->C;
    return ok;
}

Status cpu_head_grad(Queue *q, double *loss, float *grad, const HeadGrad *in, bool add) {
    REQUIRE(q, loss && grad && in && batch_servable(&in->Z) && in->y && in->head && in->scratch,
            "head_grad");
    REQUIRE(q, in->B >= 1 && in->C >= 1 && classes_in_range(in), "head_grad");
    Threads *pool = q->device->pool;
    const int64_t C = in->C, d = in->Z.d;
    const Scratch s = lay_out(in->scratch, &in->Z, in->B, C);
    const Gradient l = {q->device, in, &s, grad, add};
    pack_weight(s.packed_W, q->device, in->Z.type, in->head, C, d);
    bias_of_rows(s.bias, in->head + C * d, C, s.width);
    threads_loop(pool, s.groups, 1, run_groups, &l);
    double sum = add ? loss[0] : 0.0;
    for (int64_t g = 0; g < s.groups; g++) sum += s.loss[g];
    loss[0] = sum;
    threads_loop(pool, element_runs(linear_size(C, d)), rows_run(ELEMENT_RUN * s.groups),
                 add_groups, &l);
    return OK;
}
