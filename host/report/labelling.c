/* labelling.c - files of predictions, streamed: clusters into memory, names only past a caller. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/gather.h"
#include "io/text/csv.h"

enum { MOST_CLUSTER = 1 << 20 }; /* memory follows the largest cluster */

/* Columns of the file; confidence and margin are -1 where it has none. */
typedef struct {
    int64_t path, cluster, confidence, margin;
} Columns;

static Status open_table(Csv *csv, Columns *c, const char *path, Error *err) {
    bool more = false;
    Status st = csv_open(csv, "report", path, ',', err);
    if (st == OK) st = csv_next(csv, &more, err);
    if (st != OK) {
        csv_close(csv);
        return st;
    }
    *c = (Columns){-1, -1, -1, -1};
    if (more) {
        c->path = csv_column(csv, "path");
        c->cluster = csv_column(csv, "cluster");
        if (c->cluster < 0) c->cluster = csv_column(csv, "class");
        c->confidence = csv_column(csv, "confidence");
        c->margin = csv_column(csv, "margin");
    }
    if (c->path >= 0 && c->cluster >= 0) return OK;
    csv_close(csv);
    return fail(err, ERR_FORMAT,
                "report: %s: expected predictions, lines path,cluster,confidence,margin", path);
}

/* Returns false for a field that is no number. */
static bool real_field(const Csv *csv, int64_t column, float *out) {
    *out = NAN;
    if (column < 0) return true;
    if (column >= csv->fields) return false;
    char *end;
    const char *text = csv->field[column].text;
    *out = strtof(text, &end);
    return end != text && !*end;
}

static bool whole_field(const Csv *csv, int64_t column, int64_t *out) {
    if (column >= csv->fields) return false;
    char *end;
    const char *text = csv->field[column].text;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && errno == 0 && *out >= 0 && *out < MOST_CLUSTER;
}

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
static void hash_name(Labelling *l, const CsvField *name) {
    for (int64_t i = 0; i <= name->bytes; i++)
        l->names = (l->names ^ (i < name->bytes ? (uint8_t)name->text[i] : 256u)) * 0x100000001b3u;
    l->name_bytes += name->bytes;
}

static Status take_row(Labelling *l, const Csv *csv, const Columns *c, int64_t *capacity,
                       Error *err) {
    char number[24];
    if (!reserve(l, capacity))
        return fail(err, ERR_MEMORY, "report: %s: out of memory after %lld samples", l->path,
                    (long long)l->n);
    if (c->path >= csv->fields || !whole_field(csv, c->cluster, &l->cluster[l->n]) ||
        !real_field(csv, c->confidence, &l->confidence[l->n]) ||
        !real_field(csv, c->margin, &l->margin[l->n]))
        return fail(err, ERR_FORMAT,
                    "report: %s: line %lld: expected path,cluster,confidence,margin", l->path,
                    (long long)csv->line);
    if (l->cluster[l->n] >= l->classes) l->classes = l->cluster[l->n] + 1;
    hash_name(l, &csv->field[c->path]);
    if (l->numbered) {
        snprintf(number, sizeof number, "%lld", (long long)l->n);
        l->numbered = strcmp(number, csv->field[c->path].text) == 0;
    }
    l->n++;
    return OK;
}

Status labelling_read(Labelling *out, const char *path, Error *err) {
    *out = (Labelling){.path = path, .names = 0xcbf29ce484222325u, .numbered = true};
    Csv csv;
    Columns c;
    int64_t capacity = 0;
    bool more = false;
    Status st = open_table(&csv, &c, path, err);
    if (st != OK) return st;
    while ((st = csv_next(&csv, &more, err)) == OK && more)
        if ((st = take_row(out, &csv, &c, &capacity, err)) != OK) break;
    csv_close(&csv);
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

Status labelling_names(const Labelling *l,
                       bool (*take)(void *context, int64_t row, const char *name, int64_t bytes),
                       void *context, Error *err) {
    Csv csv;
    Columns c;
    bool more = false;
    Status st = open_table(&csv, &c, l->path, err);
    if (st != OK) return st;
    int64_t row = 0;
    while ((st = csv_next(&csv, &more, err)) == OK && more && row < l->n) {
        if (c.path >= csv.fields) st = fail(err, ERR_FORMAT, "report: %s changed", l->path);
        else if (!take(context, row++, csv.field[c.path].text, csv.field[c.path].bytes))
            st = fail(err, ERR_MEMORY, "report: out of memory for the names of samples");
        if (st != OK) break;
    }
    csv_close(&csv);
    return st;
}
