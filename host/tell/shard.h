/* shard.h - "I/N": the I-th of N pieces of some work. */
#ifndef TURTLE_HOST_TELL_SHARD_H
#define TURTLE_HOST_TELL_SHARD_H

#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t number, pieces; /* the first of `pieces` is number 1 */
} Shard;

/* Reads "I/N". Text of NULL means the one piece that is everything. ERR_USAGE: it cannot be read. */
Status shard_parse(Shard *out, const char *text, Error *err);

#endif
