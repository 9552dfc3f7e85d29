/*
 * inner_slab.cu - the inner loop for few classes: the batch stays in shared memory for all M steps
 *
 *     M times: logits = Z W^T + b,  R = softmax(logits) sum_c Y - Y,  (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   as inner_steps.cu, C <= 32, Z in 16 bits; the cut is plan.c's (PLAN_SLAB).
 * Cost     4BCd flops per step and space, but what decides is how often the chip meets. CIFAR-10, one
 *          space of d 768, B 10000 on an H200, 125 CTAs of 80 rows, predicted us of a step:
 *
 *              forward   124 KB through the 128 B/clock port of shared memory            0.55
 *              logits    8 warps' sums through shared memory, softmax                    0.6
 *              gradient  the same slab again                                             0.55
 *              partials  125 x 30.8 KB written, then read by slices: 7.7 MB, 5.5 TB/s    1.4
 *              barriers  2 x 1.2                                                         2.4
 *              Adam, W   of 62 weights a CTA; 125 x 15 KB of W in 16 bits                0.5
 *                                                                                        ----
 *              10 steps and 15.4 MB loaded once: about 64 us a launch                    6.0
 *
 * Mapping  rows of the batch over CTAs, in multiples of 16; inside a CTA features over 8 warps:
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
 *          Shared memory, bytes (d 768 / 1536, C 10, H200: 232,448 there are):
 *              W        C (d + 8) 2                                        15,616    30,976
 *              slab     (resident + slots) rows (d + 8) 2                 124,160   148,224
 *              logits   8 warps x rows of a visit x (16 + 8) x 4           61,440    12,288
 *              R        rows of a visit x (16 + 8) x 2                      3,840       768
 *              small    bias, losses of the warps, Adam's factors             512       512
 *                                                                         205,568   192,768
 *          The paddings: rows an odd number of 16 bytes apart for ldmatrix, rows of logits 96 bytes
 *          apart, whose pairs (writes) and quads (reads) then meet every bank once.
 *          Registers: 40 accumulators of logits and 96 of gradient at 16 classes, 32 + 96 at 32.
 * Needs    a cooperative launch of one CTA per SM; scratch (slab_scratch). At most 1024 steps a
 *          launch, for the losses of every space and step are kept until its end.
 *          W, partial sums and losses are written and read within the launch: never through const
 *          __restrict__ or __ldg.
 *          The bias's gradient is, as in gradient.cuh, the sum of the rounded residuals.
 * History  v1: inner_mega.cu, Z from the L2 cache twice a step.
 *          Predicted and dropped: Adam in every CTA, one barrier instead of two. 125 CTAs read all
 *          partials: 125 x 125 x 30.8 KB = 481 MB = 88 us a step (535 MB on all 132 SMs).
 *          Predicted and dropped: float32 W published, rounded by its readers: 3.8 MB instead of
 *          1.9 a step, 0.35 us.
 *          Predicted and dropped: later pieces add to the CTA's partial in memory instead of registers:
 *          61 KB in and out for each of four pieces at d 1536, 12 us a step.
 *          Predicted and dropped: one slot for streamed rows, so that a tile more stays (d 1536: 32 of
 *          80 rows instead of 16): each refill then waits for the L2 cache, 1.9 us, thrice.
 */
#include "slab.cuh"

/* --- between CTAs ----------------------------------------------------------------------------- */

/* The CTA's slice of the gradient: its sums over all CTAs in order, Adam, W for the next step. Threads
 * lie in `width` quads of the slice x parts of the CTAs. */
