/* logreg_test.c - logistic regression and the generalisation score: recorded minima, and what
 * happens at the edges. head_grad_test.c has the operation. */
#include "host/score/crossval.h"
#include "host/score/logreg.h"
#include "kernels/cpu/gemm/vec_math.h"
#include "tests/support/golden.h"
#include "tests/support/operation.h"

Test(logreg, log1p_is_accurate) {
    double worst = 0.0;
    for (double u = 1e-30; u < 1e6; u *= 1.003) {
        const double exact = log1p((double)(float)u), off = fabs(log1p_f32((float)u) - exact);
        if (!(off / exact <= worst)) worst = off / exact;
    }
    EXPECT_CLOSE(worst, 4e-7, "log1p_f32");
    cr_expect(log1p_f32(0.0f) == 0.0f && isnan(log1p_f32(NAN)));
}

/* --- recorded minima -------------------------------------------------------------------------- */

static const char *const spaces[] = {"patches", "gabor"};
static const int64_t dimensions[] = {192, 320};
enum { TRAIN = 8000, VAL = 2000, CLASSES = 10 };

typedef struct {
    Ops ops;
    Npy file;
    int64_t *labels, *rows;
    Logreg samples;
    float *head;
} Demo;

static void demo_open(Demo *m, int k, const char *split, int64_t N, int threads) {
    Error err;
    Npy labels;
    char *path = format_text(DEMO "/representations/%s/mnist_%s.npy", spaces[k], split);
    char *y = format_text(DEMO "/labels/mnist_%s.npy", split);
    ASSERT_OK(npy_open(&m->file, path, &err), err);
    ASSERT_OK(npy_open(&labels, y, &err), err);
    const Features f = {m->file.data, N, dimensions[k], m->file.type, m->file.swapped};
    m->labels = malloc((size_t)N * sizeof *m->labels);
    m->rows = malloc((size_t)N * sizeof *m->rows);
    for (int64_t i = 0; i < N; i++) m->rows[i] = i;
    ASSERT_OK(npy_read_i64(&labels, 0, N, m->labels, &err), err);
    ASSERT_OK(ops_open(&m->ops, "cpu", threads, NULL, &err), err);
    ASSERT_OK(logreg_open(&m->samples, &m->ops, &f, m->rows, N, m->labels, CLASSES, &err), err);
    m->head = calloc((size_t)linear_size(CLASSES, dimensions[k]), sizeof *m->head);
    npy_close(&labels);
    free(path), free(y);
}

static void demo_close(Demo *m) {
    logreg_close(&m->samples);
    ops_close(&m->ops);
    npy_close(&m->file);
    free(m->labels), free(m->rows), free(m->head);
}

static double demo_accuracy(Demo *m, const float *head) {
    int64_t correct = 0;
    Error err;
    ASSERT_OK(logreg_correct(&m->samples, head, 0, m->samples.N, &correct, &err), err);
    return (double)correct / (double)m->samples.N;
}

/* Promised: objective to 1e-5, accuracies to 0.002. F is strongly convex in W, by 1/C = 1:
 * |W - W*|^2 <= 2 (F - F*), which bounds the weights' distance by the objective's promise. */
Test(logreg, recorded_minima, .timeout = 300) {
    enum { OBJECTIVE, TRAIN_ACC, VAL_ACC, SQUARE, COLUMNS };
    const double *recorded = golden("baselines/probe_scores.npy", DTYPE_F64, 2 * COLUMNS);
    const LogregOptions options = {.strength = 1.0, .tol = 1e-8, .max_iter = 1000};
    for (int k = 0; k < 2; k++) {
        const double *r = recorded + k * COLUMNS;
        const int64_t weights = CLASSES * dimensions[k];
        Demo m;
        Error err;
        LogregResult found;
        char path[64];
        snprintf(path, sizeof path, "baselines/probe_%s_head.npy", spaces[k]);
        const float *best = golden(path, DTYPE_F32, weights + CLASSES);

        demo_open(&m, k, "train", TRAIN, 2);
        /* F at the recorded minimum: the function itself, whatever minimises it. Rounding the head
         * to float32 moves F by less than a square of it */
        LogregOptions none = options;
        none.max_iter = 0, none.warm = true;
        memcpy(m.head, best, (size_t)(weights + CLASSES) * sizeof *best);
        ASSERT_OK(logreg_fit(&m.samples, &none, m.head, &found, &err), err);
        EXPECT_CLOSE(fabs(found.objective / r[OBJECTIVE] - 1.0), 1e-6, "%s: F at its minimum",
                     spaces[k]);
        cr_expect(memcmp(m.head, best, (size_t)(weights + CLASSES) * sizeof *best) == 0);

        ASSERT_OK(logreg_fit(&m.samples, &options, m.head, &found, &err), err);
        EXPECT_CLOSE(fabs(found.objective / r[OBJECTIVE] - 1.0), 1e-5, "%s: objective", spaces[k]);
        cr_expect(found.classes == CLASSES && found.iterations > 50 && found.iterations < 1000 &&
                  found.evaluations >= found.iterations);
        EXPECT_CLOSE(fabs(demo_accuracy(&m, m.head) - r[TRAIN_ACC]), 0.002, "%s: training accuracy",
                     spaces[k]);
        double distance = 0.0, square = 0.0;
        for (int64_t i = 0; i < weights; i++) {
            distance += ((double)m.head[i] - best[i]) * ((double)m.head[i] - best[i]);
            square += (double)m.head[i] * m.head[i];
        }
        EXPECT_CLOSE(distance, 2.0 * 1e-5 * r[OBJECTIVE], "%s: |W - W*|^2", spaces[k]);
        EXPECT_CLOSE(fabs(sqrt(square) - sqrt(r[SQUARE])), sqrt(2.0 * 1e-5 * r[OBJECTIVE]),
                     "%s: |W|", spaces[k]);

        Demo val;
        demo_open(&val, k, "val", VAL, 2);
        EXPECT_CLOSE(fabs(demo_accuracy(&val, m.head) - r[VAL_ACC]), 0.002,
                     "%s: validation accuracy", spaces[k]);
        demo_close(&val);
        demo_close(&m);
    }
}

