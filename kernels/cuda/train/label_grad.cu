/*
 * label_grad.cu - outer cross-entropies and their gradient with respect to the labels (Eq. 12)
 *
 *     loss[k] = CE(head_k(Z_k), Y),   grad_Y = -1/B sum_k log_softmax(head_k(Z_k))
 *
 * Shapes   Z_k (B,d_k), Y (B,C) in; loss (K), grad_Y (B,C) out, which may take the place of Y.
 * Cost     2BdC flops per space; 4BC bytes of logits written and read once per space, Y once.
 * Mapping  matmul and cross_entropy, space after space. The gradients are added up beside Y; the sum
 *          then takes the place of Y.
 * Needs    scratch (cuda_label_grad_scratch).
 */
#include "kernels/cuda/backend/operations.h"

struct LabelGradScratch {
    float *logits, *sum;
    void *work;
    int64_t bytes;
};
static LabelGradScratch lay_out(void *scratch, int64_t B, int64_t C, int64_t d) {
    LabelGradScratch s = {};
    Pieces pieces = {scratch, 0};
    s.logits = take_f32(&pieces, B * C);
    s.sum = take_f32(&pieces, B * C);
    s.work =
        take(&pieces, most(cuda_matmul_scratch(MATMUL_NT, B, C, d), cuda_cross_entropy_scratch(B)));
    s.bytes = pieces.bytes;
    return s;
}
int64_t cuda_label_grad_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    (void)type, (void)K;
    return lay_out(NULL, B, C, d).bytes;
}

Status cuda_label_grad(Queue *q, float *loss, float *grad_Y, const InnerSteps *in) {
    REQUIRE(q, loss && grad_Y && in && in->K >= 1 && in->K <= MAX_SPACES && in->Y && in->scratch,
            "label_grad");
    const int64_t B = in->B, C = in->C;
    LabelGradScratch s = {};
    for (int k = 0; k < in->K; k++) {
        const InnerSpace *space = &in->space[k];
        REQUIRE(q, batch_servable(&space->Z) && space->head, "label_grad");
        const int64_t d = space->Z.d;
        s = lay_out(in->scratch, B, C, d);
        cuda_matmul(q, MATMUL_NT, s.logits, &space->Z, space->head, space->head + C * d, B, C, d,
                    s.work);
        cuda_cross_entropy(q, loss + k, NULL, s.sum, k > 0, s.logits, in->Y, B, C, s.work);
    }
    if (q->status != OK) return q->status;
    const cudaError_t error = cudaMemcpyAsync(grad_Y, s.sum, (size_t)(B * C) * sizeof(float),
                                              cudaMemcpyDeviceToDevice, q->stream);
    return error == cudaSuccess ? OK : cuda_queue_error(q, "label_grad", error);
}
