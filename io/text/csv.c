/* csv.c - tables of text, one row after the other. */
#include "io/text/csv.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/grow.h"

enum { FORGET_EVERY = 8 << 20 };

static const uint8_t *end_of(const Csv *c) {
    return c->map.data + c->map.bytes;
}

/* Returns the separator that stands more often in the first line, ',' where neither does. */
static char usual_separator(const uint8_t *at, const uint8_t *end) {
    int64_t commas = 0, semicolons = 0;
    for (; at < end && *at != '\n' && *at != '\r'; at++) {
        commas += *at == ',';
        semicolons += *at == ';';
    }
    return semicolons > commas ? ';' : ',';
}

static Status begin(Csv *c, char separator, Error *err) {
    const uint8_t *d = c->map.data;
    const int64_t n = c->map.bytes;
    c->at = c->forgotten = d;
    c->next_line = 1;
    if (n >= 3 && memcmp(d, "\xef\xbb\xbf", 3) == 0) c->at += 3;
    if (n >= 2 && (memcmp(d, "\xff\xfe", 2) == 0 || memcmp(d, "\xfe\xff", 2) == 0))
        return fail(err, ERR_FORMAT, "%s: %s: is UTF-16: save it as UTF-8", c->module, c->path);
    c->separator = separator ? separator : usual_separator(c->at, end_of(c));
    return OK;
}

Status csv_open(Csv *out, const char *module, const char *path, char separator, Error *err) {
    *out = (Csv){.module = module, .path = path};
    Status st = file_map(&out->map, path, err);
    if (st == OK) st = begin(out, separator, err);
    if (st != OK) csv_close(out);
    return st;
}

Status csv_of(Csv *out, const char *module, const char *path, const void *text, int64_t bytes,
              char separator, Error *err) {
    *out = (Csv){.module = module, .path = path, .borrowed = true};
    out->map = (FileMap){.data = text, .bytes = bytes};
    const Status st = begin(out, separator, err);
    if (st != OK) csv_close(out);
    return st;
}

void csv_close(Csv *c) {
    if (!c) return;
    if (!c->borrowed) file_unmap(&c->map);
    free(c->row);
    free(c->field);
    *c = (Csv){0};
}

/* --- rows ------------------------------------------------------------------------------------- */

static Status bad(const Csv *c, const char *what, Error *err) {
    return fail(err, ERR_FORMAT, "%s: %s: line %lld: %s", c->module, c->path, (long long)c->line,
                what);
}

static bool is_line_end(uint8_t byte) {
    return byte == '\n' || byte == '\r';
}

/* Passes LF, CRLF or CR. */
static void pass_line_end(Csv *c) {
    if (c->at == end_of(c)) return;
    const bool cr = *c->at++ == '\r';
    if (cr && c->at < end_of(c) && *c->at == '\n') c->at++;
    c->next_line++;
}

/* Adds bytes to the text of the row. */
static Status append(Csv *c, const uint8_t *from, int64_t n, Error *err) {
    if (c->row_bytes + n > CSV_MOST_ROW)
        return bad(c, "a row of more than 16 MiB: is a quote never closed?", err);
    if (c->row_bytes + n > c->row_capacity) {
        const int64_t capacity = 2 * (c->row_bytes + n) + 256;
        char *row = realloc(c->row, (size_t)capacity);
        if (!row) return fail(err, ERR_MEMORY, "%s: %s: out of memory", c->module, c->path);
        c->row = row;
        c->row_capacity = capacity;
    }
    if (n) memcpy(c->row + c->row_bytes, from, (size_t)n);
    c->row_bytes += n;
    return OK;
}

/* Reads a field that begins with a quote, up to the separator, the line end or the end behind
 * it. */
static Status quoted_field(Csv *c, Error *err) {
    const uint8_t *const end = end_of(c), *from = ++c->at;
    for (;; c->at++) {
        if (c->at == end) return bad(c, "a quote is never closed", err);
        if (*c->at == '\0') return bad(c, "a zero byte: expected a table of text", err);
        c->next_line += *c->at == '\n';
        if (*c->at != '"') continue;
        const Status st = append(c, from, c->at - from, err);
        if (st != OK) return st;
        from = ++c->at;
        if (c->at == end || *c->at != '"')
            break; /* a doubled quote is one, and begins the next piece */
    }
    if (c->at < end && *c->at != (uint8_t)c->separator && !is_line_end(*c->at))
        return bad(c, "text behind a closing quote: expected the separator or the line's end", err);
    return OK;
}

static Status plain_field(Csv *c, Error *err) {
    const uint8_t *const end = end_of(c), *const from = c->at;
    while (c->at < end && *c->at != (uint8_t)c->separator && !is_line_end(*c->at) && *c->at)
        c->at++;
    if (c->at < end && !*c->at) return bad(c, "a zero byte: expected a table of text", err);
    return append(c, from, c->at - from, err);
}

/* Reads one field and its zero byte. */
static Status read_field(Csv *c, Error *err) {
    CsvField *field = grown(c->field, c->fields, &c->field_capacity, sizeof *field);
    if (!field) return fail(err, ERR_MEMORY, "%s: %s: out of memory", c->module, c->path);
    c->field = field;
    const int64_t begins = c->row_bytes;
    Status st = c->at < end_of(c) && *c->at == '"' ? quoted_field(c, err) : plain_field(c, err);
    if (st == OK) c->field[c->fields++].bytes = c->row_bytes - begins;
    return st == OK ? append(c, (const uint8_t *)"", 1, err) : st;
}

/* Passes lines that are empty. */
static void pass_blank(Csv *c) {
    while (c->at < end_of(c) && is_line_end(*c->at)) pass_line_end(c);
}

Status csv_next(Csv *c, bool *more, Error *err) {
    Status st = OK;
    c->fields = c->row_bytes = 0;
    if (c->at - c->forgotten >= FORGET_EVERY && !c->borrowed) {
        file_forget(&c->map);
        c->forgotten = c->at;
    }
    pass_blank(c);
    c->line = c->next_line;
    *more = c->at < end_of(c);
    for (bool next = *more; st == OK && next;) {
        st = read_field(c, err);
        next = st == OK && c->at < end_of(c) && *c->at == (uint8_t)c->separator;
        c->at += next;
    }
    if (st != OK) {
        c->fields = 0;
        c->at = end_of(c);
        return st;
    }
    if (*more) pass_line_end(c);
    const char *text = c->row; /* the row does not move any more */
    for (int64_t i = 0; i < c->fields; i++) {
        c->field[i].text = text;
        text += c->field[i].bytes + 1;
    }
    return OK;
}

int64_t csv_column(const Csv *c, const char *name) {
    const size_t n = strlen(name);
    for (int64_t i = 0; i < c->fields; i++) {
        const char *text = c->field[i].text;
        text += strspn(text, " \t");
        if (strncmp(text, name, n) == 0 && !text[n + strspn(text + n, " \t")]) return i;
    }
    return -1;
}
