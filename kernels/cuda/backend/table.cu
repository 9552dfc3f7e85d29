/* table.cu - the operations of the CUDA backend, in the order of matrix.h, train.h, encode.h, cluster.h. */
#include "kernels/cuda/backend/operations.h"

/* Each grows with the features. */
static int64_t scratch_bytes(DType type, int K, int64_t B, int64_t C, int64_t, int64_t d) {
    const int64_t candidates[] = {cuda_inner_scratch(type, K, B, C, d),
                                  cuda_linear_grad_scratch(type, B, C, d),
                                  cuda_head_grad_scratch(type, B, C, d),
                                  cuda_label_grad_scratch(type, K, B, C, d),
                                  cuda_batch_entropy_scratch(K, B, C),
                                  cuda_cross_entropy_scratch(B),
                                  cuda_task_labels_scratch(type, K, B, C, d),
                                  cuda_task_step_scratch(type, K, B, C, d),
                                  cuda_iteration_scratch(type, K, B, C, d)};
    int64_t most = 0;
    for (const int64_t bytes : candidates)
        if (bytes > most) most = bytes;
    return most;
}

static int64_t cluster_scratch_bytes(const Device *device, int64_t N, int64_t d, int64_t C,
                                     int64_t R, int64_t L) {
    (void)device, (void)C;
    const int64_t candidates[] = {cuda_own_distances_scratch(N), cuda_weighted_scratch(N, R),
                                  cuda_seed_scratch(N, d, R, L)};
    int64_t most = 0;
    for (const int64_t bytes : candidates)
        if (bytes > most) most = bytes;
    return most;
}

static int64_t encode_scratch_bytes(const Device *device, int64_t depth, int64_t keys) {
    (void)device, (void)depth;
    return cuda_attention_scratch(keys);
}

static void encode_table(EncodeOps *encode) {
    encode->linear = cuda_linear;
    encode->conv2d = cuda_conv2d;
    encode->pack_bytes = cuda_pack_bytes;
    encode->pack = cuda_pack;
    encode->attention = cuda_attention;
    encode->layer_norm = cuda_layer_norm;
    encode->resize = cuda_resize;
    encode->pixels = cuda_pixels;
    encode->add_tokens = cuda_add_tokens;
    encode->embed = cuda_embed;
    encode->pool_tokens = cuda_pool_tokens;
    encode->avg_pool = cuda_avg_pool;
    encode->mean_tokens = cuda_mean_tokens;
    encode->normalize = cuda_normalize;
    encode->narrow[PRECISION_FP16] = encode->narrow[PRECISION_BF16] = true;
    encode->scratch_bytes = encode_scratch_bytes;
}

void cuda_table(MatrixOps *matrix, TrainOps *train, EncodeOps *encode, ClusterOps *cluster) {
    encode_table(encode);
    matrix->matmul = cuda_matmul;
    matrix->matmul_scratch_bytes = cuda_matmul_scratch;
    matrix->gather = cuda_gather;
    matrix->argmax = cuda_argmax;

    train->scratch_bytes = scratch_bytes;
    train->weight_norm = cuda_weight_norm;
    train->weight_norm_grad = cuda_weight_norm_grad;
    train->softmax = cuda_softmax;
    train->label_mean = cuda_label_mean;
    train->batch_entropy = cuda_batch_entropy;
    train->prior_ratio = cuda_prior_ratio;
    train->task_labels = cuda_task_labels;
    train->task_step = cuda_task_step;
    train->random_heads = cuda_random_heads;
    train->inner_steps = cuda_inner_steps;
    train->inner_outlook = cuda_inner_outlook;
    train->iteration_fits = cuda_iteration_fits;
    train->iteration = cuda_iteration;
    train->label_grad = cuda_label_grad;
    train->cross_entropy = cuda_cross_entropy;
    train->task_grad = cuda_task_grad;
    train->linear_grad = cuda_linear_grad;
    train->head_grad = cuda_head_grad;
    train->adam = cuda_adam;
    train->random_linear = cuda_random_linear;
    train->random_rows = cuda_random_rows;

    cluster->row_norms = cuda_row_norms;
    cluster->unit_rows = cuda_unit_rows;
    cluster->shift_rows = cuda_shift_rows;
    cluster->nearest = cuda_nearest;
    cluster->nearest_bounded = cuda_nearest_bounded;
    cluster->update_sums = cuda_update_sums;
    cluster->update_centers = cuda_update_centers;
    cluster->own_distances = cuda_own_distances;
    cluster->weighted_rows = cuda_weighted_rows;
    cluster->seed_step = cuda_seed_step;
    cluster->pick_rows = cuda_pick_rows;
    cluster->scratch_bytes = cluster_scratch_bytes;
}
