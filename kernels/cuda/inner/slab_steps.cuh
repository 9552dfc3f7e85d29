/*
 * slab_steps.cuh - what the CTAs of the slab form do together: visits of all rows, steps of the heads
 *
 * slab.cuh has what one CTA does with a piece of rows, inner_slab.cu cost and pictures.
 */
#ifndef TURTLE_KERNELS_CUDA_INNER_SLAB_STEPS_CUH
#define TURTLE_KERNELS_CUDA_INNER_SLAB_STEPS_CUH

#include "kernels/cuda/inner/slab.cuh"

/* A CTA of a space, during a launch. */
template <class T, int CT> struct SlabCta {
    const SlabSpace<T> &space;
    int own, C;
    int64_t B;
    SlabRows rows;
    int sweeps;     /* sweeps of the launch, for which rows are streamed */
    int streamed;   /* streamed pieces visited so far */
    unsigned epoch; /* epoch of the barrier */
    SlabGradient<T, CT> gradient;

    __device__ __forceinline__ SlabCta(const SlabSpace<T> &space, int own, int C, int64_t B,
                                       int sweeps)
        : space(space), own(own), C(C), B(B), rows(slab_rows(space.cut, own, B)), sweeps(sweeps),
          streamed(0), epoch(0) {}
    static __device__ __forceinline__ SlabSmall *small(const SlabSpace<T> &space) {
        return shared_mem<SlabSmall>(space.at_small);
    }
    __device__ __forceinline__ float *partial() const {
        return space.partial + own * slab_floats(C, space.strips);
    }
};

/* Begins the copies of resident rows and of the first streamed ones, and writes the column of ones behind each
 * row. */
template <class T, int CT> __device__ __forceinline__ void slab_begin(const SlabCta<T, CT> &s) {
    const SlabSpace<T> &space = s.space;
    auto *slab = shared_mem<typename T::Element>(space.at_slab);
    slab_load(space, s.rows, s.B, slab, 0, s.rows.resident, 0, space.strips);
    cp_async_commit();
    for (int i = 0; i < space.cut.stages; i++)
        slab_fetch<T, SlabGradient<T, CT>::STRIPS>(space, s.rows, s.B, i, s.sweeps);
    for (int i = threadIdx.x;
         i < SLAB_PAD * (space.cut.resident + space.cut.stages * space.cut.stage);
         i += SLAB_THREADS)
        slab[i / SLAB_PAD * space.stride + 16 * space.strips + i % SLAB_PAD] =
            i % SLAB_PAD ? (uint16_t)0 : T::from(1.0f);
}

/* --- visits ----------------------------------------------------------------------------------- */

/* The parts that a sweep computes: logits, what the epilogue makes of them, the gradient. The warp has the
 * gradient's features [16 strip, 16 (strip + mine)); with `ones` it also sums R itself. */
struct SlabPurpose {
    bool forward, epilogue, backward, ones;
    int strip, mine;
};
/* A sweep of logits and epilogues. */
__device__ __forceinline__ SlabPurpose slab_logits() {
    return {true, true, false, false, 0, 0};
}
/* A sweep of a pass of the gradient. */
template <int STRIPS>
__device__ __forceinline__ SlabPurpose slab_gradient_of(int pass, int strips, bool forward,
                                                        bool epilogue) {
    const int warp = threadIdx.x / WARP;
    const int first = pass_begin<STRIPS>(pass), n = pass_end<STRIPS>(pass, strips) - first;
    SlabPurpose p = {forward, epilogue, true, warp == 0 && pass == 0, first + n * warp / SLAB_WARPS,
                     0};
    p.mine = first + n * (warp + 1) / SLAB_WARPS - p.strip;
    return p;
}

/* Visits every piece: its logits, of which the epilogue makes residuals, and their gradient. Threads that have a
 * row call epilogue.load() before the product; all threads call epilogue.apply() behind it. */
