/*
 * iteration_slab.cu - a whole outer iteration in one launch, for few classes
 *
 *     Z_k = rows of the features;  P_k = softmax(theta_k(Z_k)),  Y = mean_k P_k,  P_bar_k = mean_b P_k  (Eq. 9)
 *     M times (W_k, b_k) <- Adam of CE(W_k(Z_k), Y)                                                 (Eq. 13)
 *     L = mean_k log_softmax(W_k(Z_k)),  q = -L/B + gamma (ln P_bar_k + 1)/B,
 *     R = P_k (q - sum_c P_k q),  theta_k <- Adam of (R^T Z_k, sums of R) through weight norm       (Eq. 12)
 *
 * Shapes   as inner_slab.cu and task_step.cu; spaces lie side by side.
 * Cost     (4M + 6)BCd flops a space; the batch is loaded once, from the features themselves. Predicted us of
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
 *          With one space Y is P. It is in global memory, but only the thread that wrote it reads it. The first
 *          barrier of the head's steps also orders the columns' sums.
 *
 *          Several spaces have CTAs of their own, and exchange labels and log-probabilities of their rows through
 *          the L2 cache. All CTAs meet once behind either:
 *
 *              visit rows: P_k | barrier of all | own rows of Y = mean_k P_k
 *              M steps of the heads, each space at its own pace
 *              visit rows: L_k | barrier of all | own rows of mean_k L_k | visit rows: R, R^T Z
 *
 *          Predicted us of 768 + 1536 features, but for the 10 steps: 53 here, 86 apart. The exchange costs two
 *          barriers, 3.0, and 4.8 MB through the L2 cache, 0.9. One more sweep streams 38.9 MB of rows, 7.5. Apart, a
 *          gather brings Z into the L2 cache, three kernels read it from there, and 14 nodes are launched.
 *          R has no bound. In float16 a piece of rows is multiplied by the power of two that brings the
 *          CTA's largest R so far to [2^14, 2^15). When that power falls, the gradient so far is
 *          multiplied too. Partial sums are divided by it again: all exactly.
 * Needs    a plan that says PLAN_SLAB and puts spaces side by side, one sweep of the gradient (d <= 1536 at 16
 *          classes, 768 at 32), a cooperative launch of one CTA per SM; scratch (cuda_iteration_scratch).
 *          The kernel never reads what it wrote through const __restrict__ or __ldg.
 * Ladder   The rows that stay are explained by kernels/cuda/ladder/step6_stays.cu.
 * History  Not measured yet.
 */
#include "kernels/cuda/inner/slab_outer.cuh"

static_assert(SLAB_THREADS == NORM_THREADS, "task_adam is for a block of so many threads");

/* The labels of the batch, before the heads' steps. */
template <class T, int CT>
__device__ __forceinline__ void slab_task_labels(const SlabIteration<T> &a, SlabCta<T, CT> &s,
                                                 int k, unsigned &met) {
    const bool joint = a.inner.spaces > 1;
    float *Y = a.space[k].Y;
    LabelEpilogue<T, CT> labelling = {joint ? a.P + k * s.B * s.C : Y, {}};
    task_weights(s.space, a.space[k].task, s.C);
    cp_async_wait<0>();
    __syncthreads();
    slab_visit(s, slab_logits(), labelling);
    labelling.store(s, a.space[k].columns + s.own * s.C);
    if (!joint) return;
    grid_barrier(a.arrived, met);
    mean_of_spaces(s, Y, a.P, a.inner.spaces);
}

/* The gradient of the outer loss, behind the heads' steps: the CTA's partial sums. Returns this thread's share of
 * the heads' loss. */
