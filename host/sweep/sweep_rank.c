/* sweep_rank.c - which run, and which number of classes, is the best, without a label. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/metrics.h"
#include "host/sweep/sweep.h"

static bool same_setting(const TurtleSweepRun *a, const TurtleSweepRun *b) {
    return a->classes == b->classes && a->warm_start == b->warm_start &&
           a->inner_lr == b->inner_lr && a->outer_lr == b->outer_lr && a->gamma == b->gamma;
}

/* Computes stability: the mean ARI of a run with those that differ from it by the seed alone. */
static Status measure_stability(TurtleSweepResult *r, int64_t *const *cluster, int64_t N,
                                Error *err) {
    int64_t *others = calloc((size_t)r->runs, sizeof *others);
    if (!others) return fail(err, ERR_MEMORY, "sweep: out of memory");
    Status st = OK;
    for (int64_t a = 0; a < r->runs; a++) r->run[a].stability = 0.0;
    for (int64_t a = 0; st == OK && a < r->runs; a++)
        for (int64_t b = a + 1; st == OK && b < r->runs; b++) {
            Metrics m;
            if (!cluster[a] || !cluster[b] || !same_setting(&r->run[a], &r->run[b])) continue;
            st = metrics_compute(&m, cluster[a], cluster[b], N, err);
            if (st != OK) break;
            r->run[a].stability += m.ari;
            r->run[b].stability += m.ari;
            others[a]++;
            others[b]++;
            metrics_free(&m);
        }
    for (int64_t a = 0; a < r->runs; a++)
        r->run[a].stability = others[a] ? r->run[a].stability / (double)others[a] : NAN;
    free(others);
    return st;
}

/* Returns (score - chance) / (1 - chance): with fewer classes more is right by luck. Chance is the
 * share that a guess by the sizes of the clusters gets right. */
static double correct_for_chance(double score, const int64_t *cluster, int64_t N, int64_t C) {
    int64_t *size = calloc((size_t)C, sizeof *size);
    double chance = 0.0;
    if (!size) return NAN;
    for (int64_t i = 0; i < N; i++) size[cluster[i]]++;
    for (int64_t c = 0; c < C; c++)
        chance += (double)size[c] / (double)N * (double)size[c] / (double)N;
    free(size);
    return chance < 1.0 ? (score - chance) / (1.0 - chance) : 0.0;
}

/* --- runs ------------------------------------------------------------------------------------- */

/* A number that takes no part is 1. */
static double known_or_one(double x) {
    return isnan(x) ? 1.0 : x;
}

/* Returns the quality of a run. Linear classifiers learn its labelling, each space finds it alone,
 * and other seeds find it too: a good labelling has all three, each a share of samples beyond
 * chance. NaN where none of the three is known: such a run has no rank. */
static double run_quality(const TurtleSweepRun *run) {
    if (run->failed) return -INFINITY;
    if (isnan(run->corrected_score) && isnan(run->space_agreement) && isnan(run->stability))
        return NAN;
    return known_or_one(run->corrected_score) * known_or_one(run->space_agreement) *
           known_or_one(run->stability);
}

/* Orders runs: the best first, then those without a rank, then those that failed; equals by name,
 * so that there is one order. */
static int compare_runs(const void *x, const void *y) {
    const TurtleSweepRun *a = x, *b = y;
    const double of_a = isnan(a->quality) ? -DBL_MAX : a->quality,
                 of_b = isnan(b->quality) ? -DBL_MAX : b->quality;
    if (of_a != of_b) return of_a < of_b ? 1 : -1;
    return strcmp(a->name, b->name);
}

/* --- numbers of classes ----------------------------------------------------------------------- */

static int compare_classes(const void *x, const void *y) {
    const TurtleSweepClasses *a = x, *b = y;
    return (a->classes > b->classes) - (a->classes < b->classes);
}

static TurtleSweepClasses *find_classes(TurtleSweepResult *r, int64_t C) {
    for (int64_t i = 0; i < r->class_counts; i++)
        if (r->classes[i].classes == C) return &r->classes[i];
    r->classes[r->class_counts] = (TurtleSweepClasses){.classes = C, .quality = NAN};
    return &r->classes[r->class_counts++];
}

/* Averages over the runs that did not fail, and finds the quality of the best. */
static Status average(TurtleSweepResult *r, Error *err) {
    r->classes = calloc((size_t)(r->runs > 0 ? r->runs : 1), sizeof *r->classes);
    if (!r->classes) return fail(err, ERR_MEMORY, "sweep: out of memory");
    for (int64_t i = 0; i < r->runs; i++) {
        const TurtleSweepRun *run = &r->run[i];
        TurtleSweepClasses *c = find_classes(r, run->classes);
        if (run->failed) continue;
        c->runs++;
        if (isnan(c->quality) || run->quality > c->quality) c->quality = run->quality;
        c->generalization_score += run->generalization_score;
        c->corrected_score += run->corrected_score;
        c->space_agreement += run->space_agreement;
        c->stability += run->stability;
        c->size_entropy += run->size_entropy;
        c->clusters_found += (double)run->clusters_found;
        c->cluster_acc += run->cluster_acc;
    }
    for (int64_t i = 0; i < r->class_counts; i++) {
        TurtleSweepClasses *c = &r->classes[i];
        double *const means[] = {
            &c->generalization_score, &c->corrected_score, &c->space_agreement, &c->stability,
            &c->size_entropy,         &c->clusters_found,  &c->cluster_acc};
        for (size_t m = 0; m < sizeof means / sizeof *means; m++) *means[m] /= (double)c->runs;
    }
    qsort(r->classes, (size_t)r->class_counts, sizeof *r->classes, compare_classes);
    return OK;
}

/* Without stability there is nothing to recommend by: a few classes are easy to learn and to agree
 * on, however badly they fit. */
static void recommend(TurtleSweepResult *r) {
    const TurtleSweepClasses *best = NULL, *next = NULL;
    for (int64_t i = 0; i < r->class_counts; i++) {
        const TurtleSweepClasses *c = &r->classes[i];
        if (!c->runs || isnan(c->stability)) continue;
        if (!best || c->quality > best->quality) {
            next = best;
            best = c;
        } else if (!next || c->quality > next->quality) {
            next = c;
        }
    }
    r->recommended = next ? best->classes : 0;
    r->runner_up = next ? next->classes : 0;
}

Status sweep_judge(TurtleSweepResult *r, int64_t *const *cluster, int64_t N, Error *err) {
    Status st = measure_stability(r, cluster, N, err);
    for (int64_t i = 0; st == OK && i < r->runs; i++) {
        TurtleSweepRun *run = &r->run[i];
        if (run->failed)
            run->generalization_score = run->corrected_score = run->space_agreement =
                run->size_entropy = run->cluster_acc = run->loss = run->entropy = NAN;
        else
            run->corrected_score =
                correct_for_chance(run->generalization_score, cluster[i], N, run->classes);
        run->quality = run_quality(run);
    }
    if (st == OK) st = average(r, err);
    if (st != OK) return st;
    recommend(r);
    qsort(r->run, (size_t)r->runs, sizeof *r->run, compare_runs);
    return OK;
}
