/* operations.c - every operation of training alone, as a rate and beside the peak that bounds it.
 * usage: bench-operations B C D THREADS REPEATS
 * Prints the same rows as reference/operations_torch.py. Bytes and flops are those of
 * kernels/README.md: what must move once, whatever a version really moves. */
#include <stdio.h>
#include <stdlib.h>

#include "../host/rng.h"
#include "../kernels/ops.h"
#include "bench.h"

enum { SPACES = 2, STEPS = 10, SAMPLES = 50000, PERMUTED = 1000000 };

typedef struct {
    Ops ops;
    Queue *queue;
    Mt19937 numpy;
    int64_t B, C, d;
    Features features; /* (SAMPLES,d) */
    Buffer memory;     /* of Z, as the device gives it */
    Batch Z;
    float *P, *Y, *logits, *linear, *task, *grad, *m1, *m2, *W, *small;
    int32_t *index;
    int64_t *rows, *permuted, iteration;
    void *scratch;
} Bench;

static InnerSteps inner_of(Bench *b, int64_t M) {
    return (InnerSteps){.K = 1,
                        .space = {{b->Z, b->linear, b->m1, b->m2}},
                        .Y = b->Y,
                        .B = b->B,
                        .C = b->C,
                        .M = M,
                        .lr = 0.001,
                        .step = &b->iteration,
                        .losses = NULL,
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
                            &b->iteration))
OPERATION(argmax, matrix->argmax(b->queue, b->index, b->small, b->P, b->logits, b->B, b->C))
OPERATION(random_linear,
          train->random_linear(b->queue, b->W, b->C, b->d, 42, PHILOX_HEAD, 0, &b->iteration))
OPERATION(random_rows, train->random_rows(b->queue, b->rows, b->B, SAMPLES, 42, &b->iteration))
OPERATION(numpy_permutation, numpy_permutation(&b->numpy, b->permuted, PERMUTED))

/* Before softmax and its kin: their inputs are probabilities, gradients and logits. */
static void prepare(Bench *b) {
    run_random_rows(b);
    run_gather(b);
    run_matmul(b);
    b->ops.train.softmax(b->queue, b->P, b->logits, b->B, b->C);
    b->ops.train.softmax(b->queue, b->P + b->B * b->C, b->logits, b->B, b->C);
    run_label_mean(b);
    run_batch_entropy(b);
}

static bool allocate(Bench *b) {
    const int64_t task = task_size(b->C, b->d);
    int64_t scratch = b->ops.train.scratch_bytes(DTYPE_F32, SPACES, b->B, b->C, b->d);
    const int64_t matmul = b->ops.matrix.matmul_scratch_bytes(MATMUL_NT, b->B, b->C, b->d);
    if (matmul > scratch) scratch = matmul;
    b->features =
        (Features){random_floats(SAMPLES * b->d, 0.1f, 0), SAMPLES, b->d, DTYPE_F32, false};
    b->Z = (Batch){NULL, DTYPE_F32, b->d, batch_row(DTYPE_F32, b->d), false};
    if (b->ops.mem.alloc(b->ops.device, &b->memory, b->B * b->Z.row * (int64_t)sizeof(float), NULL))
        return false;
    b->Z.data = b->memory.data;
    b->P = malloc((size_t)(SPACES * b->B * b->C) * sizeof *b->P);
    b->Y = malloc((size_t)(b->B * b->C) * sizeof *b->Y);
    b->logits = malloc((size_t)(b->B * b->C) * sizeof *b->logits);
    b->linear = random_floats(linear_size(b->C, b->d), 0.03f, 1);
    b->task = random_floats(task, 0.03f, 2);
    b->grad = random_floats(task, 0.03f, 3);
    b->W = malloc((size_t)task * sizeof *b->W);
    b->m1 = calloc((size_t)task, sizeof *b->m1);
    b->m2 = calloc((size_t)task, sizeof *b->m2);
    b->small = malloc((size_t)(SPACES * b->C + SPACES + b->B) * sizeof *b->small);
    b->index = malloc((size_t)b->B * sizeof *b->index);
    b->rows = malloc((size_t)b->B * sizeof *b->rows);
    b->permuted = malloc(PERMUTED * sizeof *b->permuted);
    b->scratch = aligned_alloc(64, (size_t)(scratch + 63) / 64 * 64);
    mt19937_seed(&b->numpy, 42);
    return b->features.data && b->Z.data && b->P && b->Y && b->logits && b->linear && b->task &&
           b->grad && b->W && b->m1 && b->m2 && b->small && b->index && b->rows && b->permuted &&
           b->scratch;
}

