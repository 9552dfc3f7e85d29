/* status.h - how every function says that it failed: a status to branch on, a line to print. */
#ifndef TURTLE_IO_STATUS_H
#define TURTLE_IO_STATUS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

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

/* Writes the message; err may be NULL. One that is too long, for it holds a long path, loses its
 * middle: the reason stands at the end. */
PRINTF_LIKE(2, 3)
static inline void error_write(Error *err, const char *format, ...) {
    enum { MOST = 9000, HEAD = 160 }; /* two paths of 4096 bytes */
    char whole[MOST];
    if (!err) return;
    va_list args;
    va_start(args, format);
    const int n = vsnprintf(whole, sizeof whole, format, args);
    va_end(args);
    const int room = (int)sizeof err->text - 1, bytes = n < MOST ? n : MOST - 1;
    const int tail = room - HEAD - 3;
    if (n < 0) err->text[0] = '\0';
    else if (bytes <= room) memcpy(err->text, whole, (size_t)bytes + 1);
    else snprintf(err->text, sizeof err->text, "%.*s...%s", HEAD, whole, whole + bytes - tail);
}

/* Writes the message and is the status, so that a failing branch is one line:
 *     return fail(err, ERR_FORMAT, "npy: %s: truncated", path);
 * A macro, so that compilers and analysers see which status a branch ends with. */
#define fail(err, status, ...) (error_write((err), __VA_ARGS__), (status))

#endif
