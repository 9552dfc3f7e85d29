/* html.c - character references (WHATWG HTML, 13.2.5.72 and on), by the rules of html.unescape:
 * numbers with or without a semicolon, names with their longest known prefix. */
#include "io/text/html.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/embedded.h"

enum { MAX_NAME = 33, MAX_CODES = 2 }; /* 32 characters and a semicolon */

/* --- numbers ---------------------------------------------------------------------------------- */

static bool is_invalid(uint32_t c) {
    return (c >= 0x1 && c <= 0x8) || c == 0xb || (c >= 0xe && c <= 0x1f) ||
           (c >= 0x7f && c <= 0x9f) || (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

/* Writes the characters of a numeric reference. Returns how many there are: 0 or 1. */
static int numeric(uint32_t out[MAX_CODES], uint64_t code) {
    static const uint16_t windows_1252[32] = {
        0x20ac, 0x81,   0x201a, 0x192,  0x201e, 0x2026, 0x2020, 0x2021, 0x2c6,  0x2030, 0x160,
        0x2039, 0x152,  0x8d,   0x17d,  0x8f,   0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022,
        0x2013, 0x2014, 0x2dc,  0x2122, 0x161,  0x203a, 0x153,  0x9d,   0x17e,  0x178};
    out[0] = (uint32_t)code;
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) out[0] = 0xfffd;
    else if (code >= 0x80 && code <= 0x9f) out[0] = windows_1252[code - 0x80];
    else if (is_invalid((uint32_t)code)) return 0;
    return 1;
}

static int digit_of(uint32_t c, int base) {
    const int value = c >= '0' && c <= '9'                 ? (int)c - '0'
                      : base == 16 && c >= 'a' && c <= 'f' ? (int)c - 'a' + 10
                      : base == 16 && c >= 'A' && c <= 'F' ? (int)c - 'A' + 10
                                                           : -1;
    return value;
}

/* Reads a reference behind "&#". Returns how many characters it has, 0 if it is none. */
static int64_t read_number(const uint32_t *text, int64_t n, uint32_t out[MAX_CODES], int *codes) {
    const int base = n > 0 && (text[0] == 'x' || text[0] == 'X') ? 16 : 10;
    const int64_t first = base == 16;
    uint64_t code = 0;
    int64_t i = first;
    for (; i < n && digit_of(text[i], base) >= 0; i++)
        if (code <= 0x10ffff) code = code * (uint64_t)base + (uint64_t)digit_of(text[i], base);
    if (i == first) return 0;
    *codes = numeric(out, code);
    return i < n && text[i] == ';' ? i + 1 : i;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Returns the line of the sorted table that begins with exactly this name, behind the name; NULL if
 * there is none. */
static const char *find_name(const char *name, size_t length) {
    const char *table = (const char *)embedded_entities.data;
    int64_t low = 0, high = embedded_entities.bytes; /* beginnings of lines in [low, high) */
    while (low < high) {
        int64_t at = low + (high - low) / 2;
        while (at > low && table[at - 1] != '\n') at--;
        const char *line = table + at, *space = strchr(line, ' ');
        const size_t n = (size_t)(space - line);
        const int order = memcmp(name, line, n < length ? n : length);
        if (*line != '#' && order == 0 && n == length) return space;
        if (*line == '#' || order > 0 || (order == 0 && length > n))
            low = strchr(line, '\n') + 1 - table;
        else high = at;
    }
    return NULL;
}

/* Reads a reference behind "&": its longest known prefix. Returns how many characters it has, 0 if
 * it is none. */
static int64_t read_name(const uint32_t *text, int64_t n, uint32_t out[MAX_CODES], int *codes) {
    char name[MAX_NAME];
    int64_t length = 0;
    while (length < n && length < MAX_NAME - 1 && text[length] < 0x80 &&
           !strchr("\t\n\f <&#;", (int)text[length]) && text[length]) {
        name[length] = (char)text[length];
        length++;
    }
    if (length > 0 && length < n && text[length] == ';') name[length++] = ';';
    for (; length > 1; length--) {
        const char *line = find_name(name, (size_t)length);
        if (!line) continue;
        *codes = 0;
        for (char *end = (char *)line; *end == ' ' && *codes < MAX_CODES;)
            out[(*codes)++] = (uint32_t)strtoul(end, &end, 16);
        return length;
    }
    return 0;
}

uint32_t *html_unescape(const uint32_t *text, int64_t n, int64_t *count) {
    uint32_t *out = malloc((size_t)(2 * n + 1) * sizeof *out);
    *count = 0;
    for (int64_t i = 0; out && i < n;) {
        int codes = 0;
        uint32_t found[MAX_CODES];
        int64_t length = 0, mark = 1;
        if (text[i] == '&' && i + 1 < n && text[i + 1] == '#') {
            mark = 2;
            length = read_number(text + i + 2, n - i - 2, found, &codes);
        } else if (text[i] == '&') {
            length = read_name(text + i + 1, n - i - 1, found, &codes);
        }
        if (length == 0) {
            out[(*count)++] = text[i++];
            continue;
        }
        for (int c = 0; c < codes; c++) out[(*count)++] = found[c];
        i += mark + length;
    }
    return out;
}
