/*
 * cross_entropy.c - CE(softmax(logits), Y) with soft labels, mean over the batch, and its gradients
 *
 *     loss = -1/B sum_b sum_c Y log_softmax(logits),  grad_logits = (softmax sum_c Y - Y)/B,
 *     grad_Y (+)= -log_softmax(logits)/B
 *
 * Cost     8BC bytes read, 4BC per gradient written.
 * Mapping  row groups over threads, a loss in double each, added in order.
 * Needs    scratch: ROW_GROUPS doubles.
 */
#include "kernels/cpu/gemm/vec_math.h"
#include "kernels/cpu/operations.h"

typedef struct {
    double *losses; /* (ROW_GROUPS) */
    float *grad_logits, *grad_Y;
    bool add_grad_Y;
    const float *logits, *Y;
    int64_t B, C;
} CrossEntropy;

/* Returns the loss of one row, and writes its gradients where they are asked for. */
static double row_loss(const CrossEntropy *in, int64_t b) {
    const int64_t C = in->C;
    const float scale = 1.0f / (float)in->B;
    const float *x = in->logits + b * C, *y = in->Y + b * C;
    float top = x[0], sum = 0.0f, mass = 0.0f, dot = 0.0f;
    SIMD(reduction(max : top))
    for (int64_t c = 0; c < C; c++) top = x[c] > top ? x[c] : top;
    SIMD(reduction(+ : sum, mass, dot))
    for (int64_t c = 0; c < C; c++) {
        sum += exp_f32(x[c] - top);
        dot += y[c] * (x[c] - top);
        mass += y[c];
    }
    const double log_sum = log((double)sum);
    if (in->grad_Y) {
        float *out = in->grad_Y + b * C;
        const float lse = top + (float)log_sum;
        for (int64_t c = 0; c < C; c++)
            out[c] = (in->add_grad_Y ? out[c] : 0.0f) - (x[c] - lse) * scale;
    }
    if (in->grad_logits) {
        float *out = in->grad_logits + b * C; /* may be x */
        const float share = scale * mass / sum;
        for (int64_t c = 0; c < C; c++) out[c] = exp_f32(x[c] - top) * share - y[c] * scale;
    }
    return (double)mass * log_sum - (double)dot;
}

static void group_losses(const void *loop, int64_t first, int64_t end, int thread) {
    const CrossEntropy *in = loop;
    (void)thread;
    for (int64_t g = first; g < end; g++) {
        double loss = 0.0;
        for (int64_t b = group_first(g, ROW_GROUPS, in->B);
             b < group_first(g + 1, ROW_GROUPS, in->B); b++)
            loss += row_loss(in, b);
        in->losses[g] = loss;
    }
}

Status cpu_cross_entropy(Queue *q, float *loss, float *grad_logits, float *grad_Y, bool add_grad_Y,
                         const float *logits, const float *Y, int64_t B, int64_t C, void *scratch) {
    REQUIRE(q, loss && logits && Y && scratch && B >= 1 && C >= 1, "cross_entropy");
    double *losses = scratch;
    const CrossEntropy in = {losses, grad_logits, grad_Y, add_grad_Y, logits, Y, B, C};
    threads_loop(q->device->pool, ROW_GROUPS, groups_run(B * C), group_losses, &in);
    double total = 0.0;
    for (int64_t g = 0; g < ROW_GROUPS; g++) total += losses[g];
    loss[0] = (float)(total / (double)B);
    return OK;
}
