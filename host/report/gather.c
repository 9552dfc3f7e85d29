/* gather.c - everything that a page shows of a finished run, in the order in which it is found. */
#include "host/report/gather.h"

#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/files/file.h"
#include "io/files/grow.h"
#include "kernels/ops.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "report: out of memory");
}

void report_say(Gather *g, const char *format, ...) {
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const char **more = grown(g->notice, g->notices, &g->notice_capacity, sizeof *more);
    if (!more) return;
    g->notice = more;
    char *copy = report_text(g->memory, "%s", line);
    if (copy) g->notice[g->notices++] = copy;
}

/* --- which run ------------------------------------------------------------------------------------------ */

/* Finds the newest run of a data set, in its published place. */
static Status find_run(const TurtleReportOptions *o, ReportMemory *m, const char **out,
                       Error *err) {
    const TurtleTexts *phis = &o->inputs.phis;
    char *joined = report_text(m, "%s", phis->count ? phis->item[0] : "");
    for (int k = 1; joined && k < phis->count; k++)
        joined = report_text(m, "%s_%s", joined, phis->item[k]);
    const char *place =
        joined ? report_text(m, "%s/task_checkpoints/%dspace/%s/%s", o->common.root_dir,
                             phis->count, joined, o->inputs.dataset)
               : NULL;
    if (!place) return out_of_memory(err);
    *out = NULL;
    struct timespec newest = {0};
    DIR *folder = opendir(place);
    for (struct dirent *e; folder && (e = readdir(folder));) {
        struct stat s;
        if (e->d_name[0] == '.') continue;
        const char *run = report_text(m, "%s/%s", place, e->d_name),
                   *record = run ? report_text(m, "%s/run.json", run) : NULL;
        if (!record || stat(record, &s) != 0) continue;
        const bool newer = s.st_mtim.tv_sec != newest.tv_sec ? s.st_mtim.tv_sec > newest.tv_sec
                                                             : s.st_mtim.tv_nsec > newest.tv_nsec;
        if (*out && !newer) continue;
        *out = run;
        newest = s.st_mtim;
    }
    if (folder) closedir(folder);
    if (*out) return OK;
    return fail(err, ERR_ARG,
                "report: %s holds no run: train first, or name its directory with --run", place);
}

typedef struct {
    const char *first;
    const char **other;
    int others, gone; /* gone: runs of the sweep whose directory is not there any more */
    SweepRecord sweep;
} Chosen;

/* Returns the file of one piece of a sweep in a folder, or NULL where it has none. */
static const char *sweep_piece(ReportMemory *m, const char *path) {
    const char *piece = NULL;
    DIR *folder = opendir(path);
    for (struct dirent *e; !piece && folder && (e = readdir(folder));) {
        if (fnmatch("sweep.[0-9]*of[0-9]*.json", e->d_name, 0) == 0)
            piece = report_text(m, "%s/%s", path, e->d_name);
    }
    if (folder) closedir(folder);
    return piece;
}

/* Reads what a folder says of a sweep. sweep->best stays NULL where the folder is no sweep's. */
static Status sweep_of(SweepRecord *sweep, ReportMemory *m, const char *path, Error *err) {
    *sweep = (SweepRecord){0};
    const char *table = report_text(m, "%s/sweep.json", path),
               *record = report_text(m, "%s/run.json", path);
    if (!table || !record) return out_of_memory(err);
    if (file_exists(record)) return OK;
    if (file_exists(table)) return sweep_record_read(sweep, m, path, err);
    const char *piece = sweep_piece(m, path);
    if (!piece) return OK;
    return fail(err, ERR_ARG,
                "report: %s is a piece of a sweep: put the pieces together first, by calling "
                "`turtle sweep` with --resume and without --shard",
                piece);
}

/* Adds the next runs of the sweep, as far as they are still there. */
static Status add_sweep(Chosen *out, ReportMemory *m, Error *err) {
    out->first = out->sweep.best;
    for (int i = 0; i < out->sweep.others; i++) {
        const char *run = out->sweep.other[i], *record = report_text(m, "%s/run.json", run);
        if (!record) return out_of_memory(err);
        if (strcmp(run, out->first) == 0) continue;
        if (file_exists(record)) out->other[out->others++] = run;
        else out->gone++;
    }
    return OK;
}

/* Decides what is reported: the first run, or the best of a sweep, and what stands beside it. */
static Status choose_runs(const TurtleReportOptions *o, ReportMemory *m, Chosen *out, Error *err) {
    *out = (Chosen){.first = o->runs.count ? o->runs.item[0] : NULL};
    if (!!o->runs.count == !!o->inputs.dataset)
        return fail(err, ERR_USAGE,
                    "report: expected --run DIR, or --dataset NAME with --phis, and not both");
    if (o->inputs.dataset && !o->inputs.phis.count)
        return fail(err, ERR_USAGE, "report: --dataset needs the representations: --phis P...");
    Status st = out->first ? OK : find_run(o, m, &out->first, err);
    if (st != OK) return st;
    out->other = report_take(m, o->runs.count + 8, sizeof *out->other);
    if (!out->other) return out_of_memory(err);
    st = sweep_of(&out->sweep, m, out->first, err);
    if (st == OK && out->sweep.best) st = add_sweep(out, m, err);
    for (int i = 1; st == OK && i < o->runs.count; i++) {
        SweepRecord sweep;
        st = sweep_of(&sweep, m, o->runs.item[i], err);
        out->other[out->others++] = sweep.best ? sweep.best : o->runs.item[i];
    }
    return st;
}

