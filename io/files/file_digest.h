/* file_digest.h - the digest of a whole file, read in pieces. */
#ifndef TURTLE_IO_FILES_FILE_DIGEST_H
#define TURTLE_IO_FILES_FILE_DIGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef enum { DIGEST_MD5, DIGEST_SHA256 } DigestKind;
enum { DIGEST_HEX = 64 }; /* digits of the longest digest */

/* Writes the digest of the file `path` as lower-case hexadecimal digits, 32 (MD5) or 64
 * (SHA-256), and a zero byte. `go_on` (NULL: never) is called with the bytes done so far, every
 * few MiB; false stops, ERR_STOPPED. */
Status file_digest(char hex[DIGEST_HEX + 1], DigestKind kind, const char *path,
                   bool (*go_on)(void *context, int64_t bytes), void *context, Error *err);
/* Tells from the number of digits which digest a text of hexadecimal digits is. Returns false
 * for any other text. */
bool digest_kind_of(DigestKind *kind, const char *hex);

#endif
