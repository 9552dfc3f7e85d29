/* encoders.c - seconds per batch of an image encoder.
 * usage: bench-encoders WEIGHTS BATCH THREADS REPEATS [FOLDER]
 * Prints a row, as reference/encoders_*.py do. FOLDER receives images.npy (B,side,side,3) and features.npy (B,d), by
 * which the others check their own features. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "host/encode/encoder.h"
#include "io/arrays/npy.h"
#include "bench/programs/bench.h"

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

/* Writes the images and their features; `folder` NULL: nowhere. */
static Status hand_over(const char *folder, const Images *b, int64_t side, Error *err) {
    char path[4096];
    if (!folder) return OK;
    snprintf(path, sizeof path, "%s/images.npy", folder);
    Status st = npy_write(path, DTYPE_F32, 4, (int64_t[]){b->B, side, side, 3}, b->images, err);
    if (st != OK) return st;
    snprintf(path, sizeof path, "%s/features.npy", folder);
    return npy_write(path, DTYPE_F32, 2, (int64_t[]){b->B, encoder_features(b->encoder)},
                     b->features, err);
}

static Status measure(const Ops *ops, const char *weights, const char *folder, Images *b,
                      int repeats) {
    b->status =
        encoder_open(&b->encoder, ops, weights, &(EncoderOptions){.batch = b->B}, &b->error);
    if (b->status != OK) return b->status;
    const char *slash = strrchr(weights, '/');
    char program[128], stem[64];
    int resize, side;
    snprintf(program, sizeof program, "turtle, %s", ops->name);
    snprintf(stem, sizeof stem, "%s", slash ? slash + 1 : weights);
    stem[strcspn(stem, ".")] = '\0';
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
    else row_measure(&row, run_batch, b);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    row.peak_mib = (int)(usage.ru_maxrss / 1024);
    if (b->status == OK) b->status = hand_over(folder, b, side, &b->error);
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
    if (argc < 5 || argc > 6 || !batch.B || !threads || !repeats) {
        fputs("usage: bench-encoders WEIGHTS BATCH THREADS REPEATS [FOLDER]\n", stderr);
        return 2;
    }
    batch.status = ops_open(&ops, "cpu", threads, NULL, &batch.error);
    if (batch.status == OK) {
        measure(&ops, argv[1], argv[5], &batch, repeats); /* argv[argc] is NULL */
        ops_close(&ops);
    }
    if (batch.status != OK) fprintf(stderr, "bench-encoders: %s\n", batch.error.text);
    return batch.status != OK;
}
