/*
 * head_grad.cu - cross-entropy of a linear head against hard labels, summed over the rows, and its
 *                gradient: what logistic regression minimises (host/score/logreg.c)
 *
 *     logits = Z W^T + b,    R = softmax(logits) - onehot(y),
 *     loss (+)= sum_b -log softmax(logits_b)[y_b],    grad (+)= (R^T Z, column sums of R)
 *
 * Shapes   Z (B,d) in its operand type, y (B), head (C,d) then (C) float32; loss (1) double, grad
 *          like head.
 * Cost     4BCd flops; Z twice. B 50000, d 768, C 100, float32: 15 GFLOP, floor 230 us at
 *          67 TFLOP/s (H200 data sheet).
 * Mapping  two kernels and a sum: logits, softmax and residual as in residual.cuh, with a class
 *          instead of a row of labels; the product R^T Z as in gradient.cuh, stored or added.
 *
 *              head_grad_residual -> R, loss of each block
 *              gradient_tiled     -> grad          head_grad_loss -> loss
 *
 *          The label's own class is left out of the sum of exponentials: its residual p - 1 is
 *          minus the others' share, and the loss of a row that is well classified is
 *          log(1 + their sum), both without cancellation.
 * Needs    scratch (cuda_head_grad_scratch); y in [0, C): the loss of any other class is infinite.
 * History  Not measured yet. The sweep of logits.cuh stands here again, for the label's class is left out of
 *          its sum.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/train/linear_scratch.cuh"

template <class T> struct HeadResidual {
    View<T> Z, W;
    const float *bias;
    const int32_t *y;
    typename T::Element *R; /* (B, stride), multiplied by residual_scale, zeros behind */
    float *logits;          /* (B,C) where C > 128 */
    double *partial;        /* (blocks) */
    int64_t B, C, stride;
    float residual_scale;
};

template <class T, class S>
__global__ void __launch_bounds__(S::THREADS) head_grad_residual(const HeadResidual<T> a) {
    using G = Gemm<T, S, ALONG, ALONG>;
    constexpr int LANES = S::COLS / 8;          /* lanes that share a row */
    constexpr int AT_ONCE = S::THREADS / LANES; /* rows of the block in one sweep */
    constexpr int SWEEPS = LOGIT_ROWS / AT_ONCE;
    static_assert(LOGIT_ROWS % AT_ONCE == 0 && S::ROWS == LOGIT_ROWS, "whole sweeps");
    const int64_t row = (int64_t)blockIdx.x * S::ROWS;
    const int lane = threadIdx.x % LANES, first = threadIdx.x / LANES;
    const bool waits = a.C > S::COLS; /* logits do not fit one tile */
    float top[SWEEPS], others[SWEEPS],
        own[SWEEPS]; /* own: the label's logit, in the lane that has its column */
    UNROLL
    for (int i = 0; i < SWEEPS; i++) top[i] = -INFINITY, others[i] = 0.0f, own[i] = -INFINITY;

    float *tile = NULL;
    for (int64_t col = 0; col < a.C; col += S::COLS) {
        tile = G::run(0, a.Z, row, a.W, col, 0, ceil_div(a.Z.width, G::DEPTH), Nothing());
        const int n = (int)(a.C - col < S::COLS ? a.C - col : S::COLS);
        UNROLL
        for (int i = 0; i < SWEEPS; i++) {
            const int64_t b = row + first + i * AT_ONCE;
            const int64_t y = b < a.B ? a.y[b] - col : -1;
            float *x = tile + (first + i * AT_ONCE) * S::RESULT_STRIDE;
            float most = -INFINITY, total = 0.0f;
            for (int c = lane; c < n; c += LANES) {
                x[c] += a.bias[col + c];
                most = fmaxf(most, x[c]);
                if (c == y) own[i] = x[c];
            }
            most = fmaxf(top[i], group_max<LANES>(most));
            for (int c = lane; c < n; c += LANES) {
                if (c != y) total += expf(x[c] - most);
                if (waits && b < a.B) a.logits[b * a.C + col + c] = x[c];
            }
            others[i] = others[i] * expf(top[i] - most) + group_sum<LANES>(total);
            top[i] = most;
        }
    }

    double loss = 0.0;
    UNROLL
    for (int i = 0; i < SWEEPS; i++) {
        const int64_t b = row + first + i * AT_ONCE;
        const bool inside = b < a.B; /* lanes of rows beyond the batch only shuffle */
        const float *x =
            waits ? a.logits + b * a.C : tile + (first + i * AT_ONCE) * S::RESULT_STRIDE;
        const float below = group_max<LANES>(own[i]) - top[i], mine = expf(below);
        const float share = 1.0f / (others[i] + mine);
        /* mine is 1, or others holds the 1 of the largest */
        if (inside && lane == 0) loss += (double)(log1pf(others[i] + (mine - 1.0f)) - below);
        const int64_t y = inside ? a.y[b] : -1;
        for (int64_t c = lane; inside && c < a.stride; c += LANES) {
            const float p = c >= a.C ? 0.0f : c == y ? -others[i] : expf(x[c] - top[i]);
            a.R[b * a.stride + c] = from_float<T>(p * share * a.residual_scale);
        }
    }
    __syncthreads(); /* logits in shared memory are read no more */
    loss = block_sum<S::THREADS>(loss, shared_mem<double>(0));
    if (threadIdx.x == 0) a.partial[blockIdx.x] = loss;
}

