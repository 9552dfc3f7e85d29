/*
 * task_step.cu - the outer loss, its gradient, and an Adam step of every task encoder (paper Eq. 12)
 *
 *     L_k = log_softmax(head_k(Z_k)),   loss_k = -1/B sum_b <Y_b, L_k,b>,   y = -1/B sum_k L_k,
 *     q = y/K + gamma (ln P_bar_k + 1)/B,   R_k = P_k (q - sum_c P_k q),
 *     (grad_W, grad_bias) = (R_k^T Z_k, sums of R_k),  through weight norm,  Adam
 *
 * Shapes   P (K,B,C), which R replaces; Y (B,C), P_bar (K,C), loss (K); Z_k, heads, tasks as in train.h.
 * Cost     4BCd flops per space; Z twice, L and P through the L2 cache (4KBC bytes each way).
 * Mapping  launches, whatever K is:
 *
 *              round_spaces              W of the heads in the operand type             (16 bits)
 *              head_labels_tiled         a block: 64 rows of a space (logits.cuh) -> L, a loss; 33 to 2048
 *                                        classes in 16 bits on 9.0: head_labels_wgmma, 128 rows a loss
 *                                        (wide_logits.cuh)
 *              task_grad_spaces          rows over lanes (rows.cuh), all spaces -> R; sums the losses
 *              round_residuals           R in the operand type, scaled                  (16 bits)
 *              gradient_tiled            R^T Z of all spaces (gradient.cuh); 33 classes and more in 16
 *                                        bits on 9.0: gradient_wgmma (wide_gradient.cuh)
 *              task_adam_spaces          a block: a class of a space: weight norm's gradient, Adam
 *
 *          R is not bounded. In fp16 it is multiplied by the power of two that brings the largest of all
 *          spaces to [2^14, 2^15): linear_grad.cu. Its maximum is taken where R is made.
 * Needs    spaces of one operand type and K C floats in shared memory; others, and TURTLE_KERNELS=naive,
 *          run operation by operation. scratch (cuda_task_step_scratch).
 * History  Not measured yet.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/rows.cuh"
#include "kernels/cuda/train/logits.cuh"
#include "kernels/cuda/train/residual_scale.cuh"
#include "kernels/cuda/train/task_adam.cuh"
#include "kernels/cuda/train/wide_gradient.cuh"
#include "kernels/cuda/train/wide_logits.cuh"

/* --- heads -> L, losses ----------------------------------------------------------------------- */

template <class T> struct HeadLabels {
    struct {
        const float *head;
        int64_t d, stride;
        float unit;             /* Z times `unit` are the features; W is multiplied by it */
        typename T::Element *W; /* (C, stride) rounded; NULL where the head itself is the operand */
        View<T> Z, W_view;
        float *L;             /* (B,C) */
        double *loss_partial; /* (logit_blocks(B)) */
    } space[MAX_SPACES];
    const float *Y;
    int64_t B, C;
    unsigned *most; /* (1), zeroed by the kernel */
};

template <class T> __global__ void round_spaces(const HeadLabels<T> a) {
    const auto &s = a.space[blockIdx.y];
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < a.C * s.stride;
         i += step) {
        const int64_t c = i / s.stride, j = i % s.stride;
        s.W[i] = from_float<T>(j < s.d ? s.head[c * s.d + j] * s.unit : 0.0f);
    }
    if (blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *a.most = 0;
}

