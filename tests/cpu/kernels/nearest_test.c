/* nearest_test.c - nearest centres by products of 16-bit integers: the products, how far off their
 * scores are, and that labels are those of float32, to the last tie. */
#define ISA_NAME portable
#include "kernels/cpu/cluster/nearest.h"
#include "kernels/cpu/gemm/bf16.h"
#include "tests/support/operation.h"

static uint32_t word(int64_t i, int stream) {
    return philox_at(11, 15, stream, 0, i / 4).word[i % 4];
}

/* --- products --------------------------------------------------------------------------------- */

/* Expects exact products where no sum passes 32 bits, for rows of 32767 whose sums come near that and for random
 * rows; and that nothing is written beside the columns. */
static void judge_product(Int16Product *multiply, const char *set, int64_t rows, int64_t cols,
                          int64_t depth) {
    const int64_t a_row = depth + 32, out_row = 70;
    uint16_t *a = array(rows * a_row * 2), *b = array(BF16_COLS * depth * 2);
    int32_t *out = array((rows + 1) * out_row * 4);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t k = 0; k < depth; k++) {
            const int32_t some = (int32_t)(word(i * depth + k, 1) % 5001) - 2500;
            a[i * a_row + k] = (uint16_t)(i % 3 ? some : k < 2 ? (i % 2 ? -32767 : 32767) : 0);
        }
    for (int64_t k = 0; k < depth; k++)
        for (int64_t c = 0; c < BF16_COLS; c++)
            b[(k / 2 * BF16_COLS + c) * 2 + k % 2] =
                (uint16_t)(k < 2 ? 32767 : word(k + c, 2) % 600);
    for (int add = 0; add < 2; add++) {
        if (!add) memset(out, 0x11, (size_t)((rows + 1) * out_row * 4));
        multiply(out, out_row, add, a, a_row, b, rows, cols, depth);
        for (int64_t i = 0; i < rows; i++)
            for (int64_t c = 0; c < out_row; c++) {
                int64_t sum = 0;
                for (int64_t k = 0; k < depth; k++)
                    sum += (int64_t)(int16_t)a[i * a_row + k] *
                           (int16_t)b[(k / 2 * BF16_COLS + c % BF16_COLS) * 2 + k % 2];
                cr_assert(llabs(sum) <= INT32_MAX, "the test's own sums must fit");
                if (add) continue;
                cr_assert(out[i * out_row + c] == (c < cols ? sum : 0x11111111),
                          "%s: %lld x %lld, depth %lld: %lld %lld", set, (long long)rows,
                          (long long)cols, (long long)depth, (long long)i, (long long)c);
                /* the number that is added to: minus the sum, so that 0 is left */
                if (c < cols) out[i * out_row + c] = (int32_t)-sum;
            }
        for (int64_t i = 0; add && i < rows; i++)
            for (int64_t c = 0; c < cols; c++) cr_assert(out[i * out_row + c] == 0, "%s adds", set);
    }
    free_arrays();
}

Test(nearest, products_of_integers_are_exact) {
    const char *const *sets = test_backends();
    for (int i = 0; sets[i]; i++) {
        Ops ops;
        Queue *q;
        open_backend(&ops, &q, sets[i], 0);
        for (int64_t rows = 1; ops.device->multiply_int16 && rows <= 13; rows += 3)
            for (int64_t cols = 1; cols <= BF16_COLS; cols += 7)
                for (int64_t depth = 32; depth <= 352; depth += 160)
                    judge_product(ops.device->multiply_int16, sets[i], rows, cols, depth);
        close_backend(&ops, q);
    }
}

/* --- problems --------------------------------------------------------------------------------- */

typedef enum {
    APART,   /* numbers without groups */
    CLOSE,   /* centres in pairs: alike, or so near that integers or even float32 err */
    ALIGNED, /* every feature of samples and centres is rounded the same way, as far as can be */
    ODD_SAMPLES,  /* samples of zeros, tiny, huge, NaN, infinite */
    NAN_CENTER,   /* a centre without a score is never the nearest */
    LONG_CENTER,  /* longer than integers serve */
    LONGER,       /* integers serve it, but round all others to 0: little can be proved */
    ZERO_CENTERS, /* all centres are alike */
    KINDS
} Kind;

typedef struct {
    Samples s;
    Centers centers;
} Problem;

