/* operations.c - every operation of training alone, as a rate and beside the peak that bounds it.
 * usage: bench-operations B C D THREADS REPEATS [DEVICE [PRECISION]]
 *     DEVICE      cpu, or cuda[:0]: there every operation is first compared with the CPU's; then timed
 *                 by the GPU's clock from a replayed graph, cold (one call, none of its operands in
 *                 the L2) and warm (calls in a row)
 *     PRECISION   type of products on a GPU: fp32, tf32, fp16, bf16; only fp32 times all operations,
 *                 the others products alone
 * reference/operations_torch.py prints the same rows. Bytes and flops are those of kernels/README.md:
 * each number that an operation needs counts once, whatever a version really moves. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "bench/programs/replay.h"
#include "host/inputs/rng.h"
#include "io/sizes.h"
#include "kernels/ops.h"

enum { SPACES = 2, STEPS = 10, SAMPLES = 50000, PERMUTED = 1000000, ARRAYS = 13 };

/* One array in device memory. */
typedef struct {
    int64_t count;
    DType type;
} Array;

/* Operands of all operations on one device. */
typedef struct {
    Ops ops;
    Queue *queue;
    int64_t B, C, d;
    const char *precision;
    InnerTier tier;
    Features features; /* (SAMPLES,d) */
    Batch Z;
    float *P, *Y, *logits, *linear, *task, *grad, *m1, *m2, *W, *small;
    int32_t *index;
    int64_t *rows, *iteration;
    Array arrays[ARRAYS]; /* Z, then the arrays from P to rows, which operations may write */
    void *data[ARRAYS];
    Buffer memory;
    void *scratch;
    /* the host's random numbers */
    Mt19937 numpy;
    int64_t *permuted;
} Bench;

static InnerSteps inner_of(Bench *b, int64_t M) {
    return (InnerSteps){.K = 1,
                        .space = {{b->Z, b->linear, b->m1, b->m2}},
                        .Y = b->Y,
                        .B = b->B,
                        .C = b->C,
                        .M = M,
                        .tier = b->tier,
                        .lr = 0.001,
                        .step = b->iteration,
                        .losses = b->small,
                        .scratch = b->scratch};
}

#define OPERATION(name, call)                     \
    static void run_##name(void *context) {       \
        Bench *b = context;                       \
        const TrainOps *train = &b->ops.train;    \
        const MatrixOps *matrix = &b->ops.matrix; \
        (void)train, (void)matrix;                \
        call;                                     \
    }
OPERATION(inner_steps, InnerSteps in = inner_of(b, STEPS); train->inner_steps(b->queue, &in))
OPERATION(label_grad, InnerSteps in = inner_of(b, 0);
          train->label_grad(b->queue, b->small, b->P, &in))
OPERATION(matmul, matrix->matmul(b->queue, MATMUL_NT, b->logits, &b->Z, b->linear,
                                 b->linear + b->C * b->d, b->B, b->C, b->d, b->scratch))
OPERATION(linear_grad,
          train->linear_grad(b->queue, b->grad, b->logits, &b->Z, b->B, b->C, b->scratch))
OPERATION(gather, matrix->gather(b->queue, &b->Z, &b->features, b->rows, b->B))
OPERATION(softmax, train->softmax(b->queue, b->P, b->logits, b->B, b->C))
OPERATION(label_mean, train->label_mean(b->queue, b->Y, b->P, SPACES, b->B, b->C))
OPERATION(batch_entropy, train->batch_entropy(b->queue, b->small, b->small + SPACES * b->C, b->P,
                                              SPACES, b->B, b->C, b->scratch))
OPERATION(cross_entropy, train->cross_entropy(b->queue, b->small, b->P, b->P + b->B * b->C, false,
                                              b->logits, b->Y, b->B, b->C, b->scratch))
OPERATION(task_grad,
          train->task_grad(b->queue, b->P, b->Y, b->small, SPACES, 10.0, b->B, b->C, b->scratch))
OPERATION(weight_norm, train->weight_norm(b->queue, b->W, b->task, b->C, b->d))
OPERATION(weight_norm_grad, train->weight_norm_grad(b->queue, b->grad, b->W, b->task, b->C, b->d))
OPERATION(adam, train->adam(b->queue, b->task, b->grad, b->m1, b->m2, task_size(b->C, b->d), 0.001,
                            b->iteration))
