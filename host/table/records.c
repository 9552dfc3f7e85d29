/* records.c - finished cells on the disk: the accuracy, and what it was made with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/images/image_inputs.h"
#include "host/table/table.h"
#include "host/tell/common.h"
#include "io/files/file.h"
#include "io/text/json_reader.h"

static char *record_path(const TurtleTableCell *c, const char *root) {
    return format_text("%s/results/table/%s_%s%s%s_%s.json", root, c->method, c->phi,
                       c->partner ? "_" : "", c->partner ? c->partner : "", c->dataset);
}

/* Reads the two numbers of a record. A damaged one is none. */
static bool read_numbers(TurtleTableCell *cell, const char *path) {
    FileMap map;
    char key[64];
    if (file_map(&map, path, NULL) != OK) return false;
    JsonReader r = json_reader(map.data, map.bytes);
    double accuracy = NAN, seconds = NAN;
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key))
        if (strcmp(key, "accuracy") == 0) json_real_value(&r, &accuracy);
        else if (strcmp(key, "seconds") == 0) json_real_value(&r, &seconds);
        else json_skip(&r);
    const bool whole = json_finished(&r) && !isnan(accuracy);
    file_unmap(&map);
    if (!whole) return false;
    cell->accuracy = accuracy;
    cell->seconds = seconds;
    return true;
}

bool table_record_read(TurtleTableCell *cell, const char *root, MadeFile *made) {
    char *path = record_path(cell, root);
    const bool there = path && file_exists(path) && made_read(made, path, NULL) == OK &&
                       made->known && read_numbers(cell, path);
    free(path);
    return there;
}

Status table_record_write(const TurtleTableCell *cell, const TurtleTableOptions *options,
                          const Made *made, Error *err) {
    char *path = record_path(cell, options->common.root_dir);
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "method", cell->method);
    json_text(&j, "dataset", cell->dataset);
    json_text(&j, "phi", cell->phi);
    json_text(&j, "partner", cell->partner);
    json_real(&j, "accuracy", cell->accuracy);
    json_real(&j, "seconds", cell->seconds);
    json_text(&j, "version", turtle_version());
    made_json(&j, made);
    json_close(&j);
    char *text = json_take(&j);
    const Status st = path && text ? file_write_text(path, text, err)
                                   : fail(err, ERR_MEMORY, "table: out of memory");
    free(path);
    free(text);
    return st;
}

/* Adds a file's bytes, or that it is not there. */
static Status add_file(Made *m, const char *name, char *path, Error *err) {
    FileMap map;
    Status st = path ? OK : fail(err, ERR_MEMORY, "table: out of memory");
    if (st == OK && !file_exists(path)) {
        made_add(m, name, "none");
    } else if (st == OK) {
        st = file_map(&map, path, err);
        if (st == OK) made_add_bytes(m, name, "", map.data, map.bytes);
        if (st == OK) file_unmap(&map);
    }
    free(path);
    return st;
}

Status table_record_made(Made *out, const TurtleTableCell *cell, int method,
                         const TurtleTableOptions *o, Error *err) {
    static const char *const splits[2] = {"train", "val"};
    const char *const phis[2] = {cell->phi, cell->partner}, *root = o->common.root_dir;
    Status st = OK;
    *out = (Made){0};
    if (method == TABLE_ONE || method == TABLE_TWO) {
        made_add(out, "T", "%lld", (long long)o->T);
        made_add(out, "precision", "%s", o->common.precision);
    }
    if (method == TABLE_PROBE) made_add(out, "validation", "%s", o->validation ? "yes" : "no");
    if (method != TABLE_ZEROSHOT) made_add(out, "seed", "%llu", (unsigned long long)o->common.seed);
    for (int split = 0; split < 2; split++) {
        for (int k = 0; st == OK && k < 2; k++) {
            char name[MADE_NAME];
            if (!phis[k]) continue;
            char *stem = representation_stem(root, phis[k], cell->dataset, splits[split]);
            snprintf(name, sizeof name, "features %.20s %s", phis[k], splits[split]);
            st = add_file(out, name, stem ? format_text("%s.npy", stem) : NULL, err);
            free(stem);
        }
        if (st == OK)
            st = add_file(out, split ? "labels val" : "labels train",
                          format_text("%s/labels/%s_%s.npy", root, cell->dataset, splits[split]),
                          err);
    }
    return st;
}
