/* npy_text.c - .npy files of texts; their header is that of npy.c. */
#include "io/arrays/npy_text.h"

#include <string.h>

#include "io/files/bytes.h"
#include "io/text/utf8.h"

enum { MOST_WIDTH = 1 << 20 };

/* Returns the text behind "'key':" in the header, spaces passed over, or NULL if the key is not
 * there. */
static const char *value_of(const char *header, const char *key) {
    const char *at = strstr(header, key);
    if (!at) return NULL;
    at += strlen(key);
    while (*at == ' ') at++;
    if (*at++ != ':') return NULL;
    while (*at == ' ') at++;
    return at;
}

/* Takes the digits of a number. Returns it, or -1 if there are none or it passes `most`. */
static int64_t number(const char **at, int64_t most) {
    int64_t x = 0;
    const char *start = *at;
    for (; **at >= '0' && **at <= '9'; ++*at)
        if (x > most || (x = 10 * x + (**at - '0')) > most) return -1;
    return *at == start ? -1 : x;
}

static bool read_descr(NpyText *out, const char *at) {
    const char quote = *at++;
    if ((quote != '\'' && quote != '"') || !*at || !strchr("<>|=", *at)) return false;
    out->swapped = *at++ == (host_is_big_endian() ? '<' : '>');
    out->unicode = *at++ == 'U';
    out->width = number(&at, MOST_WIDTH);
    return out->width >= 0 && *at == quote;
}

static bool read_shape(NpyText *out, const char *at) {
    out->count = 1;
    if (*at++ != '(') return false;
    for (;;) {
        while (*at == ' ' || *at == ',') at++;
        if (*at == ')') return true;
        if (out->axes == NPY_MAX_AXES) return false;
        const int64_t n = number(&at, INT64_MAX / 16);
        if (n < 0 || __builtin_mul_overflow(out->count, n, &out->count)) return false;
        out->shape[out->axes++] = n;
    }
}

Status npy_text_open(NpyText *out, bool *is, const uint8_t *bytes, int64_t n, const char *path,
                     Error *err) {
    char header[4096];
    *out = (NpyText){0};
    *is = false;
    if (n < 12 || memcmp(bytes, "\x93NUMPY", 6) != 0) return OK;
    const int64_t start = bytes[6] == 1 ? 10 : 12;
    const int64_t length = little(bytes + 8, start == 10 ? 2 : 4);
    if (length > n - start || length >= (int64_t)sizeof header) return OK;
    memcpy(header, bytes + start, (size_t)length);
    header[length] = '\0';
    const char *descr = value_of(header, "'descr'"), *shape = value_of(header, "'shape'");
    if (!descr || (*descr != '\'' && *descr != '"') || !descr[1] || !strchr("US", descr[2]))
        return OK;
    *is = true;
    int64_t size;
    if (!read_descr(out, descr) || !shape || !read_shape(out, shape) ||
        __builtin_mul_overflow(out->count, out->width * (out->unicode ? 4 : 1), &size))
        return fail(err, ERR_FORMAT, "npy: %s: damaged header", path);
    if (size > n - start - length)
        return fail(err, ERR_FORMAT,
                    "npy: %s: truncated: its shape needs %lld bytes of data, %lld are there", path,
                    (long long)size, (long long)(n - start - length));
    if (out->width == 0 && out->count > n)
        return fail(err, ERR_FORMAT, "npy: %s: texts without a character", path);
    out->data = bytes + start + length;
    return OK;
}

int64_t npy_text_bytes(const NpyText *npy) {
    return npy->width * (npy->unicode ? 4 : 1) + 1; /* UTF-8 takes at most 4 bytes a character */
}

int64_t npy_text_get(const NpyText *npy, int64_t i, char *text) {
    int64_t n = 0, used = 0;
    if (!npy->unicode) {
        memcpy(text, npy->data + i * npy->width, (size_t)npy->width);
        for (n = npy->width; n > 0 && text[n - 1] == '\0'; n--) {}
        text[n] = '\0';
        return memchr(text, '\0', (size_t)n) ? -1 : n;
    }
    bool ended = false;
    for (int64_t c = 0; c < npy->width; c++) {
        uint32_t code;
        memcpy(&code, npy->data + 4 * (i * npy->width + c), sizeof code);
        if (npy->swapped) code = byte_swap32(code);
        if (code == 0) {
            ended = true;
            continue;
        }
        if (ended || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return -1;
        used += utf8_encode(text + used, code);
    }
    text[used] = '\0';
    return used;
}
