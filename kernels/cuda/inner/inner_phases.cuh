/* inner_phases.cuh - the two phases of a step of the inner loop as the fused tier and the persistent kernels
 * share them: their arguments for all spaces, and the rounded heads that the first step multiplies. */
#ifndef TURTLE_KERNELS_CUDA_INNER_INNER_PHASES_CUH
#define TURTLE_KERNELS_CUDA_INNER_INNER_PHASES_CUH

#include "kernels/cuda/inner/adam_epilogue.cuh"
#include "kernels/cuda/train/linear_scratch.cuh"

/* Both phases of a step, for all spaces. */
template <class T> struct InnerPhases {
    Residual<T> residual;
    Gradient<T> gradient;
    AdamEpilogue<T> adam;
};

/* Returns the arguments but for the tiles' layout (gradient_plan) and what changes from step to step. The caller
 * rounds W first. */
template <class T> InnerPhases<T> inner_phases(const InnerSteps *in, const FusedScratch &scratch) {
    const int64_t B = in->B, C = in->C;
    constexpr bool rounded = sizeof(typename T::Element) == 2;
    InnerPhases<T> p = {};
    p.residual.B = p.gradient.B = B;
    p.residual.C = p.gradient.C = C;
    p.residual.stride = round_up(C, 8);
    p.residual.Y = in->Y;
    p.residual.residual_scale = residual_scale<T>();
    p.gradient.scale = 1.0f / (residual_scale<T>() * (float)B);
    p.gradient.K = p.adam.K = in->K;
    p.adam.step = in->step;
    p.adam.lr = in->lr;
    p.adam.losses = in->losses;
    p.adam.loss_blocks = logit_blocks(B);
    p.adam.loss_scale = 1.0 / (double)B;
    for (int k = 0; k < in->K; k++) {
        const InnerSpace *space = &in->space[k];
        const auto &piece = scratch.space[k];
        const int64_t d = space->Z.d, stride = rounded ? round_up(d, 8) : d;
        auto *W = (typename T::Element *)piece.W, *R = (typename T::Element *)piece.R;
        p.residual.space[k] = {view<T>(space->Z.data, space->Z.row, B, d),
                               view<T>(rounded ? (const void *)W : space->head, stride, C, d),
                               space->head + C * d,
                               R,
                               piece.logits,
                               piece.loss_partial};
        p.gradient.space[k].R = view<T>(R, p.residual.stride, B, C);
        p.gradient.space[k].Z = p.residual.space[k].Z;
        p.gradient.space[k].d = d;
        p.gradient.space[k].unit = batch_unit(&space->Z);
        p.adam.space[k] = {space->head,        space->m1, space->m2,
                           rounded ? W : NULL, stride,    batch_unit(&space->Z),
                           piece.loss_partial};
    }
    return p;
}

/* Rounds W for the products of the first step. */
template <class T> __device__ void round_heads(const InnerPhases<T> &p) {
    if constexpr (sizeof(typename T::Element) == 2) {
        const int64_t step = (int64_t)gridDim.x * blockDim.x;
        for (int k = 0; k < p.adam.K; k++) {
            const auto &f = p.adam.space[k];
            const int64_t d = p.gradient.space[k].d, n = p.gradient.C * f.stride;
            for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
                const int64_t j = i % f.stride;
                f.operand[i] = j < d ? T::from(f.head[i / f.stride * d + j] * f.unit) : (uint16_t)0;
            }
        }
    }
}

#endif
