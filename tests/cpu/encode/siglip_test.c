/* siglip_test.c - SigLIP's vision tower in every naming of tests/goldens/encoders_modern, against what
 * transformers and open_clip computed from the same weights, on every instruction set; its pictures, bit
 * for bit; facts, relatives and hostile files.
 *
 * siglip_base has heads of 64; siglip_so400m has heads of 72, an MLP of 269 and four pixels that belong to
 * no patch. Limits are 15 times the difference of the original's float32 from its float64 (MANIFEST). */
#include "host/encode/encoder.h"
#include "host/encode/text.h"
#include "io/files/gzip.h"
#include "io/images/image.h"
#include "tests/support/encoder_says.h"
#include "tests/support/golden.h"
#include "tests/support/weights_rename.h"

#define MODERN "tests/goldens/encoders_modern/"
#define BASE MODERN "siglip_base/"
#define SO400M MODERN "siglip_so400m/"
#define LIMIT 5e-5
enum { PICTURES = 2, PHOTOGRAPHS = 3, MOST_FEATURES = 144 };

typedef struct {
    Ops ops;
    char *folder;
    char *weights; /* <folder>/model.safetensors */
} Bench;

/* Makes a folder that holds nothing but the recorded weights. */
static Bench bench_open(const char *isa, const char *from) {
    Bench b;
    Error err;
    FileMap map;
    uint8_t *bytes;
    int64_t n;
    setenv("TURTLE_ISA", isa, 1);
    ASSERT_OK(ops_open(&b.ops, "cpu", 2, NULL, &err), err);
    b.folder = temporary_folder();
    b.weights = format_text("%s/model.safetensors", b.folder);
    ASSERT_OK(file_map(&map, from, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &n, map.data, map.bytes, 1 << 24, from, &err), err);
    write_bytes(b.weights, bytes, (size_t)n);
    file_unmap(&map);
    free(bytes);
    return b;
}

static void bench_close(Bench *b) {
    ops_close(&b->ops);
    remove_folder(b->folder);
    free(b->weights);
}

static void beside(const Bench *b, const char *name, const char *text) {
    char *path = format_text("%s/%s", b->folder, name);
    write_bytes(path, text, strlen(text));
    free(path);
}

static void recorded(const Bench *b, const char *from, const char *name) {
    char text[4096];
    read_text(text, sizeof text, from);
    cr_assert(*text, "%s", from);
    beside(b, name, text);
}

/* --- features --------------------------------------------------------------------------------- */

static void photographs(Image out[PHOTOGRAPHS]) {
    static const struct {
        const char *name;
        int w, h;
    } of[] = {{"photo320x241", 320, 241}, {"prog211x229", 211, 229}, {"square302", 302, 302}};
    for (int i = 0; i < PHOTOGRAPHS; i++) {
        char path[64];
        snprintf(path, sizeof path, "images/%s_rgb.npy", of[i].name);
        out[i] = (Image){(uint8_t *)golden(path, DTYPE_U8, (int64_t)of[i].w * of[i].h * 3), of[i].w,
                         of[i].h};
    }
}

/* Computes the features of the two photographs whose features are recorded, the last two for
 * siglip_so400m, resized by the encoder's own rule. */
static Status encode(const Bench *b, const EncoderOptions *options, float *features, int64_t *d,
                     Error *err) {
    Encoder *e;
    Resizer resizer = {0};
    Image pictures[PHOTOGRAPHS];
    Status st = encoder_open(&e, &b->ops, b->weights, options, err);
    if (st != OK) return st;
    const ResizeRule *rule = &encoder_known(e)->rule;
    const int64_t bytes = 3 * (int64_t)rule->crop * rule->crop;
    uint8_t *pixels = malloc((size_t)(PICTURES * bytes));
    photographs(pictures);
    for (int i = 0; i < PICTURES; i++)
        ASSERT_OK(resize_image(&resizer, pixels + i * bytes,
                               &pictures[i + (encoder_info(e)->width == 144)], rule, err),
                  *err);
    *d = encoder_features(e);
    cr_assert(*d <= 2 * MOST_FEATURES);
    ASSERT_OK(encoder_run(e, features, pixels, PICTURES, err), *err);
    encoder_close(e);
    resizer_free(&resizer);
    free(pixels);
    return OK;
}

