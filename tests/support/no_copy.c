/* no_copy.c - calls in less memory than their features take: what lies in memory or in a file is read where it lies.
 * usage: no_copy FILE      writes FILE.npy, of 96 MiB, and lets the library take 40 MiB beside it; tests/library runs it */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <turtle.h>

enum { N = 49152, D = 512, C = 3, ROOM = 40 << 20 };

/* Returns the process's private memory that can be written, in bytes, or -1. */
static long data_bytes(void) {
    char line[256];
    long kib = -1;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status)) sscanf(line, "VmData: %ld", &kib);
    if (status) fclose(status);
    return kib < 0 ? -1 : kib * 1024;
}

/* Writes (N,D) float32 as numpy does. */
static int write_npy(const char *path, const float *Z) {
    char header[128];
    FILE *file = fopen(path, "wb");
    memset(header, ' ', sizeof header);
    memcpy(header, "\x93NUMPY\x01\x00\x76\x00", 10);
    const int n = snprintf(header + 10, sizeof header - 10,
                           "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", N, D);
    header[10 + n] = ' ';
    header[127] = '\n';
    const int whole = file && fwrite(header, 1, sizeof header, file) == sizeof header &&
                      fwrite(Z, sizeof *Z, (size_t)N * D, file) == (size_t)N * D;
    return file && fclose(file) == 0 && whole;
}

/* Trains and evaluates. Returns 0, or what is wrong after a line about it. */
static int train(const char *what, const TurtleInputs *inputs, const char *out) {
    TurtleTrainOptions train;
    TurtleEvaluateOptions evaluate;
    TurtleResult trained = {0}, evaluated = {0};
    TurtleError err;
    turtle_train_defaults(&train);
    turtle_evaluate_defaults(&evaluate);
    train.inputs = evaluate.inputs = *inputs;
    train.common.threads = evaluate.common.threads = 1;
    train.batch_size = 1000;
    train.T = train.M = 2;
    train.out = out;
    evaluate.model = &trained.model;
    TurtleStatus st = turtle_train(&train, &trained, &err);
    if (st == TURTLE_OK) st = turtle_evaluate(&evaluate, &evaluated, &err);
    if (st != TURTLE_OK) printf("%s: %s\n", what, err.text);
    else if (evaluated.samples != N)
        printf("%s: %lld samples\n", what, (long long)evaluated.samples);
    const int wrong = st != TURTLE_OK || evaluated.samples != N;
    turtle_result_free(&trained);
    turtle_result_free(&evaluated);
    return wrong;
}

int main(int argc, char **argv) {
    float *Z = malloc(sizeof *Z * N * D);
    char path[512], out[512];
    unsigned x = 1;
    if (!Z || argc != 2) return 2;
    for (size_t i = 0; i < (size_t)N * D; i++) {
        x = x * 1664525u + 1013904223u;
        Z[i] = (float)(x >> 8) / (1 << 24);
    }
    snprintf(path, sizeof path, "%s.npy", argv[1]);
    snprintf(out, sizeof out, "%s.run", argv[1]);
    if (!write_npy(path, Z)) return 2;
    const long before = data_bytes();
    const struct rlimit limit = {(rlim_t)(before + ROOM), (rlim_t)(before + ROOM)};
    if (before < 0 || setrlimit(RLIMIT_DATA, &limit) != 0) return 2;

    const char *files[] = {path};
    const TurtleMatrix single = {Z, N, D, TURTLE_FLOAT32};
    const TurtleInputs memory = {.Z = {&single, 1}, .classes = C},
                       file = {.features = {files, 1}, .classes = C};
    int wrong = train("memory", &memory, NULL) + train("file", &file, out);

    /* k-means copies its samples and says so: it shows that the limit would have stopped a copy */
    TurtleKmeansOptions kmeans;
    TurtleKmeansResult clusters;
    TurtleError err;
    turtle_kmeans_defaults(&kmeans);
    kmeans.inputs = memory;
    kmeans.common.threads = 1;
    if (turtle_kmeans(&kmeans, &clusters, &err) != TURTLE_ERR_MEMORY) {
        puts("the limit does not see copies");
        wrong = 1;
        turtle_kmeans_result_free(&clusters);
    }
    uint16_t *half = (uint16_t *)Z;
    for (size_t i = 0; i < (size_t)N * D; i++) half[i] = (uint16_t)(0x3000 + (i * 7919) % 0x0c00);
    const TurtleMatrix narrow = {half, N, D, TURTLE_FLOAT16};
    const TurtleInputs halves = {.Z = {&narrow, 1}, .classes = C};
    wrong += train("float16", &halves, NULL);
    free(Z);
    return wrong != 0;
}
