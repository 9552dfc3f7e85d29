/* table.c - turtle_table: every cell that the disk allows, then the whole table.
 *
 * Data sets come one after the other, and inside each the phis. A cell that is finished leaves a
 * record; a later call keeps it as long as options, features and labels are those of the record. */
#include "host/table/table.h"
#include "host/inputs/published.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/models.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "io/files/embedded.h"
#include "io/files/file.h"

const char *const table_methods[TABLE_METHODS] = {"turtle1", "turtle2", "kmeans", "probe",
                                                  "zeroshot"};

/* The paper's data sets in its order. */
static const char *const paper_datasets[] = {
    "food101",     "cifar10",  "cifar100",     "birdsnap", "sun397",     "cars",    "aircraft",
    "dtd",         "pets",     "caltech101",   "flowers",  "mnist",      "fer2013", "stl10",
    "eurosat",     "resisc45", "gtsrb",        "kitti",    "country211", "pcam",    "ucf101",
    "kinetics700", "clevr",    "hatefulmemes", "sst",      "imagenet"};
static const char *const paper_phis[] = {"clipRN50",    "clipRN101",   "clipRN50x4",
                                         "clipRN50x16", "clipRN50x64", "clipvitB32",
                                         "clipvitB16",  "clipvitL14",  "dinov2"};

void turtle_table_defaults(TurtleTableOptions *o) {
    *o = (TurtleTableOptions){.common = common_defaults(), .T = 6000};
}

void turtle_table_result_free(TurtleTableResult *r) {
    if (!r) return;
    for (int64_t i = 0; i < r->cells; i++) free(r->cell[i].failed);
    free(r->cell);
    free(r->text);
    free(r->json);
    *r = (TurtleTableResult){0};
}

TurtleTableCell *table_cell(const TableCall *c, int method, int dataset, int phi) {
    return &c->result->cell[((int64_t)method * c->datasets.count + dataset) * c->phis.count + phi];
}

bool table_has(const TableCall *c, int method, int phi) {
    const char *name = c->phis.item[phi];
    if (method == TABLE_TWO) return c->partner && strcmp(name, c->partner) != 0;
    return method != TABLE_ZEROSHOT || phi_is_clip(name);
}

/* --- the cells -------------------------------------------------------------------------------- */

static Status open_cells(TableCall *c, Error *err) {
    TurtleTableResult *r = c->result;
    const TurtleTableOptions *o = c->options;
    c->datasets = o->datasets.count
                      ? o->datasets
                      : (TurtleTexts){.item = (const char **)paper_datasets,
                                      .count = sizeof paper_datasets / sizeof *paper_datasets};
    c->phis = o->phis.count ? o->phis
                            : (TurtleTexts){.item = (const char **)paper_phis,
                                            .count = sizeof paper_phis / sizeof *paper_phis};
    for (int p = 0; p < c->phis.count; p++)
        if (strcmp(c->phis.item[p], "dinov2") == 0) c->partner = c->phis.item[p];
    if (!c->partner && c->phis.count > 1) c->partner = c->phis.item[c->phis.count - 1];
    r->cells = (int64_t)TABLE_METHODS * c->datasets.count * c->phis.count;
    r->cell = calloc((size_t)r->cells, sizeof *r->cell);
    if (!r->cell) {
        r->cells = 0;
        return fail(err, ERR_MEMORY, "table: out of memory");
    }
    const Embedded *paper = &embedded_paper;
    for (int m = 0; m < TABLE_METHODS; m++)
        for (int d = 0; d < c->datasets.count; d++)
            for (int p = 0; p < c->phis.count; p++) {
                TurtleTableCell *cell = table_cell(c, m, d, p);
                cell->accuracy = cell->paper = cell->seconds = NAN;
                if (!table_has(c, m, p)) continue;
                cell->dataset = c->datasets.item[d];
                cell->phi = c->phis.item[p];
                cell->partner = m == TABLE_TWO ? c->partner : NULL;
                cell->method = table_methods[m];
                cell->paper = paper_accuracy((const char *)paper->data, paper->bytes, cell->dataset,
                                             cell->method, cell->phi);
            }
    return OK;
}

/* Earlier cells are neither replaced nor kept unless the options say which. */
static Status check_earlier(const TableCall *c, Error *err) {
    const TurtleTableOptions *o = c->options;
    int64_t there = 0;
    if (o->resume && o->restart)
        return fail(err, ERR_USAGE, "table: --resume and --restart exclude each other");
    if (o->T < 1)
        return fail(err, ERR_USAGE, "table: --T %lld: at least 1 is needed", (long long)o->T);
    if (o->resume || o->restart) return OK;
    for (int64_t i = 0; i < c->result->cells; i++) {
        TurtleTableCell cell = c->result->cell[i];
        MadeFile made;
        there += cell.dataset && table_record_read(&cell, o->common.root_dir, &made);
    }
    if (!there) return OK;
    return fail(err, ERR_ARG,
                "table: %s/results/table: %lld of these cells are finished: keep them with "
                "--resume, or make them anew with --restart",
                o->common.root_dir, (long long)there);
}

static void cell_failed(const TableCall *c, TurtleTableCell *cell, const Error *err) {
    cell->failed = strdup(err->text);
    c->result->failed++;
    notice(c->hooks, "table: %s, %s, %s: %s", cell->dataset, cell->phi, cell->method, err->text);
}

