/* cluster.h - the k-means operations of one instruction set (signatures and formulas: kernels/cluster.h). */
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

RowNormsOp cpu_row_norms;
UnitRowsOp cpu_unit_rows;
ShiftRowsOp cpu_shift_rows;
NearestOp cpu_nearest;
NearestBoundedOp cpu_nearest_bounded;
int64_t cpu_nearest_scratch(const Device *device, int64_t C, int64_t d);
UpdateSumsOp cpu_update_sums;
int64_t cpu_update_sums_scratch(int64_t N, int64_t C);
UpdateCentersOp cpu_update_centers;
OwnDistancesOp cpu_own_distances;
WeightedRowsOp cpu_weighted_rows;
int64_t cpu_weighted_scratch(int64_t N, int64_t R);
SeedStepOp cpu_seed_step;
int64_t cpu_seed_scratch(int64_t N, int64_t d, int64_t candidates);
PickRowsOp cpu_pick_rows;

/* Returns |x|^2, summed in double. */
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
