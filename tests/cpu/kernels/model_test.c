/* model_test.c - the model of an iteration's time: what must hold of it whatever the figures are, and the cases
 * that were computed by hand before it. */
#include <math.h>
#include <string.h>

#include "kernels/plan/model.h"
#include "kernels/plan/model_figures.h"
#include "tests/support/check.h"

static const char *const names[] = {"h200", "h100", "a100", "rtx4090"};
static const struct {
    DType type;
    bool tf32;
} precisions[] = {{DTYPE_F32, false}, {DTYPE_F32, true}, {DTYPE_F16, false}, {DTYPE_BF16, false}};
enum { DEVICES = 4, PRECISIONS = 4 };

static bool by_parts;

/* K spaces of d, 2d, ... */
static Model predict(const PlanDevice *device, int K, int64_t B, int64_t C, int64_t d, int64_t M,
                     int precision, PlanForm *form) {
    PlanSpace spaces[PLAN_MAX_SPACES];
    Plan plan;
    Model model;
    Error err;
    const ModelRun run = {.M = M,
                          .type = precisions[precision].type,
                          .tf32 = precisions[precision].tf32,
                          .feature_bytes = precisions[precision].type == DTYPE_F16 ? 2 : 4,
                          .by_parts = by_parts};
    for (int k = 0; k < K; k++) spaces[k] = (PlanSpace){B, C, d * (k + 1)};
    ASSERT_OK(plan_inner(&plan, device, spaces, K, run.type, run.tf32, &err), err);
    model_iteration(&model, device, &plan, &run);
    if (form) *form = plan.form;
    return model;
}

/* An H200 whose memory answers at once and keeps everything in its L2 cache. */
static PlanDevice without_waits(void) {
    PlanDevice d = *plan_device("h200");
    d.l1_clocks = d.shared_clocks = d.l2_clocks = d.hbm_clocks = d.dsmem_clocks = 0.0;
    d.drain_s = 0.0, d.heavy_node_s = d.node_s, d.l2_bytes = 1e12;
    return d;
}

static Model h200(int K, int64_t C) {
    return predict(plan_device("h200"), K, 10000, C, 768, 10, 2, NULL);
}

/* No phase is shorter than any of its links, the iteration no shorter than the flops that the algorithm needs
 * and the batch that must be read; and it is the sum of the phases. */
Test(model, no_prediction_is_below_a_floor) {
    static const int64_t sizes[][3] = {{256, 2, 8},        {1000, 10, 250},   {10000, 10, 768},
                                       {10000, 100, 1536}, {9999, 1000, 441}, {40000, 1024, 4096}};
    for (int i = 0; i < DEVICES; i++)
        for (int p = 0; p < PRECISIONS; p++)
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
                for (int K = 1; K <= 3; K++) {
                    const PlanDevice *device = plan_device(names[i]);
                    const int64_t *n = sizes[s];
                    const Model m = predict(device, K, n[0], n[1], n[2], 10, p, NULL);
                    const double port = 128.0 * device->clock_hz * device->sms;
                    const double halves = precisions[p].type == DTYPE_F32 ? 0.0 : 1.0;
                    const double rate = halves > 0.0
                                            ? fmax(device->mma_flops_16, device->wgmma_flops_16)
                                        : precisions[p].tf32 ? device->mma_flops_tf32
                                                             : device->simt_flops;
                    const double features = (double)(n[2] * K * (K + 1) / 2);
                    const double flops = 46.0 * (double)n[0] * (double)n[1] * features;
                    const double batch =
                        (double)n[0] * features * (precisions[p].type == DTYPE_F16 ? 2.0 : 4.0);
                    double sum = 0.0;
                    cr_expect(m.count >= 10 && m.count <= MODEL_MAX_PHASES);
                    cr_expect(m.seconds >= flops / rate &&
                              m.seconds >= batch / device->hbm_bytes_s);
                    cr_expect(fabs(m.flops_floor_s - flops / rate) <= 1e-12 * m.flops_floor_s);
                    for (int j = 0; j < m.count; j++) {
                        const ModelPhase *q = &m.phase[j];
                        const double fixed = q->latency_s + q->barriers * device->barrier_s +
                                             q->nodes * device->node_s;
                        cr_expect(q->seconds >= q->hbm / device->hbm_bytes_s + fixed - 1e-15 &&
                                      q->seconds >= q->l2 / device->l2_bytes_s + fixed - 1e-15 &&
                                      q->seconds >= q->shared / port + fixed - 1e-15 &&
                                      q->seconds >= q->flops / rate + fixed - 1e-15 &&
                                      q->seconds >= q->issue_s + fixed - 1e-15 &&
                                      q->seconds >= q->warp_s + q->wait_s + fixed - 1e-15,
                                  "%s: %s", names[i], q->name);
                        cr_expect(q->bound[0] != '\0' && q->times >= 1, "%s", q->name);
                        cr_expect(
                            strcmp(q->kind, "latency") == 0 || strcmp(q->kind, "issue") == 0 ||
                                strcmp(q->kind, "bandwidth") == 0 || strcmp(q->kind, "flops") == 0,
                            "%s: %s", q->name, q->kind);
                        sum += (double)q->times * q->seconds;
                    }
                    cr_expect(fabs(sum - m.seconds) <= 1e-9 * sum && m.inner_s < m.seconds);
                }
}

