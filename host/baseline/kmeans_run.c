/* kmeans_run.c - turtle_kmeans: the k-means baseline, from files to files. The algorithm is in
 * kmeans.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/baseline/kmeans.h"
#include "host/inputs/inputs_json.h"
#include "host/score/metrics.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"

void turtle_kmeans_defaults(TurtleKmeansOptions *o) {
    *o = (TurtleKmeansOptions){.common = common_defaults(),
                               .n_init = 10,
                               .init = "kmeans++",
                               .max_iter = 1000,
                               .tol = 1e-4};
}

static void result_empty(TurtleKmeansResult *r) {
    *r = (TurtleKmeansResult){.train_acc = NAN,
                              .val_acc = NAN,
                              .nmi = NAN,
                              .ari = NAN,
                              .inertia = NAN,
                              .iterations = -1,
                              .clusters_found = -1};
}

void turtle_kmeans_result_free(TurtleKmeansResult *r) {
    if (!r) return;
    free(r->cluster_sizes);
    free(r->cluster_of);
    free(r->val_cluster_of);
    free(r->restart);
    kmeans_centers_free(&r->centers);
    free(r->line);
    free(r->json);
    result_empty(r);
}

static Status check_options(const TurtleKmeansOptions *o, Error *err) {
    const Status st = common_check(&o->common, err);
    if (st != OK) return st;
    if (!o->init)
        return fail(err, ERR_USAGE, "k-means: init is a text, not NULL: begin with the defaults");
    if (o->n_init < 1)
        return fail(err, ERR_USAGE, "k-means: --n_init %lld: at least 1 is needed",
                    (long long)o->n_init);
    if (o->n_init > INT32_MAX)
        return fail(err, ERR_USAGE, "k-means: --n_init %lld: at most %lld is served",
                    (long long)o->n_init, (long long)INT32_MAX);
    if (o->max_iter < 1)
        return fail(err, ERR_USAGE, "k-means: --max_iter %lld: at least 1 is needed",
                    (long long)o->max_iter);
    if (!(o->tol >= 0.0) || !isfinite(o->tol))
        return fail(err, ERR_USAGE, "k-means: --tol must be 0 or more and finite");
    if (strcmp(o->init, "kmeans++") != 0 && strcmp(o->init, "random") != 0)
        return fail(err, ERR_USAGE, "k-means: --init %s: expected kmeans++ or random", o->init);
    if (strcmp(precision_used(&o->common), "fp32") != 0)
        return fail(err, ERR_USAGE, "k-means: --precision %s: distances are computed in fp32",
                    o->common.precision);
    return OK;
}

/* --- scores ----------------------------------------------------------------------------------- */

/* Clusters and scores one split: its accuracy, and all other scores if it is the one that is
 * reported. */
static Status score_split(const TurtleKmeansOptions *o, Kmeans *m, const Split *split,
                          bool reported, double *acc, TurtleKmeansResult *r, Error *err) {
    const Features *features[MAX_SPACES];
    Predictions p = {0};
    Metrics metrics = {0};
    for (int k = 0; k < m->K; k++) features[k] = &split->space[k].features;
    Status st = kmeans_apply(m, features, split->N, &p, err);
    for (int64_t n = 0; st == OK && split->name[0] == 't' && n < p.n; n++)
        r->clusters_found += r->cluster_sizes[p.cluster[n]]++ == 0;
    if (st == OK && split->y_true)
        st = metrics_compute(&metrics, p.cluster, split->y_true, p.n, err);
    if (reported) r->unlabelled = split->unlabelled;
    if (st == OK && split->y_true) {
        *acc = metrics.cluster_acc;
        if (reported) {
            r->nmi = metrics.nmi;
            r->ari = metrics.ari;
        }
    }
    if (st == OK && reported && o->predictions)
        st = predictions_write(o->predictions, split, &p, err);
    if (st == OK && split->name[0] == 't') r->cluster_of = predictions_take(&p);
    else if (st == OK) r->val_cluster_of = predictions_take(&p);
    metrics_free(&metrics);
    predictions_free(&p);
    return st;
}

/* Says what a number cannot hold: the inertia of features that were divided by 2^exponent. */
static void tell_inertia(const TurtleHooks *hooks, double scaled, int unit) {
    const double inertia = ldexp(scaled, unit);
    if (isfinite(inertia) && (inertia > 0.0 || scaled == 0.0)) return;
    notice(
        hooks,
        "k-means: the inertia is %g x 2^%d, which no number of 64 bits holds: it is given as %s; "
        "clusters do not depend on it",
        scaled, unit, isfinite(inertia) ? "0" : "infinite");
}

