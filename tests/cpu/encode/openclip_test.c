/* openclip_test.c - OpenCLIP's encoders in every naming of tests/goldens/encoders_modern, against what open_clip
 * computed from the same weights, on every instruction set; where texts end; relatives that are refused.
 *
 * openclip_h has heads of 80 and QuickGELU, openclip_bigg heads of 104 and GELU (erf). Limits are 15 times the
 * difference of the original's float32 from its float64, at least 2e-5 (MANIFEST). */
#include "host/encode/encoder.h"
#include "host/encode/models.h"
#include "host/encode/text.h"
#include "io/files/gzip.h"
#include "io/images/image.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

#define MODERN "tests/goldens/encoders_modern/"
enum { PICTURES = 3, ROWS = 6, CONTEXT = 77, MOST_FEATURES = 56, MOST_CONFIGS = 3 };

/* --- files ------------------------------------------------------------------------------------ */

/* One naming of one network. A configuration is named by the file that it is copied to. */
typedef struct {
    const char *weights;              /* golden, deflated */
    const char *name;                 /* what the file is called beside its configurations */
    const char *config[MOST_CONFIGS]; /* goldens */
    const char *beside[MOST_CONFIGS]; /* and their names */
    TurtleEncoder given;              /* what no configuration says */
    bool large;                       /* openclip_bigg */
} Naming;

#define H_RECORDED "tests/goldens/encoder_config/openclip_h"
static const Naming namings[] = {
    {H_RECORDED ".safetensors.gz",
     "open_clip_model.safetensors",
     {H_RECORDED "_open_clip_config.json"},
     {"open_clip_config.json"},
     {0},
     false},
    {MODERN "openclip_h/train/epoch_32.pt.gz",
     "epoch_32.pt",
     {NULL},
     {NULL},
     {.heads = 2, .activation = "quickgelu", .resize = "squash"},
     false},
    {MODERN "openclip_h/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "openclip_h/hf/config.json", MODERN "openclip_h/hf/preprocessor_config.json"},
     {"config.json", "preprocessor_config.json"},
     {.resize = "squash"},
     false},
    {MODERN "openclip_bigg/open_clip/open_clip_pytorch_model.bin.gz",
     "open_clip_pytorch_model.bin",
     {MODERN "openclip_bigg/open_clip/open_clip_config.json"},
     {"open_clip_config.json"},
     {.resize = "squash"},
     true},
    {MODERN "openclip_bigg/hf/model.safetensors.gz",
     "model.safetensors",
     {MODERN "openclip_bigg/hf/config.json", MODERN "openclip_bigg/hf/preprocessor_config.json"},
     {"config.json", "preprocessor_config.json"},
     {.resize = "squash"},
     true},
};
enum { NAMINGS = sizeof namings / sizeof *namings };

static void copy_text(const char *from, const char *to) {
    char text[4096];
    read_text(text, sizeof text, from);
    cr_assert(*text, "%s", from);
    write_bytes(to, text, strlen(text));
}

/* Makes a folder of the naming's files. Returns the path of its weights, in fresh memory. */
static char *lay_out(const Bench *b, int i) {
    const Naming *n = &namings[i];
    FileMap map;
    uint8_t *bytes;
    int64_t count;
    Error err;
    char *folder = format_text("%s/%d", b->folder, i),
         *path = format_text("%s/%s", folder, n->name);
    ASSERT_OK(folder_make(folder, &err), err);
    ASSERT_OK(file_map(&map, n->weights, &err), err);
    ASSERT_OK(gzip_inflate(&bytes, &count, map.data, map.bytes, 1 << 24, path, &err), err);
    write_bytes(path, bytes, (size_t)count);
    for (int c = 0; c < MOST_CONFIGS && n->config[c]; c++) {
        char *to = format_text("%s/%s", folder, n->beside[c]);
        copy_text(n->config[c], to);
        free(to);
    }
    file_unmap(&map);
    free(bytes);
    free(folder);
    return path;
}

