/* inflate_stream.c - deflate streams inflated in pieces, with the wrappers of zlib (RFC 1950)
 * and gzip (RFC 1952). */
#include "io/files/inflate_stream.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/files/crc32.h"
#include "io/files/file.h"
#include "io/files/inflate_core.h"
#include "io/sizes.h"

enum {
    KEPT = 8,
    INPUT = 1 << 16,
    OUTPUT = 1 << 18
}; /* KEPT: bytes that the decoder may give back */
enum {
    HAS_CRC = 2,
    HAS_EXTRA = 4,
    HAS_NAME = 8,
    HAS_COMMENT = 16,
    RESERVED = 0xe0
}; /* FLG of gzip */

typedef enum { AT_HEADER, IN_BODY, AT_END, FAILED } Place;

struct InflateStream {
    Inflater core; /* first: refill gets a pointer to it */
    InflateWrap wrap;
    Place place;
    Pull pull;
    void *context;
    char *name;
    Status pulled; /* status of the last pull; its message is in *err */
    Error *err;    /* of the call that runs */
    uint8_t *next; /* first byte of the output that the caller does not have yet */
    int64_t bytes; /* of this member */
    uint32_t sum;  /* CRC-32 or Adler-32 of this member */
    int64_t members;
    uint8_t input[KEPT + INPUT], output[OUTPUT];
};

static bool refill(Inflater *core) {
    InflateStream *f = (InflateStream *)core;
    int64_t got = 0;
    if (f->pulled != OK) return false;
    memmove(f->input, core->in.end - KEPT, KEPT);
    f->pulled = f->pull(f->context, f->input + KEPT, INPUT, &got, f->err);
    if (f->pulled != OK) got = 0;
    core->in.at = f->input + KEPT;
    core->in.end = core->in.at + got;
    return got > 0;
}

Status inflate_open(InflateStream **out, InflateWrap wrap, Pull pull, void *context,
                    const char *name, Error *err) {
    InflateStream *f = *out = malloc(sizeof *f);
    if (!f) return fail(err, ERR_MEMORY, "inflate: %s: out of memory", name);
    memset(f, 0, offsetof(InflateStream, input) + KEPT);
    f->wrap = wrap;
    f->pull = pull;
    f->context = context;
    f->name = format_text("%s", name);
    f->core.refill = refill;
    f->core.in.at = f->core.in.end = f->input + KEPT;
    f->core.out = f->core.out_start = f->next = f->output;
    f->core.out_end = f->output + OUTPUT;
    f->core.pause = f->core.out_end - INFLATE_MOST_COPY;
    if (f->name) return OK;
    inflate_close(f);
    *out = NULL;
    return fail(err, ERR_MEMORY, "inflate: %s: out of memory", name);
}

void inflate_close(InflateStream *f) {
    if (!f) return;
    free(f->name);
    free(f);
}

/* Takes the next byte of a wrapper. Returns -1 at the end of the input. */
static int next_byte(InflateStream *f) {
    InflateBits *in = &f->core.in;
    if (in->at == in->end && !refill(&f->core)) return -1;
    return *in->at++;
}

static bool next_bytes(InflateStream *f, uint8_t *to, int n) {
    for (int i = 0; i < n; i++) {
        const int byte = next_byte(f);
        if (byte < 0) return false;
        to[i] = (uint8_t)byte;
    }
    return true;
}

static bool pass_text(InflateStream *f) {
    int byte;
    while ((byte = next_byte(f)) > 0) {}
    return byte == 0;
}

static Status truncated(InflateStream *f) {
    if (f->pulled != OK) return f->pulled;
    return fail(f->err, ERR_FORMAT,
                "inflate: %s: truncated: the compressed data ends too early: fetch it again",
                f->name);
}

static Status damaged(InflateStream *f, const char *what) {
    return fail(f->err, ERR_FORMAT, "inflate: %s: damaged: %s: fetch it again", f->name, what);
}

/* --- wrappers --------------------------------------------------------------------------------- */

/* RFC 1950, 8.2: two sums modulo 65521; 5552 bytes cannot overflow them. */
static uint32_t adler32(uint32_t sum, const uint8_t *data, int64_t bytes) {
    uint32_t a = sum & 0xffff, b = sum >> 16;
    while (bytes > 0) {
        const int64_t n = least(bytes, 5552);
        for (int64_t i = 0; i < n; i++) b += a += data[i];
        a %= 65521;
        b %= 65521;
        data += n;
        bytes -= n;
    }
    return b << 16 | a;
}

static Status zlib_header(InflateStream *f) {
    uint8_t h[2];
    if (!next_bytes(f, h, 2)) return truncated(f);
    if ((h[0] & 15) != 8 || h[0] >> 4 > 7 || (h[0] << 8 | h[1]) % 31 != 0)
        return damaged(f, "it does not begin with a header of zlib");
    if (h[1] & 32) return damaged(f, "it needs a dictionary of zlib, expected none");
    return OK;
}

