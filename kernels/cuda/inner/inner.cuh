/*
 * inner.cuh - what the fused and the persistent inner loop share: Adam behind the gradient's sums,
 * scratch memory, and the arguments of both phases
 */
#ifndef TURTLE_KERNELS_CUDA_INNER_INNER_CUH
#define TURTLE_KERNELS_CUDA_INNER_INNER_CUH

#include <type_traits>

extern "C" {
#include "kernels/plan/plan.h"
}
#include "kernels/cuda/train/adam.cuh"
#include "kernels/cuda/train/gradient.cuh"
#include "kernels/cuda/train/residual.cuh"
#include "kernels/cuda/train/wide_gradient.cuh"

/* What becomes of the gradient's sums: one step of Adam, element by element. */
template <class T> struct AdamFinish {
    struct {
        float *head, *m1, *m2;
        typename T::Element *operand; /* (C, stride) the rounded W, or NULL */
        int64_t stride;
        float unit;                 /* the operand is W times it */
        const double *loss_partial; /* (loss_blocks) */
    } space[MAX_SPACES];
    int K;
    const int64_t *step; /* done before the call */
    double lr;
    float *losses; /* (M) before each step, or NULL */
    int64_t loss_blocks;
    double loss_scale;

    /* Bias corrections take a power in double: once per block, through shared memory. Ends with a
     * barrier. */
    static __device__ AdamStep *shared() {
        return shared_mem<AdamStep>(0);
    }
    __device__ void prepare(int64_t m) const {
        if (threadIdx.x == 0) *shared() = adam_step(lr, *step + m);
    }
    __device__ void begin(int64_t m) const {
        prepare(m);
        __syncthreads();
    }
    __device__ void operator()(int k, int64_t c, int64_t j, int64_t d, int64_t i,
                               float grad) const {
        const auto &s = space[k];
        float w = s.head[i], a = s.m1[i], b = s.m2[i];
        adam_update(*shared(), w, grad, a, b);
        s.head[i] = w, s.m1[i] = a, s.m2[i] = b;
        if (s.operand && j < d) s.operand[c * s.stride + j] = from_float<T>(w * s.unit);
    }
    /* The loss before this step: the first block's first warp adds what the rows' blocks left. */
    __device__ void end(int64_t m) const {
        if (!losses || blockIdx.x != 0 || threadIdx.x >= WARP) return;
        double sum = 0.0;
        for (int k = 0; k < K; k++)
            for (int64_t i = threadIdx.x; i < loss_blocks; i += WARP)
                sum += space[k].loss_partial[i];
        sum = warp_sum(sum);
        if (threadIdx.x == 0) losses[m] = (float)(sum * loss_scale);
    }
};

struct FusedScratch {
    struct {
        char *W, *R;
        float *logits;
        double *loss_partial;
    } space[MAX_SPACES];
    void *gradient;
    unsigned *arrived; /* of the persistent kernel's barrier */
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
        s.space[k].logits = take_f32(&pieces, C > ResidualTile128::COLS ? B * C : 0);
        s.space[k].loss_partial = take_f64(&pieces, residual_blocks(B));
    }
    s.arrived = take_u32(&pieces, 1);
    s.gradient = take(&pieces, any_gradient_scratch(type, K, B, C, d));
    s.bytes = pieces.bytes;
    return s;
}

/* What float16 residuals, which lie in [-1, 1], are multiplied by. */
template <class T> __host__ __device__ constexpr float residual_scale() {
    return std::is_same<T, Fp16>::value ? 32768.0f : 1.0f;
}

/* Both phases of a step, all spaces. */
template <class T> struct InnerPhases {
    Residual<T> residual;
    Gradient<T> gradient;
    AdamFinish<T> finish;
};

/* Fills everything but the tiles' layout (gradient_plan) and what changes from step to step. The
 * rounded copies of W are the caller's to make first. */
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
    p.gradient.K = p.finish.K = in->K;
    p.finish.step = in->step;
    p.finish.lr = in->lr;
    p.finish.losses = in->losses;
    p.finish.loss_blocks = residual_blocks(B);
    p.finish.loss_scale = 1.0 / (double)B;
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
        p.finish.space[k] = {space->head,        space->m1, space->m2,
                             rounded ? W : NULL, stride,    batch_unit(&space->Z),
                             piece.loss_partial};
    }
    return p;
}

/* The rounded copies of W that the first step multiplies. */
template <class T> __device__ void round_heads(const InnerPhases<T> &p) {
    if constexpr (sizeof(typename T::Element) == 2) {
        const int64_t step = (int64_t)gridDim.x * blockDim.x;
        for (int k = 0; k < p.finish.K; k++) {
            const auto &f = p.finish.space[k];
            const int64_t d = p.gradient.space[k].d, n = p.gradient.C * f.stride;
            for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) {
                const int64_t j = i % f.stride;
                f.operand[i] = j < d ? T::from(f.head[i / f.stride * d + j] * f.unit) : (uint16_t)0;
            }
        }
    }
}

inline int64_t largest_d(const InnerSteps *in) {
    int64_t d = 0;
    for (int k = 0; k < in->K; k++) d = in->space[k].Z.d > d ? in->space[k].Z.d : d;
    return d;
}

/* inner_mega.cu: the layout of such steps on the device. */
Status inner_plan(Plan *out, const Device *device, const InnerSteps *in, Error *err);
/* inner_slab.cu: the persistent kernel for few classes, for a plan that says PLAN_SLAB. */
int64_t slab_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
Status slab_steps(Queue *q, const InnerSteps *in, const Plan &plan);
/* inner_wgmma.cu: the one for many classes, for PLAN_WGMMA. It serves sizes of 32 bits, on devices that hold
 * a cluster: how many at once, 0 where it is none. */
bool wide_sizes(const InnerSteps *in);
int wide_clusters(const Plan &plan);
Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan);

#endif
