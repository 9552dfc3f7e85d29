/*
 * argmax.cu - the first maximum of every row, its value and its distance from the second largest
 *
 * Shapes   X (rows,cols), index (rows) int32, top and margin (rows) or NULL.
 * Cost     4 rows cols bytes read, 3 rows cols flops: memory bound. rows=10000 cols=100: 4 MB, floor
 *          0.8 us at 4.8 TB/s (H200 data sheet), that is a launch; cols=1000: 8.3 us.
 *          A NaN is never larger, but stands where it comes first.
 * Mapping  4, 8 or 32 lanes a row (rows.cuh), each with the best two of its columns, then pairs of
 *          lanes, nearer ones last:
 *
 *              lane 0: {first, index, second} <- lane 16, 8, 4, 2, 1      equal: the lower index
 *
 *          The answer is lane 0's: it alone has seen column 0, where a NaN stands.
 * Needs    cols in [2, 2^31). No alignment, padding or scratch.
 * History  Not measured yet.
 */
#include <limits.h>
#include <math.h>

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/tile/rows.cuh"

struct BestTwo {
    float first, second;
    int index; /* column of the first */
};

template <int LANES>
__global__ void __launch_bounds__(ROW_THREADS)
    argmax_lanes(int32_t *__restrict__ index, float *__restrict__ top, float *__restrict__ margin,
                 const float *__restrict__ X, int64_t rows, int64_t cols) {
    typedef RowShape<LANES, 0> Shape; /* one sweep: there is nothing to hold */
    const int64_t r = row_of_thread<Shape>();
    const RowOf<Shape> row(r, rows, cols);
    const float *x = X + row.start;
    BestTwo best = {-INFINITY, -INFINITY, INT_MAX};
    if (row.lane == 0 && row.columns > 0) best.first = x[0], best.index = 0;
    row.each([&](int, int64_t c) {
        if (c == 0) return; /* the column where lane 0 began */
        if (x[c] > best.first) best = {x[c], best.first, (int)c};
        else if (x[c] > best.second) best.second = x[c];
    });
    UNROLL
    for (int lane = LANES / 2; lane > 0; lane /= 2) {
        const BestTwo other = {__shfl_xor_sync(ALL_LANES, best.first, lane),
                               __shfl_xor_sync(ALL_LANES, best.second, lane),
                               __shfl_xor_sync(ALL_LANES, best.index, lane)};
        const bool wins =
            other.first > best.first || (other.first == best.first && other.index < best.index);
        const float loser = wins ? best.first : other.first;
        if (wins) best = other;
        best.second = fmaxf(best.second, loser);
    }
    if (row.lane != 0 || row.columns == 0) return;
    index[r] = best.index;
    if (top) top[r] = best.first;
    if (margin) margin[r] = best.first - best.second;
}

template <int LANES>
static Status start(Queue *q, int32_t *index, float *top, float *margin, const float *X,
                    int64_t rows, int64_t cols) {
    return launch(q, argmax_lanes<LANES>, grid_of(row_blocks<RowShape<LANES, 0>>(rows)),
                  ROW_THREADS, 0, index, top, margin, X, rows, cols);
}

extern "C" Status cuda_argmax(Queue *q, int32_t *index, float *top, float *margin, const float *X,
                              int64_t rows, int64_t cols) {
    REQUIRE(q, index && X && rows >= 1 && cols >= 2 && cols <= INT32_MAX, "argmax");
    cost(q, 3.0 * rows * cols, 4.0 * rows * cols);
    if (cols <= 16) return start<4>(q, index, top, margin, X, rows, cols);
    if (cols <= 32) return start<8>(q, index, top, margin, X, rows, cols);
    return start<WARP>(q, index, top, margin, X, rows, cols);
}
