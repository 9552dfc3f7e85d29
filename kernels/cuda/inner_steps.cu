/*
 * inner_steps.cu - M Adam steps of every space's head towards the labels Y (paper Eq. 13)
 *
 *     logits = Z W^T + b,   R = (softmax(logits) sum_c Y - Y)/B,   (W, b) <- Adam(R^T Z, sums of R)
 *
 * Shapes   Z_k (B,d_k), Y (B,C), head (C,d_k) then (C); losses (M) before each step, summed over k.
 * Cost     4BCd flops per step and space; Z twice, R and the partial gradients through L2.
 * Tiers    of the same result up to rounding:
 *
 *              unfused   per step and space matmul, cross_entropy, linear_grad, adam: the shipped
 *                        kernel of every operation, 4 to 8 launches
 *              fused     per step, all spaces together, two launches:
 *
 *                  residual.cuh   Z, W -> logits -> R            (a block: 64 rows, all classes)
 *                  gradient.cuh   R, Z -> gradient -> Adam -> W  (a block: a tile of W, a piece of B)
 *
 *              In the second one the share of the gradient that a block has summed goes through Adam
 *              at once: gradients are never in memory as a whole. Where operands are of 16 bits it
 *              also rounds the new W for the next step's products; the master stays float32.
 *
 *          CIFAR-100, 768 + 1536, fp16, predicted on an H200 per step: unfused 14 launches, about
 *          45 us; fused 2 launches, 7 us of products, 6 us of partial sums, 3 us of barrier and
 *          boundaries: about 20 us.
 * Needs    scratch (cuda_inner_scratch). Spaces of one operand type for fused; others are unfused.
 * History  see residual.cuh and gradient.cuh.
 */
#include "adam.cuh"
#include "gradient.cuh"
#include "residual.cuh"

#include <type_traits>

/* --- unfused ---------------------------------------------------------------------------------- */

/* Before a step: *now = *step + m, for adam. */
__global__ void step_number(int64_t *now, const int64_t *step, int64_t m) {
    *now = *step + m;
}

/* *loss (+)= own. */
__global__ void add_loss(float *loss, const float *own, int first) {
    *loss = first ? *own : *loss + *own;
}

struct UnfusedScratch {
    int64_t *now;
    float *own_loss, *logits, *grad;
    void *work;
    int64_t bytes;
};
static UnfusedScratch lay_out_unfused(void *scratch, DType type, int64_t B, int64_t C, int64_t d) {
    char *base = (char *)scratch;
    UnfusedScratch s = {(int64_t *)base, (float *)(base + 8), (float *)(base + 64), NULL, NULL, 0};
    int64_t at = 64 + round_up(B * C * 4, 64);
    s.grad = (float *)(base + at);
    at += round_up(linear_size(C, d) * 4, 64);
    s.work = base + at;
    const int64_t needs[] = {cuda_matmul_scratch(MATMUL_NT, B, C, d), cuda_cross_entropy_scratch(B),
                             cuda_linear_grad_scratch(type, B, C, d)};
    int64_t most = 0;
    for (int64_t bytes : needs) most = bytes > most ? bytes : most;
    s.bytes = at + most;
    return s;
}

static Status unfused_steps(Queue *q, const InnerSteps *in) {
    for (int64_t m = 0; m < in->M; m++)
        for (int k = 0; k < in->K; k++) {
            const InnerSpace *space = &in->space[k];
            const int64_t B = in->B, C = in->C, d = space->Z.d;
            const UnfusedScratch s = lay_out_unfused(in->scratch, space->Z.type, B, C, d);
            launch(q, step_number, dim3(1), 1, 0, s.now, in->step, m);
            cuda_matmul(q, MATMUL_NT, s.logits, &space->Z, space->head, space->head + C * d, B, C,
                        d, s.work);
            cuda_cross_entropy(q, s.own_loss, s.logits, NULL, false, s.logits, in->Y, B, C, s.work);
            if (in->losses) launch(q, add_loss, dim3(1), 1, 0, in->losses + m, s.own_loss, k == 0);
            cuda_linear_grad(q, s.grad, s.logits, &space->Z, B, C, s.work);
            cuda_adam(q, space->head, s.grad, space->m1, space->m2, linear_size(C, d), in->lr,
                      s.now);
        }
    return q->status;
}

