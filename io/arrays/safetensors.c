/* safetensors.c - the header of a .safetensors file, checked and turned into tensors. */
#include "io/arrays/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/files/grow.h"
#include "io/text/json_reader.h"

enum { LENGTH = 8, MAX_NAME = 1024 };

static int64_t header_bytes(const FileMap *map) {
    const uint64_t n = map->bytes > LENGTH ? little64(map->data) : 0;
    return n >= 2 && n <= SAFETENSORS_MAX_HEADER && (int64_t)n <= map->bytes - LENGTH ? (int64_t)n
                                                                                      : -1;
}

bool safetensors_is(const FileMap *map) {
    return header_bytes(map) > 0 && map->data[LENGTH] == '{';
}

static bool type_of(DType *type, const char *name) {
    static const struct {
        const char *name;
        DType type;
    } types[] = {{"F16", DTYPE_F16},  {"BF16", DTYPE_BF16}, {"F32", DTYPE_F32}, {"F64", DTYPE_F64},
                 {"I8", DTYPE_I8},    {"U8", DTYPE_U8},     {"I16", DTYPE_I16}, {"U16", DTYPE_U16},
                 {"I32", DTYPE_I32},  {"U32", DTYPE_U32},   {"I64", DTYPE_I64}, {"U64", DTYPE_U64},
                 {"BOOL", DTYPE_BOOL}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(name, types[i].name) == 0) {
            *type = types[i].type;
            return true;
        }
    return false;
}

/* A file being read. Errors name the file and, once it is known, the tensor. */
typedef struct {
    TensorFile *file;
    const char *path;
    JsonReader json;
    int64_t data_bytes, capacity;
    Error *err;
} Reading;

static Status read_shape(Reading *r, Tensor *t) {
    t->axes = 0;
    t->count = 1;
    json_enter(&r->json, '[');
    while (json_next(&r->json)) {
        int64_t n = 0;
        if (t->axes == TENSOR_MAX_AXES)
            return fail(r->err, ERR_FORMAT, "safetensors: %s: tensor %s has more than %d axes",
                        r->path, t->name, TENSOR_MAX_AXES);
        if (json_integer_value(&r->json, &n)) t->shape[t->axes++] = n;
        if (n < 0 || __builtin_mul_overflow(t->count, n, &t->count))
            return fail(r->err, ERR_FORMAT, "safetensors: %s: tensor %s: impossible shape", r->path,
                        t->name);
    }
    return OK;
}

/* Finds the tensor's bytes: its type and shape must fill what the offsets say. */
static Status place(Reading *r, Tensor *t, const char *type, int64_t begin, int64_t end) {
    int64_t bytes;
    if (!type_of(&t->type, type))
        return fail(r->err, ERR_FORMAT,
                    "safetensors: %s: tensor %s: type '%s': expected F64, F32, F16, BF16, BOOL, "
                    "U8..U64 or I8..I64",
                    r->path, t->name, type);
    if (__builtin_mul_overflow(t->count, dtype_bytes(t->type), &bytes) || begin < 0 ||
        end > r->data_bytes || begin > end || end - begin != bytes)
        return fail(r->err, ERR_FORMAT,
                    "safetensors: %s: tensor %s: bytes %lld to %lld of %lld do not hold its shape: "
                    "the file is truncated or damaged, fetch it again",
                    r->path, t->name, (long long)begin, (long long)end, (long long)r->data_bytes);
    t->data = r->file->map.data + (r->file->map.bytes - r->data_bytes) + begin;
    return OK;
}

static Status read_tensor(Reading *r, Tensor *t) {
    char key[16], type[16] = "";
    int64_t offset[2] = {-1, -1};
    Status st = OK;
    json_enter(&r->json, '{');
    while (st == OK && json_next_key(&r->json, key, sizeof key)) {
        if (strcmp(key, "dtype") == 0) {
            json_text_value(&r->json, type, sizeof type);
        } else if (strcmp(key, "shape") == 0) {
            st = read_shape(r, t);
        } else if (strcmp(key, "data_offsets") == 0) {
            json_enter(&r->json, '[');
            for (int i = 0; json_next(&r->json); i++) {
                int64_t x;
                if (json_integer_value(&r->json, &x) && i < 2) offset[i] = x;
            }
        } else {
            json_skip(&r->json);
        }
    }
    if (st == OK && r->json.bad)
        st = fail(r->err, ERR_FORMAT, "safetensors: %s: tensor %s: its entry is damaged", r->path,
                  t->name);
    return st == OK ? place(r, t, type, offset[0], offset[1]) : st;
}

