/* sweep_report.c - the tables and the JSON object of a judged sweep. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/sweep/sweep.h"
#include "host/tell/common.h"

/* One column of a table: its name and its value. */
typedef struct {
    const char *name;
    double value;
} Column;

enum { RUN_COLUMNS = 11, CLASS_COLUMNS = 9 };

static void run_columns(Column out[RUN_COLUMNS], const TurtleSweepRun *r) {
    const Column columns[RUN_COLUMNS] = {{"quality", r->failed ? NAN : r->quality},
                                         {"generalization_score", r->generalization_score},
                                         {"corrected_score", r->corrected_score},
                                         {"space_agreement", r->space_agreement},
                                         {"stability", r->stability},
                                         {"size_entropy", r->size_entropy},
                                         {"clusters_found", (double)r->clusters_found},
                                         {"loss", r->loss},
                                         {"entropy", r->entropy},
                                         {"cluster_acc", r->cluster_acc},
                                         {"seconds", r->seconds}};
    for (int i = 0; i < RUN_COLUMNS; i++) out[i] = columns[i];
}

static void class_columns(Column out[CLASS_COLUMNS], const TurtleSweepClasses *c) {
    const Column columns[CLASS_COLUMNS] = {{"quality", c->runs ? c->quality : NAN},
                                           {"generalization_score", c->generalization_score},
                                           {"corrected_score", c->corrected_score},
                                           {"space_agreement", c->space_agreement},
                                           {"stability", c->stability},
                                           {"size_entropy", c->size_entropy},
                                           {"clusters_found", c->clusters_found},
                                           {"cluster_acc", c->cluster_acc},
                                           {"runs", (double)c->runs}};
    for (int i = 0; i < CLASS_COLUMNS; i++) out[i] = columns[i];
}

/* --- CSV -------------------------------------------------------------------------------------- */

/* Writes ",name" or ",value"; what is unknown is empty. */
static void csv_columns(FILE *f, const Column *columns, int n, bool names) {
    for (int i = 0; i < n; i++) {
        if (names) fprintf(f, ",%s", columns[i].name);
        else if (isfinite(columns[i].value)) fprintf(f, ",%.10g", columns[i].value);
        else fputc(',', f);
    }
    fputc('\n', f);
}

static Status write_runs(const TurtleSweepResult *r, const char *path, Error *err) {
    Column columns[RUN_COLUMNS];
    AtomicFile file;
    Status st = atomic_open(&file, path, err);
    if (st != OK) return st;
    fputs("rank,classes,start,inner_lr,outer_lr,gamma,seed", file.stream);
    run_columns(columns, &r->run[0]);
    csv_columns(file.stream, columns, RUN_COLUMNS, true);
    for (int64_t i = 0; i < r->runs; i++) {
        const TurtleSweepRun *run = &r->run[i];
        fprintf(file.stream, "%lld,%lld,%s,%.10g,%.10g,%.10g,%llu", (long long)i + 1,
                (long long)run->classes, run->warm_start ? "warm" : "cold", run->inner_lr,
                run->outer_lr, run->gamma, (unsigned long long)run->seed);
        run_columns(columns, run);
        csv_columns(file.stream, columns, RUN_COLUMNS, false);
    }
    return atomic_commit(&file, err);
}

static Status write_classes(const TurtleSweepResult *r, const char *path, Error *err) {
    Column columns[CLASS_COLUMNS];
    AtomicFile file;
    Status st = atomic_open(&file, path, err);
    if (st != OK) return st;
    fputs("classes", file.stream);
    class_columns(columns, &r->classes[0]);
    csv_columns(file.stream, columns, CLASS_COLUMNS, true);
    for (int64_t i = 0; i < r->class_counts; i++) {
        fprintf(file.stream, "%lld", (long long)r->classes[i].classes);
        class_columns(columns, &r->classes[i]);
        csv_columns(file.stream, columns, CLASS_COLUMNS, false);
    }
    return atomic_commit(&file, err);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void json_run(Json *j, const char *key, const TurtleSweepRun *run, const char *folder) {
    Column columns[RUN_COLUMNS];
    char *checkpoint = format_text("%s/%s/checkpoint.pt", folder, run->name);
    json_open(j, key);
    json_integer(j, "classes", run->classes);
    json_text(j, "start", run->warm_start ? "warm" : "cold");
    json_real(j, "inner_lr", run->inner_lr);
    json_real(j, "outer_lr", run->outer_lr);
    json_real(j, "gamma", run->gamma);
    json_integer(j, "seed", (int64_t)run->seed);
    run_columns(columns, run);
    for (int i = 0; i < RUN_COLUMNS; i++) {
        if (strcmp(columns[i].name, "clusters_found") == 0)
            json_integer(j, "clusters_found", run->clusters_found);
        else json_real(j, columns[i].name, columns[i].value);
    }
    json_text(j, "failed", run->failed);
    json_text(j, "checkpoint", run->failed ? NULL : checkpoint);
    json_close(j);
    free(checkpoint);
}

static char *sweep_json(const TurtleSweepOptions *o, const char *precision,
                        const TurtleSweepResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "sweep", &o->common, r->device, precision);
    json_real(&j, "seconds", r->seconds);
    json_integer(&j, "T", o->T);
    json_integer(&j, "M", o->M);
    json_text(&j, "prior", o->prior);
    json_text(&j, "rng", o->rng);
    json_open_array(&j, "runs");
    for (int64_t i = 0; i < r->runs; i++) json_run(&j, NULL, &r->run[i], r->folder);
    json_close_array(&j);
    if (r->run[0].failed) json_null(&j, "best");
    else json_run(&j, "best", &r->run[0], r->folder);
    json_open_array(&j, "classes");
    for (int64_t i = 0; i < r->class_counts; i++) {
        Column columns[CLASS_COLUMNS];
        json_open(&j, NULL);
        json_integer(&j, "classes", r->classes[i].classes);
        class_columns(columns, &r->classes[i]);
        for (int c = 0; c < CLASS_COLUMNS; c++) json_real(&j, columns[c].name, columns[c].value);
        json_close(&j);
    }
    json_close_array(&j);
    if (r->recommended) json_integer(&j, "recommended_classes", r->recommended);
    else json_null(&j, "recommended_classes");
    if (r->runner_up) json_integer(&j, "runner_up_classes", r->runner_up);
    else json_null(&j, "runner_up_classes");
    json_close(&j);
    return json_take(&j);
}

Status sweep_write(const TurtleSweepOptions *o, const char *precision, TurtleSweepResult *r,
                   const char *folder, const char *piece, Error *err) {
    char *runs = format_text("%s/runs%s.csv", folder, piece),
         *classes = format_text("%s/classes%s.csv", folder, piece),
         *object = format_text("%s/sweep%s.json", folder, piece);
    r->json = sweep_json(o, precision, r);
    Status st =
        runs && classes && object && r->json ? OK : fail(err, ERR_MEMORY, "sweep: out of memory");
    if (st == OK) st = write_runs(r, runs, err);
    if (st == OK) st = write_classes(r, classes, err);
    if (st == OK) st = file_write_text(object, r->json, err);
    free(runs);
    free(classes);
    free(object);
    return st;
}
