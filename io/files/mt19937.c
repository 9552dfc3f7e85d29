/* mt19937.c - the Mersenne Twister. */
#include "io/files/mt19937.h"

enum { N = MT19937_WORDS, M = 397 }; /* the paper's names */

void mt19937_seed(Mt19937 *rng, uint64_t seed) {
    uint32_t word = (uint32_t)seed;
    for (uint32_t j = 0; j < N; j++) {
        if (j > 0) word = 1812433253u * (word ^ word >> 30) + j;
        rng->state[j] = word;
    }
    rng->next = N;
}

/* Returns the new word in the place of `word`: its top bit and the other bits of the next, mixed. */
static inline uint32_t twisted(uint32_t word, uint32_t next, uint32_t shifted) {
    const uint32_t y = (word & 0x80000000u) | (next & 0x7fffffffu);
    return shifted ^ y >> 1 ^ ((y & 1) ? 0x9908b0dfu : 0);
}

/* Renews the whole state. Two loops, so that no index needs `% N`: they vectorise. */
static void twist(Mt19937 *rng) {
    uint32_t *s = rng->state;
    int i = 0;
    for (; i < N - M; i++) s[i] = twisted(s[i], s[i + 1], s[i + M]);
    for (; i < N - 1; i++) s[i] = twisted(s[i], s[i + 1], s[i + M - N]);
    s[i] = twisted(s[i], s[0], s[i + M - N]);
    rng->next = 0;
}

const uint32_t *mt19937_words(Mt19937 *rng, int64_t wanted, int64_t *taken) {
    if (rng->next >= N) twist(rng);
    const uint32_t *words = rng->state + rng->next;
    *taken = wanted < N - rng->next ? wanted : N - rng->next;
    rng->next += (int32_t)*taken;
    return words;
}

uint32_t mt19937_next(Mt19937 *rng) {
    int64_t one;
    return mt19937_tempered(*mt19937_words(rng, 1, &one));
}

void mt19937_seed_words(Mt19937 *rng, const uint32_t *key, int words) {
    mt19937_seed(rng, 19650218);
    uint32_t *s = rng->state;
    int i = 1, j = 0;
    for (int k = N > words ? N : words; k > 0; k--) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1664525u) + key[j] + (uint32_t)j;
        if (++i >= N) s[0] = s[N - 1], i = 1;
        if (++j >= words) j = 0;
    }
    for (int k = N - 1; k > 0; k--) {
        s[i] = (s[i] ^ (s[i - 1] ^ s[i - 1] >> 30) * 1566083941u) - (uint32_t)i;
        if (++i >= N) s[0] = s[N - 1], i = 1;
    }
    s[0] = 0x80000000u;
}
