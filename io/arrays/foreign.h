/* foreign.h - refuses files that are no arrays: names their kind and the line that converts them. */
#ifndef TURTLE_IO_ARRAYS_FOREIGN_H
#define TURTLE_IO_ARRAYS_FOREIGN_H

#include "io/files/file.h"

/* Returns ERR_FORMAT. The message says what the file at `path` is (CSV, Parquet, HDF5, a pickle, an
 * image, ...) and what makes an array of it. `map` holds its bytes. */
Status foreign_refuse(const FileMap *map, const char *path, Error *err);

#endif
