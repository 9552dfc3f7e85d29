/*
 * inner_slab.cu - the inner loop for few classes: the batch stays in shared memory for all M steps
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu, C <= 32, Z in 16 bits; the cut is plan_slab.c's (PLAN_SLAB).
 * Cost     4BCd flops per step and space, but the barriers decide. Predicted us of a step of CIFAR-10, one
 *          space of d 768, B 10000, on an H200 with 125 CTAs of 80 rows:
 *
 *              forward   124 KB through the 128 B/clock port of shared memory            0.55
 *              logits    8 warps' sums through shared memory, softmax                    0.6
 *              gradient  the same slab again                                             0.55
 *              partials  125 x 30.8 KB written, then read by slices: 7.7 MB, 5.5 TB/s    1.4
 *              barriers  2 x 1.2                                                         2.4
 *              Adam, W   62 weights a CTA; 125 x 15 KB of W in 16 bits                   0.5
 *                                                                                        ----
 *              10 steps and 15.4 MB loaded once: about 64 us a launch                    6.0
 *
 * Mapping  CTAs have rows of the batch, in bands of 16; the warps of a CTA have features:
 *
 *              d:     0 ........... d/8 ........ 2d/8  ...  d | 1
 *              rows   warp 0        warp 1              ...   | column of ones: its gradient is
 *              0..15    forward: partial logits (rows, C),    | the bias's
 *              ...      added over warps in order             |
 *              64..79   gradient: (C, d/8) of all rows, in registers
 *
 *          A step: W arrives in 16 bits | visit pieces of rows: forward, softmax, R, gradient | the
 *          CTA's partial goes to memory | barrier 1 | each CTA adds its slice of all partials in
 *          order, Adam, publishes W | barrier 2. Barriers count the CTAs of their space alone.
 *          Rows that do not fit are streamed through two slots, which are refilled while resident
 *          rows are visited and while the CTA waits at barriers: Z does not change.
 *
 *          Bytes of shared memory (d 768 / 1536, C 10), of 232,448 on an H200:
 *              W        C (d + 8) 2                                        15,616    30,976
 *              slab     (resident + slots) rows (d + 8) 2                 124,160   148,224
 *              logits   8 warps x rows of a visit x (16 + 8) x 4           61,440    12,288
 *              R        rows of a visit x (16 + 8) x 2                      3,840       768
 *              small    bias, losses of the warps, Adam's factors             512       512
 *                                                                         205,568   192,768
 *          The paddings put rows an odd number of 16 bytes apart for ldmatrix, and rows of logits 96 bytes
 *          apart: then their pairs (writes) and quads (reads) meet every bank once.
 *          Registers: 40 accumulators of logits and 96 of gradient at 16 classes, 32 + 96 at 32; two sets of
 *          fragments, so that one is loaded while the other is multiplied. Products have code of their own for 1 to 5
 *          bands, and for 12, 8 and 6 strips a warp (6, 4 and 3 at 32 classes): two instructions for an MMA.
 *          The first CTA adds the losses of a step while it waits in barrier 2.
 * Needs    a cooperative launch of one CTA per SM; scratch (slab_scratch). A launch has at most 1024
 *          steps, for it keeps the losses of every space and step until its end.
 *          W, partial sums and losses are written and read within the launch: never through const
 *          __restrict__ or __ldg.
 *          As in gradient.cuh, the bias's gradient is the sum of the rounded residuals.
 * Ladder   Small kernels explain this one: kernels/cuda/ladder/step5_mma.cu, then ladder/step6_stays.cu.
 * History  Not measured yet.
 */
#include "kernels/cuda/inner/slab_steps.cuh"

