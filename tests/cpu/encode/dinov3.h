/* dinov3.h - recorded files of DINOv3 and their features, for dinov3_test.c and dinov3_files_test.c. */
#ifndef TURTLE_TESTS_CPU_ENCODE_DINOV3_H
#define TURTLE_TESTS_CPU_ENCODE_DINOV3_H

#include "host/encode/encoder.h"
#include "io/files/gzip.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define MODERN "tests/goldens/encoders_modern/"
enum { PICTURES = 2 };

/* --- files ------------------------------------------------------------------------------------ */

/* Inflates the golden <from>.gz to <folder>/<name>. Returns the path, in fresh memory. */
static inline char *lay_out(const Bench *b, const char *from, const char *name) {
    FileMap map;
    uint8_t *bytes;
    int64_t count;
    Error err;
    char *packed = format_text(MODERN "%s.gz", from), *path = format_text("%s/%s", b->folder, name);
    ASSERT_OK(file_map(&map, packed, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &count, map.data, map.bytes, 1 << 24, packed, &err), err);
    write_bytes(path, bytes, (size_t)count);
    file_unmap(&map);
    free(bytes);
    free(packed);
    return path;
}

/* Writes `text` beside the weights. */
static inline void beside(const Bench *b, const char *name, const char *text) {
    char *path = format_text("%s/%s", b->folder, name);
    write_bytes(path, text, strlen(text));
    free(path);
}

/* Copies the configuration <from> of the goldens beside the weights, with its first `old` replaced. */
static inline void configure(const Bench *b, const char *from, const char *old, const char *new) {
    char text[4096], *path = format_text(MODERN "%s", from), *at;
    read_text(text, sizeof text, path);
    cr_assert(*text, "%s", path);
    free(path);
    if (!old) return beside(b, strrchr(from, '/') + 1, text);
    cr_assert((at = strstr(text, old)), "no %s", old);
    *at = '\0';
    char *changed = format_text("%s%s%s", text, new, at + strlen(old));
    beside(b, strrchr(from, '/') + 1, changed);
    free(changed);
}

/* --- encoders --------------------------------------------------------------------------------- */

/* Computes features (PICTURES,*d) of recorded pixels, in fresh memory. */
static inline Status encode(const Bench *b, const char *path, const EncoderOptions *options,
                            const char *model, int side, float **features, int64_t *d,
                            char said[2048], Error *err) {
    Encoder *e;
    char name[96];
    Status st = encoder_open(&e, &b->ops, path, options, err);
    if (st != OK) return st;
    *d = encoder_features(e);
    *features = malloc((size_t)(PICTURES * *d) * sizeof **features);
    snprintf(said, 2048, "%s", encoder_said(e));
    snprintf(name, sizeof name, "encoders_modern/dinov3_%s_%d_pixels.npy", model, side);
    cr_assert(encoder_known(e)->rule.crop == side, "%d", encoder_known(e)->rule.crop);
    const int64_t n = (int64_t)PICTURES * side * side * 3;
    const uint8_t *bytes = golden(name, DTYPE_U8, n);
    const bool floats = encoder_known(e)->rule.weights == RESIZE_FLOATS;
    float *scaled = malloc((size_t)n * sizeof *scaled);
    for (int64_t i = 0; i < n; i++) scaled[i] = (float)bytes[i] / 255.0f;
    st = encoder_run(e, *features, floats ? (const void *)scaled : bytes, PICTURES, err);
    free(scaled);
    encoder_close(e);
    return st;
}

/* Returns the class token's features alone of the 64 x 64 pictures. */
static inline float *class_features(const Bench *b, const char *path, const TurtleEncoder *given,
                                    const char *model, char said[2048]) {
    float *found = NULL;
    int64_t d;
    Error err;
    const EncoderOptions options = {.batch = PICTURES, .image_size = 64, .given = *given};
    ASSERT_OK(encode(b, path, &options, model, 64, &found, &d, said, &err), err);
    cr_assert(d == 128);
    return found;
}

static inline double largest_difference(const float *a, const float *b, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= worst)) worst = fabs((double)a[i] - b[i]);
    return worst;
}

static inline const float *recorded(const char *model, int side, const char *what, int64_t count) {
    char name[96];
    snprintf(name, sizeof name, "encoders_modern/dinov3_%s_%d_%s.npy", model, side, what);
    return golden(name, DTYPE_F32, count);
}

#endif
