/* labelling.c - files of predictions, streamed: clusters into memory, names only past a caller. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/predictions_file.h"
#include "host/report/gather.h"

static bool reserve(Labelling *l, int64_t *capacity) {
    if (l->n < *capacity) return true;
    const int64_t n = 2 * *capacity + 4096;
    int64_t *cluster = realloc(l->cluster, (size_t)n * sizeof *cluster);
    if (cluster) l->cluster = cluster;
    float *confidence = realloc(l->confidence, (size_t)n * sizeof *confidence);
    if (confidence) l->confidence = confidence;
    float *margin = realloc(l->margin, (size_t)n * sizeof *margin);
    if (margin) l->margin = margin;
    if (!cluster || !confidence || !margin) return false;
    *capacity = n;
    return true;
}

/* Adds a name to the hash (FNV-1a), with an end that no name holds. */
static void hash_name(Labelling *l, const PredictionRow *row) {
    for (int64_t i = 0; i <= row->path_bytes; i++)
        l->names =
            (l->names ^ (i < row->path_bytes ? (uint8_t)row->path[i] : 256u)) * 0x100000001b3u;
    l->name_bytes += row->path_bytes;
}

typedef struct {
    Labelling *out;
    int64_t capacity;
} Taking;

static Status take_row(void *context, const PredictionRow *row, Error *err) {
    Taking *t = context;
    Labelling *l = t->out;
    char number[24];
    if (!reserve(l, &t->capacity))
        return fail(err, ERR_MEMORY, "report: %s: out of memory after %lld samples", l->path,
                    (long long)l->n);
    l->cluster[l->n] = row->cluster;
    l->confidence[l->n] = (float)row->confidence;
    l->margin[l->n] = (float)row->margin;
    if (row->cluster >= l->classes) l->classes = row->cluster + 1;
    hash_name(l, row);
    if (l->numbered) {
        snprintf(number, sizeof number, "%lld", (long long)l->n);
        l->numbered = strcmp(number, row->path) == 0;
    }
    l->n++;
    return OK;
}

Status labelling_read(Labelling *out, const char *path, Error *err) {
    *out = (Labelling){.path = path, .names = 0xcbf29ce484222325u, .numbered = true};
    Taking taking = {.out = out};
    Status st = predictions_file_read("report", path, take_row, &taking, err);
    if (st == OK && out->n == 0)
        st = fail(err, ERR_FORMAT, "report: %s: there are no samples in it", path);
    if (st != OK) labelling_free(out);
    return st;
}

void labelling_free(Labelling *l) {
    if (!l) return;
    free(l->cluster);
    free(l->confidence);
    free(l->margin);
    *l = (Labelling){0};
}

typedef struct {
    int64_t n; /* samples when the file was read first; later rows are passed over */
    bool (*take)(void *context, int64_t row, const char *name, int64_t bytes);
    void *context;
} Names;

static Status take_name(void *context, const PredictionRow *row, Error *err) {
    const Names *names = context;
    if (row->row >= names->n || names->take(names->context, row->row, row->path, row->path_bytes))
        return OK;
    return fail(err, ERR_MEMORY, "report: out of memory for the names of samples");
}

Status labelling_names(const Labelling *l,
                       bool (*take)(void *context, int64_t row, const char *name, int64_t bytes),
                       void *context, Error *err) {
    Names names = {l->n, take, context};
    return predictions_file_read("report", l->path, take_name, &names, err);
}
