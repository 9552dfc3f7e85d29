/* encoders.c - seconds per batch of an image encoder, one JSON object.
 * usage: bench-encoders WEIGHTS BATCH THREADS REPEATS
 * The same object as bench/reference/encoders_torch.py prints; bench/run puts both side by side. */
#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

#include "../host/encoder.h"
#include "../kernels/philox.h"

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Random images (B,side,side,3) of mean 0. */
static float *random_images(int64_t count) {
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; x && i < count; i++)
        x[i] = philox_uniform(philox_at(2, 14, 0, 0, (uint64_t)i / 4).word[i % 4], 1.7f);
    return x;
}

static Status measure(const Ops *ops, const char *weights, int64_t B, int repeats, Error *err) {
    Encoder *e;
    int resize, side;
    Status st = encoder_open(&e, ops, weights, &(EncoderOptions){.batch = B}, err);
    if (st != OK) return st;
    encoder_image_size(e, &resize, &side);
    float *images = random_images(B * 3 * side * side),
          *features = malloc((size_t)(B * encoder_features(e)) * sizeof *features);
    if (!images || !features) st = fail(err, ERR_MEMORY, "bench: out of memory");
    if (st == OK) st = encoder_run_images(e, features, images, B, err); /* warms up */
    printf("{\"program\": \"turtle, %s\", \"threads\": %d, \"batch\": %lld, \"seconds\": [",
           ops->name, ops->threads, (long long)B);
    for (int i = 0; st == OK && i < repeats; i++) {
        const double start = now();
        st = encoder_run_images(e, features, images, B, err);
        printf("%s%.6f", i ? ", " : "", now() - start);
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("], \"peak_mib\": %.0f}\n", (double)usage.ru_maxrss / 1024.0);
    free(images);
    free(features);
    encoder_close(e);
    return st;
}

int main(int argc, char **argv) {
    Ops ops;
    Error err;
    const long B = argc == 5 ? strtol(argv[2], NULL, 10) : 0,
               threads = argc == 5 ? strtol(argv[3], NULL, 10) : 0,
               repeats = argc == 5 ? strtol(argv[4], NULL, 10) : 0;
    if (B < 1 || B > 4096 || threads < 1 || threads > 1024 || repeats < 1 || repeats > 1000) {
        fputs("usage: bench-encoders WEIGHTS BATCH THREADS REPEATS\n", stderr);
        return 2;
    }
    Status st = ops_open(&ops, "cpu", (int)threads, NULL, &err);
    if (st == OK) {
        st = measure(&ops, argv[1], B, (int)repeats, &err);
        ops_close(&ops);
    }
    if (st != OK) fprintf(stderr, "bench-encoders: %s\n", err.text);
    return st != OK;
}
