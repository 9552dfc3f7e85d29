/* encoder_cuda_test.c - whole encoders on the CUDA backend: recorded features in every precision, the same bits in any
 * batch, and residuals beyond what float16 holds. */
#include "host/encode/picture.h"
#include "host/encode/text.h"
#include "tests/support/recorded_encoders.h"

enum { MOST_BATCH = 4 };

/* --- pictures --------------------------------------------------------------------------------- */

static Image photograph(int number) {
    static const struct {
        const char *name;
        int w, h;
    } of[] = {{"photo320x241", 320, 241}, {"prog211x229", 211, 229}, {"square302", 302, 302}};
    char path[64];
    const int w = of[number].w, h = of[number].h;
    snprintf(path, sizeof path, "images/%s_rgb.npy", of[number].name);
    return (Image){(uint8_t *)golden(path, DTYPE_U8, 3LL * w * h), w, h};
}

static uint8_t *photographs(const ResizeRule *rule, int first, int64_t B) {
    const int64_t bytes = resize_bytes(rule);
    uint8_t *pixels = malloc((size_t)(B * bytes));
    Resizer resizer = {0};
    Error err;
    for (int64_t i = 0; i < B; i++) {
        const Image whole = photograph(first + (int)i);
        ASSERT_OK(resize_image(&resizer, pixels + i * bytes, &whole, rule, &err), err);
    }
    resizer_free(&resizer);
    return pixels;
}

/* Returns what the encoder takes: pixels as its rule makes them, or floats (B,side,side,3). */
static void *pictures_for(const Recorded *n, const Encoder *e) {
    const ResizeRule *rule = &encoder_known(e)->rule;
    const int64_t area = (int64_t)rule->crop * rule->crop, count = n->B * area * 3;
    if (n->kind == PHOTOGRAPHS) return photographs(rule, n->first, n->B);
    float *floats = malloc((size_t)count * sizeof *floats);
    if (n->kind == NORMALISED) { /* recorded as (B,3,side,side) */
        const float *from = golden(n->input, DTYPE_F32, count);
        for (int64_t i = 0; i < count; i++)
            floats[i] = from[(i / (3 * area) * 3 + i % 3) * area + i / 3 % area];
        return floats;
    }
    const uint8_t *bytes = golden(n->input, DTYPE_U8, count);
    if (rule->weights == RESIZE_FLOATS)
        for (int64_t i = 0; i < count; i++) floats[i] = (float)bytes[i] / 255.0f;
    else memcpy(floats, bytes, (size_t)count);
    return floats;
}

static void encode(const Recorded *n, Encoder *e, float *features, const void *pictures,
                   int64_t B) {
    Error err;
    for (int64_t i = 0; i < B * n->d; i++) features[i] = NAN;
    ASSERT_OK(n->kind == NORMALISED ? encoder_run_images(e, features, pictures, B, &err)
                                    : encoder_run(e, features, pictures, B, &err),
              err);
}

static Encoder *open_encoder(const Bench *b, const Recorded *n, const char *path, int64_t batch,
                             Precision precision) {
    Encoder *e;
    Error err;
    const EncoderOptions options = {
        .given.resize = n->kind == PHOTOGRAPHS && n->B == 3 && n->first == 0 ? "squash" : NULL,
        .image_size = n->side,
        .batch = batch,
        .precision = precision,
        .whole = true};
    ASSERT_OK(encoder_open(&e, &b->ops, path, &options, &err), err);
    cr_assert(encoder_features(e) == n->d);
    return e;
}

static double largest_difference(const float *a, const float *b, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= worst)) worst = fabs((double)a[i] - b[i]);
    return worst;
}

/* --- features --------------------------------------------------------------------------------- */

