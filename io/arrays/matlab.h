/* matlab.h - variables of MATLAB's MAT-files, level 5 (The MathWorks, MAT-File Format), in either
 * byte order.
 *
 *     mat_open(&f, &map, path, &err);
 *     mat_find(f, "annotations", &a, &err);                      a struct array
 *     const int fname = mat_field(&a, "fname");
 *     for (MatWalk w = mat_walk(&a); mat_walk_element(f, &w, fields, &more, &err) == OK && more;)
 *         mat_text(&fields[fname], text, sizeof text, &err);
 *     mat_close(f);
 *
 * No tree is built: an array is a view of the mapping, or of the memory that a compressed variable
 * was inflated to. Elements of cell and struct arrays are read one after the other. Sparse and
 * complex arrays, objects, and the files of -v7.3 (which are HDF5) and -v4 are refused by name.
 */
#ifndef TURTLE_IO_ARRAYS_MATLAB_H
#define TURTLE_IO_ARRAYS_MATLAB_H

#include <stdbool.h>
#include <stdint.h>

#include "io/dtype.h"
#include "io/files/file.h"

typedef struct MatFile MatFile;

typedef enum { MAT_CELL, MAT_STRUCT, MAT_CHAR, MAT_NUMBERS } MatKind;

enum {
    MAT_MOST_AXES = 8,
    MAT_MOST_FIELDS = 64, /* of a struct array */
    MAT_MOST_INFLATED =
        1 << 25, /* bytes of a compressed variable: published annotations have 1 to 5 MB */
};

/* A view; lives until mat_close. */
typedef struct {
    MatKind kind;
    int axes;
    int64_t dim[MAT_MOST_AXES]; /* column-major: the first index is fastest */
    int64_t count;              /* elements: the product of dim */
    /* numbers and characters */
    DType stored;        /* type of the bytes, often smaller than that of the array */
    const uint8_t *data; /* (count) in the file's byte order */
    int64_t data_bytes;
    bool swapped; /* the byte order is not ours */
    bool utf8;    /* characters are UTF-8, and count is theirs, not that of the bytes */
    /* cells and structs */
    const uint8_t *elements, *end;
    const char *names; /* (fields, name_bytes), each with a zero byte at its end */
    int fields, name_bytes;
} MatArray;

/* Opens a file. The mapping must outlive *out. On failure *out is NULL. */
Status mat_open(MatFile **out, const FileMap *map, const char *path, Error *err);
/* Finds a variable by name. A missing one is ERR_FORMAT and the message lists those that are
 * there. */
Status mat_find(MatFile *f, const char *name, MatArray *out, Error *err);
void mat_close(MatFile *f); /* NULL is fine */

/* Converts elements [first, first + n) of an array of numbers. mat_i64 refuses fractions and
 * numbers beyond int64; mat_f64 rounds integers beyond 2^53. */
Status mat_f64(const MatArray *a, int64_t first, int64_t n, double *out, Error *err);
Status mat_i64(const MatArray *a, int64_t first, int64_t n, int64_t *out, Error *err);
/* Writes a char array of one row as UTF-8 with a zero byte behind; `bytes` is the room. An empty
 * array of any kind is "". */
Status mat_text(const MatArray *a, char *text, int64_t bytes, Error *err);

/* Elements of a cell or struct array, one after the other. */
typedef struct {
    const MatArray *of;
    const uint8_t *at;
    int64_t done; /* elements that were read */
} MatWalk;

MatWalk mat_walk(const MatArray *a);
/* Reads the next element: one array of a cell array, a->fields arrays of a struct array. A struct
 * array without fields has none to read, whatever its dimensions. `out` has room for
 * MAT_MOST_FIELDS of them, or for 1 at a cell array. */
Status mat_walk_element(const MatFile *f, MatWalk *w, MatArray *out, bool *more, Error *err);
/* Returns the index of a field of a struct array, or -1. */
int mat_field(const MatArray *a, const char *name);

#endif
