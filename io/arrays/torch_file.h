/* torch_file.h - tensors in PyTorch's .pt and .pth files, read and written without PyTorch.
 *
 * Three containers hold the same thing:
 *   zip     torch.save since 1.6: stored entries <stem>/data.pkl and <stem>/data/<key>, zip64
 *           where needed; also TorchScript archives (torch.jit.save), whose data.pkl and constants
 *           are objects of `__torch__` classes
 *   legacy  torch.save before: a sequence of pickles, then the storages
 * The pickle is read as data: nothing in it is ever executed. Only the opcodes and the globals that
 * rebuild tensors and plain containers are known; any other one is refused by name.
 *
 * Names. '/' joins levels of dictionaries; '.' joins attributes of TorchScript modules, as in
 * state_dict(). {"phi1": {"bias": t}} holds "phi1/bias"; a plain state dict holds
 * "visual.conv1.weight". Values that are not tensors are passed over.
 */
#ifndef TURTLE_IO_ARRAYS_TORCH_FILE_H
#define TURTLE_IO_ARRAYS_TORCH_FILE_H

#include "io/arrays/tensor_file.h"
#include "io/files/zip.h"

enum { TORCH_MAX_NAME = 4096 }; /* bytes of a tensor's name, the zero byte included */

/* Returns the pickle of an archive of torch.save, or NULL if the archive is none. */
const ZipEntry *torch_pickle(const Zip *zip);
/* Returns true if the bytes begin like a file of torch.save before PyTorch 1.6. */
bool torch_is_legacy(const FileMap *map);

/* Opens a file of any of the three kinds, checking every CRC, offset and size. Tensors that were
 * saved on a GPU are read like any other. On failure *out is zeroed. */
Status torch_open(TensorFile *out, const char *path, Error *err);

/* Writes a zip file, atomically, that torch.load (weights_only too) reads as nested OrderedDicts.
 * '/' in a name opens a level; tensors of one level must stand together. `data` of each tensor is
 * contiguous, native-endian. Payloads start at multiples of 64 bytes, as PyTorch lays them. */
Status torch_save(const char *path, const Tensor *tensors, int count, Error *err);

#endif
