/* matlab.c - variables of MATLAB's MAT-files, level 5. */
#include "io/arrays/matlab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/inflate_stream.h"
#include "io/sizes.h"
#include "io/text/utf8.h"

enum { HEADER = 128, VERSION = 124, ORDER = 126, TAG = 8, MOST_LISTED = 200 };
enum { MI_INT8 = 1, MI_INT32 = 5, MI_UINT32 = 6, MI_MATRIX = 14, MI_COMPRESSED = 15 };
enum { MI_UTF8 = 16, MI_UTF16 = 17, COMPLEX = 0x08 };
enum { CLASS_CELL = 1, CLASS_STRUCT = 2, CLASS_CHAR = 4, CLASS_DOUBLE = 6, CLASS_UINT64 = 15 };

/* A compressed variable, inflated. */
typedef struct Inflated {
    struct Inflated *next;
    const uint8_t *packed; /* which one it is */
    uint8_t *data;
    int64_t bytes;
} Inflated;

struct MatFile {
    const uint8_t *data, *end;
    char *path;
    bool swapped; /* the byte order is not ours */
    bool big;     /* the most significant byte comes first */
    Inflated *inflated;
};

/* A tagged element. */
typedef struct {
    uint32_t type;
    int64_t bytes;
    const uint8_t *data;
} Element;

static Status damaged(const MatFile *f, const char *what, Error *err) {
    return fail(err, ERR_FORMAT, "matlab: %s: damaged: %s: fetch it again", f->path, what);
}

static uint32_t word(const MatFile *f, const uint8_t *p) {
    uint32_t x = 0;
    for (int i = 0; i < 4; i++) x |= (uint32_t)p[i] << 8 * (f->big ? 3 - i : i);
    return x;
}

/* Takes the element at *at, and goes behind it and the bytes that fill its last eight. Small
 * ones hold up to four bytes beside their tag. */
static Status take(const MatFile *f, Element *e, const uint8_t **at, const uint8_t *end,
                   Error *err) {
    const int64_t left = end - *at;
    if (left < TAG) return damaged(f, "an element is cut off", err);
    const uint32_t first = word(f, *at), second = word(f, *at + 4);
    if (first >> 16) {
        *e = (Element){first & 0xffff, first >> 16, *at + 4};
        if (e->bytes > 4) return damaged(f, "a small element holds more than 4 bytes", err);
        *at += TAG;
        return OK;
    }
    *e = (Element){first, second, *at + TAG};
    if (e->bytes > left - TAG) return damaged(f, "an element lies outside of the file", err);
    const int64_t padded = first == MI_COMPRESSED ? e->bytes : round_up(e->bytes, 8);
    *at += TAG + least(padded, left - TAG); /* some writers do not fill the last one */
    return OK;
}

/* Finds the type of an element's numbers. Returns false if it holds none. */
static bool dtype_of(DType *out, uint32_t type) {
    static const int8_t types[] = {-1,        DTYPE_I8,  DTYPE_U8, DTYPE_I16, DTYPE_U16, DTYPE_I32,
                                   DTYPE_U32, DTYPE_F32, -1,       DTYPE_F64, -1,        -1,
                                   DTYPE_I64, DTYPE_U64, -1,       -1,        DTYPE_U8,  DTYPE_U16};
    if (type >= sizeof types || types[type] < 0) return false;
    *out = (DType)types[type];
    return true;
}

/* --- arrays ----------------------------------------------------------------------------------- */

/* Reads the dimensions of an array and its number of elements. */
static Status take_dims(const MatFile *f, MatArray *a, const Element *e, Error *err) {
    const int64_t axes = e->bytes / 4;
    if (e->type != MI_INT32 || e->bytes % 4 || axes < 1 || axes > MAT_MOST_AXES)
        return damaged(f, "an array has no dimensions, or more than 8", err);
    a->axes = (int)axes;
    a->count = 1;
    for (int i = 0; i < axes; i++) {
        a->dim[i] = (int32_t)word(f, e->data + 4 * i);
        if (a->dim[i] < 0 || __builtin_mul_overflow(a->count, a->dim[i], &a->count))
            return damaged(f, "an array has impossible dimensions", err);
    }
    return OK;
}

