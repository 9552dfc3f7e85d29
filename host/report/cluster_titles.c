/* cluster_titles.c - names of clusters: what `zeroshot --clusters` left in the run directory, and a user's file. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/files/file.h"
#include "io/text/cluster_names.h"
#include "io/text/json_reader.h"

enum { NAME_ROOM = 1024 };

typedef struct {
    Gather *g;
    JsonReader r;
    int64_t clusters;   /* entries whose sizes are those of the run */
    bool other, failed; /* other: sizes differ; failed: memory ran out */
} Reading;

/* Takes a text into the report's memory; null is NULL. */
static const char *take_text(Reading *d) {
    char text[NAME_ROOM];
    if (json_peek(&d->r) != '"') {
        json_skip(&d->r);
        return NULL;
    }
    if (!json_text_value(&d->r, text, sizeof text)) return NULL;
    const char *copy = report_text(d->g->memory, "%s", text);
    d->failed |= !copy;
    return copy;
}

static void read_cluster(Reading *d) {
    Report *r = d->g->out;
    const char *name = NULL, *runner_up = NULL;
    int64_t cluster = -1, samples = -1;
    char key[64];
    json_enter(&d->r, '{');
    while (json_next_key(&d->r, key, sizeof key))
        if (strcmp(key, "cluster") == 0) json_integer_value(&d->r, &cluster);
        else if (strcmp(key, "samples") == 0) json_integer_value(&d->r, &samples);
        else if (strcmp(key, "name") == 0) name = take_text(d);
        else if (strcmp(key, "runner_up") == 0) runner_up = take_text(d);
        else json_skip(&d->r);
    if (d->r.bad || cluster < 0 || cluster >= r->classes || r->clusters[cluster].size != samples) {
        d->other |= samples > 0;
        return;
    }
    d->clusters++;
    r->clusters[cluster].name = name;
    r->clusters[cluster].runner_up = runner_up;
}

static Status read_zeroshot(Gather *g, Error *err) {
    FileMap map;
    char key[64];
    const char *path = report_text(g->memory, "%s/cluster_names.json", g->run.folder);
    if (!path) return fail(err, ERR_MEMORY, "report: out of memory");
    if (!file_exists(path)) return OK;
    Status st = file_map(&map, path, err);
    if (st != OK) return st;
    Reading d = {.g = g, .r = json_reader(map.data, map.bytes)};
    json_enter(&d.r, '{');
    while (json_next_key(&d.r, key, sizeof key)) {
        if (strcmp(key, "clusters") != 0) {
            json_skip(&d.r);
            continue;
        }
        json_enter(&d.r, '[');
        while (json_next(&d.r)) read_cluster(&d);
    }
    const bool whole = json_finished(&d.r) && !d.other && d.clusters > 0;
    file_unmap(&map);
    if (d.failed) return fail(err, ERR_MEMORY, "report: %s: out of memory", path);
    if (whole) return OK;
    for (int64_t c = 0; c < g->out->classes; c++)
        g->out->clusters[c].name = g->out->clusters[c].runner_up = NULL;
    report_say(g,
               "Names of clusters are left out: %s tells of another labelling. Call "
               "`turtle zeroshot --clusters` again.",
               path);
    return OK;
}

static Status read_users(Gather *g, Error *err) {
    ClusterNames names;
    Report *r = g->out;
    const char *path = g->options->cluster_names;
    if (!path) return OK;
    Status st = cluster_names_read(path, r->classes, &names, err);
    if (st != OK) return st;
    for (int64_t c = 0; st == OK && c < r->classes; c++) {
        if (!names.listed[c]) continue;
        r->clusters[c].name = report_text(g->memory, "%s", names.name[c]); /* "": left out */
        if (!r->clusters[c].name)
            st = fail(err, ERR_MEMORY, "report: out of memory for the names of clusters");
    }
    if (names.left_out)
        report_say(g, "%s leaves %lld of %lld clusters out, which this page shows all the same.",
                   path, (long long)names.left_out, (long long)r->classes);
    cluster_names_free(&names);
    return st;
}

Status cluster_titles_read(Gather *g, Error *err) {
    const Status st = read_zeroshot(g, err);
    return st == OK ? read_users(g, err) : st;
}