static void release(Bench *b) {
    void *all[] = {(void *)b->features.data,
                   b->P,
                   b->Y,
                   b->logits,
                   b->linear,
                   b->task,
                   b->grad,
                   b->W,
                   b->m1,
                   b->m2,
                   b->small,
                   b->index,
                   b->rows,
                   b->permuted,
                   b->scratch};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
    b->ops.mem.free(b->ops.device, &b->memory);
}

static Status measure(Bench *b, int threads, int repeats, Error *err) {
    const double B = (double)b->B, C = (double)b->C, d = (double)b->d, flops = B * C * d, n = C * d;
    const struct {
        const char *name;
        void (*run)(void *context);
        double flops, bytes; /* the one that bounds it; neither: calls per second */
    } operations[] = {
        {"inner_steps, M 10", run_inner_steps, 4.0 * STEPS * flops, 0},
        {"label_grad", run_label_grad, 2.0 * flops, 0},
        {"matmul", run_matmul, 2.0 * flops, 0},
        {"linear_grad", run_linear_grad, 2.0 * flops, 0},
        {"gather", run_gather, 0, 8.0 * B * d},
        {"softmax", run_softmax, 0, 8.0 * B * C},
        {"label_mean, K 2", run_label_mean, 0, 12.0 * B * C},
        {"batch_entropy, K 2", run_batch_entropy, 0, 8.0 * B * C},
        {"cross_entropy", run_cross_entropy, 0, 16.0 * B * C},
        {"task_grad", run_task_grad, 0, 12.0 * B * C},
        {"weight_norm", run_weight_norm, 0, 8.0 * n},
        {"weight_norm_grad", run_weight_norm_grad, 0, 12.0 * n},
        {"adam", run_adam, 0, 28.0 * n},
        {"argmax", run_argmax, 0, 4.0 * B * C},
        {"random_linear", run_random_linear, 0, 4.0 * n},
        {"random_rows", run_random_rows, 0, 8.0 * B},
        {"numpy permutation of 1000000", run_numpy_permutation, 0, 8.0 * PERMUTED},
    };
    char program[128], what[128];
    snprintf(program, sizeof program, "turtle, %s", b->ops.name);
    const double fma = fma_peak(threads), memory = memory_peak(threads);
    prepare(b);
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        const bool arithmetic = operations[i].flops > 0.0;
        Row row = {.what = what,
                   .program = program,
                   .threads = threads,
                   .work = 1e-9 * (arithmetic ? operations[i].flops : operations[i].bytes),
                   .unit = arithmetic ? "GFLOP/s" : "GB/s",
                   .peak = arithmetic ? fma : memory,
                   .repeats = repeats};
        snprintf(what, sizeof what, "C %lld %s", (long long)b->C, operations[i].name);
        row_measure(&row, operations[i].run, b);
        const Status st = b->ops.mem.wait(b->queue, err);
        if (st != OK) return st;
        row_print(&row);
    }
    return OK;
}

int main(int argc, char **argv) {
    Bench b = {.B = argument(argc, argv, 1, 1 << 24),
               .C = argument(argc, argv, 2, 1 << 16),
               .d = argument(argc, argv, 3, 1 << 16)};
    Error err = {0};
    const int threads = (int)argument(argc, argv, 4, 1024),
              repeats = (int)argument(argc, argv, 5, MAX_REPEATS);
    if (argc != 6 || !b.B || b.B > SAMPLES || b.C < 2 || !b.d || !threads || !repeats) {
        fputs("usage: bench-operations B C D THREADS REPEATS\n", stderr);
        return 2;
    }
    Status st = ops_open(&b.ops, "cpu", threads, NULL, &err);
    if (st == OK) st = b.ops.mem.queue_open(b.ops.device, &b.queue, &err);
    if (st == OK && !allocate(&b)) st = fail(&err, ERR_MEMORY, "out of memory");
    if (st == OK) st = measure(&b, threads, repeats, &err);
    if (b.queue) b.ops.mem.queue_close(b.queue);
    release(&b);
    ops_close(&b.ops);
    if (st != OK) fprintf(stderr, "bench-operations: %s\n", err.text);
    return st != OK;
}