/* scikit-learn's model of two classes has one vector; the same minimum is reached by two. */
Test(logreg, two_classes_are_those_of_scikit_learn) {
    const double *recorded = golden("baselines/probe_sklearn.npy", DTYPE_F64, 3);
    const LogregOptions options = {.strength = 1.0, .tol = 1e-8, .max_iter = 1000};
    Demo m;
    Error err;
    LogregResult found;
    demo_open(&m, 0, "train", 2000, 1);
    for (int i = 0; i < 2000; i++) m.samples.y_true[i] = m.labels[i] >= 5;
    ASSERT_OK(logreg_fit(&m.samples, &options, m.head, &found, &err), err);
    EXPECT_CLOSE(fabs(found.objective / recorded[0] - 1.0), 1e-5, "objective");
    EXPECT_CLOSE(fabs(demo_accuracy(&m, m.head) - recorded[1]), 0.002, "accuracy");
    cr_expect(found.classes == 2);
    demo_close(&m);
}

Test(logreg, recorded_generalization_score, .timeout = 300) {
    const int8_t *y = golden("baselines/crossval_labels.npy", DTYPE_I8, TRAIN);
    const int64_t *correct = golden("baselines/crossval_correct.npy", DTYPE_I64, 20);
    int64_t labels[TRAIN];
    double recorded[2] = {0, 0}, found;
    Npy file[2];
    Features features[2];
    Ops ops;
    Error err;
    for (int i = 0; i < TRAIN; i++) labels[i] = y[i];
    for (int i = 0; i < 20; i++) recorded[i / 10] += (double)correct[i] / 8000.0;
    ASSERT_OK(ops_open(&ops, "cpu", 2, NULL, &err), err);
    for (int k = 0; k < 2; k++) {
        char *path = format_text(DEMO "/representations/%s/mnist_train.npy", spaces[k]);
        ASSERT_OK(npy_open(&file[k], path, &err), err);
        features[k] = (Features){file[k].data, TRAIN, dimensions[k], DTYPE_F32, false};
        free(path);
    }
    const int iterations = crossval_iterations("mnist");
    ASSERT_OK(generalization_score(&ops, 1, features, labels, 10, iterations, NULL, &found, &err),
              err);
    EXPECT_CLOSE(fabs(found - recorded[0]), 0.003, "patches: %.6f", found);
    if (!slow_build()) {
        ASSERT_OK(
            generalization_score(&ops, 2, features, labels, 10, iterations, NULL, &found, &err),
            err);
        EXPECT_CLOSE(fabs(found - (recorded[0] + recorded[1]) / 2.0), 0.003, "both: %.6f", found);
    }
    for (int k = 0; k < 2; k++) npy_close(&file[k]);
    ops_close(&ops);
    cr_expect(crossval_iterations("imagenet") == 400 && crossval_iterations("pcam") == 400 &&
              crossval_iterations("kinetics700") == 400 && crossval_iterations(NULL) == 1000);
}

