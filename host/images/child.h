/* child.h - another program run once: bytes in, bytes out, under limits of time and size.
 *
 * No shell is between. The child sees standard input, output and error and no other open file, a
 * small environment, default signals, and / as its folder. It leads a process group of its own, which
 * is killed whole: nothing of it outlives the call, nor (on Linux) this program. Any number of
 * threads may run children at once.
 */
#ifndef TURTLE_HOST_IMAGES_CHILD_H
#define TURTLE_HOST_IMAGES_CHILD_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"

typedef struct {
    double seconds;      /* until the child is killed */
    int64_t most_memory; /* bytes of address space */
    int64_t most_output; /* bytes on standard output */
    int64_t most_file;   /* bytes of a file that it writes; 0: most_memory */
    /* Is called a few times a second; the child is killed once it returns false. NULL: never. */
    bool (*go_on)(void *context);
    void *context;
} ChildLimits;

typedef enum {
    CHILD_EXITED,  /* by itself: `code` is its exit status */
    CHILD_KILLED,  /* by signal `code` */
    CHILD_LATE,    /* killed: its time was over */
    CHILD_FLOODED, /* killed: it wrote more than it may */
    CHILD_STOPPED, /* killed: go_on returned false */
} ChildEnd;

typedef struct {
    ChildEnd end;
    int code;
    uint8_t *output; /* bytes that it wrote to standard output; owned */
    int64_t bytes;
    char said[200]; /* the first line on standard error, only printable characters */
} ChildResult;

/* Runs argv[0], an absolute path, with the open file `input` as its standard input. Returns OK
 * however the child ended; ERR_IO or ERR_MEMORY where it could not be started or listened to. */
Status child_run(ChildResult *out, const char *const *argv, const char *const *environment,
                 int input, const ChildLimits *limits, Error *err);
/* Returns a program's absolute path in fresh memory; NULL if no folder of PATH holds it. Folders that are
 * named relative to the working folder are passed over: that one may hold anything. */
char *program_find(const char *name);
void child_result_free(ChildResult *result); /* NULL and twice are fine */

#endif