static double largest_difference(const float *a, const float *b, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= worst)) worst = fabs((double)a[i] - b[i]);
    return worst;
}

/* Limits of products of 16 bits are the MANIFEST's for float16, and eight times as much for bfloat16, which has
 * three bits of the mantissa less. */
static Precision precision;

static void expect_features(const Bench *b, const TurtleEncoder *given, const char *reference,
                            const char *what) {
    float found[PICTURES * 2 * MOST_FEATURES];
    char path[96];
    int64_t d;
    Error err;
    const EncoderOptions options = {.batch = PICTURES, .given = *given, .precision = precision};
    ASSERT_OK(encode(b, &options, found, &d, &err), err);
    snprintf(path, sizeof path, "encoders_modern/%s.npy", reference);
    EXPECT_CLOSE(largest_difference(found, golden(path, DTYPE_F32, PICTURES * d), PICTURES * d),
                 precision == PRECISION_BF16   ? 8e-2
                 : precision == PRECISION_FP16 ? 1e-2
                                               : LIMIT,
                 "%s, %s", reference, what);
}

/* The two forms of GELU are 6e-4 and 8e-4 apart, so that a golden tells which was computed. */
static void every_naming(const char *isa) {
    const TurtleEncoder none = {0}, erf = {.activation = "gelu"}, two = {.heads = 2},
                        two_tanh = {.heads = 2, .activation = "gelu_tanh"};
    Bench b = bench_open(isa, BASE "hf/model.safetensors.gz");
    recorded(&b, BASE "hf/config.json", "config.json");
    recorded(&b, BASE "hf/preprocessor_config.json", "preprocessor_config.json");
    expect_features(&b, &none, "siglip_base_output", isa);
    expect_features(&b, &erf, "siglip_base_output_erf", isa);
    bench_close(&b);

    b = bench_open(isa, SO400M "hf5_vision/model.safetensors.gz");
    recorded(&b, SO400M "hf5_vision/config.json", "config.json");
    expect_features(&b, &none, "siglip_so400m_output", isa);
    bench_close(&b);

    b = bench_open(isa, SO400M "open_clip/open_clip_model.safetensors.gz");
    recorded(&b, SO400M "open_clip/open_clip_config.json", "open_clip_config.json");
    expect_features(&b, &two, "siglip_so400m_output_erf", isa);
    expect_features(&b, &two_tanh, "siglip_so400m_output", isa);
    bench_close(&b);
}

Test(siglip, features_in_every_naming_are_the_recorded_ones, .timeout = 300) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int i = 0; sets[i]; i++) every_naming(sets[i]);
}

Test(siglip, features_of_16_bits_are_near_the_recorded_ones, .timeout = 300) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++)
        for (int i = 0; sets[i]; i++) every_naming(sets[i]);
}

/* Prefixes every name with `front`, or takes it off and drops the others. */
static void set_prefix(TensorSet *set, const char *front, bool on) {
    const size_t n = strlen(front);
    for (int i = 0; i < set->count; i++) {
        Tensor *t = &set->tensor[i];
        if (!on && strncmp(t->name, front, n) != 0) {
            set_drop(set, t->name);
            i--;
            continue;
        }
        char *name = on ? format_text("%s%s", front, t->name) : strdup(t->name + n);
        free(t->name);
        t->name = name;
    }
}

static void expect_same_bits(const Bench *b, const TensorSet *set, const float *expected, int64_t n,
                             const char *what) {
    float found[PICTURES * MOST_FEATURES];
    int64_t d;
    Error err;
    const EncoderOptions options = {
        .batch = PICTURES, .given = {.heads = 2, .activation = "gelu_tanh"}, .image_size = 60};
    write_safetensors(b->weights, set);
    ASSERT_OK(encode(b, &options, found, &d, &err), err);
    cr_expect(PICTURES * d == n && memcmp(found, expected, (size_t)n * 4) == 0, "%s", what);
}

