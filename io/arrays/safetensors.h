/* safetensors.h - tensors in Hugging Face's .safetensors files (format: the safetensors README).
 *
 * Eight bytes n, little-endian; n bytes of JSON, {"name": {"dtype": "F16", "shape": [..],
 * "data_offsets": [begin, end]}, .., "__metadata__": {..}}; then the data, offsets counted from its
 * beginning. Tensors lie without gaps or overlaps.
 */
#ifndef TURTLE_IO_ARRAYS_SAFETENSORS_H
#define TURTLE_IO_ARRAYS_SAFETENSORS_H

#include "io/arrays/tensor_file.h"

enum {
    SAFETENSORS_MAX_HEADER = 100000000
}; /* bytes of JSON that the original reader takes at most */

/* Returns true if the bytes begin like a safetensors file: a plausible length, then '{'. */
bool safetensors_is(const FileMap *map);
/* Maps the file and checks its header in full: offsets, types, and that data are covered exactly
 * once. On failure *out is zeroed. */
Status safetensors_open(TensorFile *out, const char *path, Error *err);

#endif
