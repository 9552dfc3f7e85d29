/* hungarian_test.c - assignments against recorded optima, all permutations, dual certificates. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/rng.h"
#include "host/score/hungarian.h"
#include "tests/support/golden.h"

/* Every test of results runs for each instruction set that the processor has. */
static const char *const isas[] = {"portable", "avx2"};
#define FOR_EACH_ISA(i) for (size_t i = 0; i < 2 && !setenv("TURTLE_ISA", isas[i], 1); i++)

/* Returns whether there are min(rows, cols) pairs within the matrix, no column twice. */
static bool is_matching(const int64_t *col_of_row, int64_t rows, int64_t cols) {
    bool *used = calloc((size_t)cols, sizeof *used);
    int64_t pairs = 0;
    bool ok = true;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t j = col_of_row[i];
        if (j == -1) continue;
        ok = ok && j >= 0 && j < cols && !used[j];
        if (!ok) break;
        used[j] = true;
        pairs++;
    }
    free(used);
    return ok && pairs == (rows < cols ? rows : cols);
}

/* --- recorded optima -------------------------------------------------------------------------- */

enum { INT1E6, TIES3, TIES100, BINARY, CONST, SIGNED, BIG40, FLOAT01, FLOATNEG, INF5 };

static int64_t integer_cost(int64_t kind, int64_t u) {
    switch (kind) {
    case INT1E6: return u % 1000000;
    case TIES3: return u % 3;
    case TIES100: return u % 100;
    case BINARY: return u % 2;
    case CONST: return 7;
    case SIGNED: return u % 2001 - 1000;
    default: return u << 8 | (u & 255);
    }
}

static double real_cost(int64_t kind, int64_t u) {
    switch (kind) {
    case FLOAT01: return (double)u * 0x1p-32;
    case FLOATNEG: return (double)u * 0x1p-31 - 1;
    default: return u % 5 == 0 ? INFINITY : (double)(u % 1000);
    }
}

/* Integer optima must be equal. With real ones both programs add n costs in their own order, each
 * sum within n u of the sum of |costs|, u = 2^-53. The test asks that both found the same
 * assignment, or one as good to the last bit. */
Test(hungarian, recorded_optima) {
    enum { CASES = 24, SEED = 0, ROWS, COLS, KIND, MAXIMIZE, CRC, FIELDS };
    const int64_t *cases = golden("hungarian/cases.npy", DTYPE_I64, CASES * FIELDS);
    const double *optimal = golden("hungarian/optimal.npy", DTYPE_F64, CASES);
    for (int c = 0; c < CASES; c++) {
        const int64_t *k = cases + c * FIELDS, rows = k[ROWS], cols = k[COLS], n = rows * cols;
        int64_t *integers = malloc((size_t)n * 8), *match = malloc((size_t)rows * 8);
        double *reals = malloc((size_t)n * 8);
        const bool real = k[KIND] >= FLOAT01;
        Mt19937 rng;
        mt19937_seed(&rng, (uint64_t)k[SEED]);
        for (int64_t i = 0; i < n; i++) {
            const int64_t u = mt19937_next(&rng);
            integers[i] = real ? 0 : integer_cost(k[KIND], u);
            reals[i] = real ? real_cost(k[KIND], u) : (double)integers[i];
        }
        cr_expect(crc32_of(real ? (void *)reals : integers, (size_t)n * 8) == k[CRC], "case %d", c);
        FOR_EACH_ISA(s) {
            int64_t total = -1;
            double real_total = NAN, size = 0;
            Error err = {""};
            if (!real) {
                cr_expect(hungarian_i64(integers, rows, cols, k[MAXIMIZE], match, &total, &err) ==
                              OK,
                          "case %d: %s", c, err.text);
                cr_expect((double)total == optimal[c], "case %d, %s: %lld", c, isas[s],
                          (long long)total);
                cr_expect(is_matching(match, rows, cols), "case %d, %s", c, isas[s]);
            }
            cr_expect(hungarian_f64(reals, rows, cols, k[MAXIMIZE], match, &real_total, &err) == OK,
                      "case %d: %s", c, err.text);
            cr_expect(is_matching(match, rows, cols), "case %d, %s", c, isas[s]);
            for (int64_t i = 0; i < rows; i++)
                size += match[i] < 0 ? 0 : fabs(reals[i * cols + match[i]]);
            const double lim = real ? 2 * (double)rows * (DBL_EPSILON / 2) * size : 0;
            cr_expect(fabs(real_total - optimal[c]) <= lim, "case %d, %s: %.17g, recorded %.17g", c,
                      isas[s], real_total, optimal[c]);
        }
        free(integers);
        free(reals);
        free(match);
    }
}

