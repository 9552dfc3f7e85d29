/* model_slab.c - the model of the slab form: inner_slab.cu, and the whole iteration of iteration_slab.cu. */
#include <math.h>

#include "io/sizes.h"
#include "kernels/plan/model_parts.h"

enum { SCHEDULERS = 4, SLAB_WARPS_A_SCHEDULER = SLAB_WARPS / SCHEDULERS };
enum { SLAB_MMA = 16, SLAB_LOADS = 8 };

/* A slab's traffic in a step, in bytes. */
typedef struct {
    double load;   /* resident rows, once a launch */
    double port;   /* all rows, once over the ports of shared memory */
    double stream; /* streamed rows, from L2 */
    double again;  /* streamed rows, once more for sweeps of their own */
    double sums;   /* partial sums, out and in, and W */
    double flops;  /* flops of one product of all rows */
} SlabStep;

static const KernelFigures *figures(const Problem *p, bool at_once) {
    static const char *const names[2][2] = {
        {"inner_slab<Fp16, 16>", "inner_slab<Fp16, 32>"},
        {"iteration_slab<Fp16, 16>", "iteration_slab<Fp16, 32>"}};
    return kernel_figures(names[at_once][SLAB_CLASSES(p->C) == 32]);
}

static SlabStep slab_step(const Problem *p) {
    const Plan *plan = p->plan;
    SlabStep s = {0};
    for (int i = 0; i < plan->spaces; i++) {
        const PlanLayout *l = &plan->space[i];
        const double rows = (double)l->rows, resident = (double)l->resident, d = (double)l->d,
                     count = l->count, left = rows - resident;
        s.load += count * resident * d * p->e;
        /* all SMs' ports count, as if all were as busy as this space's */
        s.port += (plan->side_by_side ? count : (double)p->device->sms) * rows * d * p->e;
        s.flops += 2.0 * count * rows * SLAB_CLASSES(l->C) * d;
        s.stream += count * left * d * p->e;
        if (l->passes > 1)
            s.again += count * left * d * p->e; /* with one pass a visit serves both phases */
        s.sums += count * (double)l->C * d * (4.0 + 4.0 + 2.0);
    }
    return s;
}

/* Adds `one`'s work to a phase: that of spaces in turn adds up, of spaces side by side the longest counts. */
static void add_space(ModelPhase *phase, const ModelPhase *one, bool side_by_side) {
    if (!side_by_side) {
        phase->issue_s += one->issue_s;
        phase->warp_s += one->warp_s;
        phase->wait_s += one->wait_s;
        phase->latency_s += one->latency_s;
        return;
    }
    phase->issue_s = fmax(phase->issue_s, one->issue_s);
    if (one->warp_s + one->wait_s > phase->warp_s + phase->wait_s)
        phase->warp_s = one->warp_s, phase->wait_s = one->wait_s;
    phase->latency_s = fmax(phase->latency_s, one->latency_s);
}

/* Adds the code around the products of a sweep, once a visit. A band of rows is one warp's; four schedulers share them. */
static void epilogue_work(ModelPhase *one, const Problem *p, const PlanLayout *l,
                          const KernelFigures *f) {
    const SlabCut cut = plan_cut(l);
    const SlabRows rows = slab_rows(cut, 0, l->rows);
    for (int v = 0; v < rows.stays + rows.streams; v++)
        model_work(one, p, 1.0, f->epilogue, 0.0,
                   model_tiles(slab_piece(cut, rows, v).bands, SCHEDULERS));
}

/* A warp has an eighth of the strips, for all bands of rows. Its fragments come one after the other. Labels come
 * while it multiplies. */
static void logits_work(ModelPhase *phase, const Problem *p, const KernelFigures *f) {
    for (int i = 0; i < p->plan->spaces; i++) {
        const PlanLayout *l = &p->plan->space[i];
        const double strips =
            model_tiles(model_tiles((double)l->d, SLAB_FRAGMENT), (double)SLAB_WARPS);
        const double mmas = (double)l->rows / SLAB_FRAGMENT * strips * SLAB_CLASSES(l->C) / 8.0;
        ModelPhase one = {0};
        model_work(&one, p, mmas, f->logits, f->fragments * p->device->shared_clocks,
                   SLAB_WARPS_A_SCHEDULER);
        epilogue_work(&one, p, l, f);
        add_space(phase, &one, p->plan->side_by_side);
    }
}

/* The code of a band has as many strips as registers hold, half of them or two thirds. Of other numbers those that a
 * warp lacks are passed over, but issued. */
