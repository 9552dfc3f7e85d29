/* archive.c - the entries of an archive, whatever its kind.
 *
 * Bytes flow through at most three stages: the mapping or the caller's function, inflate, tar. A
 * Peek before each decision hands the bytes out again that were looked at.
 */
#include "io/archives/archive.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/archives/tar.h"
#include "io/files/crc32.h"
#include "io/files/file.h"
#include "io/files/gzip.h"
#include "io/files/inflate_stream.h"
#include "io/files/zip.h"
#include "io/sizes.h"

enum { FORGET_EVERY = 8 << 20, FORGET_ENTRIES = 64, MOST_DRAINED = 1 << 26 };

/* A pull whose first bytes were looked at. */
typedef struct {
    Pull pull;
    void *context;
    uint8_t first[TAR_BLOCK];
    int64_t bytes, at; /* of `first`: how many there are, how many were handed out */
} Peek;

typedef enum { TAR, ZIP, LONE } Kind;

struct Archive {
    char *name;
    Kind kind;
    bool failed, ended;
    FileMap map;        /* zeroed if the bytes come from a function */
    PullMemory memory;  /* bytes of the mapping that were not pulled */
    int64_t forgotten;  /* offset in the mapping up to which pages were given back */
    Peek raw, inflated; /* before and behind inflate */
    InflateStream *gzip;
    Tar tar;
    char *lone; /* name of the entry of a lone gzip; owned */
    /* a zip's */
    ZipWalk walk;
    ZipEntry entry;
    PullMemory packed;      /* bytes of the entry that were not pulled */
    InflateStream *deflate; /* of a deflated entry */
    int64_t done;           /* bytes of the entry that were read */
    uint32_t crc;           /* of those */
    int64_t entries;
};

/* --- bytes ------------------------------------------------------------------------------------ */

/* Gives pages back once the reader is a few MiB ahead of the last time. */
static void forget_behind(Archive *a, const uint8_t *at) {
    const int64_t offset = at - a->map.data;
    if (offset - a->forgotten < FORGET_EVERY && offset >= a->forgotten) return;
    file_forget(&a->map);
    a->forgotten = offset;
}

static Status pull_map(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    Archive *a = context;
    forget_behind(a, a->memory.at);
    return pull_memory(&a->memory, to, most, got, err);
}

static Status pull_packed(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    Archive *a = context;
    forget_behind(a, a->packed.at);
    return pull_memory(&a->packed, to, most, got, err);
}

static Status peek_open(Peek *p, Pull pull, void *context, Error *err) {
    Status st = OK;
    int64_t got = 1;
    p->pull = pull;
    p->context = context;
    for (p->bytes = p->at = 0; st == OK && got > 0 && p->bytes < TAR_BLOCK;) {
        st = pull(context, p->first + p->bytes, TAR_BLOCK - p->bytes, &got, err);
        if (st == OK) p->bytes += got;
    }
    return st;
}

static Status pull_peek(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    Peek *p = context;
    *got = least(most, p->bytes - p->at);
    if (*got == 0) return p->pull(p->context, to, most, got, err);
    memcpy(to, p->first + p->at, (size_t)*got);
    p->at += *got;
    return OK;
}

/* --- opening ---------------------------------------------------------------------------------- */

static Status no_memory(const char *name, Error *err) {
    return fail(err, ERR_MEMORY, "archive: %s: out of memory", name);
}

/* Returns the file's own name without its folders and without ".gz", in fresh memory. */
static char *lone_name(const char *name) {
    const char *slash = strrchr(name, '/'), *own = slash ? slash + 1 : name;
    size_t n = strlen(own);
    if (n > 3 && strcmp(own + n - 3, ".gz") == 0) n -= 3;
    return format_text("%.*s", (int)n, own);
}