/* A device whose memory answers at once and whose SMs issue instructions in no time: bytes, flops, barriers and launches
 * are left. */
static PlanDevice of_rates_alone(const char *name) {
    PlanDevice d = *plan_device(name);
    d.l1_clocks = d.shared_clocks = d.l2_clocks = d.hbm_clocks = d.dsmem_clocks = 0.0;
    d.clock_hz = 1e18;
    return d;
}

/* Twice the rows, classes or features, or more steps or spaces, take longer, as long as the form stays: strictly by
 * bytes and flops. With the instructions and waits of warps a larger shape may be cut better, and win back a fifth at
 * most: shares of a gradient are long where the batch is cut into few pieces. */
Test(model, more_work_takes_longer) {
    for (int i = 0; i < DEVICES; i++)
        for (int p = 0; p < PRECISIONS; p++)
            for (int64_t B = 1250; B <= 40000; B *= 2)
                for (int64_t C = 4; C <= 512; C *= 2)
                    for (int64_t d = 96; d <= 3072; d *= 2) {
                        const PlanDevice *device = plan_device(names[i]),
                                         rates = of_rates_alone(names[i]);
                        PlanForm form, rates_form, other;
                        const double one = predict(device, 1, B, C, d, 10, p, &form).seconds,
                                     one_rate =
                                         predict(&rates, 1, B, C, d, 10, p, &rates_form).seconds;
                        const struct {
                            const char *what;
                            int K;
                            int64_t B, C, d, M;
                        } more[] = {{"rows", 1, 2 * B, C, d, 10},
                                    {"classes", 1, B, 2 * C, d, 10},
                                    {"features", 1, B, C, 2 * d, 10},
                                    {"steps", 1, B, C, d, 11},
                                    {"spaces", 2, B, C, d, 10}};
                        for (int j = 0; j < 5; j++) {
                            const double two = predict(device, more[j].K, more[j].B, more[j].C,
                                                       more[j].d, more[j].M, p, &other)
                                                   .seconds;
                            cr_expect(form != other || two > 0.8 * one,
                                      "%s precision %d B %d C %d d %d: more %s: %.2f us after %.2f",
                                      names[i], p, (int)B, (int)C, (int)d, more[j].what, 1e6 * two,
                                      1e6 * one);
                            const double two_rate = predict(&rates, more[j].K, more[j].B, more[j].C,
                                                            more[j].d, more[j].M, p, &other)
                                                        .seconds;
                            cr_expect(rates_form != other || two_rate > one_rate,
                                      "%s precision %d B %d C %d d %d: more %s by rates: %.2f us "
                                      "after %.2f",
                                      names[i], p, (int)B, (int)C, (int)d, more[j].what,
                                      1e6 * two_rate, 1e6 * one_rate);
                        }
                    }
}

/* Computed by hand from the same constants before there was a kernel, B 10000, d 768, 16 bits, H200: ten steps at
 * C 10 take 50 to 95 us, an iteration at C 1000 850 us within a factor of 1.5. Waits for memory did not count then. */
Test(model, agrees_with_what_was_computed_by_hand) {
    const PlanDevice device = without_waits();
    const double ten = 1e6 * h200(1, 10).inner_s,
                 thousand = 1e6 * predict(&device, 1, 10000, 1000, 768, 10, 2, NULL).seconds;
    cr_expect(ten >= 50.0 && ten <= 95.0, "C 10: %.1f us", ten);
    cr_expect(thousand >= 850.0 / 1.5 && thousand <= 850.0 * 1.5, "C 1000: %.1f us", thousand);
}

/* The launches of an iteration do not depend on the number of spaces, but for gather. At once they are rows, heads,
 * what zeroes the barrier, the kernel, the count; and that is faster. */
