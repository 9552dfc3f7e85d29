/* model.c - a model of the time of one outer iteration on a GPU. */
#include "kernels/plan/model.h"

#include <math.h>
#include <string.h>

/* Clocks that a tile costs beside its bytes: its pipeline fills and drains. An estimate, not measured. */
static const double TILE_CLOCKS = 1500.0;

/* The problem, in the letters of the formulas. */
typedef struct {
    const PlanDevice *device;
    const Plan *plan;
    double K, B, C, S; /* S: sum of the features of all spaces */
    double e;          /* bytes of an operand's element */
    double rate;       /* flops/s of mma.sync, or of FMAs for float32 */
    double best;       /* flops/s of the device's best instruction for the operands */
    bool rounds;       /* operands are rounded copies */
} Problem;

static double up(double n, double to) {
    const double tiles = n / to;
    return (double)(int64_t)(tiles + (tiles > (double)(int64_t)tiles ? 1.0 : 0.0)) * to;
}
static double tiles(double n, double of) {
    return up(n, of) / of;
}

/* Returns the classes that the tiles of logits compute. */
static double padded(double C) {
    return up(C, LOGIT_COLS(C));
}

/* --- phases ----------------------------------------------------------------------------------- */

static void add(Model *m, const Problem *p, double rate, ModelPhase phase) {
    const PlanDevice *device = p->device;
    const double port = SHARED_BYTES_CLOCK * device->clock_hz * device->sms;
    const struct {
        const char *name;
        double seconds;
    } parts[] = {{"HBM", phase.hbm / device->hbm_bytes_s},
                 {"L2", phase.l2 / device->l2_bytes_s},
                 {"shared memory", phase.shared / port},
                 {"flops", phase.flops / rate},
                 {"latency", phase.latency_s},
                 {"barriers", phase.barriers * device->barrier_s},
                 {"launches", phase.nodes * device->node_s}};
    double largest = 0.0, link = 0.0;
    phase.bound = "";
    for (int i = 0; i < 7; i++) {
        if (parts[i].seconds > largest) largest = parts[i].seconds, phase.bound = parts[i].name;
        if (i < 4) link = fmax(link, parts[i].seconds);
        else phase.seconds += parts[i].seconds;
    }
    phase.seconds += link;
    m->seconds += (double)phase.times * phase.seconds;
    m->launches += (double)phase.times * phase.nodes;
    m->phase[m->count++] = phase;
}

/* Returns the latency of a kernel of rows: the tiles of classes that an SM computes one after the other. */
static double row_latency(const Problem *p) {
    const double blocks = p->K * tiles(p->B, LOGIT_ROWS);
    return tiles(blocks, 2.0 * p->device->sms) * tiles(p->C, LOGIT_MOST_COLS) * TILE_CLOCKS /
           p->device->clock_hz;
}

/* Logits of all rows by tiles of 64 rows (task_labels.cu, task_step.cu, residual.cuh): Z is loaded once for
 * each tile of classes, W once for each block of rows; the epilogue moves `out` bytes more. */
static ModelPhase forward(const Problem *p, const char *name, int64_t times, double out) {
    const double blocks = tiles(p->B, LOGIT_ROWS), wide = tiles(p->C, LOGIT_MOST_COLS);
    return (ModelPhase){.name = name,
                        .times = times,
                        .l2 = p->e * p->S * (p->B * wide + p->C * blocks) + out,
                        .flops = 2.0 * up(p->B, LOGIT_ROWS) * padded(p->C) * p->S,
                        .latency_s = row_latency(p)};
}

