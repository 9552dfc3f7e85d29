/* rows.cuh - lanes share a row of a matrix: the mapping of softmax, cross_entropy, task_grad, argmax.
 *
 * LANES neighbouring threads share a row; lane l has columns l, l + LANES, l + 2 LANES, ..., of which
 * it keeps ITEMS in registers: memory is read once, however often the row is swept.
 *
 *     LANES 8, ITEMS 4:  column   0 1 2 ... 7 | 8 9 ... 15 | 16 ... 23 | 24 25 26        C = 27
 *                        lane     0 1 2 ... 7 | 0 1 ...  7 |  0 ...  7 |  0  1  2
 *                        item     0           | 1          |  2        |  3
 *
 * Up to 256 columns a warp has one row or several neighbouring rows, and sums go through shuffles. With more
 * columns a block has one row, and sums go through shared memory as well. Rows that registers do not hold have
 * ITEMS = 0: every sweep reads them again, from cache. */
#ifndef TURTLE_KERNELS_CUDA_TILE_ROWS_CUH
#define TURTLE_KERNELS_CUDA_TILE_ROWS_CUH

#include "kernels/cuda/backend/cuda.h"

constexpr int ROW_THREADS = 256; /* threads of a block of several rows */
constexpr int ROW_SHARED = ROW_THREADS / WARP * (int)sizeof(double); /* bytes that sums need */

template <int LANES_, int ITEMS_> struct RowShape {
    static constexpr int LANES = LANES_, ITEMS = ITEMS_;
    static constexpr int HELD = ITEMS ? ITEMS : 1; /* floats of an array in registers */
    static constexpr int THREADS = LANES > WARP ? LANES : ROW_THREADS;
    static constexpr int PER_BLOCK = THREADS / LANES; /* rows of a block */
    static_assert(LANES > WARP || WARP % LANES == 0, "lanes within one warp, or a block");
    static_assert(THREADS <= ROW_THREADS, "ROW_SHARED holds a value for each of its warps");
};

/* Row r of a matrix (rows,C), as one lane sees it. A row past the last has no columns, so that its
 * lanes stay for the shuffles of their warp. */
template <class Shape> struct RowOf {
    int64_t start, columns; /* first element; C or 0 */
    int lane;

    __device__ __forceinline__ RowOf(int64_t r, int64_t rows, int64_t C)
        : start(r * C), columns(r < rows ? C : 0), lane((int)threadIdx.x % Shape::LANES) {}

    /* Calls f(item, column) for every column of this lane. */
    template <typename F> __device__ __forceinline__ void each(F f) const {
        if constexpr (Shape::ITEMS > 0) {
            UNROLL
            for (int i = 0; i < Shape::ITEMS; i++) {
                const int c = lane + i * Shape::LANES;
                if (c < (int)columns) f(i, (int64_t)c);
            }
        } else {
            for (int64_t c = lane; c < columns; c += Shape::LANES) f(0, c);
        }
    }
    /* Loads the lane's columns of the row at `from` into registers, where they are held. */
    __device__ __forceinline__ void hold(float (&x)[Shape::HELD], const float *from) const {
        UNROLL
        for (int i = 0; i < Shape::HELD; i++) x[i] = 0.0f;
        if constexpr (Shape::ITEMS > 0) each([&](int i, int64_t c) { x[i] = from[c]; });
    }
    /* Returns one of the lane's columns: held, or still in memory. */
    __device__ __forceinline__ float at(const float (&x)[Shape::HELD], const float *from, int i,
                                        int64_t c) const {
        return Shape::ITEMS ? x[i] : from[c];
    }
    /* Return the sum or maximum over all lanes of the row, in every lane. All threads of the block call them;
     * they use the first ROW_SHARED bytes of shared memory. */
    __device__ __forceinline__ float sum(float x) const {
        if constexpr (Shape::LANES <= WARP) return group_sum<Shape::LANES>(x);
        else return block_sum<Shape::THREADS>(x, shared_mem<float>());
    }
    __device__ __forceinline__ float max(float x) const {
        if constexpr (Shape::LANES <= WARP) return group_max<Shape::LANES>(x);
        else return block_max<Shape::THREADS>(x, shared_mem<float>());
    }
};

/* Returns the row of this thread where every row has its own lanes. */
template <class Shape> __device__ __forceinline__ int64_t row_of_thread() {
    return (int64_t)blockIdx.x * Shape::PER_BLOCK + (int)threadIdx.x / Shape::LANES;
}

template <class Shape> static inline int64_t row_blocks(int64_t rows) {
    return ceil_div(rows, Shape::PER_BLOCK);
}

/* Calls start(shape) with the shape for rows of C columns. Short rows have few lanes: a warp for 10 columns would
 * leave 22 lanes idle. Long rows have at most 8 registers of an array: 32, a warp for 1000 columns, made 169
 * registers in cross_entropy, so one block on an SM. */
template <typename Start> static inline Status with_row_shape(int64_t C, Start start) {
    if (C <= 16) return start(RowShape<4, 4>());
    if (C <= 32) return start(RowShape<8, 4>());
    if (C <= 128) return start(RowShape<WARP, 4>());
    if (C <= 256) return start(RowShape<WARP, 8>());
    if (C <= 1024) return start(RowShape<128, 8>());
    return start(RowShape<256, 0>());
}

#endif
