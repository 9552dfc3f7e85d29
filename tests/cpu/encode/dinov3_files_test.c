/* dinov3_files_test.c - files of DINOv3 that no golden has: wrappers, shards, types and counts of tensors, and
 * files and configurations that are refused. */
#include "tests/cpu/encode/dinov3.h"

/* --- other files ------------------------------------------------------------------------------ */

/* Writes the tensors with `front` before each name to <name>. Returns the path. */
static char *write_behind(const Bench *b, TensorSet *set, const char *front, const char *name) {
    char *path = format_text("%s/%s", b->folder, name);
    for (int i = 0; i < set->count; i++) {
        char *longer = format_text("%s%s", front, set->tensor[i].name);
        free(set->tensor[i].name);
        set->tensor[i].name = longer;
    }
    write_safetensors(path, set);
    return path;
}

Test(dinov3_files, wrappers_give_the_same_bits) {
    static const char *const fronts[] = {"module.", "backbone.", "teacher.backbone.", "_orig_mod.",
                                         "module.encoder.model."};
    static const char *const files[] = {"dinov3_mlp/dinov3_mlp.pth",
                                        "dinov3_mlp/hf/model.safetensors",
                                        "dinov3_mlp/timm/model.safetensors"},
                             *const names[] = {"dinov3.pth", "hf.safetensors", "timm.safetensors"};
    char said[2048];
    Bench b = bench_open("portable", 2);
    for (int i = 0; i < 3; i++) {
        char *path = lay_out(&b, files[i], names[i]);
        float *plain = class_features(&b, path, &(TurtleEncoder){0}, "mlp", said);
        for (size_t k = 0; k < sizeof fronts / sizeof *fronts; k++) {
            TensorSet set = read_tensors(path, "");
            char *wrapped = write_behind(&b, &set, fronts[k], "wrapped.safetensors");
            float *found = class_features(&b, wrapped, &(TurtleEncoder){0}, "mlp", said);
            cr_expect(memcmp(plain, found, 1024) == 0, "%s: %s", files[i], fronts[k]);
            cr_expect(strstr(said, "is taken off"), "%s", said);
            free(found);
            free(wrapped);
            set_free(&set);
        }
        free(plain);
        free(path);
    }
    bench_close(&b);
}

/* Writes every second tensor of the set to a shard of its own. Returns the line of the index. */
static char *write_shard(const Bench *b, const TensorSet *set, int odd) {
    static TensorSet part;
    char *name = format_text("model-%05d-of-00002.safetensors", odd + 1),
         *path = format_text("%s/%s", b->folder, name), *map = format_text("%s", ""), *longer;
    part.count = 0;
    for (int i = odd; i < set->count; i += 2) {
        part.tensor[part.count++] = set->tensor[i];
        longer =
            format_text("%s%s\"%s\": \"%s\"", map, *map ? ", " : "", set->tensor[i].name, name);
        free(map);
        map = longer;
    }
    write_safetensors(path, &part);
    free(name);
    free(path);
    return map;
}

Test(dinov3_files, shards_give_the_same_bits) {
    char said[2048];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_7b/hf/model.safetensors", "whole.safetensors");
    configure(&b, "dinov3_7b/hf/config.json", NULL, NULL);
    float *plain = class_features(&b, path, &(TurtleEncoder){0}, "7b", said);
    TensorSet set = read_tensors(path, "");
    char *even = write_shard(&b, &set, 0), *odd = write_shard(&b, &set, 1),
         *index = format_text("{\"metadata\": {}, \"weight_map\": {%s, %s}}", even, odd);
    beside(&b, "model.safetensors.index.json", index);
    float *found = class_features(&b, b.folder, &(TurtleEncoder){0}, "7b", said);
    cr_expect(memcmp(plain, found, 1024) == 0);
    set_free(&set);
    free(plain);
    free(found);
    free(even);
    free(odd);
    free(index);
    free(path);
    bench_close(&b);
}