/* All steps of a space, by its CTA number `own`. */
template <class T, int CT>
__device__ __forceinline__ void slab_space(const Slab<T> &a, const SlabSpace<T> &space, int own) {
    SlabCta<T, CT> s(space, own, a.C, a.B, a.M);
    __syncthreads(); /* shared memory may still be read for the space before */
    slab_begin(s);
    for (int m = 0; m < a.M; m++) {
        slab_step(a, s, a.Y, m);
        if (m + 1 < a.M)
            slab_barrier(space, s.epoch, (double *)NULL, [&] { keep_loss(s, m); });
    }
    if (threadIdx.x / WARP == SLAB_WARPS - 1) keep_loss(s, a.M - 1);
    cp_async_wait<0>(); /* what is left are empty groups */
}

/* Adds the losses of all spaces, in order, if this space is the last to end. */
template <class T> __device__ void slab_losses(const Slab<T> &a, const SlabSpace<T> &space) {
    SlabSmall *small = shared_mem<SlabSmall>(space.at_small);
    __syncthreads();
    if (threadIdx.x == 0) {
        small->before = add_release(a.finished, 1);
        load_acquire(a.finished);
    }
    __syncthreads();
    if (small->before + 1 != (unsigned)a.spaces || !a.losses) return;
    for (int m = threadIdx.x; m < a.M; m += SLAB_THREADS) {
        double sum = 0.0;
        for (int k = 0; k < a.spaces; k++) sum += a.space[k].losses[m];
        a.losses[m] = (float)(sum / (double)a.B);
    }
}

template <class T, int CT>
__global__ void __launch_bounds__(SLAB_THREADS, 1) inner_slab(const Slab<T> a) {
    NO_UNROLL
    for (int k = 0; k < a.spaces; k++) {
        const SlabSpace<T> &space = a.space[k];
        const int own = (int)blockIdx.x - space.first;
        if (own < 0 || own >= space.count) continue;
        slab_space<T, CT>(a, space, own);
        if (own == 0) slab_losses(a, space);
    }
}

/* --- on the host ------------------------------------------------------------------------------ */

int64_t slab_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    if (dtype_bytes(type) != 2 || C > SLAB_MOST_CLASSES) return 0;
    return lay_out_slab(NULL, K, B, C, d).bytes;
}

template <class T, int CT>
static Status slab_launches(Queue *q, const InnerSteps *in, const Plan &plan, Slab<T> a) {
    const auto kernel = inner_slab<T, CT>;
    double features = 0.0;
    for (int k = 0; k < in->K; k++) features += (double)in->space[k].Z.d;
    REQUIRE(q, resident_blocks(q->device, kernel, SLAB_THREADS, (int)plan.shared) >= plan.blocks,
            "inner_steps (mega)");
    for (a.done = 0; a.done < in->M; a.done += a.M) {
        const cudaError_t error = cudaMemsetAsync(
            a.space[0].arrived, 0, (size_t)(in->K + 1) * sizeof(unsigned), q->stream);
        if (error != cudaSuccess) return cuda_queue_error(q, "inner_steps (mega)", error);
        const int64_t left = in->M - a.done, most = SLAB_MOST_STEPS;
        a.M = (int)(left < most ? left : most);
        a.losses = in->losses ? in->losses + a.done : NULL;
        cost(q, 4.0 * (double)a.M * (double)in->B * (double)in->C * features,
             2.0 * (double)in->B * features);
        launch_with(q, COOPERATIVE, (inner_slab<T, CT>), dim3((unsigned)plan.blocks), SLAB_THREADS,
                    (int)plan.shared, a);
    }
    return q->status;
}

Status slab_steps(Queue *q, const InnerSteps *in, const Plan &plan) {
    const SlabScratch scratch = lay_out_slab(in->scratch, in->K, in->B, in->C, largest_d(in));
    auto go = [&](auto type) {
        using T = decltype(type);
        const Slab<T> a = slab_arguments<T>(in, plan, scratch);
        return SLAB_CLASSES(in->C) == 16 ? slab_launches<T, 16>(q, in, plan, a)
                                         : slab_launches<T, 32>(q, in, plan, a);
    };
    return in->space[0].Z.type == DTYPE_F16 ? go(Fp16()) : go(Bf16());
}
