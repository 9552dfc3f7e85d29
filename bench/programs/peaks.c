/* peaks.c - the most that this machine can do: fused multiply-adds in registers, bytes read from
 * memory. Compiled with -ffp-contract=fast. */
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "kernels/cpu/threads.h"

/* A peak is the best of so many rounds, of 10 to 40 ms each: a guest on the same machine can take a thread away for longer
 * than five. */
enum { ROUNDS = 25 };
enum { CHAINS = 10, MOST_THREADS = 1024 };

/* Ten independent chains x <- x a + b take two operations per element and step; two units of four
 * cycles need eight. They are named one by one, for an array would live in memory. Each starts from
 * a value of its own, for a compiler computes equal chains once. */
#define CHAINS_OF(floats)                                           \
    typedef float Vec __attribute__((vector_size(4 * (floats))));   \
    const Vec a = (Vec){0} + 0.999f, b = (Vec){0} + 0.001f;         \
    Vec p = a + 1, q = a + 2, r = a + 3, s = a + 4, t = a + 5;      \
    Vec u = a + 6, v = a + 7, w = a + 8, x = a + 9, y = a + 10;     \
    for (int64_t i = 0; i < steps; i++) {                           \
        p = p * a + b, q = q * a + b, r = r * a + b, s = s * a + b; \
        t = t * a + b, u = u * a + b, v = v * a + b, w = w * a + b; \
        x = x * a + b, y = y * a + b;                               \
    }                                                               \
    p += q + r + s + t + u + v + w + x + y;                         \
    return p[0]

#if defined(__x86_64__)
__attribute__((target("avx512f"))) static float chains_512(int64_t steps) {
    CHAINS_OF(16);
}
__attribute__((target("avx2,fma"))) static float chains_256(int64_t steps) {
    CHAINS_OF(8);
}
#endif
static float chains_128(int64_t steps) {
    CHAINS_OF(4);
}

enum { STEPS = 4000000 };

typedef struct {
    float (*run)(int64_t);
    volatile float *sink;
} Chains;

static void run_chains(const void *loop, int64_t first, int64_t end, int thread) {
    const Chains *c = loop;
    for (int64_t t = first; t < end; t++) c->sink[thread] = c->run(STEPS);
}

double fma_peak(int threads) {
    float (*run)(int64_t) = chains_128;
    int floats = 4;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) run = chains_512, floats = 16;
    else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        run = chains_256, floats = 8;
#endif
    double best = 0.0;
    volatile float sink[MOST_THREADS];
    Threads *pool;
    if (threads > MOST_THREADS || threads_open(&pool, threads, NULL) != OK) return 0.0;
    const Chains chains = {run, sink};
    for (int round = 0; round < ROUNDS; round++) {
        const double start = seconds_now();
        threads_loop(pool, threads, 1, run_chains, &chains);
        const double rate =
            2.0 * CHAINS * floats * (double)STEPS * threads / (seconds_now() - start);
        if (rate > best) best = rate;
    }
    threads_close(pool);
    return best * 1e-9;
}

/* One pass over a run of numbers. */
typedef struct {
    const uint64_t *x;
    volatile uint64_t *sink;
} Sum;

enum { SUM_RUN = 1 << 16 };

static void sum_runs(const void *loop, int64_t first, int64_t end, int thread) {
    const Sum *s = loop;
    uint64_t sum = 0;
    for (int64_t i = first * SUM_RUN; i < end * SUM_RUN; i++) sum += s->x[i];
    s->sink[thread] = sum;
}

double memory_peak(int threads) {
    const int64_t n = (int64_t)64 << 20; /* 512 MiB */
    uint64_t *x = malloc((size_t)n * sizeof *x);
    if (!x) return 0.0;
    memset(x, 1, (size_t)n * sizeof *x);
    double best = 0.0;
    volatile uint64_t sink[MOST_THREADS];
    Threads *pool;
    if (threads > MOST_THREADS || threads_open(&pool, threads, NULL) != OK) {
        free(x);
        return 0.0;
    }
    const Sum sum = {x, sink};
    for (int round = 0; round < ROUNDS; round++) {
        const double start = seconds_now();
        threads_loop(pool, n / SUM_RUN, 1, sum_runs, &sum);
        const double rate = (double)n * sizeof *x / (seconds_now() - start);
        if (rate > best) best = rate;
    }
    threads_close(pool);
    free(x);
    return best * 1e-9;
}
