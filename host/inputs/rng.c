/* rng.c - initial weights as torch draws them. */
#include "host/inputs/rng.h"

#include <math.h>

/* Returns a number of [0, 1) in steps of 2^-24; it is exact, for the integer has no more bits than
 * a float. */
static inline float unit(uint32_t word) {
    return (float)(int32_t)(mt19937_tempered(word) & 0xffffffu) * 0x1p-24f;
}

void torch_uniform(Mt19937 *rng, float *out, int64_t n, double low, double high) {
    const float lo = (float)low, hi = (float)high, span = hi - lo;
    /* Between -hi and hi, as all initial weights are, fmaf(x, 2 hi, -hi) = round(hi (2x - 1)), and
     * 2x - 1 is a float: one multiplication rounds the same, and needs no FMA instruction. */
    const int symmetric = lo == -hi && hi > 0 && isfinite(span);
    for (int64_t taken; n > 0; out += taken, n -= taken) {
        const uint32_t *words = mt19937_words(rng, n, &taken);
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
