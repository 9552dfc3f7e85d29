/* inflate.c - deflate streams of any size, inflated as a whole. */
#include "io/files/inflate.h"

#include <stddef.h>

#include "io/files/inflate_core.h"

bool inflate_whole(uint8_t *out, int64_t out_bytes, const uint8_t *from, int64_t from_bytes) {
    Inflater s;
    s.in = (InflateBits){.at = from, .end = from + from_bytes};
    s.refill = NULL;
    s.out = s.out_start = out;
    s.out_end = out + out_bytes;
    s.pause = NULL;
    s.phase = INFLATE_HEADER;
    s.last = false;
    s.stored_left = 0;
    return inflate_run(&s) == INFLATE_DONE && s.out == s.out_end;
}
