/*
 * nearest.c - every sample's nearest centre: a product with its epilogue, and bounds that save it
 *
 *     score_c = <z,c> - |c|^2/2 = (|z|^2 - |z - c|^2)/2,   label = the first c of the largest
 *
 * Shapes   Z (N,d), centres (C,d); scores live for PANEL samples x CENTER_BLOCK centres only.
 * Cost     2NCd flops, 4Nd bytes.
 * Mapping  runs of samples over threads; with bounds, those of a run that need it. Where the
 *          processor multiplies 16-bit integers twice as fast as float32, their scores come first
 *          (nearest_int16.c), of known errors e: a label is that of float32 if the best score leads
 *          by more than both may err, E + e. The samples left over are gathered into panels, unless
 *          they are most of the run. A panel meets the packed centres block by block (panel.c) and
 *          keeps its best two scores.
 * Bounds   Hamerly 2010: upper >= distance to the own centre, lower <= distance to any other; when
 *          centres move, both widen by as much. d_j - d_a >= lower - upper > 0 alone proves which
 *          centre is nearer, not which computed score is larger; scores carry an error of up to
 *          E/2 each (score_error), so the label stays if
 *              (d_j^2 - d_a^2)/2 >= (lower - upper)(lower + upper)/2 > E.
 *          Hence the same labels as without bounds, every bit.
 * History  N 50000, d 768, C 100, AVX-512, one core of an AMD EPYC (Zen 5), seconds of processor
 *          time of an iteration, average of the first 20: all distances 0.048; bounds 0.038 on a
 *          mixture of 200 overlapping groups, 0.049 on uniform samples, where they prove nothing.
 *          From the demo's features (8000 x 192, C 10) they leave 2 to 19 % of the samples open,
 *          and the own distance alone (tighten) settles two thirds of those.
 *          Integers, Zen 4, one thread, 20 iterations with all around them, uniform: products were
 *          84 % of 1.83 s, at 90 % of the peak. Predicted 1.33 s: products at twice the rate, 112
 *          columns for 100, 0.86; rounding 0.1; 2 to 14 % of the samples left over 0.08; the rest
 *          0.29. Measured 1.31 (products 0.79, rounding 0.2: it waits for memory; left over 14 %,
 *          after ten iterations 3), 1.25 with the next samples fetched ahead. Mixture 1.44 -> 0.99,
 *          left over 3 to 0.3 %. Tried on paper: scales for pieces of 192 features, a third as many
 *          left over, but one more pass over each sample: the same time.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cluster/nearest.h"

enum { RUN = 4 * PANEL }; /* samples whose bounds are looked at together */

/* The two largest movements, and the centre that made the largest. */
typedef struct {
    float most, other;
    int32_t who;
} Motion;

/* All that samples are compared with. */
typedef struct {
    const Device *device;
    const Samples *s;
    const Centers *centers;
    Motion moved;           /* set where there are bounds */
    const float *packed;    /* centres for products of float32 */
    RoundedCenters rounded; /* centres for products of integers */
    float length;           /* length of the longest centre */
    float *panels;          /* panel_floats of each thread */
} Search;

/* Finds the best two scores of n <= PANEL samples. */
static void score_panel(Best *best, const float *z, int64_t z_row, int64_t n, const Search *in) {
    const Centers *centers = in->centers;
    const int64_t d = in->s->Z.d;
    _Alignas(64) float scores[PANEL * CENTER_BLOCK];
    const Panel panel = {.at = z, .row = z_row, .next = (const char *)z};
    for (int64_t i = 0; i < n; i++) best[i] = (Best){-INFINITY, -INFINITY, 0};
    for (int64_t c = 0; c < centers->C; c += CENTER_BLOCK) {
        const int64_t block = least(centers->C - c, CENTER_BLOCK);
        panel_logits(scores, CENTER_BLOCK, panel, in->packed + c * d, centers->at + c * d, n, block,
                     d);
        for (int64_t i = 0; i < n; i++) {
            float *x = scores + i * CENTER_BLOCK;
            SIMD()
            for (int64_t k = 0; k < block; k++) x[k] -= 0.5f * centers->norm2[c + k];
            compete(&best[i], x, block, (int32_t)c);
        }
    }
}

static float distance2(float norm2, float score) {
    const float x = (float)((double)norm2 - 2.0 * (double)score);
    return x > 0.0f ? x : 0.0f; /* infinite for a score of -infinity */
}

/* --- scratch ---------------------------------------------------------------------------------- */

static int64_t panel_floats(int64_t d) {
    return PANEL * batch_row(DTYPE_F32, d);
}

