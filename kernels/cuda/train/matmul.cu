/*
 * matmul.cu - out = A B (+ bias): A B, A B^T (a linear layer's forward), A^T B (kernels/matrix.h)
 *
 * Shapes   A as its batch's type says, B and bias float32; out (rows,cols) float32.
 * Cost     2 rows cols depth flops; 4 (rows depth + cols depth + rows cols) bytes, half of the
 *          first two for 16-bit operands. B 10000, d 768, C 100, fp16: 1.5 GFLOP, 19.6 MB: floor
 *          4.1 us at 4.8 TB/s (H200 data sheet), 1.6 us at 989 TFLOP/s: memory bound until C 400.
 * Mapping  one block per tile of out (gemm.cuh), the tiles of a row of tiles side by side, so that
 *          a line of A is read from the L2 cache by all but the first:
 *
 *              cols:  | 16, 64 or 128 |  ...
 *              64 rows  block 0          block 1 ...    (128 x 128 where cols >= 256)
 *
 * Needs    scratch (cuda_matmul_scratch): the copy of B in 16 bits where A is of 16 bits.
 * Ladder   Tiles are explained by kernels/cuda/ladder/step2_tiles.cu, its naive kernel by ladder/step1_threads.cu.
 * History  Not measured yet. v1_naive, thread per element: kept as the readable oracle.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/gemm.cuh"

template <class T, Layout LA, Layout LB>
__global__ void matmul_v1_naive(float *out, View<T> A, View<T> B, const float *bias, int64_t rows,
                                int64_t cols, int64_t depth) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= rows * cols) return;
    const int64_t r = i / cols, c = i % cols;
    float sum = bias ? bias[c] : 0.0f;
    for (int64_t k = 0; k < depth; k++) {
        const float a = to_float<T>(A.data[LA == ALONG ? r * A.stride + k : k * A.stride + r]);
        const float b = to_float<T>(B.data[LB == ALONG ? c * B.stride + k : k * B.stride + c]);
        sum = fmaf(a, b, sum);
    }
    out[i] = sum;
}

template <class T, class S, Layout LA, Layout LB>
__global__ void __launch_bounds__(S::THREADS)
    matmul_v2_tiled(float *out, View<T> A, View<T> B, const float *bias, int64_t rows, int64_t cols,
                    int64_t depth) {
    using G = Gemm<T, S, LA, LB>;
    const int64_t across = ceil_div(cols, S::COLS);
    const int64_t row = blockIdx.x / across * S::ROWS, col = blockIdx.x % across * S::COLS;
    const float *tile = G::run(0, A, row, B, col, 0, ceil_div(depth, G::DEPTH), Nothing());
    for (int i = threadIdx.x; i < S::ROWS * S::COLS; i += S::THREADS) { /* along rows: coalesced */
        const int r = i / S::COLS, c = i % S::COLS;
        if (row + r < rows && col + c < cols)
            out[(row + r) * cols + col + c] =
                tile[r * S::RESULT_STRIDE + c] + (bias ? bias[col + c] : 0.0f);
    }
}

template <class T, Layout LA, Layout LB> struct Call {
    Queue *q;
    float *out;
    View<T> A, B;
    const float *bias;
    int64_t rows, cols, depth;

    template <class S> Status tiled() const {
        const int64_t blocks = ceil_div(rows, S::ROWS) * ceil_div(cols, S::COLS);
        REQUIRE(q, blocks <= INT32_MAX, "matmul");
        return launch(q, (matmul_v2_tiled<T, S, LA, LB>), dim3((unsigned)blocks), S::THREADS,
                      (Gemm<T, S, LA, LB>::SHARED_BYTES), out, A, B, bias, rows, cols, depth);
    }
    Status run() const {
        cost(q, 2.0 * (double)rows * (double)cols * (double)depth,
             (double)sizeof(typename T::Element) * (double)depth * (double)(rows + cols) +
                 4.0 * (double)rows * (double)cols);
        if (q->device->naive)
            return launch(q, (matmul_v1_naive<T, LA, LB>),
                          dim3((unsigned)ceil_div(rows * cols, 128)), 128, 0, out, A, B, bias, rows,
                          cols, depth);
        if constexpr (LA == ALONG && LB == ALONG) {
            if (cols <= 16) return tiled<Shape2<64, 16, 4, 1>>();
            if (cols > 64 && cols < 256) return tiled<Shape2<64, 128, 2, 2>>();
            if (cols >= 256) return tiled<Shape2<128, 128, 4, 2>>();
        }
        return tiled<Shape2<64, 64, 2, 2>>();
    }
};

Status cuda_matmul(Queue *q, MatmulForm form, float *out, const Batch *A, const float *B,
                   const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch) {
    REQUIRE(q,
            out && batch_servable(A) && B && rows >= 1 && cols >= 1 && depth >= 1 &&
                A->d == (form == MATMUL_TN ? rows : depth) && (A->type == DTYPE_F32 || scratch),
            "matmul");
    return with_type(A, [&](auto type) {
        using T = decltype(type);
        const View<T> a = view<T>(A->data, A->row, form == MATMUL_TN ? depth : rows, A->d);
        if (form == MATMUL_NT)
            return Call<T, ALONG, ALONG>{
                q,    out,  a,    operand<T>(q, B, cols, depth, batch_unit(A), scratch),
                bias, rows, cols, depth}
                .run();
        const View<T> b = operand<T>(q, B, depth, cols, batch_unit(A), scratch);
        if (form == MATMUL_NN)
            return Call<T, ALONG, ACROSS>{q, out, a, b, bias, rows, cols, depth}.run();
        return Call<T, ACROSS, ACROSS>{q, out, a, b, bias, rows, cols, depth}.run();
    });
}

int64_t cuda_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth) {
    (void)rows;
    return form == MATMUL_NT ? converted_bytes(cols, depth) : converted_bytes(depth, cols);
}
