/* inflate_core.c - the decoder of deflate streams. Section numbers are RFC 1951's.
 *
 * stb_image has an inflate of its own for PNG, which counts in int: arrays of 2 GiB and more are
 * common here, and archives are inflated in pieces. */
#include "io/files/inflate_core.h"

#include <string.h>

#include "io/files/bytes.h"
#include "io/sizes.h"

enum { MAX_BITS = INFLATE_MAX_BITS, FAST_BITS = INFLATE_FAST_BITS, LITERALS = INFLATE_LITERALS };
enum { DISTANCES = 30, END_OF_BLOCK = 256, WORD = 8 };

/* Fetches bits one byte at a time until at least 56 are held. Zeros are fetched behind the end, and
 * counted. */
static void fill_slowly(Inflater *s, InflateBits *in) {
    for (; in->held < 56; in->held += 8) {
        if (in->at == in->end && s->refill && !in->missing) {
            s->in = *in;
            s->refill(s);
            *in = s->in;
        }
        if (in->at < in->end) in->bits |= (uint64_t)*in->at++ << in->held;
        else in->missing++;
    }
}

/* Fetches bits until at least 56 are held: a length and a distance take 48 at the most. */
static inline void fill(Inflater *s, InflateBits *in) {
    if (in->end - in->at < WORD) {
        fill_slowly(s, in);
        return;
    }
    in->bits |= little64(in->at) << in->held;
    in->at += (63 - in->held) >> 3;
    in->held |= 56;
}

/* Returns true if more bits were taken than the input has. */
static inline bool is_overdrawn(const InflateBits *in) {
    return in->missing * 8 > in->held;
}

static inline unsigned take(InflateBits *in, int n) {
    const unsigned x = (unsigned)(in->bits & (((uint64_t)1 << n) - 1));
    in->bits >>= n;
    in->held -= n;
    return x;
}

/* Passes the rest of a byte and gives the whole bytes back that were fetched. */
static void give_back(InflateBits *in) {
    take(in, in->held % 8);
    in->at -= (in->held - 8 * in->missing) / 8;
    in->bits = 0;
    in->held = in->missing = 0;
}

static unsigned reversed(unsigned code, int length) {
    unsigned x = 0;
    for (int i = 0; i < length; i++) x |= (code >> i & 1) << (length - 1 - i);
    return x;
}

/* 3.2.2: makes the code whose symbols have these lengths (0: unused). Returns false if the
 * lengths are more than a binary tree holds. Fewer are allowed: a block without distances has
 * such a code. */
