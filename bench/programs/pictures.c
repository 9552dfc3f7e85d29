/* pictures.c - see pictures.h. */
#include "bench/programs/pictures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/programs/bench.h"
#include "io/arrays/npy.h"
#include "io/sizes.h"
#include "kernels/philox.h"

enum { CHECKED = 2 }; /* pictures that the CPU encodes, too */

static bool takes_floats(const Encoder *e) {
    return encoder_known(e)->rule.weights == RESIZE_FLOATS;
}

int64_t pictures_features(const Pictures *b) {
    return b->B * encoder_features(b->encoder);
}

/* Draws pixels: bytes, or the floats of the same bytes. */
static void draw(void *pixels, int64_t n, bool floats) {
    float *x = pixels;
    uint8_t *bytes = pixels;
    for (int64_t i = 0; i < n; i += 16) {
        const Philox words = philox_at(5, 14, 0, 0, (uint64_t)i / 16);
        for (int64_t j = i; j < n && j < i + 16; j++) {
            const uint8_t byte = (uint8_t)(words.word[(j - i) / 4] >> (j - i) % 4 * 8);
            if (floats) x[j] = (float)byte / 255.0f;
            else bytes[j] = byte;
        }
    }
}

Status pictures_open(Pictures *out, const Ops *ops, const char *weights, int64_t B,
                     Precision precision, Error *err) {
    int resize;
    Pictures *b = out;
    *b = (Pictures){.B = B, .precision = precision};
    const EncoderOptions options = {.batch = B, .precision = precision};
    const Status st = encoder_open(&b->encoder, ops, weights, &options, err);
    if (st != OK) return st;
    if (encoder_batch(b->encoder) < B)
        return fail(err, ERR_MEMORY, "%s: memory for %lld pictures at a time alone", weights,
                    (long long)encoder_batch(b->encoder));
    encoder_image_size(b->encoder, &resize, &b->side);
    const int64_t n = B * 3 * b->side * b->side;
    const bool floats = takes_floats(b->encoder);
    b->pixels = malloc((size_t)n * (floats ? sizeof(float) : 1));
    b->features = calloc((size_t)(2 * pictures_features(b)), sizeof *b->features);
    if (!b->pixels || !b->features) return fail(err, ERR_MEMORY, "out of memory");
    draw(b->pixels, n, floats);
    return OK;
}

void pictures_close(Pictures *b) {
    free(b->pixels);
    free(b->features);
    encoder_close(b->encoder);
    *b = (Pictures){0};
}

/* --- checks ----------------------------------------------------------------------------------- */

/* Fails unless |found - expected| <= limit |expected|; what is not finite fails. */
static Status compare(const float *found, const float *expected, int64_t n, double limit,
                      const char *whose, Error *err) {
    double difference = 0.0, size = 0.0;
    for (int64_t i = 0; i < n; i++) {
        difference += pow((double)found[i] - (double)expected[i], 2.0);
        size += pow((double)expected[i], 2.0);
    }
    if (size > 0.0 && difference <= limit * limit * size) return OK;
    return fail(err, ERR_FORMAT, "features differ from %s by %.3g of their size, limit %.3g", whose,
                sqrt(difference / size), limit);
}

Status pictures_check_cpu(const Pictures *b, const char *weights, int threads, Error *err) {
    Ops cpu = {0};
    Encoder *e = NULL;
    const int64_t n = least(b->B, CHECKED), d = encoder_features(b->encoder);
    float *expected = malloc((size_t)(n * d) * sizeof *expected);
    Status st = expected ? ops_open(&cpu, "cpu", threads, NULL, err)
                         : fail(err, ERR_MEMORY, "out of memory");
    if (st == OK) st = encoder_open(&e, &cpu, weights, &(EncoderOptions){.batch = n}, err);
    if (st == OK) st = encoder_run(e, expected, b->pixels, n, err);
    if (st == OK) st = compare(b->features, expected, n * d, 1e-4, "the CPU's", err);
    encoder_close(e);
    if (cpu.device) ops_close(&cpu);
    free(expected);
    return st;
}