/* Judges one network in the precisions from `first` on. Returns how many of its launches were wgmma's. */
static int64_t expect_features(const Recorded *n, Precision first) {
    static const char *const names[] = {"fp32", "fp16", "bf16"};
    Bench b = cuda_bench();
    Error err;
    ProfileRow rows[64];
    int64_t launches = 0;
    char *path = lay_out(&b, n);
    const float *expected = golden(n->output, DTYPE_F32, n->B * n->d);
    ASSERT_OK(b.ops.mem.profile(b.ops.device, &err), err);
    for (Precision p = first; p <= PRECISION_BF16; p++) {
        float found[MOST_BATCH * 144];
        Encoder *e = open_encoder(&b, n, path, n->B, p);
        void *pictures = pictures_for(n, e);
        encode(n, e, found, pictures, n->B);
        EXPECT_CLOSE(largest_difference(found, expected, n->B * n->d),
                     p == PRECISION_FP32 ? n->limit : limit_of(p, n->half), "%s %s", n->output,
                     names[p]);
        free(pictures);
        encoder_close(e);
    }
    const int kernels = b.ops.mem.profile_rows(b.ops.device, rows, 64);
    for (int i = 0; i < kernels && i < 64; i++)
        if (strstr(rows[i].kernel, "layer_wgmma")) launches += rows[i].calls;
    free(path);
    bench_close(&b);
    return launches;
}

Test(encoder_cuda, features_are_the_recorded_ones, .timeout = 600) {
    int64_t launches = 0;
    for (int i = 0; i < NETWORKS; i++)
        if (chosen(&networks[i])) launches += expect_features(&networks[i], PRECISION_FP32);
#if defined(TEST_EMULATED) /* the emulator's device is of 9.0 unless told otherwise */
    cr_expect(launches > 0 || getenv("EMU_DEVICE"), "no layer ran on wgmma");
    setenv("EMU_DEVICE", "a100", 1); /* which has no wgmma; float32 is the same there */
    for (int i = 0; i < NETWORKS; i++)
        if (chosen(&networks[i])) cr_expect(expect_features(&networks[i], PRECISION_FP16) == 0);
#else
    (void)launches;
#endif
}

/* Computes the features of pictures one by one, the last one first; where the encoder takes bytes, all on their way at
 * once. */
static void encode_apart(const Recorded *n, Encoder *e, float *features, const uint8_t *pictures) {
    const ResizeRule *rule = &encoder_known(e)->rule;
    const int64_t bytes =
        n->kind == NORMALISED ? 12LL * rule->crop * rule->crop : resize_bytes(rule);
    int64_t marks[MOST_BATCH];
    Error err;
    for (int64_t k = n->B - 1; k >= 0; k--)
        if (n->kind == NORMALISED) encode(n, e, features + k * n->d, pictures + k * bytes, 1);
        else
            ASSERT_OK(
                encoder_start(e, features + k * n->d, pictures + k * bytes, 1, &marks[k], &err),
                err);
    for (int64_t k = 0; n->kind != NORMALISED && k < n->B; k++)
        ASSERT_OK(encoder_reach(e, marks[k], &err), err);
}

/* The pictures one by one, and in a batch of other pictures, have the bits that they have together. */
Test(encoder_cuda, features_are_the_same_bits_in_any_batch, .timeout = 1200) {
    for (int i = 0; i < NETWORKS; i++) {
        const Recorded *n = &networks[i];
        if (!chosen(n)) continue;
        Bench b = cuda_bench();
        char *path = lay_out(&b, n);
        for (Precision p = PRECISION_FP32; p <= PRECISION_BF16; p++) {
            float together[MOST_BATCH * 144], apart[MOST_BATCH * 144];
            Encoder *e = open_encoder(&b, n, path, MOST_BATCH, p);
            uint8_t *pictures = pictures_for(n, e);
            encode(n, e, together, pictures, n->B);
            encode_apart(n, e, apart, pictures);
            cr_expect(memcmp(together, apart, (size_t)(n->B * n->d) * 4) == 0,
                      "%s, precision %d: other bits", n->output, (int)p);
            free(pictures);
            encoder_close(e);
        }
        free(path);
        bench_close(&b);
    }
}

