/* sweep_record.c - what the folder of a sweep says: the curve over numbers of classes, and its best runs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/files/file.h"
#include "io/text/json_reader.h"

typedef struct {
    SweepRecord *out;
    ReportMemory *memory;
    JsonReader r;
    const char *folder;
    int64_t capacity;
    bool failed; /* memory ran out */
} Reading;

/* Reads the checkpoint of a run. Returns its directory inside the sweep's folder, which may have moved; NULL: none. */
static const char *read_run(Reading *d) {
    char key[64], checkpoint[4096] = "";
    json_enter(&d->r, '{');
    while (json_next_key(&d->r, key, sizeof key))
        if (strcmp(key, "checkpoint") == 0 && json_peek(&d->r) == '"')
            json_text_value(&d->r, checkpoint, sizeof checkpoint);
        else json_skip(&d->r);
    char *file = strrchr(checkpoint, '/');
    if (d->r.bad || !file) return NULL;
    *file = '\0';
    const char *name = strrchr(checkpoint, '/');
    const char *path = report_text(d->memory, "%s/%s", d->folder, name ? name + 1 : checkpoint);
    d->failed |= !path;
    return path;
}

static void read_classes(Reading *d) {
    SweepRecord *o = d->out;
    char key[64];
    int64_t classes = -1;
    double score = NAN, quality = NAN;
    json_enter(&d->r, '{');
    while (json_next_key(&d->r, key, sizeof key))
        if (strcmp(key, "classes") == 0) json_integer_value(&d->r, &classes);
        else if (strcmp(key, "generalization_score") == 0) json_real_value(&d->r, &score);
        else if (strcmp(key, "quality") == 0) json_real_value(&d->r, &quality);
        else json_skip(&d->r);
    if (d->r.bad || classes < 1) return;
    if (o->points == d->capacity) {
        const int64_t room = 2 * d->capacity + 64;
        ReportSweepPoint *more = report_take(d->memory, room, sizeof *more);
        d->failed |= !more;
        if (!more) return;
        if (o->points) memcpy(more, o->point, (size_t)o->points * sizeof *more);
        o->point = more;
        d->capacity = room;
    }
    o->point[o->points++] =
        (ReportSweepPoint){.classes = classes, .score = isnan(score) ? quality : score};
}

static int by_classes(const void *a, const void *b) {
    const int64_t x = ((const ReportSweepPoint *)a)->classes,
                  y = ((const ReportSweepPoint *)b)->classes;
    return (x > y) - (x < y);
}

Status sweep_record_read(SweepRecord *out, ReportMemory *m, const char *folder, Error *err) {
    enum { OTHERS = sizeof out->other / sizeof *out->other };
    FileMap map;
    char key[64];
    double recommended = NAN;
    *out = (SweepRecord){0};
    const char *path = report_text(m, "%s/sweep.json", folder);
    Status st = path ? file_map(&map, path, err) : fail(err, ERR_MEMORY, "report: out of memory");
    if (st != OK) return st;
    Reading d = {out, m, json_reader(map.data, map.bytes), folder, 0, false};
    json_enter(&d.r, '{');
    while (json_next_key(&d.r, key, sizeof key)) {
        if (strcmp(key, "runs") == 0) {
            json_enter(&d.r, '[');
            while (json_next(&d.r)) {
                const char *run = read_run(&d);
                if (run && out->others < OTHERS) out->other[out->others++] = run;
            }
        } else if (strcmp(key, "best") == 0 && json_peek(&d.r) == '{') {
            out->best = read_run(&d);
        } else if (strcmp(key, "classes") == 0) {
            json_enter(&d.r, '[');
            while (json_next(&d.r)) read_classes(&d);
        } else if (strcmp(key, "recommended_classes") == 0) {
            json_real_value(&d.r, &recommended);
        } else {
            json_skip(&d.r);
        }
    }
    if (d.failed) st = fail(err, ERR_MEMORY, "report: %s: out of memory", path);
    else if (!json_finished(&d.r)) st = fail(err, ERR_FORMAT, "report: %s: damaged", path);
    else if (!out->best)
        st = fail(err, ERR_ARG, "report: %s: no run of this sweep has results", folder);
    file_unmap(&map);
    if (st != OK) return st;
    if (out->points) qsort(out->point, (size_t)out->points, sizeof *out->point, by_classes);
    for (int i = 0; i < out->points; i++)
        out->point[i].recommended = (double)out->point[i].classes == recommended;
    return OK;
}
