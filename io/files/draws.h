/* draws.h - permutations, shuffles and samples, draw by draw as numpy and Python make them.
 *
 * Splits of data sets are drawn so, and batches of the published implementation. numpy means its legacy functions on
 * numpy.random.seed; Python means the module `random` of Python 3.2 and later.
 */
#ifndef TURTLE_IO_FILES_DRAWS_H
#define TURTLE_IO_FILES_DRAWS_H

#include <stdbool.h>

#include "io/files/mt19937.h"

/* Returns one of 0 .. max, as numpy's random_interval. Draws nothing for max = 0. */
uint64_t numpy_interval(Mt19937 *rng, uint64_t max);
/* Writes all of 0 .. n-1, shuffled as numpy.random.permutation(n). Draws nothing for n < 2. The first m of them are
 * numpy.random.choice(n, m, replace=False). */
void numpy_permutation(Mt19937 *rng, int64_t *out, int64_t n);

/* Seeds as random.seed(seed). */
void python_seed(Mt19937 *rng, uint32_t seed);
/* Returns one of 0 .. n-1, n >= 1, as random._randbelow(n). */
uint32_t python_below(Mt19937 *rng, uint32_t n);
/* Shuffles n < 2^32 numbers as random.shuffle. */
void python_shuffle(Mt19937 *rng, int64_t *at, int64_t n);
/* Writes k of 0 .. n-1 in the order of random.sample(range(n), k), 0 <= n < 2^32. Returns false for k > n, which
 * Python refuses too, and without memory. */
bool python_sample(Mt19937 *rng, int64_t *out, int64_t n, int64_t k);

#endif
