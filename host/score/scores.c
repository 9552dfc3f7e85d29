/* scores.c - turtle_scores: how well any two arrays of ids agree; the metrics themselves are in metrics.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/metrics.h"
#include "host/tell/locale.h"
#include "host/turtle.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "scores: out of memory");
}

void turtle_scores_free(TurtleScores *s) {
    if (!s) return;
    free(s->match);
    *s = (TurtleScores){.cluster_acc = NAN, .mean_class_acc = NAN, .nmi = NAN, .ari = NAN};
}

/* The different ids of an array, ascending, and each sample's rank among them. */
typedef struct {
    int64_t *id; /* (count) */
    int64_t count;
    int64_t *rank; /* (n); -1: the sample has no id */
} Ids;

static int by_value(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* Numbers the ids (n) of samples that `counts` (n) does not mark by a number below 0. */
static Status ids_number(Ids *out, const int64_t *ids, const int64_t *counts, int64_t n,
                         Error *err) {
    const size_t bytes = (size_t)n * sizeof *ids;
    *out = (Ids){.id = malloc(bytes), .rank = malloc(bytes)};
    if (!out->id || !out->rank) return out_of_memory(err);
    int64_t known = 0;
    for (int64_t i = 0; i < n; i++)
        if (counts[i] >= 0) out->id[known++] = ids[i];
    qsort(out->id, (size_t)known, sizeof *out->id, by_value);
    for (int64_t i = 0; i < known; i++)
        if (i == 0 || out->id[i] != out->id[out->count - 1]) out->id[out->count++] = out->id[i];
    for (int64_t i = 0; i < n; i++) {
        const int64_t *found = counts[i] < 0 ? NULL
                                             : bsearch(&ids[i], out->id, (size_t)out->count,
                                                       sizeof *out->id, by_value);
        out->rank[i] = found ? found - out->id : -1;
    }
    return OK;
}

static void ids_free(Ids *ids) {
    free(ids->id);
    free(ids->rank);
}

static Status check(const int64_t *clusters, const int64_t *y_true, int64_t n, Error *err) {
    if (!clusters || !y_true || n < 1)
        return fail(err, ERR_ARG, "scores: %s: expected clusters and classes of 1 sample or more",
                    n < 1      ? "no samples"
                    : clusters ? "no classes"
                               : "no clusters");
    for (int64_t i = 0; i < n; i++)
        if (clusters[i] < 0)
            return fail(err, ERR_ARG,
                        "scores: sample %lld has cluster %lld: expected 0 or more; leave samples "
                        "out that are in no cluster",
                        (long long)i, (long long)clusters[i]);
    return OK;
}

static Status take_matches(TurtleScores *out, const Metrics *m, const Ids *clusters,
                           const Ids *classes, Error *err) {
    out->match = calloc((size_t)clusters->count + 1, sizeof *out->match);
    if (!out->match) return out_of_memory(err);
    for (int64_t c = 0; c < m->clusters; c++)
        out->match[c] = (TurtleMatch){.cluster = clusters->id[c], .class_id = -1};
    for (int64_t i = 0; i < m->cells; i++) {
        const MetricsCell *cell = &m->cell[i];
        TurtleMatch *match = &out->match[cell->cluster];
        match->samples += cell->samples;
        if (m->class_of[cell->cluster] != cell->class) continue;
        match->class_id = classes->id[cell->class];
        match->matched = cell->samples;
    }
    return OK;
}

Status turtle_scores(const int64_t *clusters, const int64_t *y_true, int64_t n, TurtleScores *out,
                     Error *err) {
    PLAIN_LOCALE;
    Ids cluster = {0}, class = {0};
    Metrics m = {0};
    *out = (TurtleScores){.cluster_acc = NAN, .mean_class_acc = NAN, .nmi = NAN, .ari = NAN};
    Status st = check(clusters, y_true, n, err);
    if (st == OK) st = ids_number(&cluster, clusters, y_true, n, err);
    if (st == OK) st = ids_number(&class, y_true, y_true, n, err);
    for (int64_t i = 0; st == OK && i < n; i++)
        if (cluster.rank[i] < 0)
            cluster.rank[i] = 0; /* its class is not known: it counts nowhere */
    if (st == OK) st = metrics_compute(&m, cluster.rank, class.rank, n, err);
    if (st == OK) {
        out->samples = m.samples;
        out->unlabelled = m.unlabelled;
        out->clusters = cluster.count;
        out->classes = class.count;
        out->matched = m.matched;
        out->cluster_acc = m.cluster_acc;
        out->mean_class_acc = m.mean_class_acc;
        out->nmi = m.nmi;
        out->ari = m.ari;
        st = take_matches(out, &m, &cluster, &class, err);
    }
    if (st != OK) turtle_scores_free(out);
    metrics_free(&m);
    ids_free(&cluster);
    ids_free(&class);
    return st;
}
