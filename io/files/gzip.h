/* gzip.h - gzip files, inflated as a whole (RFC 1952). */
#ifndef TURTLE_IO_FILES_GZIP_H
#define TURTLE_IO_FILES_GZIP_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

/* Returns true if the bytes begin like a gzip file. */
bool gzip_is(const uint8_t *data, int64_t bytes);
/* Inflates a file of one member into fresh memory (free it), with a zero byte behind its end.
 * Length and CRC-32 are checked. A member beyond `most` bytes (at most 2^31 - 2) is refused before
 * memory is taken. `name` is for messages. On failure *out is NULL. */
Status gzip_inflate(uint8_t **out, int64_t *out_bytes, const uint8_t *data, int64_t bytes,
                    int64_t most, const char *name, Error *err);

#endif
