/* page_runs.c - what was run; several runs and baselines beside one another; the scores of a sweep. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/page.h"

/* Writes one of the large figures at the head; nothing if it is not known. */
static void put_figure(Page *p, const char *name, double value, bool share, int decimals) {
    if (!isfinite(value)) return;
    put(p, "<div><dt>%s</dt><dd>", name);
    if (share) put_percent(p, value);
    else put_real(p, value, decimals);
    put(p, "</dd></div>");
}

static void put_seconds(Page *p, double seconds) {
    if (!isfinite(seconds)) put(p, "–");
    else if (seconds < 100.0) put(p, "%.1f s", seconds);
    else if (seconds < 6000.0)
        put(p, "%.0f min %02.0f s", floor(seconds / 60.0), fmod(floor(seconds), 60.0));
    else put(p, "%.0f h %02.0f min", floor(seconds / 3600.0), fmod(floor(seconds / 60.0), 60.0));
}

/* Writes the figures of the first run. */
static void put_figures(Page *p) {
    const Report *r = p->report;
    put(p, "<dl class=\"figures\">");
    if (r->run_count > 0) {
        const ReportRun *run = &r->runs[0];
        put_figure(p, "Cluster accuracy", run->cluster_acc, true, 2);
        put_figure(p, "NMI", run->nmi, false, 4);
        put_figure(p, "ARI", run->ari, false, 4);
        if (!isfinite(run->cluster_acc))
            put_figure(p, "Generalization score", run->generalization_score, false, 4);
        if (run->clusters_found >= 0)
            put(p,
                "<div><dt>Clusters found</dt><dd>%" PRId64 " <small>of %" PRId64
                "</small></dd></div>",
                run->clusters_found, r->classes);
    }
    int64_t samples = 0;
    for (int64_t i = 0; i < r->classes; i++) samples += r->clusters[i].size;
    put(p, "<div><dt>Samples</dt><dd>");
    put_count(p, samples);
    put(p, "</dd></div>");
    if (r->run_count > 0 && isfinite(r->runs[0].seconds)) {
        put(p, "<div><dt>Time</dt><dd>");
        put_seconds(p, r->runs[0].seconds);
        put(p, "</dd></div>");
    }
    put(p, "</dl>\n");
}

/* Returns true for the facts that are always in sight; the others are folded away. */
static bool comes_first(const ReportFact *f) {
    static const char *const first[] = {"data set",  "representations", "split",
                                        "directory", "backend",         "seed",
                                        "version",   "command line"};
    for (size_t i = 0; i < sizeof first / sizeof *first; i++)
        if (!strcmp(f->name, first[i])) return true;
    return false;
}

/* Writes a fact's value; a real with many digits is rounded to 4 decimals. */
static void put_fact(Page *p, const char *text) {
    char *end;
    const double value = strtod(text, &end);
    if (strchr(text, '.') && *end == '\0' && strlen(text) > 8 && fabs(value) > 1e-3 &&
        fabs(value) < 1e6)
        put_real(p, value, 4);
    else put_name(p, text);
}

static void put_facts(Page *p, bool first) {
    const Report *r = p->report;
    int count = 0;
    for (int i = 0; i < r->fact_count; i++) count += comes_first(&r->facts[i]) == first;
    if (count == 0) return;
    if (!first) put(p, "<details><summary>All settings and scores</summary>");
    put(p, first ? "<dl class=\"body facts\">\n" : "<dl class=\"facts all\">\n");
    for (int i = 0; i < r->fact_count; i++) {
        const ReportFact *f = &r->facts[i];
        if (comes_first(f) != first) continue;
        const bool code = !strcmp(f->name, "command line");
        put(p, "<dt>");
        put_name(p, f->name);
        put(p, code ? "</dt><dd class=\"code\">" : "</dt><dd>");
        put_fact(p, f->value);
        put(p, "</dd>\n");
    }
    put(p, first ? "</dl>\n" : "</dl></details>\n");
}

void page_run(Page *p) {
    const Report *r = p->report;
    put(p, "<section id=\"run\" aria-labelledby=\"h-run\"><h2 id=\"h-run\">What was run</h2>\n");
    put_figures(p);
    if (r->notice_count > 0) {
        put(p, "<ul class=\"notices\" aria-label=\"Notices\">");
        for (int i = 0; i < r->notice_count; i++) {
            put(p, "<li>");
            put_name(p, r->notices[i]);
            put(p, "</li>");
        }
        put(p, "</ul>\n");
    }
    put_facts(p, true);
    put_facts(p, false);
    put(p, "</section>\n");
}

/* --- several runs ------------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    bool share, best; /* a share as per cent; the largest value is marked */
    int decimals;
} Column;
static const Column column[] = {
    /* losses of different spaces do not compare */
    {"cluster accuracy", true, true, 2},
    {"mean class accuracy", true, true, 2},
    {"NMI", false, true, 4},
    {"ARI", false, true, 4},
    {"generalization score", false, true, 4},
    {"loss", false, false, 4},
};
enum { COLUMNS = sizeof column / sizeof *column };

static double value_of(const ReportRun *run, int which) {
    const double value[COLUMNS] = {run->cluster_acc, run->mean_class_acc,       run->nmi,
                                   run->ari,         run->generalization_score, run->loss};
    return value[which];
}