/* --- fused ------------------------------------------------------------------------------------ */

/* What becomes of the gradient's sums: one step of Adam, element by element. */
template <class T> struct AdamFinish {
    struct {
        float *head, *m1, *m2;
        typename T::Element *operand; /* (C, stride) the rounded W, or NULL */
        int64_t stride;
        const double *loss_partial; /* (loss_blocks) */
    } space[MAX_SPACES];
    int K;
    const int64_t *step; /* done before the call */
    int64_t m;           /* and in it */
    double lr;
    float *loss; /* of this step, or NULL */
    int64_t loss_blocks;
    double loss_scale;

    /* Bias corrections take a power in double: once per block, through shared memory. Ends with a
     * barrier. */
    static __device__ AdamStep *shared() {
        return shared_mem<AdamStep>(0);
    }
    __device__ void begin() const {
        if (threadIdx.x == 0) *shared() = adam_step(lr, *step + m);
        __syncthreads();
    }
    __device__ void operator()(int k, int64_t c, int64_t j, int64_t d, int64_t i,
                               float grad) const {
        const auto &s = space[k];
        float w = s.head[i], a = s.m1[i], b = s.m2[i];
        adam_update(*shared(), w, grad, a, b);
        s.head[i] = w, s.m1[i] = a, s.m2[i] = b;
        if (s.operand && j < d) s.operand[c * s.stride + j] = from_float<T>(w);
    }
    /* The loss before this step: the first block's first warp adds what the rows' blocks left. */
    __device__ void end() const {
        if (!loss || blockIdx.x != 0 || threadIdx.x >= WARP) return;
        double sum = 0.0;
        for (int k = 0; k < K; k++)
            for (int64_t i = threadIdx.x; i < loss_blocks; i += WARP)
                sum += space[k].loss_partial[i];
        sum = warp_sum(sum);
        if (threadIdx.x == 0) *loss = (float)(sum * loss_scale);
    }
};

struct FusedScratch {
    struct {
        char *W, *R;
        float *logits;
        double *loss_partial;
    } space[MAX_SPACES];
    void *gradient;
    int64_t bytes;
};
static FusedScratch lay_out_fused(void *scratch, DType type, int K, int64_t B, int64_t C,
                                  int64_t d) {
    FusedScratch s = {};
    char *base = (char *)scratch;
    int64_t at = 0;
    const int size = dtype_bytes(type);
    auto take = [&](int64_t bytes) {
        char *piece = base + at;
        at += round_up(bytes, 64);
        return piece;
    };
    for (int k = 0; k < K; k++) {
        s.space[k].W = take(type == DTYPE_F32 ? 0 : converted_bytes(C, d));
        s.space[k].R = take(B * round_up(C, 8) * size);
        s.space[k].logits = (float *)take(C > ResidualTile128::COLS ? B * C * 4 : 0);
        s.space[k].loss_partial = (double *)take(residual_blocks(B) * 8);
    }
    s.gradient = take(gradient_scratch(K, C, d));
    s.bytes = at;
    return s;
}

/* What float16 residuals, which lie in [-1, 1], are multiplied by. */
template <class T> constexpr float residual_scale() {
    return std::is_same<T, Fp16>::value ? 32768.0f : 1.0f;
}

