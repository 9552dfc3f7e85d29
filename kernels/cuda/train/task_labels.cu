/*
 * task_labels.cu - the labels of a batch: P_k = softmax(theta_k(Z_k)) of all spaces, their means (Eq. 9)
 *
 *     W_k[c,:] = g_k[c] v_k[c,:]/|v_k[c,:]|,   P_k = softmax(Z_k W_k^T + b_k),
 *     Y = mean_k P_k,   P_bar_k = mean_b P_k,   entropy_k = H(P_bar_k)
 *
 * Shapes   Z_k (B,d_k) in the operand type; task_k: v (C,d_k), bias (C), g (C); P (K,B,C), Y (B,C),
 *          P_bar (K,C), entropy (K).
 * Cost     2BCd flops per space; Z once, W once per 64 rows (wide_logits.cuh: 128 to 512) from L2; P written
 *          once, read twice from L2.
 * Mapping  three launches, whatever K is:
 *
 *              weight_norm_spaces        a block: a class of a space -> W in the operand type
 *              task_labels_tiled         a block: 64 rows of a space, all classes (logits.cuh) -> P; 33 to
 *                                        2048 classes in 16 bits on 9.0: task_labels_wgmma
 *              batch_entropy_v2_tickets  a block: rows and columns of a space -> Y, P_bar, entropy
 *
 * Needs    spaces of one operand type; others, and TURTLE_KERNELS=naive, run operation by operation.
 *          scratch (cuda_task_labels_scratch).
 * History  Not measured yet.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/train/logits.cuh"
#include "kernels/cuda/train/weight_norm.cuh"
#include "kernels/cuda/train/wide_logits.cuh"

template <class T> struct TaskLabels {
    struct {
        const float *task;
        int64_t d, stride;
        float unit;             /* Z times `unit` are the features; W is multiplied by it */
        typename T::Element *W; /* (C, stride), zeros from d on */
        View<T> Z;
        float *P; /* (B,C) */
    } space[MAX_SPACES];
    int64_t B, C;
};

template <class T>
__global__ void __launch_bounds__(NORM_THREADS) weight_norm_spaces(const TaskLabels<T> a) {
    const auto &s = a.space[blockIdx.y];
    const int64_t c = blockIdx.x;
    const float *v = s.task + c * s.d;
    const float scale = norm_scale(v, s.task[a.C * s.d + a.C + c], s.d);
    for (int64_t j = threadIdx.x; j < s.stride; j += NORM_THREADS)
        s.W[c * s.stride + j] = from_float<T>(j < s.d ? scale * v[j] * s.unit : 0.0f);
}

template <class T, class S>
__global__ void __launch_bounds__(S::THREADS, 2) task_labels_tiled(const TaskLabels<T> a) {
    const auto &s = a.space[blockIdx.y];
    const View<T> W = {s.W, s.stride, a.C, s.d, true};
    logit_rows<T, S>(s.Z, W, s.task + a.C * s.d, s.P, a.B, a.C, blockIdx.x,
                     [&](int64_t b, const float *x, float top, float sum, int lane) {
                         const float scale = 1.0f / sum; /* sum >= 1: the maximum's own term */
                         for (int64_t c = lane; b < a.B && c < a.C; c += LOGIT_LANES<S>)
                             s.P[b * a.C + c] = expf(x[c] - top) * scale;
                     });
}

/* The epilogue of rows whose logits are in registers (wide_logits.cuh). */
struct SoftmaxEpilogue {
    static constexpr bool LABELS = false, EXPONENTIALS = true;
    float *P; /* (K,B,C) */

    template <int COLS>
    __device__ __forceinline__ double store(const WideLogits &a, int k, const RowPlace<COLS> &at,
                                            const float (&d)[COLS / 2], int h, const RowPart &part,
                                            const RowPart &row, const Labels<COLS> &) const {
        const float scale = exp_below(part.top - row.top) / row.sum;
        store_row(a, P + k * a.B * a.C, at, d, h, [=](int, float x, float y) {
            return make_float2(x * scale, y * scale);
        });
        return 0.0;
    }
};

template <class T, int COLS>
__global__ void __launch_bounds__(WIDE_THREADS, 1)
    task_labels_wgmma(const __grid_constant__ WideLogits a,
                      const __grid_constant__ SoftmaxEpilogue epilogue) {
    wide_logits_kernel<T, COLS>(a, epilogue);
}

/* --- operation by operation ------------------------------------------------------------------- */