template <class T, class S>
__global__ void __launch_bounds__(S::THREADS, 2) head_labels_tiled(const HeadLabels<T> a) {
    constexpr int LANES = LOGIT_LANES<S>;
    const auto &s = a.space[blockIdx.y];
    double loss = 0.0;
    logit_rows<T, S>(s.Z, s.W_view, s.head + a.C * s.d, s.L, a.B, a.C, blockIdx.x,
                     [&](int64_t b, const float *x, float top, float sum, int lane) {
                         const int64_t C = b < a.B ? a.C : 0;
                         const float *y = a.Y + b * a.C;
                         const float log_sum = logf(sum);
                         float mass = 0.0f, dot = 0.0f;
                         for (int64_t c = lane; c < C; c += LANES) {
                             const float below = x[c] - top;
                             dot += y[c] * below;
                             mass += y[c];
                             s.L[b * a.C + c] = below - log_sum;
                         }
                         mass = group_sum<LANES>(mass);
                         dot = group_sum<LANES>(dot);
                         if (C && lane == 0) loss += (double)(mass * log_sum - dot);
                     });
    __syncthreads(); /* logits in shared memory are read no more */
    loss = block_sum<S::THREADS>(loss, shared_mem<double>(0));
    if (threadIdx.x == 0) s.loss_partial[blockIdx.x] = loss;
}

/* The epilogue of rows whose logits are in registers (wide_logits.cuh). */
struct LogSoftmaxEpilogue {
    static constexpr bool LABELS = true, EXPONENTIALS = false;
    float *L;             /* (K,B,C) */
    double *loss_partial; /* (K, loss_blocks) */
    int64_t loss_blocks;

    __device__ double *losses(int k) const {
        return loss_partial + k * loss_blocks;
    }
    template <int COLS>
    __device__ __forceinline__ double store(const WideLogits &a, int k, const RowPlace<COLS> &at,
                                            const float (&d)[COLS / 2], int h, const RowPart &,
                                            const RowPart &row, Labels<COLS> &labels) const {
        const float log_sum = logf(row.sum);
        float loss = 0.0f;
        store_row(a, L + k * a.B * a.C, at, d, h, [&](int j, float x0, float x1) {
            labels.advance(a, at, h, j);
            const float2 y = labels.of(h, j);
            const float2 l = make_float2(x0 - row.top - log_sum, x1 - row.top - log_sum);
            loss -= y.x * l.x + y.y * l.y;
            return l;
        });
        return (double)loss;
    }
};

template <class T, int COLS>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    head_labels_wgmma(const __grid_constant__ WideLogits a,
                      const __grid_constant__ LogSoftmaxEpilogue epilogue) {
    wide_logits_kernel<T, COLS>(a, epilogue);
}

/* --- L, P -> R -------------------------------------------------------------------------------- */

struct TaskGrad {
    float *P;       /* (K,B,C) */
    const float *L; /* (K,B,C) */
    const float *P_bar;
    int K;
    int64_t B, C;
    float scale, share, weight; /* 1/B, 1/K, gamma/B */
    unsigned *most;             /* the largest |R|, as bits; NULL where nobody asks for it */
    const double *loss_partial; /* (K, loss_blocks) */
    int64_t loss_blocks;
    float *loss; /* (K) */
};
constexpr int GRAD_THREADS_PER_SM =
    1024; /* enough to hide memory; more would share the slopes less */

