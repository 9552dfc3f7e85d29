/* tar.c - the entries of a tar. The header is that of POSIX.1-1988 (ustar); pax is
 * POSIX.1-2001's; GNU's types stand in the manual of GNU tar. */
#include "io/archives/tar.h"

#include <stdlib.h>
#include <string.h>

#include "io/files/file.h"
#include "io/sizes.h"

enum { MOST_NAME = 1 << 16, MOST_PAX = 1 << 20, PIECE = 1 << 16 };
/* Fields of a header: offset and length. */
enum {
    NAME = 0,
    NAME_BYTES = 100,
    SIZE = 124,
    SIZE_BYTES = 12,
    SUM = 148,
    SUM_BYTES = 8,
    TYPE = 156
};
enum { LINK = 157, LINK_BYTES = 100, MAGIC = 257, PREFIX = 345, PREFIX_BYTES = 155 };

/* Facts that earlier headers state about the entry that follows them. */
typedef struct {
    char *name, *link; /* owned; NULL: the header's own */
    int64_t bytes;     /* -1: the header's own */
} Longer;

static Status damaged(const Tar *t, const char *what, Error *err) {
    return fail(err, ERR_FORMAT, "tar: %s: damaged: %s: fetch it again", t->path, what);
}

static Status truncated(const Tar *t, Error *err) {
    return fail(err, ERR_FORMAT, "tar: %s: truncated: it ends before its end mark: fetch it again",
                t->path);
}

static Status no_memory(const Tar *t, Error *err) {
    return fail(err, ERR_MEMORY, "tar: %s: out of memory", t->path);
}

/* Reads `bytes` bytes; *got is less only at the end. */
static Status read_fully(Tar *t, uint8_t *to, int64_t bytes, int64_t *got, Error *err) {
    int64_t n = 1;
    Status st = OK;
    for (*got = 0; st == OK && *got < bytes && n > 0;) {
        st = t->pull(t->context, to + *got, bytes - *got, &n, err);
        if (st == OK) *got += n;
    }
    return st;
}

/* --- headers ---------------------------------------------------------------------------------- */

/* Reads a number of octal digits, or of GNU's base 256 if its first bit is set. Returns -1 for
 * anything else, and for numbers beyond 2^62. */
static int64_t number(const uint8_t *field, int n) {
    int64_t x = 0;
    int i = 0;
    if (field[0] & 0x80) {
        if (field[0] != 0x80) return -1; /* negative, or 2^(8 n - 8) and more */
        for (i = 1; i < n; i++) {
            if (x >> 54) return -1;
            x = x << 8 | field[i];
        }
        return x;
    }
    while (i < n && field[i] == ' ') i++;
    for (; i < n && field[i] >= '0' && field[i] <= '7'; i++) {
        if (x >> 59) return -1;
        x = x << 3 | (field[i] - '0');
    }
    for (; i < n; i++)
        if (field[i] != ' ' && field[i] != '\0') return -1;
    return x;
}

bool tar_is(const uint8_t b[TAR_BLOCK]) {
    int64_t plain = 0, with_sign = 0; /* tars before POSIX added signed characters */
    for (int i = 0; i < TAR_BLOCK; i++) {
        const uint8_t byte = i >= SUM && i < SUM + SUM_BYTES ? ' ' : b[i];
        plain += byte;
        with_sign += (int8_t)byte;
    }
    const int64_t sum = number(b + SUM, SUM_BYTES);
    return !tar_is_end(b) && (sum == plain || sum == with_sign);
}

bool tar_is_end(const uint8_t b[TAR_BLOCK]) {
    for (int i = 0; i < TAR_BLOCK; i++)
        if (b[i]) return false;
    return true;
}

/* Returns a field of text, which may fill its whole length, in fresh memory. */
static char *text_of(const uint8_t *field, int n) {
    return format_text("%.*s", n, (const char *)field);
}

static char *name_of(const uint8_t *b) {
    char *name = text_of(b + NAME, NAME_BYTES);
    if (!name || memcmp(b + MAGIC, "ustar\0", 6) != 0 || !b[PREFIX]) return name;
    char *whole = format_text("%.*s/%s", PREFIX_BYTES, (const char *)b + PREFIX, name);
    free(name);
    return whole;
}

