/* compare.c - the table of runs and baselines, and how far their clusters agree. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/report/gather.h"
#include "host/score/metrics.h"
#include "io/files/file.h"

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Returns the last part of a path, without slashes behind it. */
static const char *title_of(ReportMemory *m, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t first = end;
    while (first > 0 && path[first - 1] != '/') first--;
    return report_copy(m, path + first, (int64_t)(end - first));
}

/* Scores a baseline's labelling by the labels of the run, if it labels the same samples. */
static Status score_baseline(const Gather *g, const Labelling *l, ReportRun *out, Error *err) {
    bool *seen = calloc((size_t)l->classes, sizeof *seen);
    if (!seen) return fail(err, ERR_MEMORY, "report: out of memory for %s", l->path);
    out->clusters_found = 0;
    for (int64_t i = 0; i < l->n; i++) {
        out->clusters_found += !seen[l->cluster[i]];
        seen[l->cluster[i]] = true;
    }
    free(seen);
    if (!g->y || l->n != g->found.n || l->names != g->found.names) return OK;
    Metrics m;
    const Status st = metrics_compute(&m, l->cluster, g->y, l->n, err);
    if (st != OK) return st;
    out->cluster_acc = m.cluster_acc;
    out->mean_class_acc = m.mean_class_acc;
    out->nmi = m.nmi;
    out->ari = m.ari;
    metrics_free(&m);
    return OK;
}

/* Reads another run, or a baseline's file of predictions. */
static Status read_other(Gather *g, const char *path, ReportRun *out, Labelling *l, Error *err) {
    ReportMemory *m = g->memory;
    if (!is_folder(path)) {
        *out = run_unknown(path);
        const Status st = labelling_read(l, path, err);
        return st == OK ? score_baseline(g, l, out, err) : st;
    }
    RunRecord record;
    Status st = run_record_read(&record, m, path, err);
    if (st != OK) return st;
    *out = record.scores;
    const char *file = report_text(m, "%s/predictions_%s.csv", path, g->run.split);
    if (!file) return fail(err, ERR_MEMORY, "report: out of memory");
    return file_exists(file) ? labelling_read(l, file, err) : OK;
}

/* Computes how far two labellings agree; NaN where they label other samples. */
static Status agreement(const Labelling *a, const Labelling *b, double *out, Error *err) {
    *out = NAN;
    if (!a->n || a->n != b->n || a->names != b->names) return OK;
    Metrics m;
    const Status st = metrics_compute(&m, a->cluster, b->cluster, a->n, err);
    if (st == OK) *out = m.ari;
    if (st == OK) metrics_free(&m);
    return st;
}

Status compare_runs(Gather *g, const char *const *others, int count, Error *err) {
    Report *r = g->out;
    const int runs = count + 1;
    Labelling *all = calloc((size_t)runs, sizeof *all);
    r->runs = report_take(g->memory, runs, sizeof *r->runs);
    r->agreement = report_take(g->memory, (int64_t)runs * runs, sizeof *r->agreement);
    Status st =
        all && r->runs && r->agreement ? OK : fail(err, ERR_MEMORY, "report: out of memory");
    if (st == OK) {
        all[0] = g->found; /* borrowed */
        r->runs[0] = g->run.scores;
    }
    for (int i = 1; st == OK && i < runs; i++) {
        st = read_other(g, others[i - 1], &r->runs[i], &all[i], err);
        free(all[i].confidence);
        free(all[i].margin);
        all[i].confidence = all[i].margin = NULL;
    }
    for (int i = 0; st == OK && i < runs; i++) {
        r->runs[i].title = title_of(g->memory, r->runs[i].directory);
        if (!r->runs[i].title) st = fail(err, ERR_MEMORY, "report: out of memory");
        for (int j = 0; st == OK && j <= i; j++) {
            st = agreement(&all[i], &all[j], &r->agreement[i * runs + j], err);
            r->agreement[j * runs + i] = r->agreement[i * runs + j];
        }
    }
    if (st == OK) r->run_count = runs;
    for (int i = 1; all && i < runs; i++) labelling_free(&all[i]);
    free(all);
    return st;
}
