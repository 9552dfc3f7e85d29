/* rng.h - the random streams of the published implementation, bit for bit.
 *
 * torch.manual_seed(s) on the CPU and numpy.random.seed(s) are the same Mersenne Twister; the published code draws
 * initial weights from the one and batch indices from the other (io/files/draws.h). `--rng torch` follows both; the
 * default, Philox, is a device operation (kernels/train.h).
 */
#ifndef TURTLE_HOST_INPUTS_RNG_H
#define TURTLE_HOST_INPUTS_RNG_H

#include "io/files/draws.h"

/* Draws as torch's float32 uniform_(low, high): n values, one output each, fmaf(x, high - low, low)
 * with x the low 24 bits of the output over 2^24. */
void torch_uniform(Mt19937 *rng, float *out, int64_t n, double low, double high);
/* Draws as torch.nn.Linear(d, C): weight (C,d) row-major, then bias (C). */
void torch_linear(Mt19937 *rng, float *weight, float *bias, int64_t C, int64_t d);

#endif
