/* cluster.h - the k-means operations of one instruction set (formulas: kernels/cluster.h). */
#ifndef TURTLE_KERNELS_CPU_CLUSTER_CLUSTER_H
#define TURTLE_KERNELS_CPU_CLUSTER_CLUSTER_H

#include "kernels/cpu/gemm/gemm.h"

/* the symbols that carry the set's name */
#define cpu_nearest ISA(cpu_nearest)
#define cpu_nearest_bounded ISA(cpu_nearest_bounded)
#define cpu_nearest_scratch ISA(cpu_nearest_scratch)
#define cpu_own_distances ISA(cpu_own_distances)
#define cpu_pick_rows ISA(cpu_pick_rows)
#define cpu_row_norms ISA(cpu_row_norms)
#define cpu_seed_step ISA(cpu_seed_step)
#define cpu_seed_scratch ISA(cpu_seed_scratch)
#define cpu_shift_rows ISA(cpu_shift_rows)
#define cpu_unit_rows ISA(cpu_unit_rows)
#define cpu_update_centers ISA(cpu_update_centers)
#define cpu_update_sums ISA(cpu_update_sums)
#define cpu_update_sums_scratch ISA(cpu_update_sums_scratch)
#define cpu_weighted_rows ISA(cpu_weighted_rows)
#define cpu_weighted_scratch ISA(cpu_weighted_scratch)
#define square_length ISA(square_length)

Status cpu_row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N);
Status cpu_unit_rows(Queue *q, const Batch *Z, int64_t N);
Status cpu_shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N);
Status cpu_nearest(Queue *q, int32_t *label, float *first, float *second, const Samples *s,
                   const Centers *centers, void *scratch);
Status cpu_nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh, const Samples *s,
                           const Centers *centers, void *scratch);
int64_t cpu_nearest_scratch(const Device *device, int64_t C, int64_t d);
Status cpu_update_sums(Queue *q, double *sums, int64_t *count, int32_t *before, bool fresh,
                       const int32_t *label, const Samples *s, int64_t C, double grid,
                       void *scratch);
int64_t cpu_update_sums_scratch(int64_t N, int64_t C);
Status cpu_update_centers(Queue *q, const Centers *centers, double *shift2, const double *sums,
                          const int64_t *count, int64_t d, bool spherical);
Status cpu_own_distances(Queue *q, float *distance2, double *inertia, const int32_t *label,
                         const Samples *s, const Centers *centers, void *scratch);
Status cpu_weighted_rows(Queue *q, int64_t *rows, const float *weight, int64_t N, int64_t R,
                         int64_t L, uint64_t seed, int64_t first, int64_t step, void *scratch);
int64_t cpu_weighted_scratch(int64_t N, int64_t R);
Status cpu_seed_step(Queue *q, int64_t *chosen, int64_t stride, float *closest, bool fresh,
                     const int64_t *rows, const Samples *s, int64_t R, int64_t L, void *scratch);
int64_t cpu_seed_scratch(int64_t N, int64_t d, int64_t candidates);
Status cpu_pick_rows(Queue *q, const Centers *centers, const int64_t *rows, const Samples *s);

/* |x|^2 in double. */
double square_length(const float *x, int64_t d);

static inline bool samples_servable(const Samples *s) {
    return s && batch_servable(&s->Z) && s->Z.type == DTYPE_F32 && s->norm2 && s->N >= 1;
}
static inline bool centers_servable(const Centers *c) {
    return c && c->at && c->norm2 && c->C >= 1 && c->C <= INT32_MAX;
}
static inline const float *sample(const Samples *s, int64_t n) {
    return (const float *)s->Z.data + n * s->Z.row;
}

#endif
