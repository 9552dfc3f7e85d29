/* result.c - the scores of a labelling as a call's result. */
#include "host/score/result.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/score/clusters.h"
#include "host/score/metrics.h"
#include "host/tell/notify.h"

void result_clear(TurtleResult *r) {
    *r = (TurtleResult){.clusters_found = -1,
                        .named = {-1, 0, NAN, NAN, NAN, NAN},
                        .cluster_acc = NAN,
                        .mean_class_acc = NAN,
                        .nmi = NAN,
                        .ari = NAN,
                        .train_cluster_acc = NAN,
                        .loss = NAN,
                        .entropy = NAN,
                        .space_agreement = NAN,
                        .generalization_score = NAN,
                        .iterations = -1};
}

Status model_copy(TurtleModel *out, int K, int64_t C, const int64_t *d, float *const *linear,
                  Error *err) {
    *out = (TurtleModel){.spaces = K, .classes = C};
    out->dims = calloc((size_t)K, sizeof *out->dims);
    out->linear = calloc((size_t)K, sizeof *out->linear);
    bool ok = out->dims && out->linear;
    for (int k = 0; ok && k < K; k++) {
        const size_t bytes = (size_t)(C * (d[k] + 1)) * sizeof **out->linear;
        out->dims[k] = d[k];
        ok = (out->linear[k] = malloc(bytes));
        if (ok) memcpy(out->linear[k], linear[k], bytes);
    }
    if (ok) return OK;
    model_free(out);
    return fail(err, ERR_MEMORY, "model: out of memory");
}

void model_free(TurtleModel *m) {
    if (!m) return;
    for (int64_t k = 0; m->linear && k < m->spaces; k++) free(m->linear[k]);
    free(m->linear);
    free(m->dims);
    *m = (TurtleModel){0};
}

void turtle_result_free(TurtleResult *r) {
    if (!r) return;
    clusters_free(r->clusters, r->classes);
    free(r->cluster_sizes);
    free(r->cluster_of);
    free(r->train_cluster_of);
    free(r->probability);
    model_free(&r->model);
    free(r->checkpoint);
    free(r->predictions);
    free(r->line);
    free(r->profile);
    free(r->json);
    result_clear(r);
}

/* --- scores ----------------------------------------------------------------------------------- */

Status score_accuracy(double *cluster_acc, const Split *split, const Predictions *p, Error *err) {
    *cluster_acc = NAN;
    if (!split->y_true) return OK;
    Metrics m;
    const Status st = metrics_compute(&m, p->cluster, split->y_true, p->n, err);
    if (st == OK) *cluster_acc = m.cluster_acc;
    metrics_free(&m);
    return st;
}

/* Writes "812 3 0 ...", as many sizes as fit a line. */
static void sizes_text(char *text, size_t bytes, const int64_t *sizes, int64_t C) {
    size_t used = 0;
    text[0] = '\0';
    for (int64_t c = 0; c < C; c++) {
        const int n =
            snprintf(text + used, bytes - used, "%s%lld", c ? " " : "", (long long)sizes[c]);
        if (n < 0 || used + (size_t)n + 8 > bytes) {
            snprintf(text + used, bytes - used, " ...");
            return;
        }
        used += (size_t)n;
    }
}

static int descending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Warns that few clusters are used. Samples of few classes, or fewer samples than clusters, use few
 * clusters however good the run is: `classes` is how many occur in them, or -1. */
static void warn_of_collapse(const TurtleResult *r, int64_t classes, const TurtleHooks *hooks) {
    if (2 * r->clusters_found >= r->classes || r->samples < r->classes) return;
    if (classes >= 0 && classes <= r->clusters_found) return;
    int64_t *sorted = malloc((size_t)r->classes * sizeof *sorted);
    if (!sorted) return;
    memcpy(sorted, r->cluster_sizes, (size_t)r->classes * sizeof *sorted);
    qsort(sorted, (size_t)r->classes, sizeof *sorted, descending);
    char sizes[600];
    sizes_text(sizes, sizeof sizes, sorted, r->classes);
    free(sorted);
    notice(
        hooks,
        "warning: only %lld of %lld clusters are used: the run has collapsed; try another --seed, "
        "a larger --gamma or fewer --classes. samples per cluster, largest first: %s",
        (long long)r->clusters_found, (long long)r->classes, sizes);
}

Status result_score(TurtleResult *r, const Split *split, const Predictions *p, int64_t C,
                    const TurtleHooks *hooks, Error *err) {
    r->split = split->name;
    r->samples = p->n;
    r->classes = C;
    r->space_agreement = p->space_agreement;
    r->cluster_sizes = calloc((size_t)C, sizeof *r->cluster_sizes);
    if (!r->cluster_sizes) return fail(err, ERR_MEMORY, "report: out of memory");
    for (int64_t i = 0; i < p->n; i++) r->cluster_sizes[p->cluster[i]]++;
    r->clusters_found = 0;
    for (int64_t c = 0; c < C; c++) r->clusters_found += r->cluster_sizes[c] > 0;
    r->unlabelled = split->unlabelled;
    if (!split->y_true) {
        warn_of_collapse(r, -1, hooks);
        return OK;
    }
    Metrics m;
    const Status st = metrics_compute(&m, p->cluster, split->y_true, p->n, err);
    if (st == OK) {
        warn_of_collapse(r, m.unlabelled ? -1 : m.classes_found, hooks);
        r->cluster_acc = m.cluster_acc;
        r->mean_class_acc = m.mean_class_acc;
        r->nmi = m.nmi;
        r->ari = m.ari;
    }
    metrics_free(&m);
    return st;
}

char *result_line(const TurtleResult *r, const Inputs *in) {
    if (isnan(r->cluster_acc))
        return format_text("%-12s, %-20s, Number of found clusters %lld", in->dataset, in->phis,
                           (long long)r->clusters_found);
    return format_text("%-12s, %-20s, Number of found clusters %lld, Cluster Acc: %.4f",
                       in->dataset, in->phis, (long long)r->clusters_found, r->cluster_acc);
}

/* --- JSON    ---------------------------------------------------------------------------------- */

void json_result(Json *j, const TurtleResult *r) {
    json_real(j, "seconds", r->seconds);
    json_text(j, "split", r->split);
    json_integer(j, "samples", r->samples);
    json_integer(j, "unlabelled", r->unlabelled);
    json_real(j, "cluster_acc", r->cluster_acc);
    json_real(j, "mean_class_acc", r->mean_class_acc);
    json_real(j, "nmi", r->nmi);
    json_real(j, "ari", r->ari);
    json_real(j, "train_cluster_acc", r->train_cluster_acc);
    json_integer(j, "clusters_found", r->clusters_found);
    json_integer(j, "classes", r->classes);
    json_real(j, "loss", r->loss);
    json_real(j, "entropy", r->entropy);
    json_real(j, "space_agreement", r->space_agreement);
    json_real(j, "generalization_score", r->generalization_score);
    if (r->iterations >= 0) json_integer(j, "iterations", r->iterations);
    else json_null(j, "iterations");
    json_text(j, "checkpoint", r->checkpoint);
    json_open_array(j, "cluster_sizes");
    for (int64_t c = 0; c < r->classes; c++) json_integer(j, NULL, r->cluster_sizes[c]);
    json_close_array(j);
    json_clusters(j, r);
}
