/* model_wide.c - the model of kernels on wgmma: wide_logits.cuh, wide_gradient.cuh, and the steps of inner_wgmma.cu. */
#include <math.h>
#include <stdio.h>

#include "kernels/plan/model_parts.h"

enum {
    WIDE_DEPTH = 64,
    WIDE_MMA_DEPTH = 16
};                          /* depth of a stage of the ring, and of one instruction */
enum { WIDE_WARPS = 2 };    /* warps of a scheduler that multiply */
enum { WIDE_PIECES = 512 }; /* most pieces of a gradient */
enum { WIDE_FOURS = 4 };    /* elements of a turn of the shares, where rows are whole fours */

const KernelFigures *model_wide_figures(const Problem *p, const char *format) {
    char name[64];
    snprintf(name, sizeof name, format, (int)WGMMA_CLASSES((int64_t)p->C));
    return kernel_figures(name);
}

/* Logits of all rows by clusters of CTAs of 128 rows. Clusters that split the classes load Z once, and W for every
 * 128 rows. Clusters that share W load it once for all their rows. The cluster with most to do decides. */
ModelPhase model_wide_rows(const Problem *p, const char *name, int64_t times, double out,
                           const KernelFigures *f) {
    const Plan *plan = p->plan;
    int64_t pieces, features;
    plan_busiest(plan, &pieces, &features);
    const double mmas = (double)features / WIDE_MMA_DEPTH;
    ModelPhase phase = {.name = name,
                        .times = times,
                        .hbm = p->misses * p->e * p->S * p->B,
                        .l2 = p->e * p->S * (p->B + p->C * (double)plan_pieces(plan)) + out,
                        .flops =
                            2.0 * (double)features * WGMMA_ROWS * plan->classes * p->device->sms,
                        .latency_s = (double)pieces * TILE_CLOCKS / p->device->clock_hz};
    model_work(&phase, p, mmas, f->logits, 0.0, WIDE_WARPS);
    return phase;
}

/* Labels come in batches, one trip after another, and may have to come from memory. The blocks of a cluster that splits
 * the classes exchange two rows a thread, all at once. */
void model_wide_ends(ModelPhase *phase, const Problem *p, const KernelFigures *f) {
    const PlanDevice *device = p->device;
    const bool splits = p->plan->splits > 1;
    int64_t pieces, features;
    plan_busiest(p->plan, &pieces, &features);
    const double waits =
        f->hits * device->l1_clocks + (f->row_trips - f->hits) * model_trip(p) +
        (splits ? 2.0 * device->dsmem_clocks : 0.0); /* a barrier, then the loads */
    model_work(phase, p, (double)pieces, f->epilogue, waits, WIDE_WARPS);
}

/* The cut of the gradient's tiles: pieces of the batch of a tile, and pieces of the busiest block. wide_gradient.cuh
 * chooses them by the same formula, for `counted` blocks that share Z; in truth `together` do. */
typedef struct {
    double splits, pieces;
} WideCut;

static WideCut wide_cut(const Problem *p, double together, double counted) {
    const int sure_sms = WGMMA_SURE(p->device->sms);
    const double class_tiles = model_tiles(p->C, WGMMA_ROWS),
                 groups = model_tiles(class_tiles, together), depth = model_tiles(p->B, WIDE_DEPTH),
                 workers = (double)(int64_t)(p->device->sms / together),
                 sure = fmax(1.0, (double)(int64_t)(sure_sms / counted));
    double across = 0.0, least = INFINITY;
    WideCut cut = {1.0, 1.0};
    for (int k = 0; k < p->plan->spaces; k++)
        across += model_tiles((double)p->plan->space[k].d, WGMMA_FEATURES);
    for (double splits = 1.0; splits <= depth && splits <= GRADIENT_MOST_SPLITS; splits++) {
        if (splits > 1.0 && across * class_tiles * splits > WIDE_PIECES) break;
        const double computed = across * model_tiles(class_tiles, counted) * counted * splits,
                     us = model_tiles(computed, sure * counted) *
                              (0.6 * model_tiles(depth, splits) + 2.0 + 10.0 / splits) +
                          across * class_tiles * splits * 2.0 * 131072.0 / 5.5e6;
        if (us < least)
            least = us, cut = (WideCut){splits, model_tiles(across * groups * splits, workers)};
    }
    return cut;
}

