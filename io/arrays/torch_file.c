/* torch_file.c - PyTorch's .pt and .pth files, read. */
#include "io/arrays/torch_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/strided.h"
#include "io/files/grow.h"
#include "io/files/zip.h"
#include "io/pickle/pickle.h"

enum { MAX_DEPTH = 64, MAX_VISITS = 1 << 22, MAX_NAME = TORCH_MAX_NAME, EXPANSION = 16 };

/* Everything that exists only while a file is opened. */
typedef struct {
    TensorFile *file;
    const char *path;
    Error *err;
    PickleArena arena;
    Zip zip;            /* the archive, if the file is one */
    char *stem;         /* "<stem>/" of its entries */
    ZipEntry *storages; /* key and bytes of each storage of a legacy file; names owned */
    int64_t storage_count;
    int64_t visits, capacity;
    char name[MAX_NAME];
} Opening;

/* --- storages --------------------------------------------------------------------------------- */

static Status storage_bytes(Opening *o, const Value *storage, const uint8_t **data,
                            int64_t *bytes) {
    const Value *key = storage->as.storage.key;
    const ZipEntry *found = NULL;
    if (o->stem) {
        char *name = format_text("%sdata/%.*s", o->stem, (int)key->as.text.bytes, key->as.text.at);
        if (!name) return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
        found = zip_find(&o->zip, name);
        free(name);
    }
    for (int64_t i = 0; !o->stem && i < o->storage_count; i++)
        if (value_is_text(key, o->storages[i].name)) found = &o->storages[i];
    if (!found)
        return fail(o->err, ERR_FORMAT, "torch: %s: tensor %s: its storage %.*s is missing",
                    o->path, o->name, (int)key->as.text.bytes, key->as.text.at);
    if (!found->data)
        return fail(o->err, ERR_FORMAT,
                    "torch: %s: entry %s is compressed: expected stored entries, as "
                    "torch.save writes them",
                    o->path, found->name);
    *data = found->data;
    *bytes = found->bytes;
    return OK;
}

/* --- tensors ---------------------------------------------------------------------------------- */

/* Counts the elements of a tensor. *reach receives one past the last element of the storage that it
 * touches. Returns false if the sizes are impossible. */
static bool tensor_extent(const Value *t, int64_t *count, int64_t *reach) {
    *count = 1;
    int64_t last = t->as.tensor.offset;
    if (last < 0) return false;
    for (int i = 0; i < t->as.tensor.axes; i++) {
        const int64_t n = t->as.tensor.shape[i], stride = t->as.tensor.stride[i];
        int64_t span;
        if (n < 0 || stride < 0 || __builtin_mul_overflow(*count, n, count)) return false;
        if (n == 0) continue;
        if (__builtin_mul_overflow(n - 1, stride, &span) ||
            __builtin_add_overflow(last, span, &last))
            return false;
    }
    *reach = *count ? last + 1 : 0;
    return last < INT64_MAX / 16;
}

static bool is_contiguous(const Value *t) {
    int64_t step = 1;
    for (int i = t->as.tensor.axes - 1; i >= 0; i--) {
        if (t->as.tensor.shape[i] != 1 && t->as.tensor.stride[i] != step) return false;
        step *= t->as.tensor.shape[i];
    }
    return true;
}

static const void *copy_strided(TensorFile *file, const Value *t, const uint8_t *from,
                                int64_t count, int size) {
    TensorCopy *copy = malloc(sizeof *copy + (size_t)(count * size));
    if (!copy) return NULL;
    copy->next = file->copies;
    file->copies = copy;
    strided_copy(copy->bytes, from + t->as.tensor.offset * size, size, t->as.tensor.axes,
                 t->as.tensor.shape, t->as.tensor.stride);
    return copy->bytes;
}

