/* rng_test.c - MT19937, torch's uniform_ and Linear, numpy's permutation: recorded streams. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/rng.h"
#include "tests/support/golden.h"

enum { SEEDS = 3 };
static const uint64_t seeds[SEEDS] = {42, 0, 12345};

/* Compares bits: -0 is not 0, and a NaN is itself. */
static int64_t differing(const float *a, const float *b, int64_t n) {
    int64_t bad = 0;
    for (int64_t i = 0; i < n; i++) bad += memcmp(&a[i], &b[i], sizeof *a) != 0;
    return bad;
}

Test(rng, mt19937_matches_recorded_outputs) {
    const uint32_t *recorded = golden("rng/mt19937.npy", DTYPE_U32, SEEDS * 2048);
    for (int s = 0; s < SEEDS; s++) {
        Mt19937 rng;
        mt19937_seed(&rng, seeds[s]);
        int bad = 0;
        for (int i = 0; i < 2048; i++) bad += mt19937_next(&rng) != recorded[s * 2048 + i];
        cr_expect(bad == 0, "seed %d: %d of 2048 outputs differ", (int)seeds[s], bad);
    }
}

/* The C++ standard states the 10000th output of seed 5489 for std::mt19937 ([rand.predef]). */
Test(rng, mt19937_matches_the_cxx_standard) {
    Mt19937 rng;
    mt19937_seed(&rng, 5489);
    for (int i = 1; i < 10000; i++) mt19937_next(&rng);
    cr_expect(mt19937_next(&rng) == 4123659995u);
}

Test(rng, seed_is_taken_mod_2_to_the_32) {
    Mt19937 small, large;
    mt19937_seed(&small, 5);
    mt19937_seed(&large, (UINT64_C(1) << 32) + 5);
    cr_expect(memcmp(&small, &large, sizeof small) == 0);
    mt19937_seed(&large, 6);
    cr_expect(memcmp(&small, &large, sizeof small) != 0);
}

Test(rng, uniform_matches_torch) {
    static const struct {
        const char *path;
        double low, high;
        int n;
    } cases[] = {{"rng/uniform_0_1.npy", 0, 1, 1000}, {"rng/uniform_m03_07.npy", -0.3, 0.7, 37}};
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int n = cases[c].n;
        const float *recorded = golden(cases[c].path, DTYPE_F32, (int64_t)SEEDS * n);
        for (int s = 0; s < SEEDS; s++) {
            float out[1000];
            Mt19937 rng;
            mt19937_seed(&rng, seeds[s]);
            torch_uniform(&rng, out, n, cases[c].low, cases[c].high);
            const int64_t bad = differing(out, recorded + (size_t)s * n, n);
            cr_expect(bad == 0, "%s, seed %d: %d differ", cases[c].path, (int)seeds[s], (int)bad);
        }
    }
}

/* Returns x * span + low, rounded once, where `rng` is about to give x. */
static float uniform_by_fma(Mt19937 *rng, double low, double high) {
    const float x = (float)(mt19937_next(rng) & 0xffffffu) * 0x1p-24f;
    return fmaf(x, (float)high - (float)low, (float)low);
}

/* The multiplication that stands for the FMA when low = -high is held against libm's fmaf, with
 * bounds for which it may not stand in: nearly symmetric, zero, reversed, overflowing, subnormal. */
Test(rng, uniform_rounds_as_one_fma) {
    static const double bounds[][2] = {{-0.07216878364870322, 0.07216878364870322},
                                       {-0.5773502691896258, 0.5773502691896258},
                                       {-1, 1},
                                       {-0.03125, 0.03125},
                                       {-0.1, 0.1000001},
                                       {-0.1f, 0.10000001},
                                       {0, 0},
                                       {0.25, -0.25},
                                       {-3e38, 3e38},
                                       {-1e-44, 1e-44},
                                       {-1e-38, 1e-38},
                                       {-0x1.fffffep-1, 0x1.fffffep-1},
                                       {1e30, 1.0000001e30},
                                       {-5, 0.125}};
    enum { DRAWS = 200000 };
    float *out = malloc(DRAWS * sizeof *out);
    for (size_t b = 0; b < sizeof bounds / sizeof *bounds; b++) {
        Mt19937 rng, again;
        mt19937_seed(&rng, b);
        again = rng;
        torch_uniform(&rng, out, DRAWS, bounds[b][0], bounds[b][1]);
        int bad = 0;
        for (int i = 0; i < DRAWS; i++) {
            const float expected = uniform_by_fma(&again, bounds[b][0], bounds[b][1]);
            bad += memcmp(&out[i], &expected, sizeof expected) != 0;
        }
        cr_expect(bad == 0, "(%g, %g): %d of %d differ", bounds[b][0], bounds[b][1], bad, DRAWS);
    }
    free(out);
}

