/* encoder_test.c - whole encoders against what the original implementations of CLIP and DINOv2
 * computed from the same files (tests/goldens/encoders/MANIFEST), on every instruction set. */
#include "host/encode/encoder.h"
#include "host/encode/text.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/golden.h"
#include "tests/support/weights_rename.h"

/* ||out - ref|| / ||ref|| that float32 must stay within; and per element, 15 times the difference
 * between the original's float32 and float64 (MANIFEST). */
#define LIMIT 1e-4

/* Returns (B,side,side,3) of (B,3,side,side) as recorded. */
static float *channels_last(const float *from, int64_t B, int64_t side) {
    float *to = malloc((size_t)(B * side * side * 3) * sizeof *to);
    for (int64_t b = 0; b < B; b++)
        for (int64_t p = 0; p < side * side; p++)
            for (int64_t c = 0; c < 3; c++)
                to[(b * side * side + p) * 3 + c] = from[(b * 3 + c) * side * side + p];
    return to;
}

static const EncoderOptions plain = {.batch = 4};
static Precision precision; /* of the tests that compare with goldens */

/* Returns the features of recorded images in fresh memory. */
static float *features_of(const Ops *ops, const char *path, const EncoderOptions *options,
                          const float *nchw, int64_t B, int64_t *d) {
    Encoder *e;
    Error err;
    int resize, side;
    ASSERT_OK(encoder_open(&e, ops, path, options, &err), err);
    encoder_image_size(e, &resize, &side);
    *d = encoder_features(e);
    float *images = channels_last(nchw, B, side),
          *features = malloc((size_t)(B * *d) * sizeof *features);
    for (int64_t i = 0; i < B * *d; i++) features[i] = NAN;
    ASSERT_OK(encoder_run_images(e, features, images, B, &err), err);
    free(images);
    encoder_close(e);
    return features;
}

static double largest_difference(const float *a, const float *b, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= worst)) worst = fabs((double)a[i] - b[i]);
    return worst;
}

/* per_element is float32's limit, `half` float16's (MANIFEST). */
static void expect_features(const char *name, const float *found, const float *expected, int64_t n,
                            double per_element, double half) {
    if (precision != PRECISION_FP32) {
        EXPECT_CLOSE(largest_difference(found, expected, n), limit_of(precision, half), "%s %s",
                     name, precision_name(precision));
        return;
    }
    EXPECT_CLOSE(relative_error(found, expected, n), LIMIT, "%s", name);
    EXPECT_CLOSE(largest_difference(found, expected, n), per_element, "%s: an element", name);
}

/* Runs `body` on every instruction set. */
static void on_every_set(void (*body)(const Bench *b, const char *isa)) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int i = 0; sets[i]; i++) {
        Bench b = bench_open(sets[i], 2);
        body(&b, sets[i]);
        bench_close(&b);
    }
}

/* --- images ----------------------------------------------------------------------------------- */

static void clip_images(const Bench *b, const char *isa) {
    static const struct {
        const char *name;
        int64_t side, d;
        double per_element, half;
    } models[] = {{"clip_vit_tiny", 32, 48, 5e-5, 1e-2}, {"clip_rn_tiny", 64, 40, 1e-4, 2e-2}};
    const EncoderOptions options = {.batch = 4, .precision = precision};
    for (size_t i = 0; i < 2; i++) {
        char input[64], output[64], file[64];
        int64_t d;
        snprintf(file, sizeof file, "%s.pt", models[i].name);
        snprintf(input, sizeof input, "encoders/%s_input.npy", models[i].name);
        snprintf(output, sizeof output, "encoders/%s_output.npy", models[i].name);
        char *path = copy_weights(b->folder, file);
        const float *images = golden(input, DTYPE_F32, 4 * 3 * models[i].side * models[i].side);
        float *found = features_of(&b->ops, path, &options, images, 4, &d);
        cr_assert(d == models[i].d);
        expect_features(isa, found, golden(output, DTYPE_F32, 4 * d), 4 * d, models[i].per_element,
                        models[i].half);
        free(found);
        free(path);
    }
}

Test(encoder, clip_image_features_are_the_recorded_ones, .timeout = 300) {
    on_every_set(clip_images);
}

