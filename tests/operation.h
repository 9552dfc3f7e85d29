/* operation.h - how operations are tested: one operation as a function of a shape, run by every
 * instruction set beside the plain reference.
 *
 * Outputs are filled with NaN first and followed by guards; 1, 2 and 7 threads must give the same
 * bits. */
#ifndef TURTLE_TESTS_OPERATION_H
#define TURTLE_TESTS_OPERATION_H

#include "../kernels/ops.h"
#include "../kernels/philox.h"
#include "check.h"

enum { GUARD = 16, MAX_OUTPUTS = 8, PARTY = 3 };
static const int party[PARTY] = {1, 2, 7};

/* Numbers of a test: uniform in [-1, 1), from a stream of their own. */
static inline float *numbers(int64_t n, int stream) {
    float *x = calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = philox_uniform(philox_at(7, 15, stream, 0, i / 4).word[i % 4], 1.0f);
    return x;
}

static inline float *probabilities(int64_t rows, int64_t C, int stream) {
    float *p = numbers(rows * C, stream);
    for (int64_t r = 0; r < rows; r++) {
        double sum = 0.0;
        for (int64_t c = 0; c < C; c++) sum += p[r * C + c] = expf(4.0f * p[r * C + c]);
        for (int64_t c = 0; c < C; c++) p[r * C + c] = (float)(p[r * C + c] / sum);
    }
    return p;
}

/* Arrays that an operation writes: copied from `initial`, or NaN. */
typedef struct {
    float *data[MAX_OUTPUTS];
    int64_t count[MAX_OUTPUTS];
    int n;
} Outputs;

static inline float *output(Outputs *o, int64_t count, const float *initial) {
    cr_assert(o->n < MAX_OUTPUTS, "more outputs than MAX_OUTPUTS");
    float *x = malloc((size_t)(count + GUARD) * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = initial ? initial[i] : NAN;
    for (int i = 0; i < GUARD; i++) x[count + i] = 12345.0f;
    o->data[o->n] = x;
    o->count[o->n++] = count;
    return x;
}

typedef struct {
    int64_t B, C, d, K;
} Shape;

/* One operation: makes its inputs from the shape, runs, and leaves its outputs. */
typedef void Operation(const Ops *ops, Queue *q, Shape s, Outputs *o);

static inline Outputs run_operation(Operation *operation, const char *isa, int threads, Shape s) {
    Ops ops;
    Queue *q;
    Error err;
    Outputs o = {.n = 0};
    setenv("TURTLE_ISA", isa, 1);
    ASSERT_OK(ops_open(&ops, "cpu", threads, NULL, &err), err);
    ASSERT_OK(ops.mem.queue_open(ops.device, &q, &err), err);
    operation(&ops, q, s, &o);
    const Status st = ops.mem.wait(q, &err);
    cr_assert(st == OK, "%s: %s", isa, err.text);
    for (int i = 0; i < o.n; i++)
        for (int g = 0; g < GUARD; g++)
            cr_assert(o.data[i][o.count[i] + g] == 12345.0f, "%s wrote past output %d", isa, i);
    ops.mem.queue_close(q);
    ops_close(&ops);
    return o;
}

static inline void free_outputs(Outputs *o) {
    for (int i = 0; i < o->n; i++) free(o->data[i]);
}

/* Every set against the reference, within `limit` in ||a-b||/||b||; same bits for any threads. */
static inline void judge_at(const char *name, Operation *operation, const Shape *shapes,
                            size_t count, double limit) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (size_t i = 0; i < count; i++) {
        const Shape s = shapes[i];
        Outputs expected = run_operation(operation, "reference", 1, s);
        for (int set = 0; sets[set]; set++) {
            Outputs found[PARTY];
            if (strcmp(sets[set], "reference") == 0) continue;
            for (int t = 0; t < PARTY; t++)
                found[t] = run_operation(operation, sets[set], party[t], s);
            for (int j = 0; j < expected.n; j++) {
                EXPECT_CLOSE(relative_error(found[0].data[j], expected.data[j], expected.count[j]),
                             limit, "%s %s: output %d at B %d C %d d %d K %d", name, sets[set], j,
                             (int)s.B, (int)s.C, (int)s.d, (int)s.K);
                for (int t = 1; t < PARTY; t++)
                    cr_expect(
                        !memcmp(found[0].data[j], found[t].data[j], (size_t)expected.count[j] * 4),
                        "%s %s: output %d differs with %d threads", name, sets[set], j, party[t]);
            }
            for (int t = 0; t < PARTY; t++) free_outputs(&found[t]);
        }
        free_outputs(&expected);
    }
}

static inline void *
scratch(int64_t bytes) { /* filled with a pattern that is NaN as float and as double */
    void *p = malloc((size_t)bytes + 1);
    memset(p, 0xff, (size_t)bytes + 1);
    return p;
}

#endif
