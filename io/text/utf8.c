/* utf8.c - characters of UTF-8 (RFC 3629), checked, decoded and encoded. */
#include "io/text/utf8.h"

#include <stdlib.h>
#include <string.h>

int utf8_length(const char *text, int64_t n, uint32_t *code) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    const uint8_t *p = (const uint8_t *)text;
    const int length = p[0] < 0x80             ? 1
                       : (p[0] & 0xe0) == 0xc0 ? 2
                       : (p[0] & 0xf0) == 0xe0 ? 3
                       : (p[0] & 0xf8) == 0xf0 ? 4
                                               : 0;
    if (length == 0 || length > n) return 0;
    uint32_t c = length == 1 ? p[0] : p[0] & (0x7fu >> length);
    for (int i = 1; i < length; i++) {
        if ((p[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (p[i] & 0x3fu);
    }
    if (c < least[length] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff)) return 0;
    if (code) *code = c;
    return length;
}

int64_t utf8_prefix(const char *text, int64_t n) {
    int64_t at = 0;
    for (int length; at < n; at += length) {
        length = utf8_length(text + at, n - at, NULL);
        if (!length) break;
    }
    return at;
}

Status utf8_decode(uint32_t **out, int64_t *count, const char *text, Error *err) {
    const int64_t bytes = (int64_t)strlen(text);
    *out = malloc(((size_t)bytes + 1) * sizeof **out);
    *count = 0;
    if (!*out) return fail(err, ERR_MEMORY, "text: out of memory");
    for (int64_t at = 0; at < bytes;) {
        const int n = utf8_length(text + at, bytes - at, *out + *count);
        if (n == 0) {
            free(*out);
            *out = NULL;
            return fail(err, ERR_FORMAT, "text: byte %lld (0x%02x) is not UTF-8: '%.40s'",
                        (long long)at, (uint8_t)text[at], text);
        }
        at += n;
        ++*count;
    }
    return OK;
}

int utf8_encode(char out[4], uint32_t code) {
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    const int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    for (int i = more; i > 0; i--, code >>= 6) out[i] = (char)(0x80 | (code & 0x3f));
    out[0] = (char)(lead[more] | code);
    return more + 1;
}