static int64_t weight_bytes(int K, int64_t C, int64_t d) { /* enough for operands of any type */
    return K * round_up(C * round_up(d, 8) * (int64_t)sizeof(float), 64);
}

static Status composed(Queue *q, const TaskSteps *s, void *work) {
    const int64_t B = s->B, C = s->C;
    float *W = (float *)s->scratch;
    for (int k = 0; k < s->K; k++) {
        const TaskSpace *space = &s->space[k];
        float *P = s->P + k * B * C;
        const int64_t d = space->Z.d;
        cuda_weight_norm(q, W, space->task, C, d);
        cuda_matmul(q, MATMUL_NT, P, &space->Z, W, space->task + C * d, B, C, d, work);
        cuda_softmax(q, P, P, B, C);
    }
    return cuda_batch_labels(q, s->Y, s->P_bar, s->entropy, s->P, s->K, B, C, work);
}

/* --- launcher --------------------------------------------------------------------------------- */

int64_t cuda_task_labels_scratch(DType type, int K, int64_t B, int64_t C, int64_t d) {
    (void)type;
    return weight_bytes(K, C, d) +
           most(cuda_batch_entropy_scratch(K, B, C), cuda_matmul_scratch(MATMUL_NT, B, C, d));
}

/* Returns false, having done nothing, if the device or the number of classes does not allow wgmma. */
template <class T> static bool wide_labels(Queue *q, const TaskLabels<T> &a, int K, float *P) {
    WideLogits logits = {};
    if (a.C <= SLAB_MOST_CLASSES) return false;
    logits.K = K;
    logits.B = a.B;
    logits.C = a.C;
    for (int k = 0; k < K; k++) {
        const auto &s = a.space[k];
        const View<T> W = {s.W, s.stride, a.C, s.d, true};
        if (!wide_space(&logits, k, s.Z, W, s.task + a.C * s.d)) return false;
    }
    return wide_logits(q, logits, SoftmaxEpilogue{P},
                       [](auto cols) { return named((task_labels_wgmma<T, cols()>)); });
}

template <class T> static Status start(Queue *q, const TaskSteps *s) {
    constexpr int size = sizeof(typename T::Element);
    const int64_t B = s->B, C = s->C;
    TaskLabels<T> a = {};
    a.B = B;
    a.C = C;
    Pieces pieces = {s->scratch, 0};
    double features = 0.0;
    for (int k = 0; k < s->K; k++) {
        const Batch *Z = &s->space[k].Z;
        const int64_t stride = round_up(Z->d, 16 / size);
        a.space[k] = {s->space[k].task,
                      Z->d,
                      stride,
                      batch_unit(Z),
                      (typename T::Element *)take(&pieces, C * stride * size),
                      view<T>(Z->data, Z->row, B, Z->d),
                      s->P + k * B * C};
        features += (double)Z->d;
    }
    cost(q, 3.0 * (double)C * features, (4.0 + size) * (double)C * features);
    launch(q, weight_norm_spaces<T>, dim3((unsigned)C, (unsigned)s->K), NORM_THREADS, NORM_SHARED,
           a);
    cost(q, 2.0 * (double)B * (double)C * features,
         size * ((double)B + (double)C) * features + 4.0 * s->K * (double)B * (double)C);
    if constexpr (size == 2)
        if (wide_labels(q, a, s->K, s->P)) return q->status;
    return with_logit_tile(C, [&](auto shape) {
        using S = decltype(shape);
        constexpr int shared = logit_shared<T, S>();
        return launch(q, (task_labels_tiled<T, S>), dim3((unsigned)logit_blocks(B), (unsigned)s->K),
                      S::THREADS, shared, a);
    });
}

Status cuda_task_labels(Queue *q, const TaskSteps *s) {
    REQUIRE(q, tasks_complete(s, batch_servable) && s->C <= INT32_MAX, "task_labels");
    int64_t d = 0;
    for (int k = 0; k < s->K; k++) d = s->space[k].Z.d > d ? s->space[k].Z.d : d;
    void *work = (char *)s->scratch + weight_bytes(s->K, s->C, d);
    if (q->device->naive || !one_type(s)) return composed(q, s, work);
    with_type(&s->space[0].Z, [&](auto type) { return start<decltype(type)>(q, s); });
    return cuda_batch_labels(q, s->Y, s->P_bar, s->entropy, s->P, s->K, s->B, s->C, work);
}
