/* inner_forms.cuh - the persistent forms of the inner loop, as inner_steps.cu chooses among them. */
#ifndef TURTLE_KERNELS_CUDA_INNER_INNER_FORMS_CUH
#define TURTLE_KERNELS_CUDA_INNER_INNER_FORMS_CUH

extern "C" {
#include "kernels/plan/plan.h"
}
#include "kernels/cuda/backend/operations.h"

/* Returns the number of features of the space that has most. */
inline int64_t largest_d(const InnerSteps *in) {
    int64_t d = 0;
    for (int k = 0; k < in->K; k++) d = in->space[k].Z.d > d ? in->space[k].Z.d : d;
    return d;
}

/* Lays such steps out on the device. (inner_steps.cu) */
Status inner_plan(Plan *out, const Device *device, const InnerSteps *in, Error *err);

/* Runs all steps in one launch, whatever the shape. (inner_tiled.cu) */
Status tiled_steps(Queue *q, const InnerSteps *in);

/* Run all steps in one launch for few classes, by a plan that says PLAN_SLAB. (inner_slab.cu) */
int64_t slab_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
Status slab_steps(Queue *q, const InnerSteps *in, const Plan &plan);
/* Run all steps in one launch for many classes, by a plan that says PLAN_WGMMA. (inner_wgmma.cu) wide_sizes
 * returns whether all sizes have 32 bits; wide_clusters returns the clusters that the device holds at once, 0
 * where it holds none. */
bool wide_sizes(const InnerSteps *in);
int wide_clusters(const Plan &plan);
Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan);

#endif
