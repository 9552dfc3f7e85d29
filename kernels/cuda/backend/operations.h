/* operations.h - the launchers of the operations: one .cu each, in the order of matrix.h, train.h,
 * encode.h, cluster.h, encode.h, which have their signatures; table.cu puts them into the table that ops_open returns. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_OPERATIONS_H
#define TURTLE_KERNELS_CUDA_BACKEND_OPERATIONS_H

#include "kernels/cuda/backend/cuda.h"

extern "C" {
MatmulOp cuda_matmul;
MatmulScratchBytes cuda_matmul_scratch;
GatherOp cuda_gather;
ArgmaxOp cuda_argmax;

WeightNormOp cuda_weight_norm;
WeightNormGradOp cuda_weight_norm_grad;
SoftmaxOp cuda_softmax;
LabelMeanOp cuda_label_mean;
BatchEntropyOp cuda_batch_entropy;
int64_t cuda_batch_entropy_scratch(int K, int64_t B, int64_t C);
/* batch_entropy and label_mean in one launch, with the scratch of batch_entropy; Y may be NULL. */
Status cuda_batch_labels(Queue *q, float *Y, float *P_bar, float *entropy, const float *P, int K,
                         int64_t B, int64_t C, void *scratch);
TaskLabelsOp cuda_task_labels;
TaskStepOp cuda_task_step;
int64_t cuda_task_labels_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
int64_t cuda_task_step_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
IterationFitsOp cuda_iteration_fits;
IterationOp cuda_iteration;
int64_t cuda_iteration_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
PriorRatioOp cuda_prior_ratio;
CrossEntropyOp cuda_cross_entropy;
int64_t cuda_cross_entropy_scratch(int64_t B);
TaskGradOp cuda_task_grad;
LinearGradOp cuda_linear_grad;
int64_t cuda_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
HeadGradOp cuda_head_grad;
int64_t cuda_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d);
AdamOp cuda_adam;
InnerStepsOp cuda_inner_steps;
InnerOutlookOp cuda_inner_outlook;
int64_t cuda_inner_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
LabelGradOp cuda_label_grad;
int64_t cuda_label_grad_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
RandomLinearOp cuda_random_linear;
RandomHeadsOp cuda_random_heads;
RandomRowsOp cuda_random_rows;

RowNormsOp cuda_row_norms;
UnitRowsOp cuda_unit_rows;
ShiftRowsOp cuda_shift_rows;
NearestOp cuda_nearest;
NearestBoundedOp cuda_nearest_bounded;
UpdateSumsOp cuda_update_sums;
UpdateCentersOp cuda_update_centers;
OwnDistancesOp cuda_own_distances;
int64_t cuda_own_distances_scratch(int64_t N);
WeightedRowsOp cuda_weighted_rows;
int64_t cuda_weighted_scratch(int64_t N, int64_t R);
SeedStepOp cuda_seed_step;
int64_t cuda_seed_scratch(int64_t N, int64_t d, int64_t R, int64_t L);
PickRowsOp cuda_pick_rows;

int64_t cuda_pack_bytes(const Weight *w);
PackOp cuda_pack;
LinearOp cuda_linear; /* it and cuda_conv2d need a packed weight, and no scratch */
Conv2dOp cuda_conv2d;
AttentionOp cuda_attention;
int64_t cuda_attention_scratch(int64_t keys);
LayerNormOp cuda_layer_norm;
ResizeOp cuda_resize;
PixelsOp cuda_pixels;
AddTokensOp cuda_add_tokens;
EmbedOp cuda_embed;
PoolTokensOp cuda_pool_tokens;
AvgPoolOp cuda_avg_pool;
MeanTokensOp cuda_mean_tokens;
NormalizeOp cuda_normalize;
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
