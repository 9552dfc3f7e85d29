/* bench.c - see bench.h. */
#include "bench/programs/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/philox.h"

double seconds_now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void row_measure(Row *row, void (*work)(void *context), void *context) {
    work(context); /* the first call also touches fresh memory */
    double start = seconds_now();
    work(context);
    const double once = seconds_now() - start;
    const int calls = once < 0.01 ? (int)(0.01 / (once + 1e-7)) + 1 : 1;
    for (int i = 0; i < row->repeats; i++) {
        start = seconds_now();
        for (int j = 0; j < calls; j++) work(context);
        row->seconds[i] = (seconds_now() - start) / calls;
    }
}

void row_print(const Row *r) {
    printf("{\"case\": \"%s\", \"program\": \"%s\", \"threads\": %d, \"work\": %.9g, \"unit\": "
           "\"%s\"",
           r->what, r->program, r->threads, r->work, r->unit);
    if (r->peak > 0.0) printf(", \"peak\": %.1f", r->peak);
    if (r->check != 0.0) printf(", \"check\": %.9g", r->check);
    if (r->flops > 0.0) printf(", \"flops\": %.6g", r->flops);
    if (r->predicted > 0.0) printf(", \"predicted\": %.6g", r->predicted);
    if (r->open_s > 0.0) printf(", \"open_s\": %.4g", r->open_s);
    if (r->peak_mib > 0) printf(", \"peak_mib\": %d", r->peak_mib);
    printf(", \"seconds\": [");
    for (int i = 0; i < r->repeats; i++) printf("%s%.4g", i ? ", " : "", r->seconds[i]);
    printf("]}\n");
    fflush(stdout);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double row_median(const Row *r) {
    double sorted[MAX_REPEATS];
    const int n = r->repeats;
    memcpy(sorted, r->seconds, (size_t)n * sizeof *sorted);
    qsort(sorted, (size_t)n, sizeof *sorted, by_size);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

float *random_floats(int64_t n, float bound, uint64_t stream) {
    float *x = malloc((size_t)n * sizeof *x);
#if defined(_OPENMP)
#pragma omp parallel for
#endif
    for (int64_t i = 0; i < (x ? n : 0); i += 4) {
        const Philox words = philox_at(2, 14, (int)stream, 0, (uint64_t)i / 4);
        for (int64_t j = i; j < n && j < i + 4; j++)
            x[j] = philox_uniform(words.word[j - i], bound);
    }
    return x;
}

int64_t argument(int argc, char **argv, int i, int64_t most) {
    char *end = NULL;
    const long long value = i < argc ? strtoll(argv[i], &end, 10) : 0;
    return end && *end == '\0' && value >= 1 && value <= most ? value : 0;
}
