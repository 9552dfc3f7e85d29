/* printable.c - bytes from outside made fit for a terminal and for JSON. */
#include "io/text/printable.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/text/utf8.h"

enum { MOST = 16 }; /* bytes that one character becomes at most, and a zero */

bool turns_direction(uint32_t c) {
    return c == 0x061c || (c >= 0x200e && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069);
}

/* Writes one character of n > 0 bytes as it is shown. Returns the bytes that it takes in `text`. */
static int show_one(char to[MOST], const char *text, int64_t n, bool lines) {
    uint32_t code = 0;
    const int length = utf8_length(text, n, &code);
    const uint8_t byte = (uint8_t)*text;
    if (length == 0) snprintf(to, MOST, "\\x%02x", byte);
    else if (code == '\n' && !lines) snprintf(to, MOST, "\\n");
    else if (code == '\t' && !lines) snprintf(to, MOST, "\\t");
    else if (code == '\r') snprintf(to, MOST, "\\r");
    else if ((code < 0x20 && code != '\n' && code != '\t') || (code >= 0x7f && code < 0xa0))
        snprintf(to, MOST, "\\x%02x", (unsigned)code);
    else if (turns_direction(code)) snprintf(to, MOST, "\\u{%04x}", (unsigned)code);
    else {
        memcpy(to, text, (size_t)length);
        to[length] = '\0';
    }
    return length ? length : 1;
}

char *printable(char *to, int64_t capacity, const char *text, bool lines) {
    const int64_t n = (int64_t)strlen(text);
    int64_t used = 0, cut = 0; /* cut: place where "..." still fits */
    for (int64_t at = 0; at < n;) {
        char shown[MOST];
        at += show_one(shown, text + at, n - at, lines);
        const int64_t more = (int64_t)strlen(shown);
        if (used + more + 1 > capacity) {
            snprintf(to + cut, (size_t)(capacity - cut), "...");
            return to;
        }
        memcpy(to + used, shown, (size_t)more);
        used += more;
        if (used + 4 <= capacity) cut = used;
    }
    to[used] = '\0';
    return to;
}

char *printable_copy(const char *text, bool lines) {
    const size_t most = (MOST - 1) * strlen(text) + 1;
    char *copy = malloc(most);
    if (!copy) return NULL;
    printable(copy, (int64_t)most, text, lines);
    char *shorter = realloc(copy, strlen(copy) + 1);
    if (shorter) copy = shorter;
    return copy;
}
