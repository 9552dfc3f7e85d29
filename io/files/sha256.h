/* sha256.h - the SHA-256 digest of bytes in memory (FIPS 180-4). */
#ifndef TURTLE_IO_FILES_SHA256_H
#define TURTLE_IO_FILES_SHA256_H

#include <stdint.h>

enum { SHA256_HEX = 64 };

/* Writes the digest of `bytes` bytes as lower-case hexadecimal digits and a zero byte. */
void sha256_hex(char hex[SHA256_HEX + 1], const void *data, int64_t bytes);

#endif