/* Photographs that the device resizes have the features of those that the host has resized. */
Test(encoder_cuda, features_of_whole_pictures_are_the_same_bits, .timeout = 600) {
    int found = 0;
    for (int i = 0; i < NETWORKS; i++) {
        const Recorded *n = &networks[i];
        if (n->kind != PHOTOGRAPHS || !chosen(n)) continue;
        Bench b = cuda_bench();
        Error err;
        Resizer resizer = {0};
        char *path = lay_out(&b, n);
        float squares[MOST_BATCH * 144], whole[MOST_BATCH * 144];
        const uint8_t *slots[MOST_BATCH];
        int64_t mark;
        Encoder *e = open_encoder(&b, n, path, MOST_BATCH, PRECISION_FP16);
        if (encoder_picture_bytes(e)) {
            uint8_t *pictures = pictures_for(n, e);
            uint8_t *memory = malloc(MOST_BATCH * (size_t)PICTURE_BYTES);
            encode(n, e, squares, pictures, n->B);
            for (int64_t k = 0; k < n->B; k++) {
                const Image image = photograph((int)(n->first + k));
                slots[k] = memory + k * PICTURE_BYTES;
                ASSERT_OK(picture_write(&resizer, memory + k * PICTURE_BYTES, &image,
                                        &encoder_known(e)->rule, &err),
                          err);
            }
            ASSERT_OK(encoder_start_whole(e, whole, slots, n->B, &mark, &err), err);
            ASSERT_OK(encoder_reach(e, mark, &err), err);
            cr_expect(memcmp(squares, whole, (size_t)(n->B * n->d) * 4) == 0, "%s: other bits",
                      n->output);
            found++;
            free(memory);
            free(pictures);
        }
        encoder_close(e);
        resizer_free(&resizer);
        free(path);
        bench_close(&b);
    }
    cr_expect(found > 0, "no encoder takes whole photographs");
}

/* --- text ------------------------------------------------------------------------------------- */

static void expect_texts(const char *model, int64_t d, Precision p, double limit) {
    enum { ROWS = 20, CONTEXT = 77 };
    Bench b = cuda_bench();
    TextEncoder *t;
    Error err;
    char name[96], *path;
    float found[ROWS * 64];
    snprintf(name, sizeof name, "%s.pt", model);
    path = copy_weights(b.folder, name);
    ASSERT_OK(text_open_as(&t, &b.ops, path, 8, &(FactOptions){0}, p, &err), err);
    snprintf(name, sizeof name, "encoders/%s_tokens.npy", model);
    const int32_t *ids = golden(name, DTYPE_I32, ROWS * CONTEXT);
    ASSERT_OK(text_run(t, found, ids, ROWS, &err), err);
    snprintf(name, sizeof name, "encoders/%s_text.npy", model);
    EXPECT_CLOSE(largest_difference(found, golden(name, DTYPE_F32, ROWS * d), ROWS * d), limit,
                 "%s", name);
    text_close(t);
    free(path);
    bench_close(&b);
}

Test(encoder_cuda, texts_are_the_recorded_ones, .timeout = 600) {
    for (Precision p = PRECISION_FP32; p <= PRECISION_BF16; p++) {
        const double limit = p == PRECISION_FP32 ? 5e-5 : limit_of(p, 1e-2);
        expect_texts("clip_vit_tiny", 48, p, limit);
        if (getenv("TURTLE_TEST_FULL")) expect_texts("clip_rn_tiny", 40, p, limit);
    }
}

/* --- residuals -------------------------------------------------------------------------------- */

/* LayerScale makes the first block's MLP add 1e5 and more to the residual stream: float16 ends at 65504. The
 * features, behind a norm, stay near those of the CPU in float32. */
