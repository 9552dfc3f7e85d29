/* model.c - a model of the time of one outer iteration on a GPU. */
#include <math.h>
#include <string.h>

#include "kernels/plan/model_parts.h"

/* Kernels of tiles, by the classes of their tile of logits: 16, 64, 128. */
#define TILED_NAMES(kernel)                                                           \
    {                                                                                 \
        kernel "<Fp16, Shape2<64, 16, 4, 1>>", kernel "<Fp16, Shape2<64, 64, 2, 2>>", \
            kernel "<Fp16, Shape2<64, 128, 2, 2>>"                                    \
    }
static const char *const labels_tiled[3] = TILED_NAMES("task_labels_tiled");
static const char *const heads_tiled[3] = TILED_NAMES("head_labels_tiled");
static const char *const inner_tiled[3] = {
    "inner_tiled<Fp16, Shape2<64, 16, 4, 1>, Shape2<16, 128, 1, 4>>",
    "inner_tiled<Fp16, Shape2<64, 64, 2, 2>, Shape2<64, 64, 2, 2>>",
    "inner_tiled<Fp16, Shape2<64, 128, 2, 2>, Shape2<128, 64, 2, 2>>"};

/* --- the inner loop in tiles ------------------------------------------------------------------ */

static void tiled_steps(Model *m, const Problem *p, int64_t M) {
    const double labels = p->K * p->B * p->C;
    const double waits =
        p->C > LOGIT_MOST_COLS ? 8.0 * labels : 0.0; /* bytes: logits out and in again */
    const KernelFigures *f = model_tiled_figures(p->C, inner_tiled);
    model_add(m, p, p->rate, model_rows(p, "inner: logits", M, waits, f));
    model_add(m, p, p->rate,
              (ModelPhase){.name = "inner: softmax",
                           .times = M,
                           .hbm = p->misses * (4.0 + p->e) * labels,
                           .l2 = (4.0 + p->e) * labels});
    model_add(m, p, p->rate, model_gradient(p, "inner: gradient", M));
    model_add(m, p, p->rate, model_tiled_shares(p, "inner: sums, Adam", M, f));
    /* barriers: after the rows, among the pieces of a tile, after the step */
    model_add(m, p, p->rate, (ModelPhase){.name = "inner: barriers", .times = M, .barriers = 3.0});
}

/* --- the outer halves ------------------------------------------------------------------------- */

/* Adds the outer logits, by the kernel of either form; `nodes` launches. */
static void outer_forward(Model *m, const Problem *p, ModelPhase launch, double out,
                          const char *wide_name, const char *const tiled_names[3]) {
    const bool wide = p->plan->form == PLAN_WGMMA;
    ModelPhase phase, ends = {0};
    if (wide) {
        const KernelFigures *f = model_wide_figures(p, wide_name);
        phase = model_wide_rows(p, launch.name, 1, out, f);
        model_wide_ends(&ends, p, f);
        phase.latency_s += fmax(ends.issue_s, ends.warp_s + ends.wait_s);
    } else {
        phase = model_rows(p, launch.name, 1, out, model_tiled_figures(p->C, tiled_names));
    }
    phase.kernels = launch.kernels;
    phase.nodes = launch.nodes;
    model_add(m, p, wide ? p->device->wgmma_flops_16 : p->rate, phase);
}

static void outer_gradient(Model *m, const Problem *p) {
    const bool wide = p->rounds && p->device->wgmma && p->C > SLAB_MOST_CLASSES;
    const double together = WGMMA_TOGETHER(p->C);
    ModelPhase phase =
        wide ? model_wide_gradient(p, "outer gradient", 1, together, together,
                                   kernel_figures("gradient_wgmma<Fp16, StoreSpaces>"))
             : model_gradient(p, "outer gradient", 1);
    phase.kernels = "gradient_tiled gradient_wgmma";
    phase.l2 += (wide ? model_wide_sums(p, together) : model_gradient_sums(p)) + 4.0 * p->C * p->S;
    phase.barriers = 1.0;
    phase.nodes = phase.heavy = 2.0; /* counters are zeroed; cooperative */
    model_add(m, p, wide ? p->device->wgmma_flops_16 : p->rate, phase);
}

/* Gradient twice, v and moments in and out; the count of iterations. */
static void outer_adam(Model *m, const Problem *p) {
    const KernelFigures *f = kernel_figures("task_adam_spaces");
    const double classes = model_tiles(p->K * p->C, 8.0 * p->device->sms); /* 8 blocks an SM */
    double longest = 0.0;
    for (int k = 0; k < p->plan->spaces; k++) longest = fmax(longest, (double)p->plan->space[k].d);
    ModelPhase phase = {.name = "weight norm, Adam",
                        .kernels = "task_adam count_kernel",
                        .times = 1,
                        .l2 = 36.0 * p->C * p->S,
                        .nodes = 2.0};
    model_work(&phase, p, classes * model_tiles(longest, 1024.0), f->share,
               f->share_trips * p->device->l2_clocks, 2.0);
    model_add(m, p, p->rate, phase);
}

/* --- the iteration ---------------------------------------------------------------------------- */

