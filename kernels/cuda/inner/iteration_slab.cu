/*
 * iteration_slab.cu - a whole outer iteration of one space in one launch, for few classes
 *
 *     Z = rows of the features;  Y = softmax(theta(Z)),  P_bar = mean_b Y           (Eq. 9)
 *     M times (W, b) <- Adam of CE(W(Z), Y)                                          (Eq. 13)
 *     L = log_softmax(W(Z)),  q = -L/B + gamma (ln P_bar + 1)/B,  R = Y (q - sum_c Y q),
 *     theta <- Adam of (R^T Z, sums of R) through weight norm                        (Eq. 12)
 *
 * Shapes   as inner_slab.cu and task_step.cu, with K = 1: then Y is P.
 * Cost     (4M + 6)BCd flops; the batch is loaded once, from the features themselves. Predicted us of
 *          CIFAR-10 (d 768, B 10000, C 10, M 10) on an H200, beside launches of their own:
 *
 *                                     here   apart
 *              gather, load            4.9    11.0   HBM once, instead of L2 in, out and in again
 *              labels                  2.6     9.6   the forward of inner_slab.cu
 *              10 steps               58.1    58.1
 *              head forward, R^T Z     2.5    13.3
 *              sums, barrier           3.0     4.8
 *              weight norm, Adam       2.1     2.7   with a barrier
 *
 * Mapping  the rows of the batch lie in shared memory as inner_slab.cu has them, and meet one linear layer
 *          after the other:
 *
 *              v, g -> W of theta (every CTA computes all)  | visit rows: Y, its columns' sums
 *              M steps of the head (slab_step)              | two barriers each
 *              P_bar from all CTAs' sums, its slopes        | visit rows: L, R, R^T Z
 *              barrier | slices of the gradient, summed in order | barrier
 *              a CTA per class: gradient through weight norm, Adam (task_adam.cuh)
 *
 *          Y is in global memory, but only the thread that wrote it reads it. The first barrier of the
 *          head's steps also orders the columns' sums.
 *          R has no bound. In float16 a piece of rows is multiplied by the power of two that brings the
 *          CTA's largest R so far to [2^14, 2^15). When that power falls, the gradient so far is
 *          multiplied too. Partial sums are divided by it again: all exactly.
 * Needs    a plan that says PLAN_SLAB, one sweep of the gradient (d <= 1536 at 16 classes, 768 at 32), a
 *          cooperative launch of one CTA per SM; scratch (cuda_iteration_scratch).
 *          The kernel never reads what it wrote through const __restrict__ or __ldg.
 * History  Not measured yet.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/inner/slab_steps.cuh"
#include "kernels/cuda/train/residual_scale.cuh"
#include "kernels/cuda/train/task_adam.cuh"

static_assert(SLAB_THREADS == NORM_THREADS, "task_adam is for a block of so many threads");

template <class T> struct SlabIteration {
    Slab<T> inner; /* one space */
    float *task, *task_m1, *task_m2;
    const int64_t *task_step;
    double task_lr;
    float weight; /* gamma/B */
    const float *prior;
    float *Y, *P_bar, *entropy, *loss;
    float *columns; /* (count, C) sums of Y over a CTA's rows */
    float *grad;    /* (linear_size) */
};

/* --- labels ----------------------------------------------------------------------------------- */

/* Puts W = g v/|v|, rounded, and the bias into shared memory; a warp has a class at a time. */
template <class T>
__device__ void task_weights(const SlabIteration<T> &a, const SlabSpace<T> &space) {
    using Element = typename T::Element;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP,
              across = space.strips * SLAB_FRAGMENT;
    const int C = a.inner.C;
    Element *W = shared_mem<Element>(0);
    for (int c = warp; c < C; c += SLAB_WARPS) {
        const float *v = a.task + c * space.d;
        double square = 0.0;
        for (int i = lane; i < space.d; i += WARP) square += (double)v[i] * (double)v[i];
        const float scale = (float)((double)a.task[C * space.d + C + c] / sqrt(warp_sum(square)));
        for (int i = lane; i < across; i += WARP)
            W[c * space.stride + i] =
                i < space.d ? T::from(scale * v[i] * space.unit) : (uint16_t)0;
    }
    if ((int)threadIdx.x < C)
        shared_mem<SlabSmall>(space.at_small)->bias[threadIdx.x] =
            a.task[C * space.d + threadIdx.x];
}

