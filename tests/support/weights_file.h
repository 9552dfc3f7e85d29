/* weights_file.h - weights files for tests: recorded ones unpacked, and their tensors under other
 * names, types and mistakes, written as .safetensors. */
#ifndef TURTLE_TESTS_SUPPORT_WEIGHTS_FILE_H
#define TURTLE_TESTS_SUPPORT_WEIGHTS_FILE_H

#include "io/arrays/tensor_file.h"
#include "tests/support/check.h"

/* Copies the golden encoders/<name> to <folder>/<name>. Returns the path, in fresh memory. */
static inline char *copy_weights(const char *folder, const char *name) {
    FileMap map;
    Error err;
    char *from = format_text(TURTLE_BUILD "/goldens/encoders/%s", name),
         *to = format_text("%s/%s", folder, name);
    ASSERT_OK(file_map(&map, from, &err), err);
    write_bytes(to, map.data, (size_t)map.bytes);
    file_unmap(&map);
    free(from);
    return to;
}

/* Tensors that are changed before they are written again; everything is owned. */
typedef struct {
    Tensor tensor[512];
    int count;
} TensorSet;

static inline void add_tensor_to(TensorSet *set, const char *name, DType type, int axes,
                                 const int64_t *shape, const void *data) {
    cr_assert(set->count < 512);
    Tensor *t = &set->tensor[set->count++];
    *t = (Tensor){.name = strdup(name), .type = type, .axes = axes, .count = 1};
    for (int i = 0; i < axes; i++) t->count *= t->shape[i] = shape[i];
    void *copy = malloc((size_t)(t->count * dtype_bytes(type)) + 1);
    memcpy(copy, data, (size_t)(t->count * dtype_bytes(type)));
    t->data = copy;
}

/* Returns all tensors of a file whose names begin with `prefix`. */
static inline TensorSet read_tensors(const char *path, const char *prefix) {
    TensorSet set = {.count = 0};
    TensorFile file;
    Error err;
    ASSERT_OK(tensor_file_open(&file, path, &err), err);
    for (int i = 0; i < file.count; i++) {
        const Tensor *t = &file.tensor[i];
        if (strncmp(t->name, prefix, strlen(prefix)) == 0)
            add_tensor_to(&set, t->name, t->type, t->axes, t->shape, t->data);
    }
    tensor_file_close(&file);
    return set;
}

static inline Tensor *set_find(TensorSet *set, const char *name) {
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->tensor[i].name, name) == 0) return &set->tensor[i];
    cr_assert_fail("no tensor %s", name);
    return NULL;
}

static inline void set_drop(TensorSet *set, const char *name) {
    Tensor *t = set_find(set, name);
    free(t->name);
    free((void *)t->data);
    *t = set->tensor[--set->count];
}

static inline void set_rename(TensorSet *set, const char *name, const char *to) {
    Tensor *t = set_find(set, name);
    free(t->name);
    t->name = strdup(to);
}

static inline void set_free(TensorSet *set) {
    for (int i = 0; i < set->count; i++) {
        free(set->tensor[i].name);
        free((void *)set->tensor[i].data);
    }
    set->count = 0;
}

static inline void write_safetensors(const char *path, const TensorSet *set) {
    static const char *const names[DTYPE_COUNT] = {"F16", "BF16", "F32", "F64", "BOOL", "I8", "U8",
                                                   "I16", "U16",  "I32", "U32", "I64",  "U64"};
    char *header = format_text("{"), *longer;
    int64_t at = 0;
    for (int i = 0; i < set->count; i++) {
        const Tensor *t = &set->tensor[i];
        const int64_t end = at + t->count * dtype_bytes(t->type);
        char shape[128] = "";
        for (int a = 0; a < t->axes; a++)
            snprintf(shape + strlen(shape), 32, "%s%lld", a ? "," : "", (long long)t->shape[a]);
        longer = format_text(
            "%s%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%lld,%lld]}", header,
            i ? "," : "", t->name, names[t->type], shape, (long long)at, (long long)end);
        free(header);
        header = longer;
        at = end;
    }
    FILE *f = fopen(path, "wb");
    const uint64_t n = strlen(header) + 1;
    cr_assert(f && fwrite(&n, 8, 1, f) == 1 && fprintf(f, "%s}", header) > 0);
    for (int i = 0; i < set->count; i++)
        fwrite(set->tensor[i].data, 1,
               (size_t)(set->tensor[i].count * dtype_bytes(set->tensor[i].type)), f);
    cr_assert(fclose(f) == 0);
    free(header);
}

#endif