template <class Shape>
__global__ void __launch_bounds__(Shape::THREADS) task_grad_spaces(const TaskGrad a) {
    const int64_t matrix = a.B * a.C;
    float *slope =
        shared_mem<float>(ROW_SHARED); /* (K,C) the entropy's slopes, equal in every row */
    for (int64_t i = threadIdx.x; i < a.K * a.C; i += Shape::THREADS)
        slope[i] = a.P_bar[i] > 0.0f ? a.weight * (logf(a.P_bar[i]) + 1.0f) : 0.0f;
    __syncthreads();

    const int64_t stride = (int64_t)gridDim.x * Shape::PER_BLOCK;
    const int in_warp = (int)threadIdx.x % WARP / Shape::LANES;
    float most = 0.0f;
    /* the loop counts by the first row of the warp, so that all its lanes go round equally often */
    for (int64_t r = row_of_thread<Shape>() - in_warp; r < a.B; r += stride) {
        const RowOf<Shape> row(r + in_warp, a.B, a.C);
        const float *l_row = a.L + row.start;
        float y[Shape::HELD], p[Shape::HELD];
        auto sum_of = [&](int64_t c) { /* -1/B sum_k L_k */
                                       float sum = 0.0f;
                                       for (int k = 0; k < a.K; k++)
                                           sum -= l_row[k * matrix + c] * a.scale;
                                       return sum;
        };
        row.each([&](int i, int64_t c) {
            if (Shape::ITEMS) y[i] = sum_of(c);
        });
        for (int k = 0; k < a.K; k++) {
            float *p_row = a.P + k * matrix + row.start, mean = 0.0f;
            const float *own = slope + k * a.C;
            auto q_of = [&](int i, int64_t c) {
                return (Shape::ITEMS ? y[i] : sum_of(c)) * a.share + own[c];
            };
            row.hold(p, p_row);
            row.each([&](int i, int64_t c) { mean += row.at(p, p_row, i, c) * q_of(i, c); });
            mean = row.sum(mean);
            row.each([&](int i, int64_t c) {
                const float grad = row.at(p, p_row, i, c) * (q_of(i, c) - mean);
                p_row[c] = grad;
                most = fmaxf(most, fabsf(grad));
            });
        }
    }
    if (a.most) { /* non-negative floats order as integers do: the maximum does not depend on the order */
        most = block_max<Shape::THREADS>(most, shared_mem<float>());
        if (threadIdx.x == 0) atomicMax(a.most, __float_as_uint(most));
    }
    if (blockIdx.x == 0 && threadIdx.x < WARP)
        for (int k = 0; k < a.K; k++) {
            double sum = 0.0;
            for (int64_t i = threadIdx.x; i < a.loss_blocks; i += WARP)
                sum += a.loss_partial[k * a.loss_blocks + i];
            sum = warp_sum(sum);
            if (threadIdx.x == 0) a.loss[k] = (float)(sum / (double)a.B);
        }
}

/* out (K, B, stride), spaces `pitch` elements apart = R in 16 bits, zeros behind; *unscale undoes the
 * scale of float16. */
template <class T>
__global__ void round_residuals(uint16_t *out, int64_t pitch, float *unscale, const float *R,
                                const unsigned *most, int64_t B, int64_t C) {
    const float scale = std::is_same<T, Fp16>::value ? scale_of(*most) : 1.0f;
    const int64_t stride = round_up(C, 8), step = (int64_t)gridDim.x * blockDim.x, k = blockIdx.y;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < B * stride; i += step) {
        const int64_t b = i / stride, c = i % stride;
        out[k * pitch + i] = from_float<T>(c < C ? R[(k * B + b) * C + c] * scale : 0.0f);
    }
    if (blockIdx.x == 0 && k == 0 && threadIdx.x == 0) *unscale = 1.0f / scale;
}

/* --- gradient -> task encoder ----------------------------------------------------------------- */

/* The epilogue of the gradient's sums: it stores them. */
struct StoreSpaces {
    float *grad; /* (linear_size) of each space, `pitch` apart: an array of pointers, indexed by the
                  * space, ptxas would copy into local memory */
    int64_t pitch;
    __device__ void begin(int64_t) const {
        __syncthreads();
    }
    __device__ void operator()(int k, int64_t, int64_t, int64_t, int64_t i, float g) const {
        grad[k * pitch + i] = g;
    }
    template <int N> struct Held {};
    template <int N> __device__ void load(int, int64_t, Held<N> &) const {}
    template <int N>
    __device__ __forceinline__ void finish(int k, int64_t, int64_t, int64_t, int64_t i, Held<N> &,
                                           const float (&g)[N]) const {
        store_few(grad + k * pitch + i, g);
    }
    __device__ bool in_fours(int, int64_t d) const {
        return d % 4 == 0; /* scratch and pitch are whole sixteens */
    }
    __device__ void end(int64_t) const {}
};

