/* file.h - whole files only: read-only mappings in, atomically replaced files out.
 *
 * A file written here appears under its final name complete or not at all. The bytes go to a
 * temporary name in the same folder, are flushed to the disk, and are renamed. An interrupted
 * program leaves at most a `.<name>.<pid>.tmp`, never half a result. The mode of a file that is
 * replaced stays. A link stays, too: the file that it leads to is replaced, or made. A pipe, a
 * terminal and a device are written to directly, for a reader waits there; `-` is standard output.
 */
#ifndef TURTLE_IO_FILES_FILE_H
#define TURTLE_IO_FILES_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "io/status.h"

/* A file's bytes, mapped read-only, or the text of a pipe in memory. */
typedef struct {
    const uint8_t *data; /* NULL for an empty file */
    int64_t bytes;
    bool owned; /* data came from malloc, not from mmap */
} FileMap;

/* Maps `path`. A missing file, one that cannot be read, a folder, a pipe, a device and `-` are
 * ERR_IO, and none of them is waited for. An empty file maps to zero bytes. On failure *out is
 * zeroed, so closing it is still safe. */
Status file_map(FileMap *out, const char *path, Error *err);
/* Reads a text: a regular file is mapped; `-` is standard input; a pipe or a terminal is read to
 * its end. A pipe that no program writes to within PIPE_GRACE_MS is refused. So are folders, other
 * devices, and texts from a pipe that are longer than FILE_TEXT_MOST bytes. */
Status file_read_text(FileMap *out, const char *path, Error *err);
/* Gives the memory of a mapping's pages back; the next look brings them again. Walks over files
 * of many GiB call it every few MiB. */
void file_forget(const FileMap *map);
void file_unmap(FileMap *map); /* frees what either of the two read; NULL and twice are fine */
enum { PIPE_GRACE_MS = 1000, FILE_TEXT_MOST = 1 << 30 };

/* A file being written. */
typedef struct {
    FILE *stream;    /* write here; errors may be left to commit, which checks ferror */
    char *path;      /* name that the caller gave; owned */
    char *target;    /* final name, at the end of all links; owned */
    char *temporary; /* name until commit; NULL if direct; owned */
    bool direct;     /* the stream is a pipe, a device or an open descriptor, which cannot seek */
} AtomicFile;

/* Opens the temporary file, making the missing folders of `path`. A folder, a file without write
 * permission, a socket and a pipe that nobody reads from within PIPE_GRACE_MS are ERR_IO. */
Status atomic_open(AtomicFile *out, const char *path, Error *err);
/* Returns true if `path` is `-` or another name of standard output, as /dev/stdout is. */
bool file_is_stdout(const char *path);
/* Refuses before hours of work what atomic_open would refuse after them. Touches nothing. */
Status file_check_output(const char *path, Error *err);
/* Flushes, fsyncs, closes, renames and fsyncs the folder. On failure the temporary file is removed;
 * bytes that went to a pipe stay there. */
Status atomic_commit(AtomicFile *file, Error *err);
/* Closes and removes the temporary file; after a commit it does nothing. NULL and twice are
 * fine. */
void atomic_abort(AtomicFile *file);

/* Writes `text` and a newline under `path`, atomically. */
Status file_write_text(const char *path, const char *text, Error *err);
/* Adds one line (a newline is appended) by one O_APPEND write, so lines of several programs never
 * mix; folders are made. */
Status file_append_line(const char *path, const char *line, Error *err);
/* Makes the folder and its parents; an existing one is fine. */
Status folder_make(const char *path, Error *err);
bool file_exists(const char *path);

/* Prints into fresh memory (free it). Returns NULL without memory. Paths are built with it. */
char *format_text(const char *format, ...) PRINTF_LIKE(1, 2);

#endif
