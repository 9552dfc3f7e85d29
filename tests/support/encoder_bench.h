/* encoder_bench.h - a CPU and a folder for tests of encoders, and an encoder's facts as text. */
#ifndef TURTLE_TESTS_SUPPORT_ENCODER_BENCH_H
#define TURTLE_TESTS_SUPPORT_ENCODER_BENCH_H

#include "host/encode/encoder.h"
#include "tests/support/check.h"

typedef struct {
    Ops ops;
    char *folder;
} Bench;

/* Returns how far an element may be from its golden in products of 16 bits. `half` is the MANIFEST's limit for
 * float16; bfloat16 has three bits of the mantissa less, and so errs eight times as much. */
static inline double limit_of(Precision precision, double half) {
    return precision == PRECISION_BF16 ? 8.0 * half : half;
}

/* Opens the CPU with an instruction set, and makes a folder of the test's own. */
static inline Bench bench_open(const char *isa, int threads) {
    Bench b;
    Error err;
    setenv("TURTLE_ISA", isa, 1);
    ASSERT_OK(ops_open(&b.ops, "cpu", threads, NULL, &err), err);
    b.folder = temporary_folder();
    return b;
}

static inline void bench_close(Bench *b) {
    ops_close(&b->ops);
    remove_folder(b->folder);
}

#endif
