/* inflate_stream.h - deflate streams inflated in pieces: bare, in zlib's wrapper, or as gzip
 * members. */
#ifndef TURTLE_IO_FILES_INFLATE_STREAM_H
#define TURTLE_IO_FILES_INFLATE_STREAM_H

#include <stdint.h>

#include "io/files/pull.h"

typedef enum {
    INFLATE_BARE, /* RFC 1951; what follows its end is left alone */
    INFLATE_ZLIB, /* RFC 1950: the Adler-32 is checked; what follows is left alone */
    INFLATE_GZIP  /* RFC 1952: members up to the end of the input; CRC-32 and length of each are
                   * checked; zero bytes may follow them, anything else is refused */
} InflateWrap;

typedef struct InflateStream InflateStream; /* about 330 KiB */

/* Opens a stream whose compressed bytes `pull` brings. `pull` and its context outlive it; more
 * bytes than the stream has may be pulled. `name` is for messages, and is copied. On failure
 * *out is NULL. */
Status inflate_open(InflateStream **out, InflateWrap wrap, Pull pull, void *context,
                    const char *name, Error *err);
/* A Pull whose context is the InflateStream: writes the next inflated bytes. After a failure
 * every call fails. */
Status inflate_read(void *stream, uint8_t *to, int64_t most, int64_t *got, Error *err);
void inflate_close(InflateStream *f); /* NULL is fine */

#endif
