/* plan_slab.c - the slab form: how the rows of the batch are cut over CTAs and over shared memory. */
#include "kernels/plan/plan_slab.h"

#include <limits.h>

#include "io/sizes.h"

SlabCut plan_cut(const PlanLayout *l) {
    return (SlabCut){(int)l->rows, (int)l->resident, l->group, l->stage, l->stages};
}

int64_t plan_slab_visits(const PlanLayout *l) {
    const SlabRows rows = slab_rows(plan_cut(l), 0, l->rows);
    const int64_t pieces = rows.stays + rows.streams;
    return l->passes == 1 ? pieces : pieces * (1 + l->passes);
}

bool plan_at_once(const Plan *plan, int64_t M) {
    for (int k = 0; plan->form == PLAN_SLAB && k < plan->spaces; k++)
        if (plan->space[k].passes > 1) return false;
    return plan->form == PLAN_SLAB && (plan->spaces == 1 || plan->side_by_side) && M >= 1 &&
           M <= SLAB_MOST_STEPS;
}

/* Returns the seconds of one step. All CTAs of the launch have equal parts of the L2 cache's rate. */
static double slab_step(const PlanDevice *device, const PlanLayout *l, int blocks) {
    const double l2 = device->l2_bytes_s / blocks; /* bytes a second of one CTA */
    const double weights = (double)l->C * (double)l->d;
    const double row = 2.0 * (double)l->d; /* bytes */
    const double port = 2.0 * (double)l->rows * row / (SHARED_BYTES_CLOCK * device->clock_hz);
    const double streams = (double)(l->rows - l->resident) * row * (l->passes == 1 ? 1 : 2) / l2;
    const double visits = (double)plan_slab_visits(l) * SLAB_VISIT_CLOCKS / device->clock_hz;
    const double busy = port + visits + 2.0 * device->barrier_s;
    /* bytes: the CTA's partial sums out, the slice's partial sums in, W in 16 bits in */
    const double sums = weights * (4.0 + 4.0 + 2.0) / l2;
    /* Two slots are filled while the CTA computes and waits, a single one only between visits. A tenth stands
     * for what streams take from everything else. */
    return sums + 0.1 * streams +
           (l->stages == 1   ? busy + streams
            : busy > streams ? busy
                             : streams);
}

/* Places the parts of shared memory. Returns false if they need more than `shared` bytes. */
static bool slab_place(PlanLayout *l, int64_t shared) {
    const int64_t classes = SLAB_CLASSES(l->C), band = SLAB_FRAGMENT;
    const int64_t row = (int64_t)l->stride * 2, logits_row = SLAB_WARPS * (classes + 8) * 4;
    const int64_t visit = most(l->resident ? least(l->group, l->resident) : 0, l->stage);
    int64_t at = 0;
    l->at.W = 0;
    at += round_up(l->C * row, 128);
    if (at > shared) return false;
    l->at.slab = (int)at;
    at += (l->resident + (int64_t)l->stages * l->stage) * row;
    if (at > shared) return false;
    l->at.logits = (int)at;
    at += most(visit * logits_row, SLAB_SUMS);
    l->at.R = (int)(at < INT_MAX ? at : INT_MAX);
    at += (l->passes == 1 ? most(visit, band) : l->rows) * (classes + 8) * 2;
    if (at > shared) return false;
    l->at.small = (int)round_up(at, 128);
    l->at.end = l->at.small + SLAB_SMALL;
    return l->at.end <= shared;
}

/* Finds the cut of `rows` rows a CTA into resident and streamed ones that has the shortest step; among cuts with a
 * step of at most `within` seconds, the one that streams least. Returns false if no cut fits. */
static bool best_cut(PlanLayout *best, const PlanDevice *device, int64_t rows, int blocks,
                     double within) {
    const int classes = SLAB_CLASSES(best->C), bands = SLAB_MOST_BANDS(classes);
    const int64_t strips = ceil_div(best->d, SLAB_FRAGMENT);
    const int64_t passes = ceil_div(strips, (int64_t)SLAB_WARPS * SLAB_MOST_STRIPS(classes));
    PlanLayout l = *best;
    bool found = false;
    if (strips > 1 << 16 || rows > INT32_MAX - 1024) return false; /* far beyond any memory */
    l.rows = rows;
    l.stride = (int)(strips * SLAB_FRAGMENT + SLAB_PAD);
    l.passes = (int)passes;
    for (int group = 1; group <= bands; group++) {
        for (int stages = 0; stages <= 2; stages++) {
            for (int stage = stages ? 1 : 0; stage <= (stages ? bands : 0); stage++) {
                l.group = group * SLAB_FRAGMENT;
                l.stage = stage * SLAB_FRAGMENT;
                l.stages = stages;
                l.resident = stages ? 0 : rows;
                if (!slab_place(&l, device->shared_per_block)) continue;
                if (stages) { /* as many bands stay as fit */
                    const int64_t fit =
                        least(device->shared_per_block / (SLAB_FRAGMENT * 2 * l.stride),
                              rows / SLAB_FRAGMENT - 1);
                    for (l.resident = fit * SLAB_FRAGMENT; l.resident > 0;
                         l.resident -= SLAB_FRAGMENT)
                        if (slab_place(&l, device->shared_per_block)) break;
                    slab_place(&l, device->shared_per_block);
                }
                l.step_s = slab_step(device, &l, blocks);
                const bool less =
                    l.step_s <= within && best->step_s <= within && l.resident != best->resident;
                if (found && (less ? l.resident < best->resident : l.step_s >= best->step_s))
                    continue;
                *best = l;
                found = true;
            }
        }
    }
    return found;
}

