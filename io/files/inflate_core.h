/* inflate_core.h - the decoder of deflate streams (RFC 1951) that inflate.c and inflate_stream.c
 * share. */
#ifndef TURTLE_IO_FILES_INFLATE_CORE_H
#define TURTLE_IO_FILES_INFLATE_CORE_H

#include <stdbool.h>
#include <stdint.h>

enum {
    INFLATE_MAX_BITS = 15,
    INFLATE_FAST_BITS = 10,
    INFLATE_LITERALS = 288,
    INFLATE_MOST_COPY = 258, /* bytes that one symbol can stand for */
    INFLATE_WINDOW = 32768   /* bytes that a copy can reach back */
};

/* A canonical Huffman code. Codes of up to FAST_BITS bits are found by one look into `fast`, longer
 * ones by counting through the lengths. */
typedef struct {
    uint16_t fast[1 << INFLATE_FAST_BITS]; /* symbol * 16 + length; 0: a longer code, or none */
    uint16_t count[INFLATE_MAX_BITS + 1];  /* codes of each length */
    uint16_t symbol[INFLATE_LITERALS];     /* symbols ordered by length, then by value */
} InflateCode;

/* The bits of a stream. */
typedef struct {
    const uint8_t *at, *end;
    uint64_t bits; /* the next bits, the first one lowest */
    int held;      /* bits that are there; more may stand above them, and are fetched again */
    int missing;   /* bytes behind the end that were taken as zero */
} InflateBits;

typedef enum { INFLATE_HEADER, INFLATE_STORED, INFLATE_CODED } InflatePhase;

typedef struct Inflater {
    InflateBits in;
    /* Brings more input when in.at == in.end, with the last 8 bytes still in front of in.at.
     * Returns false at the end of the input. NULL: there is no more. */
    bool (*refill)(struct Inflater *s);
    uint8_t *out, *out_end;
    uint8_t *out_start; /* first byte that a copy may reach */
    /* Pauses where out is at or behind it, at least INFLATE_MOST_COPY bytes before out_end;
     * NULL: the output takes exactly the whole. */
    uint8_t *pause;
    InflatePhase phase;
    bool last;       /* the block is the stream's last */
    int stored_left; /* bytes of a stored block that are not copied yet */
    InflateCode literals, distances;
} Inflater;

typedef enum { INFLATE_DONE, INFLATE_PAUSED, INFLATE_DAMAGED } InflateEnd;

/* Decodes until the end of the stream, or until out >= pause. A fresh Inflater is zero but for
 * in, refill, out, out_end, out_start and pause. Behind the end in.at is the first byte that is
 * not the stream's. */
InflateEnd inflate_run(Inflater *s);

#endif