/* Goes behind what is left of an entry, and behind the zeros that fill its last block. */
static Status pass(Tar *t, Error *err) {
    uint8_t piece[4096];
    int64_t left = t->left + t->padding, n = 0;
    t->left = t->padding = 0;
    if (t->memory) {
        if (left > t->memory->end - t->memory->at) return truncated(t, err);
        t->memory->at += left;
        return OK;
    }
    for (; left > 0; left -= n) {
        const Status st = t->pull(t->context, piece, least(left, sizeof piece), &n, err);
        if (st != OK) return st;
        if (n == 0) return truncated(t, err);
    }
    return OK;
}

static Status enter(Tar *t, int64_t bytes, Error *err) {
    t->left = bytes;
    t->padding = (TAR_BLOCK - bytes % TAR_BLOCK) % TAR_BLOCK;
    const bool beyond = t->memory && bytes + t->padding > t->memory->end - t->memory->at;
    return beyond ? truncated(t, err) : OK;
}

/* Reads the whole of a header's data into fresh memory, with a zero byte behind. */
static Status read_data(Tar *t, char **out, int64_t bytes, int64_t most, Error *err) {
    int64_t got = 0;
    *out = NULL;
    if (bytes > most) return damaged(t, "a name or a pax header is too long", err);
    Status st = enter(t, bytes, err);
    if (st != OK) return st;
    char *data = malloc((size_t)bytes + 1);
    if (!data) return no_memory(t, err);
    st = read_fully(t, (uint8_t *)data, bytes, &got, err);
    if (st == OK && got < bytes) st = truncated(t, err);
    data[got] = '\0';
    t->left = 0;
    if (st == OK) *out = data;
    else free(data);
    return st;
}

/* --- pax -------------------------------------------------------------------------------------- */

/* Reads a decimal number that fills [text, text + n). Returns -1 for anything else. */
static int64_t decimal(const char *text, int64_t n) {
    int64_t x = 0;
    if (n < 1 || n > 18) return -1;
    for (int64_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        x = x * 10 + (text[i] - '0');
    }
    return x;
}

/* Takes one record "KEY=VALUE" of n bytes. */
static Status take_record(Tar *t, Longer *longer, const char *record, int64_t n, Error *err) {
    const char *equals = memchr(record, '=', (size_t)n);
    if (!equals) return damaged(t, "a pax record has no '='", err);
    const int64_t key = equals - record, bytes = n - key - 1;
    const bool name = key == 4 && memcmp(record, "path", 4) == 0;
    const bool link = key == 8 && memcmp(record, "linkpath", 8) == 0;
    if (key >= 10 && memcmp(record, "GNU.sparse", 10) == 0)
        return fail(err, ERR_FORMAT,
                    "tar: %s: holds a sparse file: write it with tar's --no-sparse", t->path);
    if (key == 4 && memcmp(record, "size", 4) == 0) {
        longer->bytes = decimal(equals + 1, bytes);
        return longer->bytes >= 0 ? OK : damaged(t, "the size of an entry is no number", err);
    }
    if (!name && !link) return OK; /* times, owners, attributes */
    if (memchr(equals + 1, '\0', (size_t)bytes) || bytes > MOST_NAME)
        return damaged(t, "a name in a pax header holds a zero or is too long", err);
    char **to = name ? &longer->name : &longer->link;
    free(*to);
    *to = format_text("%.*s", (int)bytes, equals + 1);
    return *to ? OK : no_memory(t, err);
}

/* Takes the records "LENGTH KEY=VALUE\n" of a pax header; LENGTH counts itself and the line end. */
static Status take_pax(Tar *t, Longer *longer, const char *data, int64_t bytes, Error *err) {
    Status st = OK;
    for (int64_t at = 0; st == OK && at < bytes;) {
        const char *blank = memchr(data + at, ' ', (size_t)least(bytes - at, 20));
        const int64_t digits = blank ? blank - data - at : 0, n = decimal(data + at, digits);
        if (!blank || n < digits + 3 || n > bytes - at || data[at + n - 1] != '\n')
            return damaged(t, "a pax record has a wrong length", err);
        st = take_record(t, longer, blank + 1, n - digits - 2, err);
        at += n;
    }
    return st;
}

