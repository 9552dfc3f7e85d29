/* shards.h - one model in several files: Hugging Face's index of shards, and the shards it names.
 *
 *     model.safetensors.index.json    {"metadata": {..}, "weight_map": {"tensor": "shard file", ..}}
 *     model-00001-of-00002.safetensors
 *
 * The index of .bin shards (pytorch_model.bin.index.json) has the same form.
 */
#ifndef TURTLE_IO_ARRAYS_SHARDS_H
#define TURTLE_IO_ARRAYS_SHARDS_H

#include "io/arrays/tensor_file.h"

/* Returns true if the bytes begin as JSON does: an index is the only JSON among files of weights. */
bool shards_is_index(const FileMap *map);

/* Opens the shards beside the index `path`. Every tensor has to lie in the shard that the index
 * names, and no other may lie there. Shards are files in the index's folder or below it. On failure
 * *out is zeroed. */
Status shards_open(TensorFile *out, const char *path, Error *err);

/* Returns true if a file has the name of one shard of several: "...-00001-of-00002.safetensors". */
bool shard_of(const char *path, int *number, int *count);
/* Returns the path of the index that such a shard belongs to, in fresh memory. Returns NULL without
 * memory, or if the name is no shard's. */
char *shard_index(const char *path);

#endif
