/* training.c - seconds of whole outer iterations, from the batch's rows to the task's Adam step.
 * usage: bench-training N B C D[,D...] T THREADS REPEATS [PRECISION]      one repeat is T iterations
 * Prints the same row as reference/turtle_torch.py. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "../host/train.h"
#include "bench.h"

typedef struct {
    Train train;
    int64_t T;
    Status status;
    Error error;
} Run;

static void iterate(void *context) {
    Run *r = context;
    for (int64_t t = 0; r->status == OK && t < r->T; t++)
        r->status = train_iteration(&r->train, &r->error);
}

static Status measure(Run *r, const Ops *ops, const TrainConfig *config, Row *row) {
    static char program[128]; /* the row keeps it */
    double features = 0.0;
    for (int k = 0; k < config->K; k++) features += (double)config->features[k]->d;
    snprintf(program, sizeof program, "turtle%s, %s",
             config->operands == DTYPE_BF16  ? " bf16"
             : config->operands == DTYPE_F16 ? " fp16"
                                             : "",
             ops->name);
    row->program = program;
    /* (4M + 6) B d C per space (kernels/README.md) */
    row->work = 1e-9 * (4.0 * (double)config->M + 6.0) * (double)config->B * (double)config->C *
                features * (double)r->T;
    r->status = train_open(&r->train, ops, config, &r->error);
    if (r->status != OK) return r->status;
    row_measure(row, iterate, r);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    row->peak_mib = (int)(usage.ru_maxrss / 1024);
    train_close(&r->train);
    if (r->status == OK) row_print(row);
    return r->status;
}

/* "768,1024" -> features drawn at random; 0 spaces if that is not a list of dimensions. */
static int random_spaces(Features *f, const char *list, int64_t N) {
    int K = 0;
    char *end = NULL;
    do {
        const long d = strtol(list, &end, 10);
        if (d < 1 || d > 1 << 16 || (*end && *end != ',') || K == MAX_SPACES) return 0;
        f[K] = (Features){random_floats(N * d, 0.1f, (uint64_t)K), N, d, DTYPE_F32, false};
        if (!f[K++].data) return 0;
        list = end + 1;
    } while (*end);
    return K;
}

int main(int argc, char **argv) {
    Ops ops;
    static Run run;
    static Row row;
    Features features[MAX_SPACES];
    static char what[128];
    const int64_t N = argument(argc, argv, 1, 1 << 24);
    TrainConfig config = {.B = argument(argc, argv, 2, N),
                          .C = argument(argc, argv, 3, 1 << 16),
                          .M = 10,
                          .gamma = 10.0,
                          .inner_lr = 0.001,
                          .outer_lr = 0.001,
                          .seed = 42};
    const int threads = (int)argument(argc, argv, 6, 1024);
    run.T = argument(argc, argv, 5, 1 << 20);
    row = (Row){.what = what,
                .threads = threads,
                .unit = "GFLOP/s",
                .repeats = (int)argument(argc, argv, 7, MAX_REPEATS)};
    const char *precision = argc == 9 ? argv[8] : "fp32";
    config.operands = strcmp(precision, "bf16") == 0   ? DTYPE_BF16
                      : strcmp(precision, "fp16") == 0 ? DTYPE_F16
                                                       : DTYPE_F32;
    if (argc < 8 || argc > 9 || !N || !config.B || config.C < 2 || !run.T || !threads ||
        !row.repeats || !(config.K = random_spaces(features, argv[4], N))) {
        fputs("usage: bench-training N B C D[,D...] T THREADS REPEATS [fp32|fp16|bf16]\n", stderr);
        return 2;
    }
    snprintf(what, sizeof what, "outer B %s C %s d %s%s%s", argv[2], argv[3], argv[4],
             run.T > 1 ? " T " : "", run.T > 1 ? argv[5] : "");
    for (int k = 0; k < config.K; k++) config.features[k] = &features[k];
    row.peak = fma_peak(threads);
    run.status = ops_open(&ops, "cpu", threads, NULL, &run.error);
    if (run.status == OK) {
        measure(&run, &ops, &config, &row);
        ops_close(&ops);
    }
    for (int k = 0; k < config.K; k++) free((void *)features[k].data);
    if (run.status != OK) fprintf(stderr, "bench-training: %s\n", run.error.text);
    return run.status != OK;
}
