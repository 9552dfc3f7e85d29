/* npy_text.h - .npy files of texts: numpy's '<U5' (UTF-32) and '|S3' (bytes). */
#ifndef TURTLE_IO_ARRAYS_NPY_TEXT_H
#define TURTLE_IO_ARRAYS_NPY_TEXT_H

#include "io/arrays/npy.h"
#include "io/files/file.h"

typedef struct {
    bool unicode, swapped; /* UTF-32, else bytes; in the other byte order */
    int64_t width;         /* characters of an element; shorter texts end with zeros */
    int axes;
    int64_t shape[NPY_MAX_AXES];
    int64_t count; /* product of the shape */
    const uint8_t *data;
} NpyText;

/* Finds out whether the bytes are such a file; *is stays false for any other .npy file and for
 * anything else. A header of texts that is damaged, or that wants more bytes than there are, is
 * ERR_FORMAT. *out points into `bytes`. */
Status npy_text_open(NpyText *out, bool *is, const uint8_t *bytes, int64_t n, const char *path,
                     Error *err);
/* Writes element i as UTF-8 with a zero byte behind it into `text`, which holds
 * npy_text_bytes(npy). Returns its length, or -1 if it holds a zero in its middle or a code that is
 * no character. */
int64_t npy_text_get(const NpyText *npy, int64_t i, char *text);
int64_t npy_text_bytes(const NpyText *npy);

#endif