/* R^T Z by tiles of classes x features, the batch cut into pieces (gradient.cuh), without the partial sums. */
static ModelPhase gradient(const Problem *p, const char *name, int64_t times) {
    const double rows = GRADIENT_ROWS(p->C), cols = GRADIENT_COLS(p->C);
    const double class_tiles = tiles(p->C, rows);
    return (ModelPhase){.name = name,
                        .times = times,
                        .l2 = p->e * p->B * (p->S * class_tiles + p->C * tiles(p->S, cols)),
                        .flops = 2.0 * p->B * class_tiles * rows * up(p->S, cols),
                        .latency_s = TILE_CLOCKS / p->device->clock_hz};
}
/* Returns the bytes of the gradient's partial sums, written and read. */
static double gradient_sums(const Problem *p) {
    const double rows = GRADIENT_ROWS(p->C), cols = GRADIENT_COLS(p->C);
    const double all = tiles(p->C, rows) * tiles(p->S, cols);
    const double wave = fmin(2.0 * p->device->sms, GRADIENT_MOST_BLOCKS);
    const double splits = fmax(1.0, fmin(GRADIENT_MOST_SPLITS, (double)(int64_t)(wave / all)));
    return 8.0 * splits * all * rows * cols;
}

/* --- the inner loop --------------------------------------------------------------------------- */

/* The traffic of the slab form in a step; bytes but for the last two. Visits are the sum over spaces that take
 * turns, and those of the slowest space where they are side by side. */
typedef struct {
    double load;   /* resident rows, once a launch */
    double port;   /* all rows, once over the ports of shared memory */
    double stream; /* streamed rows, from L2 */
    double again;  /* streamed rows, once more for sweeps of their own */
    double sums;   /* partial sums, out and in, and W */
    double flops;  /* flops of one product of all rows */
    double visits; /* visits of pieces */
} SlabStep;

static SlabStep slab_step(const Problem *p) {
    const Plan *plan = p->plan;
    SlabStep s = {0};
    for (int i = 0; i < plan->spaces; i++) {
        const PlanLayout *l = &plan->space[i];
        const double rows = (double)l->rows, resident = (double)l->resident, d = (double)l->d,
                     count = l->count, left = rows - resident;
        const double pieces = (double)plan_slab_visits(l);
        s.load += count * resident * d * p->e;
        /* all SMs' ports count, as if all were as busy as this space's */
        s.port += (plan->side_by_side ? count : (double)p->device->sms) * rows * d * p->e;
        s.flops += 2.0 * count * rows * SLAB_CLASSES(l->C) * d;
        s.stream += count * left * d * p->e;
        if (l->passes > 1)
            s.again += count * left * d * p->e; /* with one pass a visit serves both phases */
        s.visits = plan->side_by_side ? fmax(s.visits, pieces) : s.visits + pieces;
        s.sums += count * (double)l->C * d * (4.0 + 4.0 + 2.0);
    }
    return s;
}
static double slab_half(const Problem *p,
                        const SlabStep *s) { /* seconds of half a visit: forward or gradient */
    return 0.5 * s->visits * SLAB_VISIT_CLOCKS / p->device->clock_hz;
}

static void slab_steps(Model *m, const Problem *p, const SlabStep *s, int64_t M) {
    const double turns = p->plan->side_by_side ? 1.0 : p->plan->spaces;
    add(m, p, p->rate,
        (ModelPhase){.name = "inner: logits, softmax",
                     .times = M,
                     .shared = s->port,
                     .l2 = s->stream,
                     .flops = s->flops,
                     .latency_s = slab_half(p, s)});
    add(m, p, p->rate,
        (ModelPhase){.name = "inner: gradient",
                     .times = M,
                     .shared = s->port,
                     .l2 = s->again,
                     .flops = s->flops,
                     .latency_s = slab_half(p, s)});
    add(m, p, p->rate, (ModelPhase){.name = "inner: sums, Adam, W", .times = M, .l2 = s->sums});
    add(m, p, p->rate,
        (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 2.0 * turns});
}

static void tiled_steps(Model *m, const Problem *p, int64_t M) {
    const double labels = p->K * p->B * p->C, weights = p->C * p->S;
    const double waits =
        p->C > LOGIT_MOST_COLS ? 8.0 * labels : 0.0; /* bytes: logits out and in again */
    add(m, p, p->rate, forward(p, "inner: logits", M, waits));
    add(m, p, p->rate,
        (ModelPhase){.name = "inner: softmax", .times = M, .l2 = (4.0 + p->e) * labels});
    add(m, p, p->rate, gradient(p, "inner: gradient", M));
    add(m, p, p->rate,
        (ModelPhase){.name = "inner: sums, Adam",
                     .times = M,
                     .l2 = gradient_sums(p) + (24.0 + p->e) * weights});
    /* barriers: after the rows, among the pieces of a tile, after the step */
    add(m, p, p->rate, (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 3.0});
}