/* Chooses the reader of a stream of bytes from its first block. */
static Status open_stream(Archive *a, Pull pull, void *context, Error *err) {
    const Peek *p = &a->raw;
    Status st = peek_open(&a->raw, pull, context, err);
    if (st == OK && gzip_is(p->first, p->bytes)) {
        st = inflate_open(&a->gzip, INFLATE_GZIP, pull_peek, &a->raw, a->name, err);
        if (st == OK) st = peek_open(&a->inflated, inflate_read, a->gzip, err);
        p = &a->inflated;
    }
    if (st != OK) return st;
    const bool block = p->bytes == TAR_BLOCK;
    if (block && (tar_is(p->first) || (!a->gzip && tar_is_end(p->first)))) {
        a->kind = TAR;
        a->tar =
            (Tar){.pull = pull_peek, .context = a->gzip ? &a->inflated : &a->raw, .path = a->name};
        if (!a->gzip && a->map.data) a->tar.memory = &a->memory;
        return OK;
    }
    if (!a->gzip && p->bytes >= 4 && memcmp(p->first, "PK", 2) == 0 && p->first[2] < 8)
        return fail(err, ERR_FORMAT,
                    "archive: %s: is a zip inside another archive: unpack that one first", a->name);
    if (!a->gzip)
        return fail(err, ERR_FORMAT,
                    "archive: %s: expected tar, tar.gz, zip or gzip, found none of them", a->name);
    a->kind = LONE;
    a->lone = lone_name(a->name);
    return a->lone ? OK : no_memory(a->name, err);
}

static Archive *fresh(const char *name) {
    Archive *a = calloc(1, sizeof *a);
    if (a) a->name = format_text("%s", name);
    if (a && a->name) return a;
    free(a);
    return NULL;
}

Status archive_open(Archive **out, const char *path, Error *err) {
    Archive *a = *out = fresh(path);
    if (!a) return no_memory(path, err);
    Status st = file_map(&a->map, path, err);
    a->memory = (PullMemory){a->map.data, a->map.data + a->map.bytes};
    if (st == OK && a->map.bytes == 0)
        st = fail(err, ERR_FORMAT, "archive: %s: is empty: fetch it again", path);
    else if (st == OK && zip_is(&a->map)) {
        a->kind = ZIP;
        st = zip_walk_open(&a->walk, &a->map, path, err);
    } else if (st == OK) st = open_stream(a, pull_map, a, err);
    if (st == OK) return OK;
    archive_close(a);
    *out = NULL;
    return st;
}

Status archive_open_from(Archive **out, ArchiveRead read, void *context, const char *name,
                         Error *err) {
    Archive *a = *out = fresh(name);
    if (!a) return no_memory(name, err);
    const Status st = open_stream(a, read, context, err);
    if (st == OK) return OK;
    archive_close(a);
    *out = NULL;
    return st;
}

void archive_close(Archive *a) {
    if (!a) return;
    tar_close(&a->tar);
    inflate_close(a->deflate);
    inflate_close(a->gzip);
    free(a->entry.name);
    free(a->lone);
    free(a->name);
    file_unmap(&a->map);
    free(a);
}

/* --- entries ---------------------------------------------------------------------------------- */

/* Reads what stands behind the end of a tar, so that checksums of what it lies in are seen. */
static Status drain(Archive *a, Error *err) {
    uint8_t piece[4096];
    Status st = OK;
    int64_t got = 1, all = 0;
    while (!a->tar.memory && st == OK && got > 0) {
        st = a->tar.pull(a->tar.context, piece, sizeof piece, &got, err);
        if (st == OK && (all += got) > MOST_DRAINED)
            st = fail(err, ERR_FORMAT,
                      "archive: %s: more than %d bytes follow its end mark: fetch it again",
                      a->name, MOST_DRAINED);
    }
    return st;
}

