/* dinov3_test.c - DINOv3 in every naming of tests/goldens/encoders_modern, against what the original computed
 * from the same weights, on every instruction set.
 *
 * The original's files store their periods, rounded to bfloat16; transformers and timm compute them in
 * float32 (_f32periods). Limits are 15 times the difference of the original's float32 from its float64, at
 * least 2e-5 (MANIFEST). */
#include "io/images/image.h"
#include "tests/cpu/encode/dinov3.h"

typedef struct {
    const char *weights, *name, *config, *pictures; /* goldens, and what the weights are called */
    const char *model;
    int64_t d;
    bool computed; /* periods are computed in float32 */
    int sides[3];  /* 0 ends them */
    double limit, mean_limit;
} Naming;
static const Naming namings[] = {
    {"dinov3_mlp/dinov3_mlp.pth",
     "dinov3.pth",
     NULL,
     NULL,
     "mlp",
     128,
     false,
     {64, 80},
     5e-5,
     2e-5},
    {"dinov3_mlp/hf/model.safetensors",
     "model.safetensors",
     "dinov3_mlp/hf/config.json",
     "dinov3_mlp/hf/preprocessor_config.json",
     "mlp",
     128,
     true,
     {64, 80},
     5e-5,
     2e-5},
    {"dinov3_mlp/timm/model.safetensors",
     "timm.safetensors",
     NULL,
     NULL,
     "mlp",
     128,
     true,
     {64, 80},
     5e-5,
     2e-5},
    {"dinov3_7b/dinov3_7b.pth", "dinov3.pth", NULL, NULL, "7b", 128, false, {64}, 5e-5, 2e-5},
    {"dinov3_7b/hf/model.safetensors",
     "model.safetensors",
     "dinov3_7b/hf/config.json",
     NULL,
     "7b",
     128,
     true,
     {64},
     5e-5,
     2e-5},
    {"dinov3_untied/dinov3_untied.pth",
     "dinov3.pth",
     NULL,
     NULL,
     "untied",
     64,
     false,
     {48},
     2e-5,
     2e-5},
};
enum { NAMINGS = sizeof namings / sizeof *namings };

static Precision precision;

/* Compares class token and mean of patches, and the class token where nothing else is computed. */
static void expect_recorded(const Bench *b, const char *isa, const Naming *n, const char *path,
                            int side) {
    float *both = NULL, *alone = NULL;
    char said[2048];
    int64_t d;
    Error err;
    EncoderOptions options = {
        .batch = 3, .image_size = side, .feature = FEATURE_CLS_MEAN, .precision = precision};
    /* the least of the MANIFEST's limits for float16 */
    const double limit = precision ? limit_of(precision, 1e-2) : n->limit,
                 mean_limit = precision ? limit_of(precision, 5e-3) : n->mean_limit;
    ASSERT_OK(encode(b, path, &options, n->model, side, &both, &d, said, &err), err);
    cr_assert(d == 2 * n->d);
    options.feature = FEATURE_CLS;
    ASSERT_OK(encode(b, path, &options, n->model, side, &alone, &d, said, &err), err);
    const float *cls = recorded(n->model, side, n->computed ? "output_f32periods" : "output",
                                2 * n->d),
                *mean = recorded(n->model, side, n->computed ? "patchmean_f32periods" : "patchmean",
                                 2 * n->d);
    for (int i = 0; i < PICTURES; i++) {
        const float *row = both + i * 2 * n->d;
        EXPECT_CLOSE(largest_difference(row, cls + i * n->d, n->d), limit, "%s %s %d", isa,
                     n->weights, side);
        EXPECT_CLOSE(largest_difference(row + n->d, mean + i * n->d, n->d), mean_limit,
                     "%s %s %d: mean", isa, n->weights, side);
        cr_expect(memcmp(row, alone + i * n->d, (size_t)n->d * 4) == 0, "%s: other bits", isa);
    }
    free(both);
    free(alone);
}

static void every_naming(void) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int s = 0; sets[s]; s++)
        for (int i = 0; i < NAMINGS; i++) {
            const Naming *n = &namings[i];
            Bench b = bench_open(sets[s], 2);
            char *path = lay_out(&b, n->weights, n->name);
            if (n->config) configure(&b, n->config, NULL, NULL);
            if (n->pictures) configure(&b, n->pictures, NULL, NULL);
            for (int k = 0; k < 3 && n->sides[k]; k++)
                expect_recorded(&b, sets[s], n, path, n->sides[k]);
            free(path);
            bench_close(&b);
        }
}

