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

/* Writes the message and returns `st`, so that a failing branch is one line. err may be NULL. */
PRINTF_LIKE(3, 4)
static inline Status fail(Error *err, Status st, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        vsnprintf(err->text, sizeof err->text, format, args);
        va_end(args);
    }
    return st;
}

#endif