OPERATION(argmax, matrix->argmax(b->queue, b->index, b->small, b->P, b->logits, b->B, b->C))
OPERATION(random_linear,
          train->random_linear(b->queue, b->W, b->C, b->d, 42, PHILOX_HEAD, 0, b->iteration))
OPERATION(random_rows, train->random_rows(b->queue, b->rows, b->B, SAMPLES, 42, b->iteration))
OPERATION(numpy_permutation, numpy_permutation(&b->numpy, b->permuted, PERMUTED))

/* Fills in the operands of softmax and its kin: their inputs are probabilities, gradients and
 * logits. */
static void prepare(Bench *b) {
    run_random_rows(b);
    run_gather(b);
    run_matmul(b);
    b->ops.train.softmax(b->queue, b->P, b->logits, b->B, b->C);
    b->ops.train.softmax(b->queue, b->P + b->B * b->C, b->logits, b->B, b->C);
    run_label_mean(b);
    run_batch_entropy(b);
}

/* --- memory ----------------------------------------------------------------------------------- */

static void lay_out(Bench *b) {
    const int64_t B = b->B, C = b->C, d = b->d, task = task_size(C, d);
    const Array arrays[ARRAYS] = {{B * b->Z.row, b->Z.type},
                                  {SPACES * B * C, DTYPE_F32},
                                  {B * C, DTYPE_F32},
                                  {B * C, DTYPE_F32},
                                  {linear_size(C, d), DTYPE_F32},
                                  {task, DTYPE_F32},
                                  {task, DTYPE_F32},
                                  {task, DTYPE_F32},
                                  {task, DTYPE_F32},
                                  {task, DTYPE_F32},
                                  {SPACES * C + SPACES + most(B, STEPS), DTYPE_F32},
                                  {B, DTYPE_I32},
                                  {B, DTYPE_I64}};
    memcpy(b->arrays, arrays, sizeof arrays);
}

static int64_t array_bytes(const Array *a) {
    return a->count * dtype_bytes(a->type);
}

static Status allocate(Bench *b, const Features *host, Error *err) {
    void **const pointers[ARRAYS] = {&b->Z.data,          (void **)&b->P,      (void **)&b->Y,
                                     (void **)&b->logits, (void **)&b->linear, (void **)&b->task,
                                     (void **)&b->grad,   (void **)&b->m1,     (void **)&b->m2,
                                     (void **)&b->W,      (void **)&b->small,  (void **)&b->index,
                                     (void **)&b->rows};
    const int64_t scratch =
        most(b->ops.train.scratch_bytes(b->Z.type, SPACES, b->B, b->C, b->d, b->d),
             b->ops.matrix.matmul_scratch_bytes(MATMUL_NT, b->B, b->C, b->d));
    int64_t bytes = scratch + 512;
    lay_out(b);
    for (int i = 0; i < ARRAYS; i++) bytes += round_up(array_bytes(&b->arrays[i]), 256);
    Status st = b->ops.mem.alloc(b->ops.device, &b->memory, bytes, err);
    if (st != OK) return st;
    char *at = b->memory.data;
    for (int i = 0; i < ARRAYS; i++) {
        b->data[i] = *pointers[i] = at;
        at += round_up(array_bytes(&b->arrays[i]), 256);
    }
    b->iteration = (int64_t *)at;
    b->scratch = at + 256;
    return b->ops.mem.features_open(b->ops.device, &b->features, host, err);
}

/* Fills all other operands: heads, task encoders and gradients are random. */
static Status fill(Bench *b, Error *err) {
    float *const arrays[] = {b->linear, b->task, b->grad};
    const int64_t count[] = {linear_size(b->C, b->d), task_size(b->C, b->d), task_size(b->C, b->d)};
    Status st = OK;
    for (int i = 0; st == OK && i < 3; i++) {
        float *x = random_floats(count[i], 0.03f, (uint64_t)i + 1);
        if (!x) return fail(err, ERR_MEMORY, "out of memory");
        b->ops.mem.to_device(b->queue, arrays[i], x, count[i] * (int64_t)sizeof *x);
        st = b->ops.mem.wait(b->queue, err);
        free(x);
    }
    mt19937_seed(&b->numpy, 42);
    b->permuted = malloc(PERMUTED * sizeof *b->permuted);
    return b->permuted ? st : fail(err, ERR_MEMORY, "out of memory");
}

