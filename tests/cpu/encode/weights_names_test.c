/* weights_names_test.c - wrapped files of weights: the same tensors under other names and in several
 * files give the same bits as the plain file, and what was taken off is said. The plain files are
 * held against the original implementations in encoder_test.c. */
#include "host/encode/encoder.h"
#include "host/encode/text.h"
#include "io/arrays/shards.h"
#include "io/arrays/torch_file.h"
#include "tests/support/encoder_bench.h"
#include "tests/support/weights_rename.h"

#define DINO TURTLE_BUILD "/goldens/encoders/dinov2_mlp_tiny.pth"
#define CLIP TURTLE_BUILD "/goldens/encoders/clip_vit_smallvocab_sd.pth"
enum { SIDE = 56, PIXELS = SIDE * SIDE * 3, MOST_FEATURES = 128 };

/* --- what a file gives ------------------------------------------------------------------------ */

typedef struct {
    float features[MOST_FEATURES];
    int64_t d;
    char *said; /* fresh memory */
} Outcome;

/* Returns the lines without those of encoder_facts, "encoder: ...", which are another test's. */
static char *said_of_weights(const char *lines) {
    char *kept = format_text("%s", "");
    for (const char *end; (end = strchr(lines, '\n')); lines = end + 1) {
        if (strncmp(lines, "encoder: ", 9) == 0) continue;
        char *longer = format_text("%s%.*s", kept, (int)(end + 1 - lines), lines);
        free(kept);
        kept = longer;
    }
    return kept;
}

/* Computes features of one picture of pseudo-random pixels, by the encoder of that file. The activation
 * is given to all files alike: OpenCLIP's checkpoints do not say it. */
static Status encode(const Bench *b, const char *path, Outcome *out, Error *err) {
    Encoder *e;
    uint8_t pixels[PIXELS];
    uint32_t x = 1;
    *out = (Outcome){0};
    for (int i = 0; i < PIXELS; i++) pixels[i] = (uint8_t)((x = x * 1664525u + 1013904223u) >> 24);
    const EncoderOptions options = {
        .batch = 1, .image_size = SIDE, .given.activation = "quickgelu"};
    Status st = encoder_open(&e, &b->ops, path, &options, err);
    if (st != OK) return st;
    out->d = encoder_features(e);
    cr_assert(out->d <= MOST_FEATURES);
    out->said = said_of_weights(encoder_said(e));
    st = encoder_run(e, out->features, pixels, 1, err);
    encoder_close(e);
    return st;
}

static Outcome encoded(const Bench *b, const char *path) {
    Outcome out;
    Error err;
    ASSERT_OK(encode(b, path, &out, &err), err);
    return out;
}

static char *write_set(const Bench *b, const char *name, TensorSet *set) {
    char *path = format_text("%s/%s", b->folder, name);
    Error err;
    if (strstr(name, ".safetensors")) write_safetensors(path, set);
    else ASSERT_OK(torch_save(path, set->tensor, set->count, &err), err);
    return path;
}

/* The file must hold the plain file's network, and there must be a line for each of `says`; ""
 * means no line at all. */
static void expect_same(const Bench *b, TensorSet *set, const char *name, const char *plain,
                        const char *const *says) {
    char *path = write_set(b, name, set);
    Outcome one = encoded(b, plain), other = encoded(b, path);
    cr_expect(one.d == other.d &&
                  memcmp(one.features, other.features, (size_t)one.d * sizeof(float)) == 0,
              "%s: other features", says[0]);
    cr_expect_str_eq(one.said, "", "the plain file says: %s", one.said);
    for (; *says; says++)
        cr_expect(**says ? strstr(other.said, *says) != NULL : !*other.said,
                  "expected '%s', got: %s", *says, other.said);
    free(one.said);
    free(other.said);
    free(path);
    set_free(set);
}

