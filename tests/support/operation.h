/* operation.h - tests an operation: a function of a shape, run by every backend of the test program
 * beside the plain reference.
 *
 *     program      backends                           several runs, which must give the same bits
 *     tests-cpu    every instruction set              1, 2 and 7 threads
 *     tests-emu    "cuda" (emulated) and "naive"      schedules of two seeds, ten in test-full
 *     tests-cuda   "cuda" and "naive"                 three
 *
 * "naive" is the CUDA backend with the readable kernel of each operation. Arrays that operations
 * touch come from the functions below. They are memory of the host in tests-cpu and managed memory
 * in the two others, so that the host reads results after wait(). Outputs are filled with NaN first
 * and lie between guards. */
#ifndef TURTLE_TESTS_SUPPORT_OPERATION_H
#define TURTLE_TESTS_SUPPORT_OPERATION_H

#include "kernels/ops.h"
#include "kernels/philox.h"
#include "tests/gpu/device_memory.h"
#include "tests/support/check.h"

enum { GUARD = 16, MAX_OUTPUTS = 8, MAX_ARRAYS = 96, PARTY = 3 };
static const int party[PARTY] = {1, 2, 7}; /* threads that must give the same bits */

/* --- arrays ----------------------------------------------------------------------------------- */

static struct {
    void *memory[MAX_ARRAYS];
    int n;
} arrays;
/* Floats by which numbers and outputs are moved off the alignment of their memory: operations
 * promise to serve any alignment. */
static int64_t off_alignment;

/* Returns zeros, which live until free_arrays(). */
static inline void *array(int64_t bytes) {
    cr_assert(arrays.n < MAX_ARRAYS, "more arrays than MAX_ARRAYS");
    need_gpu(); /* an array's memory is the device's */
    void *memory = test_alloc((size_t)bytes);
    cr_assert(memory, "no memory for %lld bytes", (long long)bytes);
    return arrays.memory[arrays.n++] = memory;
}

static inline void free_arrays(void) {
    while (arrays.n) test_free(arrays.memory[--arrays.n]);
}

static inline float *floats(int64_t n) {
    return (float *)array((n + off_alignment) * 4) + off_alignment;
}

static inline void *copy_of(const void *from, int64_t bytes) {
    return memcpy(array(bytes), from, (size_t)bytes);
}

/* Returns memory filled with a pattern that is NaN as float and as double. */
static inline void *scratch(int64_t bytes) {
    return memset(array(bytes + 1), 0xff, (size_t)bytes + 1);
}

/* Returns first, first + 1, ...: steps and iterations of operations that are enqueued one after the
 * other. */
static inline int64_t *counting(int64_t first, int64_t n) {
    int64_t *x = array(n * 8);
    for (int64_t i = 0; i < n; i++) x[i] = first + i;
    return x;
}

