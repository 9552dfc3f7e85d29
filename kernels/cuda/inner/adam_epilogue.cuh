/* adam_epilogue.cuh - Adam behind the gradient's sums: the epilogue of gradient.cuh and wide_gradient.cuh
 * in the inner loop. */
#ifndef TURTLE_KERNELS_CUDA_INNER_ADAM_EPILOGUE_CUH
#define TURTLE_KERNELS_CUDA_INNER_ADAM_EPILOGUE_CUH

#include "kernels/cuda/tile/gemm.cuh"
#include "kernels/cuda/train/adam.cuh"

/* One step of Adam for every element of the gradient's sums. */
template <class T> struct AdamEpilogue {
    struct {
        float *head, *m1, *m2;
        typename T::Element *operand; /* (C, stride) the rounded W, or NULL */
        int64_t stride;
        float unit;                 /* the operand is W times this power of two */
        const double *loss_partial; /* (loss_blocks) */
    } space[MAX_SPACES];
    int K;
    const int64_t *step; /* (1) steps done before the call */
    double lr;
    float *losses; /* (M) losses before each step, or NULL */
    int64_t loss_blocks;
    double loss_scale;

    /* Bias corrections take a power in double: once per block, through shared memory. begin() ends with a
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
    /* Parameters and moments of N neighbours, 1 or 4, loaded before their gradient is known. */
    template <int N> struct Held {
        float w[N], a[N], b[N];
    };
    template <int N>
    __device__ __forceinline__ void load(int k, int64_t i, Held<N> &x) const {
        const auto &s = space[k];
        load_few(x.w, s.head + i);
        load_few(x.a, s.m1 + i);
        load_few(x.b, s.m2 + i);
    }
    /* One step for features j to j + N - 1 of class c, or for its bias (j = d): elements i to i + N - 1. */
    template <int N>
    __device__ __forceinline__ void finish(int k, int64_t c, int64_t j, int64_t d, int64_t i,
                                           Held<N> &x, const float (&grad)[N]) const {
        const auto &s = space[k];
        const AdamStep step = *shared();
        UNROLL
        for (int e = 0; e < N; e++) adam_update(step, x.w[e], grad[e], x.a[e], x.b[e]);
        store_few(s.head + i, x.w);
        store_few(s.m1 + i, x.a);
        store_few(s.m2 + i, x.b);
        if (!s.operand || j >= d) return;
        typename T::Element *operand = s.operand + c * s.stride + j;
        if constexpr (N == 4)
            *(uint2 *)operand = make_uint2(pair_of<T>(x.w[0] * s.unit, x.w[1] * s.unit),
                                           pair_of<T>(x.w[2] * s.unit, x.w[3] * s.unit));
        else
            *operand = from_float<T>(x.w[0] * s.unit);
    }
    /* Whether rows of d parameters are whole fours, at addresses of 16 bytes. */
    __device__ __forceinline__ bool in_fours(int k, int64_t d) const {
        const auto &s = space[k];
        return d % 4 == 0 && ((uintptr_t)s.head | (uintptr_t)s.m1 | (uintptr_t)s.m2) % 16 == 0;
    }
    /* Writes the loss before this step. A warp of one block adds the losses of all blocks of rows. */
    __device__ __forceinline__ void write_loss(int64_t m) const {
        double sum = 0.0;
        NO_UNROLL
        for (int k = 0; k < K; k++)
            NO_UNROLL
            for (int i = (int)threadIdx.x % WARP; i < (int)loss_blocks; i += WARP)
                sum += space[k].loss_partial[i];
        sum = warp_sum(sum);
        if (threadIdx.x % WARP == 0) losses[m] = (float)(sum * loss_scale);
    }
    __device__ void end(int64_t m) const {
        if (losses && blockIdx.x == 0 && threadIdx.x < WARP) write_loss(m);
    }
};

#endif
