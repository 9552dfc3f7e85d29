/*
 * slab_outer.cuh - the outer halves of an iteration on rows that stay: labels before the heads, task step behind them
 *
 * slab_steps.cuh has the visits and the heads' steps, iteration_slab.cu the order, cost and pictures.
 */
#ifndef TURTLE_KERNELS_CUDA_INNER_SLAB_OUTER_CUH
#define TURTLE_KERNELS_CUDA_INNER_SLAB_OUTER_CUH

#include "kernels/cuda/inner/slab_steps.cuh"
#include "kernels/cuda/train/residual_scale.cuh"
#include "kernels/cuda/train/task_adam.cuh"

template <class T> struct SlabIteration {
    Slab<T> inner;
    struct {
        float *task, *task_m1, *task_m2;
        float *Y; /* (B,C) labels; every space has a copy, which only its CTAs read and write */
        float *columns; /* (count, C) sums of P over a CTA's rows */
        float *grad;    /* (linear_size) */
    } space[PLAN_MAX_SPACES];
    const int64_t *task_step;
    double task_lr;
    float weight; /* gamma/B */
    const float *prior;
    float *P, *L; /* (K,B,C) labels and log-probabilities of each space; unused with one */
    float *P_bar, *entropy, *loss; /* (K,C), (K), (K) */
    unsigned *arrived;             /* counter of the barrier of all CTAs, zero at the start */
};
static_assert(sizeof(SlabIteration<Fp16>) <= 4096, "a kernel has 4 KB of parameters");

/* --- labels ----------------------------------------------------------------------------------- */

/* Puts W = g v/|v|, rounded, and the bias into shared memory; a warp has a class at a time. */
template <class T>
__device__ void task_weights(const SlabSpace<T> &space, const float *task, int C) {
    using Element = typename T::Element;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP,
              across = space.strips * SLAB_FRAGMENT;
    Element *W = shared_mem<Element>(0);
    for (int c = warp; c < C; c += SLAB_WARPS) {
        const float *v = task + c * space.d;
        double square = 0.0;
        for (int i = lane; i < space.d; i += WARP) square += (double)v[i] * (double)v[i];
        const float scale = (float)((double)task[C * space.d + C + c] / sqrt(warp_sum(square)));
        for (int i = lane; i < across; i += WARP)
            W[c * space.stride + i] =
                i < space.d ? T::from(scale * v[i] * space.unit) : (uint16_t)0;
    }
    if ((int)threadIdx.x < C)
        shared_mem<SlabSmall>(space.at_small)->bias[threadIdx.x] = task[C * space.d + threadIdx.x];
}

/* The epilogue that makes labels of logits. */
template <class T, int CT> struct LabelEpilogue {
    float *P;             /* (B,C) */
    float column[CT / 2]; /* sums of labels over this lane's rows */

    __device__ __forceinline__ void load(const SlabCta<T, CT> &, int64_t) {}
    __device__ __forceinline__ void apply(const SlabCta<T, CT> &s, int bands, int64_t b,
                                          bool has_row, typename T::Element *) {
        if (!has_row) return;
        float x[CT / 2], sum = 0.0f;
        const float top = row_logits<T, CT>(s.space, s.C, bands, x);
        UNROLL
        for (int i = 0; i < CT / 2; i++) {
            x[i] = expf(x[i] - top); /* 0 beyond C */
            sum += x[i];
        }
        const float scale = 1.0f / group_sum<2>(sum);
        UNROLL
        for (int i = 0; i < CT / 2; i++) {
            const int c = SlabLabels<CT>::class_of(i);
            if (b >= s.B || c >= s.C) continue;
            P[b * s.C + c] = x[i] * scale;
            column[i] += x[i] * scale;
        }
    }
    /* Stores the sums of the CTA's columns (C): over the lanes of a class, then over warps in order. */
    __device__ __forceinline__ void store(const SlabCta<T, CT> &s, float *columns) {
        const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
        float *sums = shared_mem<float>(s.space.at_logits); /* (SLAB_WARPS, CT) */
        UNROLL
        for (int i = 0; i < CT / 2; i++) {
            UNROLL
            for (int with = 2; with < WARP; with *= 2)
                column[i] += __shfl_xor_sync(ALL_LANES, column[i], with);
            if (lane < 2) sums[warp * CT + SlabLabels<CT>::class_of(i)] = column[i];
        }
        __syncthreads();
        if ((int)threadIdx.x >= s.C) return;
        float sum = 0.0f;
        for (int w = 0; w < SLAB_WARPS; w++) sum += sums[w * CT + threadIdx.x];
        columns[threadIdx.x] = sum;
    }
};