Test(encoder_cuda, residuals_of_1e5_stay_finite_in_float16, .timeout = 300) {
    const Recorded *n = &networks[3]; /* dinov2_mlp_tiny */
    Bench b = cuda_bench();
    Error err;
    Ops cpu;
    float expected[MOST_BATCH * 144], found[MOST_BATCH * 144];
    char *from = lay_out(&b, n), *path = format_text("%s/large.safetensors", b.folder);
    TensorSet set = read_tensors(from, "");
    const Tensor *gamma = set_find(&set, "blocks.0.ls2.gamma");
    cr_assert(gamma && gamma->type == DTYPE_F32);
    for (int64_t i = 0; i < gamma->count; i++) ((float *)gamma->data)[i] *= 1e5f;
    write_safetensors(path, &set);
    set_free(&set);
    ASSERT_OK(ops_open(&cpu, "cpu", 2, NULL, &err), err);
    Encoder *e = open_encoder(&(Bench){.ops = cpu}, n, path, n->B, PRECISION_FP32);
    void *pictures = pictures_for(n, e);
    encode(n, e, expected, pictures, n->B);
    encoder_close(e);
    ops_close(&cpu);
    e = open_encoder(&b, n, path, n->B, PRECISION_FP16);
    encode(n, e, found, pictures, n->B);
    encoder_close(e);
    EXPECT_CLOSE(largest_difference(found, expected, n->B * n->d), n->half, "residuals of 1e5");
    free(pictures);
    free(from);
    free(path);
    bench_close(&b);
}

/* --- calls ------------------------------------------------------------------------------------ */

#define IMAGES "tests/goldens/images"
#define VIT "data/demo/checkpoints/demo_vit.pth"
#define FEATURES "features --device cuda --images " IMAGES " --root_dir %s --json "

/* Runs the command, and returns the file of features that it leaves, mapped. */
static FileMap features_file(const Bench *b, Ran *ran, const char *weights, const char *flags) {
    FileMap map = {0};
    Error err;
    char *path = format_text("%s/representations/%s/images_train.npy", b->folder, "phi");
    remove(path);
    run_turtle(ran, FEATURES "--phis phi --weights %s %s", b->folder, weights, flags);
    if (ran->status == 0) ASSERT_OK(file_map(&map, path, &err), err);
    free(path);
    return map;
}

Test(encoder_cuda, the_command_gives_the_same_bits_in_any_batch, .timeout = 600) {
    static const char *const flags[] = {"--batch_size auto", "--batch_size 1", "--batch_size 5",
                                        "--batch_size 5 --threads 1"};
    Bench b = cuda_bench();
    Ran ran;
    FileMap first = features_file(&b, &ran, VIT, flags[0]);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.out, "\"precision\": \"fp16\"") && strstr(ran.out, "\"images\": 12") &&
                  strstr(ran.out, "\"batch_size\": 12") && strstr(ran.out, "\"waiting_share\": ") &&
                  !strstr(ran.out, "\"device_bytes\": 0"),
              "%s", ran.out);
    for (int i = 1; i < 4; i++) {
        FileMap other = features_file(&b, &ran, VIT, flags[i]);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect(other.bytes == first.bytes &&
                      memcmp(other.data, first.data, (size_t)first.bytes) == 0,
                  "%s: other bits", flags[i]);
        file_unmap(&other);
    }
    file_unmap(&first);
    bench_close(&b);
}

static int64_t device_bytes(const Ran *ran) {
    static const char key[] = "\"device_bytes\": ";
    const char *at = strstr(ran->out, key);
    cr_assert(at, "%s", ran->out);
    return strtoll(at + strlen(key), NULL, 10);
}

/* With --dump threads of the host resize the pictures, else the device does, which takes memory of three pictures for
 * each of the twelve. */
Test(encoder_cuda, the_command_gives_the_same_bits_of_whole_pictures, .timeout = 600) {
    Bench b = cuda_bench();
    Ran ran;
    char *dump = format_text("--image_size 42 --dump %s/pixels.npy", b.folder);
    FileMap device = features_file(&b, &ran, VIT, "--image_size 42");
    cr_assert(ran.status == 0, "%s", ran.err);
    const int64_t whole = device_bytes(&ran);
    FileMap host = features_file(&b, &ran, VIT, dump);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(whole - device_bytes(&ran) > 12 * 5 / 2 * (int64_t)PICTURE_BYTES);
    cr_expect(device.bytes == host.bytes &&
              memcmp(device.data, host.data, (size_t)host.bytes) == 0);
    file_unmap(&device);
    file_unmap(&host);
    free(dump);
    bench_close(&b);
}

