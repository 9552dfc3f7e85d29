/* tensor_file.c - opens a file of tensors of either kind, and reads its tensors. */
#include "io/arrays/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/safetensors.h"
#include "io/arrays/shards.h"
#include "io/arrays/torch_file.h"
#include "io/files/known.h"

/* Opens the file as what it is; an index is opened only if `index`. */
static Status open_kind(TensorFile *out, const char *path, bool index, Error *err) {
    FileMap map;
    *out = (TensorFile){0};
    const Status st = file_map(&map, path, err);
    if (st != OK) return st;
    const bool safetensors = safetensors_is(&map), json = shards_is_index(&map);
    const bool empty = map.bytes == 0;
    const KnownFile *other = safetensors ? NULL : known_file(map.data, map.bytes);
    file_unmap(&map);
    if (empty) return fail(err, ERR_FORMAT, "weights: %s: is empty: fetch it again", path);
    if (other)
        return fail(err, ERR_FORMAT, "weights: %s: is %s; expected %s%s%s", path, other->is,
                    "weights of PyTorch or .safetensors", other->advice ? ": " : "",
                    other->advice ? other->advice : "");
    if (safetensors) return safetensors_open(out, path, err);
    return json && index ? shards_open(out, path, err) : torch_open(out, path, err);
}

Status tensor_file_open(TensorFile *out, const char *path, Error *err) {
    return open_kind(out, path, true, err);
}

Status tensor_file_open_one(TensorFile *out, const char *path, Error *err) {
    return open_kind(out, path, false, err);
}

char *tensor_file_in(const char *folder) {
    static const char *const names[] = {
        "model.safetensors", "model.safetensors.index.json", "open_clip_model.safetensors",
        "pytorch_model.bin", "pytorch_model.bin.index.json", "open_clip_pytorch_model.bin"};
    const size_t n = strlen(folder);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *path = format_text("%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", names[i]);
        if (!path || file_exists(path)) return path;
        free(path);
    }
    return NULL;
}

void tensor_file_close(TensorFile *file) {
    if (!file) return;
    for (int i = 0; i < file->count; i++) free(file->tensor[i].name);
    free(file->tensor);
    while (file->copies) {
        TensorCopy *next = file->copies->next;
        free(file->copies);
        file->copies = next;
    }
    for (int i = 0; i < file->shards; i++) tensor_file_close(&file->shard[i]);
    free(file->shard);
    file_unmap(&file->map);
    *file = (TensorFile){0};
}

const Tensor *tensor_find(const TensorFile *file, const char *name) {
    for (int i = 0; i < file->count; i++)
        if (strcmp(file->tensor[i].name, name) == 0) return &file->tensor[i];
    return NULL;
}

Status tensor_read_f32(const Tensor *t, float *out, Error *err) {
    return dtype_to_f32(out, t->data, t->type, false, t->count)
               ? OK
               : fail(err, ERR_ARG, "tensor: %s: expected floats, got %s", t->name,
                      dtype_name(t->type));
}

Status tensor_read_i64(const Tensor *t, int64_t *out, Error *err) {
    return dtype_to_i64(out, t->data, t->type, false, t->count) == t->count
               ? OK
               : fail(err, ERR_ARG, "tensor: %s: expected integers, got %s", t->name,
                      dtype_name(t->type));
}

void tensor_shape_text(char *text, size_t bytes, const int64_t *shape, int axes) {
    size_t used = (size_t)snprintf(text, bytes, "(");
    for (int i = 0; i < axes && used < bytes; i++)
        used += (size_t)snprintf(text + used, bytes - used, "%s%lld", i ? ", " : "",
                                 (long long)shape[i]);
    if (used < bytes) snprintf(text + used, bytes - used, ")");
}
