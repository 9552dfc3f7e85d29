/* operations.h - the launchers of the operations: one .cu each, in the order of matrix.h, train.h,
 * cluster.h; table.cu puts them into the table that ops_open returns. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_OPERATIONS_H
#define TURTLE_KERNELS_CUDA_BACKEND_OPERATIONS_H

#include "kernels/cuda/backend/cuda.h"

extern "C" {
Status cuda_matmul(Queue *q, MatmulForm form, float *out, const Batch *A, const float *B,
                   const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch);
int64_t cuda_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth);
Status cuda_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows, int64_t B);
Status cuda_argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X,
                   int64_t rows, int64_t cols);

Status cuda_weight_norm(Queue *q, float *W, const float *task, int64_t C, int64_t d);
Status cuda_weight_norm_grad(Queue *q, float *grad, const float *grad_linear, const float *task,
                             int64_t C, int64_t d);
Status cuda_softmax(Queue *q, float *P, const float *logits, int64_t rows, int64_t C);
Status cuda_label_mean(Queue *q, float *Y, const float *P, int K, int64_t B, int64_t C);
Status cuda_batch_entropy(Queue *q, float *P_bar, float *entropy, const float *P, int K, int64_t B,
                          int64_t C, void *scratch);
int64_t cuda_batch_entropy_scratch(int K, int64_t B, int64_t C);
/* batch_entropy and label_mean in one launch, with the scratch of batch_entropy; Y may be NULL. */
Status cuda_batch_labels(Queue *q, float *Y, float *P_bar, float *entropy, const float *P, int K,
                         int64_t B, int64_t C, void *scratch);
Status cuda_task_labels(Queue *q, const TaskSteps *tasks);
Status cuda_task_step(Queue *q, const TaskSteps *tasks, const InnerSteps *heads);
int64_t cuda_task_labels_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
int64_t cuda_task_step_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
bool cuda_iteration_fits(const Device *device, const InnerSteps *heads);
Status cuda_iteration(Queue *q, const TaskSteps *tasks, const InnerSteps *heads,
                      const Features *from, const int64_t *rows, const float *prior);
int64_t cuda_iteration_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cuda_prior_ratio(Queue *q, float *P_bar, const float *prior, int K, int64_t C);
Status cuda_cross_entropy(Queue *q, float *loss, float *grad_logits, float *grad_Y, bool add_grad_Y,
                          const float *logits, const float *Y, int64_t B, int64_t C, void *scratch);
int64_t cuda_cross_entropy_scratch(int64_t B);
Status cuda_task_grad(Queue *q, float *P, const float *grad_Y, const float *P_bar, int K,
                      double gamma, int64_t B, int64_t C, void *scratch);
Status cuda_linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z, int64_t B,
                        int64_t C, void *scratch);
int64_t cuda_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cuda_head_grad(Queue *q, double *loss, float *grad, const HeadGrad *in, bool add);
int64_t cuda_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
Status cuda_adam(Queue *q, float *parameters, const float *grad, float *m1, float *m2, int64_t n,
                 double lr, const int64_t *step);
Status cuda_inner_steps(Queue *q, const InnerSteps *in);
InnerOutlook cuda_inner_outlook(const Device *device, const InnerSteps *in);
int64_t cuda_inner_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
Status cuda_label_grad(Queue *q, float *loss, float *grad_Y, const InnerSteps *heads);
int64_t cuda_label_grad_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
Status cuda_random_linear(Queue *q, float *head, int64_t C, int64_t d, uint64_t seed, int stream,
                          int k, const int64_t *iteration);
Status cuda_random_heads(Queue *q, const InnerSteps *heads, uint64_t seed,
                         const int64_t *iteration);
Status cuda_random_rows(Queue *q, int64_t *rows, int64_t B, int64_t N, uint64_t seed,
                        const int64_t *iteration);

Status cuda_row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N);
Status cuda_unit_rows(Queue *q, const Batch *Z, int64_t N);
Status cuda_shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N);
Status cuda_nearest(Queue *q, int32_t *label, float *first, float *second, const Samples *s,
                    const Centers *centers, void *scratch);
Status cuda_nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh, const Samples *s,
                            const Centers *centers, void *scratch);
Status cuda_update_sums(Queue *q, double *sums, int64_t *count, int32_t *before, bool fresh,
                        const int32_t *label, const Samples *s, int64_t C, double grid,
                        void *scratch);
Status cuda_update_centers(Queue *q, const Centers *centers, double *shift2, const double *sums,
                           const int64_t *count, int64_t d, bool spherical);
Status cuda_own_distances(Queue *q, float *distance2, double *inertia, const int32_t *label,
                          const Samples *s, const Centers *centers, void *scratch);
int64_t cuda_own_distances_scratch(int64_t N);
Status cuda_weighted_rows(Queue *q, int64_t *rows, const float *weight, int64_t N, int64_t R,
                          int64_t L, uint64_t seed, int64_t first, int64_t step, void *scratch);
int64_t cuda_weighted_scratch(int64_t N, int64_t R);
Status cuda_seed_step(Queue *q, int64_t *chosen, int64_t stride, float *closest, bool fresh,
                      const int64_t *rows, const Samples *s, int64_t R, int64_t L, void *scratch);
int64_t cuda_seed_scratch(int64_t N, int64_t d, int64_t R, int64_t L);
Status cuda_pick_rows(Queue *q, const Centers *centers, const int64_t *rows, const Samples *s);
}

/* Returns whether the kernels can read a batch: its type is one of theirs, and rows of 16-bit elements are
 * aligned to 16 bytes. */
static inline bool batch_servable(const Batch *Z) {
    if (!Z || !Z->data || Z->d < 1 || Z->row < Z->d) return false;
    if (Z->exponent != 0 && Z->type != DTYPE_F16) return false;
    if (Z->type == DTYPE_F32) return true;
    return !Z->tf32 && (Z->type == DTYPE_F16 || Z->type == DTYPE_BF16) && Z->row % 8 == 0 &&
           (uintptr_t)Z->data % 16 == 0;
}

#endif