void model_gather(Model *m, const Problem *p, const ModelRun *run) {
    model_add(m, p, p->rate,
              (ModelPhase){.name = "gather",
                           .kernels = "random_rows gather",
                           .times = 1,
                           .hbm = p->B * p->S * run->feature_bytes,
                           .l2 = p->B * p->S * (run->feature_bytes + p->e),
                           .nodes = 1.0 + p->K});
}

/* Labels and the heads that the inner loop begins with. */
static void before_steps(Model *m, const Problem *p, const ModelRun *run) {
    const double labels = p->K * p->B * p->C, weights = p->C * p->S;
    model_gather(m, p, run);
    outer_forward(
        m, p, /* weight norm before it */
        (ModelPhase){.name = "task forward", .kernels = "weight_norm task_labels", .nodes = 2.0},
        4.0 * labels + (4.0 + p->e) * weights, "task_labels_wgmma<Fp16, %d>", labels_tiled);
    model_add(m, p, p->rate,
              (ModelPhase){.name = "labels",
                           .kernels = "batch_entropy",
                           .times = 1,
                           .l2 = 8.0 * labels + 4.0 * p->B * p->C,
                           .nodes = 2.0,
                           .heavy = 1.0}); /* its tickets are zeroed */
    if (!run->warm_start)
        model_add(m, p, p->rate,
                  (ModelPhase){.name = "random heads",
                               .kernels = "random_heads",
                               .times = 1,
                               .l2 = 12.0 * weights,
                               .nodes = 1.0});
}

static void after_steps(Model *m, const Problem *p) {
    const double labels = p->K * p->B * p->C;
    outer_forward(m, p, /* rounding before it; L out, Y in for each space */
                  (ModelPhase){.name = "head forward",
                               .kernels = "round_spaces head_labels",
                               .nodes = p->rounds ? 2.0 : 1.0},
                  8.0 * labels, "head_labels_wgmma<Fp16, %d>", heads_tiled);
    model_add(m, p, p->rate, /* L of all, P in and out; rounded copies */
              (ModelPhase){.name = "task gradient",
                           .kernels = "task_grad round_residuals",
                           .times = 1,
                           .l2 = 12.0 * labels + (p->rounds ? 6.0 * labels : 0.0),
                           .nodes = p->rounds ? 2.0 : 1.0});
    outer_gradient(m, p);
    outer_adam(m, p);
}

/* Returns the share of a step's bytes that the L2 cache does not keep. Z stays in shared memory in the slab form, but
 * for streamed rows. */
static double misses_of(const Problem *p) {
    const double half = 0.5 * p->device->l2_bytes;
    const double labels = p->K * p->B * p->C;
    double set = p->e * p->B * p->S + 4.0 * p->B * p->C + p->e * labels + 16.0 * p->C * p->S;
    if (p->plan->form == PLAN_SLAB) {
        set = 0.0;
        for (int i = 0; i < p->plan->spaces; i++) {
            const PlanLayout *l = &p->plan->space[i];
            set += p->e * (double)(l->count * (l->rows - l->resident) * l->d) +
                   4.0 * (double)(l->count * l->C * l->d);
        }
    }
    return fmin(1.0, fmax(0.0, (set - half) / half));
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
    p.misses = misses_of(&p);
    out->flops_floor_s = (4.0 * (double)run->M + 6.0) * p.B * p.C * p.S / p.best;
    if (!run->by_parts && plan_at_once(plan, run->M)) {
        model_at_once(out, &p, run);
        return;
    }
    before_steps(out, &p, run);
    const double before = out->seconds;
    model_add(out, &p, p.rate, /* counters are zeroed twice, a cooperative launch */
              (ModelPhase){.name = "inner: launch",
                           .kernels = "inner_slab inner_tiled inner_wgmma",
                           .times = 1,
                           .nodes = 3.0,
                           .heavy = 3.0});
    if (plan->form == PLAN_SLAB) model_slab_inner(out, &p, run->M);
    else if (plan->form == PLAN_WGMMA) model_wide_steps(out, &p, run->M);
    else tiled_steps(out, &p, run->M);
    out->inner_s = out->seconds - before;
    after_steps(out, &p);
}

void model_range(ModelRange *out, const PlanDevice *device, const Plan *plan, const ModelRun *run) {
    Model m;
    double below = 0.0, above = 0.0, widest = 0.0;
    model_iteration(&m, device, plan, run);
    const double middle = m.seconds;
    *out = (ModelRange){0};
    for (int i = 0; plan_range_at(i); i++) {
        const PlanRange *range = plan_range_at(i);
        double ends[2];
        for (int j = 0; j < 2; j++) {
            const PlanDevice other = plan_device_with(device, range, j == 1);
            model_iteration(&m, &other, plan, run);
            ends[j] = m.seconds;
        }
        const double low = fmin(ends[0], ends[1]), high = fmax(ends[0], ends[1]);
        below += pow(fmax(0.0, middle - low), 2.0);
        above += pow(fmax(0.0, high - middle), 2.0);
        if (high - low <= widest) continue;
        widest = high - low;
        out->largest = range, out->least_s = low, out->most_s = high;
    }
    out->low_s = middle - sqrt(below), out->high_s = middle + sqrt(above);
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