template <class T, int CT, class Epilogue>
__device__ __forceinline__ void slab_visit(SlabCta<T, CT> &s, const SlabPurpose &p,
                                           Epilogue &epilogue) {
    using Element = typename T::Element;
    using G = SlabGradient<T, CT>;
    const SlabSpace<T> &space = s.space;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int visits = s.rows.stays + s.rows.streams;
    float *grad_bias = s.small(space)->grad_bias;
    if (p.backward) s.gradient.clear();
    if (p.ones) grad_bias[lane] = 0.0f;
    __syncwarp();
    for (int v = 0; v < visits; v++) {
        const SlabPiece piece = slab_piece(space.cut, s.rows, v);
        const int row = piece.streamed
                            ? space.cut.resident + s.streamed % space.cut.stages * space.cut.stage
                            : piece.begin;
        const int Z = space.at_slab + 2 * space.stride * row; /* bytes */
        const int R = space.at_R + (space.passes == 1 ? 0 : piece.begin * (CT + 8) * 2);
        if (piece.streamed) {
            if (space.cut.stages == 2) cp_async_wait<1>(); /* the other slot may be on its way */
            else cp_async_wait<0>();
            __syncthreads();
        }
        if (p.epilogue) {
            const int64_t b = s.rows.first + piece.begin + threadIdx.x / 2;
            const bool has_row = warp < piece.bands;
            if (has_row) epilogue.load(s, b);
            if (p.forward) slab_forward<T, CT>(space, s.C, Z, piece.bands);
            __syncthreads(); /* all warps' logits are there, and R of the piece before is read */
            epilogue.apply(s, piece.bands, b, has_row, shared_mem<Element>(R));
            __syncthreads(); /* and R */
        }
        if (p.backward) s.gradient.add(space, R, Z, piece.bands, p.strip, p.mine);
        if (p.ones) G::add_ones(space, R, Z, piece.bands, grad_bias);
        if (piece.streamed) {
            __syncthreads(); /* nobody reads the slot any more */
            slab_fetch<T, G::STRIPS>(space, s.rows, s.B, s.streamed + space.cut.stages, s.sweeps);
            s.streamed++;
        }
    }
}

/* Stores the warp's gradient and the sums of R, times `by`, among the CTA's partial sums. */
template <class T, int CT>
__device__ __forceinline__ void slab_store(SlabCta<T, CT> &s, const SlabPurpose &p, float by) {
    const SlabSpace<T> &space = s.space;
    const int lane = threadIdx.x % WARP;
    float *partial = s.partial();
    s.gradient.multiply(by);
    s.gradient.store(space, s.C, partial, p.strip, p.mine);
    __syncwarp(); /* another lane stores this lane's sums */
    if (p.ones && lane < s.C)
        partial[s.C * 16 * space.strips + lane] = s.small(space)->grad_bias[lane] * by;
}

/* --- between CTAs ----------------------------------------------------------------------------- */

/* Lets the CTAs of one space meet. Before the barrier the CTA's loss is stored in *loss, unless it is NULL. The last
 * warp calls meanwhile() while the first one waits. */
template <class T, class Meanwhile>
__device__ __forceinline__ void slab_barrier(const SlabSpace<T> &space, unsigned &epoch,
                                             double *loss, Meanwhile meanwhile) {
    epoch += (unsigned)space.count;
    __syncthreads(); /* one thread releases what the whole CTA wrote */
    if (threadIdx.x == 0) {
        if (loss) {
            const double *warps = shared_mem<SlabSmall>(space.at_small)->loss;
            double sum = 0.0;
            for (int w = 0; w < SLAB_WARPS; w++) sum += warps[w];
            *loss = sum;
        }
        add_release(space.arrived, 1);
        wait_for(space.arrived, epoch);
    }
    if (threadIdx.x / WARP == SLAB_WARPS - 1) meanwhile();
    __syncthreads();
}

/* Lets the CTAs meet behind their partial sums and losses, the sums of their threads in double. Two steps that follow
 * each other store losses in two places: those of step m may be read until the CTAs meet behind it. */
template <class T, int CT>
__device__ __forceinline__ void share_losses(SlabCta<T, CT> &s, int m, double loss) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    loss = warp_sum(loss);
    if (lane == 0) s.small(s.space)->loss[warp] = loss;
    slab_barrier(s.space, s.epoch, s.space.loss + m % 2 * s.space.count + s.own, [] {});
}

/* One warp calls it, behind share_losses. Returns the loss of step m in the lanes of the first CTA, and 0 elsewhere. */
template <class T, int CT>
__device__ __forceinline__ double step_loss(const SlabCta<T, CT> &s, int m) {
    double sum = 0.0;
    if (s.own != 0) return sum;
    for (int i = threadIdx.x % WARP; i < s.space.count; i += WARP)
        sum += s.space.loss[m % 2 * s.space.count + i];
    return warp_sum(sum);
}

/* Adds up the CTA's slice of the gradient over all CTAs in order, and gives each sum to the epilogue. Threads lie
 * in a grid: `width` quads of the slice x parts of the CTAs. */