template <class T> static Status fused_steps(Queue *q, const InnerSteps *in) {
    const int64_t B = in->B, C = in->C;
    int64_t d_max = 0;
    for (int k = 0; k < in->K; k++) d_max = in->space[k].Z.d > d_max ? in->space[k].Z.d : d_max;
    const FusedScratch scratch =
        lay_out_fused(in->scratch, in->space[0].Z.type, in->K, B, C, d_max);
    constexpr bool rounded = sizeof(typename T::Element) == 2;

    Residual<T> residual = {};
    Gradient<T> gradient = {};
    AdamFinish<T> finish = {};
    residual.B = gradient.B = B;
    residual.C = gradient.C = C;
    residual.stride = round_up(C, 8);
    residual.Y = in->Y;
    residual.residual_scale = residual_scale<T>();
    gradient.scale = 1.0f / (residual_scale<T>() * (float)B);
    gradient.K = finish.K = in->K;
    finish.step = in->step;
    finish.lr = in->lr;
    finish.loss_blocks = residual_blocks(B);
    finish.loss_scale = 1.0 / (double)B;
    for (int k = 0; k < in->K; k++) {
        const InnerSpace *space = &in->space[k];
        const int64_t d = space->Z.d;
        auto *R = (typename T::Element *)scratch.space[k].R;
        auto &r = residual.space[k];
        r.Z = view<T>(space->Z.data, space->Z.row, B, d);
        r.W = operand<T>(q, space->head, C, d, scratch.space[k].W);
        r.bias = space->head + C * d;
        r.R = R;
        r.logits = scratch.space[k].logits;
        r.loss_partial = scratch.space[k].loss_partial;
        gradient.space[k].R = view<T>(R, residual.stride, B, C);
        gradient.space[k].Z = r.Z;
        gradient.space[k].d = d;
        auto &f = finish.space[k];
        f.head = space->head, f.m1 = space->m1, f.m2 = space->m2;
        f.operand = rounded ? (typename T::Element *)scratch.space[k].W : NULL;
        f.stride = r.W.stride;
        f.loss_partial = r.loss_partial;
    }
    return with_gradient_tile(C, [&](auto shape) {
        using S = decltype(shape);
        if (q->status == OK) gradient_plan<S, T, AdamFinish<T>>(q, &gradient, scratch.gradient);
        for (int64_t m = 0; m < in->M; m++) {
            residual_launch(q, residual, in->K);
            finish.m = m;
            finish.loss = in->losses ? in->losses + m : NULL;
            gradient.epoch = (unsigned)m;
            gradient_launch<S>(q, gradient, finish);
        }
        return q->status;
    });
}

/* --- both ------------------------------------------------------------------------------------- */

int64_t cuda_inner_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    const int64_t unfused = lay_out_unfused(NULL, type, B, C, d).bytes;
    const int64_t fused = lay_out_fused(NULL, type, K, B, C, d).bytes;
    return unfused > fused ? unfused : fused;
}

static bool servable(const InnerSteps *in) {
    if (in->K < 1 || in->K > MAX_SPACES || !in->Y || in->B < 1 || in->C < 1 || in->M < 0 ||
        !in->step || !in->scratch)
        return false;
    for (int k = 0; k < in->K; k++)
        if (!batch_servable(&in->space[k].Z) || !in->space[k].head || !in->space[k].m1 ||
            !in->space[k].m2)
            return false;
    return true;
}

static bool one_type(const InnerSteps *in) {
    for (int k = 1; k < in->K; k++)
        if (in->space[k].Z.type != in->space[0].Z.type ||
            in->space[k].Z.tf32 != in->space[0].Z.tf32)
            return false;
    return true;
}

Status cuda_inner_steps(Queue *q, const InnerSteps *in) {
    REQUIRE(q, in && servable(in), "inner_steps");
    REQUIRE(q, in->tier != INNER_FUSED || one_type(in), "inner_steps (fused)");
    if (in->tier == INNER_UNFUSED || !one_type(in) || q->device->naive) return unfused_steps(q, in);
    return with_type(&in->space[0].Z,
                     [&](auto type) { return fused_steps<decltype(type)>(q, in); });
}