static Status bench_open(Bench *b, const char *device, int threads, const Features *host,
                         Error *err) {
    const DType type = strcmp(b->precision, "fp16") == 0   ? DTYPE_F16
                       : strcmp(b->precision, "bf16") == 0 ? DTYPE_BF16
                                                           : DTYPE_F32;
    const bool tf32 = strcmp(b->precision, "tf32") == 0 && strcmp(device, "cpu") != 0;
    b->Z = (Batch){NULL, type, b->d, batch_row(type, b->d), tf32, 0};
    Status st = ops_open(&b->ops, device, threads, NULL, err);
    if (st == OK) st = b->ops.mem.queue_open(b->ops.device, &b->queue, err);
    if (st == OK) st = allocate(b, host, err);
    if (st == OK) st = fill(b, err);
    if (st == OK) prepare(b), st = b->ops.mem.wait(b->queue, err);
    return st;
}

static void bench_close(Bench *b) {
    if (b->queue) b->ops.mem.queue_close(b->queue);
    if (b->ops.device) {
        b->ops.mem.features_close(b->ops.device, &b->features);
        b->ops.mem.free(b->ops.device, &b->memory);
    }
    free(b->permuted);
    ops_close(&b->ops);
}

/* --- what is measured -------------------------------------------------------------------------- */

typedef struct {
    const char *name;
    void (*run)(void *context);
    double flops, bytes; /* flops that must be computed, bytes that must be moved once */
    bool product;        /* its rate counts flops, and the precision matters */
    bool trains;         /* the operation moves weights by Adam: only its losses are compared */
} Operation;

enum { OPERATIONS = 17 };

static void list(const Bench *b, Operation out[OPERATIONS]) {
    const double B = (double)b->B, C = (double)b->C, d = (double)b->d, flops = B * C * d, n = C * d;
    const double Z = (double)dtype_bytes(b->Z.type) * B * d;
    const Operation operations[OPERATIONS] = {
        {"inner_steps, M 10", run_inner_steps, 4.0 * STEPS * flops, Z + 4.0 * B * C + 24.0 * n,
         true, true},
        {"label_grad", run_label_grad, 2.0 * flops, Z + 8.0 * B * C + 4.0 * n, true, false},
        {"matmul", run_matmul, 2.0 * flops, Z + 4.0 * B * C + 4.0 * n, true, false},
        {"linear_grad", run_linear_grad, 2.0 * flops, Z + 4.0 * B * C + 4.0 * n, true, false},
        {"gather", run_gather, 0, 4.0 * B * d + Z, false, false},
        {"softmax", run_softmax, 0, 8.0 * B * C, false, false},
        {"label_mean, K 2", run_label_mean, 0, 12.0 * B * C, false, false},
        {"batch_entropy, K 2", run_batch_entropy, 0, 8.0 * B * C, false, false},
        {"cross_entropy", run_cross_entropy, 0, 16.0 * B * C, false, false},
        {"task_grad", run_task_grad, 0, 12.0 * B * C, false, false},
        {"weight_norm", run_weight_norm, 0, 8.0 * n, false, false},
        {"weight_norm_grad", run_weight_norm_grad, 0, 12.0 * n, false, false},
        {"adam", run_adam, 0, 28.0 * n, false, false},
        {"argmax", run_argmax, 0, 4.0 * B * C, false, false},
        {"random_linear", run_random_linear, 0, 4.0 * n, false, false},
        {"random_rows", run_random_rows, 0, 8.0 * B, false, false},
        {"numpy permutation of 1000000", run_numpy_permutation, 0, 8.0 * PERMUTED, false, false},
    };
    memcpy(out, operations, sizeof operations);
}

static Row row_of(const Operation *o, int threads, int repeats) {
    return (Row){.threads = threads,
                 .work = 1e-9 * (o->product ? o->flops : o->bytes),
                 .unit = o->product ? "GFLOP/s" : "GB/s",
                 .repeats = repeats};
}

/* --- the CPU ---------------------------------------------------------------------------------- */

static Status measure_cpu(Bench *b, int threads, int repeats, Error *err) {
    Operation operations[OPERATIONS];
    char program[128], what[128];
    snprintf(program, sizeof program, "turtle, %s", b->ops.name);
    const double fma = fma_peak(threads), memory = memory_peak(threads);
    list(b, operations);
    for (int i = 0; i < OPERATIONS; i++) {
        Row row = row_of(&operations[i], threads, repeats);
        row.what = what;
        row.program = program;
        row.peak = operations[i].product ? fma : memory;
        snprintf(what, sizeof what, "C %lld %s", (long long)b->C, operations[i].name);
        row_measure(&row, operations[i].run, b);
        const Status st = b->ops.mem.wait(b->queue, err);
        if (st != OK) return st;
        row_print(&row);
    }
    return OK;
}