template <class T, class Epilogue>
__device__ __forceinline__ void reduce_slice(const SlabSpace<T> &space, int C, int own,
                                             Epilogue epilogue) {
    const int across = space.strips * SLAB_FRAGMENT;
    const int64_t floats = slab_floats(C, space.strips), quads = floats / 4;
    const int begin = (int)(quads * own / space.count),
              past = (int)(quads * (own + 1) / space.count);
    const int width = past - begin <= 16 ? 16 : past - begin <= 32 ? 32 : 64;
    const int parts = SLAB_THREADS / width, part = threadIdx.x / width, quad = threadIdx.x % width;
    const int from = space.count * part / parts, to = space.count * (part + 1) / parts;
    float *sums = shared_mem<float>(space.at_logits); /* (parts, width) quads */
    static_assert(SLAB_SUMS >= SLAB_THREADS * 16, "a quad per thread");
    for (int base = begin; base < past; base += width) {
        /* element 4 base + threadIdx.x is this thread's for the epilogue */
        const int e = 4 * base + (int)threadIdx.x;
        const bool owns = (int)threadIdx.x < 4 * width && e < 4 * past;
        const int c = e < C * across ? e / across : e - C * across;
        const int column = e < C * across ? e % across : space.d; /* d: the bias */
        const bool real =
            owns && c < C && column <= space.d && (column < space.d || e >= C * across);
        const int i = column < space.d ? c * space.d + column : C * space.d + c;
        if (real) epilogue.load(i);

        constexpr int AT_ONCE = 8; /* loads under way at a time */
        float4 s = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float *in = space.partial + 4 * (base + quad);
        for (int n = from; n < to && base + quad < past; n += AT_ONCE) {
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
            epilogue.apply(i, column < space.d ? grad * space.unit : grad);
        }
        if (owns && e < C * across) epilogue.publish(e, real);
        __syncthreads(); /* the sums give way to the next ones */
    }
}

/* --- steps of the heads ----------------------------------------------------------------------- */

/* The epilogue that makes residuals of logits: the labels are known. */
template <class T, int CT> struct TrainingEpilogue {
    const float *Y;
    double loss;
    SlabLabels<CT> labels;

    __device__ __forceinline__ void load(const SlabCta<T, CT> &s, int64_t b) {
        labels.load(Y, b, s.B, s.C);
    }
    __device__ __forceinline__ void apply(const SlabCta<T, CT> &s, int bands, int64_t b,
                                          bool has_row, typename T::Element *R) {
        if (has_row) loss += slab_softmax<T, CT>(s.space, s.C, labels, bands, b < s.B, R);
    }
};

/* The epilogue of a slice: Adam, and W for the next step. */
template <class T> struct SlabAdamEpilogue {
    const SlabSpace<T> &space;
    AdamStep step;
    float scale, w, m1, m2;

    __device__ __forceinline__ void load(int i) {
        w = space.head[i], m1 = space.m1[i], m2 = space.m2[i];
    }
    __device__ __forceinline__ void apply(int i, float grad) {
        adam_update(step, w, grad * scale, m1, m2);
        space.head[i] = w, space.m1[i] = m1, space.m2[i] = m2;
    }
    __device__ __forceinline__ void publish(int e, bool real) const {
        space.W[e] = real ? T::from(w * space.unit) : (uint16_t)0;
    }
};

/* Loads W for a step, in 16 bits: before the first step from the master, later as the slices' owners stored it. */
template <class T> __device__ void slab_weights(const SlabSpace<T> &space, int C, bool first) {
    using Element = typename T::Element;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP,
              across = space.strips * SLAB_FRAGMENT;
    Element *W = shared_mem<Element>(0);
    for (int c = warp; c < C; c += SLAB_WARPS) {
        if (first) {
            for (int i = lane; i < across; i += WARP)
                W[c * space.stride + i] =
                    i < space.d ? T::from(space.head[c * space.d + i] * space.unit) : (uint16_t)0;
        } else {
            for (int i = 8 * lane; i < across; i += 8 * WARP)
                cp_async_16(W + c * space.stride + i, space.W + (int64_t)c * across + i, 16);
        }
    }
    cp_async_commit();
    if ((int)threadIdx.x < C)
        shared_mem<SlabSmall>(space.at_small)->bias[threadIdx.x] =
            space.head[C * space.d + threadIdx.x];
}

/* Keeps the loss of step m. One warp calls it, behind slab_step. */
template <class T, int CT>
__device__ __forceinline__ void keep_loss(const SlabCta<T, CT> &s, int m) {
    const double loss = step_loss(s, m);
    if (s.own == 0 && threadIdx.x % WARP == 0) s.space.losses[m] = loss;
}

/* The m-th step of the launch, towards the labels Y (B,C). The CTAs have not met behind it, nor is its loss kept:
 * the caller calls slab_barrier and keep_loss. */
