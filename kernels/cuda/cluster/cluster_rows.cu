/*
 * cluster_rows.cu - samples made ready for k-means: lengths, rows of length 1, a row subtracted
 *
 *     norm2[n] = |z_n|^2,    z_n /= |z_n|,    z_n -= row
 *
 * Shapes   Z (N,d), rows `stride` apart, whose other columns stay; norm2 (N), row (d).
 * Cost     4Nd bytes read, and written where they change; 2Nd flops in double. N 50000, d 768:
 *          154 MB, floor 32 us at 4.8 TB/s (H200 data sheet).
 * Mapping  a warp per row, lane l its columns l, l + 32, ...; the second sweep of unit_rows finds
 *          its row in the L1 cache.
 * Needs    N, d >= 1. No alignment, padding or scratch.
 * History  Not measured yet.
 */
#include "kernels/cuda/cluster/cluster.cuh"

__global__ void __launch_bounds__(CLUSTER_THREADS)
    row_norms_warp(float *__restrict__ norm2, const Rows Z) {
    const int64_t n = row_of_warp();
    if (n >= Z.N) return; /* a whole warp leaves */
    const double length2 = warp_length2(Z.at(n), Z.d);
    if (threadIdx.x % WARP == 0) norm2[n] = (float)length2;
}

__global__ void __launch_bounds__(CLUSTER_THREADS) unit_rows_warp(const Rows Z) {
    const int64_t n = row_of_warp();
    if (n >= Z.N) return;
    float *z = Z.at(n);
    const double length = sqrt(warp_length2(z, Z.d));
    if (!(length > 0.0)) return; /* a row of zeros has no direction: it stays */
    for (int64_t j = threadIdx.x % WARP; j < Z.d; j += WARP) z[j] = (float)(z[j] / length);
}

__global__ void __launch_bounds__(CLUSTER_THREADS)
    shift_rows_warp(const Rows Z, const float *__restrict__ row) {
    const int64_t n = row_of_warp();
    if (n >= Z.N) return;
    float *z = Z.at(n);
    for (int64_t j = threadIdx.x % WARP; j < Z.d; j += WARP) z[j] -= row[j];
}

extern "C" Status cuda_row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N) {
    REQUIRE(q, norm2 && rows_servable(Z, N), "row_norms");
    cost(q, 2.0 * (double)N * (double)Z->d, 4.0 * (double)N * (double)Z->d);
    return launch(q, row_norms_warp, grid_of(warp_blocks(N)), CLUSTER_THREADS, 0, norm2,
                  rows_of_batch(Z, N));
}

extern "C" Status cuda_unit_rows(Queue *q, const Batch *Z, int64_t N) {
    REQUIRE(q, rows_servable(Z, N), "unit_rows");
    cost(q, 3.0 * (double)N * (double)Z->d, 8.0 * (double)N * (double)Z->d);
    return launch(q, unit_rows_warp, grid_of(warp_blocks(N)), CLUSTER_THREADS, 0,
                  rows_of_batch(Z, N));
}

extern "C" Status cuda_shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N) {
    REQUIRE(q, rows_servable(Z, N) && row, "shift_rows");
    cost(q, (double)N * (double)Z->d, 8.0 * (double)N * (double)Z->d);
    return launch(q, shift_rows_warp, grid_of(warp_blocks(N)), CLUSTER_THREADS, 0,
                  rows_of_batch(Z, N), row);
}