/* Reads the fields' names of a struct array. */
static Status take_names(const MatFile *f, MatArray *a, const uint8_t **at, const uint8_t *end,
                         Error *err) {
    Element length, names;
    Status st = take(f, &length, at, end, err);
    if (st == OK) st = take(f, &names, at, end, err);
    if (st != OK) return st;
    const int64_t n =
        length.type == MI_INT32 && length.bytes == 4 ? (int32_t)word(f, length.data) : 0;
    if (names.type != MI_INT8 || n < 1 || n > 4096 || names.bytes % n)
        return damaged(f, "the names of a struct's fields", err);
    if (names.bytes / n > MAT_MOST_FIELDS)
        return fail(err, ERR_FORMAT, "matlab: %s: a struct has %lld fields, expected at most %d",
                    f->path, (long long)(names.bytes / n), MAT_MOST_FIELDS);
    a->fields = (int)(names.bytes / n);
    a->name_bytes = (int)n;
    a->names = (const char *)names.data;
    for (int i = 0; i < a->fields; i++)
        if (!memchr(a->names + i * n, '\0', (size_t)n))
            return damaged(f, "a field's name has no end", err);
    return OK;
}

/* Reads the numbers or characters of an array. */
static Status take_data(const MatFile *f, MatArray *a, const uint8_t **at, const uint8_t *end,
                        Error *err) {
    Element e;
    const Status st = take(f, &e, at, end, err);
    if (st != OK) return st;
    if (!dtype_of(&a->stored, e.type) || (a->kind == MAT_NUMBERS && e.type >= MI_UTF8))
        return damaged(f, "the elements of an array have an unknown type", err);
    const int64_t each = dtype_bytes(a->stored);
    if (e.bytes % each || (e.type != MI_UTF8 && a->count != e.bytes / each))
        return damaged(f, "an array has another number of elements than its dimensions say", err);
    a->data = e.data;
    a->data_bytes = e.bytes;
    a->swapped = f->swapped;
    a->utf8 = e.type == MI_UTF8;
    return OK;
}

/* Takes flags, dimensions and name of a matrix that is not empty. The name is not ended by a
 * zero. */
static Status take_head(const MatFile *f, const uint8_t **at, const uint8_t *end, Element head[3],
                        Error *err) {
    Status st = OK;
    for (int i = 0; st == OK && i < 3; i++) st = take(f, &head[i], at, end, err);
    if (st != OK) return st;
    const bool right = head[0].type == MI_UINT32 && head[0].bytes == 8 && head[2].type == MI_INT8;
    return right ? OK : damaged(f, "an array has no flags or no name", err);
}

/* Reads a matrix element. */
static Status take_array(const MatFile *f, MatArray *a, const Element *matrix, Error *err) {
    const uint8_t *at = matrix->data, *const end = at + matrix->bytes;
    Element head[3];
    *a = (MatArray){
        .kind = MAT_NUMBERS, .axes = 2, .stored = DTYPE_F64, .elements = end, .end = end};
    if (matrix->type != MI_MATRIX) return damaged(f, "an element is no array", err);
    if (matrix->bytes == 0) return OK; /* [] in a cell or a field */
    Status st = take_head(f, &at, end, head, err);
    if (st == OK) st = take_dims(f, a, &head[1], err);
    if (st != OK) return st;
    const uint32_t word_of_flags = word(f, head[0].data), class = word_of_flags & 255;
    const bool numbers = class >= CLASS_DOUBLE && class <= CLASS_UINT64;
    if (word_of_flags >> 8 & COMPLEX && numbers)
        return fail(err, ERR_FORMAT, "matlab: %s: holds complex numbers, expected real ones",
                    f->path);
    if (!numbers && class != CLASS_CELL && class != CLASS_STRUCT && class != CLASS_CHAR)
        return fail(err, ERR_FORMAT,
                    "matlab: %s: holds an array of class %u: expected numbers, characters, cells "
                    "or structs",
                    f->path, (unsigned)class);
    a->kind = numbers                 ? MAT_NUMBERS
              : class == CLASS_CHAR   ? MAT_CHAR
              : class == CLASS_STRUCT ? MAT_STRUCT
                                      : MAT_CELL;
    if (numbers || class == CLASS_CHAR) return take_data(f, a, &at, end, err);
    if (class == CLASS_STRUCT) st = take_names(f, a, &at, end, err);
    a->elements = at;
    const int64_t each =
        TAG * (class == CLASS_STRUCT ? a->fields : 1); /* an empty array is a tag alone */
    if (st == OK && each && a->count > (end - at) / each)
        return damaged(f, "an array has fewer elements than its dimensions say", err);
    return st;
}

/* --- files ------------------------------------------------------------------------------------ */

