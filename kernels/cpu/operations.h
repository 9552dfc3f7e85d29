/* operations.h - the operations of one instruction set, and Adam's arithmetic, which two of them
 * share. Signatures and formulas stand in kernels/matrix.h and kernels/train.h. */
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
#define cpu_gather_linear ISA(cpu_gather_linear)
#define cpu_gather_linear_fits ISA(cpu_gather_linear_fits)
#define cpu_gather_linear_panel ISA(cpu_gather_linear_panel)
#define cpu_gather_streams ISA(cpu_gather_streams)
#define cpu_head_grad ISA(cpu_head_grad)
#define cpu_head_grad_scratch ISA(cpu_head_grad_scratch)
#define cpu_inner_scratch ISA(cpu_inner_scratch)
#define cpu_inner_steps ISA(cpu_inner_steps)
#define cpu_inner_steps_arriving ISA(cpu_inner_steps_arriving)
#define cpu_iteration ISA(cpu_iteration)
#define cpu_iteration_fits ISA(cpu_iteration_fits)
#define cpu_iteration_scratch ISA(cpu_iteration_scratch)
#define cpu_label_grad ISA(cpu_label_grad)
#define cpu_label_grad_scratch ISA(cpu_label_grad_scratch)
#define cpu_label_grad_then ISA(cpu_label_grad_then)
#define cpu_label_groups ISA(cpu_label_groups)
#define cpu_label_mean ISA(cpu_label_mean)
#define cpu_label_mean_run ISA(cpu_label_mean_run)
#define cpu_linear_grad ISA(cpu_linear_grad)
#define cpu_linear_grad_add ISA(cpu_linear_grad_add)
#define cpu_linear_grad_end ISA(cpu_linear_grad_end)
#define cpu_linear_grad_panels ISA(cpu_linear_grad_panels)
#define cpu_linear_grad_scratch ISA(cpu_linear_grad_scratch)
#define cpu_matmul ISA(cpu_matmul)
#define cpu_matmul_scratch ISA(cpu_matmul_scratch)
#define cpu_prior_ratio ISA(cpu_prior_ratio)
#define cpu_random_linear ISA(cpu_random_linear)
#define cpu_random_heads ISA(cpu_random_heads)
#define cpu_random_rows ISA(cpu_random_rows)
#define cpu_softmax ISA(cpu_softmax)
#define cpu_softmax_rows ISA(cpu_softmax_rows)
#define cpu_task_grad ISA(cpu_task_grad)
#define cpu_task_grad_rows ISA(cpu_task_grad_rows)
#define cpu_task_slope ISA(cpu_task_slope)
#define cpu_task_labels ISA(cpu_task_labels)
#define cpu_task_scratch ISA(cpu_task_scratch)
#define cpu_task_step ISA(cpu_task_step)
#define cpu_weight_norm ISA(cpu_weight_norm)
#define cpu_weight_norm_grad ISA(cpu_weight_norm_grad)

MatmulOp cpu_matmul;
MatmulScratchBytes cpu_matmul_scratch;
GatherOp cpu_gather;
/* Returns whether a batch is so large that no cache would hold it: it is written past the caches. */
bool cpu_gather_streams(const Batch *out, int64_t B);
/* A gather into `out`, and logits (B,C) = Z W^T + bias of what arrives. */
typedef struct {
    float *logits;
    const Batch *out;
    const Features *from;
    const int64_t *rows; /* (B) */
    const float *W, *bias;
    int64_t B, C;
    const void *packed; /* W as pack_weight lays it (gemm.h); few classes have none */
} GatherLinear;
/* Does both, with the bits of cpu_gather and cpu_matmul. scratch: cpu_matmul_scratch(MATMUL_NT, B, C, d) bytes, which take
 * the place of `packed`. */
Status cpu_gather_linear(Queue *q, const GatherLinear *l, void *scratch);
/* Returns whether cpu_gather_linear is served, and visits the features once: batches of float32 that are streamed, and
 * classes of which some take dot products (gemm.h), which copy and fetch on their way. */
bool cpu_gather_linear_fits(const GatherLinear *l);
/* Does so, where it fits, for samples first .. first+n, a panel of FEW_PANEL rows (gemm.h), all but for the copies: one of
 * `parts` parts is copied. `panel` serves the products that copy the others. */
typedef struct Arriving Arriving;
void cpu_gather_linear_panel(const GatherLinear *l, Arriving *panel, int64_t first, int64_t n,
                             int64_t parts);
ArgmaxOp cpu_argmax;

