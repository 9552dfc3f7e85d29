/*
 * slab_steps.cuh - the slab form's CTAs together: visits of all rows, steps of the heads, their arguments
 *
 * What one CTA does with a piece of rows: slab.cuh. Cost and pictures: inner_slab.cu.
 */
#ifndef TURTLE_KERNELS_CUDA_INNER_SLAB_STEPS_CUH
#define TURTLE_KERNELS_CUDA_INNER_SLAB_STEPS_CUH

#include "kernels/cuda/inner/slab.cuh"

/* A CTA of a job, for a launch. */
template <class T, int CT> struct SlabCta {
    const SlabJob<T> &j;
    int own, C;
    int64_t B;
    SlabRows rows;
    int sweeps;     /* visits of all rows in this launch, which a stream has to serve */
    int streamed;   /* pieces used so far */
    unsigned epoch; /* of the barrier */
    SlabGradient<T, CT> gradient;

    __device__ __forceinline__ SlabCta(const SlabJob<T> &j, int own, int C, int64_t B, int sweeps)
        : j(j), own(own), C(C), B(B), rows(slab_rows(j.cut, own, B)), sweeps(sweeps), streamed(0),
          epoch(0) {}
    static __device__ __forceinline__ SlabSmall *small(const SlabJob<T> &j) {
        return shared_mem<SlabSmall>(j.at_small);
    }
    __device__ __forceinline__ float *partial() const {
        return j.partial + own * slab_floats(C, j.units);
    }
};

/* Resident rows and the first streamed ones come; behind each row the column of ones. */
template <class T, int CT> __device__ __forceinline__ void slab_begin(const SlabCta<T, CT> &s) {
    const SlabJob<T> &j = s.j;
    auto *slab = shared_mem<typename T::Element>(j.at_slab);
    slab_load(j, s.rows, s.B, slab, 0, s.rows.resident, 0, j.units);
    cp_async_commit();
    for (int i = 0; i < j.cut.stages; i++)
        slab_fetch<T, SlabGradient<T, CT>::UNITS>(j, s.rows, s.B, i, s.sweeps);
    for (int i = threadIdx.x; i < SLAB_PAD * (j.cut.resident + j.cut.stages * j.cut.stage); i += SLAB_THREADS)
        slab[i / SLAB_PAD * j.stride + 16 * j.units + i % SLAB_PAD] =
            i % SLAB_PAD ? (uint16_t)0 : T::from(1.0f);
}

/* --- visits ----------------------------------------------------------------------------------- */

/* What a visit of all rows is for. Of the gradient the warp has the features [16 unit, 16 (unit +
 * mine)), and it sums R itself where `ones`. */
struct SlabPurpose {
    bool forward, backward, ones;
    int unit, mine;
};
template <int UNITS>
__device__ __forceinline__ SlabPurpose slab_gradient_of(int pass, int units, bool forward) {
    const int warp = threadIdx.x / WARP;
    const int first = pass_begin<UNITS>(pass), n = pass_end<UNITS>(pass, units) - first;
    SlabPurpose p = {forward, true, warp == 0 && pass == 0, first + n * warp / SLAB_WARPS, 0};
    p.mine = first + n * (warp + 1) / SLAB_WARPS - p.unit;
    return p;
}

/* Visits every piece: its logits, of which the epilogue makes residuals, and their gradient. Threads that have a
 * row call epilogue.load() before the product; all threads call epilogue.apply() behind it. */
template <class T, int CT, class Epilogue>
__device__ __forceinline__ void slab_visit(SlabCta<T, CT> &s, const SlabPurpose &p, Epilogue &epilogue) {
    using Element = typename T::Element;
    using G = SlabGradient<T, CT>;
    const SlabJob<T> &j = s.j;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int visits = s.rows.stays + s.rows.streams;
    Element *slab = shared_mem<Element>(j.at_slab), *R = shared_mem<Element>(j.at_R);
    float *grad_bias = s.small(j)->grad_bias;
    if (p.backward) s.gradient.clear();
    if (p.ones) grad_bias[lane] = 0.0f;
    __syncwarp();
    for (int v = 0; v < visits; v++) {
        const SlabPiece piece = slab_piece(j.cut, s.rows, v);
        const Element *Z = slab + piece.begin * j.stride;
        Element *residual = R + (j.passes == 1 ? 0 : piece.begin * (CT + 8));
        if (piece.streamed) {
            Z = slab + (j.cut.resident + s.streamed % j.cut.stages * j.cut.stage) * j.stride;
            if (j.cut.stages == 2) cp_async_wait<1>(); /* the other slot may be on its way */
            else cp_async_wait<0>();
            __syncthreads();
        }
        if (p.forward) {
            const int64_t b = s.rows.first + piece.begin + threadIdx.x / 2;
            const bool has_row = warp < piece.tiles;
            if (has_row) epilogue.load(b);
            slab_forward<T, CT>(j, s.C, Z, piece.tiles);
            __syncthreads(); /* all warps' logits are there */
            epilogue.apply(s, piece.tiles, b, has_row, residual);
            __syncthreads(); /* and R */
        }
        if (p.backward) s.gradient.add(j, residual, Z, piece.tiles, p.unit, p.mine);
        if (p.ones) G::add_ones(j, residual, Z, piece.tiles, grad_bias);
        if (piece.streamed) {
            __syncthreads(); /* nobody reads the slot any more */
            slab_fetch<T, G::UNITS>(j, s.rows, s.B, s.streamed + j.cut.stages, s.sweeps);
            s.streamed++;
        }
    }
}

