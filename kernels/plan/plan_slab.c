/* plan_slab.c - the slab form: how the rows of the batch are cut over CTAs and over shared memory. */
#include "kernels/plan/plan_slab.h"

#include <limits.h>

#include "io/sizes.h"

SlabCut plan_cut(const PlanLayout *j) {
    return (SlabCut){(int)j->rows, (int)j->resident, j->group, j->stage, j->stages};
}

int64_t plan_slab_visits(const PlanLayout *j) {
    const SlabRows rows = slab_rows(plan_cut(j), 0, j->rows);
    const int64_t pieces = rows.stays + rows.streams;
    return j->passes == 1 ? pieces : pieces * (1 + j->passes);
}

bool plan_at_once(const Plan *plan, int64_t M) {
    return plan->form == PLAN_SLAB && plan->jobs == 1 && plan->job[0].passes == 1 && M >= 1 &&
           M <= SLAB_MOST_STEPS;
}

/* One step. The L2 cache's rate is shared by all CTAs of the launch alike. */
static double slab_step(const PlanDevice *device, const PlanLayout *j, int blocks) {
    const double l2 = device->l2_bytes_s / blocks; /* of one CTA */
    const double weights = (double)j->C * (double)j->d;
    const double row = 2.0 * (double)j->d; /* bytes */
    const double port = 2.0 * (double)j->rows * row / (SHARED_BYTES_CLOCK * device->clock_hz);
    const double streams = (double)(j->rows - j->resident) * row * (j->passes == 1 ? 1 : 2) / l2;
    const double visits = (double)plan_slab_visits(j) * SLAB_VISIT_CLOCKS / device->clock_hz;
    const double busy = port + visits + 2.0 * device->barrier_s;
    /* own partial out, the slice's partials in, W in 16 bits in */
    const double sums = weights * (4.0 + 4.0 + 2.0) / l2;
    /* two slots are filled while the CTA computes and waits, one only between visits; a tenth stands for
     * what streams take from everything else */
    return sums + 0.1 * streams +
           (j->stages == 1   ? busy + streams
            : busy > streams ? busy
                             : streams);
}

/* Places the pieces; false: more than `shared`. */
static bool slab_place(PlanLayout *j, int64_t shared) {
    const int64_t classes = SLAB_CLASSES(j->C), tile = SLAB_TILE;
    const int64_t row = (int64_t)j->stride * 2, logits_row = SLAB_WARPS * (classes + 8) * 4;
    const int64_t visit = most(j->resident ? least(j->group, j->resident) : 0, j->stage);
    int64_t at = 0;
    j->at.W = 0;
    at += round_up(j->C * row, 128);
    if (at > shared) return false;
    j->at.slab = (int)at;
    at += (j->resident + (int64_t)j->stages * j->stage) * row;
    if (at > shared) return false;
    j->at.logits = (int)at;
    at += most(visit * logits_row, SLAB_SUMS);
    j->at.R = (int)(at < INT_MAX ? at : INT_MAX);
    at += (j->passes == 1 ? most(visit, tile) : j->rows) * (classes + 8) * 2;
    if (at > shared) return false;
    j->at.small = (int)round_up(at, 128);
    j->at.end = j->at.small + SLAB_SMALL;
    return j->at.end <= shared;
}

/* The best cut of `rows` rows a CTA into resident and streamed ones: the shortest step of all that
 * fit. */
static bool best_cut(PlanLayout *best, const PlanDevice *device, int64_t rows, int blocks) {
    const int classes = SLAB_CLASSES(best->C), tiles = SLAB_MOST_TILES(classes);
    const int64_t units = ceil_div(best->d, SLAB_TILE);
    const int64_t passes = ceil_div(units, (int64_t)SLAB_WARPS * SLAB_MOST_UNITS(classes));
    PlanLayout j = *best;
    bool found = false;
    if (units > 1 << 16 || rows > INT32_MAX - 1024) return false; /* far beyond any memory */
    j.rows = rows;
    j.stride = (int)(units * SLAB_TILE + SLAB_PAD);
    j.passes = (int)passes;
    for (int group = 1; group <= tiles; group++) {
        for (int stages = 0; stages <= 2; stages++) {
            for (int stage = stages ? 1 : 0; stage <= (stages ? tiles : 0); stage++) {
                j.group = group * SLAB_TILE;
                j.stage = stage * SLAB_TILE;
                j.stages = stages;
                j.resident = stages ? 0 : rows;
                if (!slab_place(&j, device->shared_per_block)) continue;
                if (stages) { /* as many rows stay as fit, in whole tiles */
                    const int64_t fit = least(device->shared_per_block / (SLAB_TILE * 2 * j.stride),
                                              rows / SLAB_TILE - 1);
                    for (j.resident = fit * SLAB_TILE; j.resident > 0; j.resident -= SLAB_TILE)
                        if (slab_place(&j, device->shared_per_block)) break;
                    slab_place(&j, device->shared_per_block);
                }
                j.step_s = slab_step(device, &j, blocks);
                if (found && j.step_s >= best->step_s) continue;
                *best = j;
                found = true;
            }
        }
    }
    return found;
}

