/* vit_names.c - names of the tensors of vision transformers, in each library's files. */
#include "host/encode/vit_names.h"

static const VitNames clip_names = {.first = "visual.class_embedding",
                                    .position = "visual.positional_embedding",
                                    .patch = "visual.conv1.",
                                    .norm_pre = "visual.ln_pre.",
                                    .blocks = "visual.transformer.resblocks.",
                                    .norm_post = "visual.ln_post.",
                                    .projection = "visual.proj",
                                    .projection_transposed = true,
                                    .block = &clip_block_names},
                      clip_hf_names = {.first = "vision_model.embeddings.class_embedding",
                                       .position =
                                           "vision_model.embeddings.position_embedding.weight",
                                       .patch = "vision_model.embeddings.patch_embedding.",
                                       .norm_pre =
                                           "vision_model.pre_layrnorm.", /* so spelt there */
                                       .blocks = "vision_model.encoder.layers.",
                                       .norm_post = "vision_model.post_layernorm.",
                                       .projection = "visual_projection.weight",
                                       .unused = {"vision_model.embeddings.position_ids"},
                                       .block = &clip_hf_block_names},
                      dinov2_names = {.first = "cls_token",
                                      .position = "pos_embed",
                                      .patch = "patch_embed.proj.",
                                      .patch_bias = true,
                                      .registers = "register_tokens",
                                      .unused = {"mask_token"},
                                      .blocks = "blocks.",
                                      .norm_post = "norm.",
                                      .block = &dinov2_block_names},
                      dinov2_hf_names = {.first = "embeddings.cls_token",
                                         .position = "embeddings.position_embeddings",
                                         .patch = "embeddings.patch_embeddings.projection.",
                                         .patch_bias = true,
                                         .registers = "embeddings.register_tokens",
                                         .unused = {"embeddings.mask_token"},
                                         .blocks = "encoder.layer.",
                                         .norm_post = "layernorm.",
                                         .block = &dinov2_hf_block_names},
                      /* the norm of local crops serves the training alone */
    dinov3_names = {.first = "cls_token",
                    .patch = "patch_embed.proj.",
                    .patch_bias = true,
                    .registers = "storage_tokens",
                    .class_norm = "cls_norm.",
                    .periods = "rope_embed.periods",
                    .unused = {"mask_token", "local_cls_norm."},
                    .blocks = "blocks.",
                    .norm_post = "norm.",
                    .block = &dinov3_block_names},
                      dinov3_hf_names = {.first = "embeddings.cls_token",
                                         .patch = "embeddings.patch_embeddings.",
                                         .patch_bias = true,
                                         .registers = "embeddings.register_tokens",
                                         .unused = {"embeddings.mask_token"},
                                         .blocks = "layer.",
                                         .norm_post = "norm.",
                                         .block = &dinov3_hf_block_names},
                      dinov3_timm_names = {.first = "cls_token",
                                           .patch = "patch_embed.proj.",
                                           .patch_bias = true,
                                           .registers = "reg_token",
                                           .unused = {"mask_token"},
                                           .blocks = "blocks.",
                                           .norm_post = "norm.",
                                           .block = &dinov3_timm_block_names};

const VitNames *vit_names(const EncoderShape *s) {
    if (s->kind == ENCODER_CLIP_VIT) return s->hugging_face ? &clip_hf_names : &clip_names;
    if (s->kind == ENCODER_DINOV2) return s->hugging_face ? &dinov2_hf_names : &dinov2_names;
    return s->hugging_face ? &dinov3_hf_names : s->timm ? &dinov3_timm_names : &dinov3_names;
}