/* The warp's gradient and the sums of R, times `by`, into the CTA's partial sums. */
template <class T, int CT>
__device__ __forceinline__ void slab_store(SlabCta<T, CT> &s, const SlabPurpose &p, float by) {
    const SlabJob<T> &j = s.j;
    const int lane = threadIdx.x % WARP;
    float *partial = s.partial();
    s.gradient.multiply(by);
    s.gradient.store(j, s.C, partial, p.unit, p.mine);
    __syncwarp(); /* a lane's sums are another's to store */
    if (p.ones && lane < s.C) partial[s.C * 16 * j.units + lane] = s.small(j)->grad_bias[lane] * by;
}

/* --- between CTAs ----------------------------------------------------------------------------- */

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

/* The CTAs meet when their partial sums are there, each with the threads' `loss`. That of all, in double:
 * by the lanes of the first CTA's last warp; 0 elsewhere. */
template <class T, int CT>
__device__ __forceinline__ double sum_losses(SlabCta<T, CT> &s, double loss) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    loss = warp_sum(loss);
    if (lane == 0) s.small(s.j)->loss[warp] = loss;
    slab_barrier(s.j, s.epoch, s.j.loss + s.own);
    double sum = 0.0;
    if (s.own == 0 && warp == SLAB_WARPS - 1) {
        for (int i = lane; i < s.j.count; i += WARP) sum += s.j.loss[i];
        sum = warp_sum(sum);
    }
    return sum;
}

/* The CTA's slice of the gradient: its sums over all CTAs in order, each given to the epilogue. Threads lie in
 * `width` quads of the slice x parts of the CTAs. */
template <class T, class Epilogue>
__device__ __forceinline__ void reduce_slice(const SlabJob<T> &j, int C, int own, Epilogue epilogue) {
    const int across = j.units * SLAB_TILE;
    const int64_t floats = slab_floats(C, j.units), quads = floats / 4;
    const int begin = (int)(quads * own / j.count), past = (int)(quads * (own + 1) / j.count);
    const int width = past - begin <= 16 ? 16 : past - begin <= 32 ? 32 : 64;
    const int parts = SLAB_THREADS / width, part = threadIdx.x / width, quad = threadIdx.x % width;
    const int from = j.count * part / parts, to = j.count * (part + 1) / parts;
    float *sums = shared_mem<float>(j.at_logits); /* (parts, width) quads */
    static_assert(SLAB_SUMS >= SLAB_THREADS * 16, "a quad per thread");
    for (int base = begin; base < past; base += width) {
        /* element 4 base + threadIdx.x is this thread's for the epilogue */
        const int e = 4 * base + (int)threadIdx.x;
        const bool owns = (int)threadIdx.x < 4 * width && e < 4 * past;
        const int c = e < C * across ? e / across : e - C * across;
        const int column = e < C * across ? e % across : j.d; /* d: the bias */
        const bool real = owns && c < C && column <= j.d && (column < j.d || e >= C * across);
        const int i = column < j.d ? c * j.d + column : C * j.d + c;
        if (real) epilogue.load(i);

        constexpr int AT_ONCE = 8; /* loads on their way */
        float4 s = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        const float *in = j.partial + 4 * (base + quad);
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
            epilogue.apply(i, column < j.d ? grad * j.unit : grad);
        }
        if (owns && e < C * across) epilogue.publish(e, real);
        __syncthreads(); /* the sums give way to the next ones */
    }
}

/* --- steps of the heads ----------------------------------------------------------------------- */

/* Labels known, logits become residuals. */
template <class T, int CT> struct TrainingEpilogue {
    const float *Y;
    int C;
    int64_t B;
    double loss;
    SlabLabels<CT> labels;

    __device__ __forceinline__ void load(int64_t b) {
        labels.load(Y, b, B, C);
    }
    __device__ __forceinline__ void apply(const SlabCta<T, CT> &s, int tiles, int64_t b,
                                           bool has_row, typename T::Element *R) {
        if (has_row) loss += slab_softmax<T, CT>(s.j, C, labels, tiles, b < B, R);
    }
};