/* R^T Z by tiles of 128 classes x 256 features, without the partial sums; `together` blocks share Z
 * (wide_gradient.cuh). */
static ModelPhase wide_gradient(const Problem *p, const char *name, int64_t times,
                                double together) {
    const double rows = WGMMA_ROWS, groups = tiles(tiles(p->C, rows), together);
    return (ModelPhase){.name = name,
                        .times = times,
                        .l2 = p->e * p->B * (p->S * groups + p->C * tiles(p->S, WGMMA_FEATURES)),
                        .flops = 2.0 * p->B * rows * groups * together * up(p->S, WGMMA_FEATURES),
                        .latency_s = TILE_CLOCKS / p->device->clock_hz};
}
/* Returns the bytes of its partial sums, written and read; padded classes have none. */
static double wide_sums(const Problem *p) {
    const double all = tiles(p->C, WGMMA_ROWS) * tiles(p->S, WGMMA_FEATURES);
    return 8.0 * fmax(1.0, (double)(int64_t)(p->device->sms / all)) * p->C * p->S;
}

/* Logits of all rows by clusters of CTAs of 128 rows (wide_logits.cuh). Clusters that split the classes load Z
 * once, and W for every 128 rows. Clusters that share W load it once for all their rows. The epilogue moves
 * `out` bytes more. The cluster with most to do decides. */
static ModelPhase wide_logits(const Problem *p, const char *name, int64_t times, double out) {
    const Plan *plan = p->plan;
    const double rows = WGMMA_ROWS;
    int64_t pieces, features;
    plan_busiest(plan, &pieces, &features);
    return (ModelPhase){.name = name,
                        .times = times,
                        .l2 = p->e * p->S * (p->B + p->C * (double)plan_pieces(plan)) + out,
                        .flops = 2.0 * (double)features * rows * plan->classes * p->device->sms,
                        .latency_s = (double)pieces * TILE_CLOCKS / p->device->clock_hz};
}

/* The wgmma form. Clusters that split the classes of logits share Z in the gradient as well. */
static void wgmma_steps(Model *m, const Problem *p, int64_t M) {
    const Plan *plan = p->plan;
    const bool shares = plan->classes < WGMMA_MOST_CLASSES;
    const double labels = p->K * p->B * p->C, weights = p->C * p->S,
                 rate = p->device->wgmma_flops_16;
    add(m, p, rate, wide_logits(p, "inner: logits", M, 0.0));
    add(m, p, rate,
        (ModelPhase){.name = "inner: softmax", .times = M, .l2 = (4.0 + p->e) * labels});
    add(m, p, rate, wide_gradient(p, "inner: gradient", M, shares ? 1.0 : plan->cluster));
    add(m, p, rate,
        (ModelPhase){
            .name = "inner: sums, Adam", .times = M, .l2 = wide_sums(p) + (24.0 + p->e) * weights});
    add(m, p, rate, (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 3.0});
}

/* --- the outer halves ------------------------------------------------------------------------- */

/* The outer logits, by the kernel of either form; `nodes` launches. */
static void outer_forward(Model *m, const Problem *p, const char *name, const char *kernels,
                          double out, double nodes) {
    const bool wide = p->plan->form == PLAN_WGMMA;
    ModelPhase phase = wide ? wide_logits(p, name, 1, out) : forward(p, name, 1, out);
    phase.kernels = kernels;
    phase.nodes = nodes;
    add(m, p, wide ? p->device->wgmma_flops_16 : p->rate, phase);
}

/* --- the iteration ---------------------------------------------------------------------------- */