/* The file must be refused with all of the words. */
static void expect_refused(const Bench *b, TensorSet *set, const char *name,
                           const char *const *words) {
    char *path = write_set(b, name, set);
    Outcome out;
    Error err = {""};
    const Status st = encode(b, path, &out, &err);
    cr_expect(st == ERR_FORMAT, "expected a refusal with '%s', got status %d", words[0], st);
    for (; *words; words++)
        cr_expect(strstr(err.text, *words), "expected '%s' in: %s", *words, err.text);
    free(out.said);
    free(path);
    set_free(set);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- names ------------------------------------------------------------------------------------ */

/* Puts `front` before the names that begin with `begin`. */
static void put_front(TensorSet *set, const char *front, const char *begin) {
    for (int i = 0; i < set->count; i++) {
        Tensor *t = &set->tensor[i];
        if (strncmp(t->name, begin, strlen(begin)) != 0) continue;
        char *name = format_text("%s%s", front, t->name);
        free(t->name);
        t->name = name;
    }
}

static void replace_in(TensorSet *set, const char *from, const char *to) {
    for (int i = 0; i < set->count; i++) {
        Tensor *t = &set->tensor[i];
        const char *at = strstr(t->name, from);
        if (!at) continue;
        char *name = format_text("%.*s%s%s", (int)(at - t->name), t->name, to, at + strlen(from));
        free(t->name);
        t->name = name;
    }
}

static void add_number(TensorSet *set, const char *name) {
    add_tensor_to(set, name, DTYPE_F32, 1, &(int64_t){1}, &(float){0.5f});
}

/* Adds the tensors of another network of the same names, all of them 0.25. */
static void add_other(TensorSet *set, const char *path, const char *front) {
    TensorSet other = read_tensors(path, "");
    for (int i = 0; i < other.count; i++) {
        const Tensor *t = &other.tensor[i];
        float *values = malloc((size_t)t->count * sizeof *values);
        for (int64_t j = 0; j < t->count; j++) values[j] = 0.25f;
        char *name = format_text("%s%s", front, t->name);
        add_tensor_to(set, name, DTYPE_F32, t->axes, t->shape, values);
        free(name);
        free(values);
    }
    set_free(&other);
}

static TensorSet wrapped(const char *path, const char *front) {
    TensorSet set = read_tensors(path, "");
    put_front(&set, front, "");
    return set;
}

Test(weights_names, prefixes_of_every_kind_are_taken_off, .timeout = 120) {
    static const struct {
        const char *front, *says;
    } fronts[] = {
        {"", ""},
        {"module.", "prefix 'module.' is taken off"},
        {"_orig_mod.", "prefix '_orig_mod.'"},
        {"module._orig_mod.", "wrappers inside of"},
        {"backbone.", "prefix 'backbone.'"},
        {"dinov2.", "prefix 'dinov2.'"},
        {"model.encoder.vit.", "prefix 'model.encoder.vit.'"},
        {"module.module.module.module.module.", "'module.module.module.module.module.'"},
        {"_fsdp_wrapped_module.", "prefix '_fsdp_wrapped_module.'"},
        {"state_dict/", "tensors are those of 'state_dict'"},
        {"model/", "tensors are those of 'model'"},
        {"student/", "tensors are those of 'student'"},
        {"a/b/c/", "tensors are those of 'a/b/c'"},
        {"state_dict/module.", "tensors are those of 'state_dict', prefix 'module.' taken off"},
        {"teacher/backbone.", "tensors are those of 'teacher', prefix 'backbone.' taken off"},
        {"model/teacher.backbone.", "those of 'model', prefix 'teacher.backbone.' taken off"},
    };
    Bench b = bench_open("portable", 1);
    for (size_t i = 0; i < sizeof fronts / sizeof *fronts; i++) {
        TensorSet set = wrapped(DINO, fronts[i].front);
        expect_same(&b, &set, i % 2 ? "x.pth" : "x.safetensors", DINO, WORDS(fronts[i].says));
        set = wrapped(CLIP, fronts[i].front);
        expect_same(&b, &set, i % 2 ? "x.safetensors" : "x.pt", CLIP, WORDS(fronts[i].says));
    }
    bench_close(&b);
}

Test(weights_names, names_of_hugging_face_are_found_with_and_without_prefixes, .timeout = 120) {
    static const char *const fronts[] = {"", "clip.", "model.clip.", "module."};
    static const char *const dino_fronts[] = {"", "dinov2.", "dinov2_with_registers.", "backbone."};
    Bench b = bench_open("portable", 1);
    for (int i = 0; i < 4; i++) {
        char *said = *fronts[i] ? format_text("prefix '%s'", fronts[i]) : format_text("%s", "");
        TensorSet set = read_tensors(CLIP, "");
        hugging_face_clip(&set);
        put_front(&set, fronts[i], "");
        expect_same(&b, &set, "x.safetensors", CLIP, WORDS(said));
        free(said);
        said = *dino_fronts[i] ? format_text("prefix '%s'", dino_fronts[i]) : format_text("%s", "");
        set = read_tensors(TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth", "");
        hugging_face_dinov2(&set, 1, true);
        put_front(&set, dino_fronts[i], "");
        expect_same(&b, &set, "x.safetensors",
                    TURTLE_BUILD "/goldens/encoders/dinov2_reg_mlp_tiny.pth", WORDS(said));
        free(said);
    }
    /* the image tower alone: with its projection, and under names that begin inside of it */
    TensorSet set = read_tensors(CLIP, "visual.");
    expect_same(&b, &set, "x.safetensors", CLIP, WORDS(""));
    set = read_tensors(CLIP, "visual.");
    replace_in(&set, "visual.", "");
    expect_same(&b, &set, "x.safetensors", CLIP, WORDS("without 'visual.'"));
    set = read_tensors(CLIP, "visual.");
    replace_in(&set, "visual.", "image_encoder.");
    expect_same(&b, &set, "x.safetensors", CLIP,
                WORDS("without 'visual.'", "prefix 'image_encoder.' is taken off"));
    bench_close(&b);
}

static void keep_vision(TensorSet *set) {
    for (int i = set->count - 1; i >= 0; i--)
        if (strncmp(set->tensor[i].name, "vision_model.", 13) != 0)
            set_drop(set, set->tensor[i].name);
}

/* With the identity as its projection, CLIP's features are the class token after the last norm. */
Test(weights_names, a_vision_model_without_projection_gives_its_class_token, .timeout = 60) {
    enum { D = 64 };
    Bench b = bench_open("portable", 1);
    TensorSet set = read_tensors(CLIP, "");
    static float identity[D * D];
    for (int i = 0; i < D; i++) identity[i * D + i] = 1.0f;
    set_drop(&set, "visual.proj");
    add_tensor_to(&set, "visual.proj", DTYPE_F32, 2, (int64_t[]){D, D}, identity);
    char *plain = write_set(&b, "identity.safetensors", &set);
    for (int bare = 0; bare < 2; bare++) {
        TensorSet vision = read_tensors(CLIP, "");
        hugging_face_clip(&vision);
        keep_vision(&vision);
        if (bare) replace_in(&vision, "vision_model.", "");
        char *path = write_set(&b, "vision.safetensors", &vision);
        Outcome one = encoded(&b, plain), other = encoded(&b, path);
        cr_expect(one.d == D && other.d == D);
        cr_expect(relative_error(other.features, one.features, D) <= 1e-6);
        cr_expect(strstr(other.said, "no visual_projection.weight"), "%s", other.said);
        cr_expect(!bare == !strstr(other.said, "without 'vision_model.'"), "%s", other.said);
        free(one.said);
        free(other.said);
        free(path);
        set_free(&vision);
    }
    set_free(&set);
    free(plain);

    set = read_tensors(CLIP, ""); /* beside a text encoder the projection is missing */
    hugging_face_clip(&set);
    set_drop(&set, "visual_projection.weight");
    expect_refused(&b, &set, "x.safetensors", WORDS("visual_projection.weight is missing"));
    bench_close(&b);
}

/* --- what lies beside a network --------------------------------------------------------------- */

Test(weights_names, heads_are_passed_over_with_a_count, .timeout = 120) {
    static const struct {
        const char *front, *head, *says;
    } heads[] = {
        {"", "head.weight", "passed over: 1 of head"},
        {"", "fc_norm.bias", "1 of fc_norm"},
        {"", "pre_logits.fc.weight", "1 of pre_logits"},
        {"", "classifier.weight", "1 of classifier"},
        {"dinov2.", "classifier.weight", "1 of classifier"},
        {"backbone.", "head.mlp.0.weight", "1 of head"},
        {"backbone.", "projector.0.weight", "1 of projector"},
        {"module.backbone.", "module.ibot_head.last_layer.weight_g", "1 of ibot_head"},
        {"teacher/backbone.", "teacher/dino_head.mlp.0.weight", "1 of dino_head"},
        {"teacher/backbone.", "dino_loss/center", "1 of dino_loss"},
        {"model/", "optimizer/state/0/exp_avg", "1 of optimizer"},
        {"model/", "queue", "1 of queue"},
        {"", "optimizer/state/0/exp_avg", "1 of optimizer"},
    };
    Bench b = bench_open("portable", 1);
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        TensorSet set = wrapped(DINO, heads[i].front);
        add_number(&set, heads[i].head);
        expect_same(&b, &set, "x.safetensors", DINO, WORDS(heads[i].says));
    }
    TensorSet set = wrapped(CLIP, "");
    add_number(&set, "logit_bias");
    expect_same(&b, &set, "x.safetensors", CLIP, WORDS("passed over: 1 of logit_bias"));
    set = wrapped(CLIP, "module.");
    add_number(&set, "module.logit_bias");
    add_number(&set, "module.classifier.weight");
    add_number(&set, "module.classifier.bias");
    expect_same(&b, &set, "x.safetensors", CLIP,
                WORDS("prefix 'module.'", "1 of logit_bias", "2 of classifier"));
    bench_close(&b);
}

Test(weights_names, an_average_is_read_before_what_it_is_of, .timeout = 120) {
    static const struct {
        const char *read, *other;
    } pairs[] = {
        {"teacher/backbone.", "student/module.backbone."},
        {"model/teacher.backbone.", "model/student.backbone."},
        {"teacher.", "student."},
        {"model_ema/", "model/"},
        {"state_dict_ema/", "state_dict/"},
        {"ema.module.", "model.module."},
        {"target_encoder/module.", "encoder/module."},
        {"base_encoder.", "momentum_encoder."},
    };
    Bench b = bench_open("portable", 1);
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        for (int first = 0; first < 2; first++) { /* whichever stands first in the file */
            TensorSet set = {.count = 0};
            if (first) add_other(&set, DINO, pairs[i].other);
            TensorSet plain = read_tensors(DINO, "");
            for (int j = 0; j < plain.count; j++) {
                const Tensor *t = &plain.tensor[j];
                char *name = format_text("%s%s", pairs[i].read, t->name);
                add_tensor_to(&set, name, t->type, t->axes, t->shape, t->data);
                free(name);
            }
            set_free(&plain);
            if (!first) add_other(&set, DINO, pairs[i].other);
            char *says = format_text("of two networks the one with %scls_token is read, not "
                                     "%scls_token",
                                     pairs[i].read, pairs[i].other);
            expect_same(&b, &set, "x.safetensors", DINO, WORDS(says, "passed over: 35 of "));
            free(says);
        }
    bench_close(&b);
}

Test(weights_names, what_is_not_understood_is_refused, .timeout = 120) {
    Bench b = bench_open("portable", 1);
    TensorSet set = wrapped(DINO, "");
    add_other(&set, CLIP, ""); /* two networks, neither of them an average */
    expect_refused(&b, &set, "x.safetensors",
                   WORDS("two networks", "cls_token", "visual.class_embedding"));
    set = wrapped(DINO, "model_a.");
    add_other(&set, DINO, "model_b.");
    expect_refused(&b, &set, "x.safetensors",
                   WORDS("two networks", "model_a.cls_token", "model_b.cls_token"));

    set = wrapped(DINO, ""); /* a prefix on some tensors only */
    put_front(&set, "module.", "blocks.1.");
    expect_refused(&b, &set, "x.safetensors", WORDS("tensor module.blocks.1.", "not belong"));
    set = wrapped(DINO, "");
    put_front(&set, "module.", "norm.");
    expect_refused(&b, &set, "x.safetensors",
                   WORDS("tensor norm.weight is missing", "there is module.norm.weight"));
    set = wrapped(DINO, "");
    put_front(&set, "backbone.", "c");
    expect_refused(&b, &set, "x.safetensors", WORDS("is outside of 'backbone.'", "cls_token"));
    set = wrapped(CLIP, "");
    put_front(&set, "module.", "visual.");
    expect_refused(&b, &set, "x.safetensors", WORDS("is outside of 'module.'"));

    set = wrapped(DINO, "module.");
    add_number(&set, "module.adapter.weight");
    expect_refused(&b, &set, "x.safetensors", WORDS("tensor module.adapter.weight", "not belong"));
    set = wrapped(DINO, "backbone.");
    add_number(&set, "decoder.weight");
    expect_refused(&b, &set, "x.safetensors", WORDS("tensor decoder.weight", "no known head"));
    set = wrapped(DINO, "backbone.");
    set_drop(&set, "backbone.blocks.0.ls1.gamma");
    expect_refused(&b, &set, "x.safetensors", WORDS("backbone.blocks.0.ls1.gamma is missing"));

    set = wrapped(DINO, ""); /* one name twice once the compiler's prefix is taken off */
    add_number(&set, "blocks._orig_mod.0.norm1.weight");
    expect_refused(&b, &set, "x.safetensors", WORDS("two tensors are blocks.0.norm1.weight"));

    set = read_tensors(DINO, "blocks.");
    expect_refused(&b, &set, "x.safetensors", WORDS("not of CLIP or DINOv2", "first is blocks."));
    bench_close(&b);
}

/* --- blocks ----------------------------------------------------------------------------------- */

Test(weights_names, blocks_in_chunks_are_numbered_through, .timeout = 60) {
    static const char *const places[][2] = {
        {"blocks.0.0.", "blocks.1.1."}, /* DINOv2's: indices go on */
        {"blocks.0.0.", "blocks.1.0."}, /* they begin again */
        {"blocks.0.0.", "blocks.0.1."}, /* one chunk */
        {"blocks.3.0.", "blocks.7.1."},
    };
    Bench b = bench_open("portable", 1);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        TensorSet set = read_tensors(DINO, "");
        replace_in(&set, "blocks.0.", places[i][0]);
        for (int j = 0; j < set.count; j++) /* but not what was put into a chunk just now */
            if (strncmp(set.tensor[j].name, "blocks.1.", 9) == 0) {
                char *name = format_text("%s%s", places[i][1], set.tensor[j].name + 9);
                free(set.tensor[j].name);
                set.tensor[j].name = name;
            }
        put_front(&set, i % 2 ? "teacher/backbone." : "", "");
        expect_same(&b, &set, "x.pth", DINO, WORDS("blocks in chunks"));
    }
    static const char *const holes[][2] = {{"blocks.0.0.", "blocks.1.2."},
                                           {"blocks.0.1.", "blocks.1.2."},
                                           {"blocks.0.0.", "blocks.1.99999999999999999999."},
                                           {"blocks.0.0.", "blocks.1."}};
    for (size_t i = 0; i < sizeof holes / sizeof *holes; i++) {
        TensorSet set = read_tensors(DINO, "");
        replace_in(&set, "blocks.1.", holes[i][1]);
        replace_in(&set, "blocks.0.", holes[i][0]);
        expect_refused(&b, &set, "x.safetensors", WORDS("blocks."));
    }
    bench_close(&b);
}