Test(logreg, same_bits_for_any_number_of_threads) {
    const LogregOptions options = {
        .strength = 1.0, .max_iter = 25, .held_first = 1111, .held_n = 777};
    Demo m[PARTY];
    LogregResult found[PARTY];
    Error err;
    for (int t = 0; t < PARTY; t++) {
        demo_open(&m[t], 0, "train", TRAIN, party[t]);
        ASSERT_OK(logreg_fit(&m[t].samples, &options, m[t].head, &found[t], &err), err);
        cr_expect(found[t].objective == found[0].objective &&
                      !memcmp(m[t].head, m[0].head, 1930 * sizeof(float)),
                  "%d threads", party[t]);
    }
    for (int t = 0; t < PARTY; t++) demo_close(&m[t]);
}

/* --- edges ------------------------------------------------------------------------------------ */

/* Samples of a small problem: N features of d, class by class. */
typedef struct {
    Ops ops;
    float *x;
    int64_t N, *labels, *rows;
    Features features;
    Logreg samples;
    float *head;
} Small;

static void small_open(Small *s, int64_t N, int64_t d, int64_t C, int64_t stride) {
    Error err;
    *s = (Small){.N = N, .x = numbers(N * d, 4)};
    s->labels = malloc((size_t)N * sizeof *s->labels);
    s->rows = malloc((size_t)N * sizeof *s->rows);
    s->head = calloc((size_t)linear_size(C, d), sizeof *s->head);
    for (int64_t i = 0; i < N; i++) {
        s->labels[i] = (int64_t)(philox_at(7, 15, 9, 0, i).word[0] % (C / stride)) * stride;
        s->x[i * d + s->labels[i] % d] += 1.0f;
        s->rows[i] = i;
    }
    s->features = (Features){s->x, N, d, DTYPE_F32, false};
    ASSERT_OK(ops_open(&s->ops, "cpu", 2, NULL, &err), err);
    ASSERT_OK(logreg_open(&s->samples, &s->ops, &s->features, s->rows, N, s->labels, C, &err), err);
}

static void small_close(Small *s) {
    logreg_close(&s->samples);
    ops_close(&s->ops);
    free_arrays();
    free(s->labels), free(s->rows), free(s->head);
}

static const LogregOptions plain = {.strength = 1.0, .tol = 1e-7, .max_iter = 500};

/* Held samples split the others into two ranges, whose sums are added: the fit is that of the samples without the held
 * ones. Both end where F falls by less than 1e-8 of itself. */
Test(logreg, held_samples_take_no_part) {
    enum { N = 9500, D = 12, C = 5, FIRST = 300, HELD = 400 };
    Small s;
    Error err;
    Logreg rest;
    LogregResult around, without;
    LogregOptions options = plain;
    small_open(&s, N, D, C, 1);
    options.held_first = FIRST, options.held_n = HELD;
    ASSERT_OK(logreg_fit(&s.samples, &options, s.head, &around, &err), err);
    for (int i = FIRST; i < N - HELD; i++) s.rows[i] = s.rows[i + HELD];
    ASSERT_OK(logreg_open(&rest, &s.ops, &s.features, s.rows, N - HELD, s.labels, C, &err), err);
    ASSERT_OK(logreg_fit(&rest, &plain, s.head, &without, &err), err);
    EXPECT_CLOSE(fabs(around.objective / without.objective - 1.0), 1e-6, "objective");
    logreg_close(&rest);
    small_close(&s);
}

/* Classes 0, 3, 6 of 9: the others take no part, as if they had not been counted. */
Test(logreg, classes_without_samples_take_no_part) {
    Small s;
    Error err;
    LogregResult sparse, dense;
    Logreg renumbered;
    float *head = calloc((size_t)linear_size(3, 7), sizeof *head);
    small_open(&s, 200, 7, 9, 3);
    ASSERT_OK(logreg_fit(&s.samples, &plain, s.head, &sparse, &err), err);
    for (int64_t i = 0; i < s.N; i++) s.labels[i] /= 3;
    ASSERT_OK(logreg_open(&renumbered, &s.ops, &s.features, s.rows, s.N, s.labels, 3, &err), err);
    ASSERT_OK(logreg_fit(&renumbered, &plain, head, &dense, &err), err);
    cr_expect(sparse.classes == 3 && sparse.objective == dense.objective);
    for (int c = 0; c < 3; c++) {
        cr_expect(!memcmp(s.head + 3 * c * 7, head + c * 7, 7 * sizeof *head));
        cr_expect(s.head[9 * 7 + 3 * c] == head[3 * 7 + c] && s.head[9 * 7 + 3 * c + 1] < -1e29f);
    }
    int64_t a, b;
    ASSERT_OK(logreg_correct(&s.samples, s.head, 0, s.N, &a, &err), err);
    ASSERT_OK(logreg_correct(&renumbered, head, 0, s.N, &b, &err), err);
    cr_expect(a == b && a > s.N / 2, "%d and %d right", (int)a, (int)b);
    logreg_close(&renumbered);
    free(head);
    small_close(&s);
}

