/* inflate.c - deflate streams of any size, inflated as a whole. Section numbers are RFC 1951's.
 *
 * stb_image has an inflate of its own for PNG, which counts in int: arrays of 2 GiB and more are
 * common here. */
#include "io/files/inflate.h"

#include <string.h>

enum { MAX_BITS = 15, FAST_BITS = 10, LITERALS = 288, DISTANCES = 30, END_OF_BLOCK = 256 };

/* A canonical Huffman code. Codes of up to FAST_BITS bits are found by one look into `fast`, longer
 * ones by counting through the lengths. */
typedef struct {
    uint16_t fast[1 << FAST_BITS]; /* symbol * 16 + length; 0: a longer code, or none */
    uint16_t count[MAX_BITS + 1];  /* codes of each length */
    uint16_t symbol[LITERALS];     /* symbols ordered by length, then by value */
} Code;

typedef struct {
    const uint8_t *at, *end;
    uint64_t bits; /* the next bits of the stream, the first one lowest */
    int held;      /* bits that are there */
    int missing;   /* bytes behind the end that were taken as zero */
    uint8_t *out, *out_start, *out_end;
} Stream;

/* Fetches bits until at least 48 are held. Zeros are fetched behind the end, and counted. */
static void fill(Stream *s) {
    for (; s->held <= 56; s->held += 8) {
        if (s->at < s->end) s->bits |= (uint64_t)*s->at++ << s->held;
        else s->missing++;
    }
}

/* Returns true if more bits were taken than the stream has. */
static bool is_overdrawn(const Stream *s) {
    return s->missing * 8 > s->held;
}

static unsigned take(Stream *s, int n) {
    const unsigned x = (unsigned)(s->bits & (((uint64_t)1 << n) - 1));
    s->bits >>= n;
    s->held -= n;
    return x;
}

static unsigned reversed(unsigned code, int length) {
    unsigned x = 0;
    for (int i = 0; i < length; i++) x |= (code >> i & 1) << (length - 1 - i);
    return x;
}

/* 3.2.2: makes the code whose symbols have these lengths (0: unused). Returns false if the
 * lengths are more than a binary tree holds. Fewer are allowed: a block without distances has
 * such a code. */
static bool make_code(Code *c, const uint8_t *length, int n) {
    int room = 1;
    unsigned next[MAX_BITS + 2] = {0};
    uint16_t first[MAX_BITS + 2] = {0};
    memset(c, 0, sizeof *c);
    for (int i = 0; i < n; i++) c->count[length[i]]++;
    c->count[0] = 0;
    for (int l = 1; l <= MAX_BITS; l++) {
        room = 2 * room - c->count[l];
        if (room < 0) return false;
        next[l + 1] = (next[l] + c->count[l]) << 1;
        first[l + 1] = (uint16_t)(first[l] + c->count[l]);
    }
    for (int i = 0; i < n; i++) {
        const int l = length[i];
        if (!l) continue;
        c->symbol[first[l]++] = (uint16_t)i;
        const unsigned code = next[l]++;
        if (l > FAST_BITS) continue;
        for (unsigned k = reversed(code, l); k < 1u << FAST_BITS; k += 1u << l)
            c->fast[k] = (uint16_t)(i * 16 + l);
    }
    return true;
}

/* Takes the next symbol. Returns -1 where the bits are no code. */
static int take_symbol(Stream *s, const Code *c) {
    const unsigned look = c->fast[s->bits & ((1 << FAST_BITS) - 1)];
    if (look) {
        take(s, (int)(look & 15));
        return (int)(look >> 4);
    }
    int code = 0, first = 0, index = 0;
    for (int l = 1; l <= MAX_BITS; l++) { /* codes of one length follow one another */
        code |= (int)(s->bits >> (l - 1) & 1);
        if (code - first < c->count[l]) {
            take(s, l);
            return c->symbol[index + code - first];
        }
        index += c->count[l];
        first = (first + c->count[l]) << 1;
        code <<= 1;
    }
    return -1;
}

