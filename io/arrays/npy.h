/* npy.h - numpy's .npy files, versions 1.0, 2.0 and 3.0 (numpy/lib/format.py documents the format).
 *
 * We read f2 f4 f8, bool and any integer type, in either byte order, of any size. The file is
 * mapped and not copied, so a matrix larger than the memory can be read row by row. An array in
 * Fortran order is brought into C order in memory, for its rows do not lie together; with one long
 * axis both orders are the same. We write version 1.0, little-endian, in C order.
 */
#ifndef TURTLE_IO_ARRAYS_NPY_H
#define TURTLE_IO_ARRAYS_NPY_H

#include "io/dtype.h"
#include "io/files/file.h"

enum { NPY_MAX_AXES = 8 };

typedef struct {
    DType type;
    bool swapped; /* the file's byte order is not this machine's */
    int axes;
    int64_t shape[NPY_MAX_AXES];
    int64_t count; /* product of the shape; 1 for zero axes */
    const void
        *data;    /* first element, in the bytes of the file or in `memory`; possibly unaligned */
    FileMap map;  /* the file; zeroed by npy_view */
    void *memory; /* the elements in C order; NULL: the file has that order already; owned */
} Npy;

/* Maps `path` and checks every byte of its header. On failure *out is zeroed. */
Status npy_open(Npy *out, const char *path, Error *err);
/* Reads an array from bytes that outlive *out: a member of an archive. `name` is for messages. */
Status npy_view(Npy *out, const uint8_t *bytes, int64_t count, const char *name, Error *err);
/* Returns true if the bytes begin like a .npy file. */
bool npy_is(const uint8_t *bytes, int64_t count);
void npy_close(Npy *npy); /* NULL and twice are fine */

/* Reads elements first .. first+n of a float array (f2, f4, f8) as float32. Other types are
 * ERR_ARG. */
Status npy_read_f32(const Npy *npy, int64_t first, int64_t n, float *out, Error *err);
/* Reads elements first .. first+n of an integer or bool array as int64. A uint64 beyond int64 is
 * ERR_FORMAT; a float array is ERR_ARG. */
Status npy_read_i64(const Npy *npy, int64_t first, int64_t n, int64_t *out, Error *err);

/* Writes the header alone, for rows that are written one batch at a time. Returns its length, a
 * multiple of 64, or -1 if the array cannot be written. Headers of (N,d) matrices of one type are
 * all 128 bytes. */
enum { NPY_MAX_HEADER = 512 };
int64_t npy_header(char text[NPY_MAX_HEADER], DType type, int axes, const int64_t *shape);

/* Writes a C-ordered array atomically. */
Status npy_write(const char *path, DType type, int axes, const int64_t *shape, const void *data,
                 Error *err);

#endif