/* Adam, and W for the next step. */
template <class T> struct SlabAdamEpilogue {
    const SlabJob<T> &j;
    AdamStep step;
    float scale, w, m1, m2;

    __device__ __forceinline__ void load(int i) {
        w = j.head[i], m1 = j.m1[i], m2 = j.m2[i];
    }
    __device__ __forceinline__ void apply(int i, float grad) {
        adam_update(step, w, grad * scale, m1, m2);
        j.head[i] = w, j.m1[i] = m1, j.m2[i] = m2;
    }
    __device__ __forceinline__ void publish(int e, bool real) const {
        j.W[e] = real ? T::from(w * j.unit) : (uint16_t)0;
    }
};

/* W for a step, in 16 bits: from the master before the first, then as the slices' owners left it. */
template <class T> __device__ void slab_weights(const SlabJob<T> &j, int C, bool first) {
    using Element = typename T::Element;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP, across = j.units * SLAB_TILE;
    Element *W = shared_mem<Element>(0);
    for (int c = warp; c < C; c += SLAB_WARPS) {
        if (first) {
            for (int i = lane; i < across; i += WARP)
                W[c * j.stride + i] = i < j.d ? T::from(j.head[c * j.d + i] * j.unit) : (uint16_t)0;
        } else {
            for (int i = 8 * lane; i < across; i += 8 * WARP)
                cp_async_16(W + c * j.stride + i, j.W + (int64_t)c * across + i, 16);
        }
    }
    cp_async_commit();
    if ((int)threadIdx.x < C)
        shared_mem<SlabSmall>(j.at_small)->bias[threadIdx.x] = j.head[C * j.d + threadIdx.x];
}

/* The m-th step of the launch. Behind it the CTAs have not met: slab_barrier. */
template <class T, int CT>
__device__ __forceinline__ void slab_step(const Slab<T> &a, SlabCta<T, CT> &s, int m) {
    constexpr int UNITS = SlabGradient<T, CT>::UNITS;
    const SlabJob<T> &j = s.j;
    SlabSmall *small = s.small(j);
    TrainingEpilogue<T, CT> epilogue = {a.Y, s.C, s.B, 0.0, {}};
    slab_weights(j, s.C, m == 0);
    if (threadIdx.x == SLAB_THREADS - 1) small->adam = adam_step(a.lr, *a.step + a.done + m);
    cp_async_wait<0>();
    __syncthreads();
    if (j.passes > 1) slab_visit(s, SlabPurpose{true, false, false, 0, 0}, epilogue);
    for (int pass = 0; pass < j.passes; pass++) {
        const SlabPurpose gradient = slab_gradient_of<UNITS>(pass, j.units, j.passes == 1);
        slab_visit(s, gradient, epilogue);
        slab_store(s, gradient, 1.0f);
    }
    const double loss = sum_losses(s, epilogue.loss);
    if (s.own == 0 && threadIdx.x == SLAB_THREADS - WARP) j.losses[m] = loss;
    reduce_slice(j, s.C, s.own, SlabAdamEpilogue<T>{j, small->adam, a.scale, 0.0f, 0.0f, 0.0f});
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
inline SlabScratch lay_out_slab(void *scratch, int K, int64_t B, int64_t C, int64_t d) {
    SlabScratch s = {};
    Pieces pieces = {scratch, 0};
    const int64_t units = ceil_div(d, SLAB_TILE), tiles = ceil_div(B, SLAB_TILE);
    const int64_t blocks = least(tiles, SLAB_MOST_BLOCKS);
    const int64_t beside = least(K * tiles, SLAB_MOST_BLOCKS);
    const int64_t in_turn = K > 1 ? 2 * blocks : blocks;
    for (int k = 0; k < K; k++) {
        s.space[k].W = (char *)take(&pieces, C * units * SLAB_TILE * 2);
        s.space[k].loss = take_f64(&pieces, blocks);
        s.space[k].losses = take_f64(&pieces, SLAB_MOST_STEPS);
    }
    s.counter = take_u32(&pieces, K + 1);
    s.partial = take_f32(&pieces, most(beside, in_turn) * slab_floats(C, units));
    s.bytes = pieces.bytes;
    return s;
}

/* All but the steps of a launch (M, done, losses). */
template <class T>
Slab<T> slab_arguments(const InnerSteps *in, const Plan &plan, const SlabScratch &scratch) {
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
        j.row = space.Z.row, j.N = in->B, j.d = (int)space.Z.d, j.unit = batch_unit(&space.Z);
        j.head = space.head, j.m1 = space.m1, j.m2 = space.m2;
        j.W = (typename T::Element *)scratch.space[k].W;
        j.loss = scratch.space[k].loss, j.losses = scratch.space[k].losses;
        j.arrived = scratch.counter + k;
        j.first = l.first, j.count = l.count;
        j.cut = plan_cut(&l);
        j.passes = l.passes, j.stride = l.stride, j.units = (int)ceil_div(j.d, SLAB_TILE);
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

#endif
