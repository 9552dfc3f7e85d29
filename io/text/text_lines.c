/* text_lines.c - the one reader of text files: lines, whichever program wrote them. */
#include "io/text/text_lines.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"
#include "io/text/utf8.h"

static const char utf8_mark[] = "\xef\xbb\xbf";

Status text_line_bad(const TextLines *t, int64_t number, Error *err, const char *what, ...) {
    char text[320];
    va_list args;
    va_start(args, what);
    vsnprintf(text, sizeof text, what, args);
    va_end(args);
    return fail(err, ERR_FORMAT, "%s: %s: line %lld: %s", t->module, t->path, (long long)number,
                text);
}

/* Returns the number of the line that holds byte `at`. */
static int64_t line_of(const TextLines *t, int64_t at) {
    int64_t number = 1;
    for (int64_t i = 0; i < at; i++) number += t->text[i] == t->line_end;
    return number;
}

/* Returns the name of an encoding other than UTF-8 that the first bytes announce, or NULL. */
static const char *other_encoding(const uint8_t *data, int64_t bytes) {
    static const struct {
        const char *name, *mark;
        int64_t n;
    } marks[] = {{"UTF-32LE", "\xff\xfe\0\0", 4},
                 {"UTF-32BE", "\0\0\xfe\xff", 4},
                 {"UTF-16LE", "\xff\xfe", 2},
                 {"UTF-16BE", "\xfe\xff", 2}};
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        if (bytes >= marks[i].n && memcmp(data, marks[i].mark, (size_t)marks[i].n) == 0)
            return marks[i].name;
    return NULL;
}

/* Returns true if every second byte of the beginning is zero, as in UTF-16 text of a western
 * language. */
static bool like_utf16(const char *text, int64_t bytes) {
    int64_t zeros[2] = {0}, n = bytes < 64 ? bytes / 2 * 2 : 64;
    for (int64_t i = 0; i < n; i++) zeros[i & 1] += text[i] == '\0';
    return n >= 4 && ((zeros[0] == 0 && 2 * zeros[1] == n) || (zeros[1] == 0 && 2 * zeros[0] == n));
}

static Status check_bytes(const TextLines *t, Error *err) {
    const char *zero = t->bytes ? memchr(t->text, '\0', (size_t)t->bytes) : NULL;
    if (zero)
        return text_line_bad(t, line_of(t, zero - t->text), err,
                             "a zero byte: expected UTF-8 text%s",
                             like_utf16(t->text, t->bytes)
                                 ? "; it looks like UTF-16: iconv -f UTF-16LE -t UTF-8 converts it"
                                 : "");
    for (int64_t i = 0; t->line_end == '\n' && i < t->bytes; i++) {
        if (t->text[i] != '\r') continue;
        int64_t next = i + 1;
        while (next < t->bytes && t->text[next] == '\r') next++;
        if (next < t->bytes && t->text[next] != '\n')
            return text_line_bad(t, line_of(t, i), err,
                                 "a carriage return in the midst of the line, while other lines "
                                 "end with a line feed: expected one kind of line end");
        i = next;
    }
    return OK;
}

Status text_lines_of(TextLines *out, const char *module, const char *path, const FileMap *map,
                     Error *err) {
    *out = (TextLines){.module = module, .path = path};
    Status st = OK;
    const char *other = other_encoding(map->data, map->bytes);
    out->text = malloc((size_t)map->bytes + 1);
    out->bytes = map->bytes;
    if (other)
        st = fail(err, ERR_FORMAT,
                  "%s: %s: is %s text: expected UTF-8: iconv -f %s -t UTF-8 converts it", module,
                  path, other, other);
    else if (!out->text) st = fail(err, ERR_MEMORY, "%s: %s: out of memory", module, path);
    if (st == OK) {
        if (map->bytes) memcpy(out->text, map->data, (size_t)map->bytes);
        out->text[map->bytes] = '\0';
        out->line_end = map->bytes && !memchr(out->text, '\n', (size_t)map->bytes) ? '\r' : '\n';
        st = check_bytes(out, err);
    }
    if (st != OK) text_lines_close(out);
    return st;
}

Status text_lines_open(TextLines *out, const char *module, const char *path, Error *err) {
    FileMap map;
    *out = (TextLines){0};
    Status st = file_read_text(&map, path, err);
    if (st == OK) st = text_lines_of(out, module, path, &map, err);
    file_unmap(&map);
    return st;
}

bool text_lines_next(TextLines *t, TextLine *line) {
    if (t->at >= t->bytes) return false;
    char *first = t->text + t->at, *last = t->text + t->bytes;
    char *end = memchr(first, t->line_end, (size_t)(last - first));
    t->at = (end ? end + 1 : last) - t->text;
    *line = (TextLine){.number = ++t->number, .end = t->at, .ended = end != NULL};
    if (!end) end = last;
    while (end > first && end[-1] == '\r') end--;
    if (end - first >= 3 && memcmp(first, utf8_mark, 3) == 0) first += 3;
    *end = '\0';
    line->text = first;
    line->bytes = end - first;
    line->blank = (int64_t)strspn(first, " \t") == line->bytes;
    return true;
}

void text_lines_close(TextLines *t) {
    if (!t) return;
    free(t->text);
    *t = (TextLines){0};
}

Status text_line_utf8(const TextLines *t, const TextLine *line, Error *err) {
    const int64_t good = utf8_prefix(line->text, line->bytes);
    if (good < line->bytes)
        return text_line_bad(t, line->number, err,
                             "byte %lld (\\x%02x) is not UTF-8: iconv -f LATIN1 -t UTF-8 converts "
                             "it if it is Latin-1",
                             (long long)good + 1, (unsigned)(uint8_t)line->text[good]);
    for (int64_t i = 0; i < line->bytes; i++) {
        const uint8_t c = (uint8_t)line->text[i];
        if ((c < ' ' && c != '\t') || c == 127)
            return text_line_bad(t, line->number, err,
                                 "byte %lld is a control character (\\x%02x): expected text",
                                 (long long)i + 1, c);
    }
    return OK;
}

int64_t trim_blanks(char **text, int64_t n) {
    while (n > 0 && (**text == ' ' || **text == '\t')) ++*text, n--;
    while (n > 0 && ((*text)[n - 1] == ' ' || (*text)[n - 1] == '\t')) n--;
    return n;
}
