/* draws_test.c - permutations, shuffles and samples of splits, against figures that numpy and CPython printed. */
#include "io/files/draws.h"
#include "tests/support/check.h"

static void expect_first(const int64_t *at, const int64_t *first, int count, const char *what) {
    for (int i = 0; i < count; i++)
        cr_expect(at[i] == first[i], "%s: number %d is %d, expected %d", what, i, (int)at[i],
                  (int)first[i]);
}

static int64_t sum_of(const int64_t *at, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) sum += at[i];
    return sum;
}

/* numpy.random.seed(42); numpy.random.permutation(n) for sizes of classes: caltech101's and eurosat's. */
Test(draws, permutations_of_seed_42_are_numpys) {
    static const struct {
        int64_t n, first[10], sum30, sum1500;
    } known[] = {
        {31, {27, 15, 23, 17, 8, 9, 29, 24, 12, 0}, 459, -1},
        {40, {19, 16, 15, 26, 4, 12, 37, 27, 39, 6}, 568, -1},
        {435, {280, 78, 113, 253, 324, 327, 291, 82, 365, 401}, 7194, -1},
        {800, {696, 667, 63, 533, 66, 621, 346, 490, 760, 456}, 13363, -1},
        {2000, {1860, 353, 1333, 905, 1289, 1273, 938, 1731, 65, 1323}, 29528, 1478890},
        {2500, {1447, 1114, 1064, 2287, 1537, 668, 1583, 2404, 497, 2480}, 36420, 1871572},
        {3000, {1801, 1190, 1817, 251, 2505, 1117, 1411, 2113, 408, 2579}, 43359, 2232009},
    };
    static const uint32_t outputs[] = {1608637542u, 3421126067u, 4083286876u, 787846414u};
    Mt19937 rng;
    mt19937_seed(&rng, 42);
    for (int i = 0; i < 4; i++) cr_expect(mt19937_next(&rng) == outputs[i]);
    for (size_t k = 0; k < sizeof known / sizeof *known; k++) {
        int64_t at[3000];
        mt19937_seed(&rng, 42);
        numpy_permutation(&rng, at, known[k].n);
        expect_first(at, known[k].first, 10, "numpy");
        cr_expect(sum_of(at, 30) == known[k].sum30);
        cr_expect(known[k].sum1500 < 0 || sum_of(at, 1500) == known[k].sum1500);
    }
}

/* random.seed(42) of CPython 3.11, which is that of every later one. */
Test(draws, shuffles_of_seed_42_are_pythons) {
    static const int64_t first[] = {415, 508, 243, 185, 642, 347, 335, 620, 454, 63},
                         last[] = {250, 281, 25, 114, 654},
                         second[] = {633, 670, 482, 362, 519, 611, 689, 9, 593, 346};
    int64_t at[700];
    Mt19937 rng;
    python_seed(&rng, 42);
    cr_expect(mt19937_next(&rng) == 2746317213u);
    python_seed(&rng, 42);
    for (int i = 0; i < 700; i++) at[i] = i;
    python_shuffle(&rng, at, 700);
    expect_first(at, first, 10, "the first shuffle");
    expect_first(at + 695, last, 5, "its end");
    for (int i = 0; i < 700; i++) at[i] = i;
    python_shuffle(&rng, at, 700); /* the generator goes on */
    expect_first(at, second, 10, "the second shuffle");
}

/* clevr's draw is by the set of drawn ones; a draw of nearly all is by the pool of the others. */
Test(draws, samples_of_seed_42_are_pythons) {
    static const int64_t first[] = {14592, 3278,  36048, 32098, 29256,
                                    18289, 13434, 11395, 55302, 4165};
    static int64_t at[2500];
    Mt19937 rng;
    python_seed(&rng, 42);
    cr_assert(python_sample(&rng, at, 70000, 2500));
    expect_first(at, first, 10, "clevr");
    cr_expect(sum_of(at, 2500) == 88973648 && sum_of(at, 2000) == 71175762);
    static const int64_t of_2600[] = {456, 102, 1126, 1003, 914, 571};
    python_seed(&rng, 42);
    cr_assert(python_sample(&rng, at, 2600, 2500));
    expect_first(at, of_2600, 6, "2500 of 2600");
    cr_expect(sum_of(at, 2000) == 2589683);
    /* five of 6, 21, 22 and 100, one after the other, of seed 0: birdsnap's sizes */
    static const int64_t sizes[] = {6, 21, 22, 100}, fives[][5] = {{3, 5, 0, 1, 2},
                                                                   {12, 9, 15, 11, 6},
                                                                   {16, 4, 9, 3, 19},
                                                                   {32, 68, 90, 77, 18}};
    python_seed(&rng, 0);
    for (int i = 0; i < 4; i++) {
        cr_assert(python_sample(&rng, at, sizes[i], 5));
        expect_first(at, fives[i], 5, "five");
    }
}

/* Every sample has no number twice, and all of a population are a permutation of it. */
Test(draws, samples_have_no_number_twice) {
    static const int64_t sizes[][2] = {{0, 0},   {1, 1},   {5, 5},       {21, 5},      {22, 5},
                                       {85, 10}, {86, 10}, {2600, 2500}, {70000, 2500}};
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const int64_t n = sizes[k][0], drawn = sizes[k][1];
        int64_t *at = malloc((size_t)(drawn + 1) * sizeof *at);
        uint8_t *seen = calloc((size_t)n + 1, 1);
        Mt19937 rng;
        python_seed(&rng, (uint32_t)k);
        cr_assert(python_sample(&rng, at, n, drawn));
        for (int64_t i = 0; i < drawn; i++) {
            cr_assert(at[i] >= 0 && at[i] < n);
            cr_expect(!seen[at[i]]++, "%d of %d: %d twice", (int)drawn, (int)n, (int)at[i]);
        }
        free(at);
        free(seen);
    }
}
