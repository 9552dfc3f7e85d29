/* layers.c - seconds of each product, convolution and attention of an encoder on a GPU, as one batch calls them.
 * usage: bench-layers WEIGHTS BATCH REPEATS fp32|fp16|bf16 FOLDER [cuda]
 *            The encoder runs once, while each call of a new shape is kept; its features are compared with those that
 *            bench-encoders left in FOLDER. Then every call is replayed in place, with its weights and epilogue.
 *        bench-layers attention TOKENS REPEATS fp16|bf16 [cuda]
 *            Attention alone, over about so many tokens in sequences of 50 to 1374, with heads of 64 to 128. The first
 *            sequence is compared with the CPU's.
 * reference/layers_torch.py reads the shapes from the rows that are printed here:
 *     linear ROWSxOUTxIN [ACTIVATION] [add] [gate]       conv IMAGESxHEIGHTxWIDTH IN>OUT KxK sSTRIDE pPAD
 *     attention BATCHxHEADS QUERIESxKEYS WIDTH
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/pictures.h"
#include "bench/programs/replay.h"
#include "io/sizes.h"
#include "kernels/plan/model_encode.h"

/* --- the calls of a batch --------------------------------------------------------------------- */

typedef enum { LINEAR, CONV, ATTENTION } CallKind;

/* The arguments of one call. */
typedef struct {
    CallKind kind;
    Matrix out, in;
    Weight w;
    Epilogue epilogue;
    Window window;
    int64_t rows; /* rows of a matrix; images of a convolution */
    Tokens to, q, k, v;
    int64_t B, queries, keys, heads, width;
    bool causal, turned;
    Rope rope;
    void *scratch;
} Call;

/* The calls of an encoder that runs. Paper tells which call has a new shape, and the shape's bytes and flops. */
static struct {
    EncodeOps real;
    Queue *queue;
    Ops ops; /* on paper */
    Queue *paper_queue;
    Paper paper;
    Call call[PAPER_MOST_LAUNCHES];
} seen;

static Call *new_call(int known, Queue *queue) {
    seen.queue = queue;
    return seen.paper.count > known ? &seen.call[known] : NULL;
}

static Status see_linear(Queue *queue, Matrix out, Matrix in, const Weight *w,
                         const Epilogue *epilogue, int64_t rows, void *scratch) {
    const int known = seen.paper.count;
    seen.ops.encode.linear(seen.paper_queue, out, in, w, epilogue, rows, scratch);
    Call *c = new_call(known, queue);
    if (c)
        *c = (Call){.kind = LINEAR,
                    .out = out,
                    .in = in,
                    .w = *w,
                    .epilogue = *epilogue,
                    .rows = rows,
                    .scratch = scratch};
    return seen.real.linear(queue, out, in, w, epilogue, rows, scratch);
}

static Status see_conv2d(Queue *queue, Matrix out, Matrix in, const Weight *w, const Window *window,
                         const Epilogue *epilogue, int64_t B, void *scratch) {
    const int known = seen.paper.count;
    seen.ops.encode.conv2d(seen.paper_queue, out, in, w, window, epilogue, B, scratch);
    Call *c = new_call(known, queue);
    if (c)
        *c = (Call){.kind = CONV,
                    .out = out,
                    .in = in,
                    .w = *w,
                    .window = *window,
                    .epilogue = *epilogue,
                    .rows = B,
                    .scratch = scratch};
    return seen.real.conv2d(queue, out, in, w, window, epilogue, B, scratch);
}

static Status see_attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                            int64_t queries, int64_t keys, int64_t heads, int64_t width,
                            bool causal, const Rope *rope, void *scratch) {
    const int known = seen.paper.count;
    seen.ops.encode.attention(seen.paper_queue, out, q, k, v, B, queries, keys, heads, width,
                              causal, rope, scratch);
    Call *c = new_call(known, queue);
    if (c)
        *c = (Call){.kind = ATTENTION,
                    .to = out,
                    .q = q,
                    .k = k,
                    .v = v,
                    .B = B,
                    .queries = queries,
                    .keys = keys,
                    .heads = heads,
                    .width = width,
                    .causal = causal,
                    .turned = rope && rope->cos,
                    .rope = rope ? *rope : (Rope){0},
                    .scratch = scratch};
    return seen.real.attention(queue, out, q, k, v, B, queries, keys, heads, width, causal, rope,
                               scratch);
}