/* Reads the header of a gzip member. *more is false at the end of the input, behind a member. */
static Status gzip_header(InflateStream *f, bool *more) {
    uint8_t h[10], two[2];
    int byte = next_byte(f);
    while (f->members && byte == 0) byte = next_byte(f); /* blocks of a tape are padded */
    if (byte < 0 && f->members && f->pulled == OK) {
        *more = false;
        return OK;
    }
    h[0] = (uint8_t)byte;
    if (byte < 0 || !next_bytes(f, h + 1, 1)) return truncated(f);
    if (h[0] != 0x1f || h[1] != 0x8b)
        return damaged(f, f->members ? "bytes that are no gzip member follow its end"
                                     : "it does not begin like gzip");
    if (!next_bytes(f, h + 2, 8)) return truncated(f);
    if (h[2] != 8 || h[3] & RESERVED) return damaged(f, "its gzip header has unknown flags");
    bool there = true;
    if (h[3] & HAS_EXTRA) {
        there = next_bytes(f, two, 2);
        for (int n = there ? (int)little(two, 2) : 0; there && n > 0; n--)
            there = next_byte(f) >= 0;
    }
    if (there && h[3] & HAS_NAME) there = pass_text(f);
    if (there && h[3] & HAS_COMMENT) there = pass_text(f);
    if (there && h[3] & HAS_CRC) there = next_bytes(f, two, 2);
    return there ? OK : truncated(f);
}

/* Reads the header that the next deflate stream has, or finds that there is no other stream. */
static Status enter(InflateStream *f) {
    bool more = true;
    Status st = OK;
    if (f->wrap == INFLATE_GZIP) st = gzip_header(f, &more);
    else if (f->members) more = false;
    else if (f->wrap == INFLATE_ZLIB) st = zlib_header(f);
    f->core.phase = INFLATE_HEADER;
    f->core.last = false;
    f->core.out_start = f->core.out;
    f->sum = f->wrap == INFLATE_ZLIB;
    f->bytes = 0;
    f->place = more ? IN_BODY : AT_END;
    return st;
}

/* Checks what stands behind a deflate stream. */
static Status leave(InflateStream *f) {
    uint8_t t[8];
    f->members++;
    f->place = AT_HEADER;
    if (f->wrap == INFLATE_BARE) return OK;
    if (!next_bytes(f, t, f->wrap == INFLATE_ZLIB ? 4 : 8)) return truncated(f);
    if (f->wrap == INFLATE_ZLIB)
        return big(t, 4) == f->sum ? OK : damaged(f, "its Adler-32 is another one");
    if (little(t, 4) != f->sum) return damaged(f, "its CRC-32 is another one");
    return little(t + 4, 4) == (uint32_t)f->bytes ? OK : damaged(f, "its length is another one");
}

/* --- pieces ----------------------------------------------------------------------------------- */

/* Makes room behind the last 32 KiB, which copies may reach. */
static void slide(InflateStream *f) {
    Inflater *s = &f->core;
    if (s->out < s->pause) return;
    const int64_t history = least(s->out - s->out_start, INFLATE_WINDOW);
    memmove(f->output, s->out - history, (size_t)history);
    s->out_start = f->output;
    s->out = f->next = f->output + history;
}

/* Inflates the next bytes of a stream into the empty output. */
static Status inflate_some(InflateStream *f) {
    Inflater *s = &f->core;
    slide(f);
    const uint8_t *before = s->out;
    const InflateEnd end = inflate_run(s);
    const int64_t n = s->out - before;
    if (f->pulled != OK) return f->pulled;
    if (end == INFLATE_DAMAGED)
        return s->in.missing ? truncated(f) : damaged(f, "its data is no deflate stream");
    f->bytes += n;
    if (f->wrap == INFLATE_GZIP) f->sum = crc32_update(f->sum, before, n);
    else if (f->wrap == INFLATE_ZLIB) f->sum = adler32(f->sum, before, n);
    return end == INFLATE_DONE ? leave(f) : OK;
}

Status inflate_read(void *stream, uint8_t *to, int64_t most, int64_t *got, Error *err) {
    InflateStream *f = (InflateStream *)stream;
    Status st = OK;
    *got = 0;
    f->err = err;
    if (f->place == FAILED) return fail(err, ERR_FORMAT, "inflate: %s: it failed before", f->name);
    while (st == OK && f->next == f->core.out && f->place != AT_END)
        st = f->place == AT_HEADER ? enter(f) : inflate_some(f);
    f->err = NULL;
    if (st != OK) {
        f->place = FAILED;
        return st;
    }
    *got = least(most, f->core.out - f->next);
    memcpy(to, f->next, (size_t)*got);
    f->next += *got;
    return OK;
}
