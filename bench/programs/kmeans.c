/* kmeans.c - seconds of k-means with given centres and a fixed number of iterations: samples
 * copied, centred and measured, iterations, last assignment, inertia.
 * usage: bench-kmeans --make KIND N D C X.npy CENTRES.npy         writes samples and C of them
 *        bench-kmeans KIND X.npy CENTRES.npy ITERATIONS THREADS REPEATS
 *   KIND  mixture: 2 C groups that overlap, in 64 directions, under noise in all: like features
 *         uniform: no groups, where bounds save nothing
 * Prints the same row as reference/kmeans_{sklearn,faiss}.py. `check` is the inertia of the
 * mixture; without groups samples lie on borders, and programs that round differently part ways. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "host/baseline/kmeans.h"
#include "io/arrays/npy.h"

typedef struct {
    const Ops *ops;
    KmeansConfig config;
    const Features *features;
    const float *centers;
    KmeansRestart found;
    Status status;
    Error error;
} Run;

static void cluster(void *context) {
    Run *r = context;
    Kmeans m = {0};
    if (r->status != OK) return;
    r->status = kmeans_open(&m, r->ops, &r->config, 1, &r->features, &r->error);
    if (r->status == OK) r->status = kmeans_start_at(&m, r->centers, &r->error);
    if (r->status == OK) r->status = kmeans_lloyd(&m, &r->found, NULL, NULL, &r->error);
    kmeans_close(&m);
}

/* --- samples ---------------------------------------------------------------------------------- */

enum { DIRECTIONS = 64 };

/* Returns sums of three uniform numbers, which have the variance of a normal one and look like
 * it. */
static float *nearly_normal(int64_t n, uint64_t stream) {
    float *x = random_floats(3 * n, 1.0f, stream);
    for (int64_t i = 0; x && i < n; i++) x[i] = x[3 * i] + x[3 * i + 1] + x[3 * i + 2];
    return x;
}

/* Makes samples x = (group + noise) A / 8 + noise / 2, each of any of 2 C groups. */
static float *mixture(int64_t N, int64_t d, int64_t C) {
    float *x = nearly_normal(N * d, 1), *within = nearly_normal(N * DIRECTIONS, 2),
          *group = nearly_normal(2 * C * DIRECTIONS, 3), *A = nearly_normal(DIRECTIONS * d, 4),
          *which = random_floats(N, 1.0f, 5);
    for (int64_t n = 0; n < N && x && within && group && A && which; n++) {
        const int64_t g = (int64_t)((which[n] + 1.0f) * 0.999999f * (float)C);
        for (int64_t j = 0; j < d; j++) x[n * d + j] *= 0.5f;
        for (int64_t i = 0; i < DIRECTIONS; i++) {
            const float at = (group[g * DIRECTIONS + i] + within[n * DIRECTIONS + i]) / 8.0f;
            for (int64_t j = 0; j < d; j++) x[n * d + j] += at * A[i * d + j];
        }
    }
    free(within), free(group), free(A), free(which);
    return x;
}

static int make(char **argv, const int64_t shape[3]) {
    const int64_t N = shape[0], d = shape[1], C = shape[2];
    Error err;
    float *x = strcmp(argv[0], "uniform") == 0 ? random_floats(N * d, 1.0f, 1) : mixture(N, d, C);
    float *at = malloc((size_t)(C * d) * sizeof *at);
    Status st = x && at ? OK : fail(&err, ERR_MEMORY, "out of memory");
    /* samples are in no order, so evenly spaced ones serve as centres */
    for (int64_t c = 0; st == OK && c < C; c++)
        memcpy(at + c * d, x + c * (N / C) * d, (size_t)d * sizeof *at);
    if (st == OK) st = npy_write(argv[4], DTYPE_F32, 2, (const int64_t[]){N, d}, x, &err);
    if (st == OK) st = npy_write(argv[5], DTYPE_F32, 2, (const int64_t[]){C, d}, at, &err);
    if (st != OK) fprintf(stderr, "bench-kmeans: %s\n", err.text);
    free(x), free(at);
    return st != OK;
}

/* --- timing ----------------------------------------------------------------------------------- */

static int measure(char **argv, const int64_t number[3]) {
    static Row row;
    static Run r;
    static char what[96], program[128];
    Npy x = {0}, at = {0};
    Ops ops = {0};
    Status st = npy_open(&x, argv[1], &r.error);
    if (st == OK) st = npy_open(&at, argv[2], &r.error);
    if (st == OK) st = ops_open(&ops, "cpu", (int)number[1], NULL, &r.error);
    if (st == OK && (x.axes != 2 || at.axes != 2 || x.shape[1] != at.shape[1] ||
                     x.type != DTYPE_F32 || at.type != DTYPE_F32))
        st = fail(&r.error, ERR_FORMAT, "files that --make did not write");
    if (st == OK) {
        const Features f = {x.data, x.shape[0], x.shape[1], x.type, x.swapped};
        r.ops = &ops;
        r.features = &f;
        r.centers = at.data;
        r.config = (KmeansConfig){
            .C = at.shape[0], .n_init = 1, .max_iter = number[0], .random_start = true};
        snprintf(what, sizeof what, "k-means %s %lld x %lld C %lld", argv[0], (long long)f.N,
                 (long long)f.d, (long long)r.config.C);
        snprintf(program, sizeof program, "turtle, %s", ops.name);
        row = (Row){.what = what,
                    .program = program,
                    .threads = (int)number[1],
                    .work = (double)number[0],
                    .unit = "iterations/s",
                    .repeats = (int)number[2]};
        row_measure(&row, cluster, &r);
        if (strcmp(argv[0], "mixture") == 0) row.check = r.found.inertia;
        st = r.status;
        if (st == OK && r.found.iterations != number[0])
            st = fail(&r.error, ERR_ARG, "it ended after %lld iterations",
                      (long long)r.found.iterations);
    }
    if (st == OK) row_print(&row);
    else fprintf(stderr, "bench-kmeans: %s\n", r.error.text);
    ops_close(&ops);
    npy_close(&x);
    npy_close(&at);
    return st != OK;
}

int main(int argc, char **argv) {
    const bool making = argc == 8 && strcmp(argv[1], "--make") == 0;
    int64_t number[3]; /* three numbers: N, d and C, or iterations, threads and repeats */
    for (int i = 0; i < 3; i++)
        number[i] = argument(argc, argv, making ? 3 + i : 4 + i, making ? 10000000 : MAX_REPEATS);
    if ((!making && argc != 7) || !number[0] || !number[1] || !number[2]) {
        fputs("usage: bench-kmeans --make mixture|uniform N D C X.npy CENTRES.npy\n"
              "       bench-kmeans KIND X.npy CENTRES.npy ITERATIONS THREADS REPEATS\n",
              stderr);
        return 2;
    }
    return making ? make(argv + 2, number) : measure(argv + 1, number);
}
