/* json.c - one JSON object, built in memory. */
#include "host/tell/json.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/text/utf8.h"

static void append(Json *j, const char *bytes, size_t n) {
    if (j->length + n + 1 > j->capacity) {
        const size_t capacity = 2 * (j->length + n + 1);
        char *grown = j->failed ? NULL : realloc(j->text, capacity);
        if (!grown) {
            j->failed = true;
            return;
        }
        j->text = grown;
        j->capacity = capacity;
    }
    memcpy(j->text + j->length, bytes, n);
    j->length += n;
    j->text[j->length] = '\0';
}

static void append_text(Json *j, const char *text) {
    append(j, text, strlen(text));
}

/* Appends valid UTF-8 (RFC 8259), whatever `text` holds. U+FFFD stands for each byte that is none;
 * control characters are escaped, also those of 0x7f to 0x9f, which some terminals obey. */
static void append_quoted(Json *j, const char *text) {
    const int64_t n = (int64_t)strlen(text);
    append(j, "\"", 1);
    for (int64_t at = 0; at < n;) {
        char escape[8];
        uint32_t code = 0;
        const int length = utf8_length(text + at, n - at, &code);
        if (length == 0) {
            append_text(j, "\xef\xbf\xbd");
        } else if (code == '"' || code == '\\') {
            snprintf(escape, sizeof escape, "\\%c", (char)code);
            append_text(j, escape);
        } else if (code < 0x20 || (code >= 0x7f && code < 0xa0)) {
            snprintf(escape, sizeof escape, "\\u%04x", (unsigned)code);
            append_text(j, escape);
        } else {
            append(j, text + at, (size_t)length);
        }
        at += length ? length : 1;
    }
    append(j, "\"", 1);
}

/* Appends what precedes a value: a comma after an earlier one, and the key. */
static void begin_value(Json *j, const char *key) {
    const char last = j->length ? j->text[j->length - 1] : '{';
    if (last != '{' && last != '[') append_text(j, ", ");
    if (key) {
        append_quoted(j, key);
        append_text(j, ": ");
    }
}

void json_open(Json *j, const char *key) {
    begin_value(j, key);
    append_text(j, "{");
}

void json_close(Json *j) {
    append_text(j, "}");
}

void json_open_array(Json *j, const char *key) {
    begin_value(j, key);
    append_text(j, "[");
}

void json_close_array(Json *j) {
    append_text(j, "]");
}

void json_text(Json *j, const char *key, const char *value) {
    begin_value(j, key);
    if (value) append_quoted(j, value);
    else append_text(j, "null");
}

void json_real(Json *j, const char *key, double value) {
    char text[REAL_TEXT];
    begin_value(j, key);
    append_text(j, isfinite(value) ? format_real(text, value) : "null");
}

void json_integer(Json *j, const char *key, int64_t value) {
    char text[REAL_TEXT];
    snprintf(text, sizeof text, "%lld", (long long)value);
    begin_value(j, key);
    append_text(j, text);
}

void json_bool(Json *j, const char *key, bool value) {
    begin_value(j, key);
    append_text(j, value ? "true" : "false");
}

void json_null(Json *j, const char *key) {
    json_text(j, key, NULL);
}

char *json_take(Json *j) {
    char *text = j->failed ? NULL : j->text;
    if (j->failed) free(j->text);
    *j = (Json){0};
    return text;
}

char *format_real(char text[REAL_TEXT], double value) {
    int digits = 1;
    do snprintf(text, REAL_TEXT, "%.*e", digits - 1, value);
    while (strtod(text, NULL) != value && isfinite(value) && ++digits <= 17);
    const char *e = strchr(text, 'e');
    if (!e) return text; /* inf, nan */
    const int exponent = atoi(e + 1);
    if (exponent < -4 || exponent >= 16) { /* Python's limits for the exponent form */
        snprintf(text, REAL_TEXT, "%.*e", digits - 1, value);
        return text;
    }
    const int decimals = digits - 1 > exponent ? digits - 1 - exponent : 1;
    snprintf(text, REAL_TEXT, "%.*f", decimals, value);
    return text;
}