template <class T, int CT>
__device__ __forceinline__ double slab_task_gradient(const SlabIteration<T> &a, SlabCta<T, CT> &s,
                                                     int k, unsigned &met) {
    constexpr int STRIPS = SlabGradient<T, CT>::STRIPS;
    const bool joint = a.inner.spaces > 1;
    const int64_t labels = s.B * s.C;
    float *Y = a.space[k].Y;
    const SlabPurpose gradient = slab_gradient_of<STRIPS>(0, s.space.strips, !joint, true);
    slab_weights(s.space, s.C, false);
    entropy_slopes(a, k, s.own);
    cp_async_wait<0>();
    __syncthreads();
    if (!joint) {
        TaskEpilogue<T, CT> task = {Y, 0.0, {0.0f, 1.0f}, {}};
        slab_visit(s, gradient, task);
        slab_store(s, gradient, 1.0f / task.residuals.scale);
        return task.loss;
    }
    HeadEpilogue<T, CT> head = {Y, a.L + k * labels, 0.0, {}};
    slab_visit(s, slab_logits(), head);
    grid_barrier(a.arrived, met);
    mean_of_spaces(s, Y, a.L, a.inner.spaces); /* nobody needs the labels any more */
    JointTaskEpilogue<T, CT> task = {a.P + k * labels, Y, {0.0f, 1.0f}, {}, {}};
    slab_visit(s, gradient, task);
    slab_store(s, gradient, 1.0f / task.residuals.scale);
    return head.loss;
}

template <class T, int CT>
__global__ void __launch_bounds__(SLAB_THREADS, 1) iteration_slab(const SlabIteration<T> a) {
    const int C = a.inner.C, M = a.inner.M;
    int k = 0;
    while ((int)blockIdx.x >= a.inner.space[k].first + a.inner.space[k].count) k++;
    const SlabSpace<T> &space = a.inner.space[k];
    SlabCta<T, CT> s(space, (int)blockIdx.x - space.first, C, a.inner.B,
                     M + (a.inner.spaces > 1 ? 3 : 2));
    unsigned met = 0;

    slab_begin(s);
    slab_task_labels(a, s, k, met);

    for (int m = 0; m < M; m++) {
        slab_step(a.inner, s, a.space[k].Y, m);
        slab_barrier(space, s.epoch, (double *)NULL, [&] { keep_loss(s, m); });
    }

    share_losses(s, M, slab_task_gradient(a, s, k, met));
    for (int m = threadIdx.x; m < M && blockIdx.x == 0 && a.inner.losses; m += SLAB_THREADS) {
        double sum = 0.0; /* of spaces that have all met since */
        for (int n = 0; n < a.inner.spaces; n++) sum += a.inner.space[n].losses[m];
        a.inner.losses[m] = (float)(sum / (double)a.inner.B);
    }
    reduce_slice(space, C, s.own, StoreEpilogue{a.space[k].grad});
    slab_barrier(space, s.epoch, (double *)NULL, [&] {
        const double loss = step_loss(s, M);
        if (s.own == 0 && threadIdx.x % WARP == 0) a.loss[k] = (float)(loss / (double)a.inner.B);
    });

    for (int c = s.own; c < C; c += space.count) {
        task_adam(a.space[k].task, a.space[k].task_m1, a.space[k].task_m2, a.space[k].grad, C,
                  space.d, c, a.task_lr, *a.task_step);
        __syncthreads(); /* its shared memory gives way to the next class */
    }
    cp_async_wait<0>(); /* what is left are empty groups */
}

/* --- on the host ------------------------------------------------------------------------------ */