template <class T> __device__ void slab_slice(const Slab<T> &a, const SlabJob<T> &j, int own) {
    const int C = a.C, across = j.units * SLAB_TILE;
    const int64_t floats = slab_floats(C, j.units), quads = floats / 4;
    const int begin = (int)(quads * own / j.count), end = (int)(quads * (own + 1) / j.count);
    const int width = end - begin <= 16 ? 16 : end - begin <= 32 ? 32 : 64;
    const int parts = SLAB_THREADS / width, part = threadIdx.x / width, quad = threadIdx.x % width;
    const int from = j.count * part / parts, to = j.count * (part + 1) / parts;
    float *sums = shared_mem<float>(j.at_logits); /* (parts, width) quads */
    const AdamStep adam = shared_mem<SlabSmall>(j.at_small)->adam;
    static_assert(SLAB_SUMS >= SLAB_THREADS * 16, "a quad per thread");
    for (int base = begin; base < end; base += width) {
        /* element 4 base + threadIdx.x is this thread's to finish */
        const int e = 4 * base + (int)threadIdx.x;
        const bool finishes = (int)threadIdx.x < 4 * width && e < 4 * end;
        const int c = e < C * across ? e / across : e - C * across;
        const int column = e < C * across ? e % across : j.d; /* d: the bias */
        const bool real = finishes && c < C && column <= j.d && (column < j.d || e >= C * across);
        const int i = column < j.d ? c * j.d + column : C * j.d + c;
        float w = 0.0f, m1 = 0.0f, m2 = 0.0f;
        if (real) w = j.head[i], m1 = j.m1[i], m2 = j.m2[i];

        constexpr int AT_ONCE = 8; /* loads on their way */
        float4 s = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float *in = j.partial + 4 * (base + quad);
        for (int n = from; n < to && base + quad < end; n += AT_ONCE) {
            float4 x[AT_ONCE];
            UNROLL
            for (int k = 0; k < AT_ONCE; k++)
                x[k] = n + k < to ? load_float4(in + (n + k) * floats)
                                  : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            UNROLL
            for (int k = 0; k < AT_ONCE; k++)
                s.x += x[k].x, s.y += x[k].y, s.z += x[k].z, s.w += x[k].w;
        }
        store_float4(sums + 4 * threadIdx.x, s);
        __syncthreads();
        if (real) {
            float grad = 0.0f;
            for (int n = 0; n < parts; n++) grad += sums[4 * n * width + (int)threadIdx.x];
            adam_update(adam, w, grad * a.scale, m1, m2);
            j.head[i] = w, j.m1[i] = m1, j.m2[i] = m2;
        }
        if (finishes && e < C * across) j.W[e] = column < j.d ? T::from(w) : (uint16_t)0;
        __syncthreads(); /* the sums give way to the next ones */
    }
}

/* The CTAs of one space meet. Before the barrier the CTA's loss is left behind, if it has one. */
template <class T>
__device__ __forceinline__ void slab_barrier(const SlabJob<T> &j, unsigned &epoch, double *loss) {
    epoch += (unsigned)j.count;
    __syncthreads(); /* the release of one thread is for what the whole CTA wrote */
    if (threadIdx.x == 0) {
        if (loss) {
            const double *warps = shared_mem<SlabSmall>(j.at_small)->loss;
            double sum = 0.0;
            for (int w = 0; w < SLAB_WARPS; w++) sum += warps[w];
            *loss = sum;
        }
        add_release(j.arrived, 1);
        wait_for(j.arrived, epoch);
    }
    __syncthreads();
}

/* W for a step, in 16 bits: from the master before the first, then as the slices' owners left it. */
template <class T> __device__ void slab_weights(const Slab<T> &a, const SlabJob<T> &j, bool first) {
    using Element = typename T::Element;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, across = j.units * SLAB_TILE;
    Element *W = shared_mem<Element>(0);
    for (int c = warp; c < a.C; c += SLAB_WARPS) {
        if (first) {
            for (int i = lane; i < across; i += WARP)
                W[c * j.stride + i] = i < j.d ? T::from(j.head[c * j.d + i]) : (uint16_t)0;
        } else {
            for (int i = 8 * lane; i < across; i += 8 * WARP)
                cp_async_16(W + c * j.stride + i, j.W + (int64_t)c * across + i, 16);
        }
    }
    cp_async_commit();
    if ((int)threadIdx.x < a.C)
        shared_mem<SlabSmall>(j.at_small)->bias[threadIdx.x] = j.head[a.C * j.d + threadIdx.x];
}