Test(weights_names, wrappers_inside_of_names_are_taken_off, .timeout = 60) {
    Bench b = bench_open("portable", 1);
    TensorSet set = wrapped(DINO, "_fsdp_wrapped_module.");
    replace_in(&set, "blocks.0.", "blocks.0._fsdp_wrapped_module.");
    replace_in(&set, "blocks.1.", "blocks.1._fsdp_wrapped_module._checkpoint_wrapped_module.");
    expect_same(&b, &set, "x.safetensors", DINO,
                WORDS("prefix '_fsdp_wrapped_module.'", "wrappers inside of 28 names"));
    set = wrapped(CLIP, "");
    replace_in(&set, "visual.", "visual._orig_mod.");
    expect_same(&b, &set, "x.safetensors", CLIP, WORDS("wrappers inside of"));
    bench_close(&b);
}

/* --- texts ------------------------------------------------------------------------------------ */

static void expect_same_texts(const Bench *b, const char *path, const char *says) {
    enum { CONTEXT = 77, D = 48 };
    int32_t ids[CONTEXT] = {5, 7, 11, 511};
    const char *const paths[] = {CLIP, path};
    float features[2][D];
    for (int i = 0; i < 2; i++) {
        TextEncoder *t;
        Error err;
        const FactOptions known = {.given.activation = "quickgelu"};
        ASSERT_OK(text_open_as(&t, &b->ops, paths[i], 1, &known, PRECISION_FP32, &err), err);
        cr_assert(text_features(t) == D && text_context(t) == CONTEXT);
        ASSERT_OK(text_run(t, features[i], ids, 1, &err), err);
        cr_expect(i == 0 || strstr(text_said(t), says), "%s", text_said(t));
        text_close(t);
    }
    cr_expect(memcmp(features[0], features[1], sizeof features[0]) == 0, "%s", says);
}