/* timm's names are open_clip's without "visual.trunk."; Hugging Face's own with "vision_model.", behind
 * the wrappers of a training, too. */
Test(siglip, other_prefixes_give_the_same_bits, .timeout = 60) {
    static const char *const fronts[] = {"", "visual.trunk.", "module.visual.trunk.",
                                         "vision_model.", "state_dict.model."};
    float expected[PICTURES * MOST_FEATURES];
    for (int hf = 0; hf < 2; hf++) {
        Bench b = bench_open("portable", hf ? SO400M "hf5_vision/model.safetensors.gz"
                                            : SO400M "open_clip/open_clip_model.safetensors.gz");
        int64_t d;
        Error err;
        const EncoderOptions options = {
            .batch = PICTURES, .given = {.heads = 2, .activation = "gelu_tanh"}, .image_size = 60};
        ASSERT_OK(encode(&b, &options, expected, &d, &err), err);
        for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++) {
            TensorSet set = read_tensors(b.weights, "");
            if (!hf && i == 0) set_prefix(&set, "visual.trunk.", false);
            set_prefix(&set, fronts[i], true);
            Bench other = bench_open("portable", SO400M "hf5_vision/model.safetensors.gz");
            expect_same_bits(&other, &set, expected, PICTURES * d, fronts[i]);
            bench_close(&other);
            set_free(&set);
        }
        bench_close(&b);
    }
}

/* Shards of a model with its texts, as large models come. */
Test(siglip, shards_give_the_recorded_features, .timeout = 60) {
    const TurtleEncoder none = {0};
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    TensorSet all = read_tensors(b.weights, "");
    char *map = format_text("{\"metadata\": {}, \"weight_map\": {");
    for (int part = 0; part < 2; part++) {
        TensorSet set = {.count = 0};
        char name[64], *path;
        snprintf(name, sizeof name, "model-0000%d-of-00002.safetensors", part + 1);
        for (int i = part; i < all.count; i += 2) {
            const Tensor *t = &all.tensor[i];
            add_tensor_to(&set, t->name, t->type, t->axes, t->shape, t->data);
            char *longer =
                format_text("%s%s\"%s\": \"%s\"", map, strchr(map, '-') ? ", " : "", t->name, name);
            free(map);
            map = longer;
        }
        path = format_text("%s/%s", b.folder, name);
        write_safetensors(path, &set);
        free(path);
        set_free(&set);
    }
    char *index = format_text("%s}}", map);
    cr_assert(unlink(b.weights) == 0);
    beside(&b, "model.safetensors.index.json", index);
    recorded(&b, BASE "hf/config.json", "config.json");
    free(b.weights);
    b.weights = strdup(b.folder);
    expect_features(&b, &none, "siglip_base_output", "shards");
    free(index);
    free(map);
    set_free(&all);
    bench_close(&b);
}

/* The mean of the patches stands beside the head's feature, and alone. */
Test(siglip, kinds_of_features_stand_side_by_side, .timeout = 60) {
    enum { D = 128 };
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    float cls[PICTURES * D], mean[PICTURES * D], both[PICTURES * 2 * D];
    int64_t d;
    Error err;
    recorded(&b, BASE "hf/config.json", "config.json");
    EncoderOptions options = {.batch = PICTURES};
    ASSERT_OK(encode(&b, &options, cls, &d, &err), err);
    options.feature = FEATURE_PATCHMEAN;
    ASSERT_OK(encode(&b, &options, mean, &d, &err), err);
    options.feature = FEATURE_CLS_MEAN;
    ASSERT_OK(encode(&b, &options, both, &d, &err), err);
    cr_assert(d == 2 * D);
    for (int i = 0; i < PICTURES; i++)
        cr_expect(memcmp(both + i * 2 * D, cls + i * D, D * 4) == 0 &&
                      memcmp(both + i * 2 * D + D, mean + i * D, D * 4) == 0,
                  "picture %d", i);
    cr_expect(relative_error(mean, cls, PICTURES * D) > 0.5);
    bench_close(&b);
}

