/* truth.c - where labels are known: which cluster is which class, and what they confuse. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/label_file.h"
#include "host/report/gather.h"
#include "host/score/metrics.h"
#include "io/files/file.h"

enum {
    CONFUSIONS = 12,     /* largest confusions that are shown */
    EXAMPLES = 6,        /* pictures of each */
    MOST_CELLS = 1 << 22 /* of the matrix that the page draws */
};

/* --- labels --------------------------------------------------------------------------------------------- */

/* Returns the file of labels: the one that run.json names, else that of the data set beside the features. */
static const char *labels_path(Gather *g) {
    const RunRecord *run = &g->run;
    if (run->labels && !file_exists(run->labels))
        report_say(g, "Labels are left out: %s is not there.", run->labels);
    if (run->labels) return file_exists(run->labels) ? run->labels : NULL;
    const char *features = run->K ? run->features[0] : NULL;
    const char *place = features ? strstr(features, "representations/") : NULL;
    if (!place || !run->dataset) return NULL;
    const char *path = report_text(g->memory, "%.*slabels/%s_%s.npy", (int)(place - features),
                                   features, run->dataset, run->split);
    return path && file_exists(path) ? path : NULL;
}

/* Keeps the texts of labels that are no numbers: they are the names of the classes. */
static Status keep_texts(Gather *g, const LabelTable *table, const int64_t *now, Error *err) {
    Report *r = g->out;
    int64_t number;
    bool texts = false;
    for (int64_t i = 0; i < table->count; i++)
        texts |= !label_whole(label_table_text(table, i), &number);
    if (!texts) return OK;
    const char **names = report_take(g->memory, r->label_count, sizeof *names);
    for (int64_t i = 0; names && i < table->count; i++)
        if (!(names[now[i]] = report_text(g->memory, "%s", label_table_text(table, i))))
            names = NULL;
    r->class_names = names;
    return names ? OK : fail(err, ERR_MEMORY, "report: out of memory for the names of classes");
}

static Status read_labels(Gather *g, const char *path, Error *err) {
    const int64_t n = g->found.n;
    LabelTable table = {0};
    LabelFacts facts;
    Error why;
    g->y = malloc((size_t)n * sizeof *g->y);
    if (!g->y) return fail(err, ERR_MEMORY, "report: out of memory for %lld labels", (long long)n);
    Status st = label_file_read(g->y, n, path, g->found.path, &table, &facts, &why);
    int64_t *now = st == OK ? malloc((size_t)(table.count + 1) * sizeof *now) : NULL;
    if (now) st = label_table_sort(&table, now, &why);
    if (st == ERR_MEMORY || (st == OK && !now)) {
        st = fail(err, ERR_MEMORY, "report: out of memory for labels");
    } else if (st != OK || facts.unknown == n) {
        if (st != OK) report_say(g, "Labels are left out: %s", why.text);
        free(g->y);
        g->y = NULL;
        st = OK;
    } else {
        for (int64_t i = 0; i < table.count; i++)
            if (now[i] >= g->out->label_count) g->out->label_count = now[i] + 1;
        for (int64_t i = 0; i < n; i++)
            if (g->y[i] >= 0) g->y[i] = now[g->y[i]];
        st = keep_texts(g, &table, now, err);
    }
    free(now);
    label_table_free(&table);
    return st;
}

/* --- matching ------------------------------------------------------------------------------------------- */

static void match_clusters(Report *r, const Metrics *m) {
    for (int64_t c = 0; c < r->classes; c++) {
        r->clusters[c].matched_label = c < m->clusters ? m->class_of[c] : -1;
        r->clusters[c].accuracy = NAN;
    }
    for (int64_t i = 0; i < m->cells;) {
        const int64_t c = m->cell[i].cluster;
        int64_t all = 0, hits = 0;
        for (; i < m->cells && m->cell[i].cluster == c; i++) {
            all += m->cell[i].samples;
            if (m->cell[i].class == m->class_of[c]) hits += m->cell[i].samples;
        }
        r->clusters[c].accuracy = all ? (double)hits / (double)all : NAN;
    }
}