struct TaskAdam {
    struct {
        float *task, *m1, *m2;
        const float *grad; /* (linear_size) */
        int64_t d;
    } space[MAX_SPACES];
    int64_t C;
    double lr;
    const int64_t *step;
};

__global__ void __launch_bounds__(NORM_THREADS) task_adam_spaces(const TaskAdam a) {
    const auto &s = a.space[blockIdx.y];
    task_adam(s.task, s.m1, s.m2, s.grad, a.C, s.d, blockIdx.x, a.lr, *a.step);
}

/* --- scratch ---------------------------------------------------------------------------------- */

struct TaskStepScratch {
    char *W[MAX_SPACES];  /* (C, stride) of 16 bits */
    float *L;             /* (K,B,C) */
    double *loss_partial; /* (K, logit_blocks(B) or wide_losses(B, C)) */
    uint16_t *R;          /* (K, pitch) of 16 bits */
    float *grad;          /* (K, grad_pitch): linear_size each */
    unsigned *most;
    float *unscale;
    void *work; /* scratch of the gradient */
    int64_t pitch, grad_pitch, bytes;
};
static TaskStepScratch lay_out(void *scratch, DType type, int K, int64_t B, int64_t C, int64_t d) {
    const bool rounds = type != DTYPE_F32;
    TaskStepScratch s = {};
    Pieces pieces = {scratch, 0};
    s.most = take_u32(&pieces, 1);
    s.unscale = take_f32(&pieces, 1);
    s.pitch = rounds ? converted_bytes(B, C) / 2 : 0;
    for (int k = 0; k < K; k++) s.W[k] = (char *)take(&pieces, rounds ? converted_bytes(C, d) : 0);
    s.grad_pitch = round_up(linear_size(C, d), 16);
    s.grad = take_f32(&pieces, K * s.grad_pitch);
    s.loss_partial = take_f64(&pieces, K * most_losses(B));
    s.L = take_f32(&pieces, K * B * C);
    s.R = (uint16_t *)take(&pieces, K * s.pitch * 2);
    s.work = take(&pieces, any_gradient_scratch(type, K, B, C, d));
    s.bytes = pieces.bytes;
    return s;
}

/* Operation by operation: the gradient of one task encoder, then what one operation needs. */
struct ComposedScratch {
    float *grad; /* (task_size) */
    void *work;
    int64_t bytes;
};
static ComposedScratch lay_out_composed(void *scratch, int64_t C, int64_t d, int64_t work) {
    ComposedScratch s = {};
    Pieces pieces = {scratch, 0};
    s.grad = take_f32(&pieces, task_size(C, d));
    s.work = take(&pieces, work);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cuda_task_step_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    const int64_t work =
        most(cuda_label_grad_scratch(type, K, B, C, d), cuda_linear_grad_scratch(type, B, C, d));
    return most(lay_out(NULL, type, K, B, C, d).bytes, lay_out_composed(NULL, C, d, work).bytes);
}

static Status composed(Queue *q, const TaskSteps *s, const InnerSteps *heads, int64_t d_most) {
    const int64_t B = s->B, C = s->C;
    const ComposedScratch scratch = lay_out_composed(s->scratch, C, d_most, 0);
    float *grad = scratch.grad;
    void *work = scratch.work;
    InnerSteps in = *heads;
    in.Y = s->Y;
    in.scratch = work;
    cuda_label_grad(q, s->loss, s->Y, &in); /* grad_Y takes the place of Y */
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *R = s->P + k * B * C;
        const int64_t d = space->Z.d;
        cuda_task_grad(q, R, s->Y, s->P_bar + k * C, s->K, s->gamma, B, C, work);
        cuda_linear_grad(q, grad, R, &space->Z, B, C, work);
        cuda_weight_norm_grad(q, grad, grad, space->task, C, d);
        cuda_adam(q, space->task, grad, space->m1, space->m2, task_size(C, d), s->lr, s->step);
    }
    return q->status;
}

