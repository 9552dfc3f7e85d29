/* array_file.c - one array of numbers, from any file that people keep arrays in. */
#include "io/arrays/array_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/arrays/foreign.h"
#include "io/arrays/safetensors.h"
#include "io/arrays/torch_file.h"

/* --- path:name -------------------------------------------------------------------------------- */

static bool is_file(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && !S_ISDIR(s.st_mode);
}

static bool is_regular(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode);
}

/* Cuts `spec` into out->path and out->name. A path that exists is not cut. Any other is cut at the
 * first ':' that has a file before it and a name behind it. */
static Status split_spec(ArrayFile *out, const char *spec, Error *err) {
    const char *cut = NULL;
    if (!file_exists(spec)) {
        for (const char *at = strchr(spec, ':'); at && !cut; at = strchr(at + 1, ':')) {
            char *path = format_text("%.*s", (int)(at - spec), spec);
            if (!path) return fail(err, ERR_MEMORY, "array: %s: out of memory", spec);
            if (at[1] && is_file(path)) cut = at;
            free(path);
        }
    }
    out->path = cut ? format_text("%.*s", (int)(cut - spec), spec) : format_text("%s", spec);
    if (cut) out->name = format_text("%s", cut + 1);
    if (!out->path || (cut && !out->name))
        return fail(err, ERR_MEMORY, "array: %s: out of memory", spec);
    return OK;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Lists the arrays of a file for a message: "a, b, c, ... (12 in all)". */
typedef struct {
    char text[224];
    size_t used;
    int64_t shown, count;
} Names;

static void add_name(Names *n, const char *name) {
    const size_t bytes = strlen(name), room = sizeof n->text - 24;
    n->count++;
    if (n->shown + 1 < n->count || n->used + bytes + 2 > room) return;
    n->used += (size_t)snprintf(n->text + n->used, sizeof n->text - n->used, "%s%s",
                                n->shown ? ", " : "", name);
    n->shown++;
}

static const char *names_text(Names *n) {
    if (n->shown < n->count)
        snprintf(n->text + n->used, sizeof n->text - n->used, "%s... (%lld)", n->shown ? ", " : "",
                 (long long)n->count);
    return n->text;
}

/* Says why none of the arrays was taken. */
static Status refuse_choice(const ArrayFile *a, Names *names, Error *err) {
    if (names->count == 0)
        return fail(err, ERR_FORMAT, "array: %s: holds no array of numbers", a->path);
    if (a->name)
        return fail(err, ERR_FORMAT, "array: %s: holds no array '%s'; it holds %s", a->path,
                    a->name, names_text(names));
    return fail(err, ERR_FORMAT,
                "array: %s: holds %lld arrays: %s: choose one by its name: FILE:NAME", a->path,
                (long long)names->count, names_text(names));
}

/* --- .npz ------------------------------------------------------------------------------------- */

/* Returns the length of an entry's name without ".npy", or -1 if it is no array. */
static int64_t stem_bytes(const char *entry) {
    const int64_t n = (int64_t)strlen(entry);
    return n > 4 && strcmp(entry + n - 4, ".npy") == 0 ? n - 4 : -1;
}

/* Returns true if an entry has the name `wanted`, which may end with ".npy" or not. */
static bool is_called(const char *entry, const char *wanted) {
    const int64_t stem = stem_bytes(entry);
    return stem >= 0 && (strcmp(entry, wanted) == 0 || ((int64_t)strlen(wanted) == stem &&
                                                        memcmp(entry, wanted, (size_t)stem) == 0));
}

/* Returns the entry that is meant, or NULL. *names receives the names of all arrays. */
static const ZipEntry *choose_entry(const ArrayFile *a, const Zip *zip, Names *names) {
    const ZipEntry *chosen = NULL;
    for (int64_t i = 0; i < zip->count; i++) {
        const int64_t stem = stem_bytes(zip->entry[i].name);
        if (stem < 0) continue;
        if (a->name ? is_called(zip->entry[i].name, a->name) : !names->count)
            chosen = &zip->entry[i];
        char *name = format_text("%.*s", (int)stem, zip->entry[i].name);
        add_name(names, name ? name : "?");
        free(name);
    }
    return a->name || names->count == 1 ? chosen : NULL;
}

static Status open_member(ArrayFile *a, const ZipEntry *entry, Error *err) {
    const uint8_t *bytes = entry->data;
    Status st = OK;
    if (!bytes) {
        st = zip_inflate(&a->inflated, entry, a->path, err);
        bytes = a->inflated;
    }
    if (st != OK) return st;
    a->raw = bytes;
    a->raw_bytes = entry->bytes;
    free(a->name);
    a->name = format_text("%.*s", (int)stem_bytes(entry->name), entry->name);
    return a->name ? OK : fail(err, ERR_MEMORY, "array: %s: out of memory", a->path);
}

static Status open_npz(ArrayFile *a, const Zip *zip, Error *err) {
    Names names = {0};
    if (zip_find(zip, "indptr.npy") && zip_find(zip, "indices.npy"))
        return fail(
            err, ERR_FORMAT,
            "array: %s: is a sparse matrix of scipy: save it dense: python3 -c \"import numpy, "
            "scipy.sparse; numpy.save('dense.npy', scipy.sparse.load_npz('FILE').toarray())\"",
            a->path);
    const ZipEntry *entry = choose_entry(a, zip, &names);
    if (!names.count) return foreign_refuse(&a->map, a->path, err);
    return entry ? open_member(a, entry, err) : refuse_choice(a, &names, err);
}

/* --- tensors ---------------------------------------------------------------------------------- */

static Status open_tensors(ArrayFile *a, Error *err) {
    Names names = {0};
    const Tensor *chosen = NULL;
    Status st = tensor_file_open(&a->tensors, a->path, err);
    if (st != OK) return st;
    for (int i = 0; i < a->tensors.count; i++) {
        add_name(&names, a->tensors.tensor[i].name);
        if (a->name && strcmp(a->tensors.tensor[i].name, a->name) == 0)
            chosen = &a->tensors.tensor[i];
    }
    if (!a->name && names.count == 1) chosen = a->tensors.tensor;
    if (!chosen) return refuse_choice(a, &names, err);
    if (!a->name && *chosen->name && !(a->name = format_text("%s", chosen->name)))
        return fail(err, ERR_MEMORY, "array: %s: out of memory", a->path);
    a->type = chosen->type;
    a->axes = chosen->axes;
    for (int i = 0; i < chosen->axes; i++) a->shape[i] = chosen->shape[i];
    a->count = chosen->count;
    a->data = chosen->data;
    return OK;
}

/* --- any -------------------------------------------------------------------------------------- */

static void take_npy(ArrayFile *a) {
    const Npy *n = &a->npy;
    a->type = n->type;
    a->swapped = n->swapped;
    a->reordered = n->memory != NULL;
    a->axes = n->axes;
    for (int i = 0; i < n->axes; i++) a->shape[i] = n->shape[i];
    a->count = n->count;
    a->data = n->data;
}

static Status open_zip(ArrayFile *a, Error *err) {
    Zip zip;
    Status st = zip_open(&zip, &a->map, a->path, err);
    if (st != OK) return st;
    if (torch_pickle(&zip)) {
        st = open_tensors(a, err);
    } else {
        st = open_npz(a, &zip, err);
    }
    zip_close(&zip);
    return st;
}

static Status open_any(ArrayFile *a, Error *err) {
    Status st = file_map(&a->map, a->path, err);
    if (st != OK) return st;
    if (zip_is(&a->map)) return open_zip(a, err);
    if (safetensors_is(&a->map) || torch_is_legacy(&a->map)) return open_tensors(a, err);
    if (!npy_is(a->map.data, a->map.bytes)) return foreign_refuse(&a->map, a->path, err);
    if (a->name)
        return fail(err, ERR_FORMAT, "array: %s: is one array without a name, expected no ':%s'",
                    a->path, a->name);
    a->raw = a->map.data;
    a->raw_bytes = a->map.bytes;
    return OK;
}

/* Reads the .npy file that open_any found. */
static Status read_raw(ArrayFile *a, Error *err) {
    char *named = a->name ? format_text("%s:%s", a->path, a->name) : NULL;
    const Status st = npy_view(&a->npy, a->raw, a->raw_bytes, named ? named : a->path, err);
    free(named);
    if (st == OK) take_npy(a);
    return st;
}

Status array_open_raw(ArrayFile *out, const char *spec, Error *err) {
    *out = (ArrayFile){0};
    Status st = split_spec(out, spec, err);
    if (st == OK) st = open_any(out, err);
    if (st != OK) array_close(out);
    return st;
}

Status array_open(ArrayFile *out, const char *spec, Error *err) {
    Status st = array_open_raw(out, spec, err);
    if (st == OK && out->raw) st = read_raw(out, err);
    if (st != OK) array_close(out);
    return st;
}

bool array_is_container(const char *spec) {
    ArrayFile a = {0};
    FileMap map;
    bool is = false;
    if (split_spec(&a, spec, NULL) == OK && a.name) is = true;
    else if (a.path && is_regular(a.path) && file_map(&map, a.path, NULL) == OK) {
        is = zip_is(&map) || safetensors_is(&map) || torch_is_legacy(&map);
        file_unmap(&map);
    }
    array_close(&a);
    return is;
}

void array_close(ArrayFile *a) {
    if (!a) return;
    npy_close(&a->npy);
    tensor_file_close(&a->tensors);
    file_unmap(&a->map);
    free(a->inflated);
    free(a->path);
    free(a->name);
    *a = (ArrayFile){0};
}

/* --- elements --------------------------------------------------------------------------------- */

static Status check_range(const ArrayFile *a, int64_t first, int64_t n, Error *err) {
    if (first >= 0 && n >= 0 && first <= a->count && n <= a->count - first) return OK;
    return fail(err, ERR_ARG, "array: %s: elements %lld to %lld of %lld", a->path, (long long)first,
                (long long)(first + n), (long long)a->count);
}

static const void *element(const ArrayFile *a, int64_t first) {
    return (const uint8_t *)a->data + first * dtype_bytes(a->type);
}

Status array_read_f32(const ArrayFile *a, int64_t first, int64_t n, float *out, Error *err) {
    const Status st = check_range(a, first, n, err);
    if (st != OK) return st;
    return dtype_to_f32(out, element(a, first), a->type, a->swapped, n)
               ? OK
               : fail(err, ERR_ARG, "array: %s: expected floats, got %s", a->path,
                      dtype_name(a->type));
}

Status array_read_i64(const ArrayFile *a, int64_t first, int64_t n, int64_t *out, Error *err) {
    const Status st = check_range(a, first, n, err);
    if (st != OK) return st;
    const int64_t read = dtype_to_i64(out, element(a, first), a->type, a->swapped, n);
    if (read < 0)
        return fail(err, ERR_ARG, "array: %s: expected integers, got %s", a->path,
                    dtype_name(a->type));
    if (read < n)
        return fail(err, ERR_FORMAT, "array: %s: element %lld is beyond int64", a->path,
                    (long long)(first + read));
    return OK;
}

Status array_read_f64(const ArrayFile *a, int64_t first, int64_t n, double *out, Error *err) {
    const Status st = check_range(a, first, n, err);
    if (st == OK) dtype_to_f64(out, element(a, first), a->type, a->swapped, n);
    return st;
}

void array_shape_text(char *text, size_t bytes, const ArrayFile *a) {
    tensor_shape_text(text, bytes, a->shape, a->axes);
}