/* --- between spaces --------------------------------------------------------------------------- */

/* Stores the mean over spaces of X (K,B,C) in the CTA's own rows of `mean` (B,C), when all CTAs have met behind
 * X. Begins and ends with a barrier of the CTA. */
template <class T, int CT>
__device__ void mean_of_spaces(const SlabCta<T, CT> &s, float *mean, const float *X, int K) {
    constexpr int AT_ONCE = 4; /* elements of a thread that are under way together */
    const int64_t all = s.B * s.C, begin = s.rows.first * s.C;
    const int64_t wanted = begin + (int64_t)s.rows.have * s.C, past = wanted < all ? wanted : all;
    const float share = 1.0f / (float)K;
    __syncthreads();
    for (int64_t e = begin + threadIdx.x; e < past; e += AT_ONCE * SLAB_THREADS) {
        float sum[AT_ONCE] = {};
        for (int k = 0; k < K; k++) {
            UNROLL
            for (int i = 0; i < AT_ONCE; i++)
                if (e + i * SLAB_THREADS < past) sum[i] += X[k * all + e + i * SLAB_THREADS];
        }
        UNROLL
        for (int i = 0; i < AT_ONCE; i++)
            if (e + i * SLAB_THREADS < past) mean[e + i * SLAB_THREADS] = sum[i] * share;
    }
    __syncthreads();
}

/* --- outer gradient --------------------------------------------------------------------------- */

/* Finds the slopes of a space's entropy from the columns' sums of its CTAs, which have met since. Its first CTA
 * writes P_bar (over the prior, if there is one) and its entropy. */
template <class T> __device__ void entropy_slopes(const SlabIteration<T> &a, int k, int own) {
    const SlabSpace<T> &space = a.inner.space[k];
    const float *columns = a.space[k].columns;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, C = a.inner.C;
    SlabSmall *small = shared_mem<SlabSmall>(space.at_small);
    double entropy = 0.0;
    for (int c = warp; c < C; c += SLAB_WARPS) {
        double sum = 0.0;
        for (int i = lane; i < space.count; i += WARP) sum += (double)columns[i * C + c];
        const double p = warp_sum(sum) / (double)a.inner.B;
        const float over = a.prior ? (float)p / a.prior[c] : (float)p;
        if (p > 0.0) entropy -= p * log(p);
        if (lane == 0) small->slope[c] = over > 0.0f ? a.weight * (logf(over) + 1.0f) : 0.0f;
        if (lane == 0 && own == 0) a.P_bar[k * C + c] = over;
    }
    if (own != 0) return;
    entropy = block_sum<SLAB_THREADS>(lane == 0 ? entropy : 0.0, small->loss);
    if (threadIdx.x == 0) a.entropy[k] = (float)entropy;
}

/* R = P (q - sum_c P q) of a piece's rows. In float16 R is multiplied by the power of two that brings the CTA's
 * largest R so far to [2^14, 2^15), and so is the gradient. */
template <class T, int CT> struct TaskResiduals {
    static constexpr int OWN = SlabLabels<CT>::OWN;
    static constexpr bool SCALES = std::is_same<T, Fp16>::value;
    float most, scale; /* the largest |R| so far, and the factor of R */

    /* All threads call it; those with a row have P and q of a lane's classes. q is overwritten. */
    __device__ __forceinline__ void apply(SlabCta<T, CT> &s, const float (&P)[OWN], float (&q)[OWN],
                                          bool has_row, bool inside, typename T::Element *R) {
        const int C = s.C;
        float largest = 0.0f;
        if (has_row) {
            float mean = 0.0f;
            UNROLL
            for (int i = 0; i < OWN; i++)
                if (SlabLabels<CT>::class_of(i) < C) mean += P[i] * q[i];
            mean = group_sum<2>(mean);
            UNROLL
            for (int i = 0; i < OWN; i++) {
                if (SlabLabels<CT>::class_of(i) >= C) continue;
                q[i] = P[i] * (q[i] - mean);
                largest = fmaxf(largest, fabsf(q[i]));
            }
        }
        if constexpr (SCALES) rescale(s, largest);
        if (has_row) store_residuals<T, CT>(R, C, inside, [&](int i) { return q[i] * scale; });
    }
    /* All threads call it, with their largest |R| of a piece. */
    __device__ __forceinline__ void rescale(SlabCta<T, CT> &s, float largest) {
        SlabSmall *small = s.small(s.space);
        most = fmaxf(most, block_max<SLAB_THREADS>(largest, small->most));
        const float now = scale_of(__float_as_uint(most));
        if (now == scale) return;
        s.gradient.multiply(now / scale);
        if (threadIdx.x < WARP) small->grad_bias[threadIdx.x] *= now / scale;
        scale = now;
    }
};

