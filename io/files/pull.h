/* pull.h - bytes that come one after the other: a reader asks a function for the next ones. */
#ifndef TURTLE_IO_FILES_PULL_H
#define TURTLE_IO_FILES_PULL_H

#include <stdint.h>

#include "io/status.h"

/* Writes the next bytes to `to`, at most `most` >= 1 of them, and their number to *got. 0 is the end, and
 * stays it. Fewer than `most` are no end. `context` is the caller's. */
typedef Status (*Pull)(void *context, uint8_t *to, int64_t most, int64_t *got, Error *err);

#endif
