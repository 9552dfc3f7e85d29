/* tensor_file.c - which kind of file holds the tensors, and what all kinds share. */
#include "tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "safetensors.h"
#include "torch_file.h"

Status tensor_file_open(TensorFile *out, const char *path, Error *err) {
    FileMap map;
    *out = (TensorFile){0};
    const Status st = file_map(&map, path, err);
    if (st != OK) return st;
    const bool safetensors = safetensors_is(&map);
    file_unmap(&map);
    return safetensors ? safetensors_open(out, path, err) : torch_open(out, path, err);
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
