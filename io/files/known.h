/* known.h - kinds of files that users bring by mistake, told by their first bytes.
 *
 * The reader of arrays, that of weights and that of pictures each look here once the bytes are none of
 * their own kinds.
 */
#ifndef TURTLE_IO_FILES_KNOWN_H
#define TURTLE_IO_FILES_KNOWN_H

#include <stdint.h>

typedef struct {
    int64_t at, bytes; /* place and length of the mark */
    const char *mark;  /* bytes that show the kind */
    const char *is;    /* "HDF5", "a web page: ..." */
    const char
        *python; /* expression that makes an array, with %s for the file in quotes, or NULL */
    const char *advice; /* what to do, for people, or NULL */
} KnownFile;

/* Returns the kind that a file's first bytes show, or NULL. */
const KnownFile *known_file(const uint8_t *data, int64_t bytes);

#endif