/* All jobs on the same CTAs, in turn. Each has all of them, so that a CTA that goes on to the next
 * job knows from the barriers of this one that nobody is two jobs behind. Seconds of a step of all,
 * or -1: it does not fit. */
static double slab_in_turn(Plan *p, const PlanDevice *device) {
    const int64_t ctas = least(device->sms, SLAB_MOST_BLOCKS);
    double seconds = 0.0;
    p->side_by_side = false;
    p->blocks = 1;
    for (int i = 0; i < p->jobs; i++) {
        const int64_t rows = round_up(ceil_div(p->job[i].B, ctas), SLAB_TILE);
        p->blocks = (int)most(p->blocks, ceil_div(p->job[i].B, rows));
    }
    for (int i = 0; i < p->jobs; i++) {
        PlanLayout *j = &p->job[i];
        const int64_t rows = round_up(ceil_div(j->B, ctas), SLAB_TILE);
        if (!best_cut(j, device, rows, p->blocks)) return -1.0;
        j->first = 0;
        j->count = p->blocks;
        seconds += j->step_s;
    }
    return seconds;
}

/* Each job on CTAs of its own, in proportion to its B d. */
static double slab_side_by_side(Plan *p, const PlanDevice *device) {
    const int ctas = (int)least(device->sms, SLAB_MOST_BLOCKS);
    int given = 0;
    double work = 0.0, seconds = 0.0;
    if (p->jobs > ctas) return -1.0;
    p->side_by_side = true;
    for (int i = 0; i < p->jobs; i++) work += (double)p->job[i].B * (double)p->job[i].d;
    for (int i = 0; i < p->jobs; i++) {
        const double own = (double)p->job[i].B * (double)p->job[i].d / work;
        p->job[i].count = (int)most(1, (int64_t)(own * (double)(ctas - p->jobs)));
        given += p->job[i].count;
    }
    for (; given < ctas; given++) { /* to whose rows are the longest */
        int longest = 0;
        for (int i = 1; i < p->jobs; i++) {
            const PlanLayout *a = &p->job[i], *b = &p->job[longest];
            if ((double)a->B * (double)a->d * b->count > (double)b->B * (double)b->d * a->count)
                longest = i;
        }
        p->job[longest].count++;
    }
    p->blocks = 0;
    for (int i = 0; i < p->jobs; i++) {
        PlanLayout *j = &p->job[i];
        const int64_t rows = round_up(ceil_div(j->B, j->count), SLAB_TILE);
        j->count = (int)ceil_div(j->B, rows);
        j->first = p->blocks;
        p->blocks += j->count;
    }
    for (int i = 0; i < p->jobs; i++) {
        PlanLayout *j = &p->job[i];
        const int64_t rows = round_up(ceil_div(j->B, j->count), SLAB_TILE);
        if (!best_cut(j, device, rows, p->blocks)) return -1.0;
        if (j->step_s > seconds) seconds = j->step_s;
    }
    return seconds;
}

bool plan_slab(Plan *out, const PlanDevice *device) {
    Plan side = *out;
    const double in_turn = slab_in_turn(out, device),
                 beside = out->jobs > 1 ? slab_side_by_side(&side, device) : -1.0;
    if (in_turn < 0.0 && beside < 0.0) return false;
    if (in_turn < 0.0 || (beside >= 0.0 && beside < in_turn)) *out = side;
    out->form = PLAN_SLAB;
    out->cluster = 1;
    out->threads = SLAB_THREADS;
    out->shared = 0;
    for (int i = 0; i < out->jobs; i++) out->shared = most(out->shared, out->job[i].at.end);
    return true;
}
