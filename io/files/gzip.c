/* gzip.c - gzip members: a header, a deflate stream, its checksum and its length (RFC 1952). */
#include "io/files/gzip.h"

#include <limits.h>
#include <stdlib.h>

#include "io/files/bytes.h"
#include "io/files/crc32.h"
#include "io/files/inflate.h"

enum { HEADER = 10, TRAILER = 8 };
enum { HAS_CRC = 2, HAS_EXTRA = 4, HAS_NAME = 8, HAS_COMMENT = 16, RESERVED = 0xe0 }; /* FLG */

bool gzip_is(const uint8_t *data, int64_t bytes) {
    return bytes >= 2 && data[0] == 0x1f && data[1] == 0x8b;
}

/* Returns the place behind the zero that ends a text at `at`, or beyond `end` if there is none. */
static int64_t after_text(const uint8_t *data, int64_t at, int64_t end) {
    while (at < end && data[at]) at++;
    return at + 1;
}

/* Returns where the deflate stream begins, or -1 if the bytes are no header. */
static int64_t stream_offset(const uint8_t *data, int64_t end) {
    if (end < HEADER || !gzip_is(data, end) || data[2] != 8 || data[3] & RESERVED) return -1;
    const int flags = data[3];
    int64_t at = HEADER;
    if (flags & HAS_EXTRA) {
        if (at + 2 > end) return -1;
        at += 2 + (int64_t)little(data + at, 2);
    }
    if (flags & HAS_NAME) at = after_text(data, at, end);
    if (flags & HAS_COMMENT) at = after_text(data, at, end);
    if (flags & HAS_CRC) at += 2;
    return at <= end ? at : -1;
}

Status gzip_inflate(uint8_t **out, int64_t *out_bytes, const uint8_t *data, int64_t bytes,
                    int64_t most, const char *name, Error *err) {
    *out = NULL;
    *out_bytes = 0;
    const int64_t end = bytes - TRAILER, at = stream_offset(data, end);
    if (at < 0 || end - at > INT_MAX)
        return fail(err, ERR_FORMAT, "gzip: %s: expected one gzip member under 2 GiB", name);
    const uint32_t crc = little(data + end, 4), size = little(data + end + 4, 4);
    if (most > INT_MAX - 1) most = INT_MAX - 1;
    if (size > most)
        return fail(err, ERR_FORMAT, "gzip: %s: inflates to %u bytes, expected at most %lld", name,
                    (unsigned)size, (long long)most);
    uint8_t *memory = malloc((size_t)size + 1);
    if (!memory) return fail(err, ERR_MEMORY, "gzip: %s: out of memory", name);
    if (!inflate_whole(memory, size, data + at, end - at) || crc32_update(0, memory, size) != crc) {
        free(memory);
        return fail(err, ERR_FORMAT, "gzip: %s: the data is damaged or truncated, fetch it again",
                    name);
    }
    memory[size] = 0;
    *out = memory;
    *out_bytes = size;
    return OK;
}
