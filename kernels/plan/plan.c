/* plan.c - the layout of one persistent launch of the inner loop. */
#include "kernels/plan/plan.h"

#include <limits.h>
#include <math.h>
#include <string.h>

#include "io/sizes.h"

/* --- devices ---------------------------------------------------------------------------------- */

/* Sources. ds: the maker's data sheet; meas: measured, by others, on that part or a near one (H100 for
 * H200: same SM and clocks); est: our estimate, to be replaced by bench/roofs on the device.
 *
 *               SMs, shared   clock     L2           memory        barrier           node
 *     h200      ds            meas      est, of the  ds 4.8, meas  meas on other     meas, H100,
 *                             1.83 GHz  6.9-7.8 of   4.2-4.4       parts: 0.66-1.17  in a CUDA graph
 *                             in loops  an H800
 *     a100      ds            ds        est          ds            meas 0.5-2        est
 *     rtx4090   ds            ds        est          ds            meas, 3090: 0.7   est
 *     tiny      the emulator's: 4 SMs of an H200 and their share of what SMs share
 *
 *               fp32            mma.sync 16 bits       tf32            wgmma 16 bits
 *     h200      meas, cuBLAS    meas 65 % of ds 989    half of that    meas, cuBLAS 795 of ds 989
 *     a100      ds 19.5         meas 271 of ds 312     half of that    has none
 *     rtx4090   ds 82.6, est    ds 165 (sums float32)  ds              has none
 */
static const PlanDevice devices[] = {
    {"h200", 132, 232448, 1, 1.83e9, 5.5e12, 4.3e12, 1.2e-6, 1.3e-6, 52e12, 640e12, 320e12, 795e12},
    {"a100", 108, 166912, 0, 1.41e9, 4.0e12, 1.8e12, 1.5e-6, 1.5e-6, 19e12, 271e12, 135e12, 0.0},
    {"rtx4090", 128, 101376, 0, 2.52e9, 5.0e12, 0.92e12, 1.0e-6, 1.3e-6, 70e12, 160e12, 80e12, 0.0},
    {"tiny", 4, 232448, 1, 1.83e9, 5.5e12 * 4 / 132, 4.3e12 * 4 / 132, 1.2e-6, 1.3e-6,
     52e12 * 4 / 132, 640e12 * 4 / 132, 320e12 * 4 / 132, 795e12 * 4 / 132},
};
enum { DEVICES = sizeof devices / sizeof *devices };

const PlanDevice *plan_device_at(int i) {
    return i >= 0 && i < DEVICES ? &devices[i] : NULL;
}

const PlanDevice *plan_device(const char *name) {
    for (int i = 0; i < DEVICES; i++)
        if (strcmp(devices[i].name, name) == 0) return &devices[i];
    return NULL;
}

PlanDevice plan_device_like(int sms, int shared_per_block, int capability) {
    PlanDevice p = *plan_device(capability >= 90 ? "h200" : capability == 80 ? "a100" : "rtx4090");
    p.name = "this device";
    p.shared_per_block = shared_per_block;
    p.wgmma = capability == 90;
    if (!p.wgmma) p.wgmma_flops_16 = 0.0;
    return plan_part(&p, sms);
}

PlanDevice plan_part(const PlanDevice *device, int sms) {
    PlanDevice p = *device;
    const double share = (double)sms / p.sms;
    p.sms = sms;
    p.l2_bytes_s *= share, p.hbm_bytes_s *= share;
    p.simt_flops *= share, p.mma_flops_16 *= share, p.mma_flops_tf32 *= share;
    p.wgmma_flops_16 *= share;
    return p;
}

/* --- names ------------------------------------------------------------------------------------ */

const char *plan_form_name(PlanForm form) {
    static const char *const names[] = {"slab", "tiled", "wgmma"};
    return names[form];
}

/* --- slab ------------------------------------------------------------------------------------- */

int64_t plan_slab_visits(const PlanLayout *j) {
    const int64_t pieces = ceil_div(least(j->resident, j->rows), j->group) +
                           (j->stage ? ceil_div(j->rows - j->resident, j->stage) : 0);
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
static bool slab_cut(PlanLayout *best, const PlanDevice *device, int64_t rows, int blocks) {
    const int classes = SLAB_CLASSES(best->C), tiles = SLAB_MOST_TILES(classes);
    const int64_t units = ceil_div(best->d, SLAB_TILE);
    const int64_t passes = ceil_div(units, (int64_t)SLAB_WARPS * SLAB_MOST_UNITS(classes));
    PlanLayout j = *best;
    bool found = false;
    if (units > 1 << 16) return false; /* far beyond any shared memory */
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
        if (!slab_cut(j, device, rows, p->blocks)) return -1.0;
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
        if (!slab_cut(j, device, rows, p->blocks)) return -1.0;
        if (j->step_s > seconds) seconds = j->step_s;
    }
    return seconds;
}

