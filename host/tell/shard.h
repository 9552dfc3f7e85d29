/* shard.h - "I/N": the I-th of N pieces of some work. */
#ifndef TURTLE_HOST_TELL_SHARD_H
#define TURTLE_HOST_TELL_SHARD_H

#include <stdint.h>

#include "io/status.h"

typedef struct {
    int64_t number, pieces; /* the first of `pieces` is number 1 */
} Shard;

/* text NULL: the one piece that is everything. */
Status shard_parse(Shard *out, const char *text, Error *err);

#endif
