/* encode_schedules_test.c - whole encoders, on the emulator: the same bits whatever the order of threads and streams. The
 * race builds run these tests too, each CUDA thread a fiber of ThreadSanitizer.
 *
 * Images are one patch, or one place behind all strides: a kernel's barriers are the same for more. */
#include "host/encode/picture.h"
#include "host/encode/text.h"
#include "tests/support/recorded_encoders.h"

/* Where ThreadSanitizer looks on, a switch of fibers takes 50 us: one schedule, one picture. */
static bool raced(void) {
    return getenv("TURTLE_TEST_SMALL") != NULL;
}

static int schedules(void) {
    return raced() ? 1 : getenv("TURTLE_TEST_FULL") ? 10 : 3;
}

enum { MOST_PICTURES = 2 };

/* Returns a picture of noise, of other sides than the encoder's. */
static Image noise(const ResizeRule *rule, int64_t number) {
    Image image = {NULL, 2 * rule->crop + 1, rule->crop + 3};
    const int64_t n = 3LL * image.width * image.height;
    uint32_t state = 12345 + (uint32_t)number;
    image.rgb = malloc((size_t)n);
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        image.rgb[i] = (uint8_t)(state >> 24);
    }
    return image;
}

static int64_t start(Encoder *e, float *features, int64_t k, bool whole) {
    const ResizeRule *rule = &encoder_known(e)->rule;
    Image image = noise(rule, k);
    Resizer resizer = {0};
    Error err;
    int64_t mark;
    uint8_t *pixels =
        malloc((size_t)most(whole ? encoder_picture_bytes(e) : 0, resize_bytes(rule)));
    const uint8_t *picture = pixels;
    for (int64_t j = 0; j < encoder_features(e); j++) features[j] = NAN;
    ASSERT_OK(whole ? picture_write(&resizer, pixels, &image, rule, &err)
                    : resize_image(&resizer, pixels, &image, rule, &err),
              err);
    ASSERT_OK(whole ? encoder_start_whole(e, features, &picture, 1, &mark, &err)
                    : encoder_start(e, features, pixels, 1, &mark, &err),
              err);
    resizer_free(&resizer);
    free(image.rgb);
    free(pixels); /* they are read before a start returns */
    return mark;
}

/* Encodes pictures one by one, all of them on their way at once: copies run beside kernels. The device resizes pictures
 * that come whole. */
static void encode_apart(Encoder *e, float *features, int64_t B, bool whole) {
    int64_t marks[MOST_PICTURES];
    Error err;
    for (int64_t k = 0; k < B; k++)
        marks[k] = start(e, features + k * encoder_features(e), k, whole);
    for (int64_t k = 0; k < B; k++) ASSERT_OK(encoder_reach(e, marks[k], &err), err);
}

static void judge_network(const Recorded *n, Precision precision, int64_t B) {
    enum { MOST = MOST_PICTURES * 144 };
    float first[MOST], again[MOST], whole[MOST];
    Bench b = cuda_bench();
    Error err;
    Encoder *e;
    char *path = lay_out(&b, n);
    const EncoderOptions options = {
        .image_size = n->least, .batch = 1, .precision = precision, .whole = true};
    for (int run = 0; run < schedules(); run++) {
        test_schedule(run);
        ASSERT_OK(encoder_open(&e, &b.ops, path, &options, &err), err);
        /* whole pictures take the kernels of the others, and two more: ThreadSanitizer looks at them alone */
        const bool device_resizes = encoder_picture_bytes(e) > 0;
        encode_apart(e, run ? again : first, B, raced() && device_resizes);
        for (int64_t i = 0; i < B * n->d; i++) cr_assert(isfinite(run ? again[i] : first[i]));
        if (run)
            cr_expect(memcmp(first, again, (size_t)(B * n->d) * 4) == 0,
                      "%s, precision %d: schedule %d has other bits", n->output, (int)precision,
                      run);
        if (device_resizes && !raced()) {
            encode_apart(e, whole, B, true);
            cr_expect(memcmp(first, whole, (size_t)(B * n->d) * 4) == 0,
                      "%s, precision %d, whole pictures: schedule %d has other bits", n->output,
                      (int)precision, run);
        }
        encoder_close(e);
    }
    free(path);
    bench_close(&b);
}

/* make test: the first encoder, under ThreadSanitizer in float16 alone. make test-full: all of them. */
static void judge_networks(Precision precision) {
    const bool full = getenv("TURTLE_TEST_FULL") != NULL;
    if (raced() && !full && precision != PRECISION_FP16) cr_skip_test("make test-full runs it");
    for (int i = 0; i < (full ? NETWORKS : 1); i++)
        judge_network(&networks[i], precision, raced() ? 1 : 2);
}

Test(encode_schedules, of_float32, .timeout = 3600) {
    judge_networks(PRECISION_FP32);
}

Test(encode_schedules, of_float16, .timeout = 3600) {
    judge_networks(PRECISION_FP16);
}

Test(encode_schedules, of_bfloat16, .timeout = 3600) {
    judge_networks(PRECISION_BF16);
}

/* Two texts of three and five tokens. */
Test(encode_schedules, of_texts, .timeout = 1200) {
    enum { CONTEXT = 77, D = 48, TEXTS = 2, LAST = 49407 };
    static int32_t ids[TEXTS * CONTEXT] = {49406, 320, LAST};
    const int32_t longer[] = {49406, 320, 1125, 539, LAST};
    float first[TEXTS * D], again[TEXTS * D];
    Bench b = cuda_bench();
    Error err;
    TextEncoder *t;
    char *path = copy_weights(b.folder, "clip_vit_tiny.pt");
    memcpy(ids + CONTEXT, longer, sizeof longer);
    if (raced() && !getenv("TURTLE_TEST_FULL")) cr_skip_test("make test-full runs it");
    for (int run = 0; run < schedules(); run++) {
        float *found = run ? again : first;
        test_schedule(run);
        ASSERT_OK(text_open_as(&t, &b.ops, path, TEXTS, &(FactOptions){0}, PRECISION_FP16, &err),
                  err);
        ASSERT_OK(text_run(t, found, ids, TEXTS, &err), err);
        for (int i = 0; i < TEXTS * D; i++) cr_assert(isfinite(found[i]));
        if (run) cr_expect(memcmp(first, again, sizeof first) == 0, "schedule %d", run);
        text_close(t);
    }
    free(path);
    bench_close(&b);
}