/* --- launchers -------------------------------------------------------------------------------- */

constexpr int ROUND_THREADS = 256;
static dim3 round_grid(int64_t n, int K) {
    const int64_t blocks = ceil_div(n, 4 * ROUND_THREADS);
    return dim3((unsigned)(blocks < 1024 ? blocks : 1024), (unsigned)K);
}

/* Returns false, having done nothing, if the device or the number of classes does not allow wgmma. */
template <class T>
static bool wide_heads(Queue *q, const HeadLabels<T> &h, int K,
                       const LogSoftmaxEpilogue &epilogue) {
    WideLogits logits = {};
    if (h.C <= SLAB_MOST_CLASSES) return false;
    logits.K = K;
    logits.B = h.B;
    logits.C = h.C;
    logits.Y = h.Y;
    for (int k = 0; k < K; k++) {
        const auto &s = h.space[k];
        if (!wide_space(&logits, k, s.Z, s.W_view, s.head + h.C * s.d)) return false;
    }
    return wide_logits(q, logits, epilogue,
                       [](auto cols) { return named((head_labels_wgmma<T, cols()>)); });
}

/* Computes L and partial losses. Returns how many blocks of rows each space's losses come in. */
template <class T>
static int64_t head_labels(Queue *q, const HeadLabels<T> &h, int K, double features,
                           const TaskStepScratch &scratch) {
    constexpr int size = sizeof(typename T::Element);
    const double B = (double)h.B, C = (double)h.C;
    if constexpr (size == 2) {
        cost(q, 0.0, 6.0 * C * features);
        launch(q, round_spaces<T>, round_grid(linear_size(h.C, (int64_t)features), K),
               ROUND_THREADS, 0, h);
    }
    cost(q, 2.0 * B * C * features, size * (B + C) * features + 4.0 * (K + 1) * B * C);
    if constexpr (size == 2) {
        const int64_t blocks = wide_losses(h.B, h.C);
        if (wide_heads(q, h, K, {scratch.L, scratch.loss_partial, blocks})) return blocks;
    }
    const int64_t blocks = logit_blocks(h.B);
    with_logit_tile(h.C, [&](auto shape) {
        using S = decltype(shape);
        constexpr int shared = logit_shared<T, S>();
        return launch(q, (head_labels_tiled<T, S>), dim3((unsigned)blocks, (unsigned)K), S::THREADS,
                      shared, h);
    });
    return blocks;
}