static Status next_zip(Archive *a, ArchiveEntry *entry, bool *more, Error *err) {
    ZipEntry *e = &a->entry;
    inflate_close(a->deflate);
    a->deflate = NULL;
    free(e->name);
    if (++a->entries % FORGET_ENTRIES == 0) file_forget(&a->map);
    Status st = zip_walk_next(&a->walk, e, more, a->name, err);
    if (st != OK || !*more) return st;
    if (e->bytes < 0)
        return fail(err, ERR_FORMAT, "archive: %s: damaged: %s has an impossible length", a->name,
                    e->name);
    const size_t n = strlen(e->name);
    const int kind = e->mode & S_IFMT;
    const bool folder = (n > 0 && e->name[n - 1] == '/') || kind == S_IFDIR;
    *entry = (ArchiveEntry){.name = e->name, .link = "", .bytes = e->bytes};
    entry->kind = folder                         ? ENTRY_FOLDER
                  : kind == S_IFLNK              ? ENTRY_LINK
                  : kind == 0 || kind == S_IFREG ? ENTRY_FILE
                                                 : ENTRY_OTHER;
    a->packed = (PullMemory){e->packed, e->packed + e->packed_bytes};
    a->done = 0;
    a->crc = 0;
    if (e->method == 8) st = inflate_open(&a->deflate, INFLATE_BARE, pull_packed, a, e->name, err);
    return st;
}

/* Reads bytes of a zip's entry, and checks its length and its checksum at the end. */
static Status read_zip(Archive *a, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    const ZipEntry *e = &a->entry;
    Status st;
    if (!e->name) return OK;
    if (e->method != 0 && e->method != 8)
        return fail(err, ERR_FORMAT,
                    "archive: %s: %s is packed by method %d, expected stored or deflated", a->name,
                    e->name, e->method);
    st = e->method == 8 ? inflate_read(a->deflate, to, most, got, err)
                        : pull_packed(a, to, most, got, err);
    if (st != OK) return st;
    a->done += *got;
    a->crc = crc32_update(a->crc, to, *got);
    if (a->done > e->bytes || (*got == 0 && a->done < e->bytes))
        return fail(err, ERR_FORMAT,
                    "archive: %s: damaged: %s has %s than the %lld bytes that the directory says",
                    a->name, e->name, *got ? "more" : "fewer", (long long)e->bytes);
    if (*got == 0 && a->crc != e->crc)
        return fail(err, ERR_FORMAT,
                    "archive: %s: damaged: the CRC-32 of %s is another one: fetch it again",
                    a->name, e->name);
    return OK;
}

static Status failed_before(const Archive *a, Error *err) {
    return fail(err, ERR_FORMAT, "archive: %s: it failed before", a->name);
}

Status archive_next(Archive *a, ArchiveEntry *entry, bool *more, Error *err) {
    Status st = OK;
    *more = false;
    *entry = (ArchiveEntry){.name = "", .link = ""};
    if (a->failed) return failed_before(a, err);
    if (a->ended) return OK;
    if (a->kind == ZIP) st = next_zip(a, entry, more, err);
    else if (a->kind == TAR) {
        st = tar_next(&a->tar, entry, more, err);
        if (st == OK && !*more) st = drain(a, err);
    } else if (a->entries++ == 0) {
        *entry = (ArchiveEntry){.name = a->lone, .link = "", .bytes = -1};
        *more = true;
    } else { /* the checksum stands behind the bytes */
        uint8_t piece[4096];
        for (int64_t got = 1; st == OK && got > 0;)
            st = pull_peek(&a->inflated, piece, sizeof piece, &got, err);
    }
    a->failed = st != OK;
    a->ended = !*more;
    return st;
}

Status archive_read(Archive *a, void *to, int64_t most, int64_t *got, Error *err) {
    Status st;
    *got = 0;
    if (a->failed) return failed_before(a, err);
    if (a->ended) return OK;
    if (a->kind == ZIP) st = read_zip(a, to, most, got, err);
    else if (a->kind == TAR) st = tar_read(&a->tar, to, most, got, err);
    else st = a->entries ? pull_peek(&a->inflated, to, most, got, err) : OK;
    a->failed = st != OK;
    if (st != OK) *got = 0;
    return st;
}
