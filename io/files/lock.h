/* lock.h - one call at a time in a place: a lock on a file that says who holds it.
 *
 * The lock is the operating system's, on an open file. It ends with the process that holds it,
 * however the process ends, and it reaches other machines through NFS. The file's text is only for
 * people; one that a killed process left behind hinders nobody.
 */
#ifndef TURTLE_IO_FILES_LOCK_H
#define TURTLE_IO_FILES_LOCK_H

#include "io/status.h"

typedef struct {
    int descriptor; /* valid if path is not NULL */
    char *path;     /* path of the lock file; owned; NULL: nothing is locked */
} Lock;

/* Locks `path`, a file beside what it guards, in a folder that exists, and writes process, machine
 * and time into it. If another process, or another Lock of this one, holds it, ERR_ARG says who is
 * at work in `guarded`, and since when. A stopped process still holds its lock. On a file system
 * without locks, the process that the file names is the holder while it runs on this machine. On
 * failure *out is zeroed. */
Status lock_open(Lock *out, const char *path, const char *guarded, Error *err);
/* Removes the file and gives the lock back. NULL and twice are fine. */
void lock_close(Lock *lock);

#endif
