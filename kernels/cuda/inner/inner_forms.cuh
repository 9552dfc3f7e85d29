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

/* inner_steps.cu: the layout of such steps on the device. */
Status inner_plan(Plan *out, const Device *device, const InnerSteps *in, Error *err);

/* inner_tiled.cu: the persistent kernel for every shape. */
Status tiled_steps(Queue *q, const InnerSteps *in);

/* inner_slab.cu: the persistent kernel for few classes, for a plan that says PLAN_SLAB. */
int64_t slab_scratch(DType type, int K, int64_t B, int64_t C, int64_t d);
Status slab_steps(Queue *q, const InnerSteps *in, const Plan &plan);
/* inner_wgmma.cu: the one for many classes, for PLAN_WGMMA. It serves sizes of 32 bits, on devices that hold
 * a cluster: how many at once, 0 where it is none. */
bool wide_sizes(const InnerSteps *in);
int wide_clusters(const Plan &plan);
Status wide_steps(Queue *q, const InnerSteps *in, const Plan &plan);

#endif