/* --- pictures --------------------------------------------------------------------------------- */

Test(siglip, pictures_are_the_recorded_ones_to_the_bit, .timeout = 60) {
    static const struct {
        const char *name;
        ResizeFilter filter;
        ResizeWeights weights;
    } cases[] = {{"siglip_bicubic_pil128_u8", RESIZE_BICUBIC, RESIZE_PILLOW},
                 {"siglip2_bilinear_pil128_u8", RESIZE_BILINEAR, RESIZE_PILLOW},
                 {"siglip_bicubic_tv128_u8", RESIZE_BICUBIC, RESIZE_TORCHVISION}};
    enum { SIDE = 128, BYTES = 3 * SIDE * SIDE, SMALL = 64, AREA = SMALL * SMALL };
    Image pictures[PHOTOGRAPHS];
    Resizer resizer = {0};
    Error err;
    uint8_t *found = malloc(BYTES);
    photographs(pictures);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[96];
        const ResizeRule rule = {.resize = SIDE,
                                 .crop = SIDE,
                                 .squash = true,
                                 .filter = cases[i].filter,
                                 .weights = cases[i].weights};
        snprintf(path, sizeof path, "encoders_modern/prep_photo320x241_%s.npy", cases[i].name);
        ASSERT_OK(resize_image(&resizer, found, &pictures[0], &rule, &err), err);
        cr_expect(memcmp(found, golden(path, DTYPE_U8, BYTES), BYTES) == 0, "%s", path);
    }
    /* and on, to what the network sees: by the facts that a configuration says */
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    Encoder *e;
    Queue *q;
    const EncoderOptions options = {.batch = 1};
    recorded(&b, BASE "hf/config.json", "config.json");
    recorded(&b, BASE "hf/preprocessor_config.json", "preprocessor_config.json");
    ASSERT_OK(encoder_open(&e, &b.ops, b.weights, &options, &err), err);
    const EncoderFacts *f = encoder_known(e);
    cr_assert(f->rule.crop == SMALL);
    float *image = malloc(3 * AREA * sizeof *image);
    ASSERT_OK(resize_image(&resizer, found, &pictures[0], &f->rule, &err), err);
    ASSERT_OK(b.ops.mem.queue_open(b.ops.device, &q, &err), err);
    b.ops.encode.pixels(q, image, found, f->mean, f->std, 1, SMALL);
    ASSERT_OK(b.ops.mem.wait(q, &err), err);
    const float *input =
        golden("encoders_modern/prep_photo320x241_siglip_hf64_f32.npy", DTYPE_F32, 3 * AREA);
    int differ = 0;
    for (int c = 0; c < 3; c++)
        for (int p = 0; p < AREA; p++) differ += input[c * AREA + p] != image[3 * p + c];
    cr_expect(differ == 0, "%d numbers differ", differ);
    b.ops.mem.queue_close(q);
    encoder_close(e);
    resizer_free(&resizer);
    free(image);
    free(found);
    bench_close(&b);
}

/* --- positions -------------------------------------------------------------------------------- */