/* Returns the exponent of two by which centres are smaller than features: rows of length 1 have lost their scale. */
static int unit_exponent(const Inputs *in, bool spherical) {
    return spherical || in->K > 1 ? 0 : in->exponent;
}

/* Seeks the centres: opens *m with those of the best restart. */
static Status seek(const TurtleKmeansOptions *o, const Ops *ops, const Inputs *in, Kmeans *m,
                   TurtleKmeansResult *r, Error *err) {
    const KmeansConfig config = {.C = in->C,
                                 .n_init = o->n_init,
                                 .max_iter = o->max_iter,
                                 .tol = o->tol,
                                 .random_start = strcmp(o->init, "random") == 0,
                                 .spherical = o->spherical,
                                 .seed = o->common.seed};
    const Features *features[MAX_SPACES];
    KmeansRestart *restart = calloc((size_t)o->n_init, sizeof *restart);
    r->restart = calloc((size_t)o->n_init, sizeof *r->restart);
    Status st = restart && r->restart ? OK : fail(err, ERR_MEMORY, "k-means: out of memory");
    for (int k = 0; k < in->K; k++) features[k] = &in->train.space[k].features;
    if (st == OK) st = kmeans_open(m, ops, &config, in->K, features, err);
    if (st == OK) st = kmeans_run(m, restart, &r->best, &o->common.hooks, err);
    if (st == OK) {
        const int unit = 2 * unit_exponent(in, o->spherical);
        r->restarts = o->n_init;
        for (int64_t i = 0; i < r->restarts; i++)
            r->restart[i] =
                (TurtleKmeansRestart){ldexp(restart[i].inertia, unit), restart[i].iterations};
        r->inertia = r->restart[r->best].inertia;
        tell_inertia(&o->common.hooks, restart[r->best].inertia, unit);
        r->iterations = restart[r->best].iterations;
    }
    free(restart);
    return st;
}

/* Finds centres, or takes the given ones, then labels both splits by them. */
static Status cluster(const TurtleKmeansOptions *o, const Ops *ops, const Inputs *in,
                      TurtleKmeansResult *r, Error *err) {
    const int unit = unit_exponent(in, o->centers ? o->centers->spherical : o->spherical);
    Kmeans m = {0};
    r->cluster_sizes = calloc((size_t)in->C, sizeof *r->cluster_sizes);
    Status st = r->cluster_sizes ? OK : fail(err, ERR_MEMORY, "k-means: out of memory");
    if (st == OK && o->centers) st = kmeans_open_at(&m, ops, o->centers, unit, err);
    else if (st == OK) st = seek(o, ops, in, &m, r, err);
    if (st == OK) st = kmeans_centers(&m, &r->centers, unit, err);
    if (st == OK) {
        r->clusters_found = 0;
        r->split = in->val.N ? in->val.name : in->train.name;
        st = score_split(o, &m, &in->train, !in->val.N, &r->train_acc, r, err);
    }
    if (st == OK && in->val.N) st = score_split(o, &m, &in->val, true, &r->val_acc, r, err);
    kmeans_close(&m);
    return st;
}

/* --- what it leaves --------------------------------------------------------------------------- */

/* Returns the published baseline's line, its trailing space included. What is not known is left
 * out; options that the baseline lacks are added where they change the result. */
static char *result_text(const TurtleKmeansOptions *o, const Inputs *in,
                         const TurtleKmeansResult *r) {
    char number[REAL_TEXT], train[48] = "", val[48] = "";
    format_real(number, r->inertia);
    if (!isnan(r->train_acc))
        snprintf(train, sizeof train, ", Train Accuracy: %.2f", 100.0 * r->train_acc);
    if (!isnan(r->val_acc)) snprintf(val, sizeof val, ", Val Accuracy: %.2f", 100.0 * r->val_acc);
    return format_text("%-12s, %-20s, n_init %lld, inertia %s%s%s%s%s ", in->dataset, in->phis,
                       (long long)o->n_init, number, train, val,
                       strcmp(o->init, "random") == 0 ? ", init random" : "",
                       o->spherical ? ", spherical" : "");
}