/* Returns numbers uniform in [-1, 1) from the stream `stream`. */
static inline float *numbers(int64_t n, int stream) {
    float *x = floats(n);
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

/* --- operands of products --------------------------------------------------------------------- */

/* A kind of products: the type of batches; for float32, whether tensor cores may take 10 bits of
 * the mantissa; and the tier of the inner loop. */
typedef struct {
    const char *name;
    DType type;
    bool tf32;
    InnerTier tier;
} Variant;
static Variant variant = {"fp32", DTYPE_F32, false, INNER_AUTO};

/* Rounds to 10 bits of the mantissa, to the nearest, ties away from zero. */
static inline float tf32_round(float x) {
    return f32_from_bits((bits_of_f32(x) + 0x1000) & 0xffffe000u);
}

/* Rounds a number as an operand of the variant's products. */
static inline float as_operand(float x) {
    if (variant.type == DTYPE_F16) return f32_from_f16(f16_from_f32(x));
    if (variant.type == DTYPE_BF16) return f32_from_bf16(bf16_from_f32(x));
    return variant.tf32 ? tf32_round(x) : x;
}

/* Returns numbers that the reference need not round to compute the variant's product. It rounds
 * bfloat16 itself; other types are rounded here. The error of a product is then that of its
 * summation. */
static inline float *operands(int64_t n, int stream) {
    float *x = numbers(n, stream);
    for (int64_t i = 0; variant.type != DTYPE_BF16 && i < n; i++) x[i] = as_operand(x[i]);
    return x;
}

/* Batches of float16 on a GPU are divided by 2 to this power, which products undo exactly. */
static int batch_exponent;

static inline bool on_cuda(const Ops *ops) {
    return strncmp(ops->kind, "cuda", 4) == 0;
}

/* Returns Z (B,d) as a batch of the variant. Samples lie batch_row apart, with zeros behind samples
 * of 16 bits and NaN behind those of tf32; samples of float32 lie one after the other. */
static inline Batch batch_of(const Ops *ops, float *Z, int64_t B, int64_t d) {
    if (variant.type == DTYPE_F32 && !variant.tf32) return batch_f32(Z, d);
    const int64_t row = batch_row(variant.type, d);
    const bool wide = variant.type == DTYPE_F32;
    const Batch batch = {array(B * row * (wide ? 4 : 2)),
                         variant.type,
                         d,
                         row,
                         variant.tf32 && on_cuda(ops),
                         variant.type == DTYPE_F16 && on_cuda(ops) ? batch_exponent : 0};
    for (int64_t b = 0; b < B; b++)
        for (int64_t j = 0; j < row; j++) {
            const float x = j < d ? Z[b * d + j] : wide ? NAN : 0.0f;
            if (wide) ((float *)batch.data)[b * row + j] = x;
            else
                ((uint16_t *)batch.data)[b * row + j] =
                    variant.type == DTYPE_F16 ? f16_from_f32(ldexpf(x, -batch.exponent))
                                              : bf16_from_f32(x);
        }
    return batch;
}

/* --- outputs ---------------------------------------------------------------------------------- */

/* Arrays that an operation writes: copied from `initial`, or NaN. */
typedef struct {
    float *data[MAX_OUTPUTS];
    int64_t count[MAX_OUTPUTS];
    void *memory[MAX_OUTPUTS];
    int n;
} Outputs;

static inline float *output(Outputs *o, int64_t count, const float *initial) {
    cr_assert(o->n < MAX_OUTPUTS, "more outputs than MAX_OUTPUTS");
    float *memory = test_alloc((size_t)(2 * GUARD + off_alignment + count) * sizeof *memory);
    float *x = memory + GUARD + off_alignment;
    for (int64_t i = 0; i < count; i++) x[i] = initial ? initial[i] : NAN;
    for (int i = 0; i < GUARD; i++) x[-1 - i] = x[count + i] = 12345.0f;
    o->memory[o->n] = memory;
    o->data[o->n] = x;
    o->count[o->n++] = count;
    return x;
}

static inline void free_outputs(Outputs *o) {
    for (int i = 0; i < o->n; i++) test_free(o->memory[i]);
    o->n = 0;
}

/* --- backends --------------------------------------------------------------------------------- */

/* Returns the backends of this program, ending with NULL. */
static inline const char *const *test_backends(void) {
#if defined(TEST_CUDA)
    static const char *const names[] = {"cuda", "naive", NULL};
#else
    static const char *names[CPU_MAX_SETS + 1];
    cpu_instruction_sets(names);
#endif
    return names;
}

/* Returns how many runs of a backend must give the same bits. */
static inline int test_runs(const char *backend) {
    if (strcmp(backend, "reference") == 0 || strcmp(backend, "naive") == 0) return 1;
    if (getenv("TURTLE_TEST_SMALL")) return 1;
#if defined(TEST_EMULATED)
    return getenv("TURTLE_TEST_FULL") ? 10 : 2;
#else
    return 3;
#endif
}

/* Returns the launches of kernels whose names hold `part`, of all that were timed. */
static inline int64_t launches_of(const Ops *ops, const char *part) {
    ProfileRow rows[64];
    const int n = ops->mem.profile_rows(ops->device, rows, 64);
    int64_t sum = 0;
    for (int i = 0; i < n && i < 64; i++)
        if (strstr(rows[i].kernel, part)) sum += rows[i].calls;
    return sum;
}

/* Opens a backend of test_backends(), or "reference". Where there is no GPU for it, the test is
 * skipped, or fails if a GPU was asked for. */
static inline void open_backend(Ops *ops, Queue **q, const char *backend, int run) {
    const bool naive = strcmp(backend, "naive") == 0;
    const char *device = naive || strcmp(backend, "cuda") == 0 ? "cuda" : "cpu";
    Error err;
    if (strcmp(device, "cuda") == 0) {
        need_gpu();
        test_schedule(run);
        if (naive) setenv("TURTLE_KERNELS", "naive", 1);
        else unsetenv("TURTLE_KERNELS");
    } else {
        setenv("TURTLE_ISA", backend, 1);
    }
    ASSERT_OK(ops_open(ops, device, party[run % PARTY], NULL, &err), err);
    ASSERT_OK(ops->mem.queue_open(ops->device, q, &err), err);
}

/* Waits until everything enqueued is done: then the host may read results. */
static inline void finish(const Ops *ops, Queue *q) {
    Error err;
    const Status st = ops->mem.wait(q, &err);
    cr_assert(st == OK, "%s: %s", ops->kind, err.text);
}

static inline void close_backend(Ops *ops, Queue *q) {
    ops->mem.queue_close(q);
    ops_close(ops);
}

/* --- an operation beside its reference -------------------------------------------------------- */

typedef struct {
    int64_t B, C, d, K;
} Shape;

/* Shapes that are ragged in every way: 1, one past a tile or a vector, primes, 2 to 1000 classes.
 * The last ones are one row, one class or one feature past the tiles of the CUDA kernels. */
static const Shape ragged[] = {
    {1, 2, 1, 1},     {1, 3, 5, 2},      {7, 10, 16, 1},    {119, 17, 8, 2},   {120, 16, 15, 1},
    {121, 5, 33, 3},  {241, 100, 64, 1}, {513, 47, 67, 2},  {97, 1000, 31, 1}, {1003, 10, 192, 2},
    {65, 17, 113, 2}, {129, 65, 225, 1}, {193, 129, 97, 1}, {33, 257, 65, 2},
};
enum { RAGGED = sizeof ragged / sizeof *ragged };

/* One operation: makes its inputs from the shape, runs, and leaves its outputs. */
typedef void Operation(const Ops *ops, Queue *q, Shape s, Outputs *o);

static inline Outputs run_operation(Operation *operation, const char *backend, int run, Shape s) {
    Ops ops;
    Queue *q;
    Outputs o = {.n = 0};
    open_backend(&ops, &q, backend, run);
    operation(&ops, q, s, &o);
    finish(&ops, q);
    for (int i = 0; i < o.n; i++)
        for (int g = 0; g < GUARD; g++)
            cr_assert(o.data[i][-1 - g] == 12345.0f && o.data[i][o.count[i] + g] == 12345.0f,
                      "%s wrote beside output %d", backend, i);
    close_backend(&ops, q);
    free_arrays();
    return o;
}

/* Returns true if a shape is too large for ThreadSanitizer, under which a switch of fibers takes 50
 * us. */
static inline bool too_large(Shape s) {
    return getenv("TURTLE_TEST_SMALL") && s.B * s.C * s.d * (s.K > 0 ? s.K : 1) > 20000;
}

/* Judges every backend against what the reference found at a shape. */
static inline void judge_shape(const char *name, Operation *operation, Shape s,
                               const Outputs *expected, double limit) {
    const char *const *backends = test_backends();
    for (int b = 0; backends[b]; b++) {
        if (strcmp(backends[b], "reference") == 0) continue;
        if (strcmp(backends[b], "naive") == 0 && variant.tier > INNER_UNFUSED)
            continue; /* the naive backend has one loop for every tier */
        Outputs found = run_operation(operation, backends[b], 0, s);
        for (int j = 0; j < expected->n; j++)
            EXPECT_CLOSE(relative_error(found.data[j], expected->data[j], expected->count[j]),
                         limit, "%s %s %s, tier %d: output %d at B %d C %d d %d K %d", name,
                         backends[b], variant.name, (int)variant.tier, j, (int)s.B, (int)s.C,
                         (int)s.d, (int)s.K);
        for (int run = 1; run < test_runs(backends[b]); run++) {
            Outputs again = run_operation(operation, backends[b], run, s);
            for (int j = 0; j < expected->n; j++)
                cr_expect(!memcmp(found.data[j], again.data[j], (size_t)expected->count[j] * 4),
                          "%s %s %s, tier %d: output %d differs in run %d at B %d C %d d %d K %d",
                          name, backends[b], variant.name, (int)variant.tier, j, run, (int)s.B,
                          (int)s.C, (int)s.d, (int)s.K);
            free_outputs(&again);
        }
        free_outputs(&found);
    }
}

/* Judges every backend in every tier against the reference, within `limit` in ||a-b||/||b||; all runs must
 * give the same bits. The reference has no tiers, so it computes a shape once. */
static inline void judge_tiers(const char *name, Operation *operation, const Shape *shapes,
                               size_t count, double limit, const InnerTier *tiers, int n) {
    for (size_t i = 0; i < count; i++) {
        if (too_large(shapes[i])) continue;
        off_alignment = (int64_t)i % 2;
        batch_exponent = (int)i % 3 * 2;
        Outputs expected = run_operation(operation, "reference", 0, shapes[i]);
        for (int t = 0; t < n; t++) {
            variant.tier = tiers[t];
            judge_shape(name, operation, shapes[i], &expected, limit);
        }
        free_outputs(&expected);
    }
    off_alignment = 0;
    batch_exponent = 0;
}

static inline void judge_at(const char *name, Operation *operation, const Shape *shapes,
                            size_t count, double limit) {
    const InnerTier tier = variant.tier;
    judge_tiers(name, operation, shapes, count, limit, &tier, 1);
}

#endif
