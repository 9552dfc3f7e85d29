/* run_record.c - what a run directory says of itself: run.json and log.jsonl. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/inputs/recorded_path.h"
#include "host/report/gather.h"
#include "host/tell/json.h"
#include "io/files/file.h"
#include "io/text/json_reader.h"
#include "io/text/text_lines.h"

/* Members of run.json that are shown as they are, in this order. */
static const struct {
    const char *key, *name;
} shown[] = {{"dataset", "data set"},
             {"phis", "representations"},
             {"samples", "samples"},
             {"split", "split"},
             {"C", "classes asked for"},
             {"clusters_found", "classes found"},
             {"cluster_acc", "cluster accuracy"},
             {"mean_class_acc", "mean class accuracy"},
             {"nmi", "NMI"},
             {"ari", "ARI"},
             {"train_cluster_acc", "cluster accuracy of the training split"},
             {"space_agreement", "space agreement"},
             {"generalization_score", "generalisation score"},
             {"loss", "loss"},
             {"entropy", "entropy"},
             {"iterations", "iterations"},
             {"seconds", "seconds"},
             {"device", "device"},
             {"backend", "backend"},
             {"precision", "precision"},
             {"T", "outer iterations asked for"},
             {"M", "inner steps"},
             {"gamma", "gamma"},
             {"inner_lr", "inner learning rate"},
             {"outer_lr", "outer learning rate"},
             {"batch_size", "batch size"},
             {"warm_start", "warm start"},
             {"prior", "prior"},
             {"rng", "random numbers"},
             {"seed", "seed"},
             {"version", "version"},
             {"command_line", "command line"}};
enum { SHOWN = sizeof shown / sizeof *shown };

typedef struct {
    RunRecord *out;
    ReportMemory *memory;
    JsonReader *r;
    char *text; /* (room) of one value */
    int64_t room;
    bool finished, failed; /* failed: memory ran out */
    const char *split;     /* split of the entry of `inputs` that is read */
} Reading;

/* Takes any plain value as a text; NULL for null, objects and arrays. */
static const char *value_text(Reading *d) {
    JsonReader *r = d->r;
    char number[REAL_TEXT];
    const char *copy = NULL;
    const char c = json_peek(r);
    if (c == '"') {
        if (!json_text_value(r, d->text, d->room)) return NULL;
        copy = report_copy(d->memory, d->text, (int64_t)strlen(d->text));
        d->failed |= !copy;
    } else if (c == 't' || c == 'f') {
        bool yes;
        if (json_bool_value(r, &yes)) copy = yes ? "yes" : "no";
    } else if (c == '-' || (c >= '0' && c <= '9')) {
        double value;
        JsonReader again = *r;
        int64_t whole;
        if (json_integer_value(&again, &whole)) {
            *r = again;
            copy = report_text(d->memory, "%lld", (long long)whole);
        } else if (json_real_value(r, &value)) {
            copy = report_text(d->memory, "%s", format_real(number, value));
        }
        d->failed |= !r->bad && !copy;
    } else {
        json_skip(r);
    }
    return copy;
}

/* One entry of `inputs`: a matrix of features. Members come in the order split, file, ..., labels. */
static void read_input(Reading *d) {
    RunRecord *o = d->out;
    const char *split = NULL, *file = NULL, *images = NULL, *labels = NULL;
    char key[64];
    json_enter(d->r, '{');
    while (json_next_key(d->r, key, sizeof key))
        if (strcmp(key, "split") == 0) split = value_text(d);
        else if (strcmp(key, "file") == 0) file = value_text(d);
        else if (strcmp(key, "images") == 0) images = value_text(d);
        else if (strcmp(key, "labels") == 0) labels = value_text(d);
        else json_skip(d->r);
    if (!split || !file || !d->split || strcmp(split, d->split) != 0 || o->K >= MAX_SPACES) return;
    o->features[o->K++] = file;
    if (!o->images) o->images = images;
    if (!o->labels) o->labels = labels;
}