Status mat_open(MatFile **out, const FileMap *map, const char *path, Error *err) {
    const uint8_t *d = map->data;
    *out = NULL;
    const bool long_enough = map->bytes >= HEADER;
    const bool big = long_enough && memcmp(d + ORDER, "MI", 2) == 0;
    if (long_enough && memcmp(d, "MATLAB 7.3", 10) == 0)
        return fail(err, ERR_FORMAT,
                    "matlab: %s: was saved with -v7.3, which is HDF5: save it with -v7", path);
    if (!long_enough || (!big && memcmp(d + ORDER, "IM", 2) != 0) ||
        d[VERSION + (big ? 0 : 1)] != 1)
        return fail(
            err, ERR_FORMAT,
            "matlab: %s: expected a MAT-file of level 5, found another file: save it with -v7",
            path);
    MatFile *f = *out = calloc(1, sizeof *f);
    if (f) f->path = format_text("%s", path);
    if (!f || !f->path) {
        free(f);
        *out = NULL;
        return fail(err, ERR_MEMORY, "matlab: %s: out of memory", path);
    }
    f->data = d + HEADER;
    f->end = d + map->bytes;
    f->big = big;
    f->swapped = big != host_is_big_endian();
    return OK;
}

void mat_close(MatFile *f) {
    if (!f) return;
    for (Inflated *i = f->inflated; i;) {
        Inflated *next = i->next;
        free(i->data);
        free(i);
        i = next;
    }
    free(f->path);
    free(f);
}

/* Inflates a stream of unknown length into fresh memory. */
static Status inflate_all(const MatFile *f, const Element *packed, uint8_t **data, int64_t *bytes,
                          Error *err) {
    PullMemory memory = {packed->data, packed->data + packed->bytes};
    InflateStream *stream;
    int64_t room = 1 << 16, got = 1;
    Status st = inflate_open(&stream, INFLATE_ZLIB, pull_memory, &memory, f->path, err);
    *bytes = 0;
    *data = malloc((size_t)room);
    if (st == OK && !*data) st = fail(err, ERR_MEMORY, "matlab: %s: out of memory", f->path);
    while (st == OK && got > 0) {
        st = inflate_read(stream, *data + *bytes, room - *bytes, &got, err);
        if (st == OK) *bytes += got;
        if (st != OK || *bytes < room) continue;
        if (room > MAT_MOST_INFLATED) {
            st = fail(err, ERR_FORMAT,
                      "matlab: %s: a variable inflates to more than %d bytes: refused", f->path,
                      MAT_MOST_INFLATED);
            break;
        }
        uint8_t *more = realloc(*data, (size_t)(2 * room));
        if (!more) st = fail(err, ERR_MEMORY, "matlab: %s: out of memory", f->path);
        else *data = more;
        room *= 2;
    }
    inflate_close(stream);
    if (st == OK) return OK;
    free(*data);
    *data = NULL;
    return st;
}

/* Finds the matrix element that a compressed element holds, inflating it on the first call. */
static Status open_packed(MatFile *f, const Element *packed, Element *matrix, Inflated **fresh,
                          Error *err) {
    Inflated *i = f->inflated;
    *fresh = NULL;
    while (i && i->packed != packed->data) i = i->next;
    if (!i) {
        *fresh = i = calloc(1, sizeof *i);
        if (!i) return fail(err, ERR_MEMORY, "matlab: %s: out of memory", f->path);
        i->packed = packed->data;
        const Status st = inflate_all(f, packed, &i->data, &i->bytes, err);
        if (st != OK) return st;
    }
    const uint8_t *at = i->data;
    return take(f, matrix, &at, i->data + i->bytes, err);
}

Status mat_find(MatFile *f, const char *name, MatArray *out, Error *err) {
    char listed[MOST_LISTED + 80] = "";
    const int64_t n = (int64_t)strlen(name);
    const uint8_t *at = f->data;
    Status st = OK;
    while (st == OK && at < f->end) {
        Element e = {0}, own = {0}, head[3];
        Inflated *fresh = NULL;
        st = take(f, &e, &at, f->end, err);
        if (st == OK && e.type == MI_COMPRESSED) {
            const Element packed = e;
            st = open_packed(f, &packed, &e, &fresh, err);
        }
        const bool named = st == OK && e.type == MI_MATRIX && e.bytes > 0;
        const uint8_t *inside = e.data;
        if (named) st = take_head(f, &inside, e.data + e.bytes, head, err);
        if (named && st == OK) own = head[2];
        const bool found = named && st == OK && own.bytes == n &&
                           (n == 0 || memcmp(own.data, name, (size_t)n) == 0);
        if (found) st = take_array(f, out, &e, err);
        const size_t used = strlen(listed);
        if (st == OK && own.bytes && used < MOST_LISTED)
            snprintf(listed + used, sizeof listed - used, "%s%.*s", used ? ", " : "",
                     (int)least(own.bytes, 64), (const char *)own.data);
        if (found && st == OK && fresh) {
            fresh->next = f->inflated;
            f->inflated = fresh;
        } else if (fresh) {
            free(fresh->data);
            free(fresh);
        }
        if (found && st == OK) return OK;
    }
    *out = (MatArray){0};
    if (st != OK) return st;
    return fail(err, ERR_FORMAT, "matlab: %s: has no variable %s; there are: %s", f->path, name,
                *listed ? listed : "none");
}