static Status add_tensor(Reading *r, const char *name) {
    TensorFile *file = r->file;
    Tensor *longer = grown(file->tensor, file->count, &r->capacity, sizeof *longer);
    if (!longer) return fail(r->err, ERR_MEMORY, "safetensors: %s: out of memory", r->path);
    file->tensor = longer;
    Tensor *t = &file->tensor[file->count];
    *t = (Tensor){.name = strdup(name)};
    if (!t->name) return fail(r->err, ERR_MEMORY, "safetensors: %s: out of memory", r->path);
    file->count++;
    return read_tensor(r, t);
}

static int by_place(const void *a, const void *b) {
    const Tensor *x = *(const Tensor *const *)a, *y = *(const Tensor *const *)b;
    if (x->data != y->data) return x->data < y->data ? -1 : 1;
    return (x->count > y->count) - (x->count < y->count);
}

static int by_name(const void *a, const void *b) {
    return strcmp((*(const Tensor *const *)a)->name, (*(const Tensor *const *)b)->name);
}

/* Checks that tensors lie without gaps or overlaps, so that nothing hides in a file, and that no
 * name stands there twice. */
static Status check_cover(Reading *r) {
    const TensorFile *file = r->file;
    const Tensor **order = malloc(((size_t)file->count + 1) * sizeof *order);
    Status st = OK;
    if (!order) return fail(r->err, ERR_MEMORY, "safetensors: %s: out of memory", r->path);
    for (int i = 0; i < file->count; i++) order[i] = &file->tensor[i];
    qsort(order, (size_t)file->count, sizeof *order, by_name);
    for (int i = 1; st == OK && i < file->count; i++)
        if (strcmp(order[i]->name, order[i - 1]->name) == 0)
            st = fail(r->err, ERR_FORMAT, "safetensors: %s: tensor %s stands there twice", r->path,
                      order[i]->name);
    qsort(order, (size_t)file->count, sizeof *order, by_place);
    const uint8_t *end = file->map.data + (file->map.bytes - r->data_bytes);
    for (int i = 0; st == OK && i < file->count; i++) {
        if (order[i]->data != end)
            st = fail(r->err, ERR_FORMAT,
                      "safetensors: %s: tensor %s does not begin where the one before it ends",
                      r->path, order[i]->name);
        end = (const uint8_t *)order[i]->data + order[i]->count * dtype_bytes(order[i]->type);
    }
    if (st == OK && end != file->map.data + file->map.bytes)
        st = fail(r->err, ERR_FORMAT, "safetensors: %s: bytes behind the last tensor", r->path);
    free(order);
    return st;
}

Status safetensors_open(TensorFile *out, const char *path, Error *err) {
    char name[MAX_NAME];
    *out = (TensorFile){0};
    Status st = file_map(&out->map, path, err);
    if (st != OK) return st;
    const int64_t header = header_bytes(&out->map);
    Reading r = {.file = out, .path = path, .err = err};
    if (header < 0) {
        st = fail(err, ERR_FORMAT, "safetensors: %s: not a safetensors file, or a truncated one",
                  path);
        goto out;
    }
    r.json = json_reader(out->map.data + LENGTH, header);
    r.data_bytes = out->map.bytes - LENGTH - header;
    json_enter(&r.json, '{');
    while (st == OK && json_next_key(&r.json, name, sizeof name)) {
        if (strcmp(name, "__metadata__") == 0) json_skip(&r.json);
        else st = add_tensor(&r, name);
    }
    if (st == OK && !json_finished(&r.json))
        st =
            fail(err, ERR_FORMAT, "safetensors: %s: its header is not the JSON it should be", path);
    if (st == OK) st = check_cover(&r);
out:
    if (st != OK) tensor_file_close(out);
    return st;
}