/* Returns where a number of the run's row of the table goes, or NULL. */
static double *score_of(ReportRun *s, const char *key) {
    const struct {
        const char *key;
        double *value;
    } scores[] = {{"cluster_acc", &s->cluster_acc},
                  {"mean_class_acc", &s->mean_class_acc},
                  {"nmi", &s->nmi},
                  {"ari", &s->ari},
                  {"generalization_score", &s->generalization_score},
                  {"loss", &s->loss},
                  {"seconds", &s->seconds}};
    for (size_t i = 0; i < sizeof scores / sizeof *scores; i++)
        if (strcmp(key, scores[i].key) == 0) return scores[i].value;
    return NULL;
}

/* Takes the values that other files need; facts are texts that people read. */
static void keep(Reading *d, const char *key, const char *fact[SHOWN]) {
    RunRecord *o = d->out;
    for (int i = 0; i < SHOWN; i++) {
        if (strcmp(key, shown[i].key) != 0) continue;
        fact[i] = value_text(d);
        double *score = score_of(&o->scores, key);
        if (score && fact[i]) *score = strtod(fact[i], NULL);
        if (strcmp(key, "dataset") == 0) o->dataset = fact[i];
        if (strcmp(key, "phis") == 0) o->phis = fact[i];
        if (strcmp(key, "split") == 0) o->split = fact[i];
        if (strcmp(key, "C") == 0 && fact[i]) o->classes = strtoll(fact[i], NULL, 10);
        if (strcmp(key, "clusters_found") == 0 && fact[i])
            o->scores.clusters_found = strtoll(fact[i], NULL, 10);
        return;
    }
    if (strcmp(key, "finished") == 0) json_bool_value(d->r, &d->finished);
    else if (strcmp(key, "checkpoint") == 0) o->checkpoint = value_text(d);
    else if (strcmp(key, "working_directory") == 0) o->directory = value_text(d);
    else json_skip(d->r);
}

static void read_object(Reading *d) {
    const char *fact[SHOWN] = {NULL};
    const JsonReader begin = *d->r;
    char key[64];
    json_enter(d->r, '{');
    while (json_next_key(d->r, key, sizeof key)) keep(d, key, fact);
    RunRecord *o = d->out;
    d->split = o->split;
    if (d->r->bad) return;
    for (int i = 0; i < SHOWN; i++)
        if (fact[i] && o->facts < RECORD_FACTS)
            o->fact[o->facts++] = (ReportFact){shown[i].name, fact[i]};
    *d->r = begin;
    json_enter(d->r, '{');
    while (json_next_key(d->r, key, sizeof key)) {
        if (strcmp(key, "inputs") != 0) {
            json_skip(d->r);
            continue;
        }
        json_enter(d->r, '[');
        while (json_next(d->r)) read_input(d);
    }
}

/* Returns where a path of the record lies; NULL stays NULL. */
static const char *placed(Reading *d, const char *path) {
    if (!path) return NULL;
    char *found = recorded_path(d->out->directory, path);
    const char *kept = found ? report_text(d->memory, "%s", found) : NULL;
    d->failed |= !kept;
    free(found);
    return kept;
}

static void place_all(Reading *d) {
    RunRecord *o = d->out;
    if (o->dataset && strcmp(o->dataset, "features") == 0)
        o->dataset = NULL; /* what `train --features` writes where it knows no data set */
    for (int k = 0; k < o->K; k++) o->features[k] = placed(d, o->features[k]);
    o->checkpoint = placed(d, o->checkpoint);
    o->images = placed(d, o->images);
    o->labels = placed(d, o->labels);
}

ReportRun run_unknown(const char *directory) {
    return (ReportRun){.directory = directory,
                       .cluster_acc = NAN,
                       .mean_class_acc = NAN,
                       .nmi = NAN,
                       .ari = NAN,
                       .generalization_score = NAN,
                       .loss = NAN,
                       .seconds = NAN,
                       .clusters_found = -1};
}

