/* label_file.c - a file of labels: an array of numbers or of texts, or lines of text. */
#include "host/inputs/label_file.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "host/inputs/label_lines.h"
#include "io/arrays/array_file.h"
#include "io/arrays/npy_text.h"

typedef struct {
    const char *path, *samples_of;
    int64_t N;
    int64_t *y; /* (N) */
    LabelTable *table;
    LabelFacts *facts;
} Reader;

static Status wrong_count(const Reader *r, int64_t count, Error *err) {
    return fail(
        err, ERR_FORMAT, "labels: %s: expected %lld labels, one per sample of %s, got %lld%s",
        r->path, (long long)r->N, r->samples_of, (long long)count,
        count > r->N ? ": if features left images out, labels --phi PHI leaves out the same" : "");
}

static Status out_of_memory(const Reader *r, Error *err) {
    return fail(err, ERR_MEMORY, "labels: %s: out of memory", r->path);
}

/* --- one label -------------------------------------------------------------------------------- */

enum { NUMBER_TEXT = 32 };

/* Writes a double as a label's text: whole ones as decimals as far as int64 reaches. */
static void double_text(char text[NUMBER_TEXT], double x, int digits) {
    if (floor(x) == x && fabs(x) < 0x1p63)
        snprintf(text, NUMBER_TEXT, "%lld", (long long)x); /* -0.0 becomes 0 */
    else snprintf(text, NUMBER_TEXT, "%.*g", digits, x);
}

/* Writes a text that is a decimal number as the label of that number. Returns false where it is no
 * such text, or one of more digits than fit. "nan" and "inf" are no numbers here, nor are
 * hexadecimal digits. */
static bool number_of_text(char text[NUMBER_TEXT], const char *label) {
    char *end;
    if (!*label || strspn(label, "0123456789+-.eE") != strlen(label)) return false;
    errno = 0;
    const long long whole = strtoll(label, &end, 10);
    if (!*end && !errno) {
        snprintf(text, NUMBER_TEXT, "%lld", whole);
        return true;
    }
    const char *digits = label + strspn(label, "+");
    digits += strspn(digits, "0");
    if (!*end && *label != '-' &&
        strlen(digits) < NUMBER_TEXT) { /* beyond int64: digit for digit */
        snprintf(text, NUMBER_TEXT, "%s", digits);
        return true;
    }
    const double x = strtod(label, &end);
    if (*end || end == label || !isfinite(x)) return false;
    double_text(text, x, 17);
    return true;
}

/* Notes one label; `number`: its text is that of a number. */
static Status take_label(Reader *r, int64_t i, const char *text, bool number, Error *err) {
    int64_t value = 0;
    const bool whole = number && label_whole(text, &value);
    if (whole && (value == -1 || value == INT64_MIN)) {
        r->y[i] = LABEL_UNKNOWN;
        r->facts->unknown++;
        return OK;
    }
    if (whole && value < 0 && r->facts->negative < 0) {
        r->facts->negative = i;
        snprintf(r->facts->negative_text, sizeof r->facts->negative_text, "%.31s", text);
    }
    if (number && !whole && strspn(text, "0123456789") != strlen(text) && r->facts->fraction < 0) {
        r->facts->fraction = i;
        snprintf(r->facts->fraction_text, sizeof r->facts->fraction_text, "%.31s", text);
    }
    return label_table_number(r->table, text, (int64_t)strlen(text), &r->y[i], err);
}

/* --- .npy of numbers -------------------------------------------------------------------------- */

/* Reads element i of a float array, in its own precision. Returns the digits that tell it from
 * others. */
static int float_element(double *x, const Npy *npy, int64_t i) {
    const uint8_t *from = (const uint8_t *)npy->data + i * dtype_bytes(npy->type);
    if (npy->type != DTYPE_F64) {
        float narrow;
        dtype_to_f32(&narrow, from, npy->type, npy->swapped, 1);
        *x = narrow;
        return 9;
    }
    uint64_t bits;
    memcpy(&bits, from, sizeof bits);
    if (npy->swapped) bits = byte_swap64(bits);
    memcpy(x, &bits, sizeof bits);
    return 17;
}

