/* encoders.c - seconds per batch of an image encoder.
 * usage: bench-encoders WEIGHTS BATCH THREADS REPEATS FOLDER [fp32|bf16|fp16 [cpu|cuda]]
 * Prints a row, as reference/encoders_*.py do. With float32 FOLDER receives images.npy (B,side,side,3) and features.npy
 * (B,d), by which all others check their features, those of 16 bits among them.
 *
 * On a GPU pictures are bytes in host memory, and batches follow each other as those of `turtle features` do: a batch is
 * enqueued before the last one's features are there. float32's features are compared with the CPU's first. The row's
 * peak is that of the matrix units, measured by the same process; `predicted` is the rate of kernels/plan/model_encode.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/programs/bench.h"
#include "bench/programs/gpu.h"
#include "bench/programs/pictures.h"
#include "io/arrays/npy.h"
#include "kernels/plan/model_encode.h"

typedef struct {
    Encoder *encoder;
    float *images, *features;
    int64_t B;
    Status status;
    Error error;
} Images;

static void run_batch(void *context) {
    Images *b = context;
    if (b->status == OK)
        b->status = encoder_run_images(b->encoder, b->features, b->images, b->B, &b->error);
}

static Status write_arrays(const char *folder, Images *b, int64_t side) {
    char path[4096];
    snprintf(path, sizeof path, "%s/images.npy", folder);
    Status st =
        npy_write(path, DTYPE_F32, 4, (int64_t[]){b->B, side, side, 3}, b->images, &b->error);
    if (st != OK) return st;
    snprintf(path, sizeof path, "%s/features.npy", folder);
    return npy_write(path, DTYPE_F32, 2, (int64_t[]){b->B, encoder_features(b->encoder)},
                     b->features, &b->error);
}

/* Names the row's case and program. They live until the next call. */
static Row row_of(const Ops *ops, const char *weights, Precision precision, int64_t B,
                  int repeats) {
    static const char *const cases[] = {"", " fp16", " bf16"};
    static char program[128], stem[64];
    const char *slash = strrchr(weights, '/'), *name = slash ? slash + 1 : weights;
    snprintf(program, sizeof program, "turtle, %s", ops->name);
    snprintf(stem, sizeof stem, "%.*s%s", (int)strcspn(name, "."), name, cases[precision]);
    return (Row){.what = stem,
                 .program = program,
                 .threads = ops->threads,
                 .work = (double)B,
                 .unit = "images/s",
                 .repeats = repeats};
}

static Status measure(const Ops *ops, const char *weights, const char *folder, Precision precision,
                      Images *b, int repeats) {
    const double start = seconds_now();
    b->status = encoder_open(&b->encoder, ops, weights,
                             &(EncoderOptions){.batch = b->B, .precision = precision}, &b->error);
    if (b->status != OK) return b->status;
    Row row = row_of(ops, weights, precision, b->B, repeats);
    row.open_s = seconds_now() - start;
    int resize, side;
    encoder_image_size(b->encoder, &resize, &side);
    b->images = random_floats(b->B * 3 * side * side, 1.7f, 0);
    b->features = malloc((size_t)(b->B * encoder_features(b->encoder)) * sizeof *b->features);
    if (!b->images || !b->features) b->status = fail(&b->error, ERR_MEMORY, "out of memory");
    run_batch(b);
    if (b->status == OK)
        b->status = precision ? pictures_check(b->features, b->B * encoder_features(b->encoder),
                                               precision, folder, &b->error)
                              : write_arrays(folder, b, side);
    if (b->status == OK) row_measure(&row, run_batch, b);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    row.peak_mib = (int)(usage.ru_maxrss / 1024);
    if (b->status == OK) row_print(&row);
    free(b->images);
    free(b->features);
    encoder_close(b->encoder);
    return b->status;
}

/* --- a GPU ------------------------------------------------------------------------------------ */