static void run_call(void *context) {
    Call *c = context;
    const Rope *rope = c->turned ? &c->rope : NULL;
    switch (c->kind) {
    case LINEAR:
        seen.real.linear(seen.queue, c->out, c->in, &c->w, &c->epilogue, c->rows, c->scratch);
        break;
    case CONV:
        seen.real.conv2d(seen.queue, c->out, c->in, &c->w, &c->window, &c->epilogue, c->rows,
                         c->scratch);
        break;
    case ATTENTION:
        seen.real.attention(seen.queue, c->to, c->q, c->k, c->v, c->B, c->queries, c->keys,
                            c->heads, c->width, c->causal, rope, c->scratch);
        break;
    }
}

static void name_call(char text[128], const Call *c, const char *precision) {
    static const char *const activations[] = {
        [ACT_NONE] = "",      [ACT_RELU] = " relu",          [ACT_QUICK_GELU] = " quickgelu",
        [ACT_GELU] = " gelu", [ACT_GELU_TANH] = " gelutanh", [ACT_SILU] = " silu"};
    char more[32];
    snprintf(more, sizeof more, "%s%s%s", activations[c->epilogue.activation],
             c->epilogue.add ? " add" : "", c->epilogue.times.data ? " gate" : "");
    switch (c->kind) {
    case LINEAR:
        snprintf(text, 128, "linear %lldx%lldx%lld%s %s", (long long)c->rows, (long long)c->w.out,
                 (long long)c->w.in, more, precision);
        break;
    case CONV:
        snprintf(text, 128, "conv %lldx%lldx%lld %lld>%lld %lldx%lld s%lld p%lld%s %s",
                 (long long)c->rows, (long long)c->window.height, (long long)c->window.width,
                 (long long)c->w.in, (long long)c->w.out, (long long)c->window.kernel,
                 (long long)c->window.kernel, (long long)c->window.stride, (long long)c->window.pad,
                 more, precision);
        break;
    case ATTENTION:
        snprintf(text, 128, "attention %lldx%lld %lldx%lld %lld%s%s %s", (long long)c->B,
                 (long long)c->heads, (long long)c->queries, (long long)c->keys,
                 (long long)c->width, c->causal ? " causal" : "", c->turned ? " rope" : "",
                 precision);
        break;
    }
}

/* --- their times ------------------------------------------------------------------------------ */

/* Rows are compared with these. */
typedef struct {
    GpuPeaks peaks;
    PlanDevice device;
    bool planned;
    GpuClock *clock;
} Judge;

static Status judge_open(Judge *j, const Ops *ops, Queue *queue, int repeats, Error *err) {
    *j = (Judge){0};
    if (!gpu_peaks(&j->peaks)) return fail(err, ERR_DEVICE, "the roofs could not be measured");
    j->planned = planned_device(&j->device, ops);
    j->clock = gpu_clock_open(queue, 2 * repeats + 2);
    return j->clock ? OK : fail(err, ERR_DEVICE, "no clock");
}

/* Times call i and prints its row. Returns the seconds of its calls in a batch, as measured and as predicted. */
static Status measure(Judge *j, const Ops *ops, int i, int repeats, Precision precision,
                      double *measured, double *predicted, Error *err) {
    const Launch *l = &seen.paper.launch[i];
    const double peak = precision == PRECISION_FP16   ? j->peaks.fp16
                        : precision == PRECISION_BF16 ? j->peaks.bf16
                                                      : j->peaks.fp32;
    const double floor_s = 1e-9 * fmax(l->flops / peak, l->bytes / j->peaks.memory),
                 model_s = j->planned ? model_launch(&j->device, l).seconds : 0.0;
    char what[128], program[128];
    snprintf(program, sizeof program, "turtle, %s", ops->name);
    name_call(what, &seen.call[i], precision_name(precision));
    Row row = {.what = what,
               .program = program,
               .threads = 1,
               .work = 1e-9 * l->flops,
               .unit = "GFLOP/s",
               .peak = 1e-9 * l->flops / floor_s,
               .repeats = repeats};
    if (model_s > 0.0) row.predicted = row.work / model_s;
    const Status st =
        replay_measure(&ops->mem, seen.queue, j->clock, run_call, &seen.call[i], false, &row, err);
    if (st != OK) return st;
    row_print(&row);
    *measured += (double)l->times * row_median(&row);
    *predicted += (double)l->times * model_s;
    return OK;
}