/* random_rows, and a gather of each space: rows come from memory, the batch stays in the L2 cache. */
static void gather(Model *m, const Problem *p, const ModelRun *run) {
    add(m, p, p->rate,
        (ModelPhase){.name = "gather",
                     .kernels = "random_rows gather",
                     .times = 1,
                     .hbm = p->B * p->S * run->feature_bytes,
                     .l2 = p->B * p->S * (run->feature_bytes + p->e),
                     .nodes = 1.0 + p->K});
}

/* One launch (iteration_slab.cu), a node that zeroes its barrier, and the launches that draw rows and heads.
 * Features of the operands' type are read where they lie. */
static void iteration_at_once(Model *m, const Problem *p, const ModelRun *run) {
    const double weights = p->C * p->S, count = p->plan->space[0].count,
                 clock = p->device->clock_hz;
    const SlabStep s = slab_step(p);
    const bool direct = run->type == DTYPE_F16 && run->feature_bytes == 2;
    if (!direct) gather(m, p, run);
    add(m, p, p->rate,
        (ModelPhase){.name = direct ? "rows, heads" : "heads",
                     .kernels = direct ? "random_rows random_heads" : "random_heads",
                     .times = 1,
                     .l2 = run->warm_start ? 0.0 : 12.0 * weights,
                     .nodes = (direct ? 1.0 : 0.0) + (run->warm_start ? 0.0 : 1.0)});
    add(m, p, p->rate,
        (ModelPhase){.name = "launch, load slab",
                     .kernels = "iteration_slab",
                     .times = 1,
                     .hbm = direct ? s.load : 0.0,
                     .l2 = s.load,
                     .nodes = 2.0});
    add(m, p, p->rate, /* every CTA reads v twice; first fragments */
        (ModelPhase){.name = "labels",
                     .times = 1,
                     .shared = s.port,
                     .l2 = s.stream + 8.0 * count * weights + 4.0 * p->B * p->C,
                     .flops = s.flops,
                     .latency_s = TILE_CLOCKS / clock + slab_half(p, &s)});
    const double before = m->seconds;
    slab_steps(m, p, &s, run->M);
    m->inner_s = m->seconds - before;
    add(m, p, p->rate, /* before it every CTA reads the column sums of all */
        (ModelPhase){.name = "head, outer gradient",
                     .times = 1,
                     .shared = 2.0 * s.port,
                     .l2 = s.stream + 4.0 * count * count * p->C,
                     .flops = 2.0 * s.flops,
                     .latency_s = TILE_CLOCKS / clock + 2.0 * slab_half(p, &s)});
    add(m, p, p->rate,
        (ModelPhase){.name = "outer sums", .times = 1, .l2 = s.sums, .barriers = 1.0});
    add(m, p, p->rate, /* a CTA goes over a row three times */
        (ModelPhase){.name = "weight norm, Adam",
                     .times = 1,
                     .l2 = 36.0 * weights,
                     .latency_s = TILE_CLOCKS / clock,
                     .barriers = 1.0});
    add(m, p, p->rate,
        (ModelPhase){.name = "count", .kernels = "count_kernel", .times = 1, .nodes = 1.0});
}

