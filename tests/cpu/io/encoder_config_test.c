/* encoder_config_test.c - facts beside the tensors: configuration files, flags and assumptions
 * against the features that open_clip and transformers computed; refusals and notices; hostile
 * JSON; pictures resized as Pillow does (tests/goldens/encoder_config/MANIFEST). */
#include "host/encode/encoder.h"
#include "host/encode/text.h"
#include "io/config/encoder_config.h"
#include "io/files/gzip.h"
#include "io/images/image.h"
#include "kernels/philox.h"
#include "tests/support/encoder_says.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define FOLDER "tests/goldens/encoder_config/"

/* --- files ------------------------------------------------------------------------------------ */

typedef struct {
    Ops ops;
    char *folder;
    char *weights; /* <folder>/model.safetensors */
} Bench;

/* Makes a folder that holds nothing but the recorded weights. */
static Bench bench_open(const char *name) {
    Bench b;
    Error err;
    FileMap map;
    uint8_t *bytes;
    int64_t n;
    setenv("TURTLE_ISA", "portable", 1);
    ASSERT_OK(ops_open(&b.ops, "cpu", 1, NULL, &err), err);
    b.folder = temporary_folder();
    b.weights = format_text("%s/model.safetensors", b.folder);
    char *from = format_text(FOLDER "%s.safetensors.gz", name);
    ASSERT_OK(file_map(&map, from, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &n, map.data, map.bytes, 1 << 24, from, &err), err);
    write_bytes(b.weights, bytes, (size_t)n);
    file_unmap(&map);
    free(bytes);
    free(from);
    return b;
}

static void bench_close(Bench *b) {
    ops_close(&b->ops);
    remove_folder(b->folder);
    free(b->weights);
}

/* Writes `text` beside the weights. */
static void beside(const Bench *b, const char *name, const char *text) {
    char *path = format_text("%s/%s", b->folder, name);
    write_bytes(path, text, strlen(text));
    free(path);
}

static void away(const Bench *b, const char *name) {
    char *path = format_text("%s/%s", b->folder, name);
    cr_assert(unlink(path) == 0, "%s", path);
    free(path);
}

/* Copies a recorded configuration beside the weights. */
static void recorded(const Bench *b, const char *from, const char *name) {
    char text[4096], *path = format_text(FOLDER "%s", from);
    read_text(text, sizeof text, path);
    cr_assert(*text, "%s", path);
    beside(b, name, text);
    free(path);
}

/* --- encoders --------------------------------------------------------------------------------- */

enum { MOST = 4 };

/* Computes features of the pictures, resized by the encoder's own rule. `said` receives its
 * notices. */