/* A weight beyond 65504 is infinite in float16. */
Test(encoder_cuda, a_feature_that_is_not_finite_is_named, .timeout = 300) {
    Bench b = cuda_bench();
    Ran ran;
    char *path = format_text("%s/large.safetensors", b.folder);
    TensorSet set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth", "");
    Tensor *layer = set_find(&set, "blocks.1.mlp.fc1.weight");
    const float beyond = 1e5f;
    cr_assert(layer->type == DTYPE_F32);
    memcpy((void *)layer->data, &beyond, sizeof beyond);
    write_safetensors(path, &set);
    set_free(&set);
    FileMap map = features_file(&b, &ran, path, "--batch_size 2");
    cr_expect(ran.status == 1 && strstr(ran.out, "is not finite in fp16: try --precision bf16") &&
                  strstr(ran.out, "feature 0 of "),
              "%d: %s%s", ran.status, ran.out, ran.err);
    file_unmap(&map);
    free(path);
    bench_close(&b);
}

/* --- pictures in memory ------------------------------------------------------------------------ */

enum { PHOTOS = 12, PHOTO_SIDE = 40, PHOTO_D = 128, PHOTO_BYTES = 3 * PHOTO_SIDE * PHOTO_SIDE };

static int64_t told; /* pictures of the last progress */
static int tell(void *context, const TurtleProgress *p) {
    told = p->iteration;
    return told >= *(const int64_t *)context;
}

/* Returns the status of a call over pictures of one size in memory. */
static Status encode_photos(float *features, const uint8_t *rgb, int64_t batch, int threads,
                            const char *weights, int64_t stop, Error *err) {
    TurtleEncodeOptions o;
    TurtleEncodeResult r;
    turtle_encode_defaults(&o);
    o.common.device = "cuda";
    o.common.threads = threads;
    o.common.hooks = (TurtleHooks){.progress = tell, .context = &stop};
    o.weights = weights;
    o.pictures =
        (TurtlePictures){.count = PHOTOS, .rgb = rgb, .height = PHOTO_SIDE, .width = PHOTO_SIDE};
    o.batch_size = batch;
    o.features = features;
    o.dims = PHOTO_D;
    told = 0;
    const Status st = turtle_encode(&o, &r, err);
    turtle_encode_result_free(&r);
    return st;
}

/* Batches are loaded while others are encoded, and their features come in order. */
Test(encoder_cuda, pictures_in_memory_are_decoded_ahead, .timeout = 300) {
    static uint8_t rgb[PHOTOS * PHOTO_BYTES];
    static float all[PHOTOS * PHOTO_D], some[PHOTOS * PHOTO_D];
    static const int64_t batches[] = {1, 5, 5, 4};
    Error err;
    need_gpu();
    for (int i = 0; i < PHOTOS * PHOTO_BYTES; i++)
        rgb[i] = (uint8_t)(i / PHOTO_BYTES * 20 + i * 7 % 31);
    ASSERT_OK(encode_photos(all, rgb, 0, 2, VIT, INT64_MAX, &err), err);
    cr_expect(told == PHOTOS);
    for (int i = 1; i < PHOTOS; i++)
        cr_expect(memcmp(all, all + i * PHOTO_D, PHOTO_D * 4) != 0, "picture %d is picture 0", i);
    for (int i = 0; i < 4; i++) {
        memset(some, 0xff, sizeof some);
        ASSERT_OK(encode_photos(some, rgb, batches[i], 1 + i % 3, VIT, INT64_MAX, &err), err);
        cr_expect(memcmp(all, some, sizeof all) == 0, "batches of %d have other bits",
                  (int)batches[i]);
    }
    memset(some, 0xff, sizeof some);
    cr_expect(encode_photos(some, rgb, 4, 2, VIT, 4, &err) == ERR_STOPPED && told == 4, "%s",
              err.text);
    cr_expect(memcmp(all, some, 4 * PHOTO_D * 4) == 0, "what was told was not written");
}

