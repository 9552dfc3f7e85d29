/* philox.h - Philox4x32-10, the counter-based generator (Salmon et al.: Parallel Random Numbers: As
 * Easy as 1, 2, 3, SC 2011), and what is drawn from it. Every backend runs this arithmetic.
 *
 * A random number is a function of (seed; stream, k, iteration, index): any order, any number of
 * threads, no state. Counter words: index low, index high and stream and k packed, iteration. */
#ifndef TURTLE_KERNELS_PHILOX_H
#define TURTLE_KERNELS_PHILOX_H

#include <stdint.h>

#include "io/sizes.h"

typedef struct {
    uint32_t word[4];
} Philox;

HOST_DEVICE static inline Philox philox4x32_10(Philox counter, uint64_t seed) {
    uint32_t key0 = (uint32_t)seed, key1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        const uint64_t p0 = (uint64_t)0xD2511F53u * counter.word[0];
        const uint64_t p1 = (uint64_t)0xCD9E8D57u * counter.word[2];
        const Philox next = {{(uint32_t)(p1 >> 32) ^ counter.word[1] ^ key0, (uint32_t)p1,
                              (uint32_t)(p0 >> 32) ^ counter.word[3] ^ key1, (uint32_t)p0}};
        counter = next;
        key0 += 0x9E3779B9u; /* golden ratio */
        key1 += 0xBB67AE85u; /* sqrt(3) - 1 */
    }
    return counter;
}

/* Returns the four words at `index` of a stream. index < 2^40, stream < 16, k < 256; iterations below
 * 2^32. */
HOST_DEVICE static inline Philox philox_at(uint64_t seed, int stream, int k, int64_t iteration,
                                           int64_t index) {
    const Philox counter = {
        {(uint32_t)index,
         (uint32_t)((uint64_t)index >> 32) | (uint32_t)k << 8 | (uint32_t)stream << 16,
         (uint32_t)iteration, (uint32_t)((uint64_t)iteration >> 32)}};
    return philox4x32_10(counter, seed);
}

/* Returns a float in [-bound, bound) made of 24 random bits. */
HOST_DEVICE static inline float philox_uniform(uint32_t word, float bound) {
    return ((float)(word >> 8) * 0x1p-23f - 1.0f) * bound;
}

/* A permutation of [0, N) with random access: a Feistel network over the least even number of bits
 * that holds N - 1; a value outside [0, N) is encrypted again until it falls inside (cycle walking:
 * fewer than 4 rounds on average, for the network covers less than 4 N values). */
typedef struct {
    uint64_t N, mask; /* values are below N; mask of one half of the bits */
    int half;         /* bits of one half */
    uint32_t key[8];
} RowPermutation;

HOST_DEVICE static inline RowPermutation row_permutation(uint64_t N, uint64_t seed, int stream,
                                                         int64_t iteration) {
    RowPermutation p;
    p.N = N;
    p.half = 1;
    while (2 * p.half < 64 && (N - 1) >> (2 * p.half)) p.half++;
    p.mask = ((uint64_t)1 << p.half) - 1;
    for (int i = 0; i < 2; i++) {
        const Philox words = philox_at(seed, stream, 0, iteration, i);
        for (int j = 0; j < 4; j++) p.key[4 * i + j] = words.word[j];
    }
    return p;
}

/* Mixes x with the key as MurmurHash3 (Appleby) does: every output bit depends on every input bit. */
HOST_DEVICE static inline uint32_t feistel_mix(uint32_t x, uint32_t key) {
    x = (x ^ key) * 0x85EBCA6Bu;
    x ^= x >> 13;
    x *= 0xC2B2AE35u;
    x ^= x >> 16;
    return x * 0x27D4EB2Fu ^ x >> 15;
}

HOST_DEVICE static inline uint64_t permuted_row(const RowPermutation *p, uint64_t row) {
    do {
        uint64_t left = row >> p->half, right = row & p->mask;
        for (int round = 0; round < 8; round++) {
            const uint64_t mixed = left ^ (feistel_mix((uint32_t)right, p->key[round]) & p->mask);
            left = right;
            right = mixed;
        }
        row = left << p->half | right;
    } while (row >= p->N);
    return row;
}

#endif