Test(model, counts_the_launches_of_the_program) {
    const Model once = h200(1, 10);
    cr_expect(once.launches == 5.0, "%g launches at once", once.launches);
    by_parts = true;
    for (int K = 1; K <= 3; K++) {
        const Model m = h200(K, 10);
        cr_expect(m.launches == 17.0 + K, "%g launches of K %d", m.launches, K);
        cr_expect(K > 1 || m.seconds > 1.2 * once.seconds);
    }
    by_parts = false;
}

/* Waits for memory only add. They were computed by hand: C 1000, d 768 and 1536: five items of a cluster, each of whose
 * trips for a batch of labels goes to memory at 479 clocks, and a barrier and a remote load at 180. */
Test(model, waits_add_up) {
    const PlanDevice device = without_waits();
    for (int64_t C = 10; C <= 1000; C *= 10) {
        const Model waits = h200(2, C), none = predict(&device, 2, 10000, C, 768, 10, 2, NULL);
        double trips = 0.0;
        for (int i = 0; i < waits.count; i++) trips += waits.phase[i].wait_s;
        cr_expect(waits.seconds > none.seconds && trips > 0.0, "C %d", (int)C);
        for (int i = 0; i < none.count; i++)
            cr_expect(none.phase[i].wait_s == 0.0, "%s", none.phase[i].name);
    }
    const KernelFigures *f = kernel_figures("inner_wgmma<Fp16, 256>");
    const PlanDevice *h = plan_device("h200");
    const double waits =
        f->hits * h->l1_clocks + (f->row_trips - f->hits) * h->hbm_clocks + 2.0 * h->dsmem_clocks;
    const Model m = h200(2, 1000);
    for (int i = 0; i < m.count; i++)
        if (strcmp(m.phase[i].name, "inner: softmax") == 0) {
            cr_expect(fabs(m.phase[i].wait_s * h->clock_hz / (5.0 * waits) - 1.0) < 1e-9);
            cr_expect(fabs(m.phase[i].warp_s * h->clock_hz / (5.0 * f->epilogue) - 1.0) < 1e-9);
        }
}

/* A step that moves less than half of the L2 cache reads nothing from memory; one that moves all of it reads its rows. */
Test(model, large_steps_come_from_memory) {
    const Model small = h200(1, 100), large = h200(2, 1000);
    for (int i = 0; i < small.count; i++)
        cr_expect(strncmp(small.phase[i].name, "inner", 5) != 0 || small.phase[i].hbm == 0.0, "%s",
                  small.phase[i].name);
    for (int i = 0; i < large.count; i++)
        if (strcmp(large.phase[i].name, "inner: logits") == 0)
            cr_expect(large.phase[i].hbm == 2.0 * 10000.0 * (768.0 + 1536.0), "%g",
                      large.phase[i].hbm);
}

/* The range of a prediction holds it, and the most uncertain figure's ends lie apart. */
Test(model, ranges_hold_the_prediction) {
    for (int i = 0; i < DEVICES; i++)
        for (int64_t C = 10; C <= 1000; C *= 10) {
            const PlanDevice *device = plan_device(names[i]);
            const PlanSpace spaces[] = {{10000, C, 768}, {10000, C, 1536}};
            const ModelRun run = {.M = 10, .type = DTYPE_F16, .feature_bytes = 2};
            Plan plan;
            Model m;
            ModelRange r;
            Error err;
            ASSERT_OK(plan_inner(&plan, device, spaces, 2, run.type, false, &err), err);
            model_iteration(&m, device, &plan, &run);
            model_range(&r, device, &plan, &run);
            cr_expect(r.low_s > 0.0 && r.low_s <= m.seconds && m.seconds <= r.high_s);
            cr_expect(r.largest && r.least_s < r.most_s && r.least_s >= r.low_s - 1e-12 &&
                      r.most_s <= r.high_s + 1e-12);
        }
}

/* A name that is not in the table has no figures; every kernel of the table has some. */
Test(model, figures_have_names) {
    cr_expect(kernel_figures("inner_wgmma<Fp16, 512>")->epilogue == 0.0);
    for (int i = 0; kernel_figures_at(i); i++) {
        const KernelFigures *f = kernel_figures_at(i);
        cr_expect(kernel_figures(f->kernel) == f, "%s stands twice", f->kernel);
        cr_expect(f->logits + f->gradient + f->share > 0.0, "%s", f->kernel);
        cr_expect(2.0 * f->hits <= f->row_trips && f->sums <= f->share_trips, "%s", f->kernel);
    }
}