static void dinov2_images(const Bench *b, const char *isa) {
    static const struct {
        const char *name;
        int64_t d;
        double per_element;
    } models[] = {{"dinov2_mlp_tiny", 64, 1e-4},
                  {"dinov2_swiglu_tiny", 64, 2e-4},
                  {"dinov2_reg_mlp_tiny", 128, 5e-5}};
    const EncoderOptions options = {.batch = 2, .precision = precision};
    const float *images = golden("encoders/dinov2_input.npy", DTYPE_F32, 2 * 3 * 224 * 224);
    for (size_t i = 0; i < 3; i++) {
        char path[64], output[64];
        int64_t d;
        snprintf(path, sizeof path, TURTLE_BUILD "/goldens/encoders/%s.pth", models[i].name);
        snprintf(output, sizeof output, "encoders/%s_output.npy", models[i].name);
        float *found = features_of(&b->ops, path, &options, images, 2, &d);
        cr_assert(d == models[i].d);
        expect_features(isa, found, golden(output, DTYPE_F32, 2 * d), 2 * d, models[i].per_element,
                        5e-2);
        free(found);
    }
}

Test(encoder, dinov2_image_features_are_the_recorded_ones, .timeout = 300) {
    on_every_set(dinov2_images);
}

/* The recorded tables have the class row first, which is not interpolated. */
Test(encoder, position_tables_are_interpolated_as_recorded) {
    static const struct {
        const char *name;
        int64_t d;
        PositionRule rule;
    } models[] = {{"dinov2_mlp_tiny", 64, POSITION_OFFSET},
                  {"dinov2_reg_mlp_tiny", 128, POSITION_ANTIALIAS}};
    for (size_t i = 0; i < 2; i++) {
        char path[64], recorded[96];
        TensorFile file;
        Error err;
        const int64_t d = models[i].d, cells = 37 * 37;
        snprintf(path, sizeof path, TURTLE_BUILD "/goldens/encoders/%s.pth", models[i].name);
        snprintf(recorded, sizeof recorded, "encoders/%s_dbg_pos_embed_interp.npy", models[i].name);
        ASSERT_OK(tensor_file_open(&file, path, &err), err);
        float *table = malloc((size_t)((1 + cells) * d) * 4),
              *found = malloc((size_t)(16 * 16 * d) * 4);
        ASSERT_OK(tensor_read_f32(tensor_find(&file, "pos_embed"), table, &err), err);
        position_resize(found, 16, table + d, 37, d, models[i].rule);
        const float *expected = golden(recorded, DTYPE_F32, 257 * d);
        EXPECT_CLOSE(largest_difference(found, expected + d, 256 * d), 5e-5, "%s", models[i].name);
        free(table);
        free(found);
        tensor_file_close(&file);
    }
}

/* --- text ------------------------------------------------------------------------------------- */

static void clip_texts(const Bench *b, const char *isa) {
    static const struct {
        const char *name;
        int64_t d;
    } models[] = {{"clip_vit_tiny", 48}, {"clip_rn_tiny", 40}};
    enum { ROWS = 20, CONTEXT = 77, CLASSES = 5, TEMPLATES = 3 };
    for (size_t i = 0; i < 2; i++) {
        char name[96];
        Error err;
        TextEncoder *t;
        const int64_t d = models[i].d;
        snprintf(name, sizeof name, "%s.pt", models[i].name);
        char *path = copy_weights(b->folder, name);
        ASSERT_OK(text_open_as(&t, &b->ops, path, 8, &(FactOptions){0}, precision, &err), err);
        cr_assert(text_features(t) == d && text_context(t) == CONTEXT);
        snprintf(name, sizeof name, "encoders/%s_tokens.npy", models[i].name);
        const int32_t *ids = golden(name, DTYPE_I32, ROWS * CONTEXT);
        float *found = malloc(ROWS * (size_t)d * 4), *classes = malloc(CLASSES * (size_t)d * 4);
        ASSERT_OK(text_run(t, found, ids, ROWS, &err), err);
        snprintf(name, sizeof name, "encoders/%s_text.npy", models[i].name);
        expect_features(isa, found, golden(name, DTYPE_F32, ROWS * d), ROWS * d, 5e-5, 1e-2);

        snprintf(name, sizeof name, "encoders/%s_zeroshot.npy", models[i].name);
        const float *zeroshot = golden(name, DTYPE_F32, CLASSES * d); /* (d,classes) */
        for (int64_t c = 0; c < CLASSES; c++) {
            text_class_vector(classes + c * d, found + c * TEMPLATES * d, TEMPLATES, d);
            for (int64_t j = 0; j < d; j++)
                cr_expect(fabs(classes[c * d + j] - zeroshot[j * CLASSES + c]) <=
                              (precision ? limit_of(precision, 1e-3) : 5e-6),
                          "%s %s: class %d, element %d", models[i].name, isa, (int)c, (int)j);
        }
        text_close(t);
        free(found);
        free(classes);
        free(path);
    }
}

