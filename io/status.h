/* status.h - the status and message of every function, by the short names that we use inside. */
#ifndef TURTLE_IO_STATUS_H
#define TURTLE_IO_STATUS_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "io/turtle_status.h"

typedef TurtleStatus Status;
typedef TurtleError Error;

#define OK TURTLE_OK
#define ERR_ARG TURTLE_ERR_ARG
#define ERR_USAGE TURTLE_ERR_USAGE
#define ERR_FORMAT TURTLE_ERR_FORMAT
#define ERR_IO TURTLE_ERR_IO
#define ERR_MEMORY TURTLE_ERR_MEMORY
#define ERR_DEVICE TURTLE_ERR_DEVICE
#define ERR_STOPPED TURTLE_ERR_STOPPED
#define ERR_DIVERGED TURTLE_ERR_DIVERGED

#if defined(__GNUC__)
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#else
#define PRINTF_LIKE(text, first)
#endif

/* Writes the message; err may be NULL. A message that is too long, for it holds a long path, loses its
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
 * It is a macro, so that compilers and analysers see which status a branch ends with. */
#define fail(err, status, ...) (error_write((err), __VA_ARGS__), (status))

#endif
