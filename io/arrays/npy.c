/* npy.c - numpy's .npy files.
 *
 * Layout (numpy/lib/format.py): "\x93NUMPY", major, minor, header length (uint16 in version 1,
 * uint32 in 2 and 3, little-endian), header, data. The header is a dictionary literal of Python
 * with the keys descr, fortran_order and shape. Spaces pad it so that the data starts at a multiple
 * of 64. */
#include "io/arrays/npy.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/strided.h"
#include "io/files/bytes.h"

static const char magic[] = "\x93NUMPY";
enum { MAGIC_BYTES = 6, ALIGN = 64 };

/* --- the header: a literal of Python ---------------------------------------------------------- */

typedef struct {
    const char *at, *end;
} Cursor;

static void skip_spaces(Cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n' || *c->at == '\r'))
        c->at++;
}

/* Takes one character, spaces before it skipped. */
static bool take(Cursor *c, char wanted) {
    skip_spaces(c);
    if (c->at == c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

static bool take_word(Cursor *c, const char *word) {
    const size_t n = strlen(word);
    skip_spaces(c);
    if ((size_t)(c->end - c->at) < n || memcmp(c->at, word, n) != 0) return false;
    c->at += n;
    return true;
}

static bool take_quoted(Cursor *c, char *out, size_t bytes) {
    skip_spaces(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"')) return false;
    const char quote = *c->at++;
    const char *close = memchr(c->at, quote, (size_t)(c->end - c->at));
    if (!close || (size_t)(close - c->at) >= bytes) return false;
    memcpy(out, c->at, (size_t)(close - c->at));
    out[close - c->at] = '\0';
    c->at = close + 1;
    return true;
}

static bool take_number(Cursor *c, int64_t *out) {
    skip_spaces(c);
    const char *start = c->at;
    int64_t x = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++)
        if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, *c->at - '0', &x))
            return false;
    if (c->at < c->end && *c->at == 'L') c->at++; /* Python 2 wrote 3L */
    *out = x;
    return c->at > start && *start != 'L';
}

/* Takes a shape: (), (3,), (2, 3). */
static bool take_shape(Cursor *c, Npy *npy) {
    if (!take(c, '(')) return false;
    for (npy->axes = 0; !take(c, ')'); npy->axes++) {
        if (npy->axes == NPY_MAX_AXES || !take_number(c, &npy->shape[npy->axes])) return false;
        if (!take(c, ',')) {
            npy->axes++;
            return take(c, ')');
        }
    }
    return true;
}

/* Takes apart '<f4' and its like: byte order, kind, bytes. */
static bool parse_descr(const char *descr, Npy *npy) {
    if (strlen(descr) != 3 || !strchr("<>|=", descr[0]) || !dtype_of_code(&npy->type, descr + 1))
        return false;
    npy->swapped = dtype_bytes(npy->type) > 1 && descr[0] == (host_is_big_endian() ? '<' : '>');
    return true;
}

/* Refuses a type that is no plain number, by name. */
static Status refuse_type(const char *descr, const char *path, Error *err) {
    static const struct {
        char kind;
        const char *is;
    } kinds[] = {{'O', "Python objects: save numpy.array(x.tolist(), dtype='float32')"},
                 {'U', "text"},
                 {'S', "text"},
                 {'c', "complex numbers: save x.real, x.imag or abs(x)"},
                 {'M', "dates"},
                 {'m', "time spans"},
                 {'V', "raw bytes (so numpy saves bfloat16): save x.astype('float32')"},
                 {'f', "floats of another size: save x.astype('float32')"}};
    const char *is = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (descr[0] && descr[1] == kinds[i].kind) is = kinds[i].is;
    return fail(err, ERR_FORMAT,
                "npy: %s: type '%.20s' is not read: expected f2, f4, f8, bool or an integer "
                "type%s%s",
                path, descr, is ? ", got " : "", is ? is : "");
}