/* The epilogue that makes labels of logits. */
template <class T, int CT> struct LabelEpilogue {
    float *Y;
    float column[CT / 2]; /* sums of labels over this lane's rows */

    __device__ __forceinline__ void load(int64_t) {}
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
            Y[b * s.C + c] = x[i] * scale;
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

/* --- outer gradient --------------------------------------------------------------------------- */

/* Finds the slopes of the entropy from the columns' sums of all CTAs, which have met since. The first CTA
 * writes P_bar (over the prior, if there is one) and its entropy. */
template <class T>
__device__ void entropy_slopes(const SlabIteration<T> &a, const SlabSpace<T> &space) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, C = a.inner.C;
    SlabSmall *small = shared_mem<SlabSmall>(space.at_small);
    double entropy = 0.0;
    for (int c = warp; c < C; c += SLAB_WARPS) {
        double sum = 0.0;
        for (int i = lane; i < space.count; i += WARP) sum += (double)a.columns[i * C + c];
        const double p = warp_sum(sum) / (double)a.inner.B;
        const float over = a.prior ? (float)p / a.prior[c] : (float)p;
        if (p > 0.0) entropy -= p * log(p);
        if (lane == 0) small->slope[c] = over > 0.0f ? a.weight * (logf(over) + 1.0f) : 0.0f;
        if (lane == 0 && blockIdx.x == 0) a.P_bar[c] = over;
    }
    if (blockIdx.x != 0) return;
    entropy = block_sum<SLAB_THREADS>(lane == 0 ? entropy : 0.0, small->loss);
    if (threadIdx.x == 0) *a.entropy = (float)entropy;
}

