/* plan.c - the layout of one persistent launch of the inner loop. */
#include "kernels/plan/plan.h"

#include <math.h>
#include <string.h>

#include "io/sizes.h"
#include "kernels/plan/plan_slab.h"

const char *plan_form_name(PlanForm form) {
    static const char *const names[] = {"slab", "tiled", "wgmma"};
    return names[form];
}

/* --- tiled and wgmma -------------------------------------------------------------------------- */

/* Puts all spaces' pieces of rows into one list over all CTAs (or clusters). */
static void share_all(Plan *p, int64_t rows) {
    p->side_by_side = false;
    for (int i = 0; i < p->spaces; i++) {
        p->space[i].first = 0;
        p->space[i].count = p->blocks;
        p->space[i].rows = rows;
    }
}

static void plan_tiled(Plan *p, const PlanDevice *device) {
    p->form = PLAN_TILED;
    p->cluster = p->splits = 1;
    p->threads = TILED_THREADS;
    p->shared = TILED_SHARED;
    p->blocks = device->sms *
                (int)most(1, least(TILED_PER_SM, device->shared_per_block / (TILED_SHARED + 1024)));
    share_all(p, LOGIT_ROWS);
}

/* Clusters have a power of two of CTAs, which load equal parts of what they share for each other. */
static void plan_clusters(Plan *p, int cluster, int clusters) {
    p->cluster = cluster;
    p->blocks = clusters * cluster; /* the device may hold fewer: ask it */
    share_all(p, WGMMA_ROWS);
}

/* Returns the seconds of the logits: Z crosses the L2's port once, W once for each piece of a cluster. */
static double wgmma_logits(const Plan *p, const PlanDevice *device) {
    int64_t pieces, features;
    plan_busiest(p, &pieces, &features);
    double bytes = 0.0;
    for (int i = 0; i < p->spaces; i++) {
        const PlanLayout *l = &p->space[i];
        bytes += 2.0 * (double)l->d * (double)(l->B + l->C * plan_pieces(p));
    }
    const double flops = 2.0 * WGMMA_ROWS * (double)p->classes * (double)features,
                 multiplies = flops * device->sms / device->wgmma_flops_16,
                 loads = bytes / device->l2_bytes_s;
    return multiplies > loads ? multiplies : loads;
}

/* Lets as many CTAs share W as makes the logits take least: larger clusters load W less often, but there are
 * fewer of them to deal rows to. Where classes are split two may share: then the CTAs of a cluster are as many
 * as the tiles of classes of the gradient, whose Z they share. */
static void plan_sharing(Plan *p, const PlanDevice *device) {
    const int sharers = p->classes < WGMMA_MOST_CLASSES ? WGMMA_MOST_SHARES : 2;
    const int64_t largest = least(least(sharers * p->splits, WGMMA_MOST_SPLITS), device->sms);
    double best = 0.0;
    int chosen = p->splits;
    for (int cluster = p->splits; cluster <= largest; cluster *= 2) {
        plan_clusters(p, cluster, device->sms / cluster);
        const double seconds = wgmma_logits(p, device);
        if (cluster == p->splits || seconds < best) best = seconds, chosen = cluster;
    }
    plan_clusters(p, chosen, device->sms / chosen);
}

int plan_split_bits(const Plan *p) {
    int bits = 0;
    while (1 << bits < p->splits) bits++;
    return bits;
}

void plan_held(Plan *p, const PlanDevice *device, int clusters) {
    if (p->form != PLAN_WGMMA || p->splits == p->cluster || p->classes < WGMMA_MOST_CLASSES) return;
    Plan shared = *p;
    plan_clusters(p, p->splits, device->sms / p->splits);
    if (clusters < 1) return;
    plan_clusters(&shared, shared.cluster, (int)least(clusters, shared.blocks / shared.cluster));
    if (wgmma_logits(&shared, device) < wgmma_logits(p, device)) *p = shared;
}

static bool plan_wgmma(Plan *p, const PlanDevice *device) {
    const int64_t C = p->space[0].C;
    int cluster = 1;
    while ((int64_t)cluster * WGMMA_MOST_CLASSES < C && cluster <= WGMMA_MOST_SPLITS) cluster *= 2;
    if (cluster > WGMMA_MOST_SPLITS || cluster > device->sms ||
        WGMMA_SHARED > device->shared_per_block || p->space[0].B > INT32_MAX - 1024)
        return false; /* the kernel counts rows in 32 bits */
    p->form = PLAN_WGMMA;
    p->threads = WGMMA_THREADS;
    p->shared = WGMMA_SHARED;
    p->classes = WGMMA_CLASSES(C);
    p->splits = cluster;
    plan_sharing(p, device);
    return true;
}

/* --- the plan --------------------------------------------------------------------------------- */

