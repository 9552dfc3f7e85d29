/* mt19937.h - the Mersenne Twister MT19937 (Matsumoto & Nishimura 1998), the generator of torch, numpy and Python. */
#ifndef TURTLE_IO_FILES_MT19937_H
#define TURTLE_IO_FILES_MT19937_H

#include <stdint.h>

enum { MT19937_WORDS = 624 };

typedef struct {
    uint32_t state[MT19937_WORDS];
    int32_t next; /* words of the state already used, 0 .. 624; 624: twist first */
} Mt19937;

/* Seeds with seed mod 2^32 (init_genrand), as torch.manual_seed and numpy.random.seed do. */
void mt19937_seed(Mt19937 *rng, uint64_t seed);
/* Seeds with an array of words (init_by_array), as Python's random.seed(n) does with the words of |n|. */
void mt19937_seed_words(Mt19937 *rng, const uint32_t *key, int words);
uint32_t mt19937_next(Mt19937 *rng);

/* Takes the next words of the state, still to be tempered: at least one, at most `wanted`. */
const uint32_t *mt19937_words(Mt19937 *rng, int64_t wanted, int64_t *taken);
static inline uint32_t mt19937_tempered(uint32_t y) {
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

#endif