static Status of_encoder(Ops *ops, const char *weights, int64_t B, Precision precision,
                         const char *folder, int repeats, Error *err) {
    Judge judge = {0};
    Pictures b;
    double measured = 0.0, predicted = 0.0;
    ops->encode.linear = see_linear;
    ops->encode.conv2d = see_conv2d;
    ops->encode.attention = see_attention;
    Status st = pictures_open(&b, ops, weights, B, precision, err);
    seen.paper.noting = true;
    if (st == OK) st = encoder_run(b.encoder, b.features, b.pixels, B, err);
    seen.paper.noting = false;
    if (st == OK && seen.paper.too_many)
        st = fail(err, ERR_FORMAT, "%s: more than %d kinds of calls", weights, PAPER_MOST_LAUNCHES);
    if (st == OK) st = pictures_check(b.features, pictures_features(&b), precision, folder, err);
    if (st == OK) st = judge_open(&judge, ops, seen.queue, repeats, err);
    for (int i = 0; st == OK && i < seen.paper.count; i++)
        st = measure(&judge, ops, i, repeats, precision, &measured, &predicted, err);
    if (st == OK)
        fprintf(stderr, "bench-layers: %s: %.3f ms of a batch, %.3f predicted\n", weights,
                1e3 * measured, 1e3 * predicted);
    gpu_clock_close(judge.clock);
    pictures_close(&b);
    return st;
}

/* --- attention alone -------------------------------------------------------------------------- */

/* Compares the first sequence with the CPU's. Scores are rounded once as probabilities, the result once more. */
static Status check_attention(const Ops *ops, const Call *c, const float *host, Precision precision,
                              int threads, Error *err) {
    const int64_t row = c->heads * c->width, n = c->keys * row;
    const double limit = precision == PRECISION_FP16 ? 2.0 * 0x1p-11 : 2.0 * 0x1p-8;
    const DType type = precision == PRECISION_FP16 ? DTYPE_F16 : DTYPE_BF16;
    Ops cpu = {0};
    Queue *queue = NULL;
    float *found = malloc((size_t)n * sizeof *found), *expected = malloc((size_t)n * sizeof *found);
    uint16_t *narrow = malloc((size_t)n * sizeof *narrow);
    void *scratch = NULL;
    double off = 0.0, size = 0.0;
    Status st = found && expected && narrow ? ops_open(&cpu, "cpu", threads, NULL, err)
                                            : fail(err, ERR_MEMORY, "out of memory");
    if (st == OK) st = cpu.mem.queue_open(cpu.device, &queue, err);
    if (st == OK) {
        scratch = malloc((size_t)cpu.encode.scratch_bytes(cpu.device, row, c->keys) + 64);
        const Tokens at[4] = {{(void *)host, n, row, PRECISION_FP32},
                              {(void *)(host + n), n, row, PRECISION_FP32},
                              {(void *)(host + 2 * n), n, row, PRECISION_FP32},
                              {expected, n, row, PRECISION_FP32}};
        if (scratch)
            cpu.encode.attention(queue, at[3], at[0], at[1], at[2], 1, c->queries, c->keys,
                                 c->heads, c->width, false, NULL, scratch);
        st = scratch ? cpu.mem.wait(queue, err) : fail(err, ERR_MEMORY, "out of memory");
    }
    if (st == OK) ops->mem.to_host(seen.queue, narrow, c->to.data, 2 * n);
    if (st == OK) st = ops->mem.wait(seen.queue, err);
    if (st == OK) dtype_to_f32(found, narrow, type, false, n);
    for (int64_t i = 0; st == OK && i < n; i++) {
        off += pow((double)found[i] - (double)expected[i], 2.0);
        size += pow((double)expected[i], 2.0);
    }
    if (st == OK && !(off <= limit * limit * size))
        st = fail(err, ERR_DEVICE,
                  "attention of %lld tokens, width %lld: %.2g from the CPU's, limit %.2g",
                  (long long)c->keys, (long long)c->width, sqrt(off / size), limit);
    if (queue) cpu.mem.queue_close(queue);
    if (cpu.device) ops_close(&cpu);
    free(found), free(expected), free(narrow), free(scratch);
    return st;
}