static Status fill_matrix(Gather *g, const Metrics *m, Error *err) {
    Report *r = g->out;
    if (r->label_count > MOST_CELLS / r->classes) {
        report_say(g,
                   "The confusion matrix of %lld clusters and %lld classes is too large to show.",
                   (long long)r->classes, (long long)r->label_count);
        return OK;
    }
    r->confusion = report_take(g->memory, r->classes * r->label_count, sizeof *r->confusion);
    if (!r->confusion) return fail(err, ERR_MEMORY, "report: out of memory for the matrix");
    for (int64_t i = 0; i < m->cells; i++)
        r->confusion[m->cell[i].cluster * r->label_count + m->cell[i].class] = m->cell[i].samples;
    return OK;
}

/* Finds examples of one confusion: the most confident samples of the cluster that have the class. */
static Status find_examples(Gather *g, ReportConfusion *out, Error *err) {
    int64_t *samples = report_take(g->memory, EXAMPLES, sizeof *samples);
    if (!samples) return fail(err, ERR_MEMORY, "report: out of memory for confusions");
    int count = 0;
    for (int64_t i = g->begin[out->cluster]; i < g->begin[out->cluster + 1] && count < EXAMPLES;
         i++) {
        if (g->y[g->order[i]] != out->label) continue;
        if ((samples[count++] = report_sample(g, g->order[i])) < 0)
            return fail(err, ERR_MEMORY, "report: out of memory for confusions");
    }
    out->samples = samples;
    out->samples_count = count;
    return OK;
}

static int by_count(const void *a, const void *b) {
    const MetricsCell *x = a, *y = b;
    if (x->samples != y->samples) return x->samples > y->samples ? -1 : 1;
    if (x->cluster != y->cluster) return x->cluster < y->cluster ? -1 : 1;
    return (x->class > y->class) - (x->class < y->class);
}

/* Lists the largest cells beside the matched ones. The order of m->cell is lost. */
static Status list_confusions(Gather *g, Metrics *m, Error *err) {
    Report *r = g->out;
    r->confusions = report_take(g->memory, CONFUSIONS, sizeof *r->confusions);
    if (!r->confusions) return fail(err, ERR_MEMORY, "report: out of memory for confusions");
    qsort(m->cell, (size_t)m->cells, sizeof *m->cell, by_count);
    Status st = OK;
    for (int64_t i = 0; st == OK && i < m->cells && r->confusion_count < CONFUSIONS; i++) {
        const MetricsCell *cell = &m->cell[i];
        if (m->class_of[cell->cluster] == cell->class || m->class_of[cell->cluster] < 0) continue;
        ReportConfusion *out = &r->confusions[r->confusion_count++];
        *out = (ReportConfusion){cell->cluster, cell->class, cell->samples, NULL, 0};
        st = find_examples(g, out, err);
    }
    return st;
}

Status truth_read(Gather *g, Error *err) {
    Report *r = g->out;
    for (int64_t c = 0; c < r->classes; c++) {
        r->clusters[c].matched_label = -1;
        r->clusters[c].accuracy = NAN;
    }
    const char *path = labels_path(g);
    if (!path) return OK;
    Status st = read_labels(g, path, err);
    if (st != OK || !g->y) return st;
    for (int64_t i = 0; i < r->sample_count; i++) r->samples[i].label = g->y[r->samples[i].row];
    Metrics m;
    st = metrics_compute(&m, g->found.cluster, g->y, g->found.n, err);
    if (st != OK) return st;
    match_clusters(r, &m);
    st = fill_matrix(g, &m, err);
    if (st == OK) st = list_confusions(g, &m, err);
    metrics_free(&m);
    return st;
}
