/* status.h - how every function says that it failed: a status to branch on, a line to print. */
#ifndef TURTLE_IO_STATUS_H
#define TURTLE_IO_STATUS_H

#include <stdarg.h>
#include <stdio.h>

typedef enum {
    OK = 0,
    ERR_ARG,     /* the caller's values cannot be served: shapes, options */
    ERR_USAGE,   /* the command line cannot be understood (exit status 2) */
    ERR_FORMAT,  /* bytes from outside are not what they should be */
    ERR_IO,      /* the operating system refused: no file, no space, no permission */
    ERR_MEMORY,  /* out of memory; the message says what to lower */
    ERR_DEVICE,  /* no such device, or it failed */
    ERR_STOPPED, /* asked to stop (a signal); the state is saved */
    ERR_DIVERGED /* a training left the finite numbers */
} Status;

/* One line, lower case, no newline: `module: subject: expected, got, what to do`. */
typedef struct {
    char text[512];
} Error;

#if defined(__GNUC__)
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif

/* Writes the message; err may be NULL. */
PRINTF_LIKE(2, 3)
static inline void error_write(Error *err, const char *format, ...) {
    if (!err) return;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
}

/* Writes the message and is the status, so that a failing branch is one line:
 *     return fail(err, ERR_FORMAT, "npy: %s: truncated", path);
 * A macro, so that compilers and analysers see which status a branch ends with. */
#define fail(err, status, ...) (error_write((err), __VA_ARGS__), (status))

#endif
