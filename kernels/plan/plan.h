/* plan.h - the layout of one persistent launch of the inner loop, from shapes and the device alone.
 *
 *     (B, C, d) of every space, precision, SMs, shared memory  ->  form, CTAs, rows of each, budgets
 *
 * Spaces are independent given the labels, so a launch may hold the spaces of several runs. There are three
 * forms, and one of them serves every shape on every device:
 *
 *     PLAN_SLAB    C <= 32, operands of 16 bits: latency decides. The rows of the batch are cut over
 *                  the CTAs of the space and stay in shared memory for all M steps.
 *     PLAN_WGMMA   32 < C <= 2048, 16 bits, compute capability 9.0: the tensor cores and their supply
 *                  decide. A CTA has 128 rows x 64, 128 or 256 classes; 1, 2, 4 or 8 CTAs are a
 *                  cluster. A launch of its own cuts the outer logits in the same way.
 *     PLAN_TILED   everything else: tiles pass through a ring in shared memory, as in the fused tier.
 *                  It needs 45 KiB and serves every shape, so every call has a form.
 *
 * Why is the slab not for operands of 4 bytes? 80 rows x 776 x 4 bytes are 248 KB: at d 768 less than three
 * quarters of the batch would stay on an H200's SMs. Then the rate of the products decides, which is half
 * (tf32) or without tensor cores (fp32). Parity mode also wants the order of sums of the tiled form.
 * Why not beyond 32 classes? Each CTA holds a weight gradient of its own: C d floats in registers, 4Cd bytes a
 * step through the L2 cache (10 MB at C 32, d 768 on 132 CTAs). That costs more than the slab saves. */
#ifndef TURTLE_KERNELS_PLAN_PLAN_H
#define TURTLE_KERNELS_PLAN_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "io/dtype.h"
#include "io/status.h"
#include "kernels/plan/devices.h"
#include "kernels/plan/plan_rows.h"

typedef enum { PLAN_SLAB, PLAN_TILED, PLAN_WGMMA } PlanForm;

enum { PLAN_MAX_SPACES = 16 };
enum { SHARED_BYTES_CLOCK = 128 }; /* bytes a clock through the port of an SM's shared memory */

typedef struct {
    int64_t B, C, d;
} PlanSpace;

/* The layout of one space. In the slab form its i-th CTA has the rows [i rows, (i + 1) rows). In the two other
 * forms work is dealt out in pieces of `rows` (plan_rows.h). */
typedef struct {
    int64_t B, C, d;
    int first, count; /* its CTAs of the launch: the first one, how many */
    int64_t rows;     /* rows of a CTA (slab), or of a piece */
    /* PLAN_SLAB. Rows are visited in pieces: resident ones of `group` rows, streamed ones of
     * `stage` rows through `stages` slots. With more features than the registers hold gradients of
     * (passes > 1) all rows' residuals are found first, then the gradient in `passes` sweeps. */
    int64_t resident; /* rows that stay in shared memory */
    int group, stage, stages, passes;
    int stride; /* elements between rows in shared memory */
    struct {    /* where the parts of shared memory begin, bytes; `end` is behind the last */
        int W, slab, logits, R, small, end;
    } at;
    double
        step_s; /* rough time of one step, by which layouts are compared (model.h has a better one) */
} PlanLayout;

typedef struct {
    PlanForm form;
    int blocks, cluster, threads; /* CTAs of the launch, CTAs of a cluster, threads of a CTA */
    int64_t shared;               /* dynamic shared memory of a CTA, bytes */
    /* PLAN_WGMMA: classes of a CTA's tile of logits. With 256 as many CTAs of a cluster as `splits` says have
     * the same rows and split the classes; a cluster may hold two such groups, which have other rows and load W for
     * one another. With 64 or 128 a CTA has all classes and rows of its own; the CTAs of a cluster load W for
     * one another. */
    int classes;
    int splits; /* CTAs of a cluster that split the classes of the same rows; a power of two */
    /* true: spaces have CTAs of their own. false: all spaces have the same CTAs, and take turns (slab) or
     * share them within a step (tiled, wgmma). */
    bool side_by_side;
    int spaces, order[PLAN_MAX_SPACES]; /* order: spaces with most features first */
    PlanLayout space[PLAN_MAX_SPACES];
} Plan;

/* Lays out one launch for n spaces. They have one C, which decides the form; d may differ, and in the slab form
 * B. Returns ERR_ARG where there is no space, too many, one with a size below 1, or several B without a slab. */
Status plan_inner(Plan *out, const PlanDevice *device, const PlanSpace *spaces, int n, DType type,
                  bool tf32, Error *err);

/* Returns how many trainings of such spaces fill the device best, where each has launches of its own on an
 * equal part of the SMs (plan_part). The number is a power of two; 1 where one training fills the device. */
int plan_trainings(const PlanDevice *device, const PlanSpace *spaces, int n, DType type, bool tf32);

/* A piece of rows of one space's batch. */
typedef struct {
    int space;
    int64_t first, count; /* count 0: the cluster's other CTAs have the last rows of the piece */
} PlanRows;

/* Finds the i-th piece of rows that a CTA works on in a step, in its order. Returns false if the CTA has no more.
 * Every row belongs to one CTA, or to the CTAs of one cluster that split its classes. Kernels call the same functions
 * (plan_rows.h). */
bool plan_rows(const Plan *plan, int block, int64_t i, PlanRows *out);

/* Returns the pieces into which a space's batch is cut. tiled, wgmma. */
int64_t plan_pieces(const Plan *plan);

/* Returns how the rows of a CTA of a slab space are cut. */
SlabCut plan_cut(const PlanLayout *space);

/* wgmma: finds the cluster that has the most features in a step: its pieces, and their features. */
void plan_busiest(const Plan *plan, int64_t *pieces, int64_t *features);

/* wgmma: returns the binary logarithm of `splits`. */
int plan_split_bits(const Plan *plan);

/* wgmma: says that the device holds only so many clusters of the plan's size at once. Where two CTAs share W and clusters
 * of half the size, all of which the device is believed to hold, would now take less time, they become the plan. Sums and
 * their order stay the same. */
void plan_held(Plan *plan, const PlanDevice *device, int clusters);

/* Returns the visits of pieces that a CTA of a slab space makes in one step. */
int64_t plan_slab_visits(const PlanLayout *space);

/* Returns whether a whole outer iteration of M inner steps fits into the launch (iteration_slab.cu): its
 * spaces are side by side, and the gradient of each is found in one sweep. */
bool plan_at_once(const Plan *plan, int64_t M);

/* Returns "slab", "tiled" or "wgmma". */
const char *plan_form_name(PlanForm form);

#endif