Status run_record_read(RunRecord *out, ReportMemory *m, const char *folder, Error *err) {
    *out = (RunRecord){.folder = folder, .scores = run_unknown(folder)};
    FileMap map = {0};
    const char *path = report_text(m, "%s/run.json", folder);
    if (!path) return fail(err, ERR_MEMORY, "report: out of memory");
    struct stat s;
    if (stat(folder, &s) == 0 && !S_ISDIR(s.st_mode))
        return fail(err, ERR_ARG,
                    "report: %s is a file: predictions stand behind the directory of a finished "
                    "run, as in `--run DIR %s`",
                    folder, folder);
    if (!file_exists(path))
        return fail(err, ERR_ARG,
                    "report: %s: there is no run.json: expected the directory of a finished run, "
                    "as `turtle train` prints it, or of a sweep",
                    folder);
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    JsonReader r = json_reader(map.data, map.bytes);
    Reading d = {.out = out,
                 .memory = m,
                 .r = &r,
                 .text = malloc((size_t)map.bytes + 1),
                 .room = map.bytes + 1,
                 .finished = true};
    if (d.text) read_object(&d);
    place_all(&d);
    if (!d.text || d.failed) st = fail(err, ERR_MEMORY, "report: %s: out of memory", path);
    else if (!json_finished(&r))
        st = fail(err, ERR_FORMAT, "report: %s: damaged, or no run's", path);
    else if (!d.finished)
        st = fail(err, ERR_ARG,
                  "report: %s: the run is not finished: continue it with `turtle train --resume`",
                  folder);
    else if (!out->split || (strcmp(out->split, "val") != 0 && strcmp(out->split, "train") != 0))
        st = fail(err, ERR_FORMAT, "report: %s: it has no results of a training", path);
    free(d.text);
    file_unmap(&map);
    return st;
}

/* --- log.jsonl ------------------------------------------------------------------------------------------ */

/* Reads one line of the log. Returns false for anything else. */
static bool read_point(ReportPoint *p, const TextLine *line) {
    JsonReader r = json_reader(line->text, line->bytes);
    char key[64];
    double found = NAN;
    *p = (ReportPoint){.iteration = -1, .loss = NAN, .entropy = NAN, .accuracy = NAN};
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key))
        if (strcmp(key, "iteration") == 0) json_integer_value(&r, &p->iteration);
        else if (strcmp(key, "loss") == 0) json_real_value(&r, &p->loss);
        else if (strcmp(key, "entropy") == 0) json_real_value(&r, &p->entropy);
        else if (strcmp(key, "cluster_acc") == 0) json_real_value(&r, &p->accuracy);
        else if (strcmp(key, "clusters_found") == 0) json_real_value(&r, &found);
        else json_skip(&r);
    p->clusters_found = found >= 0 && found < 1e15 ? (int64_t)found : -1;
    return json_finished(&r) && p->iteration >= 0;
}

Status run_points_read(Report *out, ReportMemory *m, const char *folder, Error *err) {
    TextLines lines = {0};
    TextLine line;
    int64_t all = 0, at = 0, kept = 0;
    const char *path = report_text(m, "%s/log.jsonl", folder);
    out->points = report_take(m, REPORT_POINTS, sizeof *out->points);
    if (!path || !out->points) return fail(err, ERR_MEMORY, "report: out of memory");
    if (!file_exists(path)) return OK;
    Status st = text_lines_open(&lines, "report", path, err);
    while (st == OK && text_lines_next(&lines, &line)) all += !line.blank;
    text_lines_close(&lines);
    if (st == OK && all) st = text_lines_open(&lines, "report", path, err);
    while (st == OK && all && text_lines_next(&lines, &line)) {
        if (line.blank) continue;
        at++; /* line `at` is kept where it is the last of its share; so the last line is */
        if (at * REPORT_POINTS / all == kept && all > REPORT_POINTS) continue;
        if (kept < REPORT_POINTS && read_point(&out->points[kept], &line)) kept++;
    }
    text_lines_close(&lines);
    out->point_count = kept;
    return st;
}
