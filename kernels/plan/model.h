/* model.h - a model of the time of one outer iteration on a GPU: what each phase moves and computes.
 *
 *     phase   = largest of (bytes / bandwidth of each link, flops / rate) + latency
 *               + barriers x the time of one + nodes of the graph x the time of one
 *     iteration = sum of the phases, those of an inner step M times
 *
 * No phase overlaps another, and within a phase everything overlaps: the truth lies between. Bytes are
 * those of the kernels as they are cut (kernels/plan/plan.h, the tiles of kernels/cuda): a matrix that is read
 * once by every block counts once for every block. Rates and times of the devices are devices.c's, with their
 * sources. Everything that comes out of here is a prediction; bench-training prints it beside what was
 * measured. */
#ifndef TURTLE_KERNELS_PLAN_MODEL_H
#define TURTLE_KERNELS_PLAN_MODEL_H

#include "kernels/plan/plan.h"

typedef struct {
    const char *name;
    const char *kernels; /* parts of their names, ' ' between; NULL: inside the launch before */
    int64_t times;       /* in one iteration: 1, or M */
    double hbm, l2;      /* bytes, each time */
    double shared;       /* bytes through the ports of all SMs' shared memory */
    double flops;        /* with the padding that the tiles compute */
    double latency_s;    /* what no rate explains: first fragments, barriers of a block */
    double barriers, nodes;
    double seconds;    /* each time */
    const char *bound; /* what the most of it is: "HBM", "L2", "shared memory", "flops", ... */
} ModelPhase;

enum { MODEL_MAX_PHASES = 16 };

typedef struct {
    ModelPhase phase[MODEL_MAX_PHASES];
    int count;
    double seconds, inner_s; /* of an iteration; of its inner loop, first load to last barrier */
    double flops_floor_s;    /* (4M + 6) B C sum d flops at the device's best rate for them */
    double launches;         /* nodes of the graph */
} Model;

/* An outer iteration over the spaces of a plan. */
typedef struct {
    int64_t M;
    DType type; /* of operands */
    bool tf32;
    int feature_bytes; /* of an element of the features */
    bool warm_start;   /* no heads are drawn */
    bool by_parts;     /* never in one launch, where it could be: --inner mega */
} ModelRun;

/* The phase whose launch a kernel of that name is; -1: none. */
int model_phase_of(const Model *model, const char *kernel);
/* Seconds of its launches in one iteration: of the phase and those inside. */
double model_launch_s(const Model *model, int phase);

void model_iteration(Model *out, const PlanDevice *device, const Plan *plan, const ModelRun *run);

#endif
