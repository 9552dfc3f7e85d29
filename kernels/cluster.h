/* cluster.h - the operations of k-means (host/baseline/kmeans.c calls them).
 *
 * Letters: N samples z of d features, C centres c; R restarts drawn side by side, each with L candidates.
 * Matrices are float32 and row-major; pointers are device memory; the caller owns the scratch memory.
 *
 * Two choices make a restart the same bits on any schedule:
 *   scores    The nearest centre has the largest  <z,c> - |c|^2/2,  which is (|z|^2 - |z - c|^2)/2:
 *             a product and an epilogue. The matrix (N,C) is never stored.
 *   sums      Sums of samples are exact: every feature is rounded to a multiple of `grid`, a power of
 *             two so large that no sum of N samples needs more than the 53 bits of a double. Exact
 *             addition is associative: any order, atomics, and sums from which the samples that
 *             left are subtracted all give the same bits. cluster_grid() has the figures.
 */
#ifndef TURTLE_KERNELS_CLUSTER_H
#define TURTLE_KERNELS_CLUSTER_H

#include <math.h>

#include "kernels/matrix.h"
#include "kernels/philox.h"

/* The stream of random starts (train.h has the others). */
enum { PHILOX_STARTS = 4 };

/* Samples in device memory, and their squared lengths. */
typedef struct {
    Batch Z;      /* (N,d), DTYPE_F32 */
    float *norm2; /* (N) |z|^2, as row_norms leaves it */
    int64_t N;
} Samples;

typedef struct {
    float *at;    /* (C,d) */
    float *norm2; /* (C) |c|^2 */
    float *moved; /* (C) how far update_centers moved each centre, rounded up */
    int64_t C;
} Centers;

/* Bounds of every sample's distances, kept between calls of nearest_bounded. */
typedef struct {
    float *upper; /* (N) at least the distance to the sample's own centre */
    float *lower; /* (N) at most the distance to any other centre */
} Bounds;

/* Returns the grid: a power of two so large that sums and differences of N numbers of magnitude up to
 * `largest` stay below 2^53 of it. At N = 2^20 it is 2^-31 of `largest`: finer than float32's rounding. */
static inline double cluster_grid(int64_t N, double largest) {
    int exponent;
    frexp((double)N * largest, &exponent); /* N largest < 2^exponent */
    return ldexp(1.0, exponent < -900 ? -951 : exponent - 51);
}
/* Returns the multiple of grid that is nearest to x. |x| < 2^50 grid. */
HOST_DEVICE static inline double cluster_round(double x, double grid) {
    const double shift = grid * 0x1.8p52; /* adding it leaves no bit below the grid */
    return (x + shift) - shift;
}

