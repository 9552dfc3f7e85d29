/* md5.c - the MD5 digest of bytes. Section numbers are RFC 1321's. */
#include "io/files/md5.h"

#include <stdio.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/sizes.h"

enum { BLOCK = 64, ROUNDS = 64, LENGTH_BYTES = 8 };

/* 3.4: the whole part of 2^32 |sin(i)|, i = 1..64. */
static const uint32_t sines[ROUNDS] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391};

static uint32_t rotate(uint32_t x, int by) {
    return x << by | x >> (32 - by);
}

/* 3.4: one step of round r, 0 to 3, turns (a, b, c, d) into (d, b', b, c). */
#define STEP(f, r, i, word)                                                  \
    do {                                                                     \
        const uint32_t sum = a + (f) + w[(word)&15] + sines[16 * (r) + (i)]; \
        a = d;                                                               \
        d = c;                                                               \
        c = b;                                                               \
        b += rotate(sum, shifts[r][(i)&3]);                                  \
    } while (0)

/* Adds one block to the state. */
static void absorb(uint32_t state[4], const uint8_t *block) {
    static const uint8_t shifts[4][4] = {
        {7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};
    uint32_t w[16], a = state[0], b = state[1], c = state[2], d = state[3];
    for (int i = 0; i < 16; i++) w[i] = little(block + 4 * i, 4);
    for (int i = 0; i < 16; i++) STEP((b & c) | (~b & d), 0, i, i);
    for (int i = 0; i < 16; i++) STEP((b & d) | (c & ~d), 1, i, 5 * i + 1);
    for (int i = 0; i < 16; i++) STEP(b ^ c ^ d, 2, i, 3 * i + 5);
    for (int i = 0; i < 16; i++) STEP(c ^ (b | ~d), 3, i, 7 * i);
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
}

void md5_init(Md5 *m) {
    *m = (Md5){.state = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476}};
}

void md5_update(Md5 *m, const void *data, int64_t bytes) {
    const uint8_t *at = data;
    const int64_t there = (int64_t)(m->bytes % BLOCK);
    if (bytes <= 0) return;
    m->bytes += (uint64_t)bytes;
    if (there) {
        const int64_t n = least(bytes, BLOCK - there);
        memcpy(m->block + there, at, (size_t)n);
        at += n;
        bytes -= n;
        if (there + n < BLOCK) return;
        absorb(m->state, m->block);
    }
    for (; bytes >= BLOCK; bytes -= BLOCK, at += BLOCK) absorb(m->state, at);
    if (bytes) memcpy(m->block, at, (size_t)bytes);
}

/* 3.1 and 3.2: a one bit, zeros, and the length in bits end the last block. */
void md5_finish(Md5 *m, char hex[MD5_HEX + 1]) {
    static const uint8_t padding[BLOCK] = {0x80};
    uint8_t length[LENGTH_BYTES];
    const uint64_t bits = m->bytes * 8;
    for (int i = 0; i < LENGTH_BYTES; i++) length[i] = (uint8_t)(bits >> 8 * i);
    const int64_t there = (int64_t)(m->bytes % BLOCK), room = BLOCK - LENGTH_BYTES;
    md5_update(m, padding, there < room ? room - there : BLOCK + room - there);
    md5_update(m, length, LENGTH_BYTES);
    for (int i = 0; i < MD5_HEX / 2; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned)(m->state[i / 4] >> 8 * (i % 4) & 255));
}

void md5_hex(char hex[MD5_HEX + 1], const void *data, int64_t bytes) {
    Md5 m;
    md5_init(&m);
    md5_update(&m, data, bytes);
    md5_finish(&m, hex);
}
