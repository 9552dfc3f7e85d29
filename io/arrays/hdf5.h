/* hdf5.h - one array of bytes of an HDF5 file, found and not copied (HDF5 File Format Specification
 * 3.0).
 *
 * The subset is that of h5py's default files: superblock 0 or 1, a root group with a symbol table,
 * object headers 1, uint8 numbers, contiguous or in chunks without filters. Other versions, types,
 * layouts and filters are refused by name. The result says where each row lies in the file, so that
 * images are read in place.
 */
#ifndef TURTLE_IO_ARRAYS_HDF5_H
#define TURTLE_IO_ARRAYS_HDF5_H

#include <stdint.h>

#include "io/files/file.h"

enum { HDF5_MOST_AXES = 8 };

typedef struct {
    int axes;
    int64_t dim[HDF5_MOST_AXES]; /* row-major: the last index is fastest */
    int64_t row_bytes;  /* bytes of one index of the first axis: the product of the other dims */
    int64_t chunk_rows; /* rows of a chunk; dim[0] of a contiguous array */
    int64_t chunks;
    int64_t
        *chunk; /* (chunks) offset of each in the file; all bytes of each lie in the file; owned */
} Hdf5Array;

/* Returns true if the bytes begin like an HDF5 file. */
bool hdf5_is(const FileMap *map);
/* Finds the array `name` of the root group. `path` is for messages. On failure *out is zeroed. A
 * missing array is ERR_FORMAT and the message lists those that are there. */
Status hdf5_find(Hdf5Array *out, const FileMap *map, const char *path, const char *name,
                 Error *err);
/* Returns the offset in the file of row i, 0 <= i < dim[0]. */
int64_t hdf5_row(const Hdf5Array *a, int64_t i);
void hdf5_close(Hdf5Array *a); /* NULL and twice are fine */

#endif
