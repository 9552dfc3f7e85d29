/* unicode.c - tables of characters, read from the text compiled into the program. */
#include "io/text/unicode.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/embedded.h"

/* --- tables ----------------------------------------------------------------------------------- */

static const char *const class_names[UNICODE_CLASSES] = {"letter ", "number ", "space ", "cased ",
                                                         "ignorable "};

static bool begins(const char *line, const char *word) {
    return strncmp(line, word, strlen(word)) == 0;
}

static void read_line(Unicode *u, const char *line) {
    for (int c = 0; c < UNICODE_CLASSES; c++)
        if (begins(line, class_names[c])) {
            char *end;
            CodeRange *r = &u->range[c][u->ranges[c]++];
            r->first = (uint32_t)strtoul(line + strlen(class_names[c]), &end, 16);
            r->last = (uint32_t)strtoul(end, NULL, 16);
        }
    if (begins(line, "lower ")) {
        char *end;
        LowerRun *r = &u->run[u->runs++];
        r->first = (uint32_t)strtoul(line + strlen("lower "), &end, 16);
        r->last = (uint32_t)strtoul(end, &end, 16);
        r->step = (int32_t)strtol(end, &end, 10);
        r->delta = (int32_t)strtol(end, NULL, 10);
    }
}

Status unicode_open(Unicode *out, Error *err) {
    const char *at = (const char *)embedded_unicode.data, *end = at + embedded_unicode.bytes;
    int64_t lines = 1;
    *out = (Unicode){0};
    for (const char *p = at; p < end; p++) lines += *p == '\n';
    for (int c = 0; c < UNICODE_CLASSES; c++)
        out->range[c] = malloc((size_t)lines * sizeof **out->range);
    out->run = malloc((size_t)lines * sizeof *out->run);
    bool whole = out->run != NULL;
    for (int c = 0; c < UNICODE_CLASSES; c++) whole = whole && out->range[c];
    if (!whole) {
        unicode_close(out);
        return fail(err, ERR_MEMORY, "unicode: out of memory");
    }
    for (const char *newline; at < end; at = newline + 1) { /* the text ends with a newline */
        newline = memchr(at, '\n', (size_t)(end - at));
        read_line(out, at);
    }
    return OK;
}

void unicode_close(Unicode *u) {
    if (!u) return;
    for (int c = 0; c < UNICODE_CLASSES; c++) free(u->range[c]);
    free(u->run);
    *u = (Unicode){0};
}

bool unicode_is(const Unicode *u, UnicodeClass c, uint32_t code) {
    int low = 0, high = u->ranges[c];
    while (low < high) {
        const int middle = (low + high) / 2;
        if (code > u->range[c][middle].last) low = middle + 1;
        else high = middle;
    }
    return low < u->ranges[c] && code >= u->range[c][low].first;
}

/* --- lower case ------------------------------------------------------------------------------- */

static uint32_t lower_one(const Unicode *u, uint32_t code) {
    int low = 0,
        high = u->runs; /* the search finds the last run that begins at or before the code */
    while (low < high) {
        const int middle = (low + high) / 2;
        if (u->run[middle].first <= code) low = middle + 1;
        else high = middle;
    }
    /* runs of step 2 interleave: the run before may hold the code too */
    for (int i = low - 1; i >= 0 && i >= low - 2; i--) {
        const LowerRun *r = &u->run[i];
        if (code <= r->last && (code - r->first) % (uint32_t)r->step == 0)
            return (uint32_t)((int32_t)code + r->delta);
    }
    return code;
}

/* Returns true if a capital sigma at i is final (Unicode, section 3.13, Final_Sigma): it stands
 * behind a cased letter and not in front of one. Characters that case ignores do not count. */
static bool is_final_sigma(const Unicode *u, const uint32_t *text, int64_t n, int64_t i) {
    int64_t before = i - 1, after = i + 1;
    while (before >= 0 && unicode_is(u, UNICODE_IGNORABLE, text[before])) before--;
    while (after < n && unicode_is(u, UNICODE_IGNORABLE, text[after])) after++;
    return before >= 0 && unicode_is(u, UNICODE_CASED, text[before]) &&
           !(after < n && unicode_is(u, UNICODE_CASED, text[after]));
}

uint32_t *unicode_lower(const Unicode *u, const uint32_t *text, int64_t n, int64_t *count) {
    uint32_t *out = malloc((size_t)(2 * n + 1) * sizeof *out);
    *count = 0;
    for (int64_t i = 0; out && i < n; i++) {
        if (text[i] == 0x3a3) {
            out[(*count)++] = is_final_sigma(u, text, n, i) ? 0x3c2 : 0x3c3;
        } else if (text[i] == 0x130) { /* the one capital whose small form has two code points */
            out[(*count)++] = 0x69;
            out[(*count)++] = 0x307;
        } else {
            out[(*count)++] = lower_one(u, text[i]);
        }
    }
    return out;
}
