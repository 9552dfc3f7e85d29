/* training.c - seconds of whole outer iterations, from the batch's rows to the task's Adam step.
 * usage: bench-training N B C D[,D...] T THREADS REPEATS [PRECISION [DEVICE [TIER [WARMUP]]]]
 *     REPEATS     one is T iterations
 *     PRECISION   fp32, tf32 (on a GPU), fp16, bf16
 *     DEVICE      cpu, or cuda[:0]: timed by the GPU's clock, iterations behind one another
 *     TIER        auto, unfused, fused, mega
 *     WARMUP      iterations before the timed ones, 1 if not given
 * reference/turtle_torch.py prints the same row. For a GPU the program also prints, on stderr, the
 * model's prediction (kernels/plan/model.h) for --inner mega and how much of it was measured. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/programs/bench.h"
#include "bench/programs/gpu.h"
#include "host/train/train.h"
#include "kernels/plan/model.h"

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

/* Measures the seconds of each repeat by the GPU's clock, with iterations enqueued behind one
 * another. */
static Status time_gpu(Run *r, Row *row, int warmup) {
    GpuClock *clock = gpu_clock_open(r->train.queue, row->repeats + 1);
    if (!clock) return r->status = fail(&r->error, ERR_DEVICE, "no clock");
    for (int i = 0; i < warmup; i++) iterate(r);
    if (r->status == OK) r->status = r->train.ops->mem.wait(r->train.queue, &r->error);
    gpu_clock_mark(clock, 0);
    for (int i = 0; i < row->repeats; i++) {
        iterate(r);
        gpu_clock_mark(clock, i + 1);
    }
    if (r->status == OK) r->status = r->train.ops->mem.wait(r->train.queue, &r->error);
    for (int i = 0; r->status == OK && i < row->repeats; i++)
        row->seconds[i] = gpu_clock_between(clock, i, i + 1);
    gpu_clock_close(clock);
    return r->status;
}

/* Prints the time of each launch, from some more iterations under the profile, which places events
 * around each kernel instead of replaying a graph. */
static void print_launches(Run *r, const Model *model) {
    enum { ROWS = 64, ITERATIONS = 20 };
    static ProfileRow rows[ROWS];
    const DeviceOps *mem = &r->train.ops->mem;
    double measured[MODEL_MAX_PHASES] = {0.0};
    r->status = mem->profile(r->train.ops->device, &r->error);
    for (int i = 0; r->status == OK && i < ITERATIONS; i++)
        r->status = train_iteration(&r->train, &r->error);
    if (r->status == OK) r->status = mem->wait(r->train.queue, &r->error);
    if (r->status != OK) return;
    const int n = mem->profile_rows(r->train.ops->device, rows, ROWS);
    for (int i = 0; i < n && i < ROWS; i++) {
        const int phase = model_phase_of(model, rows[i].kernel);
        if (phase >= 0) measured[phase] += 1e3 * rows[i].total_ms / ITERATIONS;
        else fprintf(stderr, "    %s: in no phase of the model\n", rows[i].kernel);
    }
    for (int i = 0; i < model->count; i++) {
        const double predicted = 1e6 * model_launch_s(model, i);
        if (model->phase[i].kernels)
            fprintf(stderr, "    %-24s predicted %8.2f us, measured %8.2f: %.2f\n",
                    model->phase[i].name, predicted, measured[i], measured[i] / predicted);
    }
}

/* Prints on stderr, beside the measured time, the prediction of kernels/plan/model.h for this
 * device. */
static void print_prediction(Run *r, const Ops *ops, const TrainConfig *config, const Row *row) {
    CudaDevice devices[CUDA_MAX_DEVICES];
    char versions[128];
    PlanSpace spaces[PLAN_MAX_SPACES];
    Plan plan;
    Model model;
    const ModelRun of = {.M = config->M,
                         .type = config->operands,
                         .tf32 = config->tf32,
                         .feature_bytes = dtype_bytes(config->features[0]->type),
                         .warm_start = config->warm_start,
                         .by_parts = config->tier != INNER_AUTO};
    const int n = cuda_devices(devices, versions, NULL);
    const int at = (int)strtol(strncmp(ops->kind, "cuda:", 5) == 0 ? ops->kind + 5 : "0", NULL, 10);
    if (at < 0 || at >= n || config->K > PLAN_MAX_SPACES) return;
    const PlanDevice device =
        plan_device_like(devices[at].sms, devices[at].shared_per_block, devices[at].capability);
    for (int k = 0; k < config->K; k++)
        spaces[k] = (PlanSpace){config->B, config->C, config->features[k]->d};
    if (plan_inner(&plan, &device, spaces, config->K, of.type, of.tf32, NULL) != OK) return;
    model_iteration(&model, &device, &plan, &of);
    const double measured = row_median(row) / (double)r->T;
    fprintf(stderr,
            "%s: predicted %.4f ms an iteration (%s, %.0f launches), measured %.4f: %.2f times "
            "the prediction\n",
            row->what, 1e3 * model.seconds, plan_form_name(plan.form), model.launches,
            1e3 * measured, measured / model.seconds);
    print_launches(r, &model);
}

