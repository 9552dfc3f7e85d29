/* encoders.c - seconds per batch of an image encoder.
 * usage: bench-encoders WEIGHTS BATCH THREADS REPEATS FOLDER [fp32|bf16|fp16 [cpu|cuda]]
 * Prints a row, as reference/encoders_*.py do. With float32 FOLDER receives images.npy (B,side,side,3) and features.npy
 * (B,d), by which all others check their features, those of 16 bits among them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/programs/bench.h"
#include "host/encode/encoder.h"
#include "io/arrays/npy.h"

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

/* The largest ||found - expected|| / ||expected|| of features in bfloat16 and in float16. */
static const double limits[] = {[PRECISION_FP16] = 0.02, [PRECISION_BF16] = 0.1};

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

/* Compares the features with those that float32 left in the folder. */
static Status compare(const char *folder, Precision precision, Images *b) {
    const int64_t n = b->B * encoder_features(b->encoder);
    char path[4096];
    snprintf(path, sizeof path, "%s/features.npy", folder);
    Npy npy;
    Status st = npy_open(&npy, path, &b->error);
    if (st != OK) return st;
    float *expected = malloc((size_t)n * sizeof *expected);
    double difference = 0.0, size = 0.0;
    if (!expected) st = fail(&b->error, ERR_MEMORY, "out of memory");
    else if (npy.count != n) st = fail(&b->error, ERR_FORMAT, "%s: other features", path);
    else st = npy_read_f32(&npy, 0, n, expected, &b->error);
    for (int64_t i = 0; st == OK && i < n; i++) {
        difference += pow((double)b->features[i] - (double)expected[i], 2.0);
        size += pow((double)expected[i], 2.0);
    }
    if (st == OK && !(difference <= limits[precision] * limits[precision] * size))
        st = fail(&b->error, ERR_FORMAT, "features differ from float32's by %.3g of their size",
                  sqrt(difference / size));
    free(expected);
    npy_close(&npy);
    return st;
}

static Status measure(const Ops *ops, const char *weights, const char *folder, Precision precision,
                      Images *b, int repeats) {
    b->status = encoder_open(&b->encoder, ops, weights,
                             &(EncoderOptions){.batch = b->B, .precision = precision}, &b->error);
    if (b->status != OK) return b->status;
    const char *slash = strrchr(weights, '/');
    static const char *const cases[] = {"", " fp16", " bf16"};
    char program[128], stem[64];
    int resize, side;
    snprintf(program, sizeof program, "turtle, %s", ops->name);
    snprintf(stem, sizeof stem, "%.*s%s", (int)strcspn(slash ? slash + 1 : weights, "."),
             slash ? slash + 1 : weights, cases[precision]);
    Row row = {.what = stem,
               .program = program,
               .threads = ops->threads,
               .work = (double)b->B,
               .unit = "images/s",
               .repeats = repeats};
    encoder_image_size(b->encoder, &resize, &side);
    b->images = random_floats(b->B * 3 * side * side, 1.7f, 0);
    b->features = malloc((size_t)(b->B * encoder_features(b->encoder)) * sizeof *b->features);
    if (!b->images || !b->features) b->status = fail(&b->error, ERR_MEMORY, "out of memory");
    run_batch(b);
    if (b->status == OK)
        b->status = precision ? compare(folder, precision, b) : write_arrays(folder, b, side);
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

int main(int argc, char **argv) {
    Ops ops;
    Images batch = {.B = argument(argc, argv, 2, 4096)};
    const int threads = (int)argument(argc, argv, 3, 1024),
              repeats = (int)argument(argc, argv, 4, MAX_REPEATS);
    static const char *const names[] = {"fp32", "fp16", "bf16"};
    int precision = 0;
    while (precision < 3 && strcmp(argc > 6 ? argv[6] : "fp32", names[precision]) != 0) precision++;
    if (argc < 6 || argc > 8 || !batch.B || !threads || !repeats || precision == 3) {
        fputs("usage: bench-encoders WEIGHTS BATCH THREADS REPEATS FOLDER [fp32|bf16|fp16 "
              "[cpu|cuda]]\n",
              stderr);
        return 2;
    }
    batch.status = ops_open(&ops, argc > 7 ? argv[7] : "cpu", threads, NULL, &batch.error);
    if (batch.status == OK) {
        measure(&ops, argv[1], argv[5], (Precision)precision, &batch, repeats);
        ops_close(&ops);
    }
    if (batch.status != OK) fprintf(stderr, "bench-encoders: %s\n", batch.error.text);
    return batch.status != OK;
}