Test(dinov3, features_are_the_recorded_ones_in_every_naming, .timeout = 120) {
    every_naming();
}

Test(dinov3, features_of_16_bits_are_near_the_recorded_ones, .timeout = 300) {
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++) every_naming();
}

/* --- rotary positions ------------------------------------------------------------------------- */

/* Recorded tables (16, width of a head) hold the angles twice. */
static void expect_table(const char *what, const char *model, int64_t half, const float *found) {
    const float *table = recorded(model, 64, what, 16 * 2 * half);
    for (int64_t cell = 0; cell < 16; cell++)
        for (int64_t j = 0; j < 2 * half; j++)
            cr_assert(fabsf(table[cell * 2 * half + j] - found[cell * half + j % half]) <= 1e-6f,
                      "%s %s: patch %d, %d", model, what, (int)cell, (int)j);
}

Test(dinov3, angles_are_the_recorded_ones) {
    static const struct {
        const char *model;
        int64_t half;
    } models[] = {{"mlp", 32}, {"7b", 64}};
    Bench b = bench_open("portable", 2);
    for (int i = 0; i < 2; i++) {
        const int64_t half = models[i].half;
        float periods[32], cosines[16 * 64], sines[16 * 64];
        TensorFile file;
        Error err;
        char *from = format_text("dinov3_%s/dinov3_%s.pth", models[i].model, models[i].model),
             *path = lay_out(&b, from, "dinov3.pth");
        rope_periods(periods, half / 2, 100.0);
        rope_angles(cosines, sines, periods, half / 2, 4);
        expect_table("dbg_rope_cos_f32periods", models[i].model, half, cosines);
        expect_table("dbg_rope_sin_f32periods", models[i].model, half, sines);
        ASSERT_OK(tensor_file_open(&file, path, &err), err);
        ASSERT_OK(tensor_read_f32(tensor_find(&file, "rope_embed.periods"), periods, &err), err);
        rope_angles(cosines, sines, periods, half / 2, 4);
        expect_table("dbg_rope_cos", models[i].model, half, cosines);
        expect_table("dbg_rope_sin", models[i].model, half, sines);
        tensor_file_close(&file);
        free(from);
        free(path);
    }
    bench_close(&b);
}

/* --rope_base and --heads overrule the file; without stored periods both are assumed, and said. */
Test(dinov3, periods_are_those_of_flag_file_and_assumption) {
    char said[2048];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/dinov3_mlp.pth", "dinov3.pth"),
         *bare = format_text("%s/bare.safetensors", b.folder);
    const float *computed = recorded("mlp", 64, "output_f32periods", 256);
    float *found = class_features(&b, path, &(TurtleEncoder){.rope_base = 100.0}, "mlp", said);
    EXPECT_CLOSE(largest_difference(found, computed, 256), 5e-5, "--rope_base");
    cr_expect(strstr(said, "--rope_base 100 overrules the tensors, which says stored periods"),
              "%s", said);
    free(found);

    TensorSet set = read_tensors(path, "");
    set_drop(&set, "rope_embed.periods");
    write_safetensors(bare, &set);
    found = class_features(&b, bare, &(TurtleEncoder){0}, "mlp", said);
    EXPECT_CLOSE(largest_difference(found, computed, 256), 5e-5, "without periods");
    cr_expect(strstr(said, "assumed as in DINOv3 of Meta") && strstr(said, "heads 2 of 64") &&
                  strstr(said, "rope base 100"),
              "%s", said);
    free(found);
    found = class_features(&b, bare, &(TurtleEncoder){.rope_base = 10000.0}, "mlp", said);
    cr_expect(largest_difference(found, computed, 256) > 0.1);
    free(found);
    set_free(&set);
    free(path);
    free(bare);
    bench_close(&b);
}

/* --- pictures --------------------------------------------------------------------------------- */

/* The original squashes tensors of bytes as torchvision does; transformers resizes likewise, but floats; timm
 * has Pillow crop. */