/* Checks that the timed iterations trained. */
static Status check_losses(Run *r) {
    TrainLosses losses;
    if (r->status == OK) r->status = train_losses(&r->train, &losses, &r->error);
    if (r->status == OK && !(isfinite(losses.loss) && isfinite(losses.entropy)))
        r->status = fail(&r->error, ERR_DEVICE, "training: loss %g, entropy %g: not finite",
                         losses.loss, losses.entropy);
    return r->status;
}

static Status measure(Run *r, const Ops *ops, const TrainConfig *config, const char *names,
                      int warmup, Row *row) {
    static char program[160]; /* the row keeps it */
    const bool on_gpu = strncmp(ops->kind, "cuda", 4) == 0;
    double features = 0.0;
    for (int k = 0; k < config->K; k++) features += (double)config->features[k]->d;
    snprintf(program, sizeof program, "turtle%s, %s", names, ops->name);
    row->program = program;
    /* (4M + 6) B d C per space (kernels/README.md) */
    row->work = 1e-9 * (4.0 * (double)config->M + 6.0) * (double)config->B * (double)config->C *
                features * (double)r->T;
    r->status = train_open(&r->train, ops, config, &r->error);
    if (r->status != OK) return r->status;
    if (on_gpu) time_gpu(r, row, warmup);
    else row_measure(row, iterate, r);
    check_losses(r);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    if (!on_gpu) row->peak_mib = (int)(usage.ru_maxrss / 1024);
    if (r->status == OK) row_print(row);
    if (r->status == OK && on_gpu && !ops->emulated) print_prediction(r, ops, config, row);
    train_close(&r->train);
    return r->status;
}

/* Converts features in place: the first half of their memory then holds them as float16, the type
 * of CLIP's features in files. */
static void narrow(Features *f) {
    const float *x = f->data;
    uint16_t *h = (uint16_t *)f->data;
    for (int64_t i = 0; i < f->N * f->d; i++) { /* i is written after it was read: 2 i <= 4 i */
        const uint16_t half = f16_from_f32(x[i]);
        memcpy(h + i, &half, sizeof half);
    }
    f->type = DTYPE_F16;
}

/* Draws features at random for each dimension of a list like "768,1024". Returns how many spaces
 * there are; 0 if the text is no such list. */
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

/* Returns argv[i] as an index into a list that ends with NULL: 0 where it is not given, -1 where
 * the list lacks it. */
static int choice(int argc, char **argv, int i, const char *const *names) {
    if (i >= argc) return 0;
    for (int n = 0; names[n]; n++)
        if (strcmp(argv[i], names[n]) == 0) return n;
    return -1;
}

int main(int argc, char **argv) {
    static const char *const precisions[] = {"fp32", "tf32", "fp16", "bf16", NULL};
    static const DType operands[] = {DTYPE_F32, DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const char *const tiers[] = {"auto", "unfused", "fused", "mega", NULL};
    static const InnerTier inner[] = {INNER_AUTO, INNER_UNFUSED, INNER_FUSED, INNER_MEGA};
    Ops ops;
    static Run run;
    static Row row;
    Features features[MAX_SPACES];
    static char what[128], names[32];
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
    const int precision = choice(argc, argv, 8, precisions), tier = choice(argc, argv, 10, tiers);
    const char *device = argc > 9 ? argv[9] : "cpu";
    const int warmup = argc > 11 ? (int)argument(argc, argv, 11, 1 << 20) : 1;
    if (argc < 8 || argc > 12 || !N || !config.B || config.C < 2 || !run.T || !threads ||
        !row.repeats || precision < 0 || tier < 0 || !warmup ||
        (config.K = random_spaces(features, argv[4], N)) < 1) {
        fputs("usage: bench-training N B C D[,D...] T THREADS REPEATS [fp32|tf32|fp16|bf16 "
              "[cpu|cuda [auto|unfused|fused|mega [WARMUP]]]]\n",
              stderr);
        return 2;
    }
    const bool on_gpu = strcmp(device, "cpu") != 0;
    if (precision == 1 && !on_gpu) {
        fputs("bench-training: tf32: on a GPU only\n", stderr);
        return 2;
    }
    config.operands = operands[precision];
    config.tf32 = precision == 1;
    config.tier = inner[tier];
    snprintf(names, sizeof names, "%s%s%s%s", tier ? " " : "", tier ? tiers[tier] : "",
             precision || on_gpu ? " " : "", precision || on_gpu ? precisions[precision] : "");
    snprintf(what, sizeof what, "outer B %s C %s d %s%s%s", argv[2], argv[3], argv[4],
             run.T > 1 ? " T " : "", run.T > 1 ? argv[5] : "");
    for (int k = 0; k < config.K; k++) {
        if (on_gpu && operands[precision] == DTYPE_F16) narrow(&features[k]);
        config.features[k] = &features[k];
    }
    if (!on_gpu) row.peak = fma_peak(threads);
    run.status = ops_open(&ops, device, threads, NULL, &run.error);
    if (run.status == OK) {
        measure(&run, &ops, &config, names, warmup, &row);
        ops_close(&ops);
    }
    for (int k = 0; k < config.K; k++) free((void *)features[k].data);
    if (run.status != OK) fprintf(stderr, "bench-training: %s\n", run.error.text);
    return run.status != OK;
}