static void gradient_work(ModelPhase *phase, const Problem *p, const KernelFigures *f) {
    for (int i = 0; i < p->plan->spaces; i++) {
        const PlanLayout *l = &p->plan->space[i];
        const int class_blocks = SLAB_CLASSES(l->C) / SLAB_MMA;
        const double bands = (double)l->rows / SLAB_FRAGMENT, blocks = 2.0 * class_blocks,
                     strips =
                         model_tiles(model_tiles((double)l->d, SLAB_FRAGMENT), (double)SLAB_WARPS),
                     held = SLAB_MOST_STRIPS(SLAB_CLASSES(l->C)),
                     issued = strips == held / 2.0 || strips == 2.0 * held / 3.0
                                  ? strips
                                  : (double)l->passes * held;
        ModelPhase one = {0};
        model_work(&one, p, bands * blocks * issued, f->gradient, 0.0, SLAB_WARPS_A_SCHEDULER);
        model_work(&one, p, bands * blocks * strips, 0.0, f->fragments * p->device->shared_clocks,
                   SLAB_WARPS_A_SCHEDULER);
        add_space(phase, &one, p->plan->side_by_side);
    }
}

/* The owners of slices: loads of partial sums, eight at a time; then the next step's W and, in the first CTA, the
 * losses. Each is a trip of its own, for nothing else runs. */
static void sums_work(ModelPhase *phase, const Problem *p, const KernelFigures *f) {
    for (int i = 0; i < p->plan->spaces; i++) {
        const PlanLayout *l = &p->plan->space[i];
        const double quads = model_tiles((double)l->C * model_up((double)l->d, SLAB_FRAGMENT), 4.0);
        const double slice = model_tiles(quads, l->count),
                     width = slice <= 16.0   ? 16.0
                             : slice <= 32.0 ? 32.0
                                             : 64.0,
                     parts = SLAB_THREADS / width, turns = model_tiles(slice, width);
        const double trips =
            turns * (f->share_trips + model_tiles(l->count, parts * SLAB_LOADS)) + 2.0;
        ModelPhase one = {.latency_s = trips * p->device->l2_clocks / p->device->clock_hz};
        model_work(&one, p, turns, f->share, 0.0, SLAB_WARPS_A_SCHEDULER);
        add_space(phase, &one, p->plan->side_by_side);
    }
}

static void slab_steps(Model *m, const Problem *p, const SlabStep *s, int64_t M) {
    const double turns = p->plan->side_by_side ? 1.0 : p->plan->spaces;
    const KernelFigures *f = figures(p, false); /* the steps are the same code in both kernels */
    ModelPhase rows = {.name = "inner: logits, softmax",
                       .times = M,
                       .shared = s->port,
                       .hbm = p->misses * s->stream,
                       .l2 = s->stream,
                       .flops = s->flops},
               gradient = {.name = "inner: gradient",
                           .times = M,
                           .shared = s->port,
                           .hbm = p->misses * s->again,
                           .l2 = s->again,
                           .flops = s->flops},
               sums = {.name = "inner: sums, Adam, W", .times = M, .l2 = s->sums};
    logits_work(&rows, p, f);
    gradient_work(&gradient, p, f);
    sums_work(&sums, p, f);
    model_add(m, p, p->rate, rows);
    model_add(m, p, p->rate, gradient);
    model_add(m, p, p->rate, sums);
    model_add(m, p, p->rate,
              (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 2.0 * turns});
}

void model_slab_inner(Model *m, const Problem *p, int64_t M) {
    const SlabStep step = slab_step(p);
    if (step.load > 0.0)
        model_add(m, p, p->rate,
                  (ModelPhase){.name = "inner: load slab", .times = 1, .l2 = step.load});
    slab_steps(m, p, &step, M);
}

/* Bytes by which several spaces side by side exchange a matrix of their rows: each stores its own, reads all and stores
 * their mean. */
static double exchanged(const Problem *p) {
    return p->K > 1.0 ? 4.0 * p->B * p->C * p->K * (2.0 + p->K) : 0.0;
}