void model_iteration(Model *out, const PlanDevice *device, const Plan *plan, const ModelRun *run) {
    Problem p = {.device = device, .plan = plan, .K = plan->spaces};
    *out = (Model){0};
    for (int k = 0; k < plan->spaces; k++) {
        p.S += (double)plan->space[k].d;
        p.B = fmax(p.B, (double)plan->space[k].B);
        p.C = (double)plan->space[k].C;
    }
    p.rounds = run->type != DTYPE_F32;
    p.e = p.rounds ? 2.0 : 4.0;
    p.rate = p.rounds    ? device->mma_flops_16
             : run->tf32 ? device->mma_flops_tf32
                         : device->simt_flops;
    p.best = p.rounds ? fmax(p.rate, device->wgmma_flops_16) : p.rate;
    const double labels = p.K * p.B * p.C, weights = p.C * p.S, mean = p.B * p.C;

    out->flops_floor_s = (4.0 * (double)run->M + 6.0) * p.B * p.C * p.S / p.best;
    if (!run->by_parts && plan_at_once(plan, run->M)) {
        iteration_at_once(out, &p, run);
        return;
    }
    gather(out, &p, run);
    outer_forward(out, &p, "task forward", "weight_norm task_labels",
                  4.0 * labels + (4.0 + p.e) * weights, 2.0); /* weight norm before it */
    add(out, &p, p.rate,
        (ModelPhase){.name = "labels",
                     .kernels = "batch_entropy",
                     .times = 1,
                     .l2 = 8.0 * labels + 4.0 * mean,
                     .nodes = 2.0});
    if (!run->warm_start)
        add(out, &p, p.rate,
            (ModelPhase){.name = "random heads",
                         .kernels = "random_heads",
                         .times = 1,
                         .l2 = 12.0 * weights,
                         .nodes = 1.0});

    const double before = out->seconds;
    add(out, &p, p.rate,
        (ModelPhase){.name = "inner: launch",
                     .kernels = "inner_slab inner_tiled inner_wgmma",
                     .times = 1,
                     .nodes = 3.0});
    if (plan->form == PLAN_SLAB) {
        const SlabStep step = slab_step(&p);
        if (step.load > 0.0)
            add(out, &p, p.rate,
                (ModelPhase){.name = "inner: load slab", .times = 1, .l2 = step.load});
        slab_steps(out, &p, &step, run->M);
    } else if (plan->form == PLAN_WGMMA) wgmma_steps(out, &p, run->M);
    else tiled_steps(out, &p, run->M);
    out->inner_s = out->seconds - before;

    outer_forward(out, &p, "head forward", "round_spaces head_labels",
                  8.0 * labels,          /* L out, Y in for each space */
                  p.rounds ? 2.0 : 1.0); /* rounding before it */
    add(out, &p, p.rate,                 /* L of all, P in and out; rounded copies */
        (ModelPhase){.name = "task gradient",
                     .kernels = "task_grad round_residuals",
                     .times = 1,
                     .l2 = 12.0 * labels + (p.rounds ? 6.0 * labels : 0.0),
                     .nodes = p.rounds ? 2.0 : 1.0});
    const bool wide = p.rounds && device->wgmma && p.C > SLAB_MOST_CLASSES;
    ModelPhase phase = wide ? wide_gradient(&p, "outer gradient", 1, WGMMA_TOGETHER(p.C))
                            : gradient(&p, "outer gradient", 1);
    phase.kernels = "gradient_tiled gradient_wgmma";
    phase.l2 += (wide ? wide_sums(&p) : gradient_sums(&p)) + 4.0 * weights;
    phase.barriers = 1.0;
    phase.nodes = 2.0;
    add(out, &p, wide ? device->wgmma_flops_16 : p.rate, phase);
    add(out, &p, p.rate, /* gradient twice, v and moments in and out; the count of iterations */
        (ModelPhase){.name = "weight norm, Adam",
                     .kernels = "task_adam count_kernel",
                     .times = 1,
                     .l2 = 36.0 * weights,
                     .nodes = 2.0});
}

/* --- beside a measurement --------------------------------------------------------------------- */

int model_phase_of(const Model *m, const char *kernel) {
    const char *end = kernel + strcspn(kernel, "<"); /* template values are not searched */
    for (int i = 0; i < m->count; i++) {
        const char *part = m->phase[i].kernels;
        while (part) {
            const size_t length = strcspn(part, " ");
            for (const char *at = kernel; at + length <= end; at++)
                if (strncmp(at, part, length) == 0) return i;
            part = part[length] ? part + length + 1 : NULL;
        }
    }
    return -1;
}

double model_launch_s(const Model *m, int phase) {
    double seconds = 0.0;
    for (int i = phase; i < m->count && (i == phase || !m->phase[i].kernels); i++)
        seconds += (double)m->phase[i].times * m->phase[i].seconds;
    return seconds;
}