struct IterationScratch {
    SlabScratch slab;
    float *columns; /* (blocks, C) */
    float *grad;    /* (K, linear_size) */
    float *L, *Y;   /* (K,B,C), and (K - 1, B, C): the copies of Y */
    int64_t bytes;
};
static IterationScratch lay_out(void *scratch, int K, int64_t B, int64_t C, int64_t d) {
    IterationScratch s = {};
    s.slab = lay_out_slab(scratch, K, B, C, d);
    Pieces pieces = {scratch, s.slab.bytes};
    s.columns = take_f32(&pieces, SLAB_MOST_BLOCKS * C);
    s.grad = take_f32(&pieces, K * linear_size(C, d));
    s.L = take_f32(&pieces, K > 1 ? K * B * C : 0);
    s.Y = take_f32(&pieces, (K - 1) * B * C);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cuda_iteration_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    return dtype_bytes(type) == 2 && C <= SLAB_MOST_CLASSES ? lay_out(NULL, K, B, C, d).bytes : 0;
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
                                  const float *prior) {
    SlabIteration<T> a = {};
    const IterationScratch scratch = lay_out(s->scratch, s->K, s->B, s->C, largest_d(heads));
    a.inner = slab_arguments<T>(heads, plan, scratch.slab);
    a.inner.M = (int)heads->M;
    a.inner.losses = heads->losses;
    for (int k = 0; k < s->K; k++) {
        const TaskSpace &from = s->space[k];
        auto &space = a.space[k];
        space.task = from.task, space.task_m1 = from.m1, space.task_m2 = from.m2;
        space.Y = k ? scratch.Y + (k - 1) * s->B * s->C : s->Y;
        space.columns = scratch.columns + plan.space[k].first * s->C;
        space.grad = scratch.grad + k * linear_size(s->C, largest_d(heads));
    }
    a.task_step = s->step, a.task_lr = s->lr;
    a.weight = (float)(s->gamma / (double)s->B);
    a.prior = prior;
    a.P = s->P, a.L = scratch.L;
    a.P_bar = s->P_bar, a.entropy = s->entropy, a.loss = s->loss;
    a.arrived = a.inner.finished; /* no space ends before the others here */
    return a;
}

/* Returns whether the kernel can read the rows where they lie. */
static bool as_they_lie(Device *device, const Batch &Z, const Features *from) {
    return from->type == Z.type && Z.exponent == 0 && !from->swapped && from->d % 8 == 0 &&
           aligned_16(from->data) && !cuda_features_remote(device, from);
}

/* Lets the kernel read each space's rows where they lie, or gathers them. */
template <class T>
static void find_rows(Queue *q, SlabIteration<T> *a, const TaskSteps *s, const Features *from,
                      const int64_t *rows) {
    for (int k = 0; rows && k < s->K; k++) {
        const Batch &Z = s->space[k].Z;
        SlabSpace<T> &space = a->inner.space[k];
        if (as_they_lie(q->device, Z, &from[k])) {
            space.Z = (const typename T::Element *)from[k].data;
            space.row = from[k].d, space.N = from[k].N, space.chosen = rows;
        } else {
            cuda_gather(q, &Z, &from[k], rows, s->B);
        }
    }
}

Status cuda_iteration(Queue *q, const TaskSteps *s, const InnerSteps *heads, const Features *from,
                      const int64_t *rows, const float *prior) {
    Plan plan;
    REQUIRE(q,
            tasks_complete(s, batch_servable) && heads_match(s, heads) && heads->step &&
                heads_drawable(heads) && (!rows || from) && plan_iteration(&plan, q->device, heads),
            "iteration");
    return with_slab_types(heads, [&](auto type, auto classes) {
        using T = decltype(type);
        SlabIteration<T> a = arguments<T>(s, heads, plan, prior);
        find_rows(q, &a, s, from, rows);
        const cudaError_t error = cudaMemsetAsync(a.inner.space[0].arrived, 0,
                                                  (size_t)(s->K + 1) * sizeof(unsigned), q->stream);
        if (error != cudaSuccess) return cuda_queue_error(q, "iteration", error);
        double features = 0.0;
        for (int k = 0; k < s->K; k++) features += (double)s->space[k].Z.d;
        cost(q, (4.0 * (double)heads->M + 6.0) * (double)s->B * (double)s->C * features,
             2.0 * (double)s->B * features);
        return launch_with(q, COOPERATIVE, (iteration_slab<T, classes.value>),
                           dim3((unsigned)plan.blocks), SLAB_THREADS, (int)plan.shared, a);
    });
}