/* A training keeps heads beside the teacher's backbone, EUPE projectors; transformers 5 has blocks in a
 * module `model`; blocks come in chunks. */
Test(dinov3_files, parts_beside_the_encoder_are_passed_over) {
    const int64_t shape[] = {2, 2};
    const float head[4] = {0};
    char said[2048];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/dinov3_mlp.pth", "dinov3.pth"),
         *hf = lay_out(&b, "dinov3_mlp/hf/model.safetensors", "hf.safetensors");
    float *plain = class_features(&b, path, &(TurtleEncoder){0}, "mlp", said),
          *plain_hf = class_features(&b, hf, &(TurtleEncoder){0}, "mlp", said);

    TensorSet set = read_tensors(path, "");
    char *trained = write_behind(&b, &set, "teacher.backbone.", "trained.safetensors");
    add_tensor_to(&set, "teacher.dino_head.mlp.0.weight", DTYPE_F32, 2, shape, head);
    add_tensor_to(&set, "student.backbone.cls_token", DTYPE_F32, 2, shape, head);
    write_safetensors(trained, &set);
    float *found = class_features(&b, trained, &(TurtleEncoder){0}, "mlp", said);
    cr_expect(memcmp(plain, found, 1024) == 0, "teacher");
    free(found);
    set_free(&set);

    set = read_tensors(path, "");
    add_tensor_to(&set, "projectors.vitl.0.weight", DTYPE_F32, 2, shape, head);
    for (int i = 0; i < set.count; i++) {
        char *name = set.tensor[i].name;
        if (strncmp(name, "blocks.1.", 9) != 0) continue;
        set.tensor[i].name = format_text("blocks.1.1.%s", name + 9);
        free(name);
    }
    for (int i = 0; i < set.count; i++) {
        char *name = set.tensor[i].name;
        if (strncmp(name, "blocks.0.", 9) != 0) continue;
        set.tensor[i].name = format_text("blocks.0.0.%s", name + 9);
        free(name);
    }
    write_safetensors(trained, &set);
    found = class_features(&b, trained, &(TurtleEncoder){0}, "mlp", said);
    cr_expect(memcmp(plain, found, 1024) == 0, "chunks");
    cr_expect(strstr(said, "projectors"), "%s", said);
    free(found);
    set_free(&set);

    set = read_tensors(hf, "");
    for (int i = 0; i < set.count; i++) {
        char *name = set.tensor[i].name;
        if (strncmp(name, "layer.", 6) != 0) continue;
        set.tensor[i].name = format_text("model.%s", name);
        free(name);
    }
    write_safetensors(trained, &set);
    found = class_features(&b, trained, &(TurtleEncoder){0}, "mlp", said);
    cr_expect(memcmp(plain_hf, found, 1024) == 0, "model.layer");
    free(found);
    set_free(&set);
    free(plain);
    free(plain_hf);
    free(path);
    free(hf);
    free(trained);
    bench_close(&b);
}

/* Periods of another type are the numbers that they are; the recorded ones are bfloat16's. */
Test(dinov3_files, periods_of_any_type_of_floats) {
    static const DType types[] = {DTYPE_F32, DTYPE_F64, DTYPE_BF16};
    char said[2048];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/dinov3_mlp.pth", "dinov3.pth"),
         *other = format_text("%s/other.safetensors", b.folder);
    float *plain = class_features(&b, path, &(TurtleEncoder){0}, "mlp", said);
    for (int i = 0; i < 3; i++) {
        TensorSet set = read_tensors(path, "");
        Tensor old = *set_find(&set, "rope_embed.periods");
        float values[16];
        double wide[16];
        uint16_t brain[16];
        Error err;
        ASSERT_OK(tensor_read_f32(&old, values, &err), err);
        for (int j = 0; j < 16; j++) {
            uint32_t bits;
            memcpy(&bits, &values[j], 4);
            wide[j] = values[j];
            brain[j] = (uint16_t)(bits >> 16);
        }
        set_drop(&set, "rope_embed.periods");
        add_tensor_to(&set, "rope_embed.periods", types[i], 1, &(int64_t){16},
                      i == 0   ? (const void *)values
                      : i == 1 ? (const void *)wide
                               : (const void *)brain);
        write_safetensors(other, &set);
        float *found = class_features(&b, other, &(TurtleEncoder){0}, "mlp", said);
        cr_expect(memcmp(plain, found, 1024) == 0, "%s", dtype_name(types[i]));
        free(found);
        set_free(&set);
    }
    free(plain);
    free(path);
    free(other);
    bench_close(&b);
}

