/* sources.c - lists of sources, and pixels of any source. */
#include "io/datasets/sources.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/grow.h"
#include "io/files/gzip.h"
#include "io/text/csv.h"
#include "io/text/printable.h"

Status source_add(SourceList *list, const char *name, int64_t label, int blob, int64_t offset,
                  Error *err) {
    Source *longer = grown(list->source, list->count, &list->capacity, sizeof *longer);
    if (!longer) return fail(err, ERR_MEMORY, "images: out of memory");
    list->source = longer;
    Source *s = &list->source[list->count];
    *s = (Source){.name = strdup(name), .label = label, .offset = offset, .blob = blob};
    if (!s->name) return fail(err, ERR_MEMORY, "images: out of memory");
    list->count++;
    if (label >= list->classes) list->classes = label + 1;
    list->unlabelled += label < 0;
    return OK;
}

Status sources_note(SourceSplits *out, Error *err, const char *format, ...) {
    char line[1024], shown[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    printable(shown, sizeof shown, line, false); /* a name must not end the line */
    char *longer = format_text("%s%s\n", out->notes ? out->notes : "", shown);
    if (!longer) return fail(err, ERR_MEMORY, "images: out of memory");
    free(out->notes);
    out->notes = longer;
    return OK;
}

Status blob_open(SourceList *list, const char *path, int *index, Error *err) {
    Blob *longer = realloc(list->blob, (size_t)(list->blob_count + 1) * sizeof *longer);
    if (!longer) return fail(err, ERR_MEMORY, "images: out of memory");
    list->blob = longer;
    Blob *b = &list->blob[list->blob_count];
    *b = (Blob){0};
    Status st = file_map(&b->map, path, err);
    if (st != OK) return st;
    *index = list->blob_count++;
    const char *slash = strrchr(path, '/');
    b->name = strdup(slash ? slash + 1 : path);
    if (!b->name) return fail(err, ERR_MEMORY, "images: out of memory");
    b->data = b->map.data;
    b->bytes = b->map.bytes;
    if (!gzip_is(b->map.data, b->map.bytes)) return OK;
    st = gzip_inflate(&b->inflated, &b->bytes, b->map.data, b->map.bytes, INT32_MAX, path, err);
    b->data = b->inflated;
    file_unmap(&b->map);
    return st;
}

static void list_close(SourceList *list) {
    for (int64_t i = 0; i < list->count; i++) free(list->source[i].name);
    for (int i = 0; i < list->blob_count; i++) {
        free(list->blob[i].name);
        free(list->blob[i].inflated);
        file_unmap(&list->blob[i].map);
    }
    for (int64_t i = 0; list->class_name && list->class_name[i]; i++) free(list->class_name[i]);
    free(list->source);
    free(list->blob);
    free(list->class_name);
    free(list->folder);
    free(list->place);
    *list = (SourceList){0};
}

void sources_close(SourceSplits *splits) {
    if (!splits) return;
    list_close(&splits->train);
    list_close(&splits->val);
    left_out_free(&splits->left);
    free(splits->notes);
    *splits = (SourceSplits){0};
}

/* --- pixels ----------------------------------------------------------------------------------- */

/* Reads numbers 0 to 255 with blanks between them, as many as there are pixels. */
static Status text_pixels(const Blob *b, const Source *s, uint8_t *grey, int64_t n, Error *err) {
    Csv csv;
    bool more = false;
    int64_t got = 0;
    Status st =
        csv_of(&csv, "datasets", b->name, b->data + s->offset, b->bytes - s->offset, ',', err);
    if (st == OK) st = csv_next(&csv, &more, err);
    const char *at = st == OK && more && csv.fields > b->column ? csv.field[b->column].text : "";
    for (;; got++) {
        char *end;
        const long value = strtol(at, &end, 10);
        if (end == at || value < 0 || value > 255 || got == n) break;
        grey[got] = (uint8_t)value;
        at = end;
    }
    while (*at == ' ') at++;
    if (st == OK && (got < n || *at))
        st = fail(err, ERR_FORMAT, "images: %s: expected %lld numbers of 0 to 255", s->name,
                  (long long)n);
    csv_close(&csv);
    return st;
}

/* Returns sample c of pixel i of a record, of n pixels. */
static inline uint8_t sample_of(const Blob *b, const uint8_t *from, int64_t n, int64_t i, int c) {
    switch (b->layout) {
    case PIXELS_PLANES: return from[c * n + i];
    case PIXELS_COLUMNS: return from[c * n + i % b->width * b->height + i / b->width];
    case PIXELS_RGB: return from[3 * i + c];
    default: return from[i];
    }
}

static Status record_image(const Blob *b, const Source *s, Image *out, Error *err) {
    const int64_t n = (int64_t)b->width * b->height;
    const uint8_t *from = b->data + s->offset;
    Status st = OK;
    *out = (Image){malloc((size_t)(3 * n)), b->width, b->height};
    if (!out->rgb) return fail(err, ERR_MEMORY, "images: %s: out of memory", s->name);
    if (b->layout == PIXELS_TEXT) {
        uint8_t *grey = out->rgb + 2 * n; /* pixel i is read before anything is written over it */
        st = text_pixels(b, s, grey, n, err);
        from = grey;
    }
    for (int64_t i = 0; st == OK && i < n; i++) {
        const uint8_t rgb[3] = {sample_of(b, from, n, i, 0), sample_of(b, from, n, i, 1),
                                sample_of(b, from, n, i, 2)};
        memcpy(out->rgb + 3 * i, rgb, 3);
    }
    if (st != OK) image_free(out);
    return st;
}

char *source_path(const SourceList *list, int64_t i) {
    const Source *s = &list->source[i];
    if (s->blob >= 0) return NULL;
    return s->name[0] == '/' ? format_text("%s", s->name)
                             : format_text("%s/%s", list->folder, s->name);
}

Status source_image(const SourceList *list, int64_t i, Image *out, Error *err) {
    const Source *s = &list->source[i];
    *out = (Image){0};
    if (s->blob >= 0) return record_image(&list->blob[s->blob], s, out, err);
    FileMap map;
    char *path = source_path(list, i);
    if (!path) return fail(err, ERR_MEMORY, "images: %s: out of memory", s->name);
    Status st = file_map(&map, path, err);
    if (st == OK) {
        st = image_decode(out, map.data, map.bytes, path, err);
        file_unmap(&map);
    }
    free(path);
    return st;
}