/* Returns torch's bicubic weight, a = -0.75, at a distance. */
static double torch_cubic(double x) {
    const double a = -0.75;
    x = fabs(x);
    if (x <= 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    return x < 2.0 ? a * (((x - 5.0) * x + 8.0) * x - 4.0) : 0.0;
}

/* Two by two cells for three by three: torch's interpolate(bicubic, align_corners=False), written out. */
Test(siglip, positions_are_interpolated_as_transformers_does) {
    const float table[4] = {1.0f, -2.0f, 0.5f, 4.0f};
    float found[9];
    position_resize(found, 3, table, 2, 1, POSITION_EXACT);
    for (int y = 0; y < 3; y++)
        for (int x = 0; x < 3; x++) {
            const double sy = (y + 0.5) * 2 / 3 - 0.5, sx = (x + 0.5) * 2 / 3 - 0.5;
            double sum = 0.0;
            for (int v = -2; v <= 4; v++)
                for (int h = -2; h <= 4; h++) {
                    const int cv = v < 0 ? 0 : v > 1 ? 1 : v, ch = h < 0 ? 0 : h > 1 ? 1 : h;
                    sum += torch_cubic(sy - v) * torch_cubic(sx - h) * table[cv * 2 + ch];
                }
            cr_expect(fabs(found[y * 3 + x] - sum) <= 1e-6, "%d, %d: %g", y, x, sum);
        }
}

/* --- facts ------------------------------------------------------------------------------------ */

#define SIGLIP(members) "{\"model_type\": \"siglip\", \"vision_config\": {" members "}}"
#define SIZES "\"hidden_size\": 128, \"num_hidden_layers\": 2, \"image_size\": 64"
#define TIMM(name, more) "{\"vision_cfg\": {\"timm_model_name\": \"" name "\"" more "}}"

/* A file of SigLIP leaves out facts that transformers or timm fill in with values of their own, not with those of CLIP. */
Test(siglip, what_configurations_leave_out_is_filled_in_as_there, .timeout = 60) {
    const FactOptions none = {0}, four = {.given.heads = 4};
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    expect_facts(b.weights, &none,
                 WORDS("heads 2 of 64 (assumed", "activation GELU (tanh) (assumed",
                       "norm_eps 1e-06 (assumed", "mean 0.5,0.5,0.5", "resize squash",
                       "interpolation bicubic", "image_size 64 (the tensors)", "as SigLIP"));
    beside(&b, "config.json", SIGLIP(SIZES));
    expect_facts(b.weights, &none,
                 WORDS("refused: ", "12 heads (config.json, which leaves it at its"));
    expect_facts(b.weights, &four, WORDS("heads 4 of 32 (--heads)"));
    beside(&b, "config.json",
           SIGLIP("\"num_attention_heads\": 2, \"hidden_act\": \"gelu\", " SIZES));
    expect_facts(b.weights, &none,
                 WORDS("heads 2 of 64 (config.json)", "activation GELU (config.json)"));
    beside(&b, "preprocessor_config.json",
           "{\"image_processor_type\": \"SiglipImageProcessor\", \"resample\": 2, \"size\": "
           "{\"height\": 70, \"width\": 70}}");
    expect_facts(b.weights, &none,
                 WORDS("interpolation bilinear (pre", "image_size 70 (pre", "resize squash (pre"));
    beside(&b, "preprocessor_config.json",
           "{\"image_processor_type\": \"SiglipImageProcessorFast\", \"resample\": 2}");
    expect_facts(b.weights, &none, WORDS("interpolation bilinear of torchvision (pre"));
    bench_close(&b);

    b = bench_open("portable", SO400M "open_clip/open_clip_model.safetensors.gz");
    expect_facts(b.weights, &none, WORDS("refused: ", "width 144", "--heads N"));
    static const struct {
        const char *name, *activation;
    } models[] = {{TIMM("vit_base_patch16_siglip_224", ""), "activation GELU (open"},
                  {TIMM("vit_large_patch16_siglip_384", ""), "activation GELU (open"},
                  {TIMM("vit_so400m_patch14_siglip_384", ""), "activation GELU (open"},
                  {TIMM("vit_large_patch16_siglip_512", ""), "activation GELU (tanh) (open"},
                  {TIMM("vit_base_patch32_siglip_256", ""), "activation GELU (tanh) (open"},
                  {TIMM("vit_so400m_patch16_siglip_256", ""), "activation GELU (tanh) (open"},
                  {TIMM("vit_giantopt_patch16_siglip_384", ""), "activation GELU (tanh) (open"}};
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        beside(&b, "open_clip_config.json", models[i].name);
        expect_facts(b.weights, &four, WORDS(models[i].activation, "norm_eps 1e-06 (open"));
    }
    beside(&b, "open_clip_config.json", "{}");
    beside(&b, "config.json",
           "{\"architecture\": \"vit_so400m_patch16_siglip_256\", \"pretrained_cfg\": {\"mean\": "
           "[0.5, 0.5, 0.5], \"input_size\": [3, 60, 60], \"crop_pct\": 1.0}}");
    expect_facts(b.weights, &four,
                 WORDS("activation GELU (tanh) (config.json", "image_size 60 (config"));
    bench_close(&b);
}