/* A mask that was saved before it was set is NaN and means 0 for k alone; LayerScale and biases may be
 * missing from all blocks. */
Test(dinov3_files, masks_scales_and_biases_that_are_not_there) {
    char said[2048];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/dinov3_mlp.pth", "dinov3.pth"),
         *other = format_text("%s/other.safetensors", b.folder);
    float *plain = class_features(&b, path, &(TurtleEncoder){0}, "mlp", said);
    TensorSet set = read_tensors(path, "");
    float *mask = (float *)set_find(&set, "blocks.1.attn.qkv.bias_mask")->data;
    for (int i = 0; i < 384; i++) mask[i] = NAN;
    write_safetensors(other, &set);
    float *found = class_features(&b, other, &(TurtleEncoder){0}, "mlp", said);
    cr_expect(memcmp(plain, found, 1024) == 0, "NaN mask");
    free(found);

    /* scales of 1 and biases of 0 are what a missing one means */
    static const char *const gone[] = {"ls1.gamma", "ls2.gamma", "mlp.fc1.bias", "attn.proj.bias"};
    char name[64];
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "blocks.%d.%s", i % 2, gone[i / 2]);
        const Tensor *t = set_find(&set, name);
        for (int64_t j = 0; j < t->count; j++) ((float *)t->data)[j] = i < 4 ? 1.0f : 0.0f;
    }
    write_safetensors(other, &set);
    found = class_features(&b, other, &(TurtleEncoder){0}, "mlp", said);
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "blocks.%d.%s", i % 2, gone[i / 2]);
        set_drop(&set, name);
    }
    write_safetensors(other, &set);
    float *without = class_features(&b, other, &(TurtleEncoder){0}, "mlp", said);
    EXPECT_CLOSE(largest_difference(found, without, 256), 1e-5, "without scales and biases");
    set_free(&set);
    free(plain);
    free(found);
    free(without);
    free(path);
    free(other);
    bench_close(&b);
}

/* transformers saves an empty tensor where there are no registers. */
Test(dinov3_files, registers_that_are_none) {
    const int64_t none[] = {1, 0, 128};
    char said[2048];
    float *found[2];
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/hf/model.safetensors", "model.safetensors"),
         *other = format_text("%s/other.safetensors", b.folder);
    configure(&b, "dinov3_mlp/hf/config.json", "\"num_register_tokens\": 4",
              "\"num_register_tokens\": 0");
    TensorSet set = read_tensors(path, "");
    set_drop(&set, "embeddings.register_tokens");
    for (int i = 0; i < 2; i++) {
        write_safetensors(other, &set);
        found[i] = class_features(&b, other, &(TurtleEncoder){0}, "mlp", said);
        add_tensor_to(&set, "embeddings.register_tokens", DTYPE_F32, 3, none, none);
    }
    cr_expect(memcmp(found[0], found[1], 1024) == 0);
    set_free(&set);
    free(found[0]);
    free(found[1]);
    free(path);
    free(other);
    bench_close(&b);
}

/* --- refusals --------------------------------------------------------------------------------- */