/* Measures one length and width. */
static Status one_attention(const Ops *ops, int64_t tokens, int64_t T, int64_t width,
                            Precision precision, Judge *judge, int repeats, Error *err) {
    const int64_t heads = 1024 / width, row = heads * width, B = most(1, tokens / T), n = T * row;
    Buffer memory = {0}, scratch = {0};
    double sum = 0.0;
    float *host = random_floats(3 * n, 1.0f, 1);
    uint16_t *narrow = malloc((size_t)(3 * n) * sizeof *narrow);
    Status st = host && narrow ? ops->mem.alloc(ops->device, &memory, 8 * B * n, err)
                               : fail(err, ERR_MEMORY, "out of memory");
    if (st == OK)
        st = ops->mem.alloc(ops->device, &scratch, ops->encode.scratch_bytes(ops->device, row, T),
                            err);
    for (int64_t i = 0; st == OK && i < 3 * n; i++)
        narrow[i] = precision == PRECISION_FP16 ? f16_from_f32(host[i]) : bf16_from_f32(host[i]);
    if (st == OK)
        dtype_to_f32(host, narrow, precision == PRECISION_FP16 ? DTYPE_F16 : DTYPE_BF16, false,
                     3 * n);
    uint16_t *x = memory.data;
    for (int64_t b = 0; st == OK && b < B; b++)
        for (int part = 0; st == OK && part < 3; part++)
            st = ops->mem.to_device(seen.queue, x + (part * B + b) * n, narrow + part * n, 2 * n);
    seen.paper.count = 0;
    seen.paper.noting = true;
    const Tokens at[4] = {{x, n, row, precision},
                          {x + B * n, n, row, precision},
                          {x + 2 * B * n, n, row, precision},
                          {x + 3 * B * n, n, row, precision}};
    if (st == OK)
        st = see_attention(seen.queue, at[3], at[0], at[1], at[2], B, T, T, heads, width, false,
                           NULL, scratch.data);
    seen.paper.noting = false;
    if (st == OK) st = check_attention(ops, &seen.call[0], host, precision, ops->threads, err);
    if (st == OK) st = measure(judge, ops, 0, repeats, precision, &sum, &sum, err);
    ops->mem.free(ops->device, &memory);
    ops->mem.free(ops->device, &scratch);
    free(host), free(narrow);
    return st;
}

static Status of_attention(const Ops *ops, int64_t tokens, Precision precision, int repeats,
                           Error *err) {
    static const int lengths[] = {50, 197, 257, 577, 1370, 1374}, widths[] = {64, 72, 96, 128};
    Judge judge = {0};
    Queue *queue = NULL;
    Status st = ops->mem.queue_open(ops->device, &queue, err);
    seen.queue = queue;
    if (st == OK) st = judge_open(&judge, ops, queue, repeats, err);
    for (int t = 0; t < 6; t++)
        for (int w = 0; st == OK && w < 4; w++)
            if (lengths[t] <= tokens)
                st = one_attention(ops, tokens, lengths[t], widths[w], precision, &judge, repeats,
                                   err);
    gpu_clock_close(judge.clock);
    if (queue) ops->mem.queue_close(queue);
    return st;
}

int main(int argc, char **argv) {
    const bool alone = argc > 1 && strcmp(argv[1], "attention") == 0;
    const int64_t size = argument(argc, argv, 2, 1 << 20);
    const int repeats = (int)argument(argc, argv, 3, MAX_REPEATS), device = alone ? 5 : 6;
    Ops ops;
    Error err = {0};
    Precision precision = PRECISION_FP32;
    if (argc < device || argc > device + 1 || !size || !repeats) {
        fputs("usage: bench-layers WEIGHTS BATCH REPEATS fp32|fp16|bf16 FOLDER [cuda]\n"
              "       bench-layers attention TOKENS REPEATS fp16|bf16 [cuda]\n",
              stderr);
        return 2;
    }
    Status st = ops_open(&ops, argc > device ? argv[device] : "cuda", 0, NULL, &err);
    if (st == OK) {
        st = encoder_precision(&precision, argv[4], &ops, &err);
        if (st == OK && strncmp(ops.kind, "cuda", 4) != 0)
            st = fail(&err, ERR_USAGE, "layers are timed on a GPU");
        if (st == OK && alone && precision == PRECISION_FP32)
            st = fail(&err, ERR_USAGE, "attention alone is timed in fp16 or bf16");
        if (st != OK) ops_close(&ops);
    }
    if (st == OK) {
        seen.real = ops.encode;
        st = paper_open(&seen.ops, &seen.paper, &err);
        if (st == OK) st = seen.ops.mem.queue_open(seen.ops.device, &seen.paper_queue, &err);
        if (st == OK)
            st = alone ? of_attention(&ops, size, precision, repeats, &err)
                       : of_encoder(&ops, argv[1], size, precision, argv[5], repeats, &err);
        if (seen.paper_queue) seen.ops.mem.queue_close(seen.paper_queue);
        ops_close(&seen.ops);
        ops_close(&ops);
    }
    if (st != OK) fprintf(stderr, "bench-layers: %s\n", err.text);
    return st != OK;
}
