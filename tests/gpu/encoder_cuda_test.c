/* encoder_cuda_test.c - whole encoders on the CUDA backend: recorded features in every precision, the same bits in any
 * batch, and residuals beyond what float16 holds.
 *
 * Limits in float32 are those of the CPU's tests, 15 times the difference of the original's float32 from its
 * float64; `half` is that of the MANIFESTs for float16, 3 times the difference of an original whose activations are
 * rounded. */
#include "host/encode/text.h"
#include "io/files/gzip.h"
#include "tests/gpu/device_memory.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define MODERN "tests/goldens/encoders_modern/"
enum { MOST_BATCH = 4 };

typedef enum { NORMALISED, BYTES, PHOTOGRAPHS } Input;

/* One network with its recorded features. */
typedef struct {
    const char *weights; /* a golden: deflated, or a name for copy_weights, or unpacked by make */
    const char *name, *config[2];
    const char *input, *output; /* input NULL: photographs from number `first` on */
    Input kind;
    int first;
    int64_t B, d;
    int side; /* --image_size; 0: the file's own */
    double limit, half;
    bool family; /* stands for its family in `make test` */
} Recorded;
static const Recorded networks[] = {
    {"clip_vit_tiny.pt",
     NULL,
     {NULL},
     "encoders/clip_vit_tiny_input.npy",
     "encoders/clip_vit_tiny_output.npy",
     NORMALISED,
     0,
     4,
     48,
     0,
     5e-5,
     1e-2,
     true},
    {"clip_rn_tiny.pt",
     NULL,
     {NULL},
     "encoders/clip_rn_tiny_input.npy",
     "encoders/clip_rn_tiny_output.npy",
     NORMALISED,
     0,
     4,
     40,
     0,
     1e-4,
     2e-2,
     true},
    {"dinov2_swiglu_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_swiglu_tiny_output.npy",
     NORMALISED,
     0,
     2,
     64,
     0,
     2e-4,
     5e-2,
     true},
    {"dinov2_mlp_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_mlp_tiny_output.npy",
     NORMALISED,
     0,
     2,
     64,
     0,
     1e-4,
     5e-2,
     false},
    {"dinov2_reg_mlp_tiny.pth",
     NULL,
     {NULL},
     "encoders/dinov2_input.npy",
     "encoders/dinov2_reg_mlp_tiny_output.npy",
     NORMALISED,
     0,
     2,
     128,
     0,
     5e-5,
     5e-2,
     false},
    {MODERN "dinov3_mlp/dinov3_mlp.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_mlp_64_pixels.npy",
     "encoders_modern/dinov3_mlp_64_output.npy",
     BYTES,
     0,
     2,
     128,
     64,
     5e-5,
     1e-2,
     true},
    {MODERN "dinov3_mlp/dinov3_mlp.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_mlp_80_pixels.npy",
     "encoders_modern/dinov3_mlp_80_output.npy",
     BYTES,
     0,
     2,
     128,
     80,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_mlp/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "dinov3_mlp/hf/config.json", MODERN "dinov3_mlp/hf/preprocessor_config.json"},
     "encoders_modern/dinov3_mlp_64_pixels.npy",
     "encoders_modern/dinov3_mlp_64_output_f32periods.npy",
     BYTES,
     0,
     2,
     128,
     64,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_7b/dinov3_7b.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_7b_64_pixels.npy",
     "encoders_modern/dinov3_7b_64_output.npy",
     BYTES,
     0,
     2,
     128,
     64,
     5e-5,
     1e-2,
     false},
    {MODERN "dinov3_untied/dinov3_untied.pth.gz",
     "dinov3.pth",
     {NULL},
     "encoders_modern/dinov3_untied_48_pixels.npy",
     "encoders_modern/dinov3_untied_48_output.npy",
     BYTES,
     0,
     2,
     64,
     48,
     2e-5,
     1e-2,
     false},
    {"tests/goldens/encoder_config/openclip_h.safetensors.gz",
     "open_clip_model.safetensors",
     {"tests/goldens/encoder_config/openclip_h_open_clip_config.json"},
     NULL,
     "encoder_config/openclip_h_output.npy",
     PHOTOGRAPHS,
     0,
     3,
     48,
     0,
     2e-5,
     1e-2,
     false},
    {MODERN "openclip_bigg/open_clip/open_clip_pytorch_model.bin.gz",
     "open_clip_pytorch_model.bin",
     {MODERN "openclip_bigg/open_clip/open_clip_config.json"},
     NULL,
     "encoders_modern/openclip_bigg_output.npy",
     PHOTOGRAPHS,
     0,
     3,
     56,
     0,
     2e-5,
     1e-2,
     true},
    {MODERN "siglip_base/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "siglip_base/hf/config.json", MODERN "siglip_base/hf/preprocessor_config.json"},
     NULL,
     "encoders_modern/siglip_base_output.npy",
     PHOTOGRAPHS,
     0,
     2,
     128,
     0,
     5e-5,
     1e-2,
     false},
    {MODERN "siglip_so400m/hf5_vision/model.safetensors.gz",
     "model.safetensors",
     {MODERN "siglip_so400m/hf5_vision/config.json"},
     NULL,
     "encoders_modern/siglip_so400m_output.npy",
     PHOTOGRAPHS,
     1,
     2,
     144,
     0,
     5e-5,
     1e-2,
     true},
};
enum { NETWORKS = sizeof networks / sizeof *networks };

