/* weights_rename.h - the tensors of original CLIP and DINOv2 under the names of Hugging Face's
 * transformers. */
#ifndef TURTLE_TESTS_SUPPORT_WEIGHTS_RENAME_H
#define TURTLE_TESTS_SUPPORT_WEIGHTS_RENAME_H

#include "tests/support/weights_file.h"

/* Splits <name>weight and <name>bias of packed q, k, v rows into three. */
static inline void split_qkv(TensorSet *set, const char *weight, const char *bias,
                             const char *to[3]) {
    const char *const ends[] = {"weight", "bias"}, *const names[] = {weight, bias};
    for (int part = 0; part < 2; part++) {
        const Tensor t = *set_find(set, names[part]);
        const int64_t shape[] = {t.shape[0] / 3, t.shape[1]}, n = t.count / 3;
        for (int i = 0; i < 3; i++) {
            char *name = format_text("%s%s", to[i], ends[part]);
            add_tensor_to(set, name, t.type, t.axes, shape,
                          (const uint8_t *)t.data + i * n * dtype_bytes(t.type));
            free(name);
        }
        set_drop(set, names[part]);
    }
}

/* Stores a (rows,cols) matrix the other way round. */
static inline void transpose(TensorSet *set, const char *name) {
    Tensor *t = set_find(set, name);
    const int64_t rows = t->shape[0], cols = t->shape[1];
    const int size = dtype_bytes(t->type);
    uint8_t *to = malloc((size_t)(t->count * size));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            memcpy(to + (j * rows + i) * size, (const uint8_t *)t->data + (i * cols + j) * size,
                   (size_t)size);
    free((void *)t->data);
    t->data = to;
    t->shape[0] = cols;
    t->shape[1] = rows;
}

static inline void rename_pair(TensorSet *set, const char *from, const char *to) {
    static const char *const ends[] = {"weight", "bias"};
    for (int i = 0; i < 2; i++) {
        char *a = format_text("%s.%s", from, ends[i]), *z = format_text("%s.%s", to, ends[i]);
        set_rename(set, a, z);
        free(a);
        free(z);
    }
}

/* Renames one tower of CLIP as Hugging Face's transformers do. */
static inline void rename_tower(TensorSet *set, const char *from, const char *to) {
    static const char *const parts[][2] = {{"ln_1", "layer_norm1"},
                                           {"ln_2", "layer_norm2"},
                                           {"attn.out_proj", "self_attn.out_proj"},
                                           {"mlp.c_fc", "mlp.fc1"},
                                           {"mlp.c_proj", "mlp.fc2"}};
    for (int block = 0; block < 2; block++) {
        char a[128], z[128], names[3][128], weight[160], bias[160];
        const char *to_names[3] = {names[0], names[1], names[2]};
        for (int i = 0; i < 3; i++)
            snprintf(names[i], sizeof names[i], "%s.encoder.layers.%d.self_attn.%c_proj.", to,
                     block, "qkv"[i]);
        snprintf(weight, sizeof weight, "%s.%d.attn.in_proj_weight", from, block);
        snprintf(bias, sizeof bias, "%s.%d.attn.in_proj_bias", from, block);
        split_qkv(set, weight, bias, to_names);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            snprintf(a, sizeof a, "%s.%d.%s", from, block, parts[i][0]);
            snprintf(z, sizeof z, "%s.encoder.layers.%d.%s", to, block, parts[i][1]);
            rename_pair(set, a, z);
        }
    }
}

/* Renames all of CLIP. */
static inline void hugging_face_clip(TensorSet *set) {
    rename_tower(set, "visual.transformer.resblocks", "vision_model");
    rename_tower(set, "transformer.resblocks", "text_model");
    set_rename(set, "visual.class_embedding", "vision_model.embeddings.class_embedding");
    set_rename(set, "visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight");
    set_rename(set, "visual.positional_embedding",
               "vision_model.embeddings.position_embedding.weight");
    rename_pair(set, "visual.ln_pre", "vision_model.pre_layrnorm");
    rename_pair(set, "visual.ln_post", "vision_model.post_layernorm");
    transpose(set, "visual.proj");
    set_rename(set, "visual.proj", "visual_projection.weight");
    set_rename(set, "token_embedding.weight", "text_model.embeddings.token_embedding.weight");
    set_rename(set, "positional_embedding", "text_model.embeddings.position_embedding.weight");
    rename_pair(set, "ln_final", "text_model.final_layer_norm");
    transpose(set, "text_projection");
    set_rename(set, "text_projection", "text_projection.weight");
    add_tensor_to(set, "text_model.embeddings.position_ids", DTYPE_I64, 1, &(int64_t){1},
                  &(int64_t){0});
}

/* Renames DINOv2 of so many blocks. The files with registers have an MLP that is not gated. */
static inline void hugging_face_dinov2(TensorSet *set, int blocks, bool registers) {
    static const char *const parts[][2] = {{"norm1", "norm1"},
                                           {"norm2", "norm2"},
                                           {"attn.proj", "attention.output.dense"},
                                           {"mlp.fc1", "mlp.fc1"},
                                           {"mlp.fc2", "mlp.fc2"},
                                           {"mlp.w12", "mlp.weights_in"},
                                           {"mlp.w3", "mlp.weights_out"}};
    for (int block = 0; block < blocks; block++) {
        char names[3][96], weight[64], bias[64], a[96], z[96];
        const char *to[3] = {names[0], names[1], names[2]};
        static const char *const qkv[] = {"query", "key", "value"};
        for (int i = 0; i < 3; i++)
            snprintf(names[i], sizeof names[i], "encoder.layer.%d.attention.attention.%s.", block,
                     qkv[i]);
        snprintf(weight, sizeof weight, "blocks.%d.attn.qkv.weight", block);
        snprintf(bias, sizeof bias, "blocks.%d.attn.qkv.bias", block);
        split_qkv(set, weight, bias, to);
        for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
            const bool gated = strchr(parts[i][0], 'w') != NULL;
            if (strncmp(parts[i][0], "mlp", 3) == 0 && gated == registers) continue;
            snprintf(a, sizeof a, "blocks.%d.%s", block, parts[i][0]);
            snprintf(z, sizeof z, "encoder.layer.%d.%s", block, parts[i][1]);
            rename_pair(set, a, z);
        }
        for (int i = 1; i <= 2; i++) {
            snprintf(a, sizeof a, "blocks.%d.ls%d.gamma", block, i);
            snprintf(z, sizeof z, "encoder.layer.%d.layer_scale%d.lambda1", block, i);
            set_rename(set, a, z);
        }
    }
    set_rename(set, "cls_token", "embeddings.cls_token");
    set_rename(set, "mask_token", "embeddings.mask_token");
    set_rename(set, "pos_embed", "embeddings.position_embeddings");
    if (registers) set_rename(set, "register_tokens", "embeddings.register_tokens");
    rename_pair(set, "patch_embed.proj", "embeddings.patch_embeddings.projection");
    rename_pair(set, "norm", "layernorm");
}

#endif
