/* model_parts.c - what the phases of the model have in common: their sum, and the products by tiles. */
#include "kernels/plan/model_parts.h"

#include <math.h>

double model_up(double n, double to) {
    return model_tiles(n, to) * to;
}
double model_tiles(double n, double of) {
    const double tiles = n / of;
    return (double)(int64_t)(tiles + (tiles > (double)(int64_t)tiles ? 1.0 : 0.0));
}

void model_add(Model *m, const Problem *p, double rate, ModelPhase phase) {
    const PlanDevice *device = p->device;
    const double port = SHARED_BYTES_CLOCK * device->clock_hz * device->sms;
    const double barrier = device->barrier_s + device->drain_s;
    const struct {
        const char *name, *kind;
        double seconds;
    } parts[] = {
        {"HBM", "bandwidth", phase.hbm / device->hbm_bytes_s},
        {"L2", "bandwidth", phase.l2 / device->l2_bytes_s},
        {"shared memory", "bandwidth", phase.shared / port},
        {"flops", "flops", phase.flops / rate},
        {"instructions", "issue", phase.issue_s},
        {phase.wait_s >= phase.warp_s ? "waits" : "instructions of a warp",
         phase.wait_s >= phase.warp_s ? "latency" : "issue", phase.warp_s + phase.wait_s},
        {"ends", "latency", phase.latency_s},
        {"barriers", "latency", phase.barriers * barrier},
        {"launches", "latency",
         (phase.nodes - phase.heavy) * device->node_s + phase.heavy * device->heavy_node_s}};
    enum { LINKS = 6, PARTS = sizeof parts / sizeof *parts };
    double largest = 0.0, link = 0.0;
    phase.bound = phase.kind = "";
    for (int i = 0; i < PARTS; i++) {
        if (parts[i].seconds > largest)
            largest = parts[i].seconds, phase.bound = parts[i].name, phase.kind = parts[i].kind;
        if (i < LINKS) link = fmax(link, parts[i].seconds);
        else phase.seconds += parts[i].seconds;
    }
    phase.seconds += link;
    m->seconds += (double)phase.times * phase.seconds;
    m->launches += (double)phase.times * phase.nodes;
    m->phase[m->count++] = phase;
}

void model_work(ModelPhase *phase, const Problem *p, double turns, double instructions,
                double wait_clocks, double warps) {
    const double clock = p->device->clock_hz;
    phase->issue_s += turns * instructions * warps / clock;
    phase->warp_s += turns * instructions / clock;
    phase->wait_s += turns * wait_clocks / clock;
}

double model_trip(const Problem *p) {
    const PlanDevice *device = p->device;
    return device->l2_clocks + p->misses * (device->hbm_clocks - device->l2_clocks);
}

/* --- products by tiles of mma.sync ------------------------------------------------------------ */

const KernelFigures *model_tiled_figures(double C, const char *const names[3]) {
    return kernel_figures(names[C <= 16 ? 0 : C <= 64 ? 1 : 2]);
}

/* Logits of all rows by tiles of 64 rows (task_labels.cu, task_step.cu, residual.cuh): Z is loaded once for
 * each tile of classes, W once for each block of rows. Two blocks of four warps are on an SM. */
ModelPhase model_rows(const Problem *p, const char *name, int64_t times, double out,
                      const KernelFigures *f) {
    const double blocks = model_tiles(p->B, LOGIT_ROWS), wide = model_tiles(p->C, LOGIT_MOST_COLS);
    const double rounds = model_tiles(p->K * blocks, TILED_PER_SM * (double)p->device->sms) * wide;
    ModelPhase phase = {.name = name,
                        .times = times,
                        .hbm = p->misses * p->e * p->S * p->B,
                        .l2 = p->e * p->S * (p->B * wide + p->C * blocks) + out,
                        .flops = 2.0 * model_up(p->B, LOGIT_ROWS) *
                                 model_up(p->C, LOGIT_COLS(p->C)) * p->S,
                        .latency_s = rounds * TILE_CLOCKS / p->device->clock_hz};
    model_work(&phase, p, rounds, f->epilogue, f->row_trips * model_trip(p), TILED_PER_SM);
    phase.latency_s += fmax(phase.issue_s, phase.warp_s + phase.wait_s); /* behind the products */
    phase.issue_s = phase.warp_s = phase.wait_s = 0.0;
    return phase;
}

/* R^T Z by tiles of classes x features, the batch cut into pieces (gradient.cuh), without the partial sums. */
ModelPhase model_gradient(const Problem *p, const char *name, int64_t times) {
    const double rows = GRADIENT_ROWS(p->C), cols = GRADIENT_COLS(p->C);
    const double class_tiles = model_tiles(p->C, rows);
    return (ModelPhase){.name = name,
                        .times = times,
                        .hbm = p->misses * p->e * p->B * (p->S + p->K * p->C),
                        .l2 = p->e * p->B * (p->S * class_tiles + p->C * model_tiles(p->S, cols)),
                        .flops = 2.0 * p->B * class_tiles * rows * model_up(p->S, cols),
                        .latency_s = TILE_CLOCKS / p->device->clock_hz};
}

static double tiled_splits(const Problem *p) {
    const double all =
        model_tiles(p->C, GRADIENT_ROWS(p->C)) * model_tiles(p->S, GRADIENT_COLS(p->C));
    const double wave = fmin(2.0 * p->device->sms, GRADIENT_MOST_BLOCKS);
    return fmax(1.0, fmin(GRADIENT_MOST_SPLITS, (double)(int64_t)(wave / all)));
}
double model_gradient_sums(const Problem *p) {
    const double rows = GRADIENT_ROWS(p->C), cols = GRADIENT_COLS(p->C);
    return 8.0 * tiled_splits(p) * model_tiles(p->C, rows) * model_tiles(p->S, cols) * rows * cols;
}

double model_share_waits(const Problem *p, const KernelFigures *f, double pieces) {
    const int at_once = f->at_once > 0.0 ? (int)f->at_once : 1;
    int batches = (int)pieces / at_once;
    for (int left = (int)pieces % at_once; left; left &= left - 1) batches++;
    return (f->share_trips - f->sums + batches) * p->device->l2_clocks;
}

ModelPhase model_tiled_shares(const Problem *p, const char *name, int64_t times,
                              const KernelFigures *f) {
    const double rows = GRADIENT_ROWS(p->C), cols = GRADIENT_COLS(p->C), splits = tiled_splits(p);
    const double blocks = splits * model_tiles(p->C, rows) * model_tiles(p->S, cols);
    const double pieces = model_tiles(blocks, TILED_PER_SM * (double)p->device->sms);
    ModelPhase phase = {.name = name,
                        .times = times,
                        .hbm = p->misses * 0.5 * model_gradient_sums(p), /* once: written */
                        .l2 = model_gradient_sums(p) + (24.0 + p->e) * p->C * p->S};
    model_work(&phase, p, pieces * model_tiles(model_tiles(rows * cols, splits), TILED_THREADS),
               f->share, model_share_waits(p, f, splits), TILED_PER_SM);
    return phase;
}