static void put_centers(const Ops *ops, Queue *q, Problem *p, Kind kind) {
    const int64_t C = p->centers.C, d = p->s.Z.d;
    float *at = p->centers.at;
    for (int64_t c = 1; kind == CLOSE && c < C; c += 2) {
        static const float by[] = {0.0f, 1e-6f, 3e-5f, 3e-4f};
        for (int64_t j = c * d; j < (c + 1) * d; j++)
            at[j] = at[j - d] * (1.0f + by[c / 2 % 4] * philox_uniform(word(j, 3), 1.0f));
    }
    for (int64_t i = 0; i < C * d; i++) {
        if (kind == ALIGNED) at[i] = i % d % 2 ? -1.0f : 1.0f;
        if (kind == ZERO_CENTERS) at[i] = 0.0f;
        if (i >= d) continue; /* only the first centre */
        if (kind == NAN_CENTER) at[i] = NAN;
        if (kind == LONG_CENTER) at[i] *= 1e14f;
        if (kind == LONGER) at[i] *= 1e7f;
    }
    const Batch all = batch_f32(at, d);
    ops->cluster.row_norms(q, p->centers.norm2, &all, C);
}

static Problem problem(const Ops *ops, Queue *q, Kind kind, Shape s) {
    const int64_t row = batch_row(DTYPE_F32, s.d);
    float *z = numbers(s.B * row, 1);
    Problem p = {.s = {{z, DTYPE_F32, s.d, row, false}, floats(s.B), s.B},
                 .centers = {numbers(s.C * s.d, 2), floats(s.C), floats(s.C), s.C}};
    for (int64_t n = 0; n < s.B; n++)
        for (int64_t j = 0; j < s.d; j++) {
            static const float scale[] = {1.0f, 0.0f, 1e-25f, 1e17f, 1e11f, 1e-11f};
            float *x = z + n * row + j;
            if (kind == ALIGNED) *x = j % 2 ? -1.0f : 1.0f;
            if (kind != ODD_SAMPLES) continue;
            *x *= scale[n % 6];
            if (n % 8 == 6 && j == s.d / 2) *x = NAN;
            if (n % 8 == 7 && j == s.d - 1) *x = INFINITY;
        }
    ops->cluster.row_norms(q, p.s.norm2, &p.s.Z, s.B);
    put_centers(ops, q, &p, kind);
    return p;
}

/* --- errors ----------------------------------------------------------------------------------- */

/* Scores of integers, in C, and their distance from exact ones in units of the error that int16_panel allows.
 * `swapped` counts samples whose best centre is not the one that integers find. */
typedef struct {
    double worst;
    int64_t swapped, served;
} Judged;

static Judged judge_panels(Kind kind, Shape s) {
    Ops ops;
    Queue *q;
    Judged out = {0.0, 0, 0};
    open_backend(&ops, &q, "amx-emulated", 0);
    const Problem p = problem(&ops, q, kind, s);
    float length = 0.0f;
    for (int64_t c = 0; c < s.C; c++) length = fmaxf(length, p.centers.norm2[c]);
    uint16_t *words = scratch(PANEL * batch_row(DTYPE_BF16, s.d) * 2);
    const RoundedCenters rounded =
        round_centers(ops.device, scratch(rounded_bytes(s.C, s.d)), &p.centers, s.d, sqrtf(length),
                      words, batch_row(DTYPE_BF16, s.d));
    for (int64_t n0 = 0; rounded.multiply && n0 < s.B; n0 += PANEL) {
        const int64_t n = s.B - n0 < PANEL ? s.B - n0 : PANEL;
        int64_t which[PANEL];
        Best best[PANEL];
        float error[PANEL];
        for (int64_t i = 0; i < n; i++) which[i] = n0 + i;
        int16_panel(best, error, &rounded, &p.s, which, n, words);
        for (int64_t i = 0; i < n; i++) {
            const float *z = (const float *)p.s.Z.data + (n0 + i) * p.s.Z.row;
            double found = 0.0, top = -INFINITY, next = -INFINITY;
            if (!isfinite(error[i])) continue;
            out.served++;
            for (int64_t c = 0; c < s.C; c++) {
                double product = 0.0, norm2 = 0.0;
                for (int64_t j = 0; j < s.d; j++) {
                    const double x = p.centers.at[c * s.d + j];
                    product += x * z[j];
                    norm2 += x * x;
                }
                const double score = product - norm2 / 2;
                next = score > top ? top : score > next ? score : next;
                top = score > top ? score : top;
                if (c == best[i].label) found = score;
            }
            /* the k-th largest of scores that err by e at most errs by e at most */
            double off = fmax(fabs(best[i].first - found), fabs(best[i].first - top));
            if (s.C > 1) off = fmax(off, fabs(best[i].second - next));
            out.worst = fmax(out.worst, 2.0 * off / error[i]);
            out.swapped += found != top;
        }
    }
    close_backend(&ops, q);
    free_arrays();
    return out;
}

/* Returns the number of features for which LENGTH / sqrt(d), the value of each feature of ALIGNED, lies nearest
 * below a half. */
static int64_t worst_rounded(void) {
    int64_t worst = 1;
    double most = 0.0;
    for (int64_t d = 100; d < 1000; d++) {
        const double x = 32700.0 / sqrt((double)d), part = x - floor(x);
        if (part > most && part < 0.499) most = part, worst = d;
    }
    return worst;
}

