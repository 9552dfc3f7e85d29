/* predictions.c - the cluster of every sample: memory, and files of them. */
#include "host/score/predictions.h"

#include <stdlib.h>
#include <string.h>

#include "host/score/image_list.h"

Status predictions_alloc(Predictions *out, int64_t n, Error *err) {
    predictions_free(out);
    out->n = n;
    out->cluster = malloc((size_t)n * sizeof *out->cluster);
    out->confidence = malloc((size_t)n * sizeof *out->confidence);
    out->margin = malloc((size_t)n * sizeof *out->margin);
    if (out->cluster && out->confidence && out->margin) return OK;
    predictions_free(out);
    return fail(err, ERR_MEMORY, "predictions: out of memory for %lld samples", (long long)n);
}

void predictions_free(Predictions *p) {
    if (!p) return;
    free(p->cluster);
    free(p->confidence);
    free(p->margin);
    *p = (Predictions){0};
}

int64_t *predictions_take(Predictions *p) {
    int64_t *cluster = p->cluster;
    p->cluster = NULL;
    return cluster;
}

int64_t count_clusters(const Predictions *p, int64_t C) {
    bool *seen = calloc((size_t)C, sizeof *seen);
    if (!seen) return -1;
    int64_t found = 0;
    for (int64_t i = 0; i < p->n; i++) {
        found += !seen[p->cluster[i]];
        seen[p->cluster[i]] = true;
    }
    free(seen);
    return found;
}

/* --- files ------------------------------------------------------------------------------------ */

/* Writes one CSV field (RFC 4180), quoted where it must be. */
static void write_field(FILE *f, const char *text, size_t n) {
    bool plain = true;
    for (size_t i = 0; plain && i < n; i++) plain = !strchr(",\"\r\n", text[i]);
    if (plain) {
        fwrite(text, 1, n, f);
        return;
    }
    fputc('"', f);
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '"') fputc('"', f);
        fputc(text[i], f);
    }
    fputc('"', f);
}

/* Columns of a file of predictions. */
typedef enum {
    CLUSTERS, /* path,cluster,confidence,margin */
    CLASSES,  /* path,class,name,confidence,margin */
    NAMED     /* path,cluster,confidence,margin,name */
} Columns;

static Status write_csv(const char *path, const Split *split, const Predictions *p, Columns columns,
                        const char *const *names, Error *err) {
    static const char *const heads[] = {"path,cluster,confidence,margin",
                                        "path,class,name,confidence,margin",
                                        "path,cluster,confidence,margin,name"};
    ImageList list;
    TextLine line;
    AtomicFile file;
    Status st = image_list_open(&list, split, err);
    if (st == OK) st = atomic_open(&file, path, err);
    if (st != OK) goto out;
    fprintf(file.stream, "%s\n", heads[columns]);
    for (int64_t i = 0; i < p->n; i++) {
        const char *name = columns == CLUSTERS ? "" : names[p->cluster[i]];
        if (image_list_next(&list, &line)) write_field(file.stream, line.text, (size_t)line.bytes);
        else fprintf(file.stream, "%lld", (long long)i);
        fprintf(file.stream, ",%lld,", (long long)p->cluster[i]);
        if (columns == CLASSES) {
            write_field(file.stream, name, strlen(name));
            fputc(',', file.stream);
        }
        fprintf(file.stream, "%.6g,%.6g", (double)p->confidence[i], (double)p->margin[i]);
        if (columns == NAMED) {
            fputc(',', file.stream);
            write_field(file.stream, name, strlen(name));
        }
        fputc('\n', file.stream);
    }
    st = atomic_commit(&file, err);
out:
    image_list_close(&list);
    return st;
}

static Status write_any(const char *path, const Split *split, const Predictions *p, Columns columns,
                        const char *const *names, Error *err) {
    const size_t n = strlen(path);
    if (n > 4 && strcmp(path + n - 4, ".npy") == 0)
        return npy_write(path, DTYPE_I64, 1, &p->n, p->cluster, err);
    return write_csv(path, split, p, columns, names, err);
}

Status predictions_write(const char *path, const Split *split, const Predictions *p, Error *err) {
    return write_any(path, split, p, CLUSTERS, NULL, err);
}

Status predictions_write_classes(const char *path, const Split *split, const Predictions *p,
                                 const char *const *names, Error *err) {
    return write_any(path, split, p, CLASSES, names, err);
}

Status predictions_write_named(const char *path, const Split *split, const Predictions *p,
                               const char *const *names, Error *err) {
    return write_any(path, split, p, NAMED, names, err);
}
