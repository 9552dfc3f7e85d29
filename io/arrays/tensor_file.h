/* tensor_file.h - named tensors as they lie in a file of weights or of a checkpoint.
 *
 * Two families of files hold the same thing: PyTorch's .pt and .pth (torch_file.h) and .safetensors
 * (safetensors.h), either of them alone or in shards (shards.h). The first bytes of a file tell its
 * kind, not its name.
 */
#ifndef TURTLE_IO_ARRAYS_TENSOR_FILE_H
#define TURTLE_IO_ARRAYS_TENSOR_FILE_H

#include "io/dtype.h"
#include "io/files/file.h"

enum { TENSOR_MAX_AXES = 8 };

typedef struct {
    char *name;
    DType type;
    int axes; /* 0 for a scalar */
    int64_t shape[TENSOR_MAX_AXES];
    int64_t count;    /* product of the shape */
    const void *data; /* contiguous in C order, little-endian; possibly unaligned */
} Tensor;

/* A tensor that did not lie contiguously in the file. */
typedef struct TensorCopy {
    struct TensorCopy *next;
    uint8_t bytes[];
} TensorCopy;

typedef struct TensorFile {
    Tensor *tensor; /* in the file's order; owned */
    int count;
    FileMap map;              /* most tensors point into it */
    TensorCopy *copies;       /* tensors point there if they were copied; owned */
    struct TensorFile *shard; /* shards of an index, whose tensors stand in `tensor`; owned */
    int shards;
} TensorFile;

/* Opens a file of either family, or all shards of an index (shards.h), checking every offset, size
 * and CRC. A file of another kind is refused as what it is. On failure *out is zeroed. */
Status tensor_file_open(TensorFile *out, const char *path, Error *err);
/* Opens a file of either family; an index is refused. */
Status tensor_file_open_one(TensorFile *out, const char *path, Error *err);
/* Returns the file of weights, or the index of its shards, that a folder holds under one of the
 * usual names, in fresh memory. Returns NULL if there is none, or if `folder` is no folder. */
char *tensor_file_in(const char *folder);
void tensor_file_close(TensorFile *file); /* NULL and twice are fine */

/* Returns the tensor of that name, or NULL. */
const Tensor *tensor_find(const TensorFile *file, const char *name);
/* Reads the tensor's elements as float32 (any float type) or int64 (any integer type). Other types
 * are ERR_ARG. */
Status tensor_read_f32(const Tensor *tensor, float *out, Error *err);
Status tensor_read_i64(const Tensor *tensor, int64_t *out, Error *err);

/* Writes the shape as "(8, 3, 3, 3)". */
void tensor_shape_text(char *text, size_t bytes, const int64_t *shape, int axes);

#endif