typedef struct {
    float *packed; /* packed_bytes: the centres as pack_weight lays them */
    void *rounded; /* rounded_bytes, where the processor multiplies integers */
    float *panels; /* (threads, panel_floats) */
    int64_t bytes; /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, const Device *device, int64_t C, int64_t d) {
    Scratch s = {0};
    Pieces pieces = {scratch, 0};
    s.packed = take(&pieces, packed_bytes(DTYPE_F32, C, d));
    s.rounded = take(&pieces, device->multiply_int16 ? rounded_bytes(C, d) : 0);
    s.panels = take_f32(&pieces, device->threads * panel_floats(d));
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_nearest_scratch(const Device *device, int64_t C, int64_t d) {
    return lay_out(NULL, device, C, d).bytes;
}

static Search search(const Device *device, void *scratch, const Samples *s, const Centers *centers,
                     bool by_integers) {
    const int64_t C = centers->C, d = s->Z.d;
    const Scratch piece = lay_out(scratch, device, C, d);
    Search in = {.device = device,
                 .s = s,
                 .centers = centers,
                 .packed = piece.packed,
                 .panels = piece.panels};
    for (int64_t c = 0; c < C; c++) in.length = fmaxf(in.length, centers->norm2[c]);
    in.length = sqrtf(in.length);
    pack_weight(piece.packed, device, DTYPE_F32, centers->at, C, d);
    if (by_integers)
        in.rounded = round_centers(device, piece.rounded, centers, d, in.length,
                                   (uint16_t *)(void *)in.panels, 2 * panel_floats(d));
    return in;
}

/* --- bounds ----------------------------------------------------------------------------------- */

static Motion motion_of(const Centers *centers) {
    Motion m = {0.0f, 0.0f, -1};
    for (int64_t c = 0; c < centers->C; c++) {
        const float moved = centers->moved[c];
        if (moved > m.most) {
            m.other = m.most;
            m.most = moved;
            m.who = (int32_t)c;
        } else if (moved > m.other) {
            m.other = moved;
        }
    }
    return m;
}

/* Returns whether the computed score of the own centre is larger than any other (see "Bounds" above). */
static bool proves(float upper, float lower, float error) {
    return lower > upper && 0.5f * (lower - upper) * (lower + upper) > (1.0f + 0x1p-21f) * error;
}

/* Widens a sample's bounds by the movement of centres. Returns whether they still prove its label. A few
 * roundings of u each are covered by 2^-21. */
static bool label_stays(float *upper, float *lower, int32_t label, float norm2, const Search *in) {
    const float wider = 1.0f + 0x1p-21f, narrower = 1.0f - 0x1p-21f;
    const float moved = label == in->moved.who ? in->moved.other : in->moved.most;
    *upper = (*upper + in->centers->moved[label]) * wider;
    *lower = (*lower - moved * wider) * narrower;
    return *lower > *upper && proves(*upper, *lower, score_error(norm2, in->length, in->s->Z.d));
}

/* Computes the own distance of each open sample. Samples whose label it does not prove stay open; returns
 * how many. The order of the product differs from score_panel's: score_error covers any order. */
static int64_t tighten(int64_t *open, int64_t opened, const int32_t *label, Bounds b,
                       const Search *in) {
    const Centers *centers = in->centers;
    const int64_t d = in->s->Z.d;
    int64_t kept = 0;
    for (int64_t k = 0; k < opened; k++) {
        const int64_t i = open[k];
        const float *restrict z = sample(in->s, i), *restrict c = centers->at + label[i] * d;
        float product = 0.0f;
        SIMD(reduction(+ : product))
        for (int64_t j = 0; j < d; j++) product += z[j] * c[j];
        const Best own = {product - 0.5f * centers->norm2[label[i]], -INFINITY, label[i]};
        const float norm2 = in->s->norm2[i], error = score_error(norm2, in->length, d);
        b.upper[i] = sqrtf(distance2(norm2, own.first) + error) * (1.0f + 0x1p-21f);
        if (!proves(b.upper[i], b.lower[i], error)) open[kept++] = i;
    }
    return kept;
}

/* --- runs of samples -------------------------------------------------------------------------- */

/* Stores sample i's label and, where they are kept, its bounds. `error` bounds its squared distances. */
static void settle(int32_t *label, Bounds b, int64_t i, const Best *best, float norm2,
                   float error) {
    label[i] = best->label;
    if (!b.upper) return;
    const float d2 = distance2(norm2, best->second) - error;
    b.upper[i] = sqrtf(distance2(norm2, best->first) + error) * (1.0f + 0x1p-21f);
    b.lower[i] = d2 > 0.0f ? sqrtf(d2) * (1.0f - 0x1p-21f) : 0.0f;
}

/* Settles the open samples for which scores from integers prove which score of float32 is the largest. The
 * others stay open; returns how many. True scores are within half an error of either kind. */
static int64_t settle_by_integers(int64_t *open, int64_t opened, int32_t *label, Bounds b,
                                  const Search *in, uint16_t *buffer) {
    int64_t kept = 0, k = 0;
    for (; k < opened && 2 * kept <= k;
         k += PANEL) { /* as long as integers settle half of the samples */
        const int64_t some = least(opened - k, PANEL);
        Best best[PANEL];
        float error[PANEL];
        int16_panel(best, error, &in->rounded, in->s, open + k, some, buffer);
        for (int64_t i = 0; i < some; i++) {
            const int64_t at = open[k + i];
            const float norm2 = in->s->norm2[at],
                        exact = score_error(norm2, in->length, in->s->Z.d);
            if (best[i].first - best[i].second > (1.0f + 0x1p-21f) * (error[i] + exact))
                settle(label, b, at, &best[i], norm2, error[i]);
            else open[kept++] = at;
        }
    }
    for (; k < opened; k++) open[kept++] = open[k];
    return kept;
}

/* Labels samples n0 .. n0+n, n <= RUN; if `fresh`, all of them, whatever their bounds say. */
static void label_run(int32_t *label, Bounds b, bool fresh, int64_t n0, int64_t n, const Search *in,
                      int thread) {
    float *buffer = in->panels + thread * panel_floats(in->s->Z.d);
    const Samples *s = in->s;
    const int64_t d = s->Z.d, row = batch_row(DTYPE_F32, d);
    int64_t open[RUN], opened = 0; /* samples that must be computed */
    for (int64_t i = n0; i < n0 + n; i++)
        if (fresh || !label_stays(&b.upper[i], &b.lower[i], label[i], s->norm2[i], in))
            open[opened++] = i;
    if (!fresh && 2 * opened <= n) /* where few are open, their own distance often settles them */
        opened = tighten(open, opened, label, b, in);
    if (in->rounded.multiply)
        opened = settle_by_integers(open, opened, label, b, in, (uint16_t *)(void *)buffer);
    if (4 * opened > 3 * n) /* most are open: all are computed, where they lie */
        for (opened = 0; opened < n; opened++) open[opened] = n0 + opened;
    for (int64_t k = 0; k < opened; k += PANEL) {
        const int64_t some = least(opened - k, PANEL);
        const bool dense = open[k + some - 1] - open[k] == some - 1;
        Best best[PANEL];
        for (int64_t i = 0; !dense && i < some; i++)
            memcpy(buffer + i * row, sample(s, open[k + i]), (size_t)d * sizeof *buffer);
        score_panel(best, dense ? sample(s, open[k]) : buffer, dense ? s->Z.row : row, some, in);
        for (int64_t i = 0; i < some; i++) {
            const int64_t at = open[k + i];
            settle(label, b, at, &best[i], s->norm2[at], score_error(s->norm2[at], in->length, d));
        }
    }
}

typedef struct {
    int32_t *label;
    Bounds bounds;
    bool fresh;
    float *first, *second; /* results of measure_panel */
    const Search *in;
} Labels;

/* Passes are samples; a run is RUN of them. */
static void label_samples(const void *loop, int64_t n0, int64_t end, int thread) {
    const Labels *l = loop;
    label_run(l->label, l->bounds, l->fresh, n0, end - n0, l->in, thread);
}

/* Computes a panel's labels, and its distances to the nearest and the second nearest centre. */
static void measure_panel(const void *loop, int64_t n0, int64_t end, int thread) {
    const Labels *l = loop;
    const Samples *s = l->in->s;
    Best best[PANEL] = {0};
    (void)thread;
    score_panel(best, sample(s, n0), s->Z.row, end - n0, l->in);
    for (int64_t n = n0; n < end; n++) {
        const Best *found = &best[n - n0];
        l->label[n] = found->label;
        if (l->first) l->first[n] = distance2(s->norm2[n], found->first);
        if (l->second) l->second[n] = distance2(s->norm2[n], found->second);
    }
}

/* --- operations ------------------------------------------------------------------------------- */

Status cpu_nearest(Queue *q, int32_t *label, float *first, float *second, const Samples *s,
                   const Centers *centers, void *scratch) {
    REQUIRE(q, label && samples_servable(s) && centers_servable(centers) && scratch, "nearest");
    const bool distances = first || second; /* they come from products of float32 */
    const Search in = search(q->device, scratch, s, centers, !distances);
    const Labels l = {label, {NULL, NULL}, true, first, second, &in};
    if (distances) threads_loop(q->device->pool, s->N, PANEL, measure_panel, &l);
    else threads_loop(q->device->pool, s->N, RUN, label_samples, &l);
    return OK;
}

Status cpu_nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh, const Samples *s,
                           const Centers *centers, void *scratch) {
    REQUIRE(q,
            label && bounds.upper && bounds.lower && samples_servable(s) &&
                centers_servable(centers) && centers->moved && scratch,
            "nearest_bounded");
    Search in = search(q->device, scratch, s, centers, true);
    in.moved = motion_of(centers);
    const Labels l = {label, bounds, fresh, NULL, NULL, &in};
    threads_loop(q->device->pool, s->N, RUN, label_samples, &l);
    return OK;
}
