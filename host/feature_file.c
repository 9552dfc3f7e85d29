/* feature_file.c - representations written batch by batch. */
#include "feature_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../io/npy.h"
#include "../io/text_lines.h"

enum { HEADER = 128 }; /* of every (N,d) float32 .npy; until then it holds the fingerprint */

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "features: out of memory");
}

static Status cannot_write(const FeatureFile *f, Error *err) {
    return fail(err, ERR_IO, "features: %s: %s", f->part, strerror(errno));
}

/* --- continuing ------------------------------------------------------------------------------- */

static void fingerprint_header(char header[HEADER], const char *fingerprint) {
    memset(header, ' ', HEADER);
    const int n = snprintf(header, HEADER, "turtle features, unfinished: %s", fingerprint);
    header[n < HEADER ? n : HEADER - 1] = '\n';
}

/* Names in the list of an earlier call that stand for whole lines, up to `most`; the offset behind
 * them goes to *end. Every name must be that of a source from `first` on, in order: *next is the
 * source behind the last. Returns -1 if one is not. */
static int64_t count_names(TextLines *names, const SourceList *list, int64_t first, int64_t most,
                           int64_t *next, int64_t *end) {
    TextLine line;
    int64_t count = 0;
    *next = first;
    *end = 0;
    while (count < most && text_lines_next(names, &line) && line.ended) {
        int64_t i = *next;
        while (i < list->count && strcmp(list->source[i].name, line.text) != 0) i++;
        if (i == list->count) return -1;
        *next = i + 1;
        count++;
        *end = line.end;
    }
    return count;
}

/* Cuts both parts to the rows they share and says how many those are. */
static Status continue_parts(FeatureFile *f, const char *fingerprint, const SourceList *list,
                             int64_t first, int64_t *next, Error *err) {
    FileMap rows;
    TextLines names = {0};
    char header[HEADER];
    int64_t end = 0;
    const int64_t row = f->d * (int64_t)sizeof(float);
    fingerprint_header(header, fingerprint);
    Status st = file_map(&rows, f->part, err);
    if (st == OK) st = text_lines_open(&names, "features", f->names_part, err);
    if (st == OK && (rows.bytes < HEADER || memcmp(rows.data, header, HEADER) != 0))
        st = fail(err, ERR_ARG,
                  "features: %s: made from other images, weights or options: remove it to start "
                  "anew",
                  f->part);
    if (st == OK) {
        f->count = count_names(&names, list, first, (rows.bytes - HEADER) / row, next, &end);
        if (f->count < 0)
            st = fail(err, ERR_FORMAT, "features: %s: an image that is not in this list",
                      f->names_part);
    }
    file_unmap(&rows);
    text_lines_close(&names);
    if (st == OK &&
        (truncate(f->part, HEADER + f->count * row) != 0 || truncate(f->names_part, end) != 0))
        st = cannot_write(f, err);
    return st;
}

bool feature_file_finished(const char *stem, int64_t d, const SourceList *list, int64_t first) {
    char *path = format_text("%s.npy", stem), *names_path = format_text("%s.txt", stem);
    TextLines names = {0};
    Npy npy = {0};
    int64_t next, end;
    bool finished = path && names_path && file_exists(path) && file_exists(names_path) &&
                    npy_open(&npy, path, NULL) == OK &&
                    text_lines_open(&names, "features", names_path, NULL) == OK;
    finished = finished && npy.axes == 2 && npy.shape[1] == d && names.bytes > 0 &&
               count_names(&names, list, first, npy.shape[0], &next, &end) == npy.shape[0];
    npy_close(&npy);
    text_lines_close(&names);
    free(path);
    free(names_path);
    return finished;
}

/* --- writing ---------------------------------------------------------------------------------- */

static Status make_folder_of(const char *path, Error *err) {
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : NULL;
    const Status st = folder ? folder_make(folder, err) : OK;
    free(folder);
    return st;
}

Status feature_file_open(FeatureFile *out, const char *stem, int64_t d, const char *fingerprint,
                         bool resume, const SourceList *list, int64_t first, int64_t *next,
                         Error *err) {
    FeatureFile *f = out;
    char header[HEADER];
    *f = (FeatureFile){.path = format_text("%s.npy", stem),
                       .names_path = format_text("%s.txt", stem),
                       .part = format_text("%s.npy.part", stem),
                       .names_part = format_text("%s.txt.part", stem),
                       .d = d};
    *next = first;
    Status st = f->path && f->names_path && f->part && f->names_part ? OK : out_of_memory(err);
    if (st == OK) st = make_folder_of(f->path, err);
    const bool there = st == OK && file_exists(f->part) && file_exists(f->names_part);
    if (there && !resume)
        st = fail(err, ERR_ARG,
                  "features: %s: an interrupted call left it: continue with --resume, "
                  "or remove it",
                  f->part);
    if (st == OK && there) st = continue_parts(f, fingerprint, list, first, next, err);
    if (st == OK) {
        f->rows = fopen(f->part, there ? "r+b" : "wb");
        f->names = fopen(f->names_part, there ? "ab" : "wb");
        if (!f->rows || !f->names) st = cannot_write(f, err);
    }
    if (st == OK && there) {
        if (fseeko(f->rows, 0, SEEK_END) != 0) st = cannot_write(f, err);
    } else if (st == OK) {
        fingerprint_header(header, fingerprint);
        fwrite(header, 1, HEADER, f->rows);
    }
    if (st != OK) feature_file_close(f, true);
    return st;
}

void feature_file_add(FeatureFile *f, const float *features, const char *name) {
    fwrite(features, sizeof *features, (size_t)f->d, f->rows);
    fprintf(f->names, "%s\n", name);
    f->count++;
}

Status feature_file_flush(FeatureFile *f, Error *err) {
    return fflush(f->rows) == 0 && fflush(f->names) == 0 && !ferror(f->rows) && !ferror(f->names)
               ? OK
               : cannot_write(f, err);
}

static bool finish(FILE **file) {
    const bool good = fflush(*file) == 0 && !ferror(*file) && fsync(fileno(*file)) == 0;
    const bool closed = fclose(*file) == 0;
    *file = NULL;
    return good && closed;
}

Status feature_file_commit(FeatureFile *f, Error *err) {
    char header[NPY_MAX_HEADER];
    const int64_t shape[] = {f->count, f->d};
    const int64_t bytes = npy_header(header, DTYPE_F32, 2, shape);
    if (bytes != HEADER)
        return fail(err, ERR_ARG, "features: %s: no header for %lld x %lld", f->path,
                    (long long)f->count, (long long)f->d);
    if (fseeko(f->rows, 0, SEEK_SET) != 0 || fwrite(header, 1, HEADER, f->rows) != HEADER)
        return cannot_write(f, err);
    const bool names = finish(&f->names), rows = finish(&f->rows);
    if (!names || !rows || rename(f->names_part, f->names_path) != 0 ||
        rename(f->part, f->path) != 0)
        return cannot_write(f, err);
    return OK;
}

void feature_file_close(FeatureFile *f, bool keep) {
    const bool open = f->rows || f->names;
    if (f->rows) fclose(f->rows);
    if (f->names) fclose(f->names);
    if (open && !keep) {
        remove(f->part);
        remove(f->names_part);
    }
    free(f->path);
    free(f->names_path);
    free(f->part);
    free(f->names_part);
    *f = (FeatureFile){0};
}
