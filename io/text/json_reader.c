/* json_reader.c - a pull parser for JSON. */
#include "io/text/json_reader.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/text/utf8.h"

enum { MAX_DEPTH = 64 };

JsonReader json_reader(const void *text, int64_t bytes) {
    const char *at = text ? text : ""; /* an empty file is mapped to NULL */
    return (JsonReader){.at = at, .end = at + bytes};
}

static bool bad(JsonReader *r) {
    r->bad = true;
    r->at = r->end;
    return false;
}

char json_peek(JsonReader *r) {
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\t' || *r->at == '\n' || *r->at == '\r'))
        r->at++;
    return r->at < r->end ? *r->at : '\0';
}

static bool take(JsonReader *r, char c) {
    if (r->bad || json_peek(r) != c) return bad(r);
    r->at++;
    return true;
}

bool json_enter(JsonReader *r, char open) {
    r->fresh = true;
    return take(r, open);
}

bool json_next(JsonReader *r) {
    if (r->bad) return false;
    const char c = json_peek(r);
    if (c == '}' || c == ']') {
        r->at++;
        return r->fresh = false;
    }
    if (!r->fresh && !take(r, ',')) return false;
    r->fresh = false;
    return true;
}

bool json_next_key(JsonReader *r, char *key, int64_t bytes) {
    return json_next(r) && json_text_value(r, key, bytes) && take(r, ':');
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool hex4(JsonReader *r, uint32_t *code) {
    *code = 0;
    if (r->end - r->at < 4) return bad(r);
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        const char c = *r->at++, *digit = strchr(digits, c >= 'A' && c <= 'F' ? c + 32 : c);
        if (!digit || !c) return bad(r);
        *code = *code * 16 + (uint32_t)(digit - digits);
    }
    return true;
}

/* Takes XXXX of \uXXXX; beyond the basic plane two such escapes make one character. */
static bool escaped_code(JsonReader *r, uint32_t *code) {
    uint32_t low;
    if (!hex4(r, code)) return false;
    if (*code < 0xd800 || *code > 0xdfff) return true;
    if (*code > 0xdbff || r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u') return bad(r);
    r->at += 2;
    if (!hex4(r, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return bad(r);
    *code = 0x10000 + ((*code - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

/* Takes the next character, unescaped, as 1 to 4 bytes. Returns how many; 0 at the closing quote,
 * -1 if it is bad. */
static int text_piece(JsonReader *r, char out[4]) {
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    if (r->at >= r->end || (uint8_t)*r->at < 0x20) return bad(r), -1;
    const char c = *r->at++;
    uint32_t code;
    out[0] = c;
    if (c == '"') return 0;
    if (c != '\\') return 1;
    if (r->at >= r->end) return bad(r), -1;
    const char e = *r->at++, *known = e ? strchr(escapes, e) : NULL;
    if (e == 'u') return escaped_code(r, &code) ? utf8_encode(out, code) : -1;
    if (!known) return bad(r), -1;
    out[0] = meant[known - escapes];
    return 1;
}

bool json_text_value(JsonReader *r, char *text, int64_t bytes) {
    char piece[4];
    int64_t used = 0;
    int n = 0;
    if (!take(r, '"')) return false;
    while ((n = text_piece(r, piece)) > 0) {
        if (used + n >= bytes || !piece[0]) return bad(r); /* a zero byte would end it early */
        memcpy(text + used, piece, (size_t)n);
        used += n;
    }
    if (n < 0) return false;
    text[used] = '\0';
    return true;
}

/* --- other values ----------------------------------------------------------------------------- */

bool json_integer_value(JsonReader *r, int64_t *value) {
    if (r->bad) return false;
    const bool negative = json_peek(r) == '-';
    if (negative) r->at++;
    const char *first = r->at;
    int64_t x = 0;
    for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++)
        if (__builtin_mul_overflow(x, 10, &x) || __builtin_add_overflow(x, *r->at - '0', &x))
            return bad(r);
    if (r->at == first || (*first == '0' && r->at > first + 1)) return bad(r);
    if (r->at < r->end && strchr(".eE", *r->at) && *r->at) return bad(r);
    *value = negative ? -x : x;
    return true;
}

static bool skip_text(JsonReader *r) {
    char piece[4];
    int n = 0;
    if (!take(r, '"')) return false;
    while ((n = text_piece(r, piece)) > 0) {}
    return n == 0;
}

/* Skips true, false, null or a number, whose form is not checked: nobody uses it. */
static bool skip_word(JsonReader *r) {
    const char *first = r->at;
    while (r->at < r->end && *r->at && !strchr(" \t\r\n,]}:\"[{", *r->at)) r->at++;
    return r->at > first || bad(r);
}

/* Takes the word that comes next, of less than `bytes`. */
static bool word_value(JsonReader *r, char *word, size_t bytes) {
    json_peek(r);
    const char *first = r->at;
    if (r->bad || !skip_word(r) || (size_t)(r->at - first) >= bytes) return bad(r);
    memcpy(word, first, (size_t)(r->at - first));
    word[r->at - first] = '\0';
    return true;
}

bool json_real_value(JsonReader *r, double *value) {
    char word[64], *end = word;
    if (!word_value(r, word, sizeof word)) return false;
    *value = strcmp(word, "null") == 0 ? NAN : strtod(word, &end);
    if (isnan(*value)) return strcmp(word, "null") == 0 || bad(r);
    return !*end || bad(r);
}

bool json_bool_value(JsonReader *r, bool *value) {
    char word[8];
    if (!word_value(r, word, sizeof word)) return false;
    *value = strcmp(word, "true") == 0;
    return *value || strcmp(word, "false") == 0 || bad(r);
}

bool json_skip(JsonReader *r) {
    int depth = 0;
    do {
        const char c = json_peek(r);
        if (r->bad || !c) return bad(r);
        if (c == '{' || c == '[') {
            if (++depth > MAX_DEPTH) return bad(r);
            r->at++;
        } else if (c == '}' || c == ']') {
            depth--;
            r->at++;
        } else if (c == ',' || c == ':') {
            r->at++;
        } else if (!(c == '"' ? skip_text(r) : skip_word(r))) {
            return false;
        }
    } while (depth > 0);
    r->fresh = false;
    return depth == 0 || bad(r);
}

bool json_finished(JsonReader *r) {
    return !r->bad && json_peek(r) == '\0' && r->at == r->end;
}