/* --- elements --------------------------------------------------------------------------------- */

MatWalk mat_walk(const MatArray *a) {
    return (MatWalk){.of = a, .at = a->elements};
}

Status mat_walk_element(const MatFile *f, MatWalk *w, MatArray *out, bool *more, Error *err) {
    const MatArray *a = w->of;
    const int n = a->kind == MAT_STRUCT ? a->fields : 1;
    Status st = OK;
    /* elements of a struct without fields take no bytes: a short file may claim any number of them */
    *more = n > 0 && (a->kind == MAT_STRUCT || a->kind == MAT_CELL) && w->done < a->count;
    for (int i = 0; st == OK && *more && i < n; i++) {
        Element e;
        st = take(f, &e, &w->at, a->end, err);
        if (st == OK) st = take_array(f, &out[i], &e, err);
    }
    w->done += *more;
    return st;
}

int mat_field(const MatArray *a, const char *name) {
    for (int i = 0; i < a->fields; i++)
        if (strcmp(a->names + (int64_t)i * a->name_bytes, name) == 0) return i;
    return -1;
}

static Status check_range(const MatArray *a, int64_t first, int64_t n, Error *err) {
    if (a->kind == MAT_NUMBERS && first >= 0 && n >= 0 && n <= a->count && first <= a->count - n)
        return OK;
    return fail(err, ERR_FORMAT,
                "matlab: expected an array of at least %lld numbers, found %lld %s",
                (long long)(first + n), (long long)a->count,
                a->kind == MAT_NUMBERS ? "of them" : "other elements");
}

Status mat_f64(const MatArray *a, int64_t first, int64_t n, double *out, Error *err) {
    const Status st = check_range(a, first, n, err);
    if (st == OK && n)
        dtype_to_f64(out, a->data + first * dtype_bytes(a->stored), a->stored, a->swapped, n);
    return st;
}

Status mat_i64(const MatArray *a, int64_t first, int64_t n, int64_t *out, Error *err) {
    const Status st = check_range(a, first, n, err);
    if (st != OK || n == 0) return st;
    const uint8_t *from = a->data + first * dtype_bytes(a->stored);
    if (!dtype_is_float(a->stored)) {
        if (dtype_to_i64(out, from, a->stored, a->swapped, n) == n) return OK;
        return fail(err, ERR_FORMAT, "matlab: a number is beyond int64");
    }
    const double beyond = ldexp(1.0, 63);
    for (int64_t i = 0; i < n; i++, from += dtype_bytes(a->stored)) {
        double x;
        dtype_to_f64(&x, from, a->stored, a->swapped, 1);
        if (!(fabs(x) < beyond) || x != trunc(x))
            return fail(err, ERR_FORMAT, "matlab: element %lld is %g, expected a whole number",
                        (long long)(first + i), x);
        out[i] = (int64_t)x;
    }
    return OK;
}

/* Returns code unit i of a text, 8 or 16 bits wide. */
static uint32_t unit(const MatArray *a, int64_t i) {
    int64_t x = 0;
    dtype_to_i64(&x, a->data + i * dtype_bytes(a->stored), a->stored, a->swapped, 1);
    return (uint32_t)x;
}

Status mat_text(const MatArray *a, char *text, int64_t bytes, Error *err) {
    int64_t used = 0;
    if (bytes > 0) *text = '\0';
    if (a->count == 0 && bytes > 0) return OK;
    if (a->kind != MAT_CHAR || a->axes != 2 || a->dim[0] != 1 || dtype_bytes(a->stored) > 2)
        return fail(err, ERR_FORMAT, "matlab: expected a text of one row");
    const bool wide = dtype_bytes(a->stored) == 2;
    const int64_t n = a->data_bytes / dtype_bytes(a->stored);
    for (int64_t i = 0; i < n; i++) {
        char piece[4];
        uint32_t code = unit(a, i);
        if (wide && code >= 0xd800 && code < 0xdc00 && i + 1 < n) {
            const uint32_t low = unit(a, i + 1);
            if (low >= 0xdc00 && low < 0xe000) {
                code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                i++;
            }
        }
        if (code >= 0xd800 && code < 0xe000) code = 0xfffd; /* half of a pair */
        const int k = a->utf8 ? 1 : utf8_encode(piece, code & 0x1fffff);
        if (a->utf8) piece[0] = (char)code;
        if (!code || used + k >= bytes)
            return fail(err, ERR_FORMAT, "matlab: a text holds a zero or has more than %lld bytes",
                        (long long)bytes - 1);
        memcpy(text + used, piece, (size_t)k);
        used += k;
    }
    text[used] = '\0';
    return OK;
}
