/* columns.c - how wide texts are on a terminal, and how they are cut to a width. */
#include "io/text/columns.h"

#include <stddef.h>
#include <string.h>

#include "io/text/utf8.h"

/* Returns the columns of a character. The ranges hold every character that Unicode's East Asian Width
 * (UAX 11) calls wide or full-width, and some that it does not. */
static int code_columns(uint32_t code) {
    static const uint32_t wide[][2] = {{0x1100, 0x115f},   {0x231a, 0x23f3},   {0x25fd, 0x27bf},
                                       {0x2b1b, 0x2b55},   {0x2e80, 0xa4cf},   {0xa960, 0xa97f},
                                       {0xac00, 0xd7a3},   {0xf900, 0xfaff},   {0xfe10, 0xfe6f},
                                       {0xff01, 0xff60},   {0xffe0, 0xffe6},   {0x16fe0, 0x18dff},
                                       {0x1aff0, 0x1b2ff}, {0x1f000, 0x1faff}, {0x20000, 0x3fffd}};
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (code >= wide[i][0] && code <= wide[i][1]) return 2;
    return 1;
}

/* Returns the bytes of the character that a text begins with; *columns is its width. */
static int64_t step(const char *text, int *columns) {
    uint32_t code = 0;
    const int length = utf8_length(text, (int64_t)strnlen(text, 4), &code);
    *columns = code_columns(code);
    return length ? length : 1;
}

int64_t columns_head(const char *text, int64_t columns) {
    int64_t at = 0;
    int width;
    while (text[at]) {
        const int64_t n = step(text + at, &width);
        if (width > columns) break;
        columns -= width;
        at += n;
    }
    return at;
}

int64_t text_columns(const char *text) {
    int64_t sum = 0;
    int width;
    while (*text) {
        text += step(text, &width);
        sum += width;
    }
    return sum;
}

const char *columns_tail(const char *text, int64_t columns) {
    int width;
    for (int64_t all = text_columns(text); all > columns; all -= width) text += step(text, &width);
    return text;
}