Test(weights_names, texts_of_wrapped_files_are_encoded, .timeout = 60) {
    Bench b = bench_open("portable", 1);
    TensorSet set = wrapped(CLIP, "state_dict/module.");
    add_number(&set, "optimizer/state/0/exp_avg");
    char *path = write_set(&b, "epoch_3.pt", &set);
    expect_same_texts(&b, path, "prefix 'module.' taken off");
    set_free(&set);
    free(path);

    set = read_tensors(CLIP, ""); /* open_clip's CustomTextCLIP */
    for (int i = 0; i < set.count; i++)
        if (strncmp(set.tensor[i].name, "visual.", 7) != 0 &&
            strcmp(set.tensor[i].name, "logit_scale") != 0) {
            char *name = format_text("text.%s", set.tensor[i].name);
            free(set.tensor[i].name);
            set.tensor[i].name = name;
        }
    path = write_set(&b, "x.safetensors", &set);
    expect_same_texts(&b, path, "prefix 'text.' of the text encoder");
    expect_same(&b, &set, "y.safetensors", CLIP, WORDS("prefix 'text.'"));
    free(path);

    set = read_tensors(CLIP, "visual."); /* a text encoder of another kind */
    add_number(&set, "text.transformer.embeddings.word_embeddings.weight");
    expect_same(&b, &set, "x.safetensors", CLIP,
                WORDS("its text encoder is not CLIP's", "passed over: 1 of text"));
    bench_close(&b);
}