/* Puts all spaces on the same CTAs, in turn. Each space has all CTAs, so a CTA that goes on to the next space
 * knows from the barriers of this one that nobody is two spaces behind. Returns the seconds of a step of all
 * spaces, or -1 if they do not fit. */
static double slab_in_turn(Plan *p, const PlanDevice *device) {
    const int64_t ctas = least(device->sms, SLAB_MOST_BLOCKS);
    double seconds = 0.0;
    p->side_by_side = false;
    p->blocks = 1;
    for (int i = 0; i < p->spaces; i++) {
        const int64_t rows = round_up(ceil_div(p->space[i].B, ctas), SLAB_FRAGMENT);
        p->blocks = (int)most(p->blocks, ceil_div(p->space[i].B, rows));
    }
    for (int i = 0; i < p->spaces; i++) {
        PlanLayout *l = &p->space[i];
        const int64_t rows = round_up(ceil_div(l->B, ctas), SLAB_FRAGMENT);
        if (!best_cut(l, device, rows, p->blocks, 0.0)) return -1.0;
        l->first = 0;
        l->count = p->blocks;
        seconds += l->step_s;
    }
    return seconds;
}

/* Cuts the space's batch over at most `count` CTAs, as best_cut does. Returns false if no cut fits; step_s assumes
 * `blocks` CTAs in all. */
static bool cut_space(PlanLayout *l, const PlanDevice *device, int64_t count, int blocks,
                      double within) {
    const int64_t rows = round_up(ceil_div(l->B, count), SLAB_FRAGMENT);
    l->count = (int)ceil_div(l->B, rows);
    return best_cut(l, device, rows, blocks, within);
}

/* Gives CTAs that whole bands have left over to the space whose step is the longest, while they take a band from each
 * of its CTAs. Returns false if no cut fits. */
static bool give_spare(Plan *p, const PlanDevice *device, int ctas) {
    int spare = ctas;
    for (int i = 0; i < p->spaces; i++) {
        if (!cut_space(&p->space[i], device, p->space[i].count, ctas, 0.0)) return false;
        spare -= p->space[i].count;
    }
    for (;;) {
        PlanLayout *longest = &p->space[0];
        for (int i = 1; i < p->spaces; i++)
            if (p->space[i].step_s > longest->step_s) longest = &p->space[i];
        if (longest->rows <= SLAB_FRAGMENT) return true;
        const int64_t wanted = ceil_div(longest->B, longest->rows - SLAB_FRAGMENT);
        if (wanted - longest->count > spare) return true;
        spare -= (int)wanted - longest->count;
        if (!cut_space(longest, device, wanted, ctas, 0.0)) return false;
    }
}

/* Gives each space CTAs of its own, in proportion to its B d. Returns as slab_in_turn does. */
static double slab_side_by_side(Plan *p, const PlanDevice *device) {
    const int ctas = (int)least(device->sms, SLAB_MOST_BLOCKS);
    int given = 0;
    double work = 0.0, seconds = 0.0;
    if (p->spaces > ctas) return -1.0;
    p->side_by_side = true;
    for (int i = 0; i < p->spaces; i++) work += (double)p->space[i].B * (double)p->space[i].d;
    for (int i = 0; i < p->spaces; i++) {
        const double own = (double)p->space[i].B * (double)p->space[i].d / work;
        p->space[i].count = (int)most(1, (int64_t)(own * (double)(ctas - p->spaces)));
        given += p->space[i].count;
    }
    for (; given < ctas; given++) { /* the next CTA goes to the space whose CTAs have most to do */
        int longest = 0;
        for (int i = 1; i < p->spaces; i++) {
            const PlanLayout *a = &p->space[i], *b = &p->space[longest];
            if ((double)a->B * (double)a->d * b->count > (double)b->B * (double)b->d * a->count)
                longest = i;
        }
        p->space[longest].count++;
    }
    if (!give_spare(p, device, ctas)) return -1.0;
    p->blocks = 0;
    for (int i = 0; i < p->spaces; i++) {
        p->space[i].first = p->blocks;
        p->blocks += p->space[i].count;
    }
    for (int i = 0; i < p->spaces; i++) {
        PlanLayout *l = &p->space[i];
        if (!cut_space(l, device, l->count, p->blocks, 0.0)) return -1.0;
        if (l->step_s > seconds) seconds = l->step_s;
    }
    /* whoever has time stays out of the L2 cache's way */
    for (int i = 0; i < p->spaces; i++)
        cut_space(&p->space[i], device, p->space[i].count, p->blocks, seconds);
    return seconds;
}

bool plan_slab(Plan *out, const PlanDevice *device) {
    Plan side = *out;
    const double in_turn = slab_in_turn(out, device),
                 beside = out->spaces > 1 ? slab_side_by_side(&side, device) : -1.0;
    if (in_turn < 0.0 && beside < 0.0) return false;
    if (in_turn < 0.0 || (beside >= 0.0 && beside < in_turn)) *out = side;
    out->form = PLAN_SLAB;
    out->cluster = 1;
    out->threads = SLAB_THREADS;
    out->shared = 0;
    for (int i = 0; i < out->spaces; i++) out->shared = most(out->shared, out->space[i].at.end);
    return true;
}
