/* shard.c - "I/N": the I-th of N pieces of some work. */
#include "host/tell/shard.h"

#include <stdlib.h>

Status shard_parse(Shard *out, const char *text, Error *err) {
    char *end = NULL;
    *out = (Shard){1, 1};
    if (!text) return OK;
    out->number = strtoll(text, &end, 10);
    if (end != text && *end == '/') out->pieces = strtoll(end + 1, &end, 10);
    if (end == text || *end || out->number < 1 || out->pieces > 1 << 20 ||
        out->number > out->pieces)
        return fail(err, ERR_USAGE, "--shard: '%s': expected I/N with 1 <= I <= N", text);
    return OK;
}
