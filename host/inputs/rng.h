/* rng.h - the random streams of the published implementation, bit for bit.
 *
 * torch.manual_seed(s) on the CPU and numpy.random.seed(s) are the same Mersenne Twister (MT19937,
 * Matsumoto & Nishimura 1998, init_genrand); the published code draws initial weights from the one
 * and batch indices from the other. `--rng torch` follows both; the default, Philox, is a device
 * operation (kernels/train.h).
 */
#ifndef TURTLE_HOST_INPUTS_RNG_H
#define TURTLE_HOST_INPUTS_RNG_H

#include <stdint.h>

enum { MT19937_WORDS = 624 };

typedef struct {
    uint32_t state[MT19937_WORDS];
    int32_t next; /* words of the state already used, 0 .. 624; 624: twist first */
} Mt19937;

/* Seeds with seed mod 2^32, as both libraries do. */
void mt19937_seed(Mt19937 *rng, uint64_t seed);
uint32_t mt19937_next(Mt19937 *rng);

/* Draws as torch's float32 uniform_(low, high): n values, one output each, fmaf(x, high - low, low)
 * with x the low 24 bits of the output over 2^24. */
void torch_uniform(Mt19937 *rng, float *out, int64_t n, double low, double high);
/* Draws as torch.nn.Linear(d, C): weight (C,d) row-major, then bias (C). */
void torch_linear(Mt19937 *rng, float *weight, float *bias, int64_t C, int64_t d);

/* Returns one of 0 .. max, as numpy's random_interval. Draws nothing for max = 0. */
uint64_t numpy_interval(Mt19937 *rng, uint64_t max);
/* Writes all of 0 .. n-1, shuffled as numpy.random.permutation(n). Draws nothing for n < 2. */
void numpy_permutation(Mt19937 *rng, int64_t *out, int64_t n);

#endif