Status plan_inner(Plan *out, const PlanDevice *device, const PlanSpace *spaces, int n, DType type,
                  bool tf32, Error *err) {
    const bool halves = type == DTYPE_F16 || type == DTYPE_BF16;
    (void)tf32; /* float32 batches are tiled either way */
    memset(out, 0, sizeof *out);
    if (n < 1 || n > PLAN_MAX_SPACES)
        return fail(err, ERR_ARG, "plan: %d spaces: expected 1 to %d", n, PLAN_MAX_SPACES);
    if (device->sms < 1 || device->shared_per_block < TILED_SHARED)
        return fail(err, ERR_ARG, "plan: %s: expected an SM and %d bytes of shared memory",
                    device->name, TILED_SHARED);
    out->spaces = n;
    for (int i = 0; i < n; i++) {
        const PlanSpace *l = &spaces[i];
        if (l->B < 1 || l->C < 1 || l->d < 1 || l->C != spaces[0].C)
            return fail(err, ERR_ARG,
                        "plan: space %d: B %lld, C %lld, d %lld: expected sizes, and one C for all",
                        i, (long long)l->B, (long long)l->C, (long long)l->d);
        out->space[i] = (PlanLayout){.B = l->B, .C = l->C, .d = l->d};
        int at = i; /* behind all that have as many features */
        for (; at > 0 && spaces[out->order[at - 1]].d < l->d; at--)
            out->order[at] = out->order[at - 1];
        out->order[at] = i;
    }
    const int64_t C = spaces[0].C;
    if (halves && C <= SLAB_MOST_CLASSES && plan_slab(out, device)) return OK;
    for (int i = 0; i < n; i++) {
        out->space[i] = (PlanLayout){.B = spaces[i].B, .C = spaces[i].C, .d = spaces[i].d};
        if (spaces[i].B != spaces[0].B)
            return fail(err, ERR_ARG, "plan: space %d: B %lld: expected %lld as space 0 has", i,
                        (long long)spaces[i].B, (long long)spaces[0].B);
    }
    if (halves && C > SLAB_MOST_CLASSES && device->wgmma && plan_wgmma(out, device)) return OK;
    plan_tiled(out, device);
    return OK;
}

/* Returns the seconds of a step of a slab whose rows all stay in shared memory, and INFINITY for other plans. */
static double resident_seconds(const Plan *p) {
    double sum = 0.0, longest = 0.0;
    if (p->form != PLAN_SLAB) return INFINITY;
    for (int i = 0; i < p->spaces; i++) {
        const PlanLayout *l = &p->space[i];
        if (l->resident < l->rows) return INFINITY;
        sum += l->step_s;
        if (l->step_s > longest) longest = l->step_s;
    }
    return p->side_by_side ? longest : sum;
}

/* Barriers and visits take as long on a part of the SMs as on all. So with few samples or features several
 * trainings fit beside each other. Rows and tiles that stream from the L2 cache are bound by a rate that all
 * SMs share: one training uses it up. A doubling must gain a tenth at least, for the outer halves of the
 * iterations compete as well. */
int plan_trainings(const PlanDevice *device, const PlanSpace *spaces, int n, DType type,
                   bool tf32) {
    double each = INFINITY;
    int best = 1;
    for (int trainings = 1; trainings <= PLAN_MAX_SPACES && trainings <= device->sms;
         trainings *= 2) {
        const PlanDevice part = plan_part(device, device->sms / trainings);
        Plan p;
        Error err;
        if (plan_inner(&p, &part, spaces, n, type, tf32, &err) != OK) break;
        const double seconds = resident_seconds(&p) / trainings;
        if (!(seconds < 0.9 * each)) break;
        each = seconds;
        best = trainings;
    }
    return best;
}

/* --- whose rows are whose ---------------------------------------------------------------------- */

/* Returns the CTAs of a cluster that have rows of their own. */
static int sharers(const Plan *p) {
    return p->form == PLAN_WGMMA ? p->cluster / p->splits : 1;
}

int64_t plan_pieces(const Plan *p) {
    return row_pieces(p->space[0].B, (int)p->space[0].rows, sharers(p));
}

/* plan_rows of the slab form: the visits of a CTA's spaces, one space after the other. */
static bool visited_rows(const Plan *p, int block, int64_t i, PlanRows *out) {
    for (int k = 0; k < p->spaces; k++) {
        const PlanLayout *l = &p->space[k];
        const int own = block - l->first;
        if (own < 0 || own >= l->count) continue;
        const SlabCut cut = plan_cut(l);
        const SlabRows rows = slab_rows(cut, own, l->B);
        const int visits = rows.stays + rows.streams;
        if (i < visits) {
            const SlabPiece piece = slab_piece(cut, rows, (int)i);
            out->space = k;
            out->first = rows.first + piece.begin;
            out->count = least(SLAB_FRAGMENT * piece.bands, l->B - out->first);
            return true;
        }
        i -= visits;
    }
    return false;
}

bool plan_rows(const Plan *p, int block, int64_t i, PlanRows *out) {
    if (block < 0 || block >= p->blocks || i < 0) return false;
    if (p->form == PLAN_SLAB) return visited_rows(p, block, i, out);
    const bool wgmma = p->form == PLAN_WGMMA;
    const DealtPiece piece =
        dealt_piece(block / p->cluster, p->blocks / p->cluster, (int)i, (int)plan_pieces(p), wgmma);
    if (piece.place >= p->spaces) return false;
    const int member = block % p->cluster / p->splits;
    out->space = wgmma ? p->order[piece.place] : piece.place;
    const PlanLayout *l = &p->space[out->space];
    out->first = row_block(piece.piece, sharers(p), member) * l->rows;
    out->count = most(0, least(l->rows, l->B - out->first));
    return true;
}

void plan_busiest(const Plan *p, int64_t *pieces, int64_t *features) {
    *pieces = *features = 0;
    for (int block = 0; block < p->blocks; block += p->cluster) {
        PlanRows rows;
        int64_t own = 0, sum = 0;
        for (; plan_rows(p, block, own, &rows); own++) sum += p->space[rows.space].d;
        if (sum > *features || (sum == *features && own > *pieces)) *features = sum, *pieces = own;
    }
}