template <class T, int CT>
__device__ __forceinline__ void slab_step(const Slab<T> &a, SlabCta<T, CT> &s, const float *Y,
                                          int m) {
    constexpr int STRIPS = SlabGradient<T, CT>::STRIPS;
    const SlabSpace<T> &space = s.space;
    SlabSmall *small = s.small(space);
    TrainingEpilogue<T, CT> epilogue = {Y, 0.0, {}};
    slab_weights(space, s.C, m == 0);
    if (threadIdx.x == SLAB_THREADS - 1) small->adam = adam_step(a.lr, *a.step + a.done + m);
    cp_async_wait<0>();
    __syncthreads();
    if (space.passes > 1) slab_visit(s, slab_logits(), epilogue);
    for (int pass = 0; pass < space.passes; pass++) {
        const bool whole = space.passes == 1;
        const SlabPurpose gradient = slab_gradient_of<STRIPS>(pass, space.strips, whole, whole);
        slab_visit(s, gradient, epilogue);
        slab_store(s, gradient, 1.0f);
    }
    share_losses(s, m, epilogue.loss);
    reduce_slice(space, s.C, s.own,
                 SlabAdamEpilogue<T>{space, small->adam, a.scale, 0.0f, 0.0f, 0.0f});
}

/* --- on the host ------------------------------------------------------------------------------ */

struct SlabScratch {
    struct {
        char *W;
        double *loss, *losses;
    } space[MAX_SPACES];
    unsigned *counter; /* (K + 1) the spaces' barriers, then the number of spaces that have ended */
    float *partial;
    int64_t bytes;
};
static_assert((int)MAX_SPACES <= (int)PLAN_MAX_SPACES, "the plan has room for every space");

/* Spaces in turn use two areas of partial sums by turns, for no CTA is two spaces behind another one. Spaces side
 * by side have areas one behind the other. */
inline SlabScratch lay_out_slab(void *scratch, int K, int64_t B, int64_t C, int64_t d) {
    SlabScratch s = {};
    Pieces pieces = {scratch, 0};
    const int64_t strips = ceil_div(d, SLAB_FRAGMENT), bands = ceil_div(B, SLAB_FRAGMENT);
    const int64_t blocks = least(bands, SLAB_MOST_BLOCKS);
    const int64_t beside = least(K * bands, SLAB_MOST_BLOCKS);
    const int64_t in_turn = K > 1 ? 2 * blocks : blocks;
    for (int k = 0; k < K; k++) {
        s.space[k].W = (char *)take(&pieces, C * strips * SLAB_FRAGMENT * 2);
        s.space[k].loss = take_f64(&pieces, 2 * blocks);
        s.space[k].losses = take_f64(&pieces, SLAB_MOST_STEPS);
    }
    s.counter = take_u32(&pieces, K + 1);
    s.partial = take_f32(&pieces, most(beside, in_turn) * slab_floats(C, strips));
    s.bytes = pieces.bytes;
    return s;
}

/* Returns the arguments but for the steps of a launch (M, done, losses). */
template <class T>
Slab<T> slab_arguments(const InnerSteps *in, const Plan &plan, const SlabScratch &scratch) {
    Slab<T> a = {};
    int64_t most = 0, beside = 0;
    for (int k = 0; k < plan.spaces; k++) {
        const int64_t floats = slab_floats(in->C, ceil_div(plan.space[k].d, SLAB_FRAGMENT));
        if (floats > most) most = floats;
    }
    for (int k = 0; k < plan.spaces; k++) {
        const PlanLayout &l = plan.space[k];
        const InnerSpace &from = in->space[k];
        SlabSpace<T> &space = a.space[k];
        space.Z = (const typename T::Element *)from.Z.data;
        space.row = from.Z.row, space.N = in->B, space.d = (int)from.Z.d,
        space.unit = batch_unit(&from.Z);
        space.head = from.head, space.m1 = from.m1, space.m2 = from.m2;
        space.W = (typename T::Element *)scratch.space[k].W;
        space.loss = scratch.space[k].loss, space.losses = scratch.space[k].losses;
        space.arrived = scratch.counter + k;
        space.first = l.first, space.count = l.count;
        space.cut = plan_cut(&l);
        space.passes = l.passes, space.stride = l.stride,
        space.strips = (int)ceil_div(space.d, SLAB_FRAGMENT);
        space.at_slab = l.at.slab, space.at_logits = l.at.logits, space.at_R = l.at.R;
        space.at_small = l.at.small;
        space.partial = scratch.partial + (plan.side_by_side ? beside : k % 2 * l.count * most);
        beside += l.count * slab_floats(in->C, space.strips);
    }
    a.spaces = plan.spaces;
    a.B = in->B, a.C = (int)in->C;
    a.Y = in->Y, a.step = in->step, a.lr = in->lr;
    a.scale = 1.0f / (residual_scale<T>() * (float)in->B);
    a.finished = scratch.counter + plan.spaces;
    return a;
}

#endif
