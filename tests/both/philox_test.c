/* philox_test.c - random numbers: known answers, the same bits from every backend, permutations. */
#include "tests/support/operation.h"

/* Known answers published with the generator (Random123, kat_vectors). */
Test(philox, known_answers) {
    static const struct {
        Philox counter;
        uint64_t key;
        Philox out;
    } known[] = {
        {{{0, 0, 0, 0}}, 0, {{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}}},
        {{{~0u, ~0u, ~0u, ~0u}}, ~(uint64_t)0, {{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}}},
        {{{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}},
         0x299f31d0a4093822,
         {{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}}};
    for (int i = 0; i < 3; i++) {
        const Philox out = philox4x32_10(known[i].counter, known[i].key);
        for (int w = 0; w < 4; w++)
            cr_expect(out.word[w] == known[i].out.word[w], "vector %d word %d", i, w);
    }
}

static void run_random(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t *iteration = counting(12, 1), N = s.B + 3 * s.C;
    ops->train.random_linear(q, output(o, linear_size(s.C, s.d), NULL), s.C, s.d, 42, PHILOX_HEAD,
                             1, iteration);
    int64_t *rows = array(s.B * 8);
    ops->train.random_rows(q, rows, s.B, N, 42, iteration);
    finish(ops, q);
    float *as_float = output(o, s.B, NULL);
    for (int64_t b = 0; b < s.B; b++) as_float[b] = (float)(rows[b] + 1);
}

/* All heads at once are those drawn one by one, and their moments zero. */
static void run_random_heads(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t *iteration = counting(12, 1);
    InnerSteps in = {.K = (int)s.K, .C = s.C};
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d, n = linear_size(s.C, d);
        in.space[k] = (InnerSpace){
            .Z.d = d, .head = output(o, n, NULL), .m1 = output(o, n, NULL), .m2 = floats(n)};
        for (int64_t i = 0; i < n; i++) in.space[k].m2[i] = NAN;
    }
    ops->train.random_heads(q, &in, 42, iteration);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = in.space[k].Z.d, n = linear_size(s.C, d);
        float *alone = floats(n);
        ops->train.random_linear(q, alone, s.C, d, 42, PHILOX_HEAD, k, iteration);
        finish(ops, q);
        cr_expect(!memcmp(alone, in.space[k].head, (size_t)n * 4), "space %d", k);
        for (int64_t i = 0; i < n; i++)
            cr_expect(in.space[k].m1[i] == 0.0f && in.space[k].m2[i] == 0.0f, "space %d", k);
    }
}

Test(philox, every_backend_draws_the_same_bits) {
    judge_at("random", run_random, ragged, RAGGED, 0.0);
    judge_at("random_heads", run_random_heads, ragged, RAGGED, 0.0);
}

static int ascending(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

Test(philox, rows_are_a_permutation_and_change_with_the_iteration, .timeout = 60) {
    static const int64_t sizes[] = {1,  2,  3,  4,    5,     15,    16,     17,
                                    63, 64, 65, 1000, 65536, 65537, 1000000};
    const char *const *backends = test_backends();
    for (int b = 0; backends[b]; b++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, backends[b], 1);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int64_t N = sizes[i];
            if (N > 1000 && getenv("TURTLE_TEST_SMALL")) continue;
            int64_t *rows = array(N * 8), *again = array(N * 8);
            const int64_t *iteration = counting(3, 2);
            int64_t same = 0, bad = 0;
            ops.train.random_rows(q, rows, N, N, 42, iteration);
            ops.train.random_rows(q, again, N, N, 42, iteration + 1);
            finish(&ops, q);
            for (int64_t j = 0; j < N; j++) same += rows[j] == again[j];
            cr_expect(N < 100 || same < 20, "%s: N %d: %d rows in the same place", backends[b],
                      (int)N, (int)same); /* 1 expected */
            qsort(rows, (size_t)N, sizeof *rows, ascending);
            for (int64_t j = 0; j < N; j++) bad += rows[j] != j;
            cr_expect(bad == 0, "%s: N %d: no permutation", backends[b], (int)N);
            free_arrays();
        }
        close_backend(&ops, q);
    }
}

/* Each of 100 rows is drawn first 1000 times in 100 000 iterations if all are alike. 99 degrees of
 * freedom: chi^2 beyond 149 has a chance of 0.001, and this draw is fixed. */
Test(philox, first_rows_are_uniform) {
    int64_t counts[100] = {0};
    for (int64_t iteration = 0; iteration < 100000; iteration++) {
        const RowPermutation p = row_permutation(100, 42, PHILOX_ROWS, iteration);
        counts[permuted_row(&p, 0)]++;
    }
    double chi = 0.0;
    for (int i = 0; i < 100; i++)
        chi += ((double)counts[i] - 1000) * ((double)counts[i] - 1000) / 1000;
    cr_expect(chi < 149 && chi > 57, "chi^2 %.1f", chi);
}