Test(rng, linear_matches_torch) {
    enum { LAYERS = 36, SEED = 0, CONTINUES, CLASSES, DIM, CRC_WEIGHT, CRC_BIAS, COLUMNS };
    const int64_t *layers = golden("rng/linear.npy", DTYPE_I64, LAYERS * COLUMNS);
    const float *ends = golden("rng/linear_ends.npy", DTYPE_F32, LAYERS * 2 * 64);
    const float *biases = golden("rng/linear_bias.npy", DTYPE_F32, LAYERS * 100);
    Mt19937 rng = {.next = MT19937_WORDS};
    for (int l = 0; l < LAYERS; l++) {
        const int64_t *row = layers + l * COLUMNS;
        const int64_t C = row[CLASSES], d = row[DIM], shown = C * d < 64 ? C * d : 64;
        float *weight = malloc((size_t)(C * d) * sizeof *weight), bias[100];
        if (!row[CONTINUES]) mt19937_seed(&rng, (uint64_t)row[SEED]);
        torch_linear(&rng, weight, bias, C, d);
        const float *first = ends + (size_t)l * 128;
        cr_expect(differing(weight, first, shown) == 0, "layer %d: first weights", l);
        cr_expect(differing(weight + C * d - shown, first + 64, shown) == 0, "layer %d: last", l);
        cr_expect(differing(bias, biases + (size_t)l * 100, C) == 0, "layer %d: bias", l);
        cr_expect(crc32_of(weight, (size_t)(C * d) * sizeof *weight) == row[CRC_WEIGHT],
                  "layer %d: weight", l);
        cr_expect(crc32_of(bias, (size_t)C * sizeof *bias) == row[CRC_BIAS], "layer %d: bias", l);
        free(weight);
    }
}

/* choice(n, size, replace=False) is the head of a permutation of n. The outputs drawn are counted
 * on a second generator: both must then stand at the same place. */
Test(rng, permutation_matches_numpy) {
    enum { CALLS = 30, SEED = 0, CALL, N, SIZE, CRC, DRAWS, COLUMNS };
    const int64_t *calls = golden("rng/choice.npy", DTYPE_I64, CALLS * COLUMNS);
    const int32_t *firsts = golden("rng/choice_first.npy", DTYPE_I32, CALLS * 16);
    Mt19937 rng = {.next = MT19937_WORDS}, counter = rng;
    for (int c = 0; c < CALLS; c++) {
        const int64_t *row = calls + c * COLUMNS, n = row[N];
        int64_t *out = malloc((size_t)n * sizeof *out);
        if (row[CALL] == 0) {
            mt19937_seed(&rng, (uint64_t)row[SEED]);
            counter = rng;
        }
        numpy_permutation(&rng, out, n);
        for (int i = 0; i < 16 && i < row[SIZE]; i++)
            cr_expect(out[i] == firsts[c * 16 + i], "call %d: element %d", c, i);
        cr_expect(crc32_of(out, (size_t)row[SIZE] * sizeof *out) == row[CRC], "call %d", c);
        for (int64_t i = 0; i < row[DRAWS]; i++) mt19937_next(&counter);
        cr_expect(counter.next == rng.next && !memcmp(counter.state, rng.state, sizeof rng.state),
                  "call %d: not %d outputs drawn", c, (int)row[DRAWS]);
        free(out);
    }
}

Test(rng, permutation_of_nothing_draws_nothing) {
    Mt19937 rng, before;
    mt19937_seed(&rng, 1);
    before = rng;
    int64_t out[2] = {-7, -7};
    numpy_permutation(&rng, out, 0);
    cr_expect(out[0] == -7);
    numpy_permutation(&rng, out, 1);
    cr_expect(out[0] == 0 && out[1] == -7);
    cr_expect(memcmp(&rng, &before, sizeof rng) == 0);
}

/* Includes maxima above 2^32, for which numpy joins two outputs. */
Test(rng, interval_matches_numpy) {
    enum { CALLS = 600, SEED = 0, MAX, RESULT, COLUMNS };
    const uint64_t *calls = golden("rng/interval.npy", DTYPE_U64, CALLS * COLUMNS);
    Mt19937 rng = {.next = MT19937_WORDS};
    int bad = 0;
    for (int c = 0; c < CALLS; c++) {
        const uint64_t *row = calls + c * COLUMNS;
        if (c % (CALLS / SEEDS) == 0) mt19937_seed(&rng, row[SEED]);
        bad += numpy_interval(&rng, row[MAX]) != row[RESULT];
    }
    cr_expect(bad == 0, "%d of %d calls differ", bad, CALLS);
}
