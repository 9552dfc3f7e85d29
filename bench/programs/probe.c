/* probe.c - seconds of logistic regressions, C = 1, until the mean loss is flat to 1e-6.
 * usage: bench-probe N C D THREADS REPEATS     one fit of N samples of D features in C classes
 *        bench-probe N C D THREADS folds       the 10-fold generalisation score, once
 * Samples are the same as in reference/probe_sklearn.py; `check` is the least objective, in
 * five digits: where both stop it still differs by 1e-6. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "host/score/crossval.h"
#include "host/score/logreg.h"

typedef struct {
    Features features;
    int64_t C, *labels, *rows;
    float *head;
    Ops ops;
    Logreg samples;
    LogregResult fit;
    Status status;
    Error error;
} Problem;

/* Returns number i of a stream uniform in [-1, 1): SplitMix64 (Steele, Lea & Flood 2014) of the
 * index. */
static float uniform(uint64_t i) {
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (float)((z ^ (z >> 31)) >> 40) * 0x1p-23f - 1.0f;
}

/* Makes the samples. Sample i belongs to class i mod C: it is that class's centre, and noise.
 * Features shrink to a 16th, as the spectra of real ones do. */
static int make_samples(Problem *p, int64_t N, int64_t d) {
    float *x = malloc((size_t)(N * d) * sizeof *x);
    p->labels = malloc((size_t)N * sizeof *p->labels);
    p->rows = malloc((size_t)N * sizeof *p->rows);
    p->head = calloc((size_t)linear_size(p->C, d), sizeof *p->head);
    if (!x || !p->labels || !p->rows || !p->head) {
        free(x);
        return 0;
    }
    for (int64_t i = 0; i < N; i++) {
        p->labels[i] = i % p->C;
        p->rows[i] = i;
        for (int64_t j = 0; j < d; j++)
            x[i * d + j] = 4.0f *
                           (0.3f * uniform((uint64_t)(i % p->C * d + j)) +
                            uniform((uint64_t)((p->C + i) * d + j))) /
                           (1.0f + 0.5f * (float)j);
    }
    p->features = (Features){x, N, d, DTYPE_F32, false};
    return 1;
}

static void fit(void *problem) {
    Problem *p = problem;
    const LogregOptions options = {.strength = 1.0, .tol = 1e-6, .max_iter = 10000};
    if (p->status == OK) p->status = logreg_fit(&p->samples, &options, p->head, &p->fit, &p->error);
}

static void print_notice(void *context, const char *line) {
    (void)context;
    fprintf(stderr, "%s\n", line);
}

static void measure(Problem *p, Row *row, int folds) {
    if (!folds) {
        p->status = logreg_open(&p->samples, &p->ops, &p->features, p->rows, p->features.N,
                                p->labels, p->C, &p->error);
        if (p->status == OK) row_measure(row, fit, p);
        char digits[16];
        snprintf(digits, sizeof digits, "%.5g", p->fit.objective);
        row->check = strtod(digits, NULL);
        fprintf(stderr, "bench-probe: %d iterations, %d evaluations\n", p->fit.iterations,
                p->fit.evaluations);
        logreg_close(&p->samples);
    } else {
        const TurtleHooks hooks = {.notice = print_notice};
        const double started = seconds_now();
        p->status = generalization_score(&p->ops, 1, &p->features, p->labels, p->C, 1000, &hooks,
                                         &row->check, &p->error);
        row->seconds[0] = seconds_now() - started;
    }
}

int main(int argc, char **argv) {
    static Problem p;
    static Row row;
    static char what[96], program[128];
    const int64_t N = argument(argc, argv, 1, 1 << 24), d = argument(argc, argv, 3, 1 << 16);
    const int folds = argc == 6 && strcmp(argv[5], "folds") == 0;
    p.C = argument(argc, argv, 2, 1 << 16);
    row = (Row){.what = what,
                .program = program,
                .threads = (int)argument(argc, argv, 4, 1024),
                .work = 1.0,
                .unit = "/s",
                .repeats = folds ? 1 : (int)argument(argc, argv, 5, MAX_REPEATS)};
    if (argc != 6 || !N || p.C < 2 || !d || !row.threads || !row.repeats) {
        fputs("usage: bench-probe N C D THREADS REPEATS|folds\n", stderr);
        return 2;
    }
    snprintf(what, sizeof what, "%s N %s C %s d %s", folds ? "10-fold score" : "logreg", argv[1],
             argv[2], argv[3]);
    p.status = ops_open(&p.ops, "cpu", row.threads, NULL, &p.error);
    if (p.status == OK && !make_samples(&p, N, d))
        p.status = fail(&p.error, ERR_MEMORY, "out of memory");
    if (p.status == OK) {
        snprintf(program, sizeof program, "turtle, %s", p.ops.name);
        measure(&p, &row, folds);
    }
    if (p.status == OK) row_print(&row);
    else fprintf(stderr, "bench-probe: %s\n", p.error.text);
    free((void *)p.features.data);
    free(p.labels);
    free(p.rows);
    free(p.head);
    ops_close(&p.ops);
    return p.status != OK;
}
