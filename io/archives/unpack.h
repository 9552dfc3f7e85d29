/* unpack.h - an archive's files below a folder, and nothing anywhere else.
 *
 * A path inside an archive is never trusted. These are refused with one line: an absolute path,
 * `..`, a backslash, a control character, a symbolic link that leads out of the folder, a hard
 * link, a device, and a name whose place passes through a symbolic link that is there already.
 * Symbolic links that stay inside are counted and not made. Files appear whole under their names or
 * not at all; a file of that name is replaced. Memory stays below 4 MiB beside a mapping, whatever
 * the archive.
 */
#ifndef TURTLE_IO_ARCHIVES_UNPACK_H
#define TURTLE_IO_ARCHIVES_UNPACK_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t files,
        folders;      /* written; folders that the archive lists, not those that files needed */
    int64_t bytes;    /* of the files written */
    int64_t links;    /* symbolic links inside the folder, which are not made */
    int64_t passed;   /* entries that were not wanted */
    int64_t archives; /* inner archives that were opened in place */
} UnpackCounts;

typedef struct {
    int64_t most_bytes;   /* bytes that all wanted files may have together; 0: UNPACK_MOST_BYTES */
    int64_t most_entries; /* inner and unwanted ones count too; 0: UNPACK_MOST_ENTRIES */
    bool nested; /* entries named .tar, .tar.gz or .tgz are opened in place of being written */
    /* Returns whether an entry is wanted; NULL: every one is. Names are the archive's without
     * leading "./". An entry of an inner archive has the name "inner.tar/name". An inner archive
     * is asked for first. */
    bool (*wanted)(void *context, const char *name);
    /* Returns the place of a wanted file or folder below the folder, or NULL to pass over it;
     * the text lives until the next call. NULL: the entry's own name; inner entries stand beside
     * their archive. */
    const char *(*rename)(void *context, const char *name);
    /* Is called after every entry, and every few MiB of a long one. Returns false to stop: unpack
     * returns ERR_STOPPED. NULL: never. */
    bool (*go_on)(void *context, const UnpackCounts *counts);
    void *context; /* of the three functions */
} UnpackOptions;

#define UNPACK_MOST_BYTES ((int64_t)1 << 40)
enum { UNPACK_MOST_ENTRIES = 10000000, UNPACK_MOST_DEPTH = 3 };

/* Writes the wanted files of `archive` below `folder`, which is made. `options` NULL: all,
 * without limits of its own. *counts (NULL is fine) says what was done, on failure too: files
 * written before it stay. At the end all is flushed to the disk. */
Status unpack(const char *archive, const char *folder, const UnpackOptions *options,
              UnpackCounts *counts, Error *err);

#endif
