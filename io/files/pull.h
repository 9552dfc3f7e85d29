/* pull.h - bytes that come one after the other: a reader asks a function for the next ones. */
#ifndef TURTLE_IO_FILES_PULL_H
#define TURTLE_IO_FILES_PULL_H

#include <stdint.h>

#include "io/status.h"

/* Writes the next bytes to `to`, at most `most` >= 1 of them, and their number to *got. 0 is the
 * end, and stays it. Fewer than `most` are no end. `context` is the caller's. */
typedef Status (*Pull)(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err);

/* Bytes in memory, pulled from `at` on by pull_memory. */
typedef struct {
    const uint8_t *at, *end;
} PullMemory;

/* A Pull whose context is a PullMemory. */
static inline Status pull_memory(void *memory, uint8_t *to, int64_t most, int64_t *got,
                                 Error *err) {
    PullMemory *m = (PullMemory *)memory;
    (void)err;
    *got = m->end - m->at < most ? m->end - m->at : most;
    if (*got) memcpy(to, m->at, (size_t)*got);
    m->at += *got;
    return OK;
}

#endif