Test(logreg, one_class_is_predicted_everywhere) {
    Small s;
    Error err;
    LogregResult found;
    int64_t correct;
    small_open(&s, 50, 4, 6, 6); /* all of class 0 */
    for (int i = 0; i < 50; i++) s.samples.y_true[i] = i < 40 ? 4 : 1;
    LogregOptions options = plain;
    options.held_first = 40, options.held_n = 10; /* what is left is of class 4 */
    ASSERT_OK(logreg_fit(&s.samples, &options, s.head, &found, &err), err);
    cr_expect(found.classes == 1 && found.objective == 0.0 && found.iterations == 0);
    ASSERT_OK(logreg_correct(&s.samples, s.head, 0, 50, &correct, &err), err);
    cr_expect(correct == 40);
    small_close(&s);
}

/* W = 0 is best where all features are equal, and the bias gives the classes' shares:
 * F = -sum_c n_c ln(n_c / N). */
Test(logreg, constant_features_leave_the_bias) {
    Small s;
    Error err;
    LogregResult found;
    double entropy = 0.0;
    int64_t counts[4] = {0}, most = 0, correct;
    small_open(&s, 300, 5, 4, 1);
    for (int i = 0; i < 300 * 5; i++) s.x[i] = 0.7f;
    for (int i = 0; i < 300; i++) counts[s.labels[i]]++;
    for (int c = 0; c < 4; c++) {
        entropy -= (double)counts[c] * log((double)counts[c] / 300.0);
        most = counts[c] > most ? counts[c] : most;
    }
    logreg_close(&s.samples);
    ASSERT_OK(logreg_open(&s.samples, &s.ops, &s.features, s.rows, 300, s.labels, 4, &err), err);
    ASSERT_OK(logreg_fit(&s.samples, &plain, s.head, &found, &err), err);
    EXPECT_CLOSE(fabs(found.objective / entropy - 1.0), 1e-6, "objective %g", found.objective);
    ASSERT_OK(logreg_correct(&s.samples, s.head, 0, 300, &correct, &err), err);
    cr_expect(correct == most);
    double score;
    ASSERT_OK(generalization_score(&s.ops, 1, &s.features, s.labels, 4, 100, NULL, &score, &err),
              err);
    cr_expect(score > 0.0 && score < 1.0);
    small_close(&s);
}

static int count_progress(void *context, const TurtleProgress *p) {
    int *fits = context;
    cr_expect(p->iteration == ++*fits && p->iterations == 10, "%lld of %lld",
              (long long)p->iteration, (long long)p->iterations);
    return 0;
}

Test(logreg, degenerate_labellings_have_a_score_or_a_message) {
    Small s;
    Error err;
    double score;
    int fits = 0;
    TurtleHooks hooks = {.progress = count_progress, .context = &fits};
    small_open(&s, 60, 4, 6, 1);
    for (int i = 0; i < 60; i++) s.labels[i] = 3; /* one class */
    ASSERT_OK(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, &hooks, &score, &err),
              err);
    cr_expect(score == 1.0 && fits == 10);
    s.labels[17] = 5; /* a class of one sample: its own fold has never seen it */
    ASSERT_OK(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, NULL, &score, &err),
              err);
    EXPECT_CLOSE(fabs(score - 59.0 / 60.0), 1e-12, "score %.9f", score);
    s.labels[17] = 6;
    cr_expect(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, NULL, &score, &err) ==
                  ERR_ARG &&
              strstr(err.text, "label 6 of sample 17") && isnan(score));
    s.labels[17] = 3;
    s.features.N = 9;
    cr_expect(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, NULL, &score, &err) ==
                  ERR_ARG &&
              strstr(err.text, "at least 10"));
    s.features.N = 60;
    s.labels[3] = 0;
    s.x[4 * 21 + 2] = NAN;
    cr_expect(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, NULL, &score, &err) ==
                      ERR_ARG &&
                  strstr(err.text, "not finite"),
              "%s", err.text);
    s.x[4 * 21 + 2] = 0.0f;
    const volatile sig_atomic_t stop = 1;
    hooks = (TurtleHooks){.stop = &stop};
    cr_expect(generalization_score(&s.ops, 1, &s.features, s.labels, 6, 100, &hooks, &score,
                                   &err) == ERR_STOPPED);
    LogregResult found;
    LogregOptions options = plain;
    options.strength = 0.0;
    cr_expect(logreg_fit(&s.samples, &options, s.head, &found, &err) == ERR_ARG);
    options = plain;
    options.held_n = 60;
    cr_expect(logreg_fit(&s.samples, &options, s.head, &found, &err) == ERR_ARG &&
              strstr(err.text, "none left"));
    small_close(&s);
}