/* The epilogue that makes the task encoder's residuals of the head's logits. */
template <class T, int CT> struct TaskEpilogue {
    static constexpr int OWN = SlabLabels<CT>::OWN;
    static constexpr bool SCALES = std::is_same<T, Fp16>::value;
    const float *Y;
    int C;
    int64_t B;
    double loss;
    float most, scale; /* the largest |R| so far, and the factor of R */
    SlabLabels<CT> labels;

    __device__ __forceinline__ void load(int64_t b) {
        labels.load(Y, b, B, C);
    }
    __device__ __forceinline__ void apply(SlabCta<T, CT> &s, int bands, int64_t b, bool has_row,
                                          typename T::Element *R) {
        SlabSmall *small = s.small(s.space);
        float x[OWN], largest = 0.0f;
        const bool inside = has_row && b < B;
        if (has_row) {
            const float top = row_logits<T, CT>(s.space, C, bands, x), share = 1.0f / (float)B;
            float sum = 0.0f, mass = 0.0f, dot = 0.0f, mean = 0.0f;
            UNROLL
            for (int i = 0; i < OWN; i++) sum += expf(x[i] - top); /* 0 beyond C */
            const float log_sum = logf(group_sum<2>(sum));
            UNROLL
            for (int i = 0; i < OWN; i++) {
                const int c = SlabLabels<CT>::class_of(i);
                if (c >= C) continue;
                const float below = x[i] - top;
                mass += labels.y[i];
                dot += labels.y[i] * below;
                x[i] = (log_sum - below) * share + small->slope[c]; /* q */
                mean += labels.y[i] * x[i];
            }
            mass = group_sum<2>(mass);
            dot = group_sum<2>(dot);
            mean = group_sum<2>(mean);
            UNROLL
            for (int i = 0; i < OWN; i++) {
                if (SlabLabels<CT>::class_of(i) >= C) continue;
                x[i] = labels.y[i] * (x[i] - mean);
                largest = fmaxf(largest, fabsf(x[i]));
            }
            if (inside && threadIdx.x % 2 == 0) loss += (double)(mass * log_sum - dot);
        }
        if constexpr (SCALES) rescale(s, largest);
        if (has_row) store_residuals<T, CT>(R, C, inside, [&](int i) { return x[i] * scale; });
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

/* The epilogue that stores the gradient's sums. */
struct StoreEpilogue {
    float *grad;
    __device__ __forceinline__ void load(int) {}
    __device__ __forceinline__ void apply(int i, float sum) {
        grad[i] = sum;
    }
    __device__ __forceinline__ void publish(int, bool) const {}
};

/* --- the iteration ---------------------------------------------------------------------------- */

template <class T, int CT>
__global__ void __launch_bounds__(SLAB_THREADS, 1) iteration_slab(const SlabIteration<T> a) {
    const SlabSpace<T> &space = a.inner.space[0];
    const int C = a.inner.C, M = a.inner.M;
    SlabCta<T, CT> s(space, blockIdx.x, C, a.inner.B, M + 2);

    slab_begin(s);
    task_weights(a, space);
    cp_async_wait<0>();
    __syncthreads();
    LabelEpilogue<T, CT> labelling = {a.Y, {}};
    slab_visit(s, SlabPurpose{true, false, false, 0, 0}, labelling);
    labelling.store(s, a.columns + s.own * C);

    for (int m = 0; m < M; m++) {
        slab_step(a.inner, s, m);
        slab_barrier(space, s.epoch, (double *)NULL);
    }

    slab_weights(space, C, false);
    entropy_slopes(a, space);
    cp_async_wait<0>();
    __syncthreads();
    const SlabPurpose gradient =
        slab_gradient_of<SlabGradient<T, CT>::STRIPS>(0, space.strips, true);
    TaskEpilogue<T, CT> task = {a.Y, C, a.inner.B, 0.0, 0.0f, 1.0f, {}};
    slab_visit(s, gradient, task);
    slab_store(s, gradient, 1.0f / task.scale);
    const double loss = sum_losses(s, task.loss);
    if (s.own == 0 && threadIdx.x == SLAB_THREADS - WARP)
        *a.loss = (float)(loss / (double)a.inner.B);
    for (int m = threadIdx.x; m < M && s.own == 0 && a.inner.losses; m += SLAB_THREADS)
        a.inner.losses[m] = (float)(space.losses[m] / (double)a.inner.B);
    reduce_slice(space, C, s.own, StoreEpilogue{a.grad});
    slab_barrier(space, s.epoch, (double *)NULL);

    for (int c = s.own; c < C; c += space.count) {
        task_adam(a.task, a.task_m1, a.task_m2, a.grad, C, space.d, c, a.task_lr, *a.task_step);
        __syncthreads(); /* its shared memory gives way to the next class */
    }
    cp_async_wait<0>(); /* what is left are empty groups */
}

/* --- on the host ------------------------------------------------------------------------------ */

struct IterationScratch {
    SlabScratch slab;
    float *columns, *grad;
    int64_t bytes;
};
static IterationScratch lay_out(void *scratch, int64_t B, int64_t C, int64_t d) {
    IterationScratch s = {};
    s.slab = lay_out_slab(scratch, 1, B, C, d);
    Pieces pieces = {scratch, s.slab.bytes};
    s.columns = take_f32(&pieces, SLAB_MOST_BLOCKS * C);
    s.grad = take_f32(&pieces, linear_size(C, d));
    s.bytes = pieces.bytes;
    return s;
}

int64_t cuda_iteration_scratch(DType type, int64_t B, int64_t C, int64_t d) {
    return dtype_bytes(type) == 2 && C <= SLAB_MOST_CLASSES ? lay_out(NULL, B, C, d).bytes : 0;
}

/* Calls f(type, classes in whole fragments). */
template <class F> static auto with_slab_types(const InnerSteps *in, F f) {
    using Classes16 = std::integral_constant<int, 16>;
    using Classes32 = std::integral_constant<int, 32>;
    const bool half = in->space[0].Z.type == DTYPE_F16;
    if (SLAB_CLASSES(in->C) == 16) return half ? f(Fp16(), Classes16()) : f(Bf16(), Classes16());
    return half ? f(Fp16(), Classes32()) : f(Bf16(), Classes32());
}

/* Returns false if the kernel does not serve these heads. */
static bool plan_iteration(Plan *plan, const Device *device, const InnerSteps *heads) {
    Error err;
    if (device->naive || heads->tier != INNER_AUTO || heads->K > PLAN_MAX_SPACES ||
        inner_plan(plan, device, heads, &err) != OK || !plan_at_once(plan, heads->M))
        return false;
    return with_slab_types(heads, [&](auto type, auto classes) {
        return resident_blocks(device, iteration_slab<decltype(type), classes.value>, SLAB_THREADS,
                               (int)plan->shared) >= plan->blocks;
    });
}

bool cuda_iteration_fits(const Device *device, const InnerSteps *heads) {
    Plan plan;
    return plan_iteration(&plan, device, heads);
}

template <class T>
static SlabIteration<T> arguments(const TaskSteps *s, const InnerSteps *heads, const Plan &plan,
                                  const IterationScratch &scratch, const float *prior) {
    SlabIteration<T> a = {};
    const TaskSpace *space = &s->space[0];
    a.inner = slab_arguments<T>(heads, plan, scratch.slab);
    a.inner.M = (int)heads->M;
    a.inner.losses = heads->losses;
    a.inner.Y = a.Y = s->Y;
    a.task = space->task, a.task_m1 = space->m1, a.task_m2 = space->m2;
    a.task_step = s->step, a.task_lr = s->lr;
    a.weight = (float)(s->gamma / (double)s->B);
    a.prior = prior;
    a.P_bar = s->P_bar, a.entropy = s->entropy, a.loss = s->loss;
    a.columns = scratch.columns, a.grad = scratch.grad;
    return a;
}

/* Returns whether the kernel can read the rows where they lie. */
static bool as_they_lie(Device *device, const Batch &Z, const Features *from) {
    return from->type == Z.type && Z.exponent == 0 && !from->swapped && from->d % 8 == 0 &&
           aligned_16(from->data) && !cuda_features_remote(device, from);
}

Status cuda_iteration(Queue *q, const TaskSteps *s, const InnerSteps *heads, const Features *from,
                      const int64_t *rows, const float *prior) {
    Plan plan;
    REQUIRE(q,
            tasks_complete(s, batch_servable) && heads_match(s, heads) && heads->step &&
                heads->space[0].m1 && heads->space[0].m2 && (!rows || from) &&
                plan_iteration(&plan, q->device, heads),
            "iteration");
    const Batch &Z = s->space[0].Z;
    const bool direct = rows && as_they_lie(q->device, Z, from);
    if (rows && !direct) cuda_gather(q, &Z, from, rows, s->B);
    const IterationScratch scratch = lay_out(s->scratch, s->B, s->C, Z.d);
    return with_slab_types(heads, [&](auto type, auto classes) {
        using T = decltype(type);
        SlabIteration<T> a = arguments<T>(s, heads, plan, scratch, prior);
        SlabSpace<T> &space = a.inner.space[0];
        if (direct) {
            space.Z = (const typename T::Element *)from->data;
            space.row = from->d, space.N = from->N, space.chosen = rows;
        }
        const cudaError_t error =
            cudaMemsetAsync(space.arrived, 0, sizeof *space.arrived, q->stream);
        if (error != cudaSuccess) return cuda_queue_error(q, "iteration", error);
        const double BCd = (double)s->B * (double)s->C * (double)Z.d;
        cost(q, (4.0 * (double)heads->M + 6.0) * BCd, 2.0 * (double)s->B * (double)Z.d);
        return launch_with(q, COOPERATIVE, (iteration_slab<T, classes.value>),
                           dim3((unsigned)plan.blocks), SLAB_THREADS, (int)plan.shared, a);
    });
}