/* --- files and pictures ----------------------------------------------------------------------- */

static Bench cuda_bench(void) {
    Bench b;
    Error err;
    need_gpu();
    ASSERT_OK(ops_open(&b.ops, "cuda", 2, NULL, &err), err);
    b.folder = temporary_folder();
    return b;
}

static void copy_beside(const Bench *b, const char *from) {
    char text[4096], *path = format_text("%s/%s", b->folder, strrchr(from, '/') + 1);
    const char *name = strstr(path, "openclip_h_");
    read_text(text, sizeof text, from);
    cr_assert(*text, "%s", from);
    char *to = name ? format_text("%s/%s", b->folder, name + strlen("openclip_h_")) : path;
    write_bytes(to, text, strlen(text));
    if (to != path) free(to);
    free(path);
}

/* Lays the weights and their configurations out in the bench's folder. Returns the path of the weights. */
static char *lay_out(const Bench *b, const Recorded *n) {
    for (int i = 0; i < 2 && n->config[i]; i++) copy_beside(b, n->config[i]);
    if (!n->name && strstr(n->weights, ".pth"))
        return format_text(TURTLE_BUILD "/goldens/encoders/%s", n->weights);
    if (!n->name) return copy_weights(b->folder, n->weights);
    FileMap map;
    uint8_t *bytes;
    int64_t count;
    Error err;
    char *path = format_text("%s/%s", b->folder, n->name);
    ASSERT_OK(file_map(&map, n->weights, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &count, map.data, map.bytes, 1 << 24, n->weights, &err), err);
    write_bytes(path, bytes, (size_t)count);
    file_unmap(&map);
    free(bytes);
    return path;
}

static uint8_t *photographs(const ResizeRule *rule, int first, int64_t B) {
    static const struct {
        const char *name;
        int w, h;
    } of[] = {{"photo320x241", 320, 241}, {"prog211x229", 211, 229}, {"square302", 302, 302}};
    const int64_t bytes = resize_bytes(rule);
    uint8_t *pixels = malloc((size_t)(B * bytes));
    Resizer resizer = {0};
    Error err;
    for (int64_t i = 0; i < B; i++) {
        char path[64];
        const int w = of[first + i].w, h = of[first + i].h;
        snprintf(path, sizeof path, "images/%s_rgb.npy", of[first + i].name);
        const Image whole = {(uint8_t *)golden(path, DTYPE_U8, 3LL * w * h), w, h};
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
        .precision = precision};
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

static bool chosen(const Recorded *n) {
    return n->family || getenv("TURTLE_TEST_FULL");
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

/* The pictures one by one, and in a batch of other pictures, have the bits that they have together. */
Test(encoder_cuda, features_are_the_same_bits_in_any_batch, .timeout = 600) {
    for (int i = 0; i < NETWORKS; i++) {
        const Recorded *n = &networks[i];
        if (!chosen(n) || n->kind == NORMALISED) continue;
        Bench b = cuda_bench();
        char *path = lay_out(&b, n);
        for (Precision p = PRECISION_FP32; p <= PRECISION_FP16; p++) {
            float together[MOST_BATCH * 144], apart[MOST_BATCH * 144];
            int64_t marks[MOST_BATCH];
            Error err;
            Encoder *e = open_encoder(&b, n, path, MOST_BATCH, p);
            uint8_t *pictures = pictures_for(n, e);
            const int64_t bytes = resize_bytes(&encoder_known(e)->rule);
            encode(n, e, together, pictures, n->B);
            for (int64_t k = n->B - 1; k >= 0;
                 k--) /* all on their way at once, the last one first */
                ASSERT_OK(
                    encoder_start(e, apart + k * n->d, pictures + k * bytes, 1, &marks[k], &err),
                    err);
            for (int64_t k = 0; k < n->B; k++) ASSERT_OK(encoder_reach(e, marks[k], &err), err);
            cr_expect(memcmp(together, apart, (size_t)(n->B * n->d) * 4) == 0, "%s: other bits",
                      n->output);
            free(pictures);
            encoder_close(e);
        }
        free(path);
        bench_close(&b);
    }
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

#if defined(TEST_EMULATED)
/* 16 MB have no room for 4096 images, 66 KB each, beside the weights. */
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
    bench_close(&b);
}
#endif
