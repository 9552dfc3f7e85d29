/* md5.h - the MD5 digest of bytes (RFC 1321). Publishers of data sets state it; it guards
 * against damage, not against forgery. */
#ifndef TURTLE_IO_FILES_MD5_H
#define TURTLE_IO_FILES_MD5_H

#include <stdint.h>

enum { MD5_HEX = 32 };

/* A digest that is being computed. */
typedef struct {
    uint32_t state[4];
    uint64_t bytes;    /* bytes that were added */
    uint8_t block[64]; /* bytes of the block that is not full yet */
} Md5;

void md5_init(Md5 *m);
/* Adds the next `bytes` bytes. */
void md5_update(Md5 *m, const void *data, int64_t bytes);
/* Writes the digest as lower-case hexadecimal digits and a zero byte. */
void md5_finish(Md5 *m, char hex[MD5_HEX + 1]);
/* Writes the digest of `bytes` bytes in memory. */
void md5_hex(char hex[MD5_HEX + 1], const void *data, int64_t bytes);

#endif