static void before_steps(Model *m, const Problem *p, const ModelRun *run, const SlabStep *s,
                         const KernelFigures *f) {
    const double clock = p->device->clock_hz;
    const bool direct = run->type == DTYPE_F16 && run->feature_bytes == 2;
    double tasks = 0.0; /* floats of theta that all CTAs read together */
    for (int k = 0; k < p->plan->spaces; k++)
        tasks += (double)(p->plan->space[k].count * p->plan->space[k].d) * p->C;
    if (!direct) model_gather(m, p, run);
    model_add(m, p, p->rate,
              (ModelPhase){.name = direct ? "rows, heads" : "heads",
                           .kernels = direct ? "random_rows random_heads" : "random_heads",
                           .times = 1,
                           .l2 = run->warm_start ? 0.0 : 12.0 * p->C * p->S,
                           .nodes = (direct ? 1.0 : 0.0) + (run->warm_start ? 0.0 : 1.0)});
    model_add(m, p, p->rate, /* a row's number, then the row */
              (ModelPhase){.name = "launch, load slab",
                           .kernels = "iteration_slab",
                           .times = 1,
                           .hbm = direct ? s->load : 0.0,
                           .l2 = s->load,
                           .latency_s = (p->device->l2_clocks + p->device->hbm_clocks) / clock,
                           .nodes = 2.0,
                           .heavy = 2.0});
    ModelPhase labels = {.name = "labels", /* every CTA reads v twice; first fragments */
                         .times = 1,
                         .shared = s->port,
                         .hbm = direct ? s->stream : 0.0, /* streamed rows, for the first time */
                         .l2 = s->stream + 8.0 * tasks + 4.0 * p->B * p->C + exchanged(p),
                         .flops = s->flops,
                         .latency_s = TILE_CLOCKS / clock,
                         .barriers = p->K > 1.0 ? 1.0 : 0.0};
    logits_work(&labels, p, f);
    model_add(m, p, p->rate, labels);
}

/* Behind the steps. Several spaces exchange log-probabilities before a sweep of the gradient of its own. */
static void after_steps(Model *m, const Problem *p, const SlabStep *s, const KernelFigures *f) {
    const KernelFigures *adam = kernel_figures("task_adam_spaces");
    const bool joint = p->K > 1.0;
    double columns = 0.0, longest = 0.0, classes = 1.0;
    for (int k = 0; k < p->plan->spaces; k++) {
        const PlanLayout *l = &p->plan->space[k];
        columns += (double)l->count * l->count * p->C; /* sums of all CTAs, for every CTA */
        longest = fmax(longest, (double)l->d);
        classes = fmax(classes, model_tiles(p->C, l->count));
    }
    ModelPhase outer = {.name = "head, outer gradient",
                        .times = 1,
                        .shared = 2.0 * s->port,
                        .hbm = p->misses * (joint ? 2.0 : 1.0) * s->stream,
                        .l2 = (joint ? 2.0 : 1.0) * s->stream + 4.0 * columns + exchanged(p),
                        .flops = 2.0 * s->flops,
                        .latency_s = TILE_CLOCKS / p->device->clock_hz,
                        .barriers = joint ? 1.0 : 0.0};
    logits_work(&outer, p, f);
    gradient_work(&outer, p, f);
    if (joint) { /* the sweep of the gradient makes residuals of what was exchanged */
        ModelPhase one = {0};
        for (int k = 0; k < p->plan->spaces; k++) {
            ModelPhase of = {0};
            epilogue_work(&of, p, &p->plan->space[k], f);
            add_space(&one, &of, true);
        }
        add_space(&outer, &one, false);
    }
    model_add(m, p, p->rate, outer);
    ModelPhase sums = {.name = "outer sums", .times = 1, .l2 = s->sums, .barriers = 1.0};
    sums_work(&sums, p, f);
    model_add(m, p, p->rate, sums);
    ModelPhase norm = {.name = "weight norm, Adam", /* a CTA goes over a row three times */
                       .times = 1,
                       .l2 = 36.0 * p->C * p->S,
                       .latency_s = TILE_CLOCKS / p->device->clock_hz,
                       .barriers = 1.0};
    model_work(&norm, p, classes * model_tiles(longest, 1024.0), adam->share,
               adam->share_trips * p->device->l2_clocks, SLAB_WARPS_A_SCHEDULER);
    model_add(m, p, p->rate, norm);
    model_add(m, p, p->rate,
              (ModelPhase){.name = "count", .kernels = "count_kernel", .times = 1, .nodes = 1.0});
}

void model_at_once(Model *m, const Problem *p, const ModelRun *run) {
    const SlabStep s = slab_step(p);
    const KernelFigures *f = figures(p, true);
    before_steps(m, p, run, &s, f);
    const double before = m->seconds;
    slab_steps(m, p, &s, run->M);
    m->inner_s = m->seconds - before;
    after_steps(m, p, &s, f);
}