/* Returns the status of a call over the golden photographs, as files, number `cut` of which ends early. */
static Status encode_files(float *features, int cut, int64_t batch, const char *weights,
                           Error *err) {
    FileMap map;
    TurtleBytes file[PHOTOS];
    TurtleEncodeOptions o;
    TurtleEncodeResult r;
    ASSERT_OK(file_map(&map, IMAGES "/photo320x241.jpg", err), *err);
    for (int i = 0; i < PHOTOS; i++) file[i] = (TurtleBytes){map.data, i == cut ? 300 : map.bytes};
    turtle_encode_defaults(&o);
    o.common.device = "cuda";
    o.common.threads = 2;
    o.weights = weights;
    o.pictures = (TurtlePictures){.count = PHOTOS, .file = file};
    o.image_size = 28;
    o.batch_size = batch;
    o.features = features;
    o.dims = PHOTO_D;
    const Status st = turtle_encode(&o, &r, err);
    turtle_encode_result_free(&r);
    file_unmap(&map);
    return st;
}

/* Writes a network of 128 features, too, in which a weight is beyond float16. Returns its path. */
static char *beyond_float16(const Bench *b) {
    char *path = format_text("%s/beyond.safetensors", b->folder);
    TensorSet set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth", "");
    Tensor *layer = set_find(&set, "blocks.0.mlp.fc1.weight");
    const float beyond = 1e5f;
    cr_assert(layer && layer->type == DTYPE_F32);
    memcpy((void *)layer->data, &beyond, sizeof beyond);
    write_safetensors(path, &set);
    set_free(&set);
    return path;
}

/* The first bad picture in order ends the call, though later ones were loaded before: batches in front of its own
 * are written. A feature that is not finite in an earlier batch comes first. */
Test(encoder_cuda, the_first_bad_picture_in_order_ends_the_call, .timeout = 300) {
    static float all[PHOTOS * PHOTO_D], some[PHOTOS * PHOTO_D];
    Bench b = cuda_bench();
    Error err;
    ASSERT_OK(encode_files(all, -1, 3, VIT, &err), err);
    memset(some, 0xff, sizeof some);
    cr_expect(encode_files(some, 7, 3, VIT, &err) == ERR_FORMAT && strstr(err.text, "picture 7"),
              "%s", err.text);
    cr_expect(memcmp(all, some, 6 * PHOTO_D * 4) == 0, "batches before picture 7 are not there");
    cr_expect(isnan(some[6 * PHOTO_D]));
    cr_expect(encode_files(some, 0, 12, VIT, &err) == ERR_FORMAT && strstr(err.text, "picture 0"));
    char *path = beyond_float16(&b);
    cr_expect(encode_files(some, 4, 3, path, &err) == ERR_FORMAT &&
                  strstr(err.text, "picture 0 has feature") && strstr(err.text, "in fp16"),
              "%s", err.text);
    free(path);
    bench_close(&b);
}

#if defined(TEST_EMULATED)
/* 16 MB have no room for 4096 images, 49 KB each, beside the weights. */
Test(encoder_cuda, a_batch_without_memory_is_halved, .timeout = 300) {
    Bench b = cuda_bench();
    Ran ran;
    FileMap whole = features_file(&b, &ran, VIT, "--batch_size 64");
    cr_assert(ran.status == 0, "%s", ran.err);
    setenv("EMU_MEMORY", "16000000", 1);
    FileMap halved = features_file(&b, &ran, VIT, "--batch_size 4096");
    cr_assert(ran.status == 0, "%s%s", ran.out, ran.err);
    cr_expect(strstr(ran.err, "has none for 4096 images at a time: it encodes "), "%s", ran.err);
    cr_expect(halved.bytes == whole.bytes &&
              memcmp(halved.data, whole.data, (size_t)whole.bytes) == 0);
    file_unmap(&whole);
    file_unmap(&halved);
    setenv("EMU_MEMORY", "300000", 1); /* less than the weights: no batch is small enough */
    features_file(&b, &ran, VIT, "--batch_size 4");
    cr_expect(ran.status != 0 && strstr(ran.err, "MiB more for them are not to be had") &&
                  strstr(ran.err, "a smaller encoder"),
              "%s", ran.err);
    bench_close(&b);
}
#endif