static Status add_tensor(Opening *o, const Value *t) {
    const Value *storage = t->as.tensor.storage;
    const int size = dtype_bytes(storage->as.storage.type);
    const uint8_t *data = NULL;
    int64_t bytes = 0, count, reach;
    Status st = storage_bytes(o, storage, &data, &bytes);
    if (st != OK) return st;
    const int64_t first = storage->as.storage.first, held = storage->as.storage.count;
    if (first < 0 || held < 0 || first > bytes / size || held > bytes / size - first ||
        !tensor_extent(t, &count, &reach) || reach > held)
        return fail(o->err, ERR_FORMAT,
                    "torch: %s: tensor %s reaches beyond its storage of %lld bytes", o->path,
                    o->name, (long long)bytes);
    TensorFile *file = o->file;
    Tensor *larger = grown(file->tensor, file->count, &o->capacity, sizeof *larger);
    if (!larger) return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
    file->tensor = larger;
    Tensor *out = &file->tensor[file->count];
    *out = (Tensor){.type = storage->as.storage.type, .axes = t->as.tensor.axes, .count = count};
    memcpy(out->shape, t->as.tensor.shape, sizeof out->shape);
    data += first * size;
    if (is_contiguous(t) || count == 0) {
        out->data = data + (count ? t->as.tensor.offset * size : 0);
    } else if (count > EXPANSION * (file->map.bytes / size + 1)) {
        return fail(o->err, ERR_FORMAT, "torch: %s: tensor %s repeats its storage %lld times over",
                    o->path, o->name, (long long)(count / (held ? held : 1)));
    } else {
        out->data = copy_strided(file, t, data, count, size);
    }
    out->name = format_text("%s", o->name);
    if (!out->data || !out->name) {
        free(out->name);
        return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
    }
    file->count++;
    return OK;
}

/* Walks the tree and adds its tensors. The first `length` characters of o->name are the path so
 * far. */
static Status add_tensors(Opening *o, Value *v, size_t length, int depth) {
    if (v->kind == VALUE_TENSOR) return add_tensor(o, v);
    if (v->kind != VALUE_DICT && v->kind != VALUE_OBJECT && v->kind != VALUE_LIST) return OK;
    if (v->open || depth == MAX_DEPTH || ++o->visits > MAX_VISITS)
        return fail(o->err, ERR_FORMAT,
                    "torch: %s: %s holds itself, or too much: not a file of tensors", o->path,
                    length ? o->name : "it");
    const bool pairs = v->kind != VALUE_LIST;
    Status st = OK;
    v->open = true;
    for (int64_t i = 0; st == OK && i < v->as.items.count; i += pairs ? 2 : 1) {
        const Value *key = v->as.items.at[i];
        char number[24];
        const char *text = number;
        int bytes;
        if (pairs && key->kind == VALUE_TEXT) {
            text = key->as.text.at;
            bytes = key->as.text.bytes < MAX_NAME ? (int)key->as.text.bytes : MAX_NAME;
        } else {
            bytes = snprintf(number, sizeof number, "%lld",
                             (long long)(pairs && key->kind == VALUE_INT ? key->as.integer : i));
        }
        const char *join = !length ? "" : v->kind == VALUE_OBJECT ? "." : "/";
        const int n = snprintf(o->name + length, MAX_NAME - length, "%s%.*s", join, bytes, text);
        if (n < 0 || (size_t)n >= MAX_NAME - length)
            st = fail(o->err, ERR_FORMAT, "torch: %s: a name of over %d bytes", o->path, MAX_NAME);
        else
            st = add_tensors(o, v->as.items.at[i + (pairs ? 1 : 0)], length + (size_t)n, depth + 1);
        o->name[length] = '\0';
    }
    v->open = false;
    return st;
}

/* --- containers ------------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end) {
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

const ZipEntry *torch_pickle(const Zip *zip) {
    for (int64_t i = 0; i < zip->count; i++)
        if (ends_with(zip->entry[i].name, "data.pkl")) return &zip->entry[i];
    return NULL;
}

bool torch_is_legacy(const FileMap *map) {
    /* PROTO 2, LONG1 of ten bytes: 0x1950a86a20f9469cfc6c, STOP */
    static const uint8_t magic[] = {0x80, 2,    0x8a, 10,   0x6c, 0xfc, 0x9c, 0x46,
                                    0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.'};
    return map->bytes > (int64_t)sizeof magic && memcmp(map->data, magic, sizeof magic) == 0;
}

static Status open_zip(Opening *o) {
    Value *root = NULL;
    int64_t used = 0;
    Status st = zip_open(&o->zip, &o->file->map, o->path, o->err);
    if (st != OK) return st;
    const ZipEntry *pickle = torch_pickle(&o->zip);
    if (!pickle || !pickle->data)
        return fail(o->err, ERR_FORMAT,
                    "torch: %s: a zip archive without a stored data.pkl: not a file "
                    "of torch.save",
                    o->path);
    o->stem = format_text("%.*s", (int)(strlen(pickle->name) - strlen("data.pkl")), pickle->name);
    if (!o->stem) return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
    st = pickle_read(&o->arena, pickle->data, pickle->bytes, o->path, &root, &used, o->err);
    return st == OK ? add_tensors(o, root, 0, 0) : st;
}

