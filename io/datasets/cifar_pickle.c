/* cifar_pickle.c - CIFAR's batches for Python: pickled dictionaries of pixels and labels. */
#include "io/datasets/cifar_pickle.h"

#include <stdlib.h>
#include <string.h>

#include "io/pickle/pickle.h"

enum { PIXELS = 3 * 32 * 32 };

/* Returns the value under a key of a dictionary, or NULL. */
static const Value *find_key(const Value *dict, const char *key) {
    for (int64_t i = 0; dict->kind == VALUE_DICT && i + 1 < dict->as.items.count; i += 2)
        if (value_is_text(dict->as.items.at[i], key)) return dict->as.items.at[i + 1];
    return NULL;
}

/* Copies the labels, which are a list of ints or an array of them. Returns false if they are
 * neither. */
static bool take_labels(CifarBatch *out, const Value *labels) {
    if (labels->kind == VALUE_LIST && labels->as.items.count == out->count) {
        for (int64_t i = 0; i < out->count; i++) {
            const Value *v = labels->as.items.at[i];
            if (v->kind != VALUE_INT) return false;
            out->label[i] = v->as.integer;
        }
        return true;
    }
    if (labels->kind != VALUE_ARRAY || labels->as.array.axes != 1 ||
        labels->as.array.shape[0] != out->count || !labels->as.array.at)
        return false;
    return dtype_to_i64(out->label, labels->as.array.at, labels->as.array.type,
                        labels->as.array.swapped, out->count) == out->count;
}

/* Returns true if a value is the images: bytes, (count, 3072) or (count, 3, 32, 32). */
static bool is_pixels(const Value *v) {
    if (!v || v->kind != VALUE_ARRAY || v->as.array.type != DTYPE_U8 || !v->as.array.at)
        return false;
    const int64_t *shape = v->as.array.shape;
    if (v->as.array.axes == 2) return shape[1] == PIXELS;
    return v->as.array.axes == 4 && shape[1] == 3 && shape[2] == 32 && shape[3] == 32;
}

/* Finds the images: those of Python 3's protocol 2 are decoded and lie outside of the file. */
static bool take_pixels(CifarBatch *out, const Value *pixels, const uint8_t *data, int64_t bytes) {
    const uintptr_t first = (uintptr_t)data, at = (uintptr_t)pixels->as.array.at;
    const size_t need = (size_t)out->count * PIXELS;
    if (at >= first && at - first <= (uintptr_t)bytes) {
        out->offset = (int64_t)(at - first);
        return true;
    }
    out->pixels = malloc(need ? need : 1);
    if (out->pixels) memcpy(out->pixels, pixels->as.array.at, need);
    return out->pixels != NULL;
}

Status cifar_pickle_read(CifarBatch *out, const uint8_t *data, int64_t bytes, const char *label_key,
                         const char *name, Error *err) {
    PickleArena arena = {0};
    Value *root = NULL;
    int64_t used;
    *out = (CifarBatch){0};
    Status st = pickle_read(&arena, data, bytes, name, &root, &used, err);
    if (st != OK) goto out;
    const Value *pixels = find_key(root, "data"), *labels = find_key(root, label_key);
    if (!is_pixels(pixels) || !labels) {
        st = fail(
            err, ERR_FORMAT,
            "datasets: %s: expected a pickled dictionary with data, (N, 3072) bytes in C order, "
            "and %s",
            name, label_key);
        goto out;
    }
    out->count = pixels->as.array.shape[0];
    out->label = malloc((size_t)(out->count ? out->count : 1) * sizeof *out->label);
    if (!out->label || !take_pixels(out, pixels, data, bytes))
        st = fail(err, ERR_MEMORY, "datasets: out of memory");
    else if (!take_labels(out, labels))
        st = fail(err, ERR_FORMAT, "datasets: %s: %s are not %lld whole numbers, one per image",
                  name, label_key, (long long)out->count);
out:
    pickle_free(&arena);
    if (st != OK) {
        free(out->label);
        free(out->pixels);
        *out = (CifarBatch){0};
    }
    return st;
}