/* R^T Z by tiles of 128 classes x 256 features, without the partial sums; `together` blocks share Z. The block with
 * most pieces decides. */
ModelPhase model_wide_gradient(const Problem *p, const char *name, int64_t times, double together,
                               double counted, const KernelFigures *f) {
    const double rows = WGMMA_ROWS, groups = model_tiles(model_tiles(p->C, rows), together);
    const WideCut cut = wide_cut(p, together, counted);
    const double depth = cut.pieces * model_tiles(model_tiles(p->B, WIDE_DEPTH), cut.splits);
    ModelPhase phase = {.name = name,
                        .times = times,
                        .hbm = p->misses * p->e * p->B * (p->S + p->K * p->C),
                        .l2 = p->e * p->B *
                              (p->S * groups + p->C * model_tiles(p->S, WGMMA_FEATURES)),
                        .flops = 2.0 * depth * WIDE_DEPTH * rows * WGMMA_FEATURES * p->device->sms,
                        .latency_s = cut.pieces * TILE_CLOCKS / p->device->clock_hz};
    model_work(&phase, p, depth * WIDE_DEPTH / WIDE_MMA_DEPTH, f->gradient, 0.0, WIDE_WARPS);
    return phase;
}

/* Padded classes have no sums. */
double model_wide_sums(const Problem *p, double counted) {
    return 8.0 * wide_cut(p, counted, counted).splits * p->C * p->S;
}

/* Sums and Adam. Partial sums come in batches, the first of them with what Adam reads. */
static void wide_shares(Model *m, const Problem *p, int64_t M, double together, double counted,
                        const KernelFigures *f) {
    const double weights = p->C * p->S, threads = 256.0;
    const WideCut cut = wide_cut(p, together, counted);
    double fours = WIDE_FOURS;
    for (int k = 0; k < p->plan->spaces; k++)
        if (p->plan->space[k].d % WIDE_FOURS) fours = 1.0;
    const double turns = cut.pieces *
                         model_tiles(model_tiles((double)WGMMA_ROWS * WGMMA_FEATURES, cut.splits),
                                     fours * threads),
                 trips = f->share_trips - f->sums + model_tiles(cut.splits, fmax(1.0, f->at_once));
    ModelPhase phase = {.name = "inner: sums, Adam",
                        .times = M,
                        .hbm = p->misses * 0.5 * model_wide_sums(p, counted), /* once: written */
                        .l2 = model_wide_sums(p, counted) + (24.0 + p->e) * weights};
    model_work(&phase, p, turns, f->share, trips * p->device->l2_clocks, WIDE_WARPS);
    model_add(m, p, p->device->wgmma_flops_16, phase);
}

/* Clusters that split the classes of logits share Z in the gradient as well. */
void model_wide_steps(Model *m, const Problem *p, int64_t M) {
    const Plan *plan = p->plan;
    const KernelFigures *f = model_wide_figures(p, "inner_wgmma<Fp16, %d>");
    const double labels = p->K * p->B * p->C, rate = p->device->wgmma_flops_16,
                 together = plan->classes < WGMMA_MOST_CLASSES ? 1.0 : plan->cluster,
                 counted = plan->splits;
    model_add(m, p, rate, model_wide_rows(p, "inner: logits", M, 0.0, f));
    ModelPhase ends = {.name = "inner: softmax",
                       .times = M,
                       .hbm = p->misses * (4.0 + p->e) * labels,
                       .l2 = (4.0 + p->e) * labels};
    model_wide_ends(&ends, p, f);
    model_add(m, p, rate, ends);
    model_add(m, p, rate, model_wide_gradient(p, "inner: gradient", M, together, counted, f));
    wide_shares(m, p, M, together, counted, f);
    /* barriers: after the rows, among the pieces of a tile, after the step */
    model_add(m, p, rate, (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 3.0});
}
