/* plan_slab.h - between plan.c and plan_slab.c. */
#ifndef TURTLE_KERNELS_PLAN_PLAN_SLAB_H
#define TURTLE_KERNELS_PLAN_PLAN_SLAB_H

#include "kernels/plan/plan.h"

/* Lays the slab form out for the spaces of *out. Returns false where it does not fit. */
bool plan_slab(Plan *out, const PlanDevice *device);

#endif
