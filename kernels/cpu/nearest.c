/*
 * nearest.c - every sample's nearest centre: a product with its epilogue, and bounds that save it
 *
 *     score_c = <z,c> - |c|^2/2 = (|z|^2 - |z - c|^2)/2,   label = the first c of the largest
 *
 * Shapes   Z (N,d), centres (C,d); scores live for PANEL samples x CENTER_BLOCK centres only.
 * Cost     2NCd flops, 4Nd bytes.
 * Mapping  panels of samples over threads. A panel meets the packed centres block by block
 *          (panel.c) and keeps its best two scores; with bounds, the samples of a run that need it
 *          are gathered into panels first, unless they are most of the run.
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
 */
#include <math.h>
#include <string.h>

#include "cluster.h"

enum {
    CENTER_BLOCK = 256, /* a multiple of every TILE_COLS; PANEL x 256 scores are 120 KiB */
    RUN = 4 * PANEL,    /* samples whose bounds are looked at together */
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The two largest scores so far. */
typedef struct {
    float first, second;
    int32_t label;
} Best;

/* x (n) products with the centres c0 .. c0+n become scores and compete. */
static void compete(Best *best, float *restrict x, const float *restrict norm2, int64_t n,
                    int32_t c0) {
    float top = -INFINITY, next = -INFINITY;
    int32_t at = INT32_MAX;
    SIMD(reduction(max : top))
    for (int64_t c = 0; c < n; c++) {
        x[c] -= 0.5f * norm2[c];
        top = x[c] > top ? x[c] : top;
    }
    SIMD(reduction(min : at))
    for (int32_t c = 0; c < (int32_t)n; c++) at = c < at && x[c] == top ? c : at;
    if (at == INT32_MAX) return; /* NaN everywhere */
    x[at] = -INFINITY;
    SIMD(reduction(max : next))
    for (int64_t c = 0; c < n; c++) next = x[c] > next ? x[c] : next;
    if (top > best->first) {
        best->second = best->first > next ? best->first : next;
        best->first = top;
        best->label = c0 + at;
    } else if (top > best->second) {
        best->second = top;
    }
}

/* The best of n <= PANEL samples. */
static void score_panel(Best *best, const float *z, int64_t z_row, int64_t n,
                        const Centers *centers, const float *packed, int64_t d) {
    _Alignas(64) float scores[PANEL * CENTER_BLOCK];
    const Panel panel = {z, z_row, NULL, (const char *)z, 0};
    for (int64_t i = 0; i < n; i++) best[i] = (Best){-INFINITY, -INFINITY, 0};
    for (int64_t c = 0; c < centers->C; c += CENTER_BLOCK) {
        const int64_t block = least(centers->C - c, CENTER_BLOCK);
        panel_logits(scores, CENTER_BLOCK, panel, packed + c * d, centers->at + c * d, n, block, d);
        for (int64_t i = 0; i < n; i++)
            compete(&best[i], scores + i * CENTER_BLOCK, centers->norm2 + c, block, (int32_t)c);
    }
}

static float distance2(float norm2, float score) {
    const float x = (float)((double)norm2 - 2.0 * (double)score);
    return x > 0.0f ? x : 0.0f; /* infinite for a score of -infinity */
}

/* --- scratch: packed centres, then a panel for each thread ------------------------------------ */

static int64_t panel_floats(int64_t d) {
    return PANEL * batch_row(DTYPE_F32, d);
}

int64_t cpu_nearest_scratch(const Device *device, int64_t C, int64_t d) {
    return round_up(packed_bytes(DTYPE_F32, C, d), 64) +
           device->threads * panel_floats(d) * (int64_t)sizeof(float);
}

/* --- all samples ------------------------------------------------------------------------------ */

Status cpu_nearest(Queue *q, int32_t *label, float *first, float *second, const Samples *s,
                   const Centers *centers, void *scratch) {
    REQUIRE(q, label && samples_servable(s) && centers_servable(centers) && scratch, "nearest");
    const int64_t d = s->Z.d;
    float *packed = scratch;
    pack_weight(packed, DTYPE_F32, centers->at, centers->C, d, q->device->threads);
    PARALLEL_FOR(num_threads(q->device->threads) schedule(dynamic))
    for (int64_t n0 = 0; n0 < s->N; n0 += PANEL) {
        const int64_t n = least(s->N - n0, PANEL);
        Best best[PANEL];
        score_panel(best, sample(s, n0), s->Z.row, n, centers, packed, d);
        for (int64_t i = 0; i < n; i++) {
            label[n0 + i] = best[i].label;
            if (first) first[n0 + i] = distance2(s->norm2[n0 + i], best[i].first);
            if (second) second[n0 + i] = distance2(s->norm2[n0 + i], best[i].second);
        }
    }
    return OK;
}

/* --- with bounds ------------------------------------------------------------------------------ */

/* What moved: the two largest movements and whose the largest is; and the longest centre. */
typedef struct {
    float most, other, length;
    int32_t who;
} Motion;

static Motion motion_of(const Centers *centers) {
    Motion m = {0.0f, 0.0f, 0.0f, -1};
    for (int64_t c = 0; c < centers->C; c++) {
        const float moved = centers->moved[c];
        m.length = fmaxf(m.length, centers->norm2[c]);
        if (moved > m.most) {
            m.other = m.most;
            m.most = moved;
            m.who = (int32_t)c;
        } else if (moved > m.other) {
            m.other = moved;
        }
    }
    m.length = sqrtf(m.length);
    return m;
}

/* E: no computed |z|^2 - 2 score is farther from the true squared distance. u = 2^-24. A product of
 * d terms in any order errs by at most d u/(1 - d u) |z||c|; norms are rounded once, u/2 |c|^2 in a
 * score; the subtraction errs by u (|z||c| + |c|^2/2). Twice their sum, and u |z|^2:
 *     E <= u (2(d + 2)|z||c| + 2|c|^2 + |z|^2), taken half as large again; and what
 * products below 2^-126 may lose. */
static float score_error(float norm2, float length, int64_t d) {
    const float u = 0x1p-24f, z = sqrtf(norm2);
    return 0x1p-110f +
           1.5f * u * (2.0f * ((float)d + 2.0f) * z * length + 2.0f * length * length + norm2);
}

/* Whether the computed score of the own centre is larger than any other's (see the head). */
static bool proves(float upper, float lower, float error) {
    return lower > upper && 0.5f * (lower - upper) * (lower + upper) > (1.0f + 0x1p-21f) * error;
}

/* Widens a sample's bounds by what moved; whether they still prove its label. A few roundings
 * each, u a step: 2^-21 covers them. */
static bool label_stays(float *upper, float *lower, int32_t label, float norm2, const Motion *m,
                        const Centers *centers, int64_t d) {
    const float out = 1.0f + 0x1p-21f, in = 1.0f - 0x1p-21f;
    const float moved = label == m->who ? m->other : m->most;
    *upper = (*upper + centers->moved[label]) * out;
    *lower = (*lower - moved * out) * in;
    return *lower > *upper && proves(*upper, *lower, score_error(norm2, m->length, d));
}

static void settle(int32_t *label, float *upper, float *lower, const Best *b, float norm2,
                   float error) {
    const float d2 = distance2(norm2, b->second) - error;
    *label = b->label;
    *upper = sqrtf(distance2(norm2, b->first) + error) * (1.0f + 0x1p-21f);
    *lower = d2 > 0.0f ? sqrtf(d2) * (1.0f - 0x1p-21f) : 0.0f;
}

/* Keeps of the open samples those whose own distance, computed, does not prove their label either.
 * Another order of the product than score_panel's: score_error covers any. */
static int64_t tighten(int64_t *open, int64_t opened, const int32_t *label, Bounds b,
                       const Samples *s, const Centers *centers, const Motion *m) {
    const int64_t d = s->Z.d;
    int64_t kept = 0;
    for (int64_t k = 0; k < opened; k++) {
        const int64_t i = open[k];
        const float *restrict z = sample(s, i), *restrict c = centers->at + label[i] * d;
        float product = 0.0f;
        SIMD(reduction(+ : product))
        for (int64_t j = 0; j < d; j++) product += z[j] * c[j];
        const Best own = {product - 0.5f * centers->norm2[label[i]], -INFINITY, label[i]};
        const float error = score_error(s->norm2[i], m->length, d);
        b.upper[i] = sqrtf(distance2(s->norm2[i], own.first) + error) * (1.0f + 0x1p-21f);
        if (!proves(b.upper[i], b.lower[i], error)) open[kept++] = i;
    }
    return kept;
}

/* Samples n0 .. n0+n, n <= RUN. */
static void bounded_run(int32_t *label, Bounds b, bool fresh, const Samples *s, int64_t n0,
                        int64_t n, const Centers *centers, const Motion *m, const float *packed,
                        float *buffer) {
    const int64_t d = s->Z.d, row = batch_row(DTYPE_F32, d);
    int64_t open[RUN], opened = 0; /* samples that must be computed */
    for (int64_t i = n0; i < n0 + n; i++)
        if (fresh || !label_stays(&b.upper[i], &b.lower[i], label[i], s->norm2[i], m, centers, d))
            open[opened++] = i;
    if (!fresh && 2 * opened <= n) /* where few are open, their own distance often settles them */
        opened = tighten(open, opened, label, b, s, centers, m);
    if (4 * opened > 3 * n) /* most: all of them, where they lie */
        for (opened = 0; opened < n; opened++) open[opened] = n0 + opened;
    for (int64_t k = 0; k < opened; k += PANEL) {
        const int64_t some = least(opened - k, PANEL);
        const bool dense = open[k + some - 1] - open[k] == some - 1;
        Best best[PANEL];
        for (int64_t i = 0; !dense && i < some; i++)
            memcpy(buffer + i * row, sample(s, open[k + i]), (size_t)d * sizeof *buffer);
        score_panel(best, dense ? sample(s, open[k]) : buffer, dense ? s->Z.row : row, some,
                    centers, packed, d);
        for (int64_t i = 0; i < some; i++) {
            const int64_t at = open[k + i];
            settle(&label[at], &b.upper[at], &b.lower[at], &best[i], s->norm2[at],
                   score_error(s->norm2[at], m->length, d));
        }
    }
}

Status cpu_nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh, const Samples *s,
                           const Centers *centers, void *scratch) {
    REQUIRE(q,
            label && bounds.upper && bounds.lower && samples_servable(s) &&
                centers_servable(centers) && centers->moved && scratch,
            "nearest_bounded");
    const int64_t d = s->Z.d, C = centers->C;
    const Motion motion = motion_of(centers);
    float *packed = scratch;
    float *panels = packed + round_up(packed_bytes(DTYPE_F32, C, d), 64) / (int64_t)sizeof(float);
    pack_weight(packed, DTYPE_F32, centers->at, C, d, q->device->threads);
    PARALLEL_FOR(num_threads(q->device->threads) schedule(dynamic))
    for (int64_t n0 = 0; n0 < s->N; n0 += RUN)
        bounded_run(label, bounds, fresh, s, n0, least(s->N - n0, RUN), centers, &motion, packed,
                    panels + thread_number() * panel_floats(d));
    return OK;
}
