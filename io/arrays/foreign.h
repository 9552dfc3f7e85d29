/* foreign.h - files that are no arrays we read: what they are, and the line that converts them. */
#ifndef TURTLE_IO_ARRAYS_FOREIGN_H
#define TURTLE_IO_ARRAYS_FOREIGN_H

#include "io/files/file.h"

/* Returns ERR_FORMAT with what the file at `path`, whose bytes are given, is (CSV, Parquet, HDF5, a
 * pickle, an image, ...), and what makes an array of it. */
Status foreign_refuse(const FileMap *map, const char *path, Error *err);

/* True if the bytes begin like a file of torch.save before PyTorch 1.6, which is a pickle too. */
bool foreign_is_old_torch(const FileMap *map);

#endif
