/* archive.h - the entries of an archive one after the other, whatever its kind.
 *
 *     archive_open(&a, "images.tar.gz", &err);
 *     while ((st = archive_next(a, &entry, &more, &err)) == OK && more)
 *         while ((st = archive_read(a, piece, sizeof piece, &got, &err)) == OK && got > 0)
 *             use(piece, got);
 *     archive_close(a);
 *
 * The first bytes tell the kinds apart, never the name: tar (ustar, GNU, pax, and those before
 * them), the same compressed by gzip (one member or many), zip (zip64; stored and deflated
 * entries), and a file compressed by gzip that holds no tar, which is an archive of one entry. Any
 * other file is refused.
 *
 * Checksums are verified: headers of tar, CRC-32 of gzip and of every zip entry that is read to its
 * end. A truncated archive is an error, never a short entry. Memory stays below 2 MiB beside a
 * mapping of the file, whose pages are given back on the way. Names are not checked: unpack.h does
 * that before it writes.
 */
#ifndef TURTLE_IO_ARCHIVES_ARCHIVE_H
#define TURTLE_IO_ARCHIVES_ARCHIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "io/files/pull.h"

typedef struct Archive Archive;

typedef enum {
    ENTRY_FILE,
    ENTRY_FOLDER,
    ENTRY_LINK, /* symbolic or hard: `link` names its target */
    ENTRY_OTHER /* a device, a pipe */
} ArchiveKind;

typedef struct {
    const char *name; /* as the archive has it; lives until the next call */
    const char *link; /* target of a tar's link, else ""; a zip has it as the bytes of the entry */
    int64_t bytes;    /* length of a file, 0 for other kinds; -1: a lone gzip, known at its end */
    ArchiveKind kind;
    bool hard; /* the link is a hard one */
} ArchiveEntry;

/* Pulls the bytes of an archive that lies inside another one, or comes from elsewhere. */
typedef Pull ArchiveRead;

/* Opens the archive `path`. On failure *out is NULL. */
Status archive_open(Archive **out, const char *path, Error *err);
/* Opens an archive whose bytes `read` delivers once, in order; it and its context outlive the
 * archive. `name` stands in messages, and names the entry of a lone gzip. A zip has its
 * directory at its end and is refused. */
Status archive_open_from(Archive **out, ArchiveRead read, void *context, const char *name,
                         Error *err);
/* Goes to the next entry; bytes of the last one that were not read are passed over. *more is
 * false at the end of the archive. */
Status archive_next(Archive *a, ArchiveEntry *entry, bool *more, Error *err);
/* Reads bytes of the current entry, at most `most` >= 1 of them. *got is 0 at its end, and
 * nowhere else. */
Status archive_read(Archive *a, void *to, int64_t most, int64_t *got, Error *err);
void archive_close(Archive *a); /* NULL is fine */

#endif
