/* array_file.h - one array of numbers, from any file that people keep arrays in.
 *
 *     x.npy             numpy.save
 *     x.npz             numpy.savez, numpy.savez_compressed
 *     x.pt, x.pth       torch.save: a tensor, or dictionaries and lists of tensors
 *     x.safetensors
 * `x.npz:name` chooses one array of a file that holds several; a path that exists as it is wins over
 * one that is cut at a ':'. The first bytes of a file tell its kind, not its name. Any other kind is
 * refused by its name, with the line that converts it (foreign.h).
 */
#ifndef TURTLE_IO_ARRAYS_ARRAY_FILE_H
#define TURTLE_IO_ARRAYS_ARRAY_FILE_H

#include "io/arrays/npy.h"
#include "io/arrays/tensor_file.h"

typedef struct {
    char *path; /* path of the file, without the array's name */
    char *name; /* name of the array in the file; NULL: the file is one array */
    DType type;
    bool swapped;   /* the file's byte order is not this machine's */
    bool reordered; /* the file has Fortran order; `data` does not */
    int axes;
    int64_t shape[NPY_MAX_AXES];
    int64_t count;    /* product of the shape; 1 for zero axes */
    const void *data; /* in C order, possibly unaligned */
    Npy npy;          /* `npy`, `tensors`, `map` and `inflated` own what `data` points into */
    TensorFile tensors;
    FileMap map;
    uint8_t *inflated;
    const uint8_t *raw; /* bytes of the array's .npy file, in `map` or `inflated`; NULL: a tensor */
    int64_t raw_bytes;
} ArrayFile;

/* Opens `spec`, a path or path:name. On failure *out is zeroed. */
Status array_open(ArrayFile *out, const char *spec, Error *err);
/* Opens `spec` without a look into the .npy file that is found, which may hold texts. For a .npy file only
 * raw and raw_bytes of *out are filled; for a tensor everything is. */
Status array_open_raw(ArrayFile *out, const char *spec, Error *err);
/* Returns true if `spec` is a file of arrays that is no .npy file: path:name, .npz, .pt or
 * .safetensors. */
bool array_is_container(const char *spec);
void array_close(ArrayFile *array); /* NULL and twice are fine */

/* Reads elements first .. first+n as float32 (float types; float64 is rounded) or as int64 (integer
 * types and bool). The other kind of type is ERR_ARG, a uint64 beyond int64 ERR_FORMAT. */
Status array_read_f32(const ArrayFile *array, int64_t first, int64_t n, float *out, Error *err);
Status array_read_i64(const ArrayFile *array, int64_t first, int64_t n, int64_t *out, Error *err);
/* Reads elements of any type as float64; whole numbers beyond 2^53 are rounded. */
Status array_read_f64(const ArrayFile *array, int64_t first, int64_t n, double *out, Error *err);

/* Writes the shape as "(50000, 768)". */
void array_shape_text(char *text, size_t bytes, const ArrayFile *array);

#endif
