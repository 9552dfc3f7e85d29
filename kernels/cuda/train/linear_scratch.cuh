/* linear_scratch.cuh - scratch memory of a linear layer's two phases (residual.cuh, then gradient.cuh or
 * wide_gradient.cuh): what lies between them. */
#ifndef TURTLE_KERNELS_CUDA_TRAIN_LINEAR_SCRATCH_CUH
#define TURTLE_KERNELS_CUDA_TRAIN_LINEAR_SCRATCH_CUH

#include "kernels/cuda/train/residual.cuh"
#include "kernels/cuda/train/wide_gradient.cuh"

struct FusedScratch {
    struct {
        char *W, *R;
        float *logits;
        double *loss_partial;
    } space[MAX_SPACES];
    void *gradient;
    float *mass;       /* (B) sums of the rows of Y, where blocks split the classes */
    unsigned *arrived; /* counter of the persistent kernel's barrier */
    int64_t bytes;
};
inline FusedScratch lay_out_fused(void *scratch, DType type, int K, int64_t B, int64_t C,
                                  int64_t d) {
    FusedScratch s = {};
    const int size = dtype_bytes(type);
    Pieces pieces = {scratch, 0};
    for (int k = 0; k < K; k++) {
        s.space[k].W = (char *)take(&pieces, type == DTYPE_F32 ? 0 : converted_bytes(C, d));
        s.space[k].R = (char *)take(&pieces, B * round_up(C, 8) * size);
        s.space[k].logits = take_f32(&pieces, C > LOGIT_MOST_COLS ? B * C : 0);
        s.space[k].loss_partial = take_f64(&pieces, most_losses(B));
    }
    s.mass = take_f32(&pieces, C > LOGIT_MOST_COLS ? B : 0);
    s.arrived = take_u32(&pieces, 1);
    s.gradient = take(&pieces, any_gradient_scratch(type, K, B, C, d));
    s.bytes = pieces.bytes;
    return s;
}

#endif
