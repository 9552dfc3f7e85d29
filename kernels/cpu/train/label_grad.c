/*
 * label_grad.c - outer cross-entropies and their gradient with respect to the labels (paper Eq. 12)
 *
 *     loss[k] = CE(head_k(Z_k), Y),    grad_Y = -1/B sum_k log_softmax(head_k(Z_k))
 *
 * The heads are constant here (first order: no gradient passes through the inner loop).
 *
 * Shapes   Z_k (B,d_k), Y (B,C) in; loss (K), grad_Y (B,C) out, which may take the place of Y.
 * Cost     2BdC flops per space; 4Bd bytes per space and 8BC: logits never leave the cache.
 * Mapping  row groups over threads; in each panel space after space, so that a row of
 *          Y is read by all before it is replaced.
 * Needs    scratch (cpu_label_grad_scratch): all heads packed, two panels and K losses per group.
 * History  v1: matmul and cross_entropy over the whole batch, with logits and grad_Y of 4BC bytes
 *          each in memory: 80 MB more at B 10000, C 1000.
 *          v2: rows of few classes side by side (softmax.c: 70 -> 8 ns a row at C 10, AVX-512).
 *          v3: rows of more classes by row_math.h (whole iterations at C 100, d 768 and 1024, one thread, AVX-512: lower
 *          quartile 774 -> 768 ms).
 */
#include <string.h>

#include "kernels/cpu/gemm/row_math.h"
#include "kernels/cpu/operations.h"

typedef struct {
    int64_t rows, unit; /* of a panel, at most PANEL; of which it is a multiple */
    int64_t ld, groups;
    int64_t width;  /* classes in whole vectors */
    int64_t buffer; /* the largest panel_buffer */
    char *packed_W[MAX_SPACES];
    float *bias[MAX_SPACES]; /* (width), as row_math.h wants it */
    float *features;         /* (groups, buffer) */
    float *logits;           /* (groups, PANEL, ld) */
    float *grad;             /* (groups, PANEL, ld) */
    double *loss;            /* (groups, K) */
    int64_t bytes;           /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, int K, const InnerSpace *space, int64_t C) {
    Scratch s = {.rows = panel_rows(DTYPE_F32, C),
                 .unit = panel_unit(DTYPE_F32, C),
                 .ld = batch_row(DTYPE_F32, C),
                 .width = round_up(C, VEC_FLOATS),
                 .groups = ROW_GROUPS};
    while (s.groups > 1 && 2 * s.groups * PANEL * s.ld * (int64_t)sizeof(float) > (int64_t)8 << 20)
        s.groups /= 2; /* 8 MiB of panels at most; shapes decide, never threads */
    Pieces pieces = {scratch, 0};
    for (int k = 0; k < K; k++) {
        if (space[k].Z.type == DTYPE_BF16) s.rows = s.unit = PANEL; /* whose tiles are higher */
        s.packed_W[k] = take(&pieces, packed_bytes(space[k].Z.type, C, space[k].Z.d));
        s.bias[k] = take_f32(&pieces, s.width);
        s.buffer = most(s.buffer, panel_buffer(&space[k].Z));
    }
    s.features = take_f32(&pieces, s.groups * s.buffer);
    s.logits = take_f32(&pieces, s.groups * PANEL * s.ld);
    s.grad = take_f32(&pieces, s.groups * PANEL * s.ld);
    s.loss = take_f64(&pieces, s.groups * K);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_label_grad_scratch(DType type, int K, int64_t C, int64_t d) {
    InnerSpace space[MAX_SPACES];
    for (int k = 0; k < K; k++) space[k].Z = (Batch){.type = type, .d = d};
    return lay_out(NULL, K, space, C).bytes;
}

/* Adds -scale log_softmax(x + bias) of one row of one space to grad. Returns its cross-entropy. */
static double add_row(float *restrict grad, float *restrict x, const float *restrict y,
                      const float *restrict bias, int64_t C, int64_t width, float scale) {
    const float top = largest_with_bias(x, bias, width);
    const RowSum sum = exponentials(NULL, x, y, top, C, width);
    const float log_sum = log_f32(sum.exp), shift = top + log_sum;
    SIMD()
    for (int64_t c = 0; c < C; c++) grad[c] -= (x[c] - shift) * scale;
    return (double)(sum.mass * log_sum - sum.dot);
}

/* Does so for n rows of few classes side by side. Returns their cross-entropies in `loss`. */
static void add_lanes(float loss[LANES], float *grad, const float *logits, int64_t ld,
                      const float *Y, const float *bias, int64_t n, int64_t C, float scale) {
    Lanes x, y, out;
    float top[LANES], sum[LANES] = {0}, mass[LANES] = {0}, dot[LANES] = {0}, shift[LANES];
    rows_to_lanes(x, logits, ld, n, C);
    rows_to_lanes(y, Y, C, n, C);
    rows_to_lanes(out, grad, C, n, C);
    for (int l = 0; l < LANES; l++) top[l] = -INFINITY;
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) {
            x[c][l] += bias[c];
            top[l] = x[c][l] > top[l] ? x[c][l] : top[l];
        }
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) {
            sum[l] += exp_f32(x[c][l] - top[l]);
            dot[l] += y[c][l] * (x[c][l] - top[l]);
            mass[l] += y[c][l];
        }
    for (int l = 0; l < LANES; l++) {
        const float log_sum = log_f32(sum[l]);
        shift[l] = top[l] + log_sum;
        loss[l] = mass[l] * log_sum - dot[l];
    }
    for (int64_t c = 0; c < C; c++)
        for (int l = 0; l < LANES; l++) out[c][l] -= (x[c][l] - shift[l]) * scale;
    lanes_to_rows(grad, C, out, n, C);
}