constexpr int SUM_THREADS = 256;

__global__ void __launch_bounds__(SUM_THREADS)
    head_grad_loss(double *loss, bool add, const double *partial, int64_t n) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < n; i += SUM_THREADS) sum += partial[i];
    sum = block_sum<SUM_THREADS>(sum, shared_mem<double>());
    if (threadIdx.x == 0) *loss = add ? *loss + sum : sum;
}

/* The epilogue of the gradient's sums: it stores them, or adds them to the sums of other rows. */
struct StoreOrAdd {
    float *grad;
    bool add;
    __device__ void begin(int64_t) const {
        __syncthreads();
    }
    __device__ void operator()(int, int64_t, int64_t, int64_t, int64_t i, float g) const {
        grad[i] = add ? grad[i] + g : g;
    }
    __device__ void end(int64_t) const {}
};

template <class T>
static Status residual(Queue *q, const HeadGrad *in, const FusedScratch &s, View<T> *Z,
                       View<T> *R) {
    const int64_t B = in->B, C = in->C, d = in->Z.d, stride = round_up(C, 8);
    HeadResidual<T> a = {};
    a.Z = *Z = view<T>(in->Z.data, in->Z.row, B, d);
    a.W = operand<T>(q, in->head, C, d, batch_unit(&in->Z), s.space[0].W);
    a.bias = in->head + C * d;
    a.y = in->y;
    a.R = (typename T::Element *)s.space[0].R;
    a.logits = s.space[0].logits;
    a.partial = s.space[0].loss_partial;
    a.B = B, a.C = C, a.stride = stride;
    a.residual_scale = residual_scale<T>();
    *R = view<T>(a.R, stride, B, C);
    cost(q, 2.0 * (double)B * (double)C * (double)d,
         (double)sizeof(typename T::Element) * ((double)B * (double)(d + C) + (double)(C * d)));
    return with_logit_tile(C, [&](auto shape) {
        using S = decltype(shape);
        return launch(q, (head_grad_residual<T, S>), grid_of(logit_blocks(B)), S::THREADS,
                      (logit_shared<T, S>()), a);
    });
}

extern "C" int64_t cuda_head_grad_scratch(DType type, int64_t B, int64_t C, int64_t d) {
    return lay_out_fused(NULL, type, 1, B, C, d).bytes;
}

extern "C" Status cuda_head_grad(Queue *q, double *loss, float *grad, const HeadGrad *in,
                                 bool add) {
    REQUIRE(q,
            loss && grad && in && batch_servable(&in->Z) && in->y && in->head && in->scratch &&
                in->B >= 1 && in->C >= 1 && in->C <= INT32_MAX,
            "head_grad");
    const FusedScratch s = lay_out_fused(in->scratch, in->Z.type, 1, in->B, in->C, in->Z.d);
    return with_type(&in->Z, [&](auto type) {
        using T = decltype(type);
        Gradient<T> g = {};
        g.K = 1;
        g.B = in->B;
        g.C = in->C;
        g.scale = 1.0f / residual_scale<T>();
        g.space[0].d = in->Z.d;
        g.space[0].unit = batch_unit(&in->Z);
        residual<T>(q, in, s, &g.space[0].Z, &g.space[0].R);
        const int64_t blocks = logit_blocks(in->B);
        cost(q, (double)blocks, 8.0 * (double)blocks);
        launch(q, head_grad_loss, 1, SUM_THREADS, SUM_THREADS / WARP * (int)sizeof(double), loss,
               add, (const double *)s.space[0].loss_partial, blocks);
        return with_gradient_tile(in->C, [&](auto shape) {
            using S = decltype(shape);
            if (q->status != OK) return q->status;
            const Status st =
                gradient_plan<S>(q, &g, gradient_resident<S, T, StoreOrAdd>(q->device), s.gradient);
            return st == OK ? gradient_launch<S>(q, g, StoreOrAdd{grad, add}) : st;
        });
    });
}
