/* crc32.h - the checksum of zip, gzip and PNG (CRC-32 of ISO 3309). */
#ifndef TURTLE_IO_FILES_CRC32_H
#define TURTLE_IO_FILES_CRC32_H

#include <stdint.h>

/* Returns the checksum `crc` of earlier bytes (0 if there are none) continued by `bytes` bytes. */
uint32_t crc32_update(uint32_t crc, const uint8_t *data, int64_t bytes);

#endif
