/* tar.h - the entries of a tar: ustar, GNU's and pax's longer names and sizes, and the form
 * before them. */
#ifndef TURTLE_IO_ARCHIVES_TAR_H
#define TURTLE_IO_ARCHIVES_TAR_H

#include <stdbool.h>
#include <stdint.h>

#include "io/archives/archive.h"
#include "io/files/pull.h"

enum { TAR_BLOCK = 512 };

typedef struct {
    Pull pull; /* brings the tar's bytes */
    void *context;
    PullMemory *memory; /* memory that `pull` reads, where entries are passed over; or NULL */
    const char *path;   /* for messages; the caller's */
    int64_t left,
        padding; /* bytes of the entry that were not read, and those that fill its last block */
    char *name, *link; /* of the entry; owned */
} Tar;

/* Returns true if the block is the header of an entry: its checksum is right. */
bool tar_is(const uint8_t block[TAR_BLOCK]);
/* Returns true if the block is zero, as the end of a tar is. */
bool tar_is_end(const uint8_t block[TAR_BLOCK]);
/* Goes to the next entry, as archive_next does. Fields before `left` are the caller's, the
 * others begin as zero. */
Status tar_next(Tar *t, ArchiveEntry *entry, bool *more, Error *err);
/* Reads bytes of the entry, as archive_read does. */
Status tar_read(Tar *t, uint8_t *to, int64_t most, int64_t *got, Error *err);
void tar_close(Tar *t);

#endif