WeightNormOp cpu_weight_norm;
WeightNormGradOp cpu_weight_norm_grad;
SoftmaxOp cpu_softmax;
void cpu_softmax_rows(float *P, const float *logits, int64_t rows, int64_t C);
LabelMeanOp cpu_label_mean;
/* Computes elements first .. end of Y, from P (K,n). */
void cpu_label_mean_run(float *Y, const float *P, int K, int64_t n, int64_t first, int64_t end);
BatchEntropyOp cpu_batch_entropy;
int64_t cpu_batch_entropy_scratch(int64_t C);
PriorRatioOp cpu_prior_ratio;
CrossEntropyOp cpu_cross_entropy;
TaskGradOp cpu_task_grad;
LinearGradOp cpu_linear_grad;
int64_t cpu_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d);
/* cpu_linear_grad panel by panel. Panels of one group are added in order; groups differ in their memory. */
typedef struct {
    const Device *device;
    const Batch *Z;
    int64_t B, C, groups;
    void *scratch; /* cpu_linear_grad_scratch(Z->type, B, C, Z->d, Z->d) bytes */
    /* cpu_label_grad_then reads the same panels, and has fetched the first half of the next one */
    bool shared;
} LinearGradPanels;
LinearGradPanels cpu_linear_grad_panels(const Device *device, const Batch *Z, int64_t B, int64_t C,
                                        void *scratch);
/* Adds a panel of group g, samples first .. first+n, whose grad_logits are (n,C). */
void cpu_linear_grad_add(const LinearGradPanels *l, int64_t g, int64_t first, int64_t n,
                         const float *grad_logits);
/* Writes grad (linear_size) when all panels are added. */
void cpu_linear_grad_end(const LinearGradPanels *l, float *grad);
HeadGradOp cpu_head_grad;
int64_t cpu_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d);
AdamOp cpu_adam;
InnerStepsOp cpu_inner_steps;
/* Does what cpu_inner_steps does. The first step of the first space, whose batch is of float32 and has DOT_CLASSES classes
 * at most, calls `arrive` before it reads samples first .. first+n: it labels them, says where they lie, and copies the
 * first half of them; the step copies the other. */
typedef void PanelArrival(const void *context, int64_t first, int64_t n, Arriving *panel);
Status cpu_inner_steps_arriving(Queue *q, const InnerSteps *in, PanelArrival *arrive,
                                const void *context);
int64_t cpu_inner_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d);
LabelGradOp cpu_label_grad;
int64_t cpu_label_grad_scratch(DType type, int K, int64_t C, int64_t d);
/* Returns into how many groups cpu_label_grad cuts the panels of a batch: a power of two. */
int64_t cpu_label_groups(int64_t C);
/* Does what cpu_label_grad does, and calls `after` when a panel's grad_Y is complete, while its features are in cache.
 * One thread takes the panels of a group g, in order. */
typedef void AfterPanel(const void *context, int64_t g, int64_t first, int64_t n);
Status cpu_label_grad_then(Queue *q, float *loss, float *grad_Y, const InnerSteps *in,
                           AfterPanel *after, const void *context);
/* Turns rows first .. first+n of one space's P into grad_logits (cpu_task_grad). slope: as cpu_task_slope has it, (C). */
void cpu_task_grad_rows(float *P, const float *grad_Y, const float *slope, int K, int64_t C,
                        int64_t first, int64_t n);
void cpu_task_slope(float *slope, const float *P_bar, double gamma, int64_t B, int64_t C);
/* Returns whether K spaces, batch and labels are complete. The caller checks heads' moments. */
static inline bool heads_complete(const InnerSteps *in) {
    if (in->K < 1 || in->K > MAX_SPACES || !in->Y || in->B < 1 || in->C < 1) return false;
    for (int k = 0; k < in->K; k++)
        if (!batch_servable(&in->space[k].Z) || !in->space[k].head) return false;
    return true;
}
RandomLinearOp cpu_random_linear;
RandomRowsOp cpu_random_rows;
RandomHeadsOp cpu_random_heads;
TaskLabelsOp cpu_task_labels;
TaskStepOp cpu_task_step;
int64_t cpu_task_scratch(DType type, int K, int64_t B, int64_t C, int64_t d_least, int64_t d);
IterationFitsOp cpu_iteration_fits;
IterationOp cpu_iteration;
int64_t cpu_iteration_scratch(DType type, int64_t B, int64_t C, int64_t d_least, int64_t d);

/* The factors of Adam's t-th step. Bias corrections are computed in double, as in torch. */
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