/* --- a GPU ------------------------------------------------------------------------------------ */

/* Returns how far results may be from the CPU's in |a-b|/|b|. float32: 4 sqrt(n) u for sums of n =
 * 10 000 in another order. Operands rounded to p bits: u = 2^-p each, two of them, and signs are
 * random: 2 u. */
static double limit_of(const char *precision) {
    return strcmp(precision, "fp32") == 0   ? 4.0 * 100.0 * 0x1p-24
           : strcmp(precision, "bf16") == 0 ? 2.0 * 0x1p-8
                                            : 2.0 * 0x1p-11;
}

/* Returns |a-b|/|b| of arrays of one type; NaN where either holds one. */
static double difference(const void *a, const void *b, const Array *array) {
    float *x = malloc((size_t)array->count * sizeof *x),
          *y = malloc((size_t)array->count * sizeof *y);
    double off = 0.0, length = 0.0;
    if (array->type == DTYPE_I32 || array->type == DTYPE_I64) {
        off = memcmp(a, b, (size_t)array_bytes(array)) ? INFINITY : 0.0;
    } else if (x && y && dtype_to_f32(x, a, array->type, false, array->count) &&
               dtype_to_f32(y, b, array->type, false, array->count)) {
        for (int64_t i = 0; i < array->count; i++) {
            off += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            length += (double)y[i] * y[i];
        }
        off = off == 0.0 ? 0.0 : sqrt(off) / sqrt(length);
    } else {
        off = NAN;
    }
    free(x);
    free(y);
    return off;
}

/* Runs the operation on both devices from one state. Returns the largest difference of the arrays
 * that it leaves. The CPU's memory is the host's. */
static Status judge(Bench *gpu, Bench *cpu, const Operation *o, double *worst, Error *err) {
    *worst = 0.0;
    for (int i = 0; i < ARRAYS; i++)
        gpu->ops.mem.to_device(gpu->queue, gpu->data[i], cpu->data[i],
                               array_bytes(&gpu->arrays[i]));
    o->run(gpu);
    o->run(cpu);
    Status st = cpu->ops.mem.wait(cpu->queue, err);
    if (st == OK) st = gpu->ops.mem.wait(gpu->queue, err);
    for (int i = 0; st == OK && i < ARRAYS; i++) {
        const Array *array = &gpu->arrays[i];
        const bool weights =
            cpu->data[i] == cpu->linear || cpu->data[i] == cpu->m1 || cpu->data[i] == cpu->m2;
        if (o->trains && weights)
            continue; /* Adam is not compared: gradients at rounding level decide whole steps */
        void *found = malloc((size_t)array_bytes(array));
        if (!found) return fail(err, ERR_MEMORY, "out of memory");
        gpu->ops.mem.to_host(gpu->queue, found, gpu->data[i], array_bytes(array));
        st = gpu->ops.mem.wait(gpu->queue, err);
        const double off = st == OK ? difference(found, cpu->data[i], array) : 0.0;
        if (!(off <= *worst)) *worst = off;
        free(found);
    }
    return st;
}

/* Returns the least seconds that the roofs allow. */
static double floor_seconds(const Bench *b, const GpuPeaks *peaks, const Operation *o, bool cold) {
    const double peak = strcmp(b->precision, "fp16") == 0   ? peaks->fp16
                        : strcmp(b->precision, "bf16") == 0 ? peaks->bf16
                        : strcmp(b->precision, "tf32") == 0 ? peaks->tf32
                                                            : peaks->fp32;
    const bool fits = !cold && o->bytes < (double)peaks->l2_bytes;
    const double moving = 1e-9 * o->bytes / (fits ? peaks->l2 : peaks->memory);
    const double computing = 1e-9 * o->flops / peak;
    return moving > computing ? moving : computing;
}

