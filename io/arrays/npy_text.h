/* npy_text.h - .npy files of texts: numpy's '<U5' (UTF-32) and '|S3' (bytes). */
#ifndef TURTLE_IO_ARRAYS_NPY_TEXT_H
#define TURTLE_IO_ARRAYS_NPY_TEXT_H

#include "io/files/file.h"
#include "io/arrays/npy.h"

typedef struct {
    bool unicode, swapped; /* UTF-32 instead of bytes; of the other byte order */
    int64_t width;         /* characters of an element; shorter ones end with zeros */
    int axes;
    int64_t shape[NPY_MAX_AXES];
    int64_t count; /* product of the shape */
    const uint8_t *data;
} NpyText;

/* Whether the bytes are such a file; false for any other .npy file and for anything else. Every
 * size is checked: a header of texts that is damaged or wants more bytes than there are is
 * ERR_FORMAT. What *out points to lies in `bytes`. */
Status npy_text_open(NpyText *out, bool *is, const uint8_t *bytes, int64_t n, const char *path,
                     Error *err);
/* Element i as UTF-8 with a zero byte behind it, in `text`, which holds npy_text_bytes(npy).
 * Returns its length; -1 if it holds a zero in its middle or what is no character. */
int64_t npy_text_get(const NpyText *npy, int64_t i, char *text);
int64_t npy_text_bytes(const NpyText *npy);

#endif