static void element_text(char text[NUMBER_TEXT], const Npy *npy, int64_t i) {
    if (dtype_is_float(npy->type)) {
        double x;
        const int digits = float_element(&x, npy, i);
        double_text(text, isnan(x) ? -1.0 : x, digits);
        return;
    }
    const uint8_t *from = (const uint8_t *)npy->data + i * dtype_bytes(npy->type);
    int64_t x;
    if (dtype_to_i64(&x, from, npy->type, npy->swapped, 1) == 1) {
        snprintf(text, NUMBER_TEXT, "%lld", (long long)x);
        return;
    }
    uint64_t beyond; /* int64 */
    memcpy(&beyond, from, sizeof beyond);
    if (npy->swapped) beyond = byte_swap64(beyond);
    snprintf(text, NUMBER_TEXT, "%llu", (unsigned long long)beyond);
}

/* Refuses shapes with more than one long axis: (N,), (N,1) and (1,N) are served. */
static Status check_shape(const Reader *r, int axes, const int64_t *shape, int64_t count,
                          Error *err) {
    int long_axes = 0;
    for (int a = 0; a < axes; a++) long_axes += shape[a] != 1;
    if (axes >= 2 && long_axes > 1)
        return fail(
            err, ERR_FORMAT,
            "labels: %s: expected one label per sample, got shape (%lld, %lld%s): if its rows "
            "are one-hot or probabilities, save x.argmax(1)",
            r->path, (long long)shape[0], (long long)shape[1], axes > 2 ? ", ..." : "");
    return count == r->N ? OK : wrong_count(r, count, err);
}