/* 3.2.5: a block is literals, and copies of bytes that stand `distance` before. */
static bool inflate_block(Stream *s, const Code *literals, const Code *distances) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                             15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                             67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                             2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[DISTANCES] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    for (;;) {
        fill(s);
        const int symbol = take_symbol(s, literals);
        if (symbol < 0 || is_overdrawn(s)) return false;
        if (symbol == END_OF_BLOCK) return true;
        if (symbol < END_OF_BLOCK) {
            if (s->out == s->out_end) return false;
            *s->out++ = (uint8_t)symbol;
            continue;
        }
        const int l = symbol - 257;
        if (l < 0 || l >= 29) return false;
        const int64_t length = length_base[l] + (int64_t)take(s, length_extra[l]);
        const int d = take_symbol(s, distances);
        if (d < 0 || d >= DISTANCES) return false;
        const int64_t distance = distance_base[d] + (int64_t)take(s, d < 4 ? 0 : d / 2 - 1);
        if (is_overdrawn(s) || distance > s->out - s->out_start || length > s->out_end - s->out)
            return false;
        for (int64_t i = 0; i < length; i++) s->out[i] = s->out[i - distance];
        s->out += length;
    }
}

/* 3.2.4: a stored block is a length, its complement, and bytes. */
static bool copy_stored(Stream *s) {
    take(s, s->held % 8);
    fill(s);
    const unsigned n = take(s, 16), complement = take(s, 16);
    if (is_overdrawn(s) || (n ^ complement) != 0xffff) return false;
    s->at -= (s->held - 8 * s->missing) / 8; /* whole bytes that were fetched go back */
    s->bits = 0;
    s->held = s->missing = 0;
    if (n > s->end - s->at || n > s->out_end - s->out) return false;
    if (n) memcpy(s->out, s->at, n);
    s->at += n;
    s->out += n;
    return true;
}

/* 3.2.7: reads the lengths of both codes, which are Huffman-coded with runs themselves. */
static bool read_codes(Stream *s, Code *literals, Code *distances) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t length[LITERALS + 32] = {0}, short_length[19] = {0};
    fill(s);
    const int n_literals = 257 + (int)take(s, 5), n_distances = 1 + (int)take(s, 5);
    const int n_short = 4 + (int)take(s, 4), n = n_literals + n_distances;
    if (n_literals > 286) return false;
    for (int i = 0; i < n_short; i++) {
        fill(s);
        short_length[order[i]] = (uint8_t)take(s, 3);
    }
    if (!make_code(literals, short_length, 19)) return false; /* `literals` is free until the end */
    for (int i = 0; i < n;) {
        fill(s);
        const int symbol = take_symbol(s, literals);
        if (symbol < 0 || is_overdrawn(s)) return false;
        if (symbol < 16) {
            length[i++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16 && i == 0) return false;
        const uint8_t value = symbol == 16 ? length[i - 1] : 0;
        int run = symbol == 16   ? 3 + (int)take(s, 2)
                  : symbol == 17 ? 3 + (int)take(s, 3)
                                 : 11 + (int)take(s, 7);
        if (run > n - i) return false;
        for (; run > 0; run--) length[i++] = value;
    }
    return length[END_OF_BLOCK] && make_code(literals, length, n_literals) &&
           make_code(distances, length + n_literals, n_distances);
}

/* 3.2.6: makes the codes of a block that brings none. */
static bool fixed_codes(Code *literals, Code *distances) {
    uint8_t length[LITERALS];
    for (int i = 0; i < LITERALS; i++) length[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    if (!make_code(literals, length, LITERALS)) return false;
    memset(length, 5, DISTANCES);
    return make_code(distances, length, DISTANCES);
}

bool inflate_whole(uint8_t *out, int64_t out_bytes, const uint8_t *from, int64_t from_bytes) {
    Stream s = {.at = from,
                .end = from + from_bytes,
                .out = out,
                .out_start = out,
                .out_end = out + out_bytes};
    Code literals, distances;
    bool last = false;
    while (!last) {
        fill(&s);
        last = take(&s, 1);
        const unsigned type = take(&s, 2);
        bool ok = !is_overdrawn(&s);
        if (ok && type == 0) ok = copy_stored(&s);
        else if (ok && type == 1)
            ok = fixed_codes(&literals, &distances) && inflate_block(&s, &literals, &distances);
        else
            ok = ok && type == 2 && read_codes(&s, &literals, &distances) &&
                 inflate_block(&s, &literals, &distances);
        if (!ok) return false;
    }
    return s.out == s.out_end;
}