static void expect_refused(const Bench *b, const char *path, const TurtleEncoder *given,
                           const char *says) {
    Encoder *e;
    Error err;
    const EncoderOptions options = {.batch = 1, .image_size = 64, .given = *given};
    const Status st = encoder_open(&e, &b->ops, path, &options, &err);
    cr_expect(st != OK, "expected: %s", says);
    if (st == OK) encoder_close(e);
    else cr_expect(strstr(err.text, says), "expected '%s', got: %s", says, err.text);
}

/* Writes the set with periods of these numbers, and expects a refusal. */
static void refuse_periods(const Bench *b, TensorSet *set, const float *periods, int64_t n,
                           const char *says) {
    char *path = format_text("%s/periods.safetensors", b->folder);
    set_drop(set, "rope_embed.periods");
    add_tensor_to(set, "rope_embed.periods", DTYPE_F32, 1, &n, periods);
    write_safetensors(path, set);
    expect_refused(b, path, &(TurtleEncoder){0}, says);
    free(path);
}

Test(dinov3_files, hostile_files_are_refused) {
    Bench b = bench_open("portable", 2);
    float periods[64];
    char *path = lay_out(&b, "dinov3_mlp/dinov3_mlp.pth", "dinov3.pth"),
         *other = format_text("%s/other.safetensors", b.folder);
    for (int i = 0; i < 64; i++) periods[i] = 1.0f + (float)i;
    expect_refused(&b, path, &(TurtleEncoder){.heads = 4}, "expected --heads 2");
    expect_refused(&b, path, &(TurtleEncoder){.heads = 3}, "do not divide the width 128");
    expect_refused(&b, path, &(TurtleEncoder){.heads = 64, .rope_base = 100.0}, "multiple of 4");
    expect_refused(&b, path, &(TurtleEncoder){.rope_base = -1.0}, "--rope_base");
    expect_refused(&b, path, &(TurtleEncoder){.rope_base = 1e300}, "--rope_base");

    TensorSet set = read_tensors(path, "");
    refuse_periods(&b, &set, periods, 17, "do not divide the width 128");
    refuse_periods(&b, &set, periods, 64, "do not divide the width 128");
    periods[3] = 0.0f;
    refuse_periods(&b, &set, periods, 16, "0 is no period");
    periods[3] = NAN;
    refuse_periods(&b, &set, periods, 16, "is no period");
    periods[3] = 1.0f;
    set_drop(&set, "rope_embed.periods");
    add_tensor_to(&set, "rope_embed.periods", DTYPE_I32, 1, &(int64_t){16}, periods);
    write_safetensors(other, &set);
    expect_refused(&b, other, &(TurtleEncoder){0}, "expected floats");
    set_free(&set);

    static const char *const dropped[] = {"blocks.1.attn.qkv.bias_mask", "blocks.1.ls2.gamma",
                                          "blocks.1.attn.qkv.weight", "norm.bias",
                                          "patch_embed.proj.bias"};
    for (size_t i = 0; i < sizeof dropped / sizeof *dropped; i++) {
        set = read_tensors(path, "");
        set_drop(&set, dropped[i]);
        write_safetensors(other, &set);
        expect_refused(&b, other, &(TurtleEncoder){0}, dropped[i]);
        set_free(&set);
    }
    set = read_tensors(path, "");
    set_find(&set, "storage_tokens")->shape[2] = 64;
    set_find(&set, "storage_tokens")->shape[1] = 8;
    write_safetensors(other, &set);
    expect_refused(&b, other, &(TurtleEncoder){0}, "storage_tokens");
    set_free(&set);
    set = read_tensors(path, "");
    set_rename(&set, "norm.weight", "stages.0.0.dwconv.weight");
    set_drop(&set, "cls_token");
    write_safetensors(other, &set);
    expect_refused(&b, other, &(TurtleEncoder){0}, "ConvNeXt");
    set_free(&set);
    free(path);
    free(other);
    bench_close(&b);
}