/* Errors are never larger than allowed. They are not much smaller where all roundings fall the same way, so that
 * an allowance that is too small by a tenth would be found. */
Test(nearest, errors_of_integers_are_bounded, .timeout = 60) {
    static const Shape shapes[] = {
        {7, 2, 1, 1}, {130, 3, 5, 1}, {130, 17, 33, 1}, {61, 300, 67, 1}, {250, 64, 192, 1}};
    for (int kind = 0; kind < KINDS; kind++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
            const Judged j = judge_panels(kind, shapes[i]);
            EXPECT_CLOSE(j.worst, 1.0, "kind %d, d %lld", kind, (long long)shapes[i].d);
            const bool refused = kind == NAN_CENTER || kind == LONG_CENTER || kind == ZERO_CENTERS;
            cr_expect((j.served == 0) == refused, "kind %d: %lld served", kind,
                      (long long)j.served);
        }
    const Judged j = judge_panels(ALIGNED, (Shape){1, 1, worst_rounded(), 1});
    EXPECT_CLOSE(j.worst, 1.0, "aligned");
    cr_expect(j.worst > 0.9, "the allowance could be %.2f times as large", j.worst);
}

/* --- labels ----------------------------------------------------------------------------------- */

enum { ROUNDS = 3, MOST = 500 };

/* Computes the labels of a set for centres that move a little, twice. */
static void trace(int32_t label[ROUNDS][MOST], const char *set, int run, bool bounded, Kind kind,
                  Shape s) {
    Ops ops;
    Queue *q;
    open_backend(&ops, &q, set, run);
    Problem p = problem(&ops, q, kind, s);
    const Bounds bounds = {scratch(s.B * 4), scratch(s.B * 4)};
    void *work = scratch(ops.cluster.scratch_bytes(ops.device, s.B, s.d, s.C, 1, 1));
    for (int64_t c = 0; c < s.C; c++) p.centers.moved[c] = 0.0f;
    for (int round = 0; round < ROUNDS; round++) {
        if (round) memcpy(label[round], label[round - 1], sizeof *label);
        for (int64_t c = round % 2; round && c < s.C; c += 2) {
            float *at = p.centers.at + c * s.d;
            at[round % s.d] += 0.01f;
            p.centers.moved[c] = 0.0101f;
        }
        if (round) put_centers(&ops, q, &p, APART); /* the centres as they are now */
        if (bounded)
            ops.cluster.nearest_bounded(q, label[round], bounds, round == 0, &p.s, &p.centers,
                                        work);
        else ops.cluster.nearest(q, label[round], NULL, NULL, &p.s, &p.centers, work);
        finish(&ops, q);
        for (int64_t c = 0; c < s.C; c++) p.centers.moved[c] = 0.0f;
    }
    close_backend(&ops, q);
    free_arrays();
}

/* Returns the instruction set that differs from `set` in nothing but the use of integers. */
static const char *without_integers(const char *set) {
    if (strcmp(set, "amx-emulated") == 0) return "portable";
    return strncmp(set, "avx512", 6) == 0 || strcmp(set, "amx") == 0 ? "avx512" : NULL;
}

Test(nearest, labels_are_those_of_float32, .timeout = 240) {
    static const Shape shapes[] = {{1, 1, 1, 1},     {7, 2, 1, 1},      {481, 3, 5, 1},
                                   {500, 17, 33, 1}, {241, 65, 31, 1},  {300, 64, 192, 1},
                                   {97, 300, 67, 1}, {130, 100, 768, 1}};
    static int32_t expected[ROUNDS][MOST], found[ROUNDS][MOST];
    const char *const *sets = test_backends();
    for (int b = 0; sets[b]; b++) {
        const char *plain = without_integers(sets[b]);
        if (!plain || strcmp(plain, sets[b]) == 0) continue;
        for (int kind = 0; kind < KINDS; kind++)
            for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
                const Shape s = shapes[i];
                trace(expected, plain, 0, false, kind, s);
                for (int run = 0; run < 2 * PARTY; run++) {
                    trace(found, sets[b], run / 2, run % 2, kind, s);
                    for (int round = 0; round < ROUNDS; round++)
                        cr_expect(!memcmp(found[round], expected[round], (size_t)s.B * 4),
                                  "%s, kind %d, N %lld C %lld d %lld, round %d, %d threads",
                                  sets[b], kind, (long long)s.B, (long long)s.C, (long long)s.d,
                                  round, party[run / 2]);
                }
            }
    }
}

/* The tests above can fail: of the centres in pairs, integers alone would take the wrong one for many samples. */
Test(nearest, integers_alone_would_err) {
    const Judged j = judge_panels(CLOSE, (Shape){250, 64, 192, 1});
    cr_expect(j.swapped > 10, "%lld of %lld samples", (long long)j.swapped, (long long)j.served);
}
