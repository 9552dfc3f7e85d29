/* turtle_status.h - how every public function says that it failed: a status to branch on, a line to print. */
#ifndef TURTLE_IO_TURTLE_STATUS_H
#define TURTLE_IO_TURTLE_STATUS_H

typedef enum {
    TURTLE_OK = 0,
    TURTLE_ERR_ARG,     /* the caller's values cannot be served: shapes, options */
    TURTLE_ERR_USAGE,   /* the command line cannot be understood (exit status 2) */
    TURTLE_ERR_FORMAT,  /* bytes from outside are not what they should be */
    TURTLE_ERR_IO,      /* the operating system refused: no file, no space, no permission */
    TURTLE_ERR_MEMORY,  /* out of memory; the message says what to lower */
    TURTLE_ERR_DEVICE,  /* no such device, or it failed */
    TURTLE_ERR_STOPPED, /* asked to stop (a signal); the state is saved */
    TURTLE_ERR_DIVERGED /* a training left the finite numbers */
} TurtleStatus;

/* One line, lower case, no newline: `module: subject: expected, got, what to do`. */
typedef struct {
    char text[512];
} TurtleError;

#endif
