/* page_data.c - the JSON that page.js reads: values of curves, names of clusters, cells of the matrix, dots of the plane. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/report/page.h"

/* Adds a probability with three decimals, which is what the page shows. */
static void add_share(Json *j, double share) {
    json_real(j, NULL, round(1000.0 * share) / 1000.0);
}

static void add_curves(Json *j, const Report *r) {
    static const char *const key[] = {"loss", "entropy", "found", "accuracy"};
    json_open(j, "curves");
    for (int which = 0; which < 4; which++) {
        json_open_array(j, key[which]);
        for (int64_t i = 0; i < r->point_count; i++) {
            const ReportPoint *point = &r->points[i];
            const double value =
                which == 0   ? point->loss
                : which == 1 ? point->entropy
                : which == 2
                    ? (point->clusters_found < 0 ? (double)NAN : (double)point->clusters_found)
                    : point->accuracy;
            if (!isfinite(value)) continue;
            json_open_array(j, NULL);
            json_integer(j, NULL, point->iteration);
            json_real(j, NULL, value);
            json_close_array(j);
        }
        json_close_array(j);
    }
    json_close(j);
}

/* Adds the names of clusters and of labels, null where one has only its number. */
static void add_titles(Json *j, const Report *r) {
    json_open_array(j, "titles");
    for (int64_t i = 0; i < r->classes; i++) json_text(j, NULL, r->clusters[i].name);
    json_close_array(j);
    json_open_array(j, "labels");
    for (int64_t i = 0; r->class_names && i < r->label_count; i++)
        json_text(j, NULL, r->class_names[i]);
    json_close_array(j);
}

/* Adds a sample's name, with "…" where it is cut. */
static void add_name(Json *j, const Report *r, const char *name) {
    const size_t most = (size_t)page_name_most(r);
    static const char end[] = "…";
    char text[REPORT_NAME_BYTES + sizeof end];
    if (!name || strlen(name) <= most) {
        json_text(j, NULL, name);
        return;
    }
    size_t n = most;
    while (n > 0 && ((unsigned char)name[n] & 0xc0) == 0x80) n--; /* the character that is cut */
    memcpy(text, name, n);
    memcpy(text + n, end, sizeof end);
    json_text(j, NULL, text);
}

/* Writes the lists of names, cluster by cluster, so that memory holds one list at a time. */
static Status put_names(Page *p, Error *err) {
    const Report *r = p->report;
    for (int which = 0; which < 2; which++) {
        put(p, which ? ", \"confidence\": [" : ", \"names\": [");
        for (int64_t c = 0; c < r->classes; c++) {
            Json j = {0};
            json_open_array(&j, NULL);
            for (int64_t i = 0; i < r->clusters[c].names_count; i++) {
                if (which)
                    add_share(&j, r->clusters[c].names_confidence
                                      ? (double)r->clusters[c].names_confidence[i]
                                      : (double)NAN);
                else add_name(&j, r, r->clusters[c].names[i]);
            }
            json_close_array(&j);
            char *text = json_take(&j);
            if (!text)
                return fail(err, ERR_MEMORY, "report: out of memory for the names of cluster %lld",
                            (long long)c);
            if (c) put(p, ", ");
            put_data(p, text);
            free(text);
        }
        put(p, "]");
    }
    return OK;
}

/* Writes the matrix by rows: the distance to the next column that is not 0, then its count, and so on. */
static void put_matrix(Page *p, const int64_t *columns) {
    const Report *r = p->report;
    const int64_t n = r->label_count;
    put(p, ", \"columns\": [");
    for (int64_t j = 0; j < n; j++) put(p, "%s%lld", j ? "," : "", (long long)columns[j]);
    put(p, "], \"matched\": [");
    for (int64_t i = 0; i < r->classes; i++)
        put(p, "%s%lld", i ? "," : "", (long long)r->clusters[i].matched_label);
    put(p, "], \"confusion\": [");
    for (int64_t i = 0; i < r->classes; i++) {
        int64_t before = 0;
        bool first = true;
        put(p, i ? ",[" : "[");
        for (int64_t j = 0; j < n; j++) {
            const int64_t count = r->confusion[i * n + columns[j]];
            if (!count) continue;
            put(p, "%s%lld,%lld", first ? "" : ",", (long long)(j - before), (long long)count);
            before = j;
            first = false;
        }
        put(p, "]");
    }
    put(p, "]");
}

static void add_points(Json *j, const Report *r) {
    json_open_array(j, "points");
    for (int i = 0; i < r->scatter_count; i++) {
        const ReportSample *s = &r->samples[r->scatter[i]];
        json_open_array(j, NULL);
        json_integer(j, NULL, r->scatter[i]);
        json_integer(j, NULL, s->row);
        json_integer(j, NULL, s->cluster);
        json_integer(j, NULL, s->label);
        add_share(j, (double)s->confidence);
        add_name(j, r, s->name);
        json_close_array(j);
    }
    json_close_array(j);
}

/* Writes the pictures that no card and no list has: the plane shows them. */
static void put_pictures(Page *p) {
    const Report *r = p->report;
    bool first = true;
    put(p, ", \"pictures\": {");
    for (int i = 0; i < r->scatter_count; i++) {
        const int64_t sample = r->scatter[i];
        const ReportPicture *picture = &r->samples[sample].picture;
        if (p->shown[sample] || !picture->size) continue;
        p->shown[sample] = true;
        put(p, "%s\"%lld\":\"", first ? "" : ",", (long long)sample);
        put_base64(p, picture->bytes, picture->size);
        put(p, "\"");
        first = false;
    }
    put(p, "}");
}

Status page_data(Page *p, Error *err) {
    const Report *r = p->report;
    Json j = {0};
    json_open(&j, NULL);
    json_integer(&j, "classes", r->classes);
    add_curves(&j, r);
    add_titles(&j, r);
    add_points(&j, r);
    char *text = json_take(&j);
    if (!text) return fail(err, ERR_MEMORY, "report: out of memory for the page's data");
    put_data(p, text);
    free(text);
    const Status st = put_names(p, err);
    if (page_has_canvas(r)) {
        int64_t *columns = page_columns(r);
        if (columns) put_matrix(p, columns);
        p->failed |= !columns;
        free(columns);
    }
    put_pictures(p);
    put(p, "}");
    return st;
}