/* Returns the recorded array of that naming's network. */
static const float *recorded(const Naming *n, const char *what, int64_t count) {
    char name[96];
    snprintf(name, sizeof name, "%s_%s.npy",
             n->large ? "encoders_modern/openclip_bigg" : "encoder_config/openclip_h", what);
    return golden(name, DTYPE_F32, count);
}

static const int32_t *recorded_tokens(const Naming *n) {
    return golden(n->large ? "encoders_modern/openclip_bigg_tokens.npy"
                           : "encoder_config/openclip_h_tokens.npy",
                  DTYPE_I32, ROWS * CONTEXT);
}

static double largest_difference(const float *a, const float *b, int64_t n) {
    double worst = 0.0;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)a[i] - b[i]) <= worst)) worst = fabs((double)a[i] - b[i]);
    return worst;
}

/* --- features --------------------------------------------------------------------------------- */

static void photographs(Image out[PICTURES]) {
    static const struct {
        const char *name;
        int w, h;
    } of[] = {{"photo320x241", 320, 241}, {"prog211x229", 211, 229}, {"square302", 302, 302}};
    for (int i = 0; i < PICTURES; i++) {
        char path[64];
        snprintf(path, sizeof path, "images/%s_rgb.npy", of[i].name);
        out[i] = (Image){(uint8_t *)golden(path, DTYPE_U8, (int64_t)of[i].w * of[i].h * 3), of[i].w,
                         of[i].h};
    }
}

/* Returns the pixels of the photographs, resized as the encoder asks, in fresh memory. */
static uint8_t *pixels_for(const ResizeRule *rule) {
    Image pictures[PICTURES];
    Resizer resizer = {0};
    Error err;
    const int64_t bytes = 3 * (int64_t)rule->crop * rule->crop;
    uint8_t *pixels = malloc((size_t)(PICTURES * bytes));
    photographs(pictures);
    for (int i = 0; i < PICTURES; i++)
        ASSERT_OK(resize_image(&resizer, pixels + i * bytes, &pictures[i], rule, &err), err);
    resizer_free(&resizer);
    return pixels;
}

static Precision precision;

static void image_features(const Bench *b, const char *path, const TurtleEncoder *given,
                           float *features) {
    Encoder *e;
    Error err;
    const EncoderOptions options = {.batch = PICTURES, .given = *given, .precision = precision};
    ASSERT_OK(encoder_open(&e, &b->ops, path, &options, &err), err);
    uint8_t *pixels = pixels_for(&encoder_known(e)->rule);
    cr_assert(encoder_features(e) <= MOST_FEATURES);
    ASSERT_OK(encoder_run(e, features, pixels, PICTURES, &err), err);
    free(pixels);
    encoder_close(e);
}

static void text_features_of(const Bench *b, const char *path, const TurtleEncoder *given,
                             const int32_t *ids, float *features) {
    TextEncoder *t;
    Error err;
    FactOptions known = {.given = *given};
    known.given.heads = 0; /* the flag is the image tower's here */
    ASSERT_OK(text_open_as(&t, &b->ops, path, 4, &known, precision, &err), err);
    cr_assert(text_features(t) <= MOST_FEATURES && text_context(t) == CONTEXT);
    ASSERT_OK(text_run(t, features, ids, ROWS, &err), err);
    text_close(t);
}