static Status read_numbers(Reader *r, const Npy *npy, Error *err) {
    char text[NUMBER_TEXT];
    Status st = check_shape(r, npy->axes, npy->shape, npy->count, err);
    for (int64_t i = 0; st == OK && i < r->N; i++) {
        element_text(text, npy, i);
        st = take_label(r, i, text, true, err);
    }
    return st;
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool unknown_text(const char *text) {
    return !*text || strcmp(text, "-") == 0 || strcasecmp(text, "nan") == 0;
}

/* Takes N texts, as numbers if all that are known are numbers. */
static Status take_texts(Reader *r, char *const *item, Error *err) {
    char text[NUMBER_TEXT];
    Status st = OK;
    for (int64_t i = 0; !r->facts->texts && i < r->N; i++)
        r->facts->texts = !unknown_text(item[i]) && !number_of_text(text, item[i]);
    for (int64_t i = 0; st == OK && i < r->N; i++) {
        /* NOLINTNEXTLINE(clang-analyzer-core.*): the caller filled all N */
        const bool number = number_of_text(text, item[i]);
        if (unknown_text(item[i]) || (number && strcmp(text, "-1") == 0))
            st = take_label(r, i, "-1", true, err);
        else if (r->facts->texts) st = take_label(r, i, item[i], false, err);
        else st = take_label(r, i, text, true, err);
    }
    return st;
}

static Status read_npy_texts(Reader *r, const NpyText *npy, Error *err) {
    Status st = check_shape(r, npy->axes, npy->shape, npy->count, err);
    if (st != OK) return st;
    const int64_t bytes = npy_text_bytes(npy);
    char *all = malloc((size_t)(r->N * bytes)), **item = malloc((size_t)r->N * sizeof *item);
    if (!all || !item) st = out_of_memory(r, err);
    for (int64_t i = 0; st == OK && i < r->N; i++) {
        item[i] = all + i * bytes;
        if (npy_text_get(npy, i, item[i]) < 0)
            st = fail(err, ERR_FORMAT, "labels: %s: label %lld is not text", r->path, (long long)i);
    }
    if (st == OK) st = take_texts(r, item, err);
    free(all);
    free(item);
    return st;
}

static Status read_lines(Reader *r, const FileMap *bytes, Error *err) {
    LabelLines lines;
    Status st = label_lines_open(&lines, bytes, r->path, r->N, err);
    if (st != OK) return st;
    const int64_t first = lines.header;
    if (lines.count - first != r->N) {
        st = first ? fail(err, ERR_FORMAT,
                          "labels: %s: expected %lld labels, one per sample of %s, got %lld below "
                          "the header '%.40s'",
                          r->path, (long long)r->N, r->samples_of, (long long)lines.count - 1,
                          lines.item[0])
                   : wrong_count(r, lines.count, err);
    } else {
        if (first) snprintf(r->facts->header, sizeof r->facts->header, "%.60s", lines.item[0]);
        st = take_texts(r, lines.item + first, err);
    }
    label_lines_close(&lines);
    return st;
}

/* --- which of them ---------------------------------------------------------------------------- */

/* Refuses other kinds of files, in which people do save labels, by their first bytes. */
static Status refuse_others(const Reader *r, const FileMap *f, Error *err) {
    static const struct {
        const char *magic;
        int bytes;
        const char *is, *convert;
    } kinds[] = {
        {"PK\3\4", 4, "a zip archive in a pipe", "name a file, or save its array of labels"},
        {"\x80", 1, "a Python pickle", "save numpy.asarray(x)"},
        {"\x89HDF", 4, "an HDF5 file", "save its array of labels"},
        {"MATLAB 5", 8, "a MATLAB file", "save its array of labels"},
        {"\x1f\x8b", 2, "compressed by gzip", "gunzip it"}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (f->bytes >= kinds[i].bytes &&
            memcmp(f->data, kinds[i].magic, (size_t)kinds[i].bytes) == 0)
            return fail(err, ERR_FORMAT,
                        "labels: %s: is %s: expected .npy or text with one label a line: %s%s",
                        r->path, kinds[i].is, kinds[i].convert,
                        kinds[i].magic[0] == '\x1f' ? "" : " with numpy.save");
    return OK;
}

/* Reads the bytes of a .npy file. */
static Status read_npy(Reader *r, const uint8_t *data, int64_t bytes, Error *err) {
    NpyText texts;
    Npy npy;
    bool are_texts = false;
    Status st = npy_text_open(&texts, &are_texts, data, bytes, r->path, err);
    if (st != OK) return st;
    if (are_texts) return read_npy_texts(r, &texts, err);
    st = npy_view(&npy, data, bytes, r->path, err);
    if (st == OK) st = read_numbers(r, &npy, err);
    npy_close(&npy);
    return st;
}

/* Reads one array of a .npz, .pt or .safetensors file. */
static Status read_container(Reader *r, Error *err) {
    ArrayFile a;
    Status st = array_open_raw(&a, r->path, err);
    if (st != OK) return st;
    Npy tensor = {.type = a.type, .axes = a.axes, .count = a.count, .data = a.data};
    memcpy(tensor.shape, a.shape, sizeof tensor.shape);
    st = a.raw ? read_npy(r, a.raw, a.raw_bytes, err) : read_numbers(r, &tensor, err);
    array_close(&a);
    return st;
}

Status label_file_read(int64_t *y, int64_t N, const char *path, const char *samples_of,
                       LabelTable *table, LabelFacts *facts, Error *err) {
    Reader r = {
        .path = path, .samples_of = samples_of, .N = N, .y = y, .table = table, .facts = facts};
    FileMap bytes;
    *facts = (LabelFacts){.fraction = -1, .negative = -1};
    if (array_is_container(path)) return read_container(&r, err);
    Status st = file_read_text(&bytes, path, err);
    if (st != OK) return st;
    const bool npy = bytes.bytes >= 6 && memcmp(bytes.data, "\x93NUMPY", 6) == 0;
    if (npy && bytes.owned)
        st = fail(err, ERR_IO,
                  "labels: %s: a .npy file cannot be read from a pipe: expected a regular file, or "
                  "text with one label a line",
                  path);
    if (st == OK && npy) {
        st = read_npy(&r, bytes.data, bytes.bytes, err);
    } else if (st == OK) {
        st = refuse_others(&r, &bytes, err);
        if (st == OK) st = read_lines(&r, &bytes, err);
    }
    file_unmap(&bytes);
    return st;
}

Status labels_from_memory(int64_t *y, int64_t N, const int64_t *labels, const char *name,
                          LabelTable *table, LabelFacts *facts, Error *err) {
    Reader r = {.path = name, .N = N, .y = y, .table = table, .facts = facts};
    char text[NUMBER_TEXT];
    Status st = OK;
    *facts = (LabelFacts){.fraction = -1, .negative = -1};
    for (int64_t i = 0; st == OK && i < N; i++) {
        snprintf(text, sizeof text, "%lld", (long long)labels[i]);
        st = take_label(&r, i, text, true, err);
    }
    return st;
}