/* --- all permutations ------------------------------------------------------------------------- */

/* Returns the best total over the rows from `row` on, some of which may stay free if rows > cols. */
static int64_t best_total(const int64_t *cost, int rows, int cols, int row, unsigned used,
                          int pairs) {
    if (pairs == 0) return 0;
    int64_t best = INT64_MAX;
    if (rows - row > pairs) best = best_total(cost, rows, cols, row + 1, used, pairs);
    for (int j = 0; j < cols; j++) {
        if (used >> j & 1) continue;
        const int64_t rest = best_total(cost, rows, cols, row + 1, used | 1u << j, pairs - 1);
        const int64_t total = cost[row * cols + j] + rest;
        best = total < best ? total : best;
    }
    return best;
}

/* Shapes up to 7 x 7; costs from {0,1} (mostly ties) to a million, of both signs. */
Test(hungarian, every_small_matrix_is_solved_exactly, .timeout = 120) {
    Mt19937 rng;
    mt19937_seed(&rng, 2024);
    int bad = 0, real_bad = 0, invalid = 0;
    for (int trial = 0; trial < 3000; trial++) {
        static const int64_t ranges[] = {1, 2, 9, 100, 1000000};
        const int rows = 1 + (int)numpy_interval(&rng, trial % 50 ? 5 : 6);
        const int cols = 1 + (int)numpy_interval(&rng, trial % 50 ? 5 : 6);
        const int64_t range = ranges[trial % 5], shift = trial % 2 ? range / 2 : 0;
        const bool maximize = trial % 3 == 0;
        int64_t cost[49], least[49], match[7], total = 0;
        double real[49], real_total = 0;
        for (int i = 0; i < rows * cols; i++) {
            cost[i] = (int64_t)numpy_interval(&rng, (uint64_t)range) - shift;
            least[i] = maximize ? -cost[i] : cost[i];
            real[i] = (double)cost[i];
        }
        const int64_t best = best_total(least, rows, cols, 0, 0, rows < cols ? rows : cols);
        FOR_EACH_ISA(s) {
            cr_assert(hungarian_i64(cost, rows, cols, maximize, match, &total, NULL) == OK);
            bad += total != (maximize ? -best : best);
            invalid += !is_matching(match, rows, cols);
            cr_assert(hungarian_f64(real, rows, cols, maximize, match, &real_total, NULL) == OK);
            real_bad += !(real_total == (double)(maximize ? -best : best)); /* integers: exact */
            invalid += !is_matching(match, rows, cols);
        }
    }
    cr_expect(bad == 0 && real_bad == 0 && invalid == 0, "%d, %d not optimal, %d no matchings", bad,
              real_bad, invalid);
}

/* --- certificates ----------------------------------------------------------------------------- */

/* A matching is optimal if and only if there are dual variables that prove it: u_i + v_j <= c_ij,
 * equal where i and j are matched, v_j <= 0, and 0 where j is unmatched (rows <= cols, minimised).
 * Bellman and Ford find the largest such v on the residual graph, knowing nothing of the solver. */
static bool has_certificate(const int64_t *cost, int64_t rows, int64_t cols, bool maximize,
                            const int64_t *col_of_row, int64_t total) {
    const bool tall = rows > cols;
    const int64_t n = tall ? cols : rows, m = tall ? rows : cols;
    int64_t *c = malloc((size_t)(n * m) * 8), *v = calloc((size_t)m, 8);
    int64_t *match = calloc((size_t)n, 8), dual = 0;
    bool *matched = calloc((size_t)m, sizeof *matched), changed = true;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t j = col_of_row[i];
        if (j >= 0) match[tall ? j : i] = tall ? i : j, matched[tall ? i : j] = true;
        for (int64_t k = 0; k < cols; k++)
            c[tall ? k * m + i : i * m + k] = (maximize ? -1 : 1) * cost[i * cols + k];
    }
    for (int64_t pass = 0; changed && pass <= n; pass++) {
        changed = false;
        for (int64_t i = 0; i < n; i++) {
            const int64_t u = c[i * m + match[i]] - v[match[i]];
            for (int64_t j = 0; j < m; j++)
                if (c[i * m + j] - u < v[j]) v[j] = c[i * m + j] - u, changed = true;
        }
    }
    bool proved = !changed; /* else there is a cycle that improves the matching */
    for (int64_t j = 0; j < m; j++) proved = proved && (matched[j] || v[j] == 0), dual += v[j];
    for (int64_t i = 0; i < n; i++) dual += c[i * m + match[i]] - v[match[i]];
    free(c);
    free(v);
    free(match);
    free(matched);
    return proved && dual == (maximize ? -total : total);
}