Test(encoder, clip_text_features_and_class_vectors_are_the_recorded_ones, .timeout = 300) {
    on_every_set(clip_texts);
}

/* Operands of 16 bits, on every set too. */
Test(encoder, features_of_16_bits_are_near_the_recorded_ones, .timeout = 600) {
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++) {
        on_every_set(clip_images);
        on_every_set(dinov2_images);
        on_every_set(clip_texts);
    }
}

/* logits_per_image are exp(logit_scale) times the cosines of images and texts. */
Test(encoder, clip_logits_are_the_recorded_ones, .timeout = 60) {
    enum { ROWS = 20, D = 48, CONTEXT = 77 };
    Bench b = bench_open("portable", 2);
    Error err;
    TextEncoder *t;
    TensorFile file;
    int64_t d;
    float scale, texts[ROWS * D], text[D], image[D];
    char *path = copy_weights(b.folder, "clip_vit_tiny.pt");
    float *images =
        features_of(&b.ops, path, &plain,
                    golden("encoders/clip_vit_tiny_input.npy", DTYPE_F32, 4 * 3 * 32 * 32), 4, &d);
    ASSERT_OK(text_open(&t, &b.ops, path, 20, &err), err);
    ASSERT_OK(text_run(t, texts,
                       golden("encoders/clip_vit_tiny_tokens.npy", DTYPE_I32, ROWS * CONTEXT), ROWS,
                       &err),
              err);
    ASSERT_OK(tensor_file_open(&file, path, &err), err);
    ASSERT_OK(tensor_read_f32(tensor_find(&file, "logit_scale"), &scale, &err), err);
    const float *expected =
        golden("encoders/clip_vit_tiny_logits_per_image.npy", DTYPE_F32, 4 * ROWS);
    for (int i = 0; i < 4; i++)
        for (int r = 0; r < ROWS; r++) {
            double cosine = 0.0;
            text_class_vector(image, images + i * D, 1, D); /* normalised */
            text_class_vector(text, texts + r * D, 1, D);
            for (int j = 0; j < D; j++) cosine += (double)image[j] * text[j];
            cr_expect(fabs(exp(scale) * cosine - expected[i * ROWS + r]) <= 5e-5,
                      "image %d text %d", i, r);
        }
    text_close(t);
    tensor_file_close(&file);
    free(images);
    free(path);
    bench_close(&b);
}

/* --- files ------------------------------------------------------------------------------------ */

/* The small-vocabulary files hold one set of weights in two containers: a TorchScript archive in
 * half precision and a float32 state dict of the same values. Recorded: their text features. */
Test(encoder, containers_of_the_same_weights_give_the_same_features, .timeout = 60) {
    enum { ROWS = 6, CONTEXT = 77, D = 48 };
    static const char *const paths[] = {TURTLE_BUILD "/goldens/encoders/clip_vit_smallvocab.pt",
                                        TURTLE_BUILD
                                        "/goldens/encoders/clip_vit_smallvocab_sd.pth"};
    Bench b = bench_open("portable", 1);
    const int32_t *ids =
        golden("encoders/clip_vit_smallvocab_tokens.npy", DTYPE_I32, ROWS * CONTEXT);
    const float *expected = golden("encoders/clip_vit_smallvocab_text.npy", DTYPE_F32, ROWS * D);
    const float *images = golden("encoders/clip_vit_tiny_input.npy", DTYPE_F32, 4 * 3 * 32 * 32);
    float *first = NULL;
    for (int i = 0; i < 2; i++) {
        Error err;
        TextEncoder *t;
        float texts[ROWS * D];
        int64_t d;
        ASSERT_OK(text_open(&t, &b.ops, paths[i], 4, &err), err);
        ASSERT_OK(text_run(t, texts, ids, ROWS, &err), err);
        expect_features(paths[i], texts, expected, ROWS * D, 2e-5, 1e-2);
        text_close(t);
        float *features = features_of(&b.ops, paths[i], &plain, images, 4, &d);
        if (i == 0) first = features;
        else cr_expect(memcmp(first, features, (size_t)(4 * d) * 4) == 0, "images differ");
        if (i == 1) free(features);
    }
    free(first);
    bench_close(&b);
}

