/* operations.h - the operations of one instruction set, and Adam's arithmetic, which two of them
 * share. The formulas stand in kernels/matrix.h and kernels/train.h. */
#ifndef TURTLE_KERNELS_CPU_OPERATIONS_H
#define TURTLE_KERNELS_CPU_OPERATIONS_H

#include <math.h>

#include "kernels/cpu/cpu.h"

/* the symbols that carry the set's name */
#define cpu_adam ISA(cpu_adam)
#define cpu_argmax ISA(cpu_argmax)
#define cpu_batch_entropy ISA(cpu_batch_entropy)
#define cpu_batch_entropy_scratch ISA(cpu_batch_entropy_scratch)
#define cpu_cross_entropy ISA(cpu_cross_entropy)
#define cpu_gather ISA(cpu_gather)
#define cpu_head_grad ISA(cpu_head_grad)
#define cpu_head_grad_scratch ISA(cpu_head_grad_scratch)
#define cpu_inner_scratch ISA(cpu_inner_scratch)
#define cpu_inner_steps ISA(cpu_inner_steps)
#define cpu_label_grad ISA(cpu_label_grad)
#define cpu_label_grad_scratch ISA(cpu_label_grad_scratch)
#define cpu_label_mean ISA(cpu_label_mean)
#define cpu_linear_grad ISA(cpu_linear_grad)
#define cpu_linear_grad_scratch ISA(cpu_linear_grad_scratch)
#define cpu_matmul ISA(cpu_matmul)
#define cpu_matmul_scratch ISA(cpu_matmul_scratch)
#define cpu_prior_ratio ISA(cpu_prior_ratio)
#define cpu_random_linear ISA(cpu_random_linear)
#define cpu_random_heads ISA(cpu_random_heads)
#define cpu_random_rows ISA(cpu_random_rows)
#define cpu_softmax ISA(cpu_softmax)
#define cpu_task_grad ISA(cpu_task_grad)
#define cpu_task_labels ISA(cpu_task_labels)
#define cpu_task_scratch ISA(cpu_task_scratch)
#define cpu_task_step ISA(cpu_task_step)
#define cpu_weight_norm ISA(cpu_weight_norm)
#define cpu_weight_norm_grad ISA(cpu_weight_norm_grad)

Status cpu_matmul(Queue *q, MatmulForm form, float *out, const Batch *A, const float *B,
                  const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch);
int64_t cpu_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth);
Status cpu_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows, int64_t B);
Status cpu_argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X, int64_t rows,
                  int64_t cols);

Status cpu_weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d);
Status cpu_weight_norm_grad(Queue *q, float *grad, const float *grad_linear, const float *task,
                            int64_t C, int64_t d);
Status cpu_softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C);
Status cpu_label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C);
Status cpu_batch_entropy(Queue *q, float *P_bar, float *entropy, const float *P, int K, int64_t B,
                         int64_t C, void *scratch);
int64_t cpu_batch_entropy_scratch(int64_t C);
Status cpu_prior_ratio(Queue *q, float *P_bar, const float *prior, int K, int64_t C);
Status cpu_cross_entropy(Queue *q, float *loss, float *grad_logits, float *grad_Y, bool add_grad_Y,
                         const float *logits, const float *Y, int64_t B, int64_t C, void *scratch);
Status cpu_task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                     double gamma, int64_t B, int64_t C, void *scratch);
Status cpu_linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z, int64_t B,
                       int64_t C, void *scratch);
int64_t cpu_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cpu_head_grad(Queue *q, double *loss, float *grad, const HeadGrad *in, bool add);
int64_t cpu_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cpu_adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                double lr, const int64_t *step);
Status cpu_inner_steps(Queue *q, const InnerSteps *s);
int64_t cpu_inner_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cpu_label_grad(Queue *q, float *loss, float *grad_Y, const InnerSteps *heads);
int64_t cpu_label_grad_scratch(DType type, int K, int64_t C, int64_t d);
/* Whether K spaces, batch and labels are complete; head and moments are the caller's to check. */
static inline bool heads_complete(const InnerSteps *in) {
    if (in->K < 1 || in->K > MAX_SPACES || !in->Y || in->B < 1 || in->C < 1) return false;
    for (int k = 0; k < in->K; k++)
        if (!batch_servable(&in->space[k].Z) || !in->space[k].head) return false;
    return true;
}
Status cpu_random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed, int stream,
                         int k, const int64_t *iteration);
Status cpu_random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                       const int64_t *iteration);
Status cpu_random_heads(Queue *q, const InnerSteps *heads, uint64_t seed, const int64_t *iteration);
Status cpu_task_labels(Queue *q, const TaskSteps *s);
Status cpu_task_step(Queue *q, const TaskSteps *s, const InnerSteps *heads);
int64_t cpu_task_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);

/* What Adam's t-th step multiplies with; bias corrections in double, as torch computes them. */
typedef struct {
    float step_size, root, beta1, rest1, beta2, rest2;
} AdamStep;

static inline AdamStep adam_step(double lr, int64_t steps_done) {
    const double t = (double)(steps_done + 1);
    return (AdamStep){.step_size = (float)(lr / (1.0 - pow(ADAM_BETA1, t))),
                      .root = (float)sqrt(1.0 - pow(ADAM_BETA2, t)),
                      .beta1 = (float)ADAM_BETA1,
                      .rest1 = (float)(1.0 - ADAM_BETA1),
                      .beta2 = (float)ADAM_BETA2,
                      .rest2 = (float)(1.0 - ADAM_BETA2)};
}

static inline void adam_update(AdamStep a, float *parameter, float grad, float *m1, float *m2) {
    *m1 = a.beta1 * *m1 + a.rest1 * grad;
    *m2 = a.beta2 * *m2 + a.rest2 * grad * grad;
    *parameter -= a.step_size * (*m1 / (sqrtf(*m2) / a.root + (float)ADAM_EPS));
}

#endif
