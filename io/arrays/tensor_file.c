/* tensor_file.c - which kind of file holds the tensors, and what all kinds share. */
#include "io/arrays/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "io/arrays/safetensors.h"
#include "io/arrays/shards.h"
#include "io/arrays/torch_file.h"

/* --- what a file is --------------------------------------------------------------------------- */

/* Files that users take for weights, by how they begin. */
static const struct {
    const char *bytes;
    int64_t at, count;
    const char *what;
} strangers[] = {
    {"version https://git-lfs", 0, 23,
     "a pointer of Git LFS: the file itself was not fetched (git lfs pull)"},
    {"<!DOCTYPE", 0, 9, "a web page: the download went wrong, fetch it again"},
    {"<!doctype", 0, 9, "a web page: the download went wrong, fetch it again"},
    {"<html", 0, 5, "a web page: the download went wrong, fetch it again"},
    {"\x89HDF", 0, 4, "HDF5 (Keras): expected weights of PyTorch or .safetensors"},
    {"GGUF", 0, 4, "GGUF: expected weights of PyTorch or .safetensors"},
    {"\x93NUMPY", 0, 6, "a NumPy array: expected weights of PyTorch or .safetensors"},
    {"\x1f\x8b", 0, 2, "compressed by gzip: unpack it with gunzip first"},
    {"BZh", 0, 3, "compressed by bzip2: unpack it with bunzip2 first"},
    {"\xfd"
     "7zXZ",
     0, 5, "compressed by xz: unpack it with unxz first"},
    {"\x28\xb5\x2f\xfd", 0, 4, "compressed by zstd: unpack it with unzstd first"},
    {"ustar", 257, 5, "a tar archive: unpack it with tar -xf first"},
};

static const char *stranger(const FileMap *map) {
    if (map->bytes == 0) return "empty: fetch it again";
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (map->bytes >= strangers[i].at + strangers[i].count &&
            memcmp(map->data + strangers[i].at, strangers[i].bytes, (size_t)strangers[i].count) ==
                0)
            return strangers[i].what;
    return NULL;
}

/* Opens the file as what it is; an index only where it is wanted. */
static Status open_kind(TensorFile *out, const char *path, bool index, Error *err) {
    FileMap map;
    *out = (TensorFile){0};
    const Status st = file_map(&map, path, err);
    if (st != OK) return st;
    const bool safetensors = safetensors_is(&map), json = shards_is_index(&map);
    const char *what = safetensors ? NULL : stranger(&map);
    file_unmap(&map);
    if (what) return fail(err, ERR_FORMAT, "weights: %s: %s", path, what);
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