#define LONG (INT64_C(1) << 40)
#define LARGEST (INT64_C(1) << 58) /* costs of +-2^57, the limit for 32 rows and columns */

/* Shapes around the width of the solver's stripes (32), tall and wide; costs with many ties and
 * with few; and (range 0) contingency tables, which are what the program solves. */
Test(hungarian, larger_matrices_have_dual_certificates, .timeout = 300) {
    static const struct {
        int64_t rows, cols, range;
    } cases[] = {{31, 31, 5},         {32, 32, 1000},      {33, 33, 1},       {63, 65, 10},
                 {65, 63, 10},        {200, 200, 1},       {200, 200, 20},    {250, 250, 250},
                 {300, 300, 1000000}, {299, 300, 1000000}, {150, 400, 100},   {400, 150, 100},
                 {1, 100, 5},         {100, 1, 5},         {300, 300, 0},     {400, 400, 0},
                 {200, 200, LONG},    {32, 32, LARGEST},   {20, 32, LARGEST}, {32, 20, LARGEST}};
    Mt19937 rng;
    mt19937_seed(&rng, 7);
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        const int64_t rows = cases[c].rows, cols = cases[c].cols, range = cases[c].range;
        int64_t *cost = calloc((size_t)(rows * cols), 8), *match = malloc((size_t)rows * 8);
        double *real = malloc((size_t)(rows * cols) * 8);
        if (range) /* random costs of both signs */
            for (int64_t i = 0; i < rows * cols; i++)
                cost[i] = (int64_t)numpy_interval(&rng, (uint64_t)range) - range / 2;
        else /* 5 samples per cluster, 60 % of them in the right class */
            for (int64_t i = 0; i < 5 * rows; i++) {
                const int64_t row = i % rows, right = row * 7 % cols;
                const int64_t other = (int64_t)numpy_interval(&rng, (uint64_t)cols - 1);
                cost[row * cols + (numpy_interval(&rng, 9) < 6 ? right : other)]++;
            }
        for (int64_t i = 0; i < rows * cols; i++) real[i] = (double)cost[i];
        FOR_EACH_ISA(s) {
            for (int maximize = 0; maximize < 2; maximize++) {
                int64_t total = 0;
                double real_total = 0;
                cr_assert(hungarian_i64(cost, rows, cols, maximize, match, &total, NULL) == OK);
                cr_expect(is_matching(match, rows, cols) &&
                              has_certificate(cost, rows, cols, maximize, match, total),
                          "%lld x %lld, range %lld, %s", (long long)rows, (long long)cols,
                          (long long)range, isas[s]);
                if (range == LARGEST) continue; /* doubles would round */
                cr_assert(hungarian_f64(real, rows, cols, maximize, match, &real_total, 0) == OK);
                cr_expect(is_matching(match, rows, cols) && real_total == (double)total);
            }
        }
        free(cost);
        free(real);
        free(match);
    }
}

/* The judge itself must be able to say no. */
Test(hungarian, certificate_refuses_what_is_not_optimal) {
    static const int64_t cost[] = {1, 2, 3, 2, 1, 3}; /* best 2: rows 0, 1 on columns 0, 1 */
    cr_expect(has_certificate(cost, 2, 3, false, (int64_t[]){0, 1}, 2));
    cr_expect(!has_certificate(cost, 2, 3, false, (int64_t[]){1, 0}, 4));
    cr_expect(!has_certificate(cost, 2, 3, false, (int64_t[]){0, 2}, 4));
    cr_expect(!has_certificate(cost, 2, 3, false, (int64_t[]){0, 1}, 1));
    cr_expect(!has_certificate(cost, 3, 2, true, (int64_t[]){0, 1, -1}, 4));
}

/* --- limits and refusals ---------------------------------------------------------------------- */

Test(hungarian, largest_costs_do_not_overflow) {
    const int64_t big = (INT64_C(1) << 62) / 32;
    int64_t match[40], total;
    FOR_EACH_ISA(s) {
        const int64_t two[] = {big, -big, -big, -big + 1, big, big, -big, big, -big};
        cr_expect(hungarian_i64(two, 3, 3, false, match, &total, NULL) == OK);
        cr_expect(total == -3 * big + 1, "%s: %lld", isas[s], (long long)total);
        cr_expect(hungarian_i64(two, 3, 3, true, match, &total, NULL) == OK);
        cr_expect(total == 3 * big, "%s: %lld", isas[s], (long long)total);
        int64_t all[40 * 40];
        for (int i = 0; i < 1600; i++) all[i] = (INT64_C(1) << 62) / 40;
        for (int maximize = 0; maximize < 2; maximize++) {
            cr_expect(hungarian_i64(all, 40, 40, maximize, match, &total, NULL) == OK);
            cr_expect(total == 40 * ((INT64_C(1) << 62) / 40));
        }
        double real[] = {0x1p1000, -0x1p1000, -0x1p1000, -0x1p1000}, real_total;
        cr_expect(hungarian_f64(real, 2, 2, false, match, &real_total, NULL) == OK);
        cr_expect(real_total == -0x1p1001);
    }
}

