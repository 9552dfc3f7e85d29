/* predictions_file.c - files of predictions, row by row. */
#include "host/inputs/predictions_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "io/text/csv.h"

/* Columns of the file; confidence and margin are -1 where it has none. */
typedef struct {
    int64_t path, cluster, confidence, margin;
} Columns;

static bool read_real(const Csv *csv, int64_t column, double *out) {
    *out = NAN;
    if (column < 0) return true;
    if (column >= csv->fields) return false;
    char *end;
    const char *text = csv->field[column].text;
    *out = strtod(text, &end);
    return end != text && !*end;
}

static bool read_cluster(const Csv *csv, int64_t column, int64_t *out) {
    if (column >= csv->fields) return false;
    char *end;
    const char *text = csv->field[column].text;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *out >= 0 && *out < PREDICTIONS_MOST_CLUSTER;
}

static bool read_row(const Csv *csv, const Columns *c, PredictionRow *row) {
    if (c->path >= csv->fields) return false;
    row->path = csv->field[c->path].text;
    row->path_bytes = csv->field[c->path].bytes;
    return read_cluster(csv, c->cluster, &row->cluster) &&
           read_real(csv, c->confidence, &row->confidence) &&
           read_real(csv, c->margin, &row->margin);
}

Status predictions_file_read(const char *module, const char *path,
                             Status (*take)(void *context, const PredictionRow *row, Error *err),
                             void *context, Error *err) {
    Csv csv;
    Columns c = {-1, -1, -1, -1};
    PredictionRow row = {0};
    bool more = false;
    Status st = csv_open(&csv, module, path, ',', err);
    if (st == OK) st = csv_next(&csv, &more, err);
    if (st == OK && more)
        c = (Columns){csv_column(&csv, "path"), csv_column(&csv, "cluster"),
                      csv_column(&csv, "confidence"), csv_column(&csv, "margin")};
    if (st == OK && more && c.cluster < 0)
        c.cluster = csv_column(&csv, "class"); /* of other programs */
    if (st == OK && (c.path < 0 || c.cluster < 0))
        st = fail(err, ERR_FORMAT,
                  "%s: %s: expected predictions, lines path,cluster,confidence,margin under a "
                  "header that says so",
                  module, path);
    while (st == OK && (st = csv_next(&csv, &more, err)) == OK && more) {
        if (read_row(&csv, &c, &row)) st = take(context, &row, err);
        else
            st = fail(err, ERR_FORMAT,
                      "%s: %s: line %lld: expected path,cluster,confidence,margin, the cluster "
                      "below 2^20",
                      module, path, (long long)csv.line);
        row.row++;
    }
    csv_close(&csv);
    return st;
}
