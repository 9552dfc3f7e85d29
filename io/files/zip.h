/* zip.h - zip archives, as torch.save and numpy.savez write them (PKWARE APPNOTE 6.3.10, zip64
 * included).
 *
 * Read: the central directory decides, every local header must agree with it, the CRC-32 of every
 * stored entry is checked. Deflated entries are listed without data and inflated on demand. Written:
 * stored entries.
 */
#ifndef TURTLE_IO_FILES_ZIP_H
#define TURTLE_IO_FILES_ZIP_H

#include "io/files/file.h"

typedef struct {
    char *name;            /* owned */
    const uint8_t *data;   /* inside the mapping; NULL: compressed */
    int64_t bytes;         /* of the entry itself, as the directory says */
    const uint8_t *packed; /* as it lies in the archive */
    int64_t packed_bytes;
    int method;   /* 0: stored, 8: deflated; zip_inflate refuses any other */
    uint32_t crc; /* of the entry itself */
} ZipEntry;

typedef struct {
    ZipEntry *entry; /* in the directory's order; owned */
    int64_t count;
} Zip;

/* True if the bytes begin like a zip archive. */
bool zip_is(const FileMap *map);
/* `path` is for messages. On failure *out is zeroed. The mapping must outlive *out. */
Status zip_open(Zip *out, const FileMap *map, const char *path, Error *err);
void zip_close(Zip *zip); /* NULL and twice are fine */
/* The entry of that name, or NULL. */
const ZipEntry *zip_find(const Zip *zip, const char *name);
/* A deflated entry as fresh memory (free it) of entry->bytes bytes; its length and CRC-32 are
 * checked. `path` is for messages. On failure *out is NULL. */
Status zip_inflate(uint8_t **out, const ZipEntry *entry, const char *path, Error *err);

/* CRC-32 of zip and PNG (ISO 3309), continued from `crc` (0 at first). */
uint32_t crc32_update(uint32_t crc, const uint8_t *data, int64_t bytes);

/* An archive being written, entry after entry, into a stream. */
typedef struct {
    FILE *stream;
    int64_t at; /* bytes written */
    ZipEntry *entry;
    uint32_t *crc;
    int64_t *offset;
    int64_t count, capacity;
} ZipWriter;

/* Adds one stored entry whose data begins at a multiple of 64 bytes, as PyTorch lays it. */
Status zip_add(ZipWriter *zip, const char *name, const void *data, int64_t bytes, Error *err);
/* Writes the directory. Write errors stay in the stream for its owner to find. */
void zip_finish(ZipWriter *zip);
void zip_writer_free(ZipWriter *zip); /* after finish, or instead of it */

#endif
