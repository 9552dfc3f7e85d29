/* deflate.c - a small compressor: one block of fixed Huffman codes, matches with the last place of
 * the same three bytes (RFC 1951, section 3.2.6); zlib and gzip around it (RFC 1950, RFC 1952). */
#include <stdlib.h>
#include <string.h>

#include "tests/cpu/datasets/archives.h"
#include "tests/support/golden.h"

enum { HASHES = 4096, WINDOW = 32768, LONGEST = 258 };

typedef struct {
    Bytes out;
    uint64_t held;
    int bits;
} Stream;

/* Adds bits, the least significant one first. */
static void put(Stream *s, unsigned value, int bits) {
    s->held |= (uint64_t)value << s->bits;
    for (s->bits += bits; s->bits >= 8; s->bits -= 8, s->held >>= 8)
        bytes_little(&s->out, s->held & 255, 1);
}

/* Adds a Huffman code, whose most significant bit comes first. */
static void put_code(Stream *s, unsigned code, int bits) {
    for (int i = bits - 1; i >= 0; i--) put(s, code >> i & 1, 1);
}

static void put_symbol(Stream *s, int symbol) {
    if (symbol < 144) put_code(s, 0x30U + (unsigned)symbol, 8);
    else if (symbol < 256) put_code(s, 0x190U + (unsigned)symbol - 144, 9);
    else if (symbol < 280) put_code(s, (unsigned)symbol - 256, 7);
    else put_code(s, 0xc0U + (unsigned)symbol - 280, 8);
}

static void put_match(Stream *s, int length, int distance) {
    int code = 0, extra = 0, base = 3;
    for (code = 257; length < LONGEST; code++) { /* codes 257 to 264 have no extra bits */
        extra = code < 265 ? 0 : (code - 261) / 4;
        if (length < base + (1 << extra)) break;
        base += 1 << extra;
    }
    if (length == LONGEST) code = 285, extra = 0, base = LONGEST;
    put_symbol(s, code);
    put(s, (unsigned)(length - base), extra);
    for (code = 0, base = 1;; code++) {
        extra = code < 4 ? 0 : code / 2 - 1;
        if (distance < base + (1 << extra)) break;
        base += 1 << extra;
    }
    put_code(s, (unsigned)code, 5);
    put(s, (unsigned)(distance - base), extra);
}

Bytes deflate_of(const void *data, size_t size) {
    const uint8_t *p = data;
    Stream s = {0};
    int64_t last[HASHES];
    for (int i = 0; i < HASHES; i++) last[i] = -1;
    put(&s, 3, 3); /* the last block, fixed codes */
    for (size_t i = 0; i < size;) {
        size_t length = 0;
        int64_t from = -1;
        if (i + 3 <= size) {
            const unsigned h = (p[i] * 2654435761U ^ p[i + 1] * 40503U ^ p[i + 2] * 97U) % HASHES;
            from = last[h];
            last[h] = (int64_t)i;
            if (from >= 0 && (int64_t)i - from <= WINDOW)
                while (length < LONGEST && i + length < size &&
                       p[from + (int64_t)length] == p[i + length])
                    length++;
        }
        if (length >= 3) {
            put_match(&s, (int)length, (int)((int64_t)i - from));
            i += length;
        } else put_symbol(&s, p[i++]);
    }
    put_symbol(&s, 256);
    put(&s, 0, 7); /* fills the last byte */
    return s.out;
}

Bytes zlib_of(const void *data, size_t size) {
    const uint8_t *p = data;
    uint32_t a = 1, b = 0; /* Adler-32 */
    Bytes out = {0}, packed = deflate_of(data, size);
    for (size_t i = 0; i < size; i++) {
        a = (a + p[i]) % 65521;
        b = (b + a) % 65521;
    }
    bytes_add(&out, "\x78\x9c", 2);
    bytes_add(&out, packed.data, packed.size);
    bytes_big(&out, (uint64_t)b << 16 | a, 4);
    bytes_free(&packed);
    return out;
}

uint32_t crc_of(const void *data, size_t size) {
    return crc32_of(data, size);
}

Bytes gzip_of(const Bytes *from) {
    static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    Bytes b = {0}, packed = deflate_of(from->data, from->size);
    bytes_add(&b, head, sizeof head);
    bytes_add(&b, packed.data, packed.size);
    bytes_little(&b, crc_of(from->data, from->size), 4);
    bytes_little(&b, from->size, 4);
    bytes_free(&packed);
    return b;
}

Bytes gzip_bomb(int64_t size) {
    static const uint8_t head[10] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
    Stream s = {0};
    bytes_add(&s.out, head, sizeof head);
    put(&s, 3, 3);
    put_symbol(&s, 0);
    for (int64_t left = size - 1; left > 0; left -= LONGEST) put_match(&s, LONGEST, 1);
    put_symbol(&s, 256);
    put(&s, 0, 7);
    bytes_zeros(&s.out, 8); /* no reader comes this far */
    return s.out;
}

void gzip_in_place(Bytes *b) {
    const Bytes packed = gzip_of(b);
    bytes_free(b);
    *b = packed;
}