/* --- types ------------------------------------------------------------------------------------ */

Test(weights_names, doubles_are_the_same_weights, .timeout = 60) {
    Bench b = bench_open("portable", 1);
    TensorSet set = wrapped(DINO, "module.");
    for (int i = 0; i < set.count; i++) {
        Tensor *t = &set.tensor[i];
        double *wide = malloc((size_t)t->count * sizeof *wide);
        for (int64_t j = 0; j < t->count; j++) wide[j] = ((const float *)t->data)[j];
        free((void *)t->data);
        t->data = wide;
        t->type = DTYPE_F64;
    }
    expect_same(&b, &set, "x.safetensors", DINO, WORDS("prefix 'module.'"));
    bench_close(&b);
}

/* --- the program ------------------------------------------------------------------------------ */

/* Whoever meets a wrapped file says so: once, on stderr or in what it prints. */
Test(weights_names, the_program_says_what_was_taken_off, .timeout = 60) {
    static const char *const says[] = {
        "tensors are those of 'teacher', prefix 'backbone.' taken off",
        "of two networks the one with teacher/backbone.cls_token",
        "tensors passed over: 35 of student, 1 of dino_head"};
    Bench b = bench_open("portable", 1);
    Ran ran;
    TensorSet set = wrapped(DINO, "teacher/backbone.");
    add_other(&set, DINO, "student/module.backbone.");
    add_number(&set, "teacher/dino_head.mlp.0.weight");
    char *path = write_set(&b, "teacher.safetensors", &set);
    char *image = format_text("%s/images/0.ppm", b.folder),
         *folder = format_text("%s/images", b.folder);
    uint8_t picture[15 + 8 * 8 * 3] = "P6\n8 8\n255\n";
    Error err;
    ASSERT_OK(folder_make(folder, &err), err);
    write_bytes(image, picture, 11 + 8 * 8 * 3);

    run_turtle(&ran, "info %s", path);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < 3; i++) cr_expect(strstr(ran.out, says[i]), "%s: %s", says[i], ran.out);
    cr_expect(strstr(ran.out, "student/module.backbone.cls_token"),
              "info names tensors as they are");
    run_turtle(&ran, "info --json %s", path);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < 3; i++) cr_expect(strstr(ran.out, says[i]), "%s", says[i]);

    for (int quiet = 0; quiet < 2; quiet++) {
        run_turtle(&ran,
                   "features --images %s --name x --weights %s --root_dir %s/r --image_size 56 "
                   "--threads 1 %s",
                   folder, path, b.folder, quiet ? "--quiet" : "");
        cr_assert(ran.status == 0, "%s", ran.err);
        for (int i = 0; i < 3; i++) {
            const char *at = strstr(ran.err, says[i]);
            cr_expect((at == NULL) == (quiet == 1), "%s: %s", says[i], ran.err);
            cr_expect(!at || !strstr(at + 1, says[i]), "twice: %s", ran.err);
        }
    }
    free(folder);
    free(image);
    free(path);
    set_free(&set);
    bench_close(&b);
}