static bool make_code(InflateCode *c, const uint8_t *length, int n) {
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

/* Takes a symbol whose code is longer than FAST_BITS. Returns -1 where the bits are no code. */
static int take_long_symbol(InflateBits *in, const InflateCode *c) {
    int code = 0, first = 0, index = 0;
    for (int l = 1; l <= MAX_BITS; l++) { /* codes of one length follow one another */
        code |= (int)(in->bits >> (l - 1) & 1);
        if (code - first < c->count[l]) {
            take(in, l);
            return c->symbol[index + code - first];
        }
        index += c->count[l];
        first = (first + c->count[l]) << 1;
        code <<= 1;
    }
    return -1;
}

/* Takes the next symbol. Returns -1 where the bits are no code. */
static inline int take_symbol(InflateBits *in, const InflateCode *c) {
    const unsigned look = c->fast[in->bits & ((1 << FAST_BITS) - 1)];
    if (!look) return take_long_symbol(in, c);
    take(in, (int)(look & 15));
    return (int)(look >> 4);
}

/* Copies `length` bytes that stand `distance` before `out`. Words may end behind the copy, where
 * `room` bytes from `out` on allow it. */
static inline void copy_back(uint8_t *out, int64_t distance, int64_t length, int64_t room) {
    const uint8_t *from = out - distance;
    if (distance >= WORD && room >= length + WORD) {
        for (int64_t i = 0; i < length; i += WORD) memcpy(out + i, from + i, WORD);
    } else if (distance == 1) {
        memset(out, *from, (size_t)length);
    } else {
        for (int64_t i = 0; i < length; i++) out[i] = from[i];
    }
}

/* 3.2.5: a block is literals, and copies of bytes that stand `distance` before. */
static InflateEnd inflate_block(Inflater *s) {
    static const uint16_t length_base[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                             15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                             67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_extra[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                             2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    static const uint16_t distance_base[DISTANCES] = {
        1,   2,   3,   4,   5,   7,    9,    13,   17,   25,   33,   49,   65,    97,    129,
        193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577};
    InflateBits in =
        s->in; /* in registers: bytes written through `out` might change what lies in *s */
    uint8_t *out = s->out, *const out_end = s->out_end, *const pause = s->pause;
    const uint8_t *const out_start = s->out_start;
    InflateEnd end = INFLATE_DAMAGED;
    for (;;) {
        if (pause && out >= pause) {
            end = INFLATE_PAUSED;
            break;
        }
        fill(s, &in);
        const int symbol = take_symbol(&in, &s->literals);
        if (symbol < 0 || is_overdrawn(&in)) break;
        if (symbol < END_OF_BLOCK) {
            if (out == out_end) break;
            *out++ = (uint8_t)symbol;
            continue;
        }
        if (symbol == END_OF_BLOCK) {
            end = INFLATE_DONE;
            break;
        }
        const int l = symbol - 257;
        if (l >= 29) break;
        const int64_t length = length_base[l] + (int64_t)take(&in, length_extra[l]);
        const int d = take_symbol(&in, &s->distances);
        if (d < 0 || d >= DISTANCES) break;
        const int64_t distance = distance_base[d] + (int64_t)take(&in, d < 4 ? 0 : d / 2 - 1);
        if (is_overdrawn(&in) || distance > out - out_start || length > out_end - out) break;
        copy_back(out, distance, length, out_end - out);
        out += length;
    }
    s->in = in;
    s->out = out;
    return end;
}

/* 3.2.4: a stored block is a length, its complement, and bytes. */
static bool enter_stored(Inflater *s) {
    take(&s->in, s->in.held % 8);
    fill(s, &s->in);
    const unsigned n = take(&s->in, 16), complement = take(&s->in, 16);
    if (is_overdrawn(&s->in) || (n ^ complement) != 0xffff) return false;
    give_back(&s->in);
    s->stored_left = (int)n;
    return true;
}

static InflateEnd copy_stored(Inflater *s) {
    while (s->stored_left > 0) {
        if (s->pause && s->out >= s->pause) return INFLATE_PAUSED;
        if (s->in.at == s->in.end && (!s->refill || !s->refill(s))) {
            s->in.missing = 1;
            return INFLATE_DAMAGED;
        }
        const int64_t n = least(least(s->stored_left, s->in.end - s->in.at), s->out_end - s->out);
        if (n == 0) return INFLATE_DAMAGED;
        memcpy(s->out, s->in.at, (size_t)n);
        s->in.at += n;
        s->out += n;
        s->stored_left -= (int)n;
    }
    return INFLATE_DONE;
}

/* 3.2.7: reads the lengths of both codes, which are Huffman-coded with runs themselves. */
static bool read_codes(Inflater *s) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    uint8_t length[LITERALS + 32] = {0}, short_length[19] = {0};
    InflateBits *in = &s->in;
    fill(s, in);
    const int n_literals = 257 + (int)take(in, 5), n_distances = 1 + (int)take(in, 5);
    const int n_short = 4 + (int)take(in, 4), n = n_literals + n_distances;
    if (n_literals > 286) return false;
    for (int i = 0; i < n_short; i++) {
        fill(s, in);
        short_length[order[i]] = (uint8_t)take(in, 3);
    }
    InflateCode *lengths = &s->literals; /* it is free until the end */
    if (!make_code(lengths, short_length, 19)) return false;
    for (int i = 0; i < n;) {
        fill(s, in);
        const int symbol = take_symbol(in, lengths);
        if (symbol < 0 || is_overdrawn(in)) return false;
        if (symbol < 16) {
            length[i++] = (uint8_t)symbol;
            continue;
        }
        if (symbol == 16 && i == 0) return false;
        const uint8_t value = symbol == 16 ? length[i - 1] : 0;
        int run = symbol == 16   ? 3 + (int)take(in, 2)
                  : symbol == 17 ? 3 + (int)take(in, 3)
                                 : 11 + (int)take(in, 7);
        if (run > n - i) return false;
        for (; run > 0; run--) length[i++] = value;
    }
    return length[END_OF_BLOCK] && make_code(&s->literals, length, n_literals) &&
           make_code(&s->distances, length + n_literals, n_distances);
}

/* 3.2.6: makes the codes of a block that brings none. */
static bool fixed_codes(Inflater *s) {
    uint8_t length[LITERALS];
    for (int i = 0; i < LITERALS; i++) length[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    if (!make_code(&s->literals, length, LITERALS)) return false;
    memset(length, 5, DISTANCES);
    return make_code(&s->distances, length, DISTANCES);
}

/* 3.2.3: reads the header of a block, and what stands before its first symbol. */
static bool enter_block(Inflater *s) {
    fill(s, &s->in);
    s->last = take(&s->in, 1);
    const unsigned type = take(&s->in, 2);
    if (is_overdrawn(&s->in) || type == 3) return false;
    s->phase = type == 0 ? INFLATE_STORED : INFLATE_CODED;
    return type == 0 ? enter_stored(s) : type == 1 ? fixed_codes(s) : read_codes(s);
}

InflateEnd inflate_run(Inflater *s) {
    for (;;) {
        if (s->phase == INFLATE_HEADER && !enter_block(s)) return INFLATE_DAMAGED;
        const InflateEnd end = s->phase == INFLATE_STORED ? copy_stored(s) : inflate_block(s);
        if (end != INFLATE_DONE) return end;
        s->phase = INFLATE_HEADER;
        if (!s->last) continue;
        give_back(&s->in);
        return INFLATE_DONE;
    }
}
