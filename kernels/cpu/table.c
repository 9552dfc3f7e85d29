/* table.c - the operations of one instruction set, in the order of kernels/matrix.h and train.h. */
#include "kernels/cpu/cluster/cluster.h"
#include "kernels/cpu/encode/encode.h"
#include "kernels/cpu/operations.h"

static int64_t scratch_bytes(DType type, int K, int64_t B, int64_t C, int64_t d_least, int64_t d) {
    const int64_t candidates[] = {cpu_inner_scratch(type, B, C, d_least, d),
                                  cpu_linear_grad_scratch(type, B, C, d_least, d),
                                  cpu_head_grad_scratch(type, B, C, d_least, d),
                                  cpu_label_grad_scratch(type, K, C, d),
                                  cpu_task_scratch(type, K, B, C, d_least, d),
                                  cpu_iteration_scratch(type, B, C, d_least, d),
                                  cpu_batch_entropy_scratch(C),
                                  ROW_GROUPS * (int64_t)sizeof(double), /* cross_entropy */
                                  C * (int64_t)sizeof(float)};          /* task_grad */
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        bytes = most(bytes, candidates[i]);
    return bytes;
}

static int64_t cluster_scratch_bytes(const Device *device, int64_t N, int64_t d, int64_t C,
                                     int64_t R, int64_t L) {
    const int64_t candidates[] = {cpu_nearest_scratch(device, C, d), cpu_update_sums_scratch(N, C),
                                  cpu_weighted_scratch(N, R), cpu_seed_scratch(N, d, R * L),
                                  ROW_GROUPS * (int64_t)sizeof(double)}; /* own_distances */
    int64_t bytes = 0;
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++)
        bytes = most(bytes, candidates[i]);
    return bytes;
}

void ISA(cpu_table)(MatrixOps *matrix, TrainOps *train, EncodeOps *encode, ClusterOps *cluster) {
    *matrix = (MatrixOps){.matmul = cpu_matmul,
                          .matmul_scratch_bytes = cpu_matmul_scratch,
                          .gather = cpu_gather,
                          .argmax = cpu_argmax};
    *train = (TrainOps){.scratch_bytes = scratch_bytes,
                        .weight_norm = cpu_weight_norm,
                        .weight_norm_grad = cpu_weight_norm_grad,
                        .softmax = cpu_softmax,
                        .label_mean = cpu_label_mean,
                        .batch_entropy = cpu_batch_entropy,
                        .prior_ratio = cpu_prior_ratio,
                        .task_labels = cpu_task_labels,
                        .task_step = cpu_task_step,
                        .random_heads = cpu_random_heads,
                        .inner_steps = cpu_inner_steps,
                        .iteration_fits = cpu_iteration_fits,
                        .iteration = cpu_iteration,
                        .label_grad = cpu_label_grad,
                        .cross_entropy = cpu_cross_entropy,
                        .task_grad = cpu_task_grad,
                        .linear_grad = cpu_linear_grad,
                        .head_grad = cpu_head_grad,
                        .adam = cpu_adam,
                        .random_linear = cpu_random_linear,
                        .random_rows = cpu_random_rows};
    *encode = (EncodeOps){.linear = cpu_linear,
                          .conv2d = cpu_conv2d,
                          .attention = cpu_attention,
                          .layer_norm = cpu_layer_norm,
                          .pixels = cpu_pixels,
                          .add_tokens = cpu_add_tokens,
                          .embed = cpu_embed,
                          .pool_tokens = cpu_pool_tokens,
                          .avg_pool = cpu_avg_pool,
                          .mean_tokens = cpu_mean_tokens,
                          .normalize = cpu_normalize,
                          .pack_bytes = cpu_pack_bytes,
                          .pack = cpu_pack,
                          .narrow = {[PRECISION_BF16] = true},
                          .scratch_bytes = cpu_encode_scratch};
    *cluster = (ClusterOps){.row_norms = cpu_row_norms,
                            .unit_rows = cpu_unit_rows,
                            .shift_rows = cpu_shift_rows,
                            .nearest = cpu_nearest,
                            .nearest_bounded = cpu_nearest_bounded,
                            .update_sums = cpu_update_sums,
                            .update_centers = cpu_update_centers,
                            .own_distances = cpu_own_distances,
                            .weighted_rows = cpu_weighted_rows,
                            .seed_step = cpu_seed_step,
                            .pick_rows = cpu_pick_rows,
                            .scratch_bytes = cluster_scratch_bytes};
}
