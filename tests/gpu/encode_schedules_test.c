/* encode_schedules_test.c - whole encoders, on the emulator: the same bits whatever the order of threads and streams. The
 * race builds run these tests too, each CUDA thread a fiber of ThreadSanitizer.
 *
 * Images are one patch, or one place behind all strides: a kernel's barriers are the same for more. */
#include "host/encode/text.h"
#include "tests/support/recorded_encoders.h"

/* Where ThreadSanitizer looks on, a switch of fibers takes 50 us: one schedule, one picture. */
static bool raced(void) {
    return getenv("TURTLE_TEST_SMALL") != NULL;
}

static int schedules(void) {
    return raced() ? 1 : getenv("TURTLE_TEST_FULL") ? 10 : 3;
}

/* Returns B pictures of the encoder's kind: bytes, or floats of 0 to 1. */
static void *noise(const Encoder *e, int64_t B) {
    const ResizeRule *rule = &encoder_known(e)->rule;
    const int64_t n = B * 3 * rule->crop * rule->crop;
    uint8_t *bytes = malloc((size_t)(B * resize_bytes(rule)));
    uint32_t state = 12345;
    for (int64_t i = 0; i < n; i++) {
        state = state * 1664525 + 1013904223;
        if (rule->weights == RESIZE_FLOATS) ((float *)bytes)[i] = (float)(state >> 24) / 255.0f;
        else bytes[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

/* Encodes pictures one by one, all of them on their way at once: copies run beside kernels. */
static void encode_apart(Encoder *e, float *features, const uint8_t *pictures, int64_t B) {
    enum { MOST = 2 };
    int64_t marks[MOST];
    Error err;
    const int64_t d = encoder_features(e), bytes = resize_bytes(&encoder_known(e)->rule);
    for (int64_t k = 0; k < B; k++) {
        for (int64_t j = 0; j < d; j++) features[k * d + j] = NAN;
        ASSERT_OK(encoder_start(e, features + k * d, pictures + k * bytes, 1, &marks[k], &err),
                  err);
    }
    for (int64_t k = 0; k < B; k++) ASSERT_OK(encoder_reach(e, marks[k], &err), err);
}

static void judge_network(const Recorded *n, Precision precision, int64_t B) {
    enum { MOST = 2 * 144 };
    float first[MOST], again[MOST];
    Bench b = cuda_bench();
    Error err;
    Encoder *e;
    char *path = lay_out(&b, n);
    const EncoderOptions options = {.image_size = n->least, .batch = 1, .precision = precision};
    for (int run = 0; run < schedules(); run++) {
        test_schedule(run);
        ASSERT_OK(encoder_open(&e, &b.ops, path, &options, &err), err);
        uint8_t *pictures = noise(e, B);
        encode_apart(e, run ? again : first, pictures, B);
        for (int64_t i = 0; i < B * n->d; i++) cr_assert(isfinite(run ? again[i] : first[i]));
        if (run)
            cr_expect(memcmp(first, again, (size_t)(B * n->d) * 4) == 0,
                      "%s, precision %d: schedule %d has other bits", n->output, (int)precision,
                      run);
        free(pictures);
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