/* Compares both towers with the recorded features of the network's own activation and of the other. */
static void compare(const Bench *b, const char *isa, int i) {
    const Naming *n = &namings[i];
    const int64_t d = n->large ? 56 : 48;
    const char *own = n->large ? "gelu" : "quickgelu", *other = n->large ? "quickgelu" : "gelu";
    float found[ROWS * MOST_FEATURES];
    char *path = lay_out(b, i);
    for (int pass = 0; pass < 2; pass++) {
        TurtleEncoder given = n->given;
        if (pass || given.activation) given.activation = pass ? other : own;
        image_features(b, path, &given, found);
        const float *expected = recorded(n, pass ? "output_otheract" : "output", PICTURES * d),
                    *wrong = recorded(n, pass ? "output" : "output_otheract", PICTURES * d);
        EXPECT_CLOSE(largest_difference(found, expected, PICTURES * d),
                     precision ? limit_of(precision, 1e-2) : 2e-5, "%s %s image, %d", n->weights,
                     isa, pass);
        cr_expect(precision || largest_difference(found, wrong, PICTURES * d) > 5e-3,
                  "%s: no difference", isa);

        text_features_of(b, path, &given, recorded_tokens(n), found);
        expected = recorded(n, pass ? "text_otheract" : "text", ROWS * d);
        wrong = recorded(n, pass ? "text" : "text_otheract", ROWS * d);
        EXPECT_CLOSE(largest_difference(found, expected, ROWS * d),
                     precision  ? limit_of(precision, 1e-2)
                     : n->large ? 5e-5
                                : 2e-5,
                     "%s %s text, %d", n->weights, isa, pass);
        cr_expect(precision || largest_difference(found, wrong, ROWS * d) > 5e-3,
                  "%s: no difference", isa);
    }
    free(path);
}

static void every_naming(void) {
    const char *sets[CPU_MAX_SETS + 1];
    cpu_instruction_sets(sets);
    for (int s = 0; sets[s]; s++) {
        Bench b = bench_open(sets[s], 2);
        for (int i = 0; i < NAMINGS; i++) compare(&b, sets[s], i);
        bench_close(&b);
    }
}

Test(openclip, features_in_every_naming_are_the_recorded_ones, .timeout = 300) {
    every_naming();
}

Test(openclip, features_of_16_bits_are_near_the_recorded_ones, .timeout = 300) {
    for (precision = PRECISION_FP16; precision <= PRECISION_BF16; precision++) every_naming();
}

/* The pictures' way to normalised pixels, bit for bit: Pillow's bicubic resize of the whole picture and
 * OpenCLIP's mean and std in float32. */
Test(openclip, squashed_pictures_are_the_recorded_input_to_the_bit, .timeout = 60) {
    static const float mean[3] = {0.48145466f, 0.4578275f, 0.40821073f},
                       std[3] = {0.26862954f, 0.26130258f, 0.27577711f};
    enum { SIDE = 42, AREA = SIDE * SIDE };
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, 3);
    Encoder *e;
    Error err;
    const EncoderOptions options = {.batch = PICTURES, .given = namings[3].given};
    ASSERT_OK(encoder_open(&e, &b.ops, path, &options, &err), err);
    cr_expect(memcmp(encoder_known(e)->mean, mean, sizeof mean) == 0 &&
              memcmp(encoder_known(e)->std, std, sizeof std) == 0);
    uint8_t *pixels = pixels_for(&encoder_known(e)->rule);
    const float *input =
        golden("encoders_modern/openclip_bigg_input.npy", DTYPE_F32, PICTURES * 3 * AREA);
    int64_t differ = 0;
    for (int64_t p = 0; p < PICTURES; p++)
        for (int64_t c = 0; c < 3; c++)
            for (int64_t i = 0; i < AREA; i++) {
                const float x = (float)pixels[(p * AREA + i) * 3 + c] / 255.0f;
                differ += (x - mean[c]) / std[c] != input[(p * 3 + c) * AREA + i];
            }
    cr_expect(differ == 0, "%d numbers differ", (int)differ);
    free(pixels);
    encoder_close(e);
    free(path);
    bench_close(&b);
}

/* --- what the file does not say --------------------------------------------------------------- */

