/* golden.h - recorded files of tests/goldens, and the checksum that stands for large ones. */
#ifndef TURTLE_TESTS_SUPPORT_GOLDEN_H
#define TURTLE_TESTS_SUPPORT_GOLDEN_H

#include <criterion/criterion.h>
#include <stdint.h>
#include <unistd.h>

#include "io/arrays/npy.h"

/* Writes the path of the golden <path>: below tests/goldens, or below build/goldens, into which
 * make unpacks the goldens that are stored deflated (data/unpack). Returns `full`. */
static inline const char *golden_path(char *full, size_t bytes, const char *path) {
    snprintf(full, bytes, "tests/goldens/%s", path);
    if (access(full, F_OK) != 0) snprintf(full, bytes, TURTLE_BUILD "/goldens/%s", path);
    return full;
}

/* Returns the elements of the golden <path>, mapped as long as the test's process lives. A missing
 * file, another type and another number of elements fail the test. */
static inline const void *golden(const char *path, DType type, int64_t count) {
    char full[256];
    Npy npy = {0};
    Error err;
    const Status st = npy_open(&npy, golden_path(full, sizeof full, path), &err);
    cr_assert(st == OK, "%s", err.text);
    cr_assert(npy.type == type && npy.count == count && !npy.swapped, "%s: %lld elements of %s",
              full, (long long)npy.count, dtype_name(npy.type));
    return npy.data;
}

/* Returns the crc32 of zlib (reflected polynomial 0xedb88320), computed bit by bit as a judge of
 * the program's. */
static inline uint32_t crc32_of(const void *data, size_t bytes) {
    uint32_t crc = 0xffffffffu;
    for (const uint8_t *p = data, *end = p + bytes; p < end; p++) {
        crc ^= *p;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ ((crc & 1) ? 0xedb88320u : 0);
    }
    return ~crc;
}

#endif
