/*
 * linear_grad.cu - gradient of a linear layer: grad_W = R^T Z, grad_bias = column sums of R
 *
 * Shapes   R (B,C) float32 and Z (B,d) in; grad (C,d) then (C) out.
 * Cost     2BCd flops; 4BC + (2 or 4)Bd bytes. B 10000, d 768, C 100, fp16: 1.5 GFLOP, 19.4 MB:
 *          floor 4.0 us at 4.8 TB/s (H200 data sheet).
 * Mapping  gradient.cuh; before it, where operands are of 16 bits, R is rounded to them.
 *
 *          R is not bounded: it is the gradient of the outer loss. If it were rounded to fp16 as it is,
 *          values below 6e-8 would vanish, and R is about 1/B. So it is multiplied by the power of two
 *          that brings its largest element to [2^14, 2^15), and the epilogue divides by it again: exact.
 *          bfloat16 has float32's exponents and needs no scale.
 *
 *              abs_max -> convert_scaled -> gradient
 *
 * Needs    scratch (cuda_linear_grad_scratch).
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/train/gradient.cuh"
#include "kernels/cuda/train/residual_scale.cuh"

#include <type_traits>

/* Finds the largest |R|, as bits. Non-negative floats order as integers do, so the integer maximum does not depend
 * on the order. */
__global__ void abs_max(unsigned *most, const float *R, int64_t n) {
    unsigned own = 0;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < n;
         i += (int64_t)gridDim.x * blockDim.x) {
        const unsigned bits = __float_as_uint(fabsf(R[i]));
        own = bits > own ? bits : own;
    }
    UNROLL
    for (int lane = WARP / 2; lane > 0; lane /= 2) {
        const unsigned other = __shfl_xor_sync(ALL_LANES, own, lane);
        own = other > own ? other : own;
    }
    if (threadIdx.x % WARP == 0) atomicMax(most, own);
}

/* out (B, round_up(C, 8)) = R scaled and rounded, zeros behind; *unscale = 1/scale. */
__global__ void convert_scaled(uint16_t *out, float *unscale, const float *R, const unsigned *most,
                               int64_t B, int64_t C) {
    const float scale = scale_of(*most);
    const int64_t stride = round_up(C, 8);
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < B * stride;
         i += (int64_t)gridDim.x * blockDim.x) {
        const int64_t b = i / stride, c = i % stride;
        out[i] = c < C ? f16_of(R[b * C + c] * scale) : (uint16_t)0;
    }
    if (blockIdx.x == 0 && threadIdx.x == 0) *unscale = 1.0f / scale; /* a power of two: exact */
}

/* The epilogue of the sums: it stores them. */
struct Store {
    float *grad;
    __device__ void begin(int64_t) const {
        __syncthreads();
    }
    __device__ void operator()(int, int64_t, int64_t, int64_t, int64_t i, float g) const {
        grad[i] = g;
    }
    __device__ void end(int64_t) const {}
};

__global__ void linear_grad_naive(float *grad, const float *R, const float *Z, int64_t row,
                                  int64_t B, int64_t C, int64_t d) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= C * d + C) return;
    float sum = 0.0f;
    for (int64_t b = 0; b < B; b++)
        sum += i < C * d ? R[b * C + i / d] * Z[b * row + i % d] : R[b * C + i - C * d];
    grad[i] = sum;
}

/* R's copy, its scale and the partial sums lie in scratch, at these addresses. */
struct LinearGradScratch {
    unsigned *most;
    float *unscale;
    void *R, *gradient;
    int64_t bytes;
};
static LinearGradScratch lay_out(void *scratch, DType type, int64_t B, int64_t C, int64_t d) {
    LinearGradScratch s = {};
    Pieces pieces = {scratch, 0};
    s.most = take_u32(&pieces, 1);
    s.unscale = take_f32(&pieces, 1);
    s.R = take(&pieces, type == DTYPE_F32 ? 0 : converted_bytes(B, C));
    s.gradient = take(&pieces, gradient_scratch(1, C, d));
    s.bytes = pieces.bytes;
    return s;
}
int64_t cuda_linear_grad_scratch(DType type, int64_t B, int64_t C, int64_t d) {
    return lay_out(NULL, type, B, C, d).bytes;
}

/* Returns R as an operand; *scale_dev receives the factor that undoes its scale. */
template <class T>
static View<T> residual_operand(Queue *q, const float *R, int64_t B, int64_t C,
                                const LinearGradScratch &s, const float **scale_dev) {
    *scale_dev = NULL;
    if constexpr (!std::is_same<T, Fp16>::value) {
        return operand<T>(q, R, B, C, 1.0f, s.R);
    } else {
        constexpr int THREADS = 256;
        const int64_t n = B * round_up(C, 8), blocks = ceil_div(n, 4 * THREADS);
        const dim3 grid((unsigned)(blocks < 1024 ? blocks : 1024));
        const cudaError_t error = cudaMemsetAsync(s.most, 0, sizeof *s.most, q->stream);
        if (error != cudaSuccess) cuda_queue_error(q, "linear_grad", error);
        cost(q, 0.0, 4.0 * (double)(B * C));
        launch(q, abs_max, grid, THREADS, 0, s.most, R, B * C);
        cost(q, 0.0, 6.0 * (double)(B * C));
        launch(q, convert_scaled, grid, THREADS, 0, (uint16_t *)s.R, s.unscale, R, s.most, B, C);
        *scale_dev = s.unscale;
        return view<T>(s.R, round_up(C, 8), B, C);
    }
}

Status cuda_linear_grad(Queue *q, float *grad, const float *grad_logits, const Batch *Z, int64_t B,
                        int64_t C, void *scratch) {
    REQUIRE(q, grad && grad_logits && batch_servable(Z) && scratch && B >= 1 && C >= 1,
            "linear_grad");
    const int64_t d = Z->d;
    if (q->device->naive && Z->type == DTYPE_F32)
        return launch(q, linear_grad_naive, dim3((unsigned)ceil_div(linear_size(C, d), 128)), 128,
                      0, grad, grad_logits, (const float *)Z->data, Z->row, B, C, d);
    const LinearGradScratch s = lay_out(scratch, Z->type, B, C, d);
    return with_type(Z, [&](auto type) {
        using T = decltype(type);
        Gradient<T> g = {};
        g.K = 1;
        g.B = B;
        g.C = C;
        g.scale = 1.0f;
        g.space[0].R = residual_operand<T>(q, grad_logits, B, C, s, &g.scale_dev);
        g.space[0].Z = view<T>(Z->data, Z->row, B, d);
        g.space[0].d = d;
        g.space[0].unit = batch_unit(Z);
        return with_gradient_tile(C, [&](auto shape) {
            using S = decltype(shape);
            if (q->status != OK) return q->status;
            const Status st =
                gradient_plan<S>(q, &g, gradient_resident<S, T, Store>(q->device), s.gradient);
            return st == OK ? gradient_launch<S>(q, g, Store{grad}) : st;
        });
    });
}
