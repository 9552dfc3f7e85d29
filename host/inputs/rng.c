/* rng.c - MT19937, and what torch and numpy draw from it. */
#include "host/inputs/rng.h"

#include <math.h>

/* --- the generator ---------------------------------------------------------------------------- */

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

static inline uint32_t tempered(uint32_t y) {
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

/* Takes the next words of the state, still to be tempered: at least one, at most `wanted`. */
static const uint32_t *take(Mt19937 *rng, int64_t wanted, int64_t *taken) {
    if (rng->next >= N) twist(rng);
    const uint32_t *words = rng->state + rng->next;
    *taken = wanted < N - rng->next ? wanted : N - rng->next;
    rng->next += (int32_t)*taken;
    return words;
}

uint32_t mt19937_next(Mt19937 *rng) {
    int64_t one;
    return tempered(*take(rng, 1, &one));
}

/* --- torch ------------------------------------------------------------------------------------ */

/* Returns a number of [0, 1) in steps of 2^-24; it is exact, for the integer has no more bits than
 * a float. */
static inline float unit(uint32_t word) {
    return (float)(int32_t)(tempered(word) & 0xffffffu) * 0x1p-24f;
}

void torch_uniform(Mt19937 *rng, float *out, int64_t n, double low, double high) {
    const float lo = (float)low, hi = (float)high, span = hi - lo;
    /* Between -hi and hi, as all initial weights are, fmaf(x, 2 hi, -hi) = round(hi (2x - 1)), and
     * 2x - 1 is a float: one multiplication rounds the same, and needs no FMA instruction. */
    const int symmetric = lo == -hi && hi > 0 && isfinite(span);
    for (int64_t taken; n > 0; out += taken, n -= taken) {
        const uint32_t *words = take(rng, n, &taken);
        if (symmetric)
            for (int64_t k = 0; k < taken; k++) out[k] = hi * (2 * unit(words[k]) - 1);
        else
            for (int64_t k = 0; k < taken; k++) out[k] = fmaf(unit(words[k]), span, lo);
    }
}

void torch_linear(Mt19937 *rng, float *weight, float *bias, int64_t C, int64_t d) {
    /* kaiming_uniform_ with a = sqrt(5): 1/sqrt(d) again, but in torch's order of rounding. */
    const double a = sqrt(5.0), gain = sqrt(2.0 / (1.0 + a * a));
    const double bound = sqrt(3.0) * (gain / sqrt((double)d));
    torch_uniform(rng, weight, C * d, -bound, bound);
    torch_uniform(rng, bias, C, -1.0 / sqrt((double)d), 1.0 / sqrt((double)d));
}

/* --- numpy ------------------------------------------------------------------------------------ */

/* Returns all bits up to the highest of max. */
static uint64_t mask_of(uint64_t max) {
    for (int shift = 1; shift < 64; shift *= 2) max |= max >> shift;
    return max;
}

uint64_t numpy_interval(Mt19937 *rng, uint64_t max) {
    if (max == 0) return 0;
    const uint64_t mask = mask_of(max);
    uint64_t value;
    do { /* numpy takes two outputs, the high one first, where one has too few bits */
        value = mt19937_next(rng);
        if (max > UINT32_MAX) value = value << 32 | mt19937_next(rng);
        value &= mask;
    } while (value > max);
    return value;
}

static inline void swap(int64_t *a, int64_t *b) {
    const int64_t t = *a;
    *a = *b;
    *b = t;
}

/* Shuffles as Fisher and Yates, from the end: a[i] changes places with a[numpy_interval(i)]. The
 * draws do not depend on the array, so a block of them is made first: then the rejections, over a
 * quarter of all draws, mispredict no branch, and the swaps' cache misses overlap. n = 10^6 takes 4
 * ns an element (EPYC, 2.6 GHz), where numpy takes 37. */
void numpy_permutation(Mt19937 *rng, int64_t *out, int64_t n) {
    enum { BLOCK = 512 };
    uint32_t pick[BLOCK];
    for (int64_t i = 0; i < n; i++) out[i] = i;
    int64_t i = n - 1;
    for (; i > UINT32_MAX; i--) swap(&out[i], &out[numpy_interval(rng, (uint64_t)i)]);
    while (i > 0) {
        const uint32_t mask = (uint32_t)mask_of((uint64_t)i);
        const int64_t same_mask = i - mask / 2; /* i, i-1, .. down to mask/2 + 1 */
        const int64_t block = same_mask < BLOCK ? same_mask : BLOCK;
        for (int64_t got = 0, taken; got < block;) {
            const uint32_t *words = take(rng, block - got, &taken);
            for (int64_t k = 0; k < taken; k++) {
                pick[got] = tempered(words[k]) & mask;
                got += pick[got] <= i - got; /* else the next draw overwrites it */
            }
        }
        for (int64_t k = 0; k < block; k++, i--) swap(&out[i], &out[pick[k]]);
    }
}