/* --- entries ---------------------------------------------------------------------------------- */

/* Takes a header that describes the next one. */
static Status take_longer(Tar *t, Longer *longer, char type, int64_t bytes, Error *err) {
    char *data;
    const bool pax = type == 'x' || type == 'X';
    Status st = read_data(t, &data, bytes, pax ? MOST_PAX : MOST_NAME, err);
    if (st != OK) return st;
    if (pax) {
        st = take_pax(t, longer, data, bytes, err);
        free(data);
        return st;
    }
    char **to = type == 'L' ? &longer->name : &longer->link;
    free(*to);
    *to = data;
    return OK;
}

/* Makes the entry that header `b` and the headers before it describe. */
static Status take_entry(Tar *t, ArchiveEntry *entry, const uint8_t *b, Longer *longer,
                         Error *err) {
    const char type = (char)b[TYPE];
    t->name = longer->name ? longer->name : name_of(b);
    t->link = longer->link ? longer->link : text_of(b + LINK, LINK_BYTES);
    longer->name = longer->link = NULL;
    if (!t->name || !t->link) return no_memory(t, err);
    const size_t n = strlen(t->name);
    const bool slash = n > 0 && t->name[n - 1] == '/'; /* folders had no type of their own once */
    const int64_t bytes = longer->bytes >= 0 ? longer->bytes : number(b + SIZE, SIZE_BYTES);
    const bool plain = type == '0' || type == '\0' || type == '7';
    const bool link = type == '1' || type == '2', bare = type >= '1' && type <= '6';
    *entry = (ArchiveEntry){.name = t->name, .link = link ? t->link : "", .hard = type == '1'};
    entry->kind = link                                             ? ENTRY_LINK
                  : type == '5' || type == 'D' || (plain && slash) ? ENTRY_FOLDER
                  : plain                                          ? ENTRY_FILE
                                                                   : ENTRY_OTHER;
    if (bytes < 0) return damaged(t, "the size of an entry is no number", err);
    if (type == 'S' || type == 'M')
        return fail(
            err, ERR_FORMAT,
            "tar: %s: %s is a sparse file or a part of one: write it with tar's --no-sparse",
            t->path, t->name);
    if (entry->kind == ENTRY_FILE) entry->bytes = bytes;
    return enter(t, bare ? 0 : bytes,
                 err); /* links, folders and devices have no data, whatever the size says */
}

Status tar_next(Tar *t, ArchiveEntry *entry, bool *more, Error *err) {
    uint8_t b[TAR_BLOCK];
    Longer longer = {.bytes = -1};
    Status st = OK;
    tar_close(t);
    *more = false;
    while (st == OK && !*more) {
        int64_t got = 0;
        st = pass(t, err);
        if (st == OK) st = read_fully(t, b, TAR_BLOCK, &got, err);
        if (st != OK) break;
        if (got < TAR_BLOCK) st = truncated(t, err);
        else if (tar_is_end(b)) break;
        else if (!tar_is(b)) st = damaged(t, "the checksum of a header is wrong", err);
        else if (b[TYPE] && strchr("xXLK", b[TYPE])) {
            const int64_t bytes = number(b + SIZE, SIZE_BYTES);
            st = bytes < 0 ? damaged(t, "the size of a header is no number", err)
                           : take_longer(t, &longer, (char)b[TYPE], bytes, err);
        } else if (b[TYPE] == 'g' || b[TYPE] == 'V') { /* facts on all entries; a tape's name */
            const int64_t bytes = number(b + SIZE, SIZE_BYTES);
            st = bytes < 0 ? damaged(t, "the size of a header is no number", err)
                           : enter(t, bytes, err);
        } else {
            st = take_entry(t, entry, b, &longer, err);
            *more = st == OK;
        }
    }
    free(longer.name);
    free(longer.link);
    return st;
}

Status tar_read(Tar *t, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    *got = 0;
    if (t->left == 0) return OK;
    const Status st = t->pull(t->context, to, least(most, t->left), got, err);
    if (st != OK) return st;
    t->left -= *got;
    return *got ? OK : truncated(t, err);
}

void tar_close(Tar *t) {
    free(t->name);
    free(t->link);
    t->name = t->link = NULL;
}
