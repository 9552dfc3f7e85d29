/* lock.h - one call at a time in a place: a lock on a file that says who holds it.
 *
 * The lock is the operating system's, on an open file: it ends with the process that holds it,
 * however that ends, and it reaches other machines through NFS. The file's text is only for people;
 * one that a killed process left behind hinders nobody.
 */
#ifndef TURTLE_IO_FILES_LOCK_H
#define TURTLE_IO_FILES_LOCK_H

#include "io/status.h"

typedef struct {
    int descriptor; /* valid if path is not NULL */
    char *path;     /* of the lock file; owned. NULL: nothing is locked */
} Lock;

/* Locks `path`, a file beside what it guards, in a folder that exists, and writes process, machine
 * and time into it. If another process, or another Lock of this one, holds it, ERR_ARG says of
 * `guarded` who is at work there, and since when. A process that was stopped holds it still. On a
 * file system without locks, a running process of this machine that the file names counts as its
 * holder. On failure *out is zeroed. */
Status lock_open(Lock *out, const char *path, const char *guarded, Error *err);
/* Removes the file and gives the lock back. NULL and twice are fine. */
void lock_close(Lock *lock);

#endif