static Status encode(const Bench *b, const TurtleEncoder *given, const Image *pictures, int n,
                     float *features, char said[2048], Error *err) {
    Encoder *e;
    Resizer resizer = {0};
    *said = '\0';
    Status st = encoder_open(&e, &b->ops, b->weights,
                             &(EncoderOptions){.batch = MOST, .given = *given}, err);
    if (st != OK) return st;
    const ResizeRule *rule = &encoder_known(e)->rule;
    const int64_t bytes = 3 * (int64_t)rule->crop * rule->crop;
    uint8_t *pixels = malloc((size_t)(n * bytes));
    for (int i = 0; i < n; i++)
        ASSERT_OK(resize_image(&resizer, pixels + i * bytes, &pictures[i], rule, err), *err);
    snprintf(said, 2048, "%s", encoder_said(e));
    ASSERT_OK(encoder_run(e, features, pixels, n, err), *err);
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

static void photographs(Image out[3]) {
    static const struct {
        const char *name;
        int w, h;
    } of[] = {{"photo320x241", 320, 241}, {"prog211x229", 211, 229}, {"square302", 302, 302}};
    for (int i = 0; i < 3; i++) {
        char path[64];
        snprintf(path, sizeof path, "images/%s_rgb.npy", of[i].name);
        out[i] = (Image){(uint8_t *)golden(path, DTYPE_U8, (int64_t)of[i].w * of[i].h * 3), of[i].w,
                         of[i].h};
    }
}

static void expect_features(const Bench *b, const TurtleEncoder *given, const char *reference,
                            double limit, const char *says) {
    Image pictures[3];
    Error err;
    char said[2048], path[96];
    float found[3 * 48];
    photographs(pictures);
    ASSERT_OK(encode(b, given, pictures, 3, found, said, &err), err);
    snprintf(path, sizeof path, "encoder_config/%s.npy", reference);
    EXPECT_CLOSE(largest_difference(found, golden(path, DTYPE_F32, 3 * 48), 3 * 48), limit, "%s",
                 reference);
    cr_expect(*says ? strstr(said, says) != NULL : !*said, "expected '%s', got: %s", says, said);
}

/* The network has heads of 80, QuickGELU and a squashed picture; each kind of file says so, or
 * flags alone. An element may differ from the original's by 15 times the difference of its own
 * float32 from float64 (MANIFEST: 1e-6). */
Test(encoder_config, openclip_features_are_the_recorded_ones, .timeout = 60) {
    const TurtleEncoder none = {0}, squash = {.resize = "squash"},
                        flags = {.heads = 2,
                                 .activation = "quickgelu",
                                 .norm_eps = 1e-5,
                                 .mean = "0.48145466,0.4578275,0.40821073",
                                 .std = "0.26862954,0.26130258,0.27577711",
                                 .resize = "squash",
                                 .interpolation = "bicubic"},
                        gelu = {.activation = "gelu", .resize = "squash"};
    Bench b = bench_open("openclip_h");
    expect_features(&b, &flags, "openclip_h_output", 2e-5, "");
    recorded(&b, "openclip_h_open_clip_config.json", "open_clip_config.json");
    expect_features(&b, &none, "openclip_h_output", 2e-5, "");
    expect_features(&b, &gelu, "openclip_h_output_otheract", 2e-5,
                    "--activation GELU overrules open_clip_config.json, which says QuickGELU");
    away(&b, "open_clip_config.json");
    recorded(&b, "openclip_h_config.json", "config.json");
    expect_features(&b, &squash, "openclip_h_output", 2e-5, "assumed as in CLIP of OpenAI");
    recorded(&b, "openclip_h_preprocessor_config.json", "preprocessor_config.json");
    expect_features(&b, &squash, "openclip_h_output", 2e-5,
                    "--resize squash overrules preprocessor_config.json, which says crop");
    bench_close(&b);
}

Test(encoder_config, openclip_texts_are_the_recorded_ones, .timeout = 60) {
    enum { ROWS = 6, CONTEXT = 77, D = 48 };
    static const struct {
        const char *activation, *reference;
    } cases[] = {{NULL, "openclip_h_text"}, {"gelu", "openclip_h_text_otheract"}};
    Bench b = bench_open("openclip_h");
    const int32_t *ids = golden("encoder_config/openclip_h_tokens.npy", DTYPE_I32, ROWS * CONTEXT);
    recorded(&b, "openclip_h_open_clip_config.json", "open_clip_config.json");
    for (int i = 0; i < 2; i++) {
        TextEncoder *t;
        Error err;
        char path[96];
        float found[ROWS * D];
        const FactOptions known = {.given = {.activation = cases[i].activation}};
        ASSERT_OK(text_open_as(&t, &b.ops, b.weights, 8, &known, PRECISION_FP32, &err), err);
        ASSERT_OK(text_run(t, found, ids, ROWS, &err), err);
        snprintf(path, sizeof path, "encoder_config/%s.npy", cases[i].reference);
        EXPECT_CLOSE(largest_difference(found, golden(path, DTYPE_F32, ROWS * D), ROWS * D), 2e-5,
                     "%s", cases[i].reference);
        cr_expect(!*text_said(t) == !cases[i].activation, "%s", text_said(t));
        text_close(t);
    }
    bench_close(&b);
}

/* With pictures of 28 x 28 and one block nothing is resized; CLIP's mean and std are assumed, and
 * said. */
Test(encoder_config, hugging_face_features_are_the_recorded_ones, .timeout = 60) {
    static const char *const names[] = {"hf_gelu", "hf_heads_of_32"};
    for (int i = 0; i < 2; i++) {
        Bench b = bench_open(names[i]);
        Image pictures[4];
        Error err;
        char path[96], config[64], said[2048];
        float found[4 * 16], assumed[4 * 16];
        for (int p = 0; p < 4; p++) {
            FileMap map;
            snprintf(path, sizeof path, FOLDER "%d.png", p);
            ASSERT_OK(file_map(&map, path, &err), err);
            ASSERT_OK(image_decode(&pictures[p], map.data, map.bytes, path, &err), err);
            file_unmap(&map);
        }
        snprintf(path, sizeof path, "encoder_config/%s.npy", names[i]);
        snprintf(config, sizeof config, "%s.json", names[i]);
        const float *expected = golden(path, DTYPE_F32, 4 * 16);
        ASSERT_OK(encode(&b, &(TurtleEncoder){0}, pictures, 4, assumed, said, &err), err);
        cr_expect(strstr(said, "heads 2 of 64, QuickGELU"), "%s", said);
        cr_expect(relative_error(assumed, expected, 4 * 16) > 1e-3, "the case shows nothing");
        recorded(&b, config, "config.json");
        ASSERT_OK(encode(&b, &(TurtleEncoder){0}, pictures, 4, found, said, &err), err);
        EXPECT_CLOSE(relative_error(found, expected, 4 * 16), 1e-5, "%s", names[i]);
        cr_expect(strstr(said, "the mean of CLIP") && !strstr(said, "heads"), "%s", said);
        for (int p = 0; p < 4; p++) image_free(&pictures[p]);
        bench_close(&b);
    }
}

/* --- which file is believed ------------------------------------------------------------------- */

static void expect_given(const Bench *b, const TurtleEncoder *given, const char *const *words) {
    expect_facts(b->weights, &(FactOptions){.given = *given}, words);
}

Test(encoder_config, files_are_believed_in_order) {
    const TurtleEncoder none = {0};
    Bench b = bench_open("openclip_h");
    expect_given(&b, &none, WORDS("refused:", "--heads N", "--config FILE"));
    expect_given(
        &b, &(TurtleEncoder){.heads = 4},
        WORDS("heads 4 of 40 (--heads)", "activation QuickGELU (assumed", "assumed as in"));
    recorded(&b, "openclip_h_config.json", "config.json");
    expect_given(&b, &none,
                 WORDS("heads 2 of 80 (config.json)", "image_size 40 (config.json)",
                       "mean 0.4814547,0.4578275,0.4082107 (assumed"));
    /* for tensors in OpenCLIP's naming its own configuration comes first, with its pictures */
    beside(&b, "open_clip_config.json",
           "{\"model_cfg\": {\"vision_cfg\": {\"width\": 160, \"head_width\": 40}},"
           " \"preprocess_cfg\": {\"mean\": 0.5, \"std\": [0.25, 0.5, 1], "
           "\"interpolation\": \"bilinear\", \"resize_mode\": \"squash\"}}");
    recorded(&b, "openclip_h_preprocessor_config.json", "preprocessor_config.json");
    expect_given(&b, &none,
                 WORDS("heads 4 of 40 (open_clip_config.json)", "activation GELU (open_clip_config",
                       "mean 0.5,0.5,0.5 (open_clip", "std 0.25,0.5,1 (open_clip",
                       "resize squash (open_clip", "interpolation bilinear (open_clip"));
    beside(&b, "model.json", "{\"num_attention_heads\": 5, \"hidden_act\": \"gelu_new\"}");
    expect_given(&b, &none, WORDS("heads 5 of 32 (model.json)", "activation GELU (tanh) (model"));
    char *other = format_text("%s/named.json", b.folder);
    beside(&b, "model.json", "{\"num_attention_heads\": 40}"); /* a width of no whole vectors */
    expect_given(&b, &none, WORDS("heads 40 of 4 (model.json)"));
    write_bytes(other, "{\"num_attention_heads\": 10, \"size\": {\"height\": 48, \"width\": 48}}",
                64);
    expect_given(&b, &(TurtleEncoder){.config = other},
                 WORDS("heads 10 of 16", "named.json)", "image_size 48 (", "resize squash (",
                       "mean 0.4814547,0.4578275,0.4082107 (preprocessor_config.json)"));
    expect_given(&b, &(TurtleEncoder){.config = other, .heads = 20, .mean = "0.5"},
                 WORDS("heads 20 of 8 (--heads)", "--heads 20 of 8 overrules", "says 10 of 16",
                       "mean 0.5,0.5,0.5 (--mean)"));
    free(other);
    bench_close(&b);
}

/* In a hub's cache the weights are a link into a folder of blobs, and the configuration lies beside
 * the link. */
Test(encoder_config, configurations_lie_beside_the_link) {
    Bench b = bench_open("openclip_h");
    char *blobs = format_text("%s/blobs", b.folder), *blob = format_text("%s/0123", blobs),
         *decoy = format_text("%s/config.json", blobs);
    cr_assert(mkdir(blobs, 0755) == 0 && rename(b.weights, blob) == 0 &&
              symlink("blobs/0123", b.weights) == 0);
    write_bytes(decoy, "{\"num_attention_heads\": 5}", 26);
    recorded(&b, "openclip_h_config.json", "config.json");
    expect_given(&b, &(TurtleEncoder){0}, WORDS("heads 2 of 80 (config.json)"));
    /* an unfinished download: its blob is missing */
    char *link = format_text("%s/preprocessor_config.json", b.folder);
    cr_assert(symlink("blobs/4567", link) == 0);
    expect_given(&b, &(TurtleEncoder){0},
                 WORDS("refused: config: ", "preprocessor_config.json: a link to a file"));
    free(blobs), free(blob), free(decoy), free(link);
    bench_close(&b);
}

/* A second configuration of another network says nothing of this one's pictures. */
Test(encoder_config, a_second_file_of_other_sizes_is_passed_over) {
    Bench b = bench_open("openclip_h");
    recorded(&b, "openclip_h_open_clip_config.json", "open_clip_config.json");
    beside(&b, "config.json",
           "{\"model_type\": \"clip_vision_model\", \"hidden_size\": 768, \"image_mean\": "
           "[0.1, 0.2, 0.3]}");
    beside(&b, "preprocessor_config.json", "{\"image_mean\": [0.25, 0.5, 0.75]}");
    expect_given(&b, &(TurtleEncoder){0},
                 WORDS("heads 2 of 80 (open_clip_config.json)",
                       "config.json: sizes of another network, and passed over, for "
                       "open_clip_config.json is believed"));
    away(&b, "open_clip_config.json");
    beside(&b, "open_clip_config.json", "{\"vision_cfg\": {\"width\": 160, \"head_width\": 80}}");
    expect_given(
        &b, &(TurtleEncoder){0},
        WORDS("sizes of another network", "mean 0.25,0.5,0.75 (preprocessor_config.json)"));
    bench_close(&b);
}

Test(encoder_config, configurations_of_other_networks_are_refused) {
    const TurtleEncoder heads = {.heads = 2};
    Bench b = bench_open("openclip_h");
    beside(&b, "config.json", "{\"learning_rate\": 0.1, \"epochs\": [1, 2]}");
    expect_given(&b, &heads, WORDS("heads 2 of 80", "says nothing of an encoder"));
    static const struct {
        const char *config, *words;
    } refused[] = {
        {"{\"model_type\": \"siglip\", \"vision_config\": {\"hidden_size\": 160}}", "of siglip"},
        {"{\"model_type\": \"dinov2\", \"hidden_size\": 160}", "holds CLIP"},
        {"{\"model_type\": \"clip_vision_model\", \"hidden_size\": 768}", "a width of 768"},
        {"{\"vision_cfg\": {\"width\": 160, \"layers\": 12}}", "a depth of 12"},
        {"{\"vision_cfg\": {\"width\": 160, \"patch_size\": 14}}", "a patch side of 14"},
        {"{\"vision_cfg\": {\"width\": 160, \"image_size\": 224}}", "an image size of 224"},
        {"{\"embed_dim\": 512, \"vision_cfg\": {\"width\": 160}}", "a common space of 512"},
        {"{\"vision_cfg\": {\"width\": 160}, \"text_cfg\": {\"width\": 512}}",
         "a text width of 512"},
        {"[1, 2]", "expected a JSON object"},
        {"{\"num_attention_heads\": 2,}", "not JSON"},
        {"{\"num_attention_heads\": \"two\"}", "num_attention_heads: expected a number"},
        {"{\"num_attention_heads\": 2.5}", "num_attention_heads: expected a whole number"},
        {"{\"num_attention_heads\": -2}", "num_attention_heads: expected a whole number"},
        {"{\"layer_norm_eps\": -1, \"num_attention_heads\": 2}", "eps"},
        {"{\"image_std\": [1, 0, 1]}", "std"},
        {"{\"image_std\": [1, 1e-50, 1]}", "std"}, /* 0 as float32 */
        {"{\"pretrained_cfg\": {\"input_size\": [3, 224, 224], \"crop_pct\": 1e-20}}", "crop_pct"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        beside(&b, "config.json", refused[i].config);
        expect_given(&b, &heads, WORDS("refused: config: ", "config.json", refused[i].words));
    }
    bench_close(&b);
}

/* --- what cannot be done ---------------------------------------------------------------------- */

#define HF(members) "{\"model_type\": \"clip_vision_model\", \"hidden_size\": 160, " members "}"
#define OC(members) "{\"vision_cfg\": {\"width\": 160, \"head_width\": 80" members "}}"
#define PP(members) "{\"num_attention_heads\": 2, " members "}"

Test(encoder_config, facts_that_cannot_be_done_are_refused_by_name) {
    static const struct {
        const char *config, *words;
    } cases[] = {
        {HF("\"num_attention_heads\": 3"), "3 heads (config.json) do not divide the width 160"},
        {HF("\"num_attention_heads\": 1"),
         "of a width of 160 each are not served: expected a width up to 128"},
        {HF("\"hidden_act\": \"gelu\""), "12 heads (config.json, which leaves it at its default)"},
        {HF("\"num_attention_heads\": 2, \"hidden_act\": \"relu\""), "activation relu"},
        {HF("\"num_attention_heads\": 2, \"num_channels\": 4"), "num_channels is 4"},
        {OC(", \"timm_model_name\": \"vit_base\""), "timm_model_name is vit_base"},
        {OC(", \"pool_type\": \"avg\""), "pool_type is avg"},
        {OC(", \"no_ln_pre\": true"), "no_ln_pre is true"},
        {OC(", \"attentional_pool\": \"parallel\""), "attentional_pool is parallel"},
        {OC(", \"ls_init_value\": 1e-5"), "ls_init_value is 1e-5"},
        {OC(", \"norm_kwargs\": {\"bias\": false}"), "bias is false"},
        {"{\"vision_cfg\": {\"width\": 160, \"head_width\": 48}}", "head_width 48 does not divide"},
        {"{\"vision_cfg\": {\"width\": 160, \"head_width\": 80}, \"multimodal_cfg\": {}}", "CoCa"},
        {"{\"vision_cfg\": {\"head_width\": 80}, \"preprocess_cfg\": {\"resize_mode\": "
         "\"longest\"}}",
         "longest"},
        {"{\"vision_cfg\": {\"head_width\": 80}, \"preprocess_cfg\": {\"mode\": \"L\"}}",
         "mode is L"},
        {PP("\"do_resize\": false"), "do_resize false"},
        {PP("\"do_rescale\": false"), "do_rescale is false"},
        {PP("\"rescale_factor\": 1.0"), "rescale_factor is 1"},
        {PP("\"do_center_crop\": false, \"size\": {\"shortest_edge\": 40}"), "do_center_crop"},
        {PP("\"size\": {\"shortest_edge\": 40, \"longest_edge\": 80}"), "longest_edge"},
        {PP("\"size\": {\"height\": 40, \"width\": 48}"), "40 x 48"},
        {PP("\"crop_size\": 48, \"size\": 40"), "crop_size 48 of size 40"},
        {PP("\"do_center_crop\": true, \"crop_size\": [40, 48], \"size\": 48"),
         "crop_size is not square"},
        {PP("\"resample\": 1"), "interpolation lanczos"},
        {PP("\"resample\": \"nearest\""), "interpolation nearest"},
        {PP("\"do_flip_channel_order\": true"), "do_flip_channel_order is true"},
        {PP("\"size\": 42"), "expected a multiple of 8"},
        {PP("\"image_mean\": [124, 117, 104]"), "the mean 124,117,104 (config.json)"},
        {PP("\"image_std\": [58.4, 57.1, 57.4]"), "the std 58.4,57.1,57.4 (config.json)"},
    };
    Bench b = bench_open("openclip_h");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        beside(&b, "config.json", cases[i].config);
        expect_given(&b, &(TurtleEncoder){0}, WORDS("refused: ", cases[i].words));
    }
    /* a flag stands in for a fact that is not served, and says so */
    beside(&b, "config.json",
           HF("\"num_attention_heads\": 3, \"hidden_act\": \"relu\", "
              "\"resample\": 1, \"do_resize\": false"));
    expect_given(
        &b,
        &(TurtleEncoder){
            .heads = 2, .activation = "gelu_tanh", .resize = "squash", .interpolation = "bilinear"},
        WORDS("heads 2 of 80 (--heads)", "activation GELU (tanh) (--activation)",
              "resize squash (--resize)", "interpolation bilinear (--interpolation)",
              "--activation GELU (tanh) overrules config.json",
              "--heads 2 of 80 overrules config.json, which says 3 of 53"));
    away(&b, "config.json");
    static const struct {
        TurtleEncoder given;
        const char *words;
    } flags[] = {{{.heads = -1}, "--heads"},
                 {{.heads = 7}, "7 heads (--heads) do not divide"},
                 {{.heads = 2, .activation = "relu"}, "--activation: 'relu'"},
                 {{.heads = 2, .norm_eps = -1}, "--norm_eps"},
                 {{.heads = 2, .mean = "0.5,0.5"}, "--mean: '0.5,0.5'"},
                 {{.heads = 2, .mean = "0.5,0.5,0.5,0.5"}, "--mean"},
                 {{.heads = 2, .std = "1,0,1"}, "--std"},
                 {{.heads = 2, .std = "nan"}, "--std"},
                 {{.heads = 2, .mean = "124,117,104"}, "(--mean): expected that of pixels of 0"},
                 {{.heads = 2, .mean = "-0.1"}, "(--mean): expected that of pixels of 0 to 1"},
                 {{.heads = 2, .std = "0.2,0.2,57"}, "the std 0.2,0.2,57 (--std): expected"},
                 {{.heads = 2, .resize = "longest"}, "--resize"},
                 {{.heads = 2, .interpolation = "lanczos"}, "--interpolation"},
                 {{.heads = 2, .config = "tests/none.json"}, "tests/none.json"},
                 {{.heads = 2, .config = "tests/goldens/npy"}, "in this folder"}};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        expect_given(&b, &flags[i].given, WORDS("refused: ", flags[i].words));
    bench_close(&b);
}

/* --- the parser ------------------------------------------------------------------------------- */

static EncoderConfig parsed(const char *text) {
    EncoderConfig c;
    Error err;
    cr_assert(encoder_config_parse(&c, text, (int64_t)strlen(text), "text", &err) == OK, "%s: %s",
              err.text, text);
    return c;
}

Test(encoder_config, every_kind_of_file_is_read) {
    /* in an old file of transformers <section>_dict is believed; its missing members have
     * defaults */
    EncoderConfig c = parsed(
        "\xef\xbb\xbf{\"model_type\": \"clip\", \"projection_dim\": 768,\r\n \"vision_config\": "
        "{\"hidden_act\": \"gelu\", \"num_attention_heads\": 4}, \"vision_config_dict\": "
        "{\"hidden_size\": 1024, \"num_attention_heads\": 16, \"id2label\": {\"0\": \"a\"}}, "
        "\"text_config\": {\"hidden_size\": 768}, \"text_config_dict\": null}");
    cr_expect_str_eq(c.family, "clip");
    cr_expect_str_eq(c.image.activation, "quick_gelu");
    cr_expect(c.image.heads == 16 && c.image.width == 1024 && c.image.eps == 1e-5);
    cr_expect(c.image.filled == (CONFIG_ACTIVATION | CONFIG_EPS) && c.features == 768);
    cr_expect(c.text.said && c.text.heads == 8 && c.text.width == 768);

    c = parsed("{\"model_type\": \"dinov2_with_registers\", \"hidden_size\": 1536, "
               "\"num_attention_heads\": 24, \"use_swiglu_ffn\": true, \"image_size\": 518}");
    cr_expect(c.image.gated == 1 && c.image.heads == 24 && c.image.eps == 1e-6);
    cr_expect_str_eq(c.image.activation, "gelu");

    /* one of OpenCLIP's own model files says nothing of pictures; the hub's file does */
    c = parsed("{\"embed_dim\": 1024, \"vision_cfg\": {\"layers\": [3, 4, 6, 3], \"width\": 64, "
               "\"patch_size\": null}, \"text_cfg\": {\"heads\": 8, \"act_kwargs\": "
               "{\"approximate\": \"tanh\"}, \"norm_kwargs\": {\"eps\": 1e-6}}}");
    cr_expect_str_eq(c.family, "open_clip");
    cr_expect(c.image.depth == 16 && c.image.head_width == 64 && !c.mean_said && !*c.fit);
    cr_expect_str_eq(c.text.activation, "gelu_tanh");
    cr_expect(c.text.eps == 1e-6 && c.features == 1024);
    c = parsed("{\"model_cfg\": {\"quick_gelu\": true, \"vision_cfg\": {}}}");
    cr_expect_str_eq(c.image.activation, "quick_gelu");
    cr_expect(c.mean_said && c.std_said && c.mean[0] == 0.48145466);
    cr_expect_str_eq(c.fit, "crop");
    cr_expect_str_eq(c.filter, "bicubic");

    c = parsed("{\"model_cfg\": {\"vision_cfg\": {\"layers\": null, \"width\": 160}, \"text_cfg\": "
               "null}}");
    cr_expect(c.image.width == 160 && c.image.depth == 0 && !c.text.said); /* null says nothing */

    c = parsed(
        "{\"architecture\": \"vit_small_patch14_dinov2\", \"pretrained_cfg\": {\"input_size\": "
        "[3, 518, 518], \"interpolation\": \"bicubic\", \"crop_pct\": 0.875, \"crop_mode\": "
        "\"center\", \"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225]}}");
    cr_expect_str_eq(c.family, "timm");
    cr_expect(c.side == 518 && c.resize == 592 && !c.crop_down && c.mean[2] == 0.406);
    cr_expect_str_eq(c.fit, "crop");
}

Test(encoder_config, every_processor_is_read) {
    static const struct {
        const char *text, *fit, *filter;
        int resize, side;
    } cases[] = {
        {"{\"crop_size\": {\"height\": 224, \"width\": 224}, \"do_center_crop\": true, "
         "\"image_processor_type\": \"BitImageProcessor\", \"resample\": 3, \"size\": "
         "{\"shortest_edge\": 256}}",
         "crop", "bicubic", 256, 224},
        {"{\"crop_size\": 224, \"feature_extractor_type\": \"CLIPFeatureExtractor\", \"size\": "
         "224}",
         "crop", "", 224, 224},
        {"{\"image_processor_type\": \"CLIPImageProcessor\", \"size\": {\"shortest_edge\": 224}}",
         "crop", "", 224, 224},
        {"{\"image_processor_type\": \"ViTImageProcessor\", \"size\": 384, \"resample\": 2}",
         "squash", "bilinear", 384, 384},
        {"{\"image_processor_type\": \"SiglipImageProcessor\", \"size\": {\"height\": 384, "
         "\"width\": "
         "384}, \"resample\": 3, \"do_convert_rgb\": null}",
         "squash", "bicubic", 384, 384},
        {"{\"image_processor\": {\"size\": {\"height\": 256, \"width\": 256}, \"crop_size\": 224, "
         "\"do_center_crop\": true, \"resample\": \"PILImageResampling.BILINEAR\"}, "
         "\"processor_class\": \"CLIPProcessor\"}",
         "squash", "bilinear", 256, 224},
        {"{\"size\": [336, 336], \"do_center_crop\": false, \"resample\": null}", "squash", "", 336,
         336},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const EncoderConfig c = parsed(cases[i].text);
        cr_expect_str_eq(c.family, "preprocessor");
        cr_expect_str_eq(c.fit, cases[i].fit, "%s: %s", cases[i].text, c.fit);
        cr_expect_str_eq(c.filter, cases[i].filter);
        cr_expect(c.resize == cases[i].resize && c.side == cases[i].side && c.crop_down,
                  "%s: %d, %d", cases[i].text, (int)c.resize, (int)c.side);
    }
    const EncoderConfig raw = parsed("{\"do_normalize\": false, \"image_mean\": [1, 2, 3]}");
    cr_expect(raw.mean_said && raw.std_said && raw.mean[1] == 0.0 && raw.std[1] == 1.0);
    cr_expect(!*parsed("{\"image_processor_type\": \"X\", \"name\": \"y\"}").family);
}

/* Parsing ends with a result, or with an error that names the file, for any bytes. */
Test(encoder_config, hostile_bytes_are_refused, .timeout = 60) {
    static const char *const names[] = {"openclip_h_config.json",
                                        "openclip_h_open_clip_config.json",
                                        "openclip_h_preprocessor_config.json"};
    EncoderConfig c;
    Error err;
    for (int f = 0; f < 3; f++) {
        char text[4096], path[96];
        snprintf(path, sizeof path, FOLDER "%s", names[f]);
        read_text(text, sizeof text, path);
        const int64_t n = (int64_t)strlen(text);
        char *bytes =
            malloc((size_t)n); /* the copy is exactly as long: a sanitizer sees a read beyond it */
        for (int64_t cut = 0; cut < n - 1; cut++) {
            char *head = malloc((size_t)cut + 1);
            memcpy(head, text, (size_t)cut);
            cr_expect(encoder_config_parse(&c, head, cut, "cut", &err) == ERR_FORMAT,
                      "%s: %d of %d", names[f], (int)cut, (int)n);
            cr_expect(strstr(err.text, "cut"), "%s", err.text);
            free(head);
        }
        for (uint32_t i = 0; i < 3000; i++) {
            const Philox p = philox_at(11, f, 0, 0, i);
            memcpy(bytes, text, (size_t)n);
            for (int k = 0; k < 3; k++)
                bytes[p.word[k] % (uint32_t)n] = (char)(p.word[3] >> (8 * k));
            const Status st = encoder_config_parse(&c, bytes, n, "changed", &err);
            cr_expect(st == OK || st == ERR_FORMAT);
        }
        free(bytes);
    }
    static const struct {
        const char *front, *unit;
        int times;
    } deep[] = {{"", "[", 100000},
                {"{\"x\": ", "[", 100000},
                {"{\"vision_config\": ", "{\"vision_config\": ", 10000},
                {"", "{\"model_cfg\": ", 10000},
                {"{\"size\": ", "{\"size\": ", 10000},
                {"{\"hidden_act\": \"", "a", 100000},
                {"{\"", "k", 100000},
                {"{\"image_mean\": [", "1,", 100000},
                {"{\"hidden_size\": ", "9", 400}};
    for (size_t i = 0; i < sizeof deep / sizeof *deep; i++) {
        const size_t front = strlen(deep[i].front), unit = strlen(deep[i].unit),
                     n = front + unit * (size_t)deep[i].times;
        char *text = malloc(n);
        memcpy(text, deep[i].front, front);
        for (int k = 0; k < deep[i].times; k++)
            memcpy(text + front + unit * (size_t)k, deep[i].unit, unit);
        cr_expect(encoder_config_parse(&c, text, (int64_t)n, "deep", &err) == ERR_FORMAT,
                  "case %zu", i);
        free(text);
    }
}

/* --- pictures --------------------------------------------------------------------------------- */

Test(encoder_config, pictures_are_resized_as_pillow_does) {
    FILE *f = fopen(FOLDER "resized.txt", "r");
    char name[64], path[96], fit[16], filter[16];
    int w, h, down, cases = 0;
    unsigned expected;
    ResizeRule rule = {0};
    Resizer resizer = {0};
    Error err;
    cr_assert(f);
    while (fscanf(f, "%63s %d %d %15s %15s %d %d %d %x", name, &w, &h, fit, filter, &rule.resize,
                  &rule.crop, &down, &expected) == 9) {
        const size_t bytes = 3 * (size_t)rule.crop * (size_t)rule.crop;
        uint8_t *out = malloc(bytes);
        rule.squash = strcmp(fit, "squash") == 0;
        rule.filter = strcmp(filter, "bilinear") ? RESIZE_BICUBIC : RESIZE_BILINEAR;
        rule.crop_down = down;
        snprintf(path, sizeof path, "images/%s_rgb.npy", name);
        const Image in = {(uint8_t *)golden(path, DTYPE_U8, (int64_t)w * h * 3), w, h};
        ASSERT_OK(resize_image(&resizer, out, &in, &rule, &err), err);
        cr_expect(crc32_of(out, bytes) == expected, "%s: %s %s to %d, crop %d, %d", name, fit,
                  filter, rule.resize, rule.crop, down);
        free(out);
        cases++;
    }
    fclose(f);
    resizer_free(&resizer);
    cr_expect(cases == 44, "%d cases", cases);
}

/* --- as users run it -------------------------------------------------------------------------- */

Test(encoder_config, commands_take_and_tell_the_facts, .timeout = 60) {
    Bench b = bench_open("openclip_h");
    Ran ran;
    const char *run = "features --images tests/goldens/images --skip_bad --name x --root_dir %s/r "
                      "--phis p --threads 1 --weights %s %s";
    run_turtle(&ran, run, b.folder, b.weights, "");
    cr_expect(ran.status == 1 && strstr(ran.err, "--heads N"), "%s", ran.err);
    run_turtle(&ran, run, b.folder, b.weights, "--heads 2 --activation gelu --mean 0.5 --std 0.5");
    cr_expect(ran.status == 0 && strstr(ran.err, "assumed as in CLIP of OpenAI") &&
                  strstr(ran.err, "norm eps 1e-05, crop, bicubic; --config"),
              "%s", ran.err);
    run_turtle(&ran, run, b.folder, b.weights, "--heads 2 --activation relu");
    cr_expect(ran.status == 2, "%s", ran.err);
    run_turtle(&ran, "features --images tests/goldens/images --phis a b --heads 2 --root_dir %s",
               b.folder);
    cr_expect(ran.status == 2 && strstr(ran.err, "one --phis"), "%s", ran.err);

    recorded(&b, "openclip_h_open_clip_config.json", "open_clip_config.json");
    run_turtle(&ran, "info %s", b.weights);
    cr_expect(ran.status == 0 && strstr(ran.out, "QuickGELU (open_clip_config.json)") &&
                  strstr(ran.out, "2 of 80 (open_clip_config.json)") &&
                  strstr(ran.out, "squash (open_clip_config.json)") && !strstr(ran.out, "assumed"),
              "%s", ran.out);
    run_turtle(&ran, "info %s --json --heads 4 --image_size 80", b.weights);
    cr_expect(ran.status == 0 &&
                  strstr(ran.out, "\"heads\": {\"value\": 4, \"source\": \"--heads\"}") &&
                  strstr(ran.out, "overrules open_clip_config.json, which says 2 of 80") &&
                  strstr(ran.out, "5 x 5 patches are interpolated to 10 x 10") &&
                  strstr(ran.out, "\"activation\": {\"value\": \"QuickGELU\""),
              "%s", ran.out);
    run_turtle(&ran, "info %s --config %s/none", b.weights, b.folder);
    cr_expect(ran.status == 0 && strstr(ran.out, "would be refused"), "%s", ran.out);
    bench_close(&b);
}