/* --- gathering ------------------------------------------------------------------------------------------ */

/* A cluster takes CARD_BYTES of the page even without samples: a number that no page can hold is refused at once. */
static Status check_clusters(const Gather *g, Error *err) {
    enum { CARD_BYTES = 800 };
    const int64_t classes = g->out->classes;
    if (classes <= g->budget / CARD_BYTES) return OK;
    return fail(err, ERR_ARG,
                "report: %s: %lld clusters do not fit a page of %.6g MB: expected --max_size %.1f "
                "or more",
                g->found.path, (long long)classes, (double)g->budget / 1e6,
                (double)classes * CARD_BYTES / 1e6 + 0.1);
}

static Status read_run(Gather *g, const char *folder, Error *err) {
    Report *r = g->out;
    Status st = run_record_read(&g->run, g->memory, folder, err);
    if (st != OK) return st;
    const char *path = report_text(g->memory, "%s/predictions_%s.csv", folder, g->run.split);
    if (!path) return out_of_memory(err);
    if (!file_exists(path))
        return fail(err, ERR_ARG,
                    "report: %s: there is no predictions_%s.csv, which `turtle train` writes",
                    folder, g->run.split);
    st = labelling_read(&g->found, path, err);
    if (st != OK) return st;
    if (g->run.classes > 1 << 20)
        return fail(err, ERR_FORMAT, "report: %s/run.json: %lld classes: expected at most 2^20",
                    folder, (long long)g->run.classes);
    r->classes = g->found.classes > g->run.classes ? g->found.classes : g->run.classes;
    if ((st = check_clusters(g, err)) != OK) return st;
    r->clusters = report_take(g->memory, r->classes, sizeof *r->clusters);
    r->facts = report_take(g->memory, g->run.facts, sizeof *r->facts);
    r->title = report_text(g->memory, "%s, %s", g->run.dataset ? g->run.dataset : folder,
                           g->run.phis ? g->run.phis : "features");
    if (!r->clusters || !r->facts || !r->title) return out_of_memory(err);
    memcpy((void *)r->facts, g->run.fact, (size_t)g->run.facts * sizeof *r->facts);
    r->fact_count = g->run.facts;
    return run_points_read(r, g->memory, folder, err);
}

static Status gather(Gather *g, const Chosen *chosen, Error *err) {
    Report *r = g->out;
    Status st = read_run(g, chosen->first, err);
    if (st == OK) st = choose_samples(g, err);
    if (st == OK) st = truth_read(g, err);
    if (st == OK) st = names_read(g, err);
    if (st == OK) st = cluster_titles_read(g, err);
    if (st == OK) st = rows_read(g, err);
    if (st == OK) st = compare_runs(g, chosen->other, chosen->others, err);
    if (st == OK) st = thumbnails_make(g, err);
    if (st != OK) return st;
    fit_names(g);
    if (chosen->gone)
        report_say(g,
                   "The page leaves out %d of the sweep's next runs, whose run.json is not there "
                   "any more.",
                   chosen->gone);
    r->name_most = REPORT_NAME_BYTES;
    r->sweep = chosen->sweep.point;
    r->sweep_count = (int)chosen->sweep.points;
    const char **notices = report_take(g->memory, g->notices, sizeof *notices);
    if (!notices) return out_of_memory(err);
    if (g->notices) memcpy(notices, g->notice, (size_t)g->notices * sizeof *notices);
    r->notices = notices;
    r->notice_count = (int)g->notices;
    return OK;
}

Status report_gather(const TurtleReportOptions *options, Report *out, Error *err) {
    *out = (Report){0};
    if (!(options->max_size >= 0.1) || options->max_size > 2000.0)
        return fail(err, ERR_USAGE, "report: --max_size %g: expected 0.1 to 2000 megabytes",
                    options->max_size);
    out->memory = calloc(1, sizeof *out->memory);
    if (!out->memory) return out_of_memory(err);
    Gather g = {.options = options,
                .out = out,
                .memory = out->memory,
                .budget = (int64_t)(options->max_size * 1e6),
                .threads = options->common.threads ? options->common.threads : cpu_cores()};
    Chosen chosen;
    Status st = choose_runs(options, out->memory, &chosen, err);
    if (st == OK) st = gather(&g, &chosen, err);
    labelling_free(&g.found);
    free(g.y);
    free(g.order);
    free(g.begin);
    free(g.sample_of);
    free(g.plane);
    free(g.notice);
    if (st != OK) report_free(out);
    return st;
}

void report_free(Report *r) {
    if (!r) return;
    for (int64_t i = 0; i < r->sample_count; i++) free(r->samples[i].picture.bytes);
    if (r->memory) report_memory_free(r->memory);
    free(r->memory);
    *r = (Report){0};
}
