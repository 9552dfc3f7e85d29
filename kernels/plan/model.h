/* model.h - a model of the time of one outer iteration on a GPU: what each phase moves and computes.
 *
 *     phase     = largest of bytes / bandwidth of each link, flops / rate, instructions / issue slots,
 *                 and the longest warp: its instructions and waits, one after the other
 *                 + latency + barriers x the time of one + nodes of the graph x the time of one
 *     iteration = sum of the phases, the phases of an inner step M times
 *
 * The model lets no phase overlap another and everything within a phase overlap; the truth lies between. Bytes
 * are counted as the kernels are cut (plan.h, kernels/tiles.h): a matrix that every block reads once counts
 * once for every block. Bytes of a step that the L2 cache cannot keep come from memory: none while the step moves
 * less than half of the cache, all of them from its whole size on. Instructions and waits of a warp are those of the
 * compiled kernels (model_figures.h). devices.c has the rates and times of the devices, with their sources. All
 * results are predictions; bench-training prints them beside what it measures. */
#ifndef TURTLE_KERNELS_PLAN_MODEL_H
#define TURTLE_KERNELS_PLAN_MODEL_H

#include "kernels/plan/plan.h"

typedef struct {
    const char *name;
    const char *
        kernels; /* parts of the names of its kernels, ' ' between; NULL: the phase is inside the launch before */
    int64_t times;  /* how often it runs in one iteration: 1, or M */
    double hbm, l2; /* bytes from memory and through the L2 cache, each time */
    double shared;  /* bytes through the ports of all SMs' shared memory */
    double flops;   /* flops, with the padding that the tiles compute */
    double issue_s; /* instructions of the busiest scheduler's warps, one a clock */
    double warp_s,
        wait_s; /* the longest warp: its instructions, and what it waits for memory meanwhile */
    double latency_s;       /* time beside which nothing runs: first fragments, ends of items */
    double barriers, nodes; /* barriers of the grid, nodes of the graph */
    double heavy;           /* nodes among them that are cooperative kernels or memsets */
    double seconds;         /* time, each time */
    const char *bound; /* what takes the most of it: "HBM", "L2", "shared memory", "flops", ... */
    const char *kind;  /* its kind: "latency", "issue", "bandwidth" or "flops" */
} ModelPhase;

enum { MODEL_MAX_PHASES = 16 };

typedef struct {
    ModelPhase phase[MODEL_MAX_PHASES];
    int count;
    double seconds;       /* time of an iteration */
    double inner_s;       /* time of its inner loop, from the first load to the last barrier */
    double flops_floor_s; /* time of (4M + 6) B C sum d flops at the device's best rate */
    double launches;      /* nodes of the graph of an iteration */
} Model;

/* An outer iteration over the spaces of a plan. */
typedef struct {
    int64_t M;
    DType type; /* type of operands */
    bool tf32;
    int feature_bytes; /* bytes of an element of the features */
    bool warm_start;   /* true: no heads are drawn */
    bool by_parts;     /* true: the iteration is never one launch, as with --inner mega */
} ModelRun;

/* Returns the index of the phase that launches `kernel`, or -1. */
int model_phase_of(const Model *model, const char *kernel);
/* Returns the seconds of a phase's launches in one iteration, with the phases inside them. */
double model_launch_s(const Model *model, int phase);

/* Predicts an iteration of the spaces of `plan` on the device. */
void model_iteration(Model *out, const PlanDevice *device, const Plan *plan, const ModelRun *run);

/* The range of a prediction. `largest` is the device's figure that moves it most: least_s and most_s are the
 * seconds of an iteration at its ends. low_s and high_s: all figures, as if their errors were independent. */
typedef struct {
    const PlanRange *largest;
    double least_s, most_s;
    double low_s, high_s;
} ModelRange;
void model_range(ModelRange *out, const PlanDevice *device, const Plan *plan, const ModelRun *run);

#endif