typedef struct {
    const Device *device;
    const InnerSteps *in;
    const Scratch *s;
    float *grad_Y;
    AfterPanel *after;
    const void *context;
} LabelGrad;

/* Computes all spaces' losses, and the sum of their gradients, for samples first .. first+n of group g. */
static void run_panel(const LabelGrad *l, int64_t g, int64_t first, int64_t n) {
    const InnerSteps *in = l->in;
    const Scratch *s = l->s;
    const int64_t C = in->C;
    const float scale = 1.0f / (float)in->B;
    float *logits = s->logits + g * PANEL * s->ld, *grad = s->grad + g * PANEL * s->ld;
    double *losses = s->loss + g * in->K;
    memset(grad, 0, (size_t)(n * C) * sizeof *grad);
    for (int k = 0; k < in->K; k++) {
        const InnerSpace *space = &in->space[k];
        const int64_t d = space->Z.d;
        const Panel Z = panel_features(l->device, &space->Z, first, n, s->features + g * s->buffer);
        panel_logits(logits, s->ld, l->after ? fetching_first_half(Z) : Z, s->packed_W[k],
                     space->head, n, C, d);
        if (LANE_CLASSES > 0 && C <= LANE_CLASSES) {
            for (int64_t i = 0; i < n; i += LANES) {
                const int64_t rows = least(n - i, LANES);
                float loss[LANES];
                add_lanes(loss, grad + i * C, logits + i * s->ld, s->ld, in->Y + (first + i) * C,
                          space->head + C * d, rows, C, scale);
                for (int64_t j = 0; j < rows; j++) losses[k] += (double)loss[j];
            }
            continue;
        }
        for (int64_t i = 0; i < n; i++)
            losses[k] += add_row(grad + i * C, logits + i * s->ld, in->Y + (first + i) * C,
                                 s->bias[k], C, s->width, scale);
    }
    memcpy(l->grad_Y + first * C, grad, (size_t)(n * C) * sizeof *grad);
}

static void run_groups(const void *loop, int64_t begin, int64_t end, int thread) {
    const LabelGrad *l = loop;
    const Scratch *s = l->s;
    (void)thread;
    for (int64_t g = begin; g < end; g++) {
        const GroupRows rows = group_rows(g, s->groups, l->in->B, s->rows, s->unit);
        for (int k = 0; k < l->in->K; k++) s->loss[g * l->in->K + k] = 0.0;
        memset(s->logits + g * PANEL * s->ld, 0, (size_t)(s->rows * s->ld) * sizeof(float));
        for (int64_t p = 0; p < rows.panels; p++) {
            const int64_t first = panel_first(&rows, p), n = panel_first(&rows, p + 1) - first;
            run_panel(l, g, first, n);
            if (l->after) l->after(l->context, g, first, n);
        }
    }
}

int64_t cpu_label_groups(int64_t C) {
    return lay_out(NULL, 0, NULL, C).groups;
}

Status cpu_label_grad_then(Queue *q, float *loss, float *grad_Y, const InnerSteps *in,
                           AfterPanel *after, const void *context) {
    REQUIRE(q, loss && grad_Y && in && in->scratch && heads_complete(in), "label_grad");
    const int K = in->K;
    const int64_t B = in->B, C = in->C;
    const Scratch s = lay_out(in->scratch, K, in->space, C);
    for (int k = 0; k < K; k++) {
        const InnerSpace *space = &in->space[k];
        pack_weight(s.packed_W[k], q->device, space->Z.type, space->head, C, space->Z.d);
        bias_of_rows(s.bias[k], space->head + C * space->Z.d, C, s.width);
    }
    const LabelGrad l = {q->device, in, &s, grad_Y, after, context};
    threads_loop(q->device->pool, s.groups, 1, run_groups, &l);
    for (int k = 0; k < K; k++) {
        double total = 0.0;
        for (int64_t g = 0; g < s.groups; g++) total += s.loss[g * K + k];
        loss[k] = (float)(total / (double)B);
    }
    return OK;
}

Status cpu_label_grad(Queue *q, float *loss, float *grad_Y, const InnerSteps *in) {
    return cpu_label_grad_then(q, loss, grad_Y, in, NULL, NULL);
}