Test(dinov3, pictures_become_pixels_as_in_the_library_of_the_naming) {
    static const struct {
        int side;
        bool squash;
        ResizeFilter filter;
        ResizeWeights weights;
    } rules[] = {{256, true, RESIZE_BILINEAR, RESIZE_TORCHVISION},
                 {224, true, RESIZE_BILINEAR, RESIZE_FLOATS},
                 {256, false, RESIZE_BICUBIC, RESIZE_PILLOW}};
    Bench b = bench_open("portable", 2);
    for (int i = 0; i < 3; i++) {
        Encoder *e;
        Error err;
        char *path = lay_out(&b, namings[i].weights, namings[i].name);
        ASSERT_OK(encoder_open(&e, &b.ops, path, &(EncoderOptions){.batch = 1}, &err), err);
        const ResizeRule *rule = &encoder_known(e)->rule;
        cr_expect(rule->crop == rules[i].side && rule->resize == rules[i].side &&
                      rule->squash == rules[i].squash && rule->filter == rules[i].filter &&
                      rule->weights == rules[i].weights,
                  "%s", namings[i].weights);
        encoder_close(e);
        free(path);
    }
    bench_close(&b);

    enum { SIDE = 128 };
    static uint8_t pixels[SIDE * SIDE * 3];
    Resizer resizer = {0};
    Error err;
    const Image photo = {(uint8_t *)golden("images/photo320x241_rgb.npy", DTYPE_U8, 241 * 320 * 3),
                         320, 241};
    const ResizeRule rule = {.resize = SIDE,
                             .crop = SIDE,
                             .squash = true,
                             .filter = RESIZE_BILINEAR,
                             .weights = RESIZE_TORCHVISION};
    ASSERT_OK(resize_image(&resizer, pixels, &photo, &rule, &err), err);
    cr_expect(memcmp(pixels,
                     golden("encoders_modern/prep_photo320x241_bilinear_tv128_u8.npy", DTYPE_U8,
                            sizeof pixels),
                     sizeof pixels) == 0);
    resizer_free(&resizer);
}

/* The recorded array (3,64,64) is normalised; 2e-6 is the difference between two orders of float32 sums. */
Test(dinov3, pictures_of_the_configured_processor_are_not_rounded) {
    enum { SIDE = 64 };
    static const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
    static float pixels[SIDE * SIDE * 3];
    char said[2048];
    Bench b = bench_open("portable", 2);
    Encoder *e;
    Resizer resizer = {0};
    Error err;
    float found[128];
    const Image photo = {(uint8_t *)golden("images/photo320x241_rgb.npy", DTYPE_U8, 241 * 320 * 3),
                         320, 241};
    char *path = lay_out(&b, "dinov3_mlp/hf/model.safetensors", "model.safetensors");
    configure(&b, "dinov3_mlp/hf/config.json", NULL, NULL);
    configure(&b, "dinov3_mlp/hf/preprocessor_config.json", NULL, NULL);
    ASSERT_OK(
        encoder_open(&e, &b.ops, path, &(EncoderOptions){.batch = 1, .image_size = SIDE}, &err),
        err);
    ASSERT_OK(resize_image(&resizer, pixels, &photo, &encoder_known(e)->rule, &err), err);
    ASSERT_OK(encoder_run(e, found, pixels, 1, &err), err);
    const float *recorded_pixels =
        golden("encoders_modern/prep_photo320x241_dinov3_hf64_f32.npy", DTYPE_F32, SIDE * SIDE * 3);
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        const int c = i % 3;
        cr_assert(fabsf((pixels[i] - mean[c]) / std[c] -
                        recorded_pixels[c * SIDE * SIDE + i / 3]) <= 2e-6f,
                  "%d", i);
    }
    encoder_close(e);

    /* the features are those of the recorded pixels */
    float *images = malloc(sizeof pixels), again[128];
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        images[i] = recorded_pixels[i % 3 * SIDE * SIDE + i / 3];
    ASSERT_OK(
        encoder_open(&e, &b.ops, path, &(EncoderOptions){.batch = 1, .image_size = SIDE}, &err),
        err);
    ASSERT_OK(encoder_run_images(e, again, images, 1, &err), err);
    EXPECT_CLOSE(largest_difference(found, again, 128), 5e-5, "features of floats");
    snprintf(said, sizeof said, "%s", encoder_said(e));
    cr_expect(!strstr(said, "assumed"), "%s", said);
    encoder_close(e);
    resizer_free(&resizer);
    free(images);
    free(path);
    bench_close(&b);
}