static bool plan_slab(Plan *out, const PlanDevice *device) {
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

/* --- the other two ---------------------------------------------------------------------------- */

/* All jobs' pieces of rows in one list over all CTAs (or clusters). */
static void share_all(Plan *p, int64_t rows) {
    p->side_by_side = false;
    for (int i = 0; i < p->jobs; i++) {
        p->job[i].first = 0;
        p->job[i].count = p->blocks;
        p->job[i].rows = rows;
    }
}

/* kernels/cuda/train/residual.cuh: 64 rows a piece; the ring of gemm.cuh for 64 x 128 and 128 x 64 tiles, three
 * stages of 64 (or 32 ACROSS) bytes of depth, is the most of all its shapes. */
enum { TILED_ROWS = 64, TILED_THREADS = 128, TILED_PER_SM = 2 };
static void plan_tiled(Plan *p, const PlanDevice *device) {
    p->form = PLAN_TILED;
    p->cluster = 1;
    p->threads = TILED_THREADS;
    p->shared = TILED_SHARED;
    p->blocks = device->sms *
                (int)most(1, least(TILED_PER_SM, device->shared_per_block / (TILED_SHARED + 1024)));
    share_all(p, TILED_ROWS);
}

/* A warp group that loads and two that multiply 128 rows. A power of two of CTAs, which load equal
 * parts of what they share for each other. */
enum {
    WGMMA_ROWS = 128,
    WGMMA_CLASSES = 256,
    WGMMA_THREADS = 384,
    WGMMA_MOST_SPLITS = 8, /* CTAs that split the classes */
    WGMMA_MOST_SHARES = 4  /* CTAs that share W */
};

static void plan_clusters(Plan *p, const PlanDevice *device, int cluster) {
    p->cluster = cluster;
    p->blocks = device->sms / cluster * cluster; /* the device may hold fewer: ask it */
    share_all(p, WGMMA_ROWS);
}

/* Seconds of the logits: Z crosses the L2's port once, W once for each piece of a cluster. */
static double wgmma_logits(const Plan *p, const PlanDevice *device) {
    int64_t pieces, features;
    plan_busiest(p, &pieces, &features);
    double bytes = 0.0;
    for (int i = 0; i < p->jobs; i++) {
        const PlanLayout *j = &p->job[i];
        bytes += 2.0 * (double)j->d *
                 (double)(j->B + j->C * ceil_div(j->B, (int64_t)p->cluster * WGMMA_ROWS));
    }
    const double flops = 2.0 * WGMMA_ROWS * (double)p->classes * (double)features,
                 multiplies = flops * device->sms / device->wgmma_flops_16,
                 loads = bytes / device->l2_bytes_s;
    return multiplies > loads ? multiplies : loads;
}

/* As many CTAs share W as makes the logits take least: more of them load it less often, but have
 * fewer clusters to deal rows to. */
static void plan_sharing(Plan *p, const PlanDevice *device) {
    double best = 0.0;
    int chosen = 1;
    for (int cluster = 1; cluster <= least(WGMMA_MOST_SHARES, device->sms); cluster *= 2) {
        plan_clusters(p, device, cluster);
        const double seconds = wgmma_logits(p, device);
        if (cluster == 1 || seconds < best) best = seconds, chosen = cluster;
    }
    plan_clusters(p, device, chosen);
}

static bool plan_wgmma(Plan *p, const PlanDevice *device, int64_t C) {
    int cluster = 1;
    while ((int64_t)cluster * WGMMA_CLASSES < C && cluster <= WGMMA_MOST_SPLITS) cluster *= 2;
    if (cluster > WGMMA_MOST_SPLITS || cluster > device->sms ||
        WGMMA_SHARED > device->shared_per_block)
        return false;
    p->form = PLAN_WGMMA;
    p->threads = WGMMA_THREADS;
    p->shared = WGMMA_SHARED;
    p->classes = C <= 64 ? 64 : C <= 128 ? 128 : WGMMA_CLASSES;
    if (p->classes < WGMMA_CLASSES) plan_sharing(p, device);
    else plan_clusters(p, device, cluster);
    return true;
}

/* --- the plan --------------------------------------------------------------------------------- */

Status plan_inner(Plan *out, const PlanDevice *device, const PlanJob *jobs, int n, DType type,
                  bool tf32, Error *err) {
    const bool halves = type == DTYPE_F16 || type == DTYPE_BF16;
    (void)tf32; /* of float32 batches, which are tiled either way */
    memset(out, 0, sizeof *out);
    if (n < 1 || n > PLAN_MAX_JOBS)
        return fail(err, ERR_ARG, "plan: %d jobs: expected 1 to %d", n, PLAN_MAX_JOBS);
    if (device->sms < 1 || device->shared_per_block < TILED_SHARED)
        return fail(err, ERR_ARG, "plan: %s: expected an SM and %d bytes of shared memory",
                    device->name, TILED_SHARED);
    out->jobs = n;
    for (int i = 0; i < n; i++) {
        const PlanJob *j = &jobs[i];
        if (j->B < 1 || j->C < 1 || j->d < 1 || j->C != jobs[0].C)
            return fail(err, ERR_ARG,
                        "plan: job %d: B %lld, C %lld, d %lld: expected sizes, and one C for all",
                        i, (long long)j->B, (long long)j->C, (long long)j->d);
        out->job[i] = (PlanLayout){.run = j->run, .B = j->B, .C = j->C, .d = j->d};
        int at = i; /* behind all that have as many features */
        for (; at > 0 && jobs[out->order[at - 1]].d < j->d; at--)
            out->order[at] = out->order[at - 1];
        out->order[at] = i;
    }
    const int64_t C = jobs[0].C;
    if (halves && C <= SLAB_MOST_CLASSES && plan_slab(out, device)) return OK;
    for (int i = 0; i < n; i++)
        out->job[i] =
            (PlanLayout){.run = jobs[i].run, .B = jobs[i].B, .C = jobs[i].C, .d = jobs[i].d};
    if (halves && C > SLAB_MOST_CLASSES && device->wgmma && plan_wgmma(out, device, C)) return OK;
    plan_tiled(out, device);
    return OK;
}

/* A step of a plan of the slab form whose rows all stay in shared memory; INFINITY: it is another. */
static double resident_seconds(const Plan *p) {
    double sum = 0.0, longest = 0.0;
    if (p->form != PLAN_SLAB) return INFINITY;
    for (int i = 0; i < p->jobs; i++) {
        const PlanLayout *j = &p->job[i];
        if (j->resident < j->rows) return INFINITY;
        sum += j->step_s;
        if (j->step_s > longest) longest = j->step_s;
    }
    return p->side_by_side ? longest : sum;
}

/* Barriers and visits take as long on a part of the SMs as on all, so with few samples or features most
 * of a step is left to others. What streams from the L2 cache, rows of a batch or tiles, is bound by a
 * rate that all share: one training has it all. A doubling is to pay a tenth at least, for the outer
 * halves of the iterations compete as well. */
int plan_trainings(const PlanDevice *device, const PlanJob *jobs, int n, DType type, bool tf32) {
    double each = INFINITY;
    int best = 1;
    for (int trainings = 1; trainings <= PLAN_MAX_JOBS && trainings <= device->sms;
         trainings *= 2) {
        const PlanDevice part = plan_part(device, device->sms / trainings);
        Plan p;
        Error err;
        if (plan_inner(&p, &part, jobs, n, type, tf32, &err) != OK) break;
        const double seconds = resident_seconds(&p) / trainings;
        if (!(seconds < 0.9 * each)) break;
        each = seconds;
        best = trainings;
    }
    return best;
}

/* --- whose rows are whose ---------------------------------------------------------------------- */

static bool slab_rows(const PlanLayout *j, int64_t own, int64_t i, int64_t *first, int64_t *count) {
    const int64_t stay = ceil_div(j->resident, j->group),
                  last = least(j->B - own * j->rows, j->rows);
    const bool stays = i < stay;
    if (!stays && !j->stage) return false;
    const int64_t begin = stays ? i * j->group : j->resident + (i - stay) * j->stage;
    const int64_t end =
        least(stays ? least(begin + j->group, j->resident) : begin + j->stage, last);
    *first = own * j->rows + begin;
    *count = end - begin;
    return begin < end;
}

/* CTAs of a cluster that have rows of their own. */
static int64_t sharers(const Plan *p) {
    return p->form == PLAN_WGMMA && p->classes < WGMMA_CLASSES ? p->cluster : 1;
}

/* The number, in the list of all, of the piece that a worker has in a round. */
static int64_t dealt(const Plan *p, int64_t worker, int64_t workers, int64_t round) {
    const bool back = p->form == PLAN_WGMMA && round % 2 == 1;
    return round * workers + (back ? workers - 1 - worker : worker);
}

bool plan_rows(const Plan *p, int job, int block, int64_t i, int64_t *first, int64_t *count) {
    const PlanLayout *j = &p->job[job];
    const int64_t own = block - j->first;
    if (own < 0 || own >= j->count || i < 0) return false;
    if (p->form == PLAN_SLAB) return slab_rows(j, own, i, first, count);
    const int64_t workers = j->count / p->cluster, worker = own / p->cluster;
    int64_t before = 0; /* pieces of the jobs before this one */
    for (int n = 0; n < p->jobs; n++) {
        const int k = p->form == PLAN_WGMMA ? p->order[n] : n;
        if (k == job) break;
        before += ceil_div(p->job[k].B, p->job[k].rows * sharers(p));
    }
    int64_t round = before / workers;
    if (dealt(p, worker, workers, round) < before) round++;
    const int64_t piece = dealt(p, worker, workers, round + i) - before;
    *first = (piece * sharers(p) + own % p->cluster * (sharers(p) > 1)) * j->rows;
    *count = least(j->rows, j->B - *first);
    return *count > 0;
}

void plan_busiest(const Plan *p, int64_t *pieces, int64_t *features) {
    *pieces = *features = 0;
    for (int block = 0; block < p->blocks; block += p->cluster) {
        int64_t first, count, own = 0, sum = 0;
        for (int k = 0; k < p->jobs; k++)
            for (int64_t i = 0; plan_rows(p, k, block, i, &first, &count); i++)
                own++, sum += p->job[k].d;
        if (sum > *features || (sum == *features && own > *pieces)) *features = sum, *pieces = own;
    }
}