Test(encoder, hugging_face_names_give_the_same_bits, .timeout = 60) {
    enum { ROWS = 6, CONTEXT = 77, D = 48 };
    Bench b = bench_open("portable", 1);
    const char *original = TURTLE_BUILD "/goldens/encoders/clip_vit_smallvocab_sd.pth";
    char *path = format_text("%s/clip.safetensors", b.folder);
    TensorSet set = read_tensors(original, "");
    hugging_face_clip(&set);
    write_safetensors(path, &set);

    const float *images = golden("encoders/clip_vit_tiny_input.npy", DTYPE_F32, 4 * 3 * 32 * 32);
    const int32_t *ids =
        golden("encoders/clip_vit_smallvocab_tokens.npy", DTYPE_I32, ROWS * CONTEXT);
    const char *const paths[] = {original, path};
    float *features[2], texts[2][ROWS * D];
    for (int i = 0; i < 2; i++) {
        TextEncoder *t;
        Error err;
        int64_t d;
        features[i] = features_of(&b.ops, paths[i], &plain, images, 4, &d);
        ASSERT_OK(text_open(&t, &b.ops, paths[i], 4, &err), err);
        ASSERT_OK(text_run(t, texts[i], ids, ROWS, &err), err);
        text_close(t);
    }
    cr_expect(memcmp(features[0], features[1], 4 * D * 4) == 0, "image features differ");
    cr_expect(memcmp(texts[0], texts[1], sizeof texts[0]) == 0, "text features differ");
    free(features[0]);
    free(features[1]);
    free(path);
    set_free(&set);
    bench_close(&b);
}