static char *result_json(const TurtleKmeansOptions *o, const Ops *ops, const Inputs *in,
                         const TurtleKmeansResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "kmeans", &o->common, ops->kind, "fp32");
    json_real(&j, "seconds", r->seconds);
    json_real(&j, "train_acc", r->train_acc);
    json_real(&j, "val_acc", r->val_acc);
    json_real(&j, "inertia", r->inertia);
    json_integer(&j, "iterations", r->iterations);
    json_text(&j, "split", r->split);
    json_real(&j, "nmi", r->nmi);
    json_real(&j, "ari", r->ari);
    json_integer(&j, "samples", r->samples);
    json_integer(&j, "unlabelled", r->unlabelled);
    json_integer(&j, "clusters_found", r->clusters_found);
    json_integer(&j, "classes", r->classes);
    json_integer(&j, "n_init", o->n_init);
    json_text(&j, "init", o->init);
    json_bool(&j, "spherical", r->centers.spherical);
    json_integer(&j, "max_iter", o->max_iter);
    json_real(&j, "tol", o->tol);
    json_integer(&j, "best", r->best);
    json_open_array(&j, "restarts");
    for (int64_t i = 0; i < r->restarts; i++) {
        json_open(&j, NULL);
        json_real(&j, "inertia", r->restart[i].inertia);
        json_integer(&j, "iterations", r->restart[i].iterations);
        json_close(&j);
    }
    json_close_array(&j);
    json_open_array(&j, "cluster_sizes");
    for (int64_t c = 0; c < r->classes; c++) json_integer(&j, NULL, r->cluster_sizes[c]);
    json_close_array(&j);
    json_text(&j, "backend", ops->name);
    json_inputs(&j, in);
    json_close(&j);
    return json_take(&j);
}

static Status append_line(const TurtleKmeansOptions *o, const char *line, Error *err) {
    /* what is in memory has no place below root_dir, and given centres were told before */
    if (o->inputs.Z.count || o->centers) return OK;
    char *path = format_text("%s/results/kmeans.txt", o->common.root_dir);
    const Status st =
        path ? file_append_line(path, line, err) : fail(err, ERR_MEMORY, "k-means: out of memory");
    free(path);
    return st;
}

/* Checks given centres beside the samples, and takes the number of classes from them. */
static Status check_centers(const TurtleCenters *c, int64_t classes, Inputs *in, Error *err) {
    Status st = kmeans_centers_check(c, err);
    if (st == OK && c->spaces != in->K)
        st = fail(err, ERR_ARG, "k-means: the centres have %lld spaces, %d are given",
                  (long long)c->spaces, in->K);
    if (st == OK && classes && classes != c->classes)
        st = fail(err, ERR_ARG, "k-means: %lld centres, but classes says %lld",
                  (long long)c->classes, (long long)classes);
    if (st == OK) st = split_check_dimensions(&in->train, in->K, c->dims, "the centres", err);
    if (st == OK && in->val.N)
        st = split_check_dimensions(&in->val, in->K, c->dims, "the centres", err);
    in->C = c->classes;
    return st;
}

static Status open_inputs(const TurtleKmeansOptions *o, Inputs *in, Error *err) {
    Status st = check_options(o, err);
    if (st == OK)
        st = inputs_open(in, &o->inputs, &o->common, INPUTS_TRAINING | INPUTS_SCALABLE, err);
    if (st == OK && o->centers) return check_centers(o->centers, o->inputs.classes, in, err);
    if (st == OK && in->C == 0)
        st = fail(err, ERR_USAGE, "k-means: the number of clusters is not known: give --classes C");
    if (st == OK) st = inputs_check_classes(in, in->C, err);
    return st;
}

Status turtle_kmeans(const TurtleKmeansOptions *o, TurtleKmeansResult *out, Error *err) {
    PLAIN_LOCALE;
    Inputs in = {0};
    Ops ops = {0};
    const char *why = NULL;
    const double started = now_seconds();
    result_empty(out);
    Status st = open_inputs(o, &in, err);
    if (st == OK) st = ops_open(&ops, o->common.device, o->common.threads, &why, err);
    if (st != OK) goto out;
    if (why) notice(&o->common.hooks, "device: %s", why);
    out->samples = in.train.N;
    out->val_samples = in.val.N;
    out->classes = in.C;
    st = cluster(o, &ops, &in, out, err);
    if (st != OK) goto out;
    if (out->clusters_found < in.C && !o->centers)
        notice(&o->common.hooks,
               "k-means: only %lld of %lld clusters are used: no sample lies apart from its centre",
               (long long)out->clusters_found, (long long)in.C);
    out->seconds = now_seconds() - started;
    snprintf(out->device, sizeof out->device, "%s", ops.kind);
    out->line = result_text(o, &in, out);
    out->json = result_json(o, &ops, &in, out);
    st = out->line && out->json ? append_line(o, out->line, err)
                                : fail(err, ERR_MEMORY, "k-means: out of memory");
out:
    if (st != OK) turtle_kmeans_result_free(out);
    ops_close(&ops);
    inputs_close(&in);
    return st;
}
