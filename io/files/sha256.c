/* sha256.c - the SHA-256 digest of bytes (FIPS 180-4). */
#include "io/files/sha256.h"

#include <stdio.h>
#include <string.h>

#include "io/files/bytes.h"
#include "io/sizes.h"

enum { BLOCK = 64, ROUNDS = 64, LENGTH_BYTES = 8 };

/* Fractions of the cube roots of the first 64 primes, 32 bits each (section 4.2.2). */
static const uint32_t constants[ROUNDS] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t rotate(uint32_t x, int by) {
    return x >> by | x << (32 - by);
}

/* Adds one block to the state (section 6.2.2). */
static void absorb(uint32_t state[8], const uint8_t *block) {
    uint32_t w[ROUNDS];
    for (int t = 0; t < 16; t++) w[t] = big(block + 4 * t, 4);
    for (int t = 16; t < ROUNDS; t++) {
        const uint32_t x = w[t - 15], y = w[t - 2];
        w[t] = w[t - 16] + (rotate(x, 7) ^ rotate(x, 18) ^ x >> 3) + w[t - 7] +
               (rotate(y, 17) ^ rotate(y, 19) ^ y >> 10);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
    for (int t = 0; t < ROUNDS; t++) {
        const uint32_t one = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) +
                             (g ^ (e & (f ^ g))) + constants[t] + w[t];
        const uint32_t two =
            (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) | (c & (a | b)));
        h = g;
        g = f;
        f = e;
        e = d + one;
        d = c;
        c = b;
        b = a;
        a = one + two;
    }
    const uint32_t end[8] = {a, b, c, d, e, f, g, h};
    for (int i = 0; i < 8; i++) state[i] += end[i];
}

void sha256_init(Sha256 *s) {
    *s = (Sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c,
                            0x1f83d9ab, 0x5be0cd19}};
}

void sha256_update(Sha256 *s, const void *data, int64_t bytes) {
    const uint8_t *at = data;
    const int64_t there = (int64_t)(s->bytes % BLOCK);
    if (bytes <= 0) return;
    s->bytes += (uint64_t)bytes;
    if (there) {
        const int64_t n = least(bytes, BLOCK - there);
        memcpy(s->block + there, at, (size_t)n);
        at += n;
        bytes -= n;
        if (there + n < BLOCK) return;
        absorb(s->state, s->block);
    }
    for (; bytes >= BLOCK; bytes -= BLOCK, at += BLOCK) absorb(s->state, at);
    if (bytes) memcpy(s->block, at, (size_t)bytes);
}

/* Section 5.1.1: a one bit, zeros, and the length in bits end the last block. */
void sha256_finish(Sha256 *s, char hex[SHA256_HEX + 1]) {
    static const uint8_t padding[BLOCK] = {0x80};
    uint8_t length[LENGTH_BYTES];
    const uint64_t bits = s->bytes * 8;
    for (int i = 0; i < LENGTH_BYTES; i++)
        length[i] = (uint8_t)(bits >> 8 * (LENGTH_BYTES - 1 - i));
    const int64_t there = (int64_t)(s->bytes % BLOCK), room = BLOCK - LENGTH_BYTES;
    sha256_update(s, padding, there < room ? room - there : BLOCK + room - there);
    sha256_update(s, length, LENGTH_BYTES);
    for (int i = 0; i < 8; i++) snprintf(hex + 8 * i, 9, "%08x", (unsigned)s->state[i]);
}

void sha256_hex(char hex[SHA256_HEX + 1], const void *data, int64_t bytes) {
    Sha256 s;
    sha256_init(&s);
    sha256_update(&s, data, bytes);
    sha256_finish(&s, hex);
}
