/* predictions.c - the cluster of every sample: memory, and files of them. */
#include "host/score/predictions.h"

#include <stdlib.h>
#include <string.h>

#include "io/text/text_lines.h"

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

/* Opens the image list of a split, `<stem>.txt` beside its first space; *lines is how many images it
 * has. Returns OK with out->path NULL where there is none. */
static Status image_list_read(TextLines *out, char **path, int64_t *images, const Split *split,
                              Error *err) {
    const char *features = split->space[0].path;
    const size_t n = strlen(features);
    TextLine line;
    *out = (TextLines){0};
    *path = NULL;
    if (n < 4 || strcmp(features + n - 4, ".npy") != 0) return OK;
    *path = format_text("%.*s.txt", (int)(n - 4), features);
    if (!*path) return fail(err, ERR_MEMORY, "predictions: out of memory");
    if (!file_exists(*path)) return OK;
    const Status st = text_lines_open(out, "predictions", *path, err);
    while (st == OK && text_lines_next(out, &line)) *images += !line.blank;
    return st;
}

/* Opens the image list of a split, if there is one. A list of another length than the features is
 * refused: its lines would name the wrong images. */
static Status image_list_open(TextLines *out, char **path, const Split *split, Error *err) {
    int64_t images = 0;
    Status st = image_list_read(out, path, &images, split, err);
    if (st != OK || !out->path) return st;
    text_lines_close(out);
    if (images != split->N)
        return fail(err, ERR_FORMAT, "predictions: %s has %lld lines, the features have %lld rows",
                    *path, (long long)images, (long long)split->N);
    return text_lines_open(out, "predictions", *path, err);
}

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

static Status write_csv(const char *path, const Split *split, const Predictions *p,
                        const char *const *names, Error *err) {
    TextLines list;
    TextLine line;
    AtomicFile file;
    char *list_path;
    Status st = image_list_open(&list, &list_path, split, err);
    if (st == OK) st = atomic_open(&file, path, err);
    if (st != OK) goto out;
    fputs(names ? "path,class,name,confidence,margin\n" : "path,cluster,confidence,margin\n",
          file.stream);
    for (int64_t i = 0; i < p->n; i++) {
        bool named = list.path != NULL;
        do named = named && text_lines_next(&list, &line);
        while (named && line.blank);
        if (named) write_field(file.stream, line.text, (size_t)line.bytes);
        else fprintf(file.stream, "%lld", (long long)i);
        fprintf(file.stream, ",%lld,", (long long)p->cluster[i]);
        if (names) {
            write_field(file.stream, names[p->cluster[i]], strlen(names[p->cluster[i]]));
            fputc(',', file.stream);
        }
        fprintf(file.stream, "%.6g,%.6g\n", (double)p->confidence[i], (double)p->margin[i]);
    }
    st = atomic_commit(&file, err);
out:
    text_lines_close(&list);
    free(list_path);
    return st;
}

static bool names_npy(const char *path) {
    const size_t n = strlen(path);
    return n > 4 && strcmp(path + n - 4, ".npy") == 0;
}

Status predictions_write(const char *path, const Split *split, const Predictions *p, Error *err) {
    if (names_npy(path)) return npy_write(path, DTYPE_I64, 1, &p->n, p->cluster, err);
    return write_csv(path, split, p, NULL, err);
}

Status predictions_write_names(const char *path, const Split *split, const Predictions *p,
                               const char *const *names, Error *err) {
    if (names_npy(path)) return npy_write(path, DTYPE_I64, 1, &p->n, p->cluster, err);
    return write_csv(path, split, p, names, err);
}