static Status parse_header(Npy *npy, Cursor c, bool *fortran, const char *path, Error *err) {
    char key[32], descr[64] = "";
    bool has_order = false, has_shape = false;
    bool ok = take(&c, '{');
    while (ok && !take(&c, '}')) {
        ok = take_quoted(&c, key, sizeof key) && take(&c, ':');
        if (ok && strcmp(key, "descr") == 0) {
            skip_spaces(&c);
            if (c.at < c.end && *c.at == '[')
                return fail(err, ERR_FORMAT,
                            "npy: %s: records (structured arrays) are not read: "
                            "save one plain array",
                            path);
            ok = take_quoted(&c, descr, sizeof descr);
        } else if (ok && strcmp(key, "fortran_order") == 0) {
            *fortran = take_word(&c, "True");
            ok = has_order = *fortran || take_word(&c, "False");
        } else if (ok && strcmp(key, "shape") == 0) {
            ok = has_shape = take_shape(&c, npy);
        } else {
            ok = false;
        }
        if (ok && !take(&c, ',')) {
            ok = take(&c, '}');
            break;
        }
    }
    skip_spaces(&c);
    if (!ok || !has_order || !has_shape || !*descr || c.at != c.end)
        return fail(err, ERR_FORMAT, "npy: %s: damaged header", path);
    return parse_descr(descr, npy) ? OK : refuse_type(descr, path, err);
}

/* --- reading ---------------------------------------------------------------------------------- */

bool npy_is(const uint8_t *bytes, int64_t count) {
    return count >= MAGIC_BYTES && memcmp(bytes, magic, MAGIC_BYTES) == 0;
}

/* Finds header and data in the file's bytes; *header spans the dictionary. */
static Status locate(const FileMap *map, Cursor *header, int64_t *data_at, const char *path,
                     Error *err) {
    const uint8_t *b = map->data;
    if (!npy_is(b, map->bytes))
        return fail(err, ERR_FORMAT, "npy: %s: not a .npy file (it does not begin with \\x93NUMPY)",
                    path);
    if (map->bytes < 12) return fail(err, ERR_FORMAT, "npy: %s: truncated in its header", path);
    const int major = b[6];
    if (major < 1 || major > 3)
        return fail(err, ERR_FORMAT, "npy: %s: version %d.%d is unknown", path, major, b[7]);
    const int64_t start = major == 1 ? 10 : 12;
    const int64_t length = little(b + 8, major == 1 ? 2 : 4);
    if (length > map->bytes - start)
        return fail(err, ERR_FORMAT, "npy: %s: truncated in its header", path);
    *header = (Cursor){(const char *)b + start, (const char *)b + start + length};
    *data_at = start + length;
    return OK;
}

static Status check_extent(Npy *npy, const FileMap *map, int64_t data_at, const char *path,
                           Error *err) {
    int64_t bytes;
    npy->count = 1;
    for (int i = 0; i < npy->axes; i++)
        if (__builtin_mul_overflow(npy->count, npy->shape[i], &npy->count))
            return fail(err, ERR_FORMAT, "npy: %s: its shape overflows 64 bits", path);
    if (__builtin_mul_overflow(npy->count, dtype_bytes(npy->type), &bytes))
        return fail(err, ERR_FORMAT, "npy: %s: its shape overflows 64 bits", path);
    if (bytes > map->bytes - data_at)
        return fail(err, ERR_FORMAT,
                    "npy: %s: truncated: its shape needs %lld bytes of data, %lld are "
                    "there",
                    path, (long long)bytes, (long long)(map->bytes - data_at));
    npy->data = map->data + data_at;
    return OK;
}

/* Brings an array in Fortran order into C order, in memory. */
static Status to_c_order(Npy *npy, const char *path, Error *err) {
    const int bytes = dtype_bytes(npy->type);
    npy->memory = malloc((size_t)(npy->count ? npy->count * bytes : 1));
    if (!npy->memory)
        return fail(err, ERR_MEMORY,
                    "npy: %s: is in Fortran order, and there is no memory to reorder it: save "
                    "numpy.ascontiguousarray(x)",
                    path);
    int64_t stride[NPY_MAX_AXES] = {0};
    for (int i = 0; i < npy->axes; i++) stride[i] = i ? stride[i - 1] * npy->shape[i - 1] : 1;
    strided_copy(npy->memory, npy->data, bytes, npy->axes, npy->shape, stride);
    npy->data = npy->memory;
    return OK;
}

static Status read_array(Npy *out, const FileMap *bytes, const char *path, Error *err) {
    Cursor header = {0};
    int64_t data_at = 0;
    bool fortran = false;
    Status st = locate(bytes, &header, &data_at, path, err);
    if (st == OK) st = parse_header(out, header, &fortran, path, err);
    if (st == OK) st = check_extent(out, bytes, data_at, path, err);
    int long_axes = 0; /* with one axis longer than 1 both orders are the same bytes */
    for (int i = 0; i < out->axes; i++) long_axes += out->shape[i] != 1;
    if (st == OK && fortran && long_axes > 1) st = to_c_order(out, path, err);
    if (st != OK) npy_close(out);
    return st;
}