/* Configurations that lie, and those of relatives. */
Test(siglip, configurations_that_cannot_be_true_are_refused, .timeout = 60) {
    static const struct {
        const char *config, *words;
    } cases[] = {
        {"{\"model_type\": \"siglip\"}", "a width of 768"},
        {SIGLIP("\"hidden_size\": 128"), "a depth of 12"},
        {SIGLIP("\"hidden_size\": 128, \"num_hidden_layers\": 2"), "an image size of 224"},
        {SIGLIP("\"patch_size\": 14, " SIZES), "a patch side of 14"},
        {SIGLIP("\"num_attention_heads\": 3, " SIZES), "3 heads"},
        {SIGLIP("\"num_attention_heads\": 1e99, " SIZES), "expected a whole number"},
        {SIGLIP("\"num_attention_heads\": NaN, " SIZES), "expected a number"},
        {SIGLIP("\"image_size\": NaN"), "image_size"},
        {SIGLIP("\"layer_norm_eps\": -1, " SIZES), "eps"},
        {SIGLIP("\"hidden_act\": \"relu\", \"num_attention_heads\": 2, " SIZES), "activation relu"},
        {SIGLIP("\"vision_use_head\": false, " SIZES), "vision_use_head is false"},
        {"{\"model_type\": \"siglip2\", \"vision_config\": {\"hidden_size\": 128}}", "of siglip2"},
        {"{\"model_type\": \"siglip_text_model\", \"hidden_size\": 128}", "of siglip_text_model"},
        {"{\"model_type\": \"clip\", \"vision_config\": {\"hidden_size\": 128}}", "of clip"},
        {"{\"vision_cfg\": {\"width\": 128, \"head_width\": 64}}", "no timm_model_name"},
        {TIMM("vit_base_patch16_clip_224", ""), "timm_model_name is vit_base_patch16_clip_224"},
        {TIMM("vit_base_patch16_siglip_224", ", \"timm_pool\": \"avg\""), "timm_pool is avg"},
        {TIMM("vit_base_patch16_siglip_224", ", \"timm_proj\": \"linear\""), "timm_proj is linear"},
        {TIMM("vit_base_patch16_siglip_224", ", \"image_size\": 224"), "an image size of 224"},
        {"{\"num_attention_heads\": 2, \"size\": 96}", "96 (config.json) have 6 x 6 patches"},
    };
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        beside(&b, "config.json", cases[i].config);
        expect_facts(b.weights, &(FactOptions){0}, WORDS("refused: ", cases[i].words));
    }
    expect_facts(b.weights, &(FactOptions){.image_size = 96},
                 WORDS("positions of 4 x 4 patches are interpolated to 6 x 6"));
    bench_close(&b);
}

/* --- files that are something else ------------------------------------------------------------ */

static void expect_refused(const Bench *b, const TensorSet *set, const char *words) {
    Encoder *e;
    Error err = {""};
    write_safetensors(b->weights, set);
    const EncoderOptions options = {
        .batch = 1, .given = {.heads = 2, .activation = "gelu_tanh"}, .image_size = 60};
    const Status st = encoder_open(&e, &b->ops, b->weights, &options, &err);
    cr_expect(st == ERR_FORMAT && !e && strstr(err.text, words), "expected '%s', got %d: %s", words,
              st, err.text);
    encoder_close(e);
}

static void reshape(TensorSet *set, const char *name, int axes, int64_t first, int64_t second) {
    Tensor *t = set_find(set, name);
    cr_assert(first * second <= t->count);
    t->axes = axes;
    t->shape[0] = first;
    t->shape[1] = second;
    t->count = first * second;
}