/* --- one space -------------------------------------------------------------------------------- */

template <class T, int CT>
__device__ __forceinline__ void slab_job(const Slab<T> &a, const SlabJob<T> &j, int own) {
    using Element = typename T::Element;
    using G = SlabGradient<T, CT>;
    constexpr int UNITS = G::UNITS;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const SlabRows rows = slab_rows(j, own, a.B);
    const int visits = rows.stays + rows.streams, phases = j.passes == 1 ? 1 : 1 + j.passes;
    Element *slab = shared_mem<Element>(j.at_slab), *R = shared_mem<Element>(j.at_R);
    SlabSmall *small = shared_mem<SlabSmall>(j.at_small);
    float *partial = j.partial + own * slab_floats(a.C, j.units);
    unsigned epoch = 0;
    int streamed = 0; /* pieces used so far */
    G gradient;

    __syncthreads(); /* shared memory may still be read for the job before */
    slab_load(j, rows, a.B, slab, 0, rows.resident, 0, j.units);
    cp_async_commit();
    for (int s = 0; s < j.stages; s++) slab_fetch<T, UNITS>(j, rows, a.B, s, a.M);
    for (int i = threadIdx.x; i < SLAB_PAD * (j.resident + j.stages * j.stage); i += SLAB_THREADS)
        slab[i / SLAB_PAD * j.stride + 16 * j.units + i % SLAB_PAD] =
            i % SLAB_PAD ? (uint16_t)0 : T::from(1.0f); /* the column of ones */

    for (int m = 0; m < a.M; m++) {
        double loss = 0.0;
        slab_weights(a, j, m == 0);
        if (threadIdx.x == SLAB_THREADS - 1) small->adam = adam_step(a.lr, *a.step + a.done + m);
        cp_async_wait<0>();
        __syncthreads();

        for (int phase = 0; phase < phases; phase++) {
            const bool forward = phase == 0, backward = j.passes == 1 || phase > 0;
            const int pass = phase ? phase - 1 : 0;
            const int first = pass_begin<UNITS>(pass), n = pass_end<UNITS>(pass, j.units) - first;
            const int unit = first + n * warp / SLAB_WARPS,
                      mine = first + n * (warp + 1) / SLAB_WARPS - unit;
            const bool sums_ones = backward && warp == 0 && pass == 0;
            if (backward) gradient.clear();
            if (sums_ones) small->grad_bias[lane] = 0.0f;
            __syncwarp();
            for (int v = 0; v < visits; v++) {
                const SlabPiece piece = slab_piece(j, rows, v);
                const Element *Z = slab + piece.begin * j.stride;
                Element *residual = R + (j.passes == 1 ? 0 : piece.begin * (CT + 8));
                if (piece.streamed) {
                    Z = slab + (j.resident + streamed % j.stages * j.stage) * j.stride;
                    if (j.stages == 2) cp_async_wait<1>(); /* the other slot may be on its way */
                    else cp_async_wait<0>();
                    __syncthreads();
                }
                if (forward) {
                    const int64_t b = rows.first + piece.begin + threadIdx.x / 2;
                    SlabLabels<CT> labels;
                    if (warp < piece.tiles) labels.load(a.Y, b, a.B, a.C);
                    slab_forward<T, CT>(j, a.C, Z, piece.tiles);
                    __syncthreads(); /* all warps' logits are there */
                    if (warp < piece.tiles)
                        loss += slab_softmax<T, CT>(j, a.C, labels, piece.tiles, b < a.B, residual);
                    __syncthreads(); /* and R */
                }
                if (backward) gradient.add(j, residual, Z, piece.tiles, unit, mine);
                if (sums_ones) G::add_ones(j, residual, Z, piece.tiles, small->grad_bias);
                if (piece.streamed) {
                    __syncthreads(); /* nobody reads the slot any more */
                    slab_fetch<T, UNITS>(j, rows, a.B, streamed + j.stages, a.M);
                    streamed++;
                }
            }
            if (!backward) continue;
            gradient.store(j, a.C, partial, unit, mine);
            __syncwarp(); /* a lane's sums are another's to store */
            if (sums_ones && lane < a.C)
                partial[a.C * 16 * j.units + lane] = small->grad_bias[lane];
        }

        loss = warp_sum(loss);
        if (lane == 0) small->loss[warp] = loss;
        slab_barrier(j, epoch, j.loss + own);
        if (own == 0 && warp == SLAB_WARPS - 1) {
            double sum = 0.0;
            for (int i = lane; i < j.count; i += WARP) sum += j.loss[i];
            sum = warp_sum(sum);
            if (lane == 0) j.losses[m] = sum;
        }
        slab_slice(a, j, own);
        if (m + 1 < a.M) slab_barrier(j, epoch, (double *)NULL);
    }
    cp_async_wait<0>(); /* empty groups alone */
}