bool page_has_runs(const Report *r) {
    return r->run_count > 1;
}

/* Returns true for the best value of a column in which at least two differ. */
static bool is_best(const Report *r, int which, double value) {
    bool differs = false;
    for (int i = 0; i < r->run_count; i++) {
        const double other = value_of(&r->runs[i], which);
        if (!isfinite(other)) continue;
        if (!column[which].best || other > value) return false;
        differs |= other < value;
    }
    return differs && isfinite(value);
}

static void put_runs(Page *p) {
    const Report *r = p->report;
    bool known[COLUMNS] = {false};
    for (int i = 0; i < r->run_count; i++)
        for (int k = 0; k < COLUMNS; k++) known[k] |= isfinite(value_of(&r->runs[i], k));
    put(p, "<div class=\"wide\" role=\"region\" tabindex=\"0\" aria-label=\"Table of the "
           "runs\"><table><caption>The best value of a column is bold."
           "</caption><thead><tr><th scope=\"col\">run</th>");
    for (int k = 0; k < COLUMNS; k++)
        if (known[k]) put(p, "<th scope=\"col\">%s</th>", column[k].name);
    put(p, "<th scope=\"col\">clusters</th><th scope=\"col\">time</th></tr></thead>\n<tbody>\n");
    for (int i = 0; i < r->run_count; i++) {
        const ReportRun *run = &r->runs[i];
        put(p, "<tr><th scope=\"row\"><span class=\"muted\">%d</span> ", i + 1);
        put_name(p, run->title);
        put(p, "</th>");
        for (int k = 0; k < COLUMNS; k++) {
            if (!known[k]) continue;
            put(p, is_best(r, k, value_of(run, k)) ? "<td class=\"best\">" : "<td>");
            if (column[k].share) put_percent(p, value_of(run, k));
            else put_real(p, value_of(run, k), column[k].decimals);
            put(p, "</td>");
        }
        if (run->clusters_found >= 0) put(p, "<td>%" PRId64 "</td><td>", run->clusters_found);
        else put(p, "<td>–</td><td>");
        put_seconds(p, run->seconds);
        put(p, "</td></tr>\n");
    }
    put(p, "</tbody></table></div>\n");
}

static void put_agreement(Page *p) {
    const Report *r = p->report;
    const int n = r->run_count;
    put(p, "<h3 id=\"h-agreement\">Agreement of the runs</h3><p class=\"hint\">The adjusted Rand "
           "index of two runs is 1 where they group alike, and 0 by "
           "chance.</p>\n<div class=\"wide\" role=\"region\" tabindex=\"0\" "
           "aria-labelledby=\"h-agreement\">"
           "<table class=\"matrix\"><thead><tr><th scope=\"col\"><span "
           "class=\"hidden\">run</span></th>");
    for (int j = 0; j < n; j++) put(p, "<th scope=\"col\">%d</th>", j + 1);
    put(p, "</tr></thead>\n<tbody>\n");
    for (int i = 0; i < n; i++) {
        put(p, "<tr><th scope=\"row\"><span class=\"muted\">%d</span> ", i + 1);
        put_name(p, r->runs[i].title);
        put(p, "</th>");
        for (int j = 0; j < n; j++) {
            const double ari = r->agreement[i * n + j];
            const int step = !isfinite(ari) || ari <= 0.0 ? 0
                             : ari >= 1.0                 ? 5
                                                          : (int)(5.0 * ari) + 1;
            if (step) put(p, "<td class=\"g%d\">", step > 5 ? 5 : step);
            else put(p, "<td>");
            put_real(p, ari, 3);
            put(p, "</td>");
        }
        put(p, "</tr>\n");
    }
    put(p, "</tbody></table></div>\n");
}

void page_runs(Page *p) {
    if (!page_has_runs(p->report)) return;
    put(p, "<section id=\"runs\" aria-labelledby=\"h-runs\"><h2 id=\"h-runs\">Runs beside one "
           "another</h2>\n<div class=\"body\">\n");
    put_runs(p);
    if (p->report->agreement) put_agreement(p);
    put(p, "</div></section>\n");
}

/* --- sweep -------------------------------------------------------------------------------------- */

bool page_has_sweep(const Report *r) {
    return r->sweep_count > 0;
}

void page_sweep(Page *p) {
    const Report *r = p->report;
    if (!page_has_sweep(r)) return;
    const int n = r->sweep_count;
    double *x = malloc(2 * (size_t)n * sizeof *x), *y = x ? x + n : NULL, mark = NAN;
    for (int i = 0; x && i < n; i++) {
        x[i] = (double)r->sweep[i].classes;
        y[i] = r->sweep[i].score;
        if (r->sweep[i].recommended) mark = x[i];
    }
    put(p, "<section id=\"sweep\" aria-labelledby=\"h-sweep\"><h2 id=\"h-sweep\">How many "
           "classes</h2>\n<p class=\"hint\">A sweep tried several "
           "numbers of classes. The score asks no label.</p>\n<div class=\"body\">\n");
    if (x)
        put_chart(p, &(Chart){.id = "classes",
                              .title = "Generalization score",
                              .unit = "classes",
                              .x = x,
                              .y = y,
                              .count = n,
                              .dots = true,
                              .mark = mark});
    put(p, "</div></section>\n");
    p->failed |= !x;
    free(x);
}
