/* utf8.h - characters of UTF-8 (RFC 3629), checked, decoded and encoded. */
#ifndef TURTLE_IO_TEXT_UTF8_H
#define TURTLE_IO_TEXT_UTF8_H

#include <stdint.h>

#include "io/status.h"

/* Returns the length in bytes of the well-formed character that n > 0 bytes begin with, or 0 if they
 * begin with none. *code receives the character; `code` may be NULL. */
int utf8_length(const char *text, int64_t n, uint32_t *code);
/* Returns how many of the n bytes are well-formed UTF-8 before the first that are not. */
int64_t utf8_prefix(const char *text, int64_t n);

/* Decodes a text into *count code points in fresh memory. A text that is not well-formed is
 * ERR_FORMAT. On failure *out is NULL. */
Status utf8_decode(uint32_t **out, int64_t *count, const char *text, Error *err);
/* Writes a code point as 1 to 4 bytes. Returns how many. */
int utf8_encode(char out[4], uint32_t code);

#endif
