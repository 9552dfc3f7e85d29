/* crossval.c - the generalisation score of a labelling (crossval.h). */
#include "host/score/crossval.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/rng.h"
#include "host/score/logreg.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"

int crossval_iterations(const char *dataset) {
    static const char *const large[] = {"imagenet", "pcam", "kinetics700"};
    for (size_t i = 0; dataset && i < sizeof large / sizeof *large; i++)
        if (strcmp(dataset, large[i]) == 0) return 400;
    return 1000;
}

/* Returns the first sample of fold f of N, as numpy.array_split cuts: the first N mod 10 folds are
 * one longer. */
static int64_t fold_first(int f, int64_t N) {
    const int64_t longer = N % CROSSVAL_FOLDS;
    return f * (N / CROSSVAL_FOLDS) + (f < longer ? f : longer);
}

typedef struct {
    const TurtleHooks *hooks;
    TurtleProgress progress;
    double started;
    int64_t iterations;   /* iterations of all fits of a space */
    double gradient_norm; /* the largest at an end of one */
} Told;

/* Returns whether the caller wants the call to stop. */
static bool tell(Told *told, const LogregResult *fit) {
    told->progress.iteration++;
    told->iterations += fit->iterations;
    told->gradient_norm = fmax(told->gradient_norm, fit->gradient_norm);
    told->progress.seconds = now_seconds() - told->started;
    return progress_tell(told->hooks, &told->progress);
}

/* Fits all but the fold, from the fold before's head where that fit reached its minimum. Such a
 * start has seen the samples that are held back now: it is sound because the minimum does not
 * depend on it, and a fit that does not get there is repeated from zero. Demo features: 29 % fewer
 * evaluations (9865 -> 7020 for both spaces), one sample of 8000 predicted otherwise. */
static Status fit_fold(Logreg *r, LogregOptions options, LogregResult *fit, float *head,
                       Error *err) {
    options.warm = options.held_first > 0 && fit->reason != LBFGS_ITERATIONS;
    Status st = logreg_fit(r, &options, head, fit, err);
    if (st != OK || !options.warm || fit->reason != LBFGS_ITERATIONS) return st;
    options.warm = false;
    return logreg_fit(r, &options, head, fit, err);
}

/* Computes the mean accuracy over the folds of one space, whose samples lie in the permuted order. */
static Status score_space(Logreg *r, int max_iter, Told *told, double *score, Error *err) {
    float *head = calloc((size_t)linear_size(r->C, r->Z.d), sizeof *head);
    LogregResult fit = {0};
    Status st = head ? OK : fail(err, ERR_MEMORY, "generalisation score: out of memory");
    *score = 0.0;
    for (int f = 0; st == OK && f < CROSSVAL_FOLDS; f++) {
        const int64_t first = fold_first(f, r->N), n = fold_first(f + 1, r->N) - first;
        const LogregOptions options = {.strength = 1.0,
                                       .tol = 1e-9,
                                       .max_iter = max_iter,
                                       .held_first = first,
                                       .held_n = n,
                                       .hooks = told->hooks};
        int64_t correct = 0;
        st = fit_fold(r, options, &fit, head, err);
        if (st == OK) st = logreg_correct(r, head, first, n, &correct, err);
        if (st == OK && tell(told, &fit) && told->progress.iteration < told->progress.iterations)
            st = fail(err, ERR_STOPPED, "generalisation score: stopped");
        *score += (double)correct / (double)n;
    }
    *score /= CROSSVAL_FOLDS;
    free(head);
    return st;
}

Status generalization_score(const Ops *ops, int K, const Features features[], const int64_t *labels,
                            int64_t C, int max_iter, const TurtleHooks *hooks, double *score,
                            Error *err) {
    const int64_t N = K > 0 ? features[0].N : 0;
    Told told = {.hooks = hooks,
                 .started = now_seconds(),
                 .progress = {.unit = "fits",
                              .iterations = (int64_t)K * CROSSVAL_FOLDS,
                              .loss = NAN,
                              .entropy = NAN,
                              .cluster_acc = NAN}};
    *score = NAN;
    if (N < CROSSVAL_FOLDS)
        return fail(err, ERR_ARG,
                    "generalisation score: %lld samples: at least %d are needed, one per fold",
                    (long long)N, CROSSVAL_FOLDS);
    int64_t *rows = malloc((size_t)N * sizeof *rows);
    if (!rows) return fail(err, ERR_MEMORY, "generalisation score: out of memory");
    Mt19937 rng;
    mt19937_seed(&rng, CROSSVAL_SEED);
    numpy_permutation(&rng, rows, N);
    Status st = OK;
    double sum = 0.0;
    for (int k = 0; st == OK && k < K; k++) {
        Logreg samples;
        double of_space = 0.0;
        st = logreg_open(&samples, ops, &features[k], rows, N, labels, C, err);
        if (st == OK) st = score_space(&samples, max_iter, &told, &of_space, err);
        logreg_close(&samples);
        if (st == OK && hooks)
            notice(hooks,
                   "generalisation score: space %d: %.4f, %lld iterations, gradients at most %.2g",
                   k + 1, of_space, (long long)told.iterations, told.gradient_norm);
        told.iterations = 0;
        told.gradient_norm = 0.0;
        sum += of_space;
    }
    if (st == OK) *score = sum / K;
    free(rows);
    return st;
}