/* Returns 1 if opening fails with all the words. */
static bool refused(const Bench *b, const char *path, const TurtleEncoder *given, bool text,
                    const char *const *words) {
    Error err = {""};
    Encoder *e = NULL;
    TextEncoder *t = NULL;
    const EncoderOptions options = {.batch = 1, .given = *given};
    const FactOptions known = {.given = *given};
    const Status st = text ? text_open_as(&t, &b->ops, path, 1, &known, PRECISION_FP32, &err)
                           : encoder_open(&e, &b->ops, path, &options, &err);
    encoder_close(e);
    text_close(t);
    bool all = st == ERR_ARG || st == ERR_FORMAT;
    for (; all && *words; words++) {
        all = strstr(err.text, *words) != NULL;
        cr_expect(all, "expected '%s' in: %s", *words, err.text);
    }
    return all;
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

Test(openclip, checkpoints_of_a_training_ask_for_heads_and_activation, .timeout = 60) {
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, 1);
    const TurtleEncoder none = {0}, heads = {.heads = 2};
    cr_expect(refused(&b, path, &none, false, WORDS("width 160", "--heads N")));
    cr_expect(refused(&b, path, &heads, false, WORDS("--activation gelu, or quickgelu")));
    cr_expect(refused(&b, path, &none, true, WORDS("--activation gelu, or quickgelu")));
    free(path);
    path = lay_out(&b, 0); /* a file of a hub without its configuration */
    char *config = format_text("%s/0/open_clip_config.json", b.folder);
    cr_assert(unlink(config) == 0);
    cr_expect(refused(&b, path, &heads, false, WORDS("--activation gelu, or quickgelu")));
    free(config);
    free(path);
    bench_close(&b);
}

/* --- published encoders ----------------------------------------------------------------------- */

/* Finds the facts of a published encoder of that shape; weights of another network stand for its file. */
static void published_facts(EncoderFacts *out, const Bench *b, const char *phi, EncoderKind kind,
                            Tower tower, const TurtleEncoder *given) {
    const PublishedModel *m = model_find(phi);
    const EncoderShape shape = {.kind = kind,
                                .width = m->width,
                                .depth = m->depth,
                                .patch = m->patch,
                                .grid = m->pixels / m->patch,
                                .features = m->features,
                                .text_width = 1024,
                                .text_depth = 24};
    char *path = format_text("%s/0/open_clip_model.safetensors", b->folder);
    Weights w;
    Error err;
    ASSERT_OK(weights_open(&w, NULL, NULL, path, &err), err);
    cr_assert(model_is(m, &shape), "%s", phi);
    ASSERT_OK(encoder_facts(out, &shape, tower, &w, &(FactOptions){*given, 0, m}, &err), err);
    cr_expect(!strstr(weights_said(&w), "assumed"), "%s", weights_said(&w));
    weights_close(&w);
    free(path);
}

/* A configuration beside the file says 2 heads and QuickGELU: it is not asked. */
Test(openclip, a_published_name_says_what_tensors_do_not, .timeout = 60) {
    const TurtleEncoder none = {0}, gelu = {.activation = "gelu"};
    Bench b = bench_open("portable", 2);
    EncoderFacts f;
    free(lay_out(&b, 0));
    published_facts(&f, &b, "openclipvitH14_dfn5b", ENCODER_CLIP_VIT, TOWER_IMAGE, &none);
    cr_expect(f.heads == 16 && f.activation == ACT_QUICK_GELU && f.rule.squash &&
              f.rule.crop == 224 && f.rule.filter == RESIZE_BICUBIC);
    cr_expect_str_eq(f.source[FACT_ACTIVATION], "published");
    published_facts(&f, &b, "openclipvitH14_dfn5b", ENCODER_CLIP_VIT, TOWER_TEXT, &none);
    cr_expect(f.heads == 16 && f.activation == ACT_QUICK_GELU);
    published_facts(&f, &b, "openclipvitH14_dfn5b", ENCODER_CLIP_VIT, TOWER_IMAGE, &gelu);
    cr_expect(f.activation == ACT_GELU);
    published_facts(&f, &b, "openclipvitbigG14_laion2b", ENCODER_CLIP_VIT, TOWER_IMAGE, &none);
    cr_expect(f.heads == 16 && f.activation == ACT_GELU && !f.rule.squash && f.rule.crop == 224);
    published_facts(&f, &b, "siglip2so400m14_384", ENCODER_SIGLIP, TOWER_IMAGE, &none);
    cr_expect(f.heads == 16 && f.activation == ACT_GELU_TANH && f.rule.squash &&
              f.rule.crop == 384 && f.rule.filter == RESIZE_BILINEAR && f.mean[0] == 0.5f &&
              f.std[2] == 0.5f);
    bench_close(&b);
}