/* The last space to end adds the losses of all, in order. */
template <class T> __device__ void slab_losses(const Slab<T> &a, const SlabJob<T> &j) {
    SlabSmall *small = shared_mem<SlabSmall>(j.at_small);
    __syncthreads();
    if (threadIdx.x == 0) {
        small->before = add_release(a.finished, 1);
        load_acquire(a.finished);
    }
    __syncthreads();
    if (small->before + 1 != (unsigned)a.jobs || !a.losses) return;
    for (int m = threadIdx.x; m < a.M; m += SLAB_THREADS) {
        double sum = 0.0;
        for (int k = 0; k < a.jobs; k++) sum += a.job[k].losses[m];
        a.losses[m] = (float)(sum / (double)a.B);
    }
}

template <class T, int CT>
__global__ void __launch_bounds__(SLAB_THREADS, 1) inner_mega_v2_slab(const Slab<T> a) {
    NO_UNROLL
    for (int k = 0; k < a.jobs; k++) {
        const SlabJob<T> &j = a.job[k];
        const int own = (int)blockIdx.x - j.first;
        if (own < 0 || own >= j.count) continue;
        slab_job<T, CT>(a, j, own);
        if (own == 0) slab_losses(a, j);
    }
}

/* --- on the host ------------------------------------------------------------------------------ */

struct SlabScratch {
    struct {
        char *W;
        double *loss, *losses;
    } space[MAX_SPACES];
    unsigned *counter; /* (K + 1) a barrier of every space, and how many have ended */
    float *partial;
    int64_t bytes;
};
static_assert((int)MAX_SPACES <= (int)PLAN_MAX_JOBS, "a space is a job");

/* Partial sums: of spaces in turn two areas by turns, for no CTA is two spaces behind another; of
 * spaces side by side one behind the other. */
static SlabScratch lay_out_slab(void *scratch, int K, int64_t B, int64_t C, int64_t d) {
    SlabScratch s = {};
    Pieces pieces = {scratch, 0};
    const int64_t units = ceil_div(d, SLAB_TILE), tiles = ceil_div(B, SLAB_TILE);
    constexpr int64_t most = SLAB_MOST_BLOCKS;
    const int64_t blocks = tiles < most ? tiles : most;
    const int64_t beside = K * tiles < most ? K * tiles : most;
    const int64_t in_turn = K > 1 ? 2 * blocks : blocks;
    for (int k = 0; k < K; k++) {
        s.space[k].W = pieces.take(C * units * SLAB_TILE * 2);
        s.space[k].loss = pieces.take<double>(blocks * 8);
        s.space[k].losses = pieces.take<double>(SLAB_MOST_STEPS * 8);
    }
    s.counter = pieces.take<unsigned>((K + 1) * 4);
    s.partial =
        pieces.take<float>((beside > in_turn ? beside : in_turn) * slab_floats(C, units) * 4);
    s.bytes = pieces.bytes;
    return s;
}