/* The epilogue that makes the task encoder's residuals of the head's logits, where there is one space. */
template <class T, int CT> struct TaskEpilogue {
    static constexpr int OWN = SlabLabels<CT>::OWN;
    const float *Y;
    double loss;
    TaskResiduals<T, CT> residuals;
    SlabLabels<CT> labels;

    __device__ __forceinline__ void load(const SlabCta<T, CT> &s, int64_t b) {
        labels.load(Y, b, s.B, s.C);
    }
    __device__ __forceinline__ void apply(SlabCta<T, CT> &s, int bands, int64_t b, bool has_row,
                                          typename T::Element *R) {
        const SlabSmall *small = s.small(s.space);
        const bool inside = has_row && b < s.B;
        float x[OWN];
        if (has_row) {
            const float top = row_logits<T, CT>(s.space, s.C, bands, x), share = 1.0f / (float)s.B;
            float sum = 0.0f, mass = 0.0f, dot = 0.0f;
            UNROLL
            for (int i = 0; i < OWN; i++) sum += expf(x[i] - top); /* 0 beyond C */
            const float log_sum = logf(group_sum<2>(sum));
            UNROLL
            for (int i = 0; i < OWN; i++) {
                const int c = SlabLabels<CT>::class_of(i);
                if (c >= s.C) continue;
                const float below = x[i] - top;
                mass += labels.y[i];
                dot += labels.y[i] * below;
                x[i] = (log_sum - below) * share + small->slope[c]; /* q */
            }
            mass = group_sum<2>(mass);
            dot = group_sum<2>(dot);
            if (inside && threadIdx.x % 2 == 0) loss += (double)(mass * log_sum - dot);
        }
        residuals.apply(s, labels.y, x, has_row, inside, R);
    }
};

/* The epilogue that leaves L = log_softmax of the head's logits for the other spaces, and the loss. */
template <class T, int CT> struct HeadEpilogue {
    static constexpr int OWN = SlabLabels<CT>::OWN;
    const float *Y;
    float *L; /* (B,C) */
    double loss;
    SlabLabels<CT> labels;

    __device__ __forceinline__ void load(const SlabCta<T, CT> &s, int64_t b) {
        labels.load(Y, b, s.B, s.C);
    }
    __device__ __forceinline__ void apply(const SlabCta<T, CT> &s, int bands, int64_t b,
                                          bool has_row, typename T::Element *) {
        if (!has_row) return;
        float x[OWN], sum = 0.0f, dot = 0.0f;
        const float top = row_logits<T, CT>(s.space, s.C, bands, x);
        UNROLL
        for (int i = 0; i < OWN; i++) sum += expf(x[i] - top); /* 0 beyond C */
        const float log_sum = logf(group_sum<2>(sum));
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int c = SlabLabels<CT>::class_of(i);
            if (b >= s.B || c >= s.C) continue;
            const float l = x[i] - top - log_sum;
            L[b * s.C + c] = l;
            dot += labels.y[i] * l;
        }
        loss -= (double)dot;
    }
};

/* The epilogue that makes the task encoder's residuals of its labels and of the mean L of all spaces. */
template <class T, int CT> struct JointTaskEpilogue {
    static constexpr int OWN = SlabLabels<CT>::OWN;
    const float *P, *mean_L; /* (B,C) */
    TaskResiduals<T, CT> residuals;
    SlabLabels<CT> labels, mean;

    __device__ __forceinline__ void load(const SlabCta<T, CT> &s, int64_t b) {
        labels.load(P, b, s.B, s.C);
        mean.load(mean_L, b, s.B, s.C);
    }
    __device__ __forceinline__ void apply(SlabCta<T, CT> &s, int, int64_t b, bool has_row,
                                          typename T::Element *R) {
        const SlabSmall *small = s.small(s.space);
        const float share = 1.0f / (float)s.B;
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int c = SlabLabels<CT>::class_of(i);
            if (has_row && c < s.C) mean.y[i] = small->slope[c] - mean.y[i] * share; /* q */
        }
        residuals.apply(s, labels.y, mean.y, has_row, has_row && b < s.B, R);
    }
};

/* The epilogue that stores the gradient's sums. */
struct StoreEpilogue {
    float *grad;
    __device__ __forceinline__ void load(int) {}
    __device__ __forceinline__ void apply(int i, float sum) {
        grad[i] = sum;
    }
    __device__ __forceinline__ void publish(int, bool) const {}
};

#endif