static void expect_refused(Status st, Error *err, const char *words) {
    cr_expect(st == ERR_ARG && strstr(err->text, words), "status %d: %s", st, err->text);
    err->text[0] = '\0';
}

Test(hungarian, costs_out_of_range_are_refused) {
    const int64_t big = (INT64_C(1) << 62) / 32;
    int64_t match[2], total, ints[] = {1, 2, 3, big + 1};
    double reals[] = {1, 2, 3, 4}, real_total;
    Error err;
    expect_refused(hungarian_i64(ints, 2, 2, false, match, &total, &err), &err, "row 1, column 1");
    ints[3] = -big - 1;
    expect_refused(hungarian_i64(ints, 2, 2, true, match, &total, &err), &err, "row 1, column 1");
    ints[3] = INT64_MIN;
    expect_refused(hungarian_i64(ints, 2, 2, true, match, &total, &err), &err, "row 1, column 1");
    cr_expect(hungarian_i64(ints, 2, 2, true, match, &total, NULL) == ERR_ARG);
    static const double refused[] = {NAN, -INFINITY, 0x1.000001p1000, -0x1.000001p1000, DBL_MAX};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        reals[2] = refused[i];
        expect_refused(hungarian_f64(reals, 2, 2, false, match, &real_total, &err), &err,
                       "row 1, column 0");
    }
    reals[2] = INFINITY;
    expect_refused(hungarian_f64(reals, 2, 2, true, match, &real_total, &err), &err, "got inf");
}

/* An infinite cost forbids a pair: it is avoided, however dear the others are, or refused. */
Test(hungarian, forbidden_pairs_are_avoided_or_said) {
    const double X = INFINITY;
    const double forced[] = {X, X, 9, 9, X, X, 1, 1e9, 1}; /* one way only */
    const double no_row[] = {1, 2, 3, X, X, X, 4, 5, 6}, no_col[] = {1, X, 2, 3, X, 4, 5, X, 6};
    const double same_col[] = {1, X, X, 2, X, X, 3, 4, 5}, wide[] = {1, X, X, 2, X, X};
    int64_t match[3];
    double total, negative[9];
    Error err;
    FOR_EACH_ISA(s) {
        cr_expect(hungarian_f64(forced, 3, 3, false, match, &total, &err) == OK);
        cr_expect(match[0] == 2 && match[1] == 0 && match[2] == 1 && total == 1e9 + 18);
        for (int i = 0; i < 9; i++) negative[i] = -forced[i];
        cr_expect(hungarian_f64(negative, 3, 3, true, match, &total, &err) == OK);
        cr_expect(total == -1e9 - 18);
        expect_refused(hungarian_f64(no_row, 3, 3, false, match, &total, &err), &err, "infinite");
        expect_refused(hungarian_f64(no_col, 3, 3, false, match, &total, &err), &err, "infinite");
        expect_refused(hungarian_f64(same_col, 3, 3, false, match, &total, &err), &err, "infinite");
        expect_refused(hungarian_f64(wide, 2, 3, false, match, &total, &err), &err, "infinite");
        cr_expect(hungarian_f64(wide, 3, 2, false, match, &total, &err) == OK && total == 3);
    }
}

Test(hungarian, shapes_that_are_no_matrix_are_refused) {
    int64_t cost[1] = {3}, match[1], total;
    double real[1] = {3}, real_total;
    Error err;
    expect_refused(hungarian_i64(cost, 0, 1, false, match, &total, &err), &err, "0 x 1");
    expect_refused(hungarian_i64(cost, 1, 0, false, match, &total, &err), &err, "1 x 0");
    expect_refused(hungarian_i64(cost, -1, 1, false, match, &total, &err), &err, "-1 x 1");
    const int64_t huge = INT64_C(1) << 40;
    expect_refused(hungarian_i64(cost, huge, huge, false, match, &total, &err), &err,
                   "1099511627776");
    expect_refused(hungarian_i64(NULL, 1, 1, false, match, &total, &err), &err, "matrix");
    expect_refused(hungarian_i64(cost, 1, 1, false, NULL, &total, &err), &err, "matrix");
    expect_refused(hungarian_f64(real, 0, 0, false, match, &real_total, &err), &err, "0 x 0");
    cr_expect(hungarian_i64(cost, 1, 1, false, match, NULL, NULL) == OK && match[0] == 0);
}