int64_t slab_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    if (dtype_bytes(type) != 2 || C > SLAB_MOST_CLASSES) return 0;
    return lay_out_slab(NULL, K, B, C, d).bytes;
}

template <class T>
static Slab<T> slab_arguments(const InnerSteps *in, const Plan &plan, const SlabScratch &scratch) {
    Slab<T> a = {};
    int64_t most = 0, beside = 0;
    for (int k = 0; k < plan.jobs; k++) {
        const int64_t floats = slab_floats(in->C, ceil_div(plan.job[k].d, SLAB_TILE));
        if (floats > most) most = floats;
    }
    for (int k = 0; k < plan.jobs; k++) {
        const PlanLayout &l = plan.job[k];
        const InnerSpace &space = in->space[k];
        SlabJob<T> &j = a.job[k];
        j.Z = (const typename T::Element *)space.Z.data;
        j.row = space.Z.row, j.d = (int)space.Z.d;
        j.head = space.head, j.m1 = space.m1, j.m2 = space.m2;
        j.W = (typename T::Element *)scratch.space[k].W;
        j.loss = scratch.space[k].loss, j.losses = scratch.space[k].losses;
        j.arrived = scratch.counter + k;
        j.first = l.first, j.count = l.count;
        j.rows = (int)l.rows, j.resident = (int)l.resident;
        j.group = l.group, j.stage = l.stage, j.stages = l.stages, j.passes = l.passes;
        j.stride = l.stride, j.units = (int)ceil_div(j.d, SLAB_TILE);
        j.at_slab = l.at.slab, j.at_logits = l.at.logits, j.at_R = l.at.R;
        j.at_small = l.at.small;
        j.partial = scratch.partial + (plan.side_by_side ? beside : k % 2 * l.count * most);
        beside += l.count * slab_floats(in->C, j.units);
    }
    a.jobs = plan.jobs;
    a.B = in->B, a.C = (int)in->C;
    a.Y = in->Y, a.step = in->step, a.lr = in->lr;
    a.scale = 1.0f / (residual_scale<T>() * (float)in->B);
    a.finished = scratch.counter + plan.jobs;
    return a;
}

template <class T, int CT>
static Status slab_launches(Queue *q, const InnerSteps *in, const Plan &plan, Slab<T> a) {
    const auto kernel = inner_mega_v2_slab<T, CT>;
    double features = 0.0;
    for (int k = 0; k < in->K; k++) features += (double)in->space[k].Z.d;
    REQUIRE(q, resident_blocks(q->device, kernel, SLAB_THREADS, (int)plan.shared) >= plan.blocks,
            "inner_steps (mega)");
    for (a.done = 0; a.done < in->M; a.done += a.M) {
        const cudaError_t error =
            cudaMemsetAsync(a.job[0].arrived, 0, (size_t)(in->K + 1) * sizeof(unsigned), q->stream);
        if (error != cudaSuccess) return cuda_queue_error(q, "inner_steps (mega)", error);
        a.M = (int)(in->M - a.done < SLAB_MOST_STEPS ? in->M - a.done : SLAB_MOST_STEPS);
        a.losses = in->losses ? in->losses + a.done : NULL;
        cost(q, 4.0 * (double)a.M * (double)in->B * (double)in->C * features,
             2.0 * (double)in->B * features);
        launch_with(q, COOPERATIVE, (inner_mega_v2_slab<T, CT>), dim3((unsigned)plan.blocks),
                    SLAB_THREADS, (int)plan.shared, a);
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