static Status measure_gpu(Bench *b, Bench *cpu, int repeats, bool *wrong, Error *err) {
    static const struct {
        InnerTier tier;
        const char *name;
    } tiers[] = {{INNER_UNFUSED, " unfused"}, {INNER_FUSED, " fused"}, {INNER_MEGA, " mega"}};
    Operation operations[OPERATIONS];
    GpuPeaks peaks;
    if (!gpu_peaks(&peaks)) return fail(err, ERR_DEVICE, "the roofs could not be measured");
    GpuClock *clock = gpu_clock_open(b->queue, 2 * repeats + 2);
    if (!clock) return fail(err, ERR_DEVICE, "no clock");
    list(b, operations);
    Status st = OK;
    for (int i = 0; st == OK && i < OPERATIONS - 1; i++) { /* the last one runs on the host */
        const Operation *o = &operations[i];
        const bool tiered = o->trains;
        if (!o->product && strcmp(b->precision, "fp32") != 0 && o->run != run_gather) continue;
        for (int t = 0; st == OK && t < (tiered ? 3 : 1); t++) {
            char program[128], what[128], name[96];
            double worst = 0.0;
            b->tier = tiered ? tiers[t].tier : INNER_AUTO;
            snprintf(program, sizeof program, "turtle%s, %s", tiered ? tiers[t].name : "",
                     b->ops.name);
            snprintf(name, sizeof name, "C %lld %s%s%s", (long long)b->C, o->name,
                     o->product || o->run == run_gather ? " " : "",
                     o->product || o->run == run_gather ? b->precision : "");
            st = judge(b, cpu, o, &worst, err);
            if (st == ERR_ARG && tiered) { /* not every tier serves every shape */
                fprintf(stderr, "bench-operations: %s: not served by%s\n", name, tiers[t].name);
                st = OK;
                continue;
            }
            if (st != OK) break;
            if (!(worst <= limit_of(b->precision))) {
                fprintf(stderr,
                        "bench-operations: %s:%s differs from the CPU by %.1e, limit %.1e: "
                        "not timed\n",
                        name, tiered ? tiers[t].name : "", worst, limit_of(b->precision));
                *wrong = true;
                continue;
            }
            for (int warm = 0; st == OK && warm < 2; warm++) {
                Row row = row_of(o, 1, repeats);
                row.what = what;
                row.program = program;
                row.peak = row.work / floor_seconds(b, &peaks, o, !warm);
                snprintf(what, sizeof what, "%s, %s", name, warm ? "warm" : "cold");
                st = replay_measure(&b->ops.mem, b->queue, clock, o->run, b, !warm, &row, err);
                if (st == OK) row_print(&row);
            }
        }
    }
    gpu_clock_close(clock);
    return st;
}

int main(int argc, char **argv) {
    Bench b = {.B = argument(argc, argv, 1, SAMPLES),
               .C = argument(argc, argv, 2, 1 << 16),
               .d = argument(argc, argv, 3, 1 << 16),
               .precision = argc > 7 ? argv[7] : "fp32"};
    Bench cpu = b;
    Error err = {0};
    const int threads = (int)argument(argc, argv, 4, 1024),
              repeats = (int)argument(argc, argv, 5, MAX_REPEATS);
    const char *device = argc > 6 ? argv[6] : "cpu";
    static const char *const precisions[] = {"fp32", "tf32", "fp16", "bf16"};
    bool known = false, wrong = false;
    for (int i = 0; i < 4; i++) known |= strcmp(b.precision, precisions[i]) == 0;
    if (argc < 6 || argc > 8 || !b.B || b.C < 2 || !b.d || !threads || !repeats || !known) {
        fputs("usage: bench-operations B C D THREADS REPEATS [cpu|cuda [fp32|tf32|fp16|bf16]]\n",
              stderr);
        return 2;
    }
    const Features host = {random_floats(SAMPLES * b.d, 0.1f, 0), SAMPLES, b.d, .type = DTYPE_F32};
    Status st = host.data ? bench_open(&b, device, threads, &host, &err)
                          : fail(&err, ERR_MEMORY, "out of memory");
    if (st == OK && strcmp(b.ops.kind, "cpu") == 0) {
        st = measure_cpu(&b, threads, repeats, &err);
    } else if (st == OK) {
        st = bench_open(&cpu, "cpu", threads, &host, &err);
        if (st == OK) st = measure_gpu(&b, &cpu, repeats, &wrong, &err);
        bench_close(&cpu);
    }
    bench_close(&b);
    free((void *)host.data);
    if (st != OK) fprintf(stderr, "bench-operations: %s\n", err.text);
    return st != OK || wrong;
}
