/* bytes.h - whole numbers as files hold them, the least or the most significant byte first. */
#ifndef TURTLE_IO_FILES_BYTES_H
#define TURTLE_IO_FILES_BYTES_H

#include <stdint.h>

/* Returns the number in n <= 4 bytes, the least significant byte first. */
static inline uint32_t little(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = n - 1; i >= 0; i--) x = x << 8 | p[i];
    return x;
}

/* Returns the number in eight bytes, the least significant byte first. */
static inline uint64_t little64(const uint8_t *p) {
    return little(p, 4) | (uint64_t)little(p + 4, 4) << 32;
}

/* Returns the number in n <= 4 bytes, the most significant byte first. */
static inline uint32_t big(const uint8_t *p, int n) {
    uint32_t x = 0;
    for (int i = 0; i < n; i++) x = x << 8 | p[i];
    return x;
}

#endif