/* --- texts ------------------------------------------------------------------------------------ */

/* Changes the token that ends a text in the configuration of Hugging Face's naming. */
static void end_texts_with(const Bench *b, const char *eos) {
    char text[4096], *path = format_text("%s/2/config.json", b->folder), *changed;
    read_text(text, sizeof text, MODERN "openclip_h/hf/config.json");
    char *at = strstr(text, "\"eos_token_id\": 2");
    cr_assert(at != NULL);
    changed = format_text("%.*s\"eos_token_id\": %s%s", (int)(at - text), text, eos, at + 17);
    write_bytes(path, changed, strlen(changed));
    free(changed);
    free(path);
}

/* A text is causal: ended at token k it has the features of its first k + 1 tokens, whatever follows. */
Test(openclip, texts_end_where_the_configuration_says, .timeout = 60) {
    enum { D = 48, FIRST = 254, END = 255 };
    static const struct {
        const char *eos;
        int at; /* index of the last token that counts */
    } cases[] = {{"2", 5},  {"null", 5}, {"[255]", 5}, {"255", 5},
                 {"90", 3}, {"199", 0},  {"3000", 0}};
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, 2);
    int32_t ids[ROWS * CONTEXT] = {FIRST, 17, 31, 90, 90, END, 8};
    float found[ROWS * D], cut[ROWS * D];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        end_texts_with(&b, cases[i].eos);
        text_features_of(&b, path, &(TurtleEncoder){0}, ids, found);
        int32_t shorter[ROWS * CONTEXT] = {0};
        memcpy(shorter, ids, (size_t)(cases[i].at + 1) * sizeof *ids);
        if (cases[i].at == 3) shorter[4] = END; /* no token sees a later one */
        text_features_of(&b, path, &(TurtleEncoder){0}, shorter, cut);
        cr_expect(memcmp(found, cut, D * sizeof *found) == 0, "eos_token_id %s", cases[i].eos);
    }
    free(path);
    bench_close(&b);
}

/* --- relatives -------------------------------------------------------------------------------- */

Test(openclip, relatives_are_refused_with_a_reason, .timeout = 60) {
    static const struct {
        const char *drop, *add, *reason;
    } cases[] = {
        {NULL, "visual.attn_pool.query", "CoCa"},
        {"visual.ln_pre.", NULL, "CLIPA"},
        {NULL, "visual.transformer.resblocks.1.ls_1.gamma", "ls_init_value"},
        {NULL, "visual.transformer.resblocks.0.attn.ln_q.weight", "qk_norm"},
        {NULL, "visual.transformer.resblocks.0.ln_attn.weight", "scale_attn"},
        {NULL, "visual.transformer.resblocks.0.mlp.ln.weight", "scale_fc"},
        {NULL, "visual.rope.freqs", "rotated positions"},
    };
    const TurtleEncoder given = {.heads = 2, .activation = "gelu"};
    Bench b = bench_open("portable", 2);
    char *from = lay_out(&b, 0), *path = format_text("%s/x.safetensors", b.folder);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        TensorSet set = read_tensors(from, "");
        for (int t = 0; cases[i].drop && t < set.count; t++)
            if (strncmp(set.tensor[t].name, cases[i].drop, strlen(cases[i].drop)) == 0)
                set_drop(&set, set.tensor[t--].name);
        if (cases[i].add)
            add_tensor_to(&set, cases[i].add, DTYPE_F32, 1, &(int64_t){1}, &(float){0.5f});
        write_safetensors(path, &set);
        cr_expect(refused(&b, path, &given, false, WORDS("relative of CLIP", cases[i].reason)),
                  "%s", cases[i].reason);
        set_free(&set);
    }
    free(from);
    free(path);
    bench_close(&b);
}
