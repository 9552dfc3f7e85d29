/* sha256.h - the SHA-256 digest of bytes (FIPS 180-4). */
#ifndef TURTLE_IO_FILES_SHA256_H
#define TURTLE_IO_FILES_SHA256_H

#include <stdint.h>

enum { SHA256_HEX = 64 };

/* A digest that is being computed. */
typedef struct {
    uint32_t state[8];
    uint64_t bytes;    /* bytes that were added */
    uint8_t block[64]; /* bytes of the block that is not full yet */
} Sha256;

void sha256_init(Sha256 *s);
/* Adds the next `bytes` bytes. */
void sha256_update(Sha256 *s, const void *data, int64_t bytes);
/* Writes the digest as lower-case hexadecimal digits and a zero byte. */
void sha256_finish(Sha256 *s, char hex[SHA256_HEX + 1]);
/* Writes the digest of `bytes` bytes in memory. */
void sha256_hex(char hex[SHA256_HEX + 1], const void *data, int64_t bytes);

#endif