Test(siglip, heads_that_are_missing_or_misshapen_are_named, .timeout = 60) {
    static const struct {
        const char *drop, *words;
    } missing[] = {{"head.probe", "pooling head (head.probe)"},
                   {"head.attention.in_proj_bias", "head.attention.in_proj_bias is missing"},
                   {"head.attention.out_proj.weight", "out_proj.weight is missing"},
                   {"head.mlp.fc1.weight", "head.mlp.fc1.weight is missing"},
                   {"head.layernorm.bias", "head.layernorm.bias is missing"},
                   {"embeddings.patch_embedding.bias", "patch_embedding.bias is missing"},
                   {"embeddings.position_embedding.weight", "position_embedding.weight is missing"},
                   {"post_layernorm.weight", "post_layernorm.weight is missing"}};
    static const struct {
        const char *name;
        int axes;
        int64_t first, second;
        const char *words;
    } shapes[] = {
        {"head.attention.in_proj_weight", 2, 288, 144, "expected floats (432, 144)"},
        {"head.attention.in_proj_weight", 2, 144, 432, "expected floats (432, 144)"},
        {"head.attention.in_proj_bias", 1, 431, 1, "expected floats (432)"},
        {"head.probe", 2, 1, 143, "expected floats (144)"},
        {"head.mlp.fc2.weight", 2, 144, 268, "expected floats (144, 269)"},
        {"head.mlp.fc1.weight", 2, 0, 144, "missing or empty"},
        {"embeddings.position_embedding.weight", 2, 15, 144, "15 positions: expected a square"},
        {"embeddings.patch_embedding.weight", 2, 144, 588, "NaFlex"},
    };
    Bench b = bench_open("portable", SO400M "hf5_vision/model.safetensors.gz");
    char *original = format_text("%s/original.safetensors", b.folder);
    cr_assert(rename(b.weights, original) == 0);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        TensorSet set = read_tensors(original, "");
        set_drop(&set, missing[i].drop);
        expect_refused(&b, &set, missing[i].words);
        set_free(&set);
    }
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        TensorSet set = read_tensors(original, "");
        reshape(&set, shapes[i].name, shapes[i].axes, shapes[i].first, shapes[i].second);
        expect_refused(&b, &set, shapes[i].words);
        set_free(&set);
    }
    TensorSet set = read_tensors(original, "");
    add_tensor_to(&set, "head.extra", DTYPE_F32, 1, &(int64_t){1}, &(float){0});
    expect_refused(&b, &set, "tensor head.extra does not belong");
    set_free(&set);
    free(original);
    bench_close(&b);
}

Test(siglip, relatives_in_timms_names_are_refused, .timeout = 60) {
    static const struct {
        const char *drop, *add, *words;
    } cases[] = {
        {"visual.trunk.attn_pool.latent", NULL, "pooling head (attn_pool.latent)"},
        {NULL, "visual.head.proj.weight", "tensor visual.head.proj.weight is outside"},
        {NULL, "visual.trunk.cls_token", "is outside of"},
        {NULL, "visual.trunk.attn_pool.q_norm.weight", "attn_pool.q_norm.weight does not"},
        {NULL, "visual.trunk.blocks.0.ls1.gamma", "blocks.0.ls1.gamma does not belong"},
        {"visual.trunk.patch_embed.proj.weight", "visual.trunk.embeds.proj.weight", "NaFlex"}};
    Bench b = bench_open("portable", SO400M "open_clip/open_clip_model.safetensors.gz");
    char *original = format_text("%s/original.safetensors", b.folder);
    cr_assert(rename(b.weights, original) == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TensorSet set = read_tensors(original, "");
        if (cases[i].drop) set_drop(&set, cases[i].drop);
        if (cases[i].add)
            add_tensor_to(&set, cases[i].add, DTYPE_F32, 1, &(int64_t){1}, &(float){0});
        expect_refused(&b, &set, cases[i].words);
        set_free(&set);
    }
    free(original);
    bench_close(&b);
}

/* SigLIP's texts are split by another tokenizer. */
Test(siglip, texts_are_no_part_of_it, .timeout = 60) {
    Bench b = bench_open("portable", BASE "hf/model.safetensors.gz");
    TextEncoder *t;
    Error err = {""};
    cr_expect(text_open(&t, &b.ops, b.weights, 1, &err) == ERR_ARG);
    cr_expect(strstr(err.text, "SigLIP"), "%s", err.text);
    bench_close(&b);
}