Status npy_view(Npy *out, const uint8_t *bytes, int64_t count, const char *name, Error *err) {
    const FileMap view = {.data = bytes, .bytes = count};
    *out = (Npy){0};
    return read_array(out, &view, name, err);
}

Status npy_open(Npy *out, const char *path, Error *err) {
    *out = (Npy){0};
    const Status st = file_map(&out->map, path, err);
    return st == OK ? read_array(out, &out->map, path, err) : st;
}

void npy_close(Npy *npy) {
    if (!npy) return;
    file_unmap(&npy->map);
    free(npy->memory);
    *npy = (Npy){0};
}

static Status check_range(const Npy *npy, int64_t first, int64_t n, Error *err) {
    if (first < 0 || n < 0 || first > npy->count || n > npy->count - first)
        return fail(err, ERR_ARG, "npy: elements %lld to %lld of %lld", (long long)first,
                    (long long)(first + n), (long long)npy->count);
    return OK;
}

/* Returns the address of element `first`. */
static const void *element(const Npy *npy, int64_t first) {
    return (const uint8_t *)npy->data + first * dtype_bytes(npy->type);
}

Status npy_read_f32(const Npy *npy, int64_t first, int64_t n, float *out, Error *err) {
    const Status st = check_range(npy, first, n, err);
    if (st != OK) return st;
    return dtype_to_f32(out, element(npy, first), npy->type, npy->swapped, n)
               ? OK
               : fail(err, ERR_ARG, "npy: expected floats, got %s", dtype_name(npy->type));
}

Status npy_read_i64(const Npy *npy, int64_t first, int64_t n, int64_t *out, Error *err) {
    const Status st = check_range(npy, first, n, err);
    if (st != OK) return st;
    const int64_t read = dtype_to_i64(out, element(npy, first), npy->type, npy->swapped, n);
    if (read < 0)
        return fail(err, ERR_ARG, "npy: expected integers, got %s", dtype_name(npy->type));
    if (read < n)
        return fail(err, ERR_FORMAT, "npy: element %lld is beyond int64",
                    (long long)(first + read));
    return OK;
}

/* --- writing ---------------------------------------------------------------------------------- */

int64_t npy_header(char text[NPY_MAX_HEADER], DType type, int axes, const int64_t *shape) {
    if (axes < 0 || axes > NPY_MAX_AXES || !dtype_code(type) || host_is_big_endian()) return -1;
    const int start = MAGIC_BYTES + 4, room = NPY_MAX_HEADER - start;
    char *to = text + start;
    int used = snprintf(to, (size_t)room, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                        dtype_bytes(type) == 1 ? '|' : '<', dtype_code(type));
    for (int i = 0; i < axes; i++)
        used += snprintf(to + used, (size_t)(room - used), "%s%lld%s", i ? " " : "",
                         (long long)shape[i], axes == 1 || i + 1 < axes ? "," : "");
    used += snprintf(to + used, (size_t)(room - used), "), }");
    const int total = (start + used + 1 + ALIGN - 1) / ALIGN * ALIGN, length = total - start;
    memset(to + used, ' ', (size_t)(length - used));
    to[length - 1] = '\n';
    memcpy(text, magic, MAGIC_BYTES);
    text[MAGIC_BYTES] = 1;
    text[MAGIC_BYTES + 1] = 0;
    text[MAGIC_BYTES + 2] = (char)(length & 255);
    text[MAGIC_BYTES + 3] = (char)(length >> 8);
    return total;
}

Status npy_write(const char *path, DType type, int axes, const int64_t *shape, const void *data,
                 Error *err) {
    char header[NPY_MAX_HEADER];
    int64_t count = 1;
    const int64_t bytes = npy_header(header, type, axes, shape);
    if (bytes < 0)
        return fail(err, ERR_ARG, "npy: %s: cannot be written: %d axes of %s", path, axes,
                    dtype_name(type));
    for (int i = 0; i < axes; i++) count *= shape[i];

    AtomicFile file;
    const Status st = atomic_open(&file, path, err);
    if (st != OK) return st;
    fwrite(header, 1, (size_t)bytes, file.stream);
    fwrite(data, (size_t)dtype_bytes(type), (size_t)count, file.stream);
    return atomic_commit(&file, err);
}