Test(dinov3_files, configurations_of_other_networks_are_refused) {
    static const struct {
        const char *old, *new, *says;
    } cases[] = {
        {"\"num_register_tokens\": 4", "\"num_register_tokens\": 3", "num_register_tokens 3"},
        {"\"num_register_tokens\": 4", "\"num_register_tokens\": -1", "num_register_tokens"},
        {"\"num_register_tokens\": 4", "\"num_register_tokens\": \"4\"", "num_register_tokens"},
        {"\"num_register_tokens\": 4,", "", "num_register_tokens 0"},
        {"\"use_gated_mlp\": false", "\"use_gated_mlp\": true", "use_gated_mlp true"},
        {"\"use_gated_mlp\": false", "\"use_gated_mlp\": 1", "use_gated_mlp"},
        {"\"rope_theta\": 100.0", "\"rope_theta\": -1", "rope_theta"},
        {"\"rope_theta\": 100.0", "\"rope_theta\": 1e300", "rope_theta"},
        {"\"rope_theta\": 100.0", "\"rope_theta\": [1]", "rope_theta"},
        {"\"rope_theta\": 100.0", "\"rope_parameters\": {\"rope_type\": \"yarn\"}", "yarn"},
        {"\"hidden_size\": 128", "\"hidden_size\": 384", "a width of 384"},
        {"\"hidden_size\": 128", "\"hidden_size\": 1e99", "hidden_size"},
        {"\"num_attention_heads\": 2", "\"num_attention_heads\": 3", "do not divide"},
        {"\"num_attention_heads\": 2", "\"num_attention_heads\": 128", "multiple of 4"},
        {"\"num_hidden_layers\": 2", "\"num_hidden_layers\": 12", "a depth of 12"},
        {"\"patch_size\": 16", "\"patch_size\": 14", "a patch side of 14"},
        {"\"layer_norm_eps\": 1e-05", "\"layer_norm_eps\": -1", "eps"},
        {"\"model_type\": \"dinov3_vit\"", "\"model_type\": \"dinov3_convnext\"", "convnext"},
        {"\"model_type\": \"dinov3_vit\"", "\"model_type\": \"dinov2\"", "of dinov2"},
    };
    Bench b = bench_open("portable", 2);
    char *path = lay_out(&b, "dinov3_mlp/hf/model.safetensors", "model.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        configure(&b, "dinov3_mlp/hf/config.json", cases[i].old, cases[i].new);
        expect_refused(&b, path, &(TurtleEncoder){0}, cases[i].says);
    }
    free(path);
    bench_close(&b);
}

/* The configuration's base, eps and activation are believed; heads that it leaves out are transformers'. */
Test(dinov3_files, configurations_are_believed) {
    static const struct {
        const char *old, *new;
    } cases[] = {{"\"rope_theta\": 100.0", "\"rope_theta\": 10000"},
                 {"\"rope_theta\": 100.0", "\"rope_parameters\": {\"rope_theta\": 10000.0}"},
                 {"\"layer_norm_eps\": 1e-05", "\"layer_norm_eps\": 0.1"},
                 {"\"hidden_act\": \"gelu\"", "\"hidden_act\": \"quick_gelu\""},
                 {"\"num_attention_heads\": 2", "\"num_attention_heads\": 1"}};
    char said[2048];
    Bench b = bench_open("portable", 2);
    const float *usual = recorded("mlp", 64, "output_f32periods", 256);
    char *path = lay_out(&b, "dinov3_mlp/hf/model.safetensors", "model.safetensors");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        configure(&b, "dinov3_mlp/hf/config.json", cases[i].old, cases[i].new);
        float *found = class_features(&b, path, &(TurtleEncoder){0}, "mlp", said);
        cr_expect(largest_difference(found, usual, 256) > 1e-3, "%s", cases[i].new);
        free(found);
    }
    configure(&b, "dinov3_mlp/hf/config.json", "\"num_attention_heads\": 2,", "");
    expect_refused(&b, path, &(TurtleEncoder){0}, "6 heads");
    free(path);
    bench_close(&b);
}
