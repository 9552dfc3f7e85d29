/* model_parts.h - what the phases of the model have in common; for model*.c alone. */
#ifndef TURTLE_KERNELS_PLAN_MODEL_PARTS_H
#define TURTLE_KERNELS_PLAN_MODEL_PARTS_H

#include "kernels/plan/model.h"
#include "kernels/plan/model_figures.h"

/* Clocks that a tile costs beside its bytes: its pipeline fills and drains. An estimate, not measured. */
enum { TILE_CLOCKS = 1500 };

/* The problem, in the letters of the formulas. */
typedef struct {
    const PlanDevice *device;
    const Plan *plan;
    double K, B, C, S; /* S: sum of the features of all spaces */
    double e;          /* bytes of an operand's element */
    double rate;       /* flops/s of mma.sync, or of FMAs for float32 */
    double best;       /* flops/s of the device's best instruction for the operands */
    double misses;     /* share of what a step moves that the L2 cache does not keep, 0 to 1 */
    bool rounds;       /* operands are rounded copies */
} Problem;

double model_up(double n, double to);    /* returns n rounded up to a multiple of `to` */
double model_tiles(double n, double of); /* returns how many tiles of that size cover n */

/* Adds a phase whose flops run at `rate`: finds its seconds and what bounds it. */
void model_add(Model *m, const Problem *p, double rate, ModelPhase phase);

/* Adds work to a phase: so many turns of a loop, each of so many instructions and clocks of waiting, by `warps` warps
 * of every scheduler. */
void model_work(ModelPhase *phase, const Problem *p, double turns, double instructions,
                double wait_clocks, double warps);

/* Returns the clocks of one trip of a step to what is shared by all SMs: L2 hits, or misses. */
double model_trip(const Problem *p);

/* Products by tiles of mma.sync: all rows' logits, with an epilogue that moves `out` more bytes; R^T Z without its
 * sums; the sums with Adam, and their bytes. f: figures of the kernel. */
ModelPhase model_rows(const Problem *p, const char *name, int64_t times, double out,
                      const KernelFigures *f);
ModelPhase model_gradient(const Problem *p, const char *name, int64_t times);
ModelPhase model_tiled_shares(const Problem *p, const char *name, int64_t times,
                              const KernelFigures *f);
double model_gradient_sums(const Problem *p);
/* Returns the clocks of one element's trips in the sums of so many pieces. Partial sums are loaded a power of two of
 * pieces at a time. */
double model_share_waits(const Problem *p, const KernelFigures *f, double pieces);

/* Return the logits and the gradient by wgmma. `together`: blocks of a cluster that share Z; `counted`: of how many the
 * pieces of the gradient were counted. */
ModelPhase model_wide_rows(const Problem *p, const char *name, int64_t times, double out,
                           const KernelFigures *f);
ModelPhase model_wide_gradient(const Problem *p, const char *name, int64_t times, double together,
                               double counted, const KernelFigures *f);
double model_wide_sums(const Problem *p, double counted);

/* Adds what the warps do around the products of a wgmma kernel's rows, beside which no product runs. */
void model_wide_ends(ModelPhase *phase, const Problem *p, const KernelFigures *f);
/* Returns the figures of a wgmma kernel; `format` is its name with %d for the classes of its tile. */
const KernelFigures *model_wide_figures(const Problem *p, const char *format);
/* Returns the figures of a tiled kernel: of three names the one whose tile has C classes. */
const KernelFigures *model_tiled_figures(double C, const char *const names[3]);

/* Add the phases of M steps of the inner loop, by form; the wgmma form is model_wide.c's, the slab model_slab.c's. */
void model_wide_steps(Model *m, const Problem *p, int64_t M);
void model_slab_inner(Model *m, const Problem *p, int64_t M);

/* Adds the phases of a whole iteration in one launch (iteration_slab.cu), a node that zeroes its barrier, and the
 * launches that draw rows and heads. Features of the operands' type are read where they lie. */
void model_at_once(Model *m, const Problem *p, const ModelRun *run);

/* Adds random_rows and a gather of each space: rows come from memory. */
void model_gather(Model *m, const Problem *p, const ModelRun *run);

#endif
