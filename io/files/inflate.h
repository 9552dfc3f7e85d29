/* inflate.h - deflate streams (RFC 1951) of any size, inflated as a whole. */
#ifndef TURTLE_IO_FILES_INFLATE_H
#define TURTLE_IO_FILES_INFLATE_H

#include <stdbool.h>
#include <stdint.h>

/* Inflates `from` (from_bytes) into `out`, which takes exactly out_bytes. Returns false if the
 * stream is damaged or truncated, or holds more or fewer bytes than that. */
bool inflate_whole(uint8_t *out, int64_t out_bytes, const uint8_t *from, int64_t from_bytes);

#endif
