/* zip.h - zip archives, as torch.save and numpy.savez write them (PKWARE APPNOTE 6.3.10, zip64
 * included).
 *
 * Read: the central directory decides, every local header must agree with it, the CRC-32 of every
 * stored entry is checked. Deflated entries are listed without data and inflated on demand.
 * Written: stored entries.
 */
#ifndef TURTLE_IO_FILES_ZIP_H
#define TURTLE_IO_FILES_ZIP_H

#include "io/files/file.h"

typedef struct {
    char *name;            /* owned */
    const uint8_t *data;   /* bytes of the entry in the mapping; NULL: they are compressed */
    int64_t bytes;         /* length of the entry itself, as the directory says */
    const uint8_t *packed; /* the entry as it lies in the archive */
    int64_t packed_bytes;
    int method;   /* 0: stored, 8: deflated; zip_inflate refuses any other */
    uint32_t crc; /* checksum of the entry itself */
    int mode;     /* st_mode of an archive made on Unix, else 0 */
} ZipEntry;

typedef struct {
    ZipEntry *entry; /* in the directory's order; owned */
    int64_t count;
} Zip;

/* Returns true if the bytes begin like a zip archive. */
bool zip_is(const FileMap *map);
/* Reads the directory and checks every stored entry. `path` is for messages. The mapping must
 * outlive *out. On failure *out is zeroed. */
Status zip_open(Zip *out, const FileMap *map, const char *path, Error *err);
void zip_close(Zip *zip); /* NULL and twice are fine */
/* Returns the entry of that name, or NULL. */
const ZipEntry *zip_find(const Zip *zip, const char *name);
/* Inflates a deflated entry into fresh memory (free it) of entry->bytes bytes. Length and CRC-32
 * are checked. `path` is for messages. On failure *out is NULL. */
Status zip_inflate(uint8_t **out, const ZipEntry *entry, const char *path, Error *err);

/* A walk over the directory that keeps no list: archives of data sets have 100 000 entries. */
typedef struct {
    const FileMap *map;
    const uint8_t *at; /* next header of the directory */
    int64_t left;      /* bytes of the directory from there */
    uint64_t entries;  /* headers that are still to come */
} ZipWalk;

/* Finds the directory. The mapping must outlive the walk. */
Status zip_walk_open(ZipWalk *out, const FileMap *map, const char *path, Error *err);
/* Reads the next entry, whose name the caller frees, on failure too. Its checksum is not looked
 * at. *more is false at the end. */
Status zip_walk_next(ZipWalk *w, ZipEntry *entry, bool *more, const char *path, Error *err);

/* An entry that was written, for the directory. */
typedef struct {
    char *name;            /* owned */
    int64_t bytes, offset; /* offset of its local header in the archive */
    uint32_t crc;
} ZipWritten;

/* An archive being written, entry after entry, into a stream. */
typedef struct {
    FILE *stream;
    int64_t at; /* bytes written */
    ZipWritten *entry;
    int64_t count, capacity;
} ZipWriter;

/* Adds one stored entry whose data begins at a multiple of 64 bytes, as PyTorch lays it. */
Status zip_add(ZipWriter *zip, const char *name, const void *data, int64_t bytes, Error *err);
/* Writes the directory. Write errors stay in the stream for its owner to find. */
void zip_finish(ZipWriter *zip);
void zip_writer_free(ZipWriter *zip); /* after finish, or instead of it */

#endif
