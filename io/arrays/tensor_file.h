/* tensor_file.h - named tensors as they lie in a file of weights or of a checkpoint.
 *
 * Two families of files hold the same thing: PyTorch's .pt and .pth (torch_file.h) and .safetensors
 * (safetensors.h), either of them alone or in shards (shards.h). What a file is, its first bytes say,
 * not its name.
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
    FileMap map;              /* tensors point into it */
    TensorCopy *copies;       /* or there; owned */
    struct TensorFile *shard; /* or into the shards of an index, which hold no tensors; owned */
    int shards;
} TensorFile;

/* Opens a file of either family, or all shards of an index (shards.h), checking every offset, size
 * and CRC. A file of another kind is refused as what it is. On failure *out is zeroed. */
Status tensor_file_open(TensorFile *out, const char *path, Error *err);
/* Opens a file of either family, no index. */
Status tensor_file_open_one(TensorFile *out, const char *path, Error *err);
/* Returns the file of weights, or the index of its shards, that a folder holds under one of the usual
 * names; fresh memory. NULL: none, or `folder` is no folder. */
char *tensor_file_in(const char *folder);
void tensor_file_close(TensorFile *file); /* NULL and twice are fine */

/* The tensor of that name, or NULL. */
const Tensor *tensor_find(const TensorFile *file, const char *name);
/* The tensor's elements as float32 (any float type) or int64 (any integer type); ERR_ARG else. */
Status tensor_read_f32(const Tensor *tensor, float *out, Error *err);
Status tensor_read_i64(const Tensor *tensor, int64_t *out, Error *err);

/* "(8, 3, 3, 3)", for people. */
void tensor_shape_text(char *text, size_t bytes, const int64_t *shape, int axes);

#endif