/* Returns the storage of that key from a tensor that uses it, or NULL. Only tensors name its type,
 * which gives the size of its elements. */
static const Value *storage_of(const Value *v, const Value *key, int depth) {
    if (v->kind == VALUE_TENSOR) {
        const Value *own = v->as.tensor.storage->as.storage.key;
        return own->as.text.bytes == key->as.text.bytes &&
                       memcmp(own->as.text.at, key->as.text.at, (size_t)key->as.text.bytes) == 0
                   ? v->as.tensor.storage
                   : NULL;
    }
    const bool holds = v->kind == VALUE_DICT || v->kind == VALUE_OBJECT || v->kind == VALUE_LIST;
    for (int64_t i = 0; holds && depth < 8 && i < v->as.items.count; i++) {
        const Value *found = storage_of(v->as.items.at[i], key, depth + 1);
        if (found) return found;
    }
    return NULL;
}

/* Finds the storages behind the pickles: for each key an int64 count, then that many elements. */
static Status locate_storages(Opening *o, const Value *root, const Value *keys, int64_t at) {
    const FileMap *map = &o->file->map;
    o->storages = calloc((size_t)keys->as.items.count + 1, sizeof *o->storages);
    if (!o->storages) return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
    for (int64_t i = 0; i < keys->as.items.count; i++) {
        const Value *key = keys->as.items.at[i];
        const Value *storage = key->kind == VALUE_TEXT ? storage_of(root, key, 0) : NULL;
        int64_t count = 0;
        if (!storage || map->bytes - at < 8)
            return fail(o->err, ERR_FORMAT, "torch: %s: damaged or truncated at storage %lld",
                        o->path, (long long)i);
        memcpy(&count, map->data + at, sizeof count);
        at += 8;
        const int size = dtype_bytes(storage->as.storage.type);
        if (count < 0 || count > (map->bytes - at) / size)
            return fail(o->err, ERR_FORMAT, "torch: %s: truncated in storage %lld of %lld", o->path,
                        (long long)i, (long long)keys->as.items.count);
        char *name = format_text("%.*s", (int)key->as.text.bytes, key->as.text.at);
        if (!name) return fail(o->err, ERR_MEMORY, "torch: %s: out of memory", o->path);
        o->storages[o->storage_count++] =
            (ZipEntry){.name = name, .data = map->data + at, .bytes = count * size};
        at += count * size;
    }
    return OK;
}

static Status open_legacy(Opening *o) {
    enum { MAGIC, PROTOCOL, SYSTEM, OBJECT, KEYS, PICKLES };
    Value *value[PICKLES] = {NULL};
    const FileMap *map = &o->file->map;
    int64_t at = 0;
    for (int i = 0; i < PICKLES; i++) {
        int64_t used = 0;
        const Status st = pickle_read(&o->arena, map->data + at, map->bytes - at, o->path,
                                      &value[i], &used, o->err);
        if (st != OK) return st;
        at += used;
    }
    if (value[KEYS]->kind != VALUE_LIST)
        return fail(o->err, ERR_FORMAT, "torch: %s: damaged: no list of storages", o->path);
    const Status st = locate_storages(o, value[OBJECT], value[KEYS], at);
    return st == OK ? add_tensors(o, value[OBJECT], 0, 0) : st;
}

Status torch_open(TensorFile *out, const char *path, Error *err) {
    *out = (TensorFile){0};
    Opening *o = calloc(1, sizeof *o);
    if (!o) return fail(err, ERR_MEMORY, "torch: %s: out of memory", path);
    o->file = out;
    o->path = path;
    o->err = err;
    Status st = file_map(&out->map, path, err);
    if (st != OK) goto out;
    if (zip_is(&out->map)) st = open_zip(o);
    else if (torch_is_legacy(&out->map)) st = open_legacy(o);
    else
        st = fail(err, ERR_FORMAT,
                  "torch: %s: not a file of torch.save: neither a zip archive nor its "
                  "older format: expected .pt, .pth, .safetensors or .npy",
                  path);
out:
    for (int64_t i = 0; i < o->storage_count; i++) free(o->storages[i].name);
    free(o->storages);
    free(o->stem);
    zip_close(&o->zip);
    pickle_free(&o->arena);
    free(o);
    if (st != OK) tensor_file_close(out);
    return st;
}