static bool text_tower_missing(const TableCall *c, int method, const TurtleTableCell *cell) {
    char *path = NULL;
    if (method != TABLE_ZEROSHOT) return false;
    const Status st = model_weights(&path, c->options->common.root_dir, cell->phi, NULL, NULL);
    free(path);
    return st != OK;
}

/* Keeps the cell's record, or runs the cell and records it. Returns a failure only where the whole call
 * ends: a cell's own failure is its result. */
static Status do_cell(const TableCall *c, int method, TurtleTableCell *cell, bool ready,
                      Error *err) {
    const TurtleTableOptions *o = c->options;
    MadeFile before = {0};
    Made now;
    Error why = {""};
    char text[MADE_TEXT];
    const bool there = o->resume && table_record_read(cell, o->common.root_dir, &before);
    Status st = ready ? table_record_made(&now, cell, method, o, &why) : OK;
    if (st != OK) {
        cell_failed(c, cell, &why);
        return OK;
    }
    if (there && (!ready || made_differs(text, &before.made, &now) == 0)) {
        cell->kept = true;
        c->result->kept++;
        return OK;
    }
    cell->accuracy = cell->seconds = NAN;
    if (!ready || text_tower_missing(c, method, cell)) return OK;
    const double started = now_seconds();
    st = table_run(c, method, cell, &why);
    cell->seconds = now_seconds() - started;
    if (st == OK) st = table_record_write(cell, o, &now, &why);
    if (st == ERR_STOPPED) {
        if (err) *err = why;
        return st;
    }
    if (st != OK) {
        cell_failed(c, cell, &why);
        return OK;
    }
    c->result->run++;
    notice(c->hooks, "table: %s, %s%s%s, %s: %.4f", cell->dataset, cell->phi,
           cell->partner ? " " : "", cell->partner ? cell->partner : "", cell->method,
           cell->accuracy);
    return OK;
}

/* Makes the features of one data set, then its cells. `ready` has room for every phi. */
static Status do_dataset(const TableCall *c, int d, bool *ready, Error *err) {
    const char *dataset = c->datasets.item[d];
    Status st = OK;
    int partner = -1;
    for (int p = 0; p < c->phis.count; p++) {
        Error why = {""};
        bool absent = false;
        st = table_features(c, dataset, c->phis.item[p], &absent, &why);
        ready[p] = st == OK;
        if (st == ERR_STOPPED) {
            if (err) *err = why;
            return st;
        }
        if (st != OK && (!absent || (c->options->datasets.count && c->options->phis.count)))
            cell_failed(c, table_cell(c, TABLE_ONE, d, p), &why);
        if (c->partner && strcmp(c->phis.item[p], c->partner) == 0) partner = p;
    }
    st = OK;
    for (int m = 0; m < TABLE_METHODS; m++)
        for (int p = 0; st == OK && p < c->phis.count; p++)
            if (table_has(c, m, p))
                st = do_cell(c, m, table_cell(c, m, d, p),
                             ready[p] && (m != TABLE_TWO || ready[partner]), err);
    return st;
}

/* --- all of it -------------------------------------------------------------------------------- */

static bool ends_in(const char *name, const char *ending) {
    const size_t n = strlen(name), e = strlen(ending);
    return n >= e && strcmp(name + n - e, ending) == 0;
}

static Status write_out(const TableCall *c, Error *err) {
    const char *out = c->options->out;
    if (!out) return OK;
    char *csv = ends_in(out, ".csv") ? table_csv(c) : NULL;
    if (ends_in(out, ".csv") && !csv) return fail(err, ERR_MEMORY, "table: out of memory");
    AtomicFile file;
    Status st = atomic_open(&file, out, err);
    if (st == OK) {
        fputs(csv ? csv : c->result->text, file.stream);
        st = atomic_commit(&file, err);
    }
    free(csv);
    return st;
}

Status turtle_table(const TurtleTableOptions *options, TurtleTableResult *out, Error *err) {
    PLAIN_LOCALE;
    *out = (TurtleTableResult){0};
    TableCall c = {.options = options, .hooks = &options->common.hooks, .result = out};
    const double started = now_seconds();
    if (options->out && !ends_in(options->out, ".csv") && !ends_in(options->out, ".md"))
        return fail(err, ERR_USAGE, "table: --out %s: expected a name that ends in .md or .csv",
                    options->out);
    Status st = open_cells(&c, err);
    bool *ready = calloc((size_t)c.phis.count, sizeof *ready);
    if (st == OK && !ready) st = fail(err, ERR_MEMORY, "table: out of memory");
    if (st == OK) st = check_earlier(&c, err);
    for (int d = 0; st == OK && d < c.datasets.count; d++) st = do_dataset(&c, d, ready, err);
    free(ready);
    if (st == OK && out->run + out->kept + out->failed == 0)
        st = fail(err, ERR_IO,
                  "table: %s: neither features nor images with weights are there for any of these "
                  "data sets: begin with `turtle features --dataset NAME --phis PHI`",
                  options->common.root_dir);
    out->seconds = now_seconds() - started;
    if (st == OK) out->text = table_markdown(&c);
    if (st == OK) out->json = table_json(&c);
    if (st == OK && (!out->text || !out->json)) st = fail(err, ERR_MEMORY, "table: out of memory");
    if (st == OK) st = write_out(&c, err);
    if (st != OK) turtle_table_result_free(out);
    return st;
}