/* Measures the seconds from the end of one batch to that of the next, which was enqueued before. */
static Status time_batches(Pictures *b, Row *row, Error *err) {
    enum { WARM = 2 };
    const int64_t n = pictures_features(b);
    const int batches = WARM + row->repeats;
    int64_t mark[2];
    double last = 0.0;
    Status st = OK;
    for (int i = 0; st == OK && i <= batches; i++) {
        if (i < batches)
            st = encoder_start(b->encoder, b->features + i % 2 * n, b->pixels, b->B, &mark[i % 2],
                               err);
        if (st == OK && i > 0) st = encoder_reach(b->encoder, mark[(i - 1) % 2], err);
        const double now = seconds_now();
        if (i > WARM) row->seconds[i - 1 - WARM] = now - last;
        last = now;
    }
    return st;
}

/* Fills in what the row is compared with: the flops of a batch, the peak and the prediction, both in images/s. */
static Status predict(Row *row, const Ops *ops, const char *weights, const Pictures *b,
                      Error *err) {
    static Paper paper;
    GpuPeaks peaks;
    PlanDevice device;
    const Status st = pictures_note(&paper, weights, b->B, b->precision, err);
    if (st != OK) return st;
    row->flops = paper_flops(&paper);
    if (planned_device(&device, ops)) row->predicted = row->work / model_batch_s(&device, &paper);
    if (!gpu_peaks(&peaks)) return fail(err, ERR_DEVICE, "the roofs could not be measured");
    row->peak = row->work / row->flops * 1e9 *
                (b->precision == PRECISION_FP16   ? peaks.fp16
                 : b->precision == PRECISION_BF16 ? peaks.bf16
                                                  : peaks.fp32);
    return OK;
}

static Status measure_gpu(const Ops *ops, const char *weights, const char *folder,
                          Precision precision, int64_t B, int repeats, Error *err) {
    Pictures b;
    Row row = row_of(ops, weights, precision, B, repeats);
    row.threads = 1; /* of the host, beside the GPU: as the rows of PyTorch have it */
    Status st = pictures_open(&b, ops, weights, B, precision, err);
    if (st == OK) st = encoder_run(b.encoder, b.features, b.pixels, B, err);
    if (st == OK && !precision) st = pictures_check_cpu(&b, weights, ops->threads, err);
    if (st == OK && !precision) st = pictures_write(&b, folder, err);
    if (st == OK && precision)
        st = pictures_check(b.features, pictures_features(&b), precision, folder, err);
    if (st == OK) st = predict(&row, ops, weights, &b, err);
    if (st == OK) st = time_batches(&b, &row, err);
    if (st == OK) row_print(&row);
    pictures_close(&b);
    return st;
}

int main(int argc, char **argv) {
    Ops ops;
    Images batch = {.B = argument(argc, argv, 2, 4096)};
    const int threads = (int)argument(argc, argv, 3, 1024),
              repeats = (int)argument(argc, argv, 4, MAX_REPEATS);
    Precision precision;
    if (argc < 6 || argc > 8 || !batch.B || !threads || !repeats) {
        fputs("usage: bench-encoders WEIGHTS BATCH THREADS REPEATS FOLDER [fp32|bf16|fp16 "
              "[cpu|cuda]]\n",
              stderr);
        return 2;
    }
    batch.status = ops_open(&ops, argc > 7 ? argv[7] : "cpu", threads, NULL, &batch.error);
    if (batch.status == OK) {
        batch.status =
            encoder_precision(&precision, argc > 6 ? argv[6] : "fp32", &ops, &batch.error);
        if (batch.status == OK && strncmp(ops.kind, "cuda", 4) == 0)
            batch.status =
                measure_gpu(&ops, argv[1], argv[5], precision, batch.B, repeats, &batch.error);
        else if (batch.status == OK) measure(&ops, argv[1], argv[5], precision, &batch, repeats);
        ops_close(&ops);
    }
    if (batch.status != OK) fprintf(stderr, "bench-encoders: %s\n", batch.error.text);
    return batch.status != OK;
}