template <class T>
static Status enqueue(Queue *q, const TaskSteps *s, const InnerSteps *heads,
                      const TaskStepScratch &scratch) {
    constexpr int size = sizeof(typename T::Element);
    constexpr bool rounds = size == 2, scales = std::is_same<T, Fp16>::value;
    const int K = s->K;
    const int64_t B = s->B, C = s->C;
    const double labels = K * (double)B * (double)C;
    HeadLabels<T> h = {};
    Gradient<T> g = {};
    const StoreSpaces store = {scratch.grad, scratch.grad_pitch};
    TaskAdam adam = {};
    double features = 0.0;
    h.Y = s->Y;
    h.B = B;
    h.C = g.C = adam.C = C;
    h.most = scratch.most;
    g.K = K;
    g.B = B;
    g.scale = 1.0f;
    g.scale_dev = scales ? scratch.unscale : NULL;
    adam.lr = s->lr;
    adam.step = s->step;
    for (int k = 0; k < K; k++) {
        const TaskSpace *space = &s->space[k];
        const float *head = heads->space[k].head;
        const int64_t d = space->Z.d, stride = rounds ? round_up(d, 8) : d;
        void *W = rounds ? (void *)scratch.W[k] : (void *)head;
        h.space[k] = {head,
                      d,
                      stride,
                      batch_unit(&space->Z),
                      (typename T::Element *)W,
                      view<T>(space->Z.data, space->Z.row, B, d),
                      view<T>(W, stride, C, d),
                      scratch.L + k * B * C,
                      scratch.loss_partial + k * logit_blocks(B)};
        g.space[k].R = rounds ? view<T>(scratch.R + k * scratch.pitch, round_up(C, 8), B, C)
                              : view<T>(s->P + k * B * C, C, B, C);
        g.space[k].Z = h.space[k].Z;
        g.space[k].d = d;
        g.space[k].unit = batch_unit(&space->Z);
        adam.space[k] = {space->task, space->m1, space->m2, scratch.grad + k * scratch.grad_pitch,
                         d};
        features += (double)d;
    }

    const int64_t loss_blocks = head_labels(q, h, K, features, scratch);
    const TaskGrad t = {s->P,
                        scratch.L,
                        s->P_bar,
                        K,
                        B,
                        C,
                        1.0f / (float)B,
                        1.0f / (float)K,
                        (float)(s->gamma / (double)B),
                        scales ? scratch.most : NULL,
                        scratch.loss_partial,
                        loss_blocks,
                        s->loss};
    with_row_shape(C, [&](auto shape) {
        using Shape = decltype(shape);
        const int64_t rows = row_blocks<Shape>(B),
                      most = (int64_t)GRAD_THREADS_PER_SM / Shape::THREADS * q->device->sms;
        cost(q, 8.0 * labels, 12.0 * labels);
        return launch(q, task_grad_spaces<Shape>, grid_of(rows < most ? rows : most),
                      Shape::THREADS, ROW_SHARED + (int)(K * C) * (int)sizeof(float), t);
    });
    if constexpr (rounds) {
        cost(q, 0.0, 6.0 * labels);
        launch(q, round_residuals<T>, round_grid(B * round_up(C, 8), K), ROUND_THREADS, 0,
               scratch.R, scratch.pitch, scratch.unscale, (const float *)s->P,
               (const unsigned *)scratch.most, B, C);
    }
    bool wide = false; /* many classes, where the device has wgmma */
    if constexpr (rounds) {
        WideGradient<T, StoreSpaces> a = {};
        a.gradient = g;
        a.epilogue = store;
        wide = C > SLAB_MOST_CLASSES && q->status == OK && wide_gradient(q, a, scratch.work);
    }
    if (!wide)
        with_gradient_tile(C, [&](auto shape) {
            using S = decltype(shape);
            if (q->status != OK) return q->status;
            const Status st = gradient_plan<S>(
                q, &g, gradient_resident<S, T, StoreSpaces>(q->device), scratch.work);
            return st == OK ? gradient_launch<S>(q, g, store) : st;
        });
    cost(q, 19.0 * (double)C * features, 28.0 * (double)C * features);
    return launch(q, task_adam_spaces, dim3((unsigned)C, (unsigned)K), NORM_THREADS,
                  TASK_ADAM_SHARED, adam);
}

Status cuda_task_step(Queue *q, const TaskSteps *s, const InnerSteps *heads) {
    REQUIRE(q, tasks_complete(s, batch_servable) && heads_match(s, heads) && s->C <= INT32_MAX,
            "task_step");
    int64_t d = 0;
    for (int k = 0; k < s->K; k++) d = s->space[k].Z.d > d ? s->space[k].Z.d : d;
    const bool fits =
        s->K * s->C <= (q->device->shared_per_block - ROW_SHARED) / (int64_t)sizeof(float);
    if (q->device->naive || !one_type(s) || !fits) return composed(q, s, heads, d);
    const TaskStepScratch scratch = lay_out(s->scratch, s->space[0].Z.type, s->K, s->B, s->C, d);
    return with_type(&s->space[0].Z,
                     [&](auto type) { return enqueue<decltype(type)>(q, s, heads, scratch); });
}