Status pictures_write(const Pictures *b, const char *folder, Error *err) {
    const EncoderFacts *facts = encoder_known(b->encoder);
    const bool floats = takes_floats(b->encoder);
    const int64_t side = b->side, n = b->B * 3 * side * side;
    char path[4096];
    float *images = malloc((size_t)n * sizeof *images);
    if (!images) return fail(err, ERR_MEMORY, "out of memory");
    for (int64_t i = 0; i < n; i++) {
        const float x =
            floats ? ((float *)b->pixels)[i] : (float)((uint8_t *)b->pixels)[i] / 255.0f;
        images[i] = (x - facts->mean[i % 3]) / facts->std[i % 3];
    }
    snprintf(path, sizeof path, "%s/images.npy", folder);
    Status st = npy_write(path, DTYPE_F32, 4, (int64_t[]){b->B, side, side, 3}, images, err);
    free(images);
    if (st != OK) return st;
    snprintf(path, sizeof path, "%s/features.npy", folder);
    return npy_write(path, DTYPE_F32, 2, (int64_t[]){b->B, encoder_features(b->encoder)},
                     b->features, err);
}

/* Features of random weights in 16 bits are off by 8e-4 (fp16) and 6.4e-3 (bf16) of their size at most
 * (kernels/README.md); in float32 those of SigLIP 2 so400m/14 are 8.6e-7 from PyTorch's. The limits leave room for
 * deeper encoders; a wrong layer is off by the size of the features. */
Status pictures_check(const float *features, int64_t n, Precision precision, const char *folder,
                      Error *err) {
    static const double limits[] = {
        [PRECISION_FP32] = 1e-4, [PRECISION_FP16] = 0.02, [PRECISION_BF16] = 0.1};
    char path[4096];
    Npy npy;
    snprintf(path, sizeof path, "%s/features.npy", folder);
    Status st = npy_open(&npy, path, err);
    if (st != OK) return st;
    float *expected = malloc((size_t)n * sizeof *expected);
    if (!expected) st = fail(err, ERR_MEMORY, "out of memory");
    else if (npy.count != n) st = fail(err, ERR_FORMAT, "%s: other features", path);
    else st = npy_read_f32(&npy, 0, n, expected, err);
    if (st == OK) st = compare(features, expected, n, limits[precision], "float32's", err);
    free(expected);
    npy_close(&npy);
    return st;
}

/* --- the prediction --------------------------------------------------------------------------- */

Status pictures_note(Paper *out, const char *weights, int64_t B, Precision precision, Error *err) {
    const EncoderOptions options = {.batch = B, .precision = precision};
    Ops ops = {0};
    Encoder *e = NULL;
    void *pixels = NULL;
    int resize, side;
    int64_t mark;
    Status st = paper_open(&ops, out, err);
    if (st == OK) st = encoder_open(&e, &ops, weights, &options, err);
    if (st == OK) {
        encoder_image_size(e, &resize, &side);
        pixels = calloc((size_t)(3 * B * side * side), sizeof(float));
        if (!pixels) st = fail(err, ERR_MEMORY, "out of memory");
    }
    out->noting = true;
    if (st == OK) st = encoder_start(e, NULL, pixels, B, &mark, err);
    free(pixels);
    encoder_close(e);
    if (ops.device) ops_close(&ops);
    return st;
}

double paper_flops(const Paper *paper) {
    double flops = 0.0;
    for (int i = 0; i < paper->count; i++)
        flops += (double)paper->launch[i].times * paper->launch[i].flops;
    return flops;
}

bool planned_device(PlanDevice *out, const Ops *ops) {
    CudaDevice devices[CUDA_MAX_DEVICES];
    char versions[128];
    const int n = cuda_devices(devices, versions, NULL);
    const int at = (int)strtol(strncmp(ops->kind, "cuda:", 5) == 0 ? ops->kind + 5 : "0", NULL, 10);
    if (at < 0 || at >= n) return false;
    *out = plan_device_like(devices[at].sms, devices[at].shared_per_block, devices[at].capability);
    return true;
}