Test(encoder, hugging_face_names_of_dinov2_give_the_same_bits, .timeout = 60) {
    static const struct {
        const char *file;
        int blocks;
    } models[] = {{TURTLE_BUILD "/goldens/encoders/dinov2_swiglu_tiny.pth", 2},
                  {TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth", 1}};
    Bench b = bench_open("portable", 1);
    const float *images = golden("encoders/dinov2_input.npy", DTYPE_F32, 2 * 3 * 224 * 224);
    char *path = format_text("%s/dino.safetensors", b.folder);
    for (size_t m = 0; m < 2; m++) {
        TensorSet set = read_tensors(models[m].file, "");
        hugging_face_dinov2(&set, models[m].blocks, m == 1);
        write_safetensors(path, &set);
        int64_t d;
        float *original = features_of(&b.ops, models[m].file, &plain, images, 2, &d),
              *renamed = features_of(&b.ops, path, &plain, images, 2, &d);
        cr_expect(memcmp(original, renamed, (size_t)(2 * d) * 4) == 0, "%s", models[m].file);
        free(original);
        free(renamed);
        set_free(&set);
    }
    free(path);
    bench_close(&b);
}

/* Values that bfloat16 holds exactly are the same weights in bfloat16 and float32. */
Test(encoder, bfloat16_weights_are_read_as_they_are, .timeout = 60) {
    Bench b = bench_open("portable", 1);
    TensorSet set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    const float *images = golden("encoders/dinov2_input.npy", DTYPE_F32, 2 * 3 * 224 * 224);
    char *wide = format_text("%s/f32.safetensors", b.folder),
         *narrow = format_text("%s/bf16.safetensors", b.folder);
    int64_t d;
    for (int i = 0; i < set.count; i++)
        for (int64_t j = 0; j < set.tensor[i].count; j++) {
            uint8_t *at = (uint8_t *)set.tensor[i].data + 4 * j;
            at[0] = at[1] = 0; /* the low half of the float */
        }
    write_safetensors(wide, &set);
    for (int i = 0; i < set.count; i++) {
        uint8_t *bytes = (uint8_t *)set.tensor[i].data;
        for (int64_t j = 0; j < set.tensor[i].count; j++)
            memmove(bytes + 2 * j, bytes + 4 * j + 2, 2);
        set.tensor[i].type = DTYPE_BF16;
    }
    write_safetensors(narrow, &set);
    float *a = features_of(&b.ops, wide, &plain, images, 2, &d),
          *z = features_of(&b.ops, narrow, &plain, images, 2, &d);
    cr_expect(memcmp(a, z, (size_t)(2 * d) * 4) == 0);
    free(a);
    free(z);
    free(wide);
    free(narrow);
    set_free(&set);
    bench_close(&b);
}

/* --- the same bits ---------------------------------------------------------------------------- */

static void expect_same_bits(const char *path, const float *images, int64_t B, int64_t side,
                             const char *folder) {
    (void)folder;
    static const int threads[] = {1, 2, 7};
    const int64_t pixels = 3 * side * side;
    float *together = NULL;
    int64_t d = 0;
    for (int t = 0; t < 3; t++) {
        Ops ops;
        Error err;
        ASSERT_OK(ops_open(&ops, "cpu", threads[t], NULL, &err), err);
        float *features = features_of(&ops, path, &plain, images, B, &d);
        if (t == 0) {
            together = features;
        } else {
            cr_expect(memcmp(together, features, (size_t)(B * d) * 4) == 0, "%s: %d threads", path,
                      threads[t]);
            free(features);
        }
        for (int64_t i = 0; i < B; i++) { /* alone, and in other company at another place */
            float *mixed = malloc((size_t)(3 * pixels) * 4);
            for (int place = 0; place < 3; place++)
                memcpy(mixed + place * pixels, images + (i + 2 - place) % B * pixels,
                       (size_t)pixels * 4);
            float *alone = features_of(&ops, path, &plain, images + i * pixels, 1, &d),
                  *third = features_of(&ops, path, &plain, mixed, 3, &d);
            cr_expect(memcmp(together + i * d, alone, (size_t)d * 4) == 0, "%s: alone", path);
            cr_expect(memcmp(together + i * d, third + 2 * d, (size_t)d * 4) == 0, "%s: third",
                      path);
            free(mixed);
            free(alone);
            free(third);
        }
        ops_close(&ops);
    }
    free(together);
}

Test(encoder, bits_do_not_depend_on_batch_position_or_threads, .timeout = 300) {
    Bench b = bench_open("portable", 1);
    const char *sets[CPU_MAX_SETS + 1];
    char *vit = copy_weights(b.folder, "clip_vit_tiny.pt"),
         *rn = copy_weights(b.folder, "clip_rn_tiny.pt");
    const float *small = golden("encoders/clip_vit_tiny_input.npy", DTYPE_F32, 4 * 3 * 32 * 32),
                *middle = golden("encoders/clip_rn_tiny_input.npy", DTYPE_F32, 4 * 3 * 64 * 64),
                *large = golden("encoders/dinov2_input.npy", DTYPE_F32, 2 * 3 * 224 * 224);
    cpu_instruction_sets(sets);
    for (int i = 0; sets[i]; i++) {
        setenv("TURTLE_ISA", sets[i], 1);
        if (strcmp(sets[i], "reference") == 0) continue;
        expect_same_bits(vit, small, 4, 32, b.folder);
        expect_same_bits(rn, middle, 4, 64, b.folder);
        expect_same_bits(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", large, 2, 224,
                         b.folder);
    }
    free(vit);
    free(rn);
    bench_close(&b);
}

/* --- options ---------------------------------------------------------------------------------- */

Test(encoder, kinds_of_features_and_normalisation, .timeout = 60) {
    Bench b = bench_open("portable", 2);
    const char *path = TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth";
    const float *images = golden("encoders/dinov2_input.npy", DTYPE_F32, 2 * 3 * 224 * 224);
    int64_t d, mean_d, both_d;
    float *cls = features_of(&b.ops, path, &plain, images, 2, &d);
    float *mean =
        features_of(&b.ops, path, &(EncoderOptions){.batch = 2, .feature = FEATURE_PATCHMEAN},
                    images, 2, &mean_d);
    float *both = features_of(
        &b.ops, path, &(EncoderOptions){.batch = 2, .feature = FEATURE_CLS_MEAN, .normalize = true},
        images, 2, &both_d);
    cr_assert(d == 128 && mean_d == 128 && both_d == 256);
    for (int64_t i = 0; i < 2; i++) {
        double square = 0.0, length = 0.0;
        for (int64_t j = 0; j < d; j++)
            square +=
                (double)cls[i * d + j] * cls[i * d + j] + (double)mean[i * d + j] * mean[i * d + j];
        for (int64_t j = 0; j < both_d; j++) {
            const double raw = j < d ? cls[i * d + j] : mean[i * d + j - d];
            length += (double)both[i * both_d + j] * both[i * both_d + j];
            cr_expect(fabs(both[i * both_d + j] - raw / sqrt(square)) <= 1e-6, "column %d", (int)j);
        }
        cr_expect(fabs(length - 1.0) <= 1e-6);
    }
    cr_expect(relative_error(mean, cls, 2 * d) > 0.1, "the mean of the patches is the class token");
    free(cls);
    free(mean);
    free(both);
    bench_close(&b);
}

/* --- bad files -------------------------------------------------------------------------------- */

static void expect_refused(const Bench *b, const TensorSet *set, const char *words) {
    Encoder *e;
    Error err = {""};
    char *path = format_text("%s/bad.safetensors", b->folder);
    write_safetensors(path, set);
    const Status st = encoder_open(&e, &b->ops, path, &plain, &err);
    cr_expect(st == ERR_FORMAT && !e, "expected a refusal with '%s', got status %d", words, st);
    cr_expect(strstr(err.text, words), "expected '%s' in: %s", words, err.text);
    free(path);
}

Test(encoder, missing_extra_and_misshapen_tensors_are_named, .timeout = 60) {
    Bench b = bench_open("portable", 1);
    const char *original = TURTLE_BUILD "/goldens/encoders/clip_vit_smallvocab_sd.pth";
    TensorSet set = read_tensors(original, "");
    set_drop(&set, "visual.transformer.resblocks.1.mlp.c_fc.bias");
    expect_refused(&b, &set, "tensor visual.transformer.resblocks.1.mlp.c_fc.bias is missing");
    set_free(&set);

    set = read_tensors(original, "");
    add_tensor_to(&set, "visual.extra", DTYPE_F32, 1, &(int64_t){1}, &(float){0});
    expect_refused(&b, &set, "tensor visual.extra does not belong");
    set_free(&set);

    set = read_tensors(original, "");
    transpose(&set, "visual.transformer.resblocks.0.mlp.c_proj.weight");
    expect_refused(&b, &set,
                   "visual.transformer.resblocks.0.mlp.c_proj.weight: expected floats (64, 256)");
    set_free(&set);

    set = read_tensors(original, "");
    set_find(&set, "visual.ln_post.bias")->type = DTYPE_I32;
    expect_refused(&b, &set, "visual.ln_post.bias: expected floats (64), got int32 (64)");
    set_free(&set);

    set = read_tensors(original, "visual.ln_");
    expect_refused(&b, &set, "not of CLIP or DINOv2");
    set_free(&set);

    set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    set_drop(&set, "blocks.0.ls1.gamma");
    expect_refused(&b, &set, "tensor blocks.0.ls1.gamma is missing");
    set_free(&set);

    set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    for (int i = 0; i < set.count; i++) /* no block has a scale any more */
        for (char *name = strstr(set.tensor[i].name, ".ls"); name; name = NULL) name[1] = 'x';
    expect_refused(&b, &set, "a plain vision transformer (DeiT, MAE, DINO)");
    set_free(&set);

    set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    Tensor *position = set_find(&set, "pos_embed");
    position->shape[1]--;
    position->count -= 64;
    expect_refused(&b, &set, "1369 positions");
    set_free(&set);
    bench_close(&b);
}

Test(encoder, impossible_options_are_refused) {
    Bench b = bench_open("portable", 1);
    Encoder *e;
    Error err;
    const char *dino = TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth";
    cr_expect(encoder_open(&e, &b.ops, dino, &(EncoderOptions){.batch = 1, .image_size = 225},
                           &err) == ERR_ARG);
    cr_expect(strstr(err.text, "multiple of 14"), "%s", err.text);
    char *rn = copy_weights(b.folder, "clip_rn_tiny.pt");
    cr_expect(encoder_open(&e, &b.ops, rn,
                           &(EncoderOptions){.batch = 1, .feature = FEATURE_PATCHMEAN},
                           &err) == ERR_ARG);
    cr_expect(strstr(err.text, "--feature cls"), "%s", err.text);
    TextEncoder *t;
    cr_expect(text_open(&t, &b.ops, dino, 1, &err) == ERR_ARG);
    cr_expect(strstr(err.text, "no text encoder"), "%s", err.text);
    free(rn);
    bench_close(&b);
}