/* Returns the number of [0, 1) that two random words make. */
HOST_DEVICE static inline double unit_interval(uint32_t high, uint32_t low) {
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* --- samples: 8Nd bytes each ------------------------------------------------------------- */

/* norm2[n] = |z_n|^2, summed in double. */
typedef Status RowNormsOp(Queue *queue, float *norm2, const Batch *Z, int64_t N);
/* z_n /= |z_n|, in place; a sample of zeros stays. Z may be some columns of a wider matrix. */
typedef Status UnitRowsOp(Queue *queue, const Batch *Z, int64_t N);
/* z_n -= row, in place. row (d). */
typedef Status ShiftRowsOp(Queue *queue, const Batch *Z, const float *row, int64_t N);

/* --- nearest centres: 2NCd flops, 4Nd bytes ----------------------------------------------- */

/* label[n] = the first c of the largest score; first, second (N) or NULL: the squared distances
 * |z|^2 - 2 score of the best and the second best, not below 0; infinite for C = 1. */
typedef Status NearestOp(Queue *queue, int32_t *label, float *first, float *second,
                         const Samples *s, const Centers *centers, void *scratch);
/* Computes the labels of `nearest`, every bit, from the labels and bounds of the last call. Centres have moved
 * by centers->moved since. An implementation may pass over samples whose bounds, widened by the rounding of
 * scores, prove that their label stays (Hamerly 2010). It may as well compute every sample and leave the bounds
 * alone. `fresh`: labels and bounds hold nothing yet. */
typedef Status NearestBoundedOp(Queue *queue, int32_t *label, Bounds bounds, bool fresh,
                                const Samples *s, const Centers *centers, void *scratch);

/* --- new centres -------------------------------------------------------------------------- */

/* Brings sums (C,d) and count (C) from labels `before` to `label`, then sets before = label. count[C] receives
 * the number of samples whose label changed. `fresh`: sums begin at 0, and all labels have changed.
 *   sums[c,:] = sum of cluster_round(z_n, grid) over label[n] = c.   4d bytes per change. */
typedef Status UpdateSumsOp(Queue *queue, double *sums, int64_t *count, int32_t *before, bool fresh,
                            const int32_t *label, const Samples *s, int64_t C, double grid,
                            void *scratch);
/* at[c] = sums[c]/count[c], scaled to length 1 if `spherical`. A cluster without samples keeps its centre, and
 * so does one whose sum is 0 and has no direction. norm2 and moved are computed too; shift2 (1) = sum of
 * squared movements. 12Cd bytes. */
typedef Status UpdateCentersOp(Queue *queue, const Centers *centers, double *shift2,
                               const double *sums, const int64_t *count, int64_t d, bool spherical);
/* distance2[n] = |z_n - c_label[n]|^2, from differences and so without cancellation; inertia (1) = their sum in
 * double. 4Nd bytes. */
typedef Status OwnDistancesOp(Queue *queue, float *distance2, double *inertia, const int32_t *label,
                              const Samples *s, const Centers *centers, void *scratch);

/* --- starts: k-means++ (Arthur & Vassilvitskii 2007), R restarts side by side ------------- */

/* Draws rows[r,l], a sample n with probability weight[n,r] / sum over n: the first n whose running sum exceeds
 * u times the whole sum. u in [0,1) comes from philox(seed; PHILOX_STARTS, l, first + r, step). Where weight is
 * NULL or its sum is 0, n = floor(u N).
 *   rows (R,L), weight (N,R). 4NR bytes. */
typedef Status WeightedRowsOp(Queue *queue, int64_t *rows, const float *weight, int64_t N,
                              int64_t R, int64_t L, uint64_t seed, int64_t first, int64_t step,
                              void *scratch);
/* Chooses, for every restart, the candidate that leaves the least sum over n of
 * min(closest[n,r], |z_n - candidate|^2), the first of equals. chosen[r * stride] receives its row, and closest
 * becomes that minimum. `fresh`: closest holds nothing yet.
 *   closest (N,R). 2 N R L d flops, 4Nd bytes. */
typedef Status SeedStepOp(Queue *queue, int64_t *chosen, int64_t stride, float *closest, bool fresh,
                          const int64_t *rows, const Samples *s, int64_t R, int64_t L,
                          void *scratch);
/* at[c] = z of rows[c], and norm2. rows (C) in [0, N). */
typedef Status PickRowsOp(Queue *queue, const Centers *centers, const int64_t *rows,
                          const Samples *s);

/* The operations of k-means of one backend. */
typedef struct {
    RowNormsOp *row_norms;
    UnitRowsOp *unit_rows;
    ShiftRowsOp *shift_rows;
    NearestOp *nearest;
    NearestBoundedOp *nearest_bounded;
    UpdateSumsOp *update_sums;
    UpdateCentersOp *update_centers;
    OwnDistancesOp *own_distances;
    WeightedRowsOp *weighted_rows;
    SeedStepOp *seed_step;
    PickRowsOp *pick_rows;

    /* Returns the bytes of scratch that serve any one of these operations for up to C centres and R L
     * candidates. */
    int64_t (*scratch_bytes)(const Device *device, int64_t N, int64_t d, int64_t C, int64_t R,
                             int64_t L);
} ClusterOps;

#endif
