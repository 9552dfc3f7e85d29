/* transformer.c - the transformer shared by the image and text encoders. */
#include "host/encode/transformer.h"

#include <stdlib.h>

const BlockNames clip_block_names = {.norm1 = "ln_1.",
                                     .qkv = "attn.in_proj_",
                                     .proj = "attn.out_proj.",
                                     .norm2 = "ln_2.",
                                     .fc1 = "mlp.c_fc.",
                                     .fc2 = "mlp.c_proj."};
const BlockNames clip_hf_block_names = {.norm1 = "layer_norm1.",
                                        .query = "self_attn.q_proj.",
                                        .key = "self_attn.k_proj.",
                                        .value = "self_attn.v_proj.",
                                        .proj = "self_attn.out_proj.",
                                        .norm2 = "layer_norm2.",
                                        .fc1 = "mlp.fc1.",
                                        .fc2 = "mlp.fc2."};
const BlockNames dinov2_block_names = {.norm1 = "norm1.",
                                       .qkv = "attn.qkv.",
                                       .proj = "attn.proj.",
                                       .scale1 = "ls1.gamma",
                                       .norm2 = "norm2.",
                                       .fc1 = "mlp.fc1.",
                                       .fc2 = "mlp.fc2.",
                                       .gate_in = "mlp.w12.",
                                       .gate_out = "mlp.w3.",
                                       .scale2 = "ls2.gamma"};
const BlockNames dinov2_hf_block_names = {.norm1 = "norm1.",
                                          .query = "attention.attention.query.",
                                          .key = "attention.attention.key.",
                                          .value = "attention.attention.value.",
                                          .proj = "attention.output.dense.",
                                          .scale1 = "layer_scale1.lambda1",
                                          .norm2 = "norm2.",
                                          .fc1 = "mlp.fc1.",
                                          .fc2 = "mlp.fc2.",
                                          .gate_in = "mlp.weights_in.",
                                          .gate_out = "mlp.weights_out.",
                                          .scale2 = "layer_scale2.lambda1"};

/* --- loading ---------------------------------------------------------------------------------- */

int64_t transformer_depth(const Weights *w, const BlockNames *names, const char *blocks) {
    int64_t depth = 0;
    while (weights_has(w, "%s%d.%sweight", blocks, (int)depth, names->norm1)) depth++;
    return depth;
}

bool transformer_gated(const Weights *w, const BlockNames *names, const char *blocks) {
    return names->gate_in && weights_has(w, "%s0.%sweight", blocks, names->gate_in);
}

/* Loads a linear layer whose output is scaled: scale (W x + b) = scale (W x) + scale b. */
static Layer scaled_linear(Weights *w, int64_t out, int64_t in, const char *block, const char *name,
                           const char *scale_name) {
    if (!scale_name) return weights_linear(w, out, in, "%s%s", block, name);
    Layer layer = {.weight = weights_matrix(w, out, in, "%s%sweight", block, name),
                   .scale = weights_vector(w, out, "%s%s", block, scale_name)};
    float *bias = weights_read(w, 1, out, "%s%sbias", block, name),
          *scale = weights_read(w, 1, out, "%s%s", block, scale_name);
    for (int64_t i = 0; bias && scale && i < out; i++) bias[i] *= scale[i];
    if (bias && scale) layer.bias = weights_place(w, bias, out);
    free(bias);
    free(scale);
    return layer;
}

static void load_block(Block *b, Transformer *t, Weights *w, const BlockNames *names,
                       const char *block) {
    const int64_t d = t->width;
    b->norm1 = weights_norm(w, d, "%s%s", block, names->norm1);
    b->norm2 = weights_norm(w, d, "%s%s", block, names->norm2);
    if (names->qkv) {
        b->qkv[b->qkv_count++] = weights_linear(w, 3 * d, d, "%s%s", block, names->qkv);
    } else {
        b->qkv[b->qkv_count++] = weights_linear(w, d, d, "%s%s", block, names->query);
        b->qkv[b->qkv_count++] = weights_linear(w, d, d, "%s%s", block, names->key);
        b->qkv[b->qkv_count++] = weights_linear(w, d, d, "%s%s", block, names->value);
    }
    b->proj = scaled_linear(w, d, d, block, names->proj, names->scale1);
    b->fc1 = weights_linear(w, t->gated ? 2 * t->hidden : t->hidden, d, "%s%s", block,
                            t->gated ? names->gate_in : names->fc1);
    b->fc2 = scaled_linear(w, d, t->hidden, block, t->gated ? names->gate_out : names->fc2,
                           names->scale2);
}

void transformer_load(Transformer *out, Weights *w, const BlockNames *names, const char *blocks,
                      int64_t width) {
    Transformer *t = out;
    t->width = width;
    t->depth = transformer_depth(w, names, blocks);
    if (w->status != OK) return;
    if (t->depth == 0 || width == 0) {
        w->status = fail(w->err, ERR_FORMAT,
                         "weights: %s: expected blocks %s0. and so on, got %lld blocks of width "
                         "%lld",
                         w->path, blocks, (long long)t->depth, (long long)width);
        return;
    }
    t->gated = transformer_gated(w, names, blocks);
    t->hidden =
        weights_extent(w, 0, "%s0.%sweight", blocks, t->gated ? names->gate_in : names->fc1);
    if (t->gated) t->hidden /= 2;
    t->block = calloc((size_t)t->depth, sizeof *t->block);
    if (!t->block) w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    for (int64_t i = 0; w->status == OK && i < t->depth; i++) {
        char block[128];
        snprintf(block, sizeof block, "%s%lld.", blocks, (long long)i);
        load_block(&t->block[i], t, w, names, block);
    }
}

void transformer_free(Transformer *t) {
    if (!t) return;
    free(t->block);
    *t = (Transformer){0};
}

int64_t transformer_wide(const Transformer *t) {
    const int64_t mlp = t->gated ? 2 * t->hidden : t->hidden;
    return mlp > 3 * t->width ? mlp : 3 * t->width;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Computes x += s1 * proj(attention(norm1(x))) for `kept` rows of every sequence's T. */
static void attend(const Transformer *t, const Block *b, const Ops *ops, Queue *queue,
                   const TransformerSpace *s, int64_t B, int64_t T, int64_t kept) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = t->width, row = 3 * d;
    e->layer_norm(queue, s->normed, s->x, d, b->norm1.weight, b->norm1.bias, t->eps, B * T, d);
    for (int i = 0; i < b->qkv_count; i++)
        e->linear(queue, s->wide + i * d, row, s->normed, d, &b->qkv[i].weight,
                  &(Epilogue){.bias = b->qkv[i].bias}, B * T, s->scratch);
    e->attention(queue, (Tokens){s->normed, kept * d, d}, (Tokens){s->wide, T * row, row},
                 (Tokens){s->wide + d, T * row, row}, (Tokens){s->wide + 2 * d, T * row, row}, B,
                 kept, T, t->heads, d / t->heads, t->causal, s->scratch);
    e->linear(queue, s->x, kept < T ? T * d : d, s->normed, d, &b->proj.weight,
              &(Epilogue){.bias = b->proj.bias, .scale = b->proj.scale, .add = true}, B * kept,
              s->scratch);
}

/* Computes x += s2 * mlp(norm2(x)). */
static void transform(const Transformer *t, const Block *b, const Ops *ops, Queue *queue,
                      const TransformerSpace *s, int64_t B, int64_t T, int64_t kept) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = t->width, rows = B * kept, x_row = kept < T ? T * d : d;
    const Layer *fc1 = &b->fc1, *fc2 = &b->fc2;
    e->layer_norm(queue, s->normed, s->x, x_row, b->norm2.weight, b->norm2.bias, t->eps, rows, d);
    e->linear(queue, s->wide, fc1->weight.out, s->normed, d, &fc1->weight,
              &(Epilogue){.bias = fc1->bias, .activation = t->gated ? ACT_NONE : t->activation},
              rows, s->scratch);
    if (t->gated) e->silu_gate(queue, s->gated, s->wide, rows, t->hidden);
    e->linear(queue, s->x, x_row, t->gated ? s->gated : s->wide, t->hidden, &fc2->weight,
              &(Epilogue){.bias = fc2->bias, .scale = fc2->scale, .add = true}, rows, s->scratch);
}

void transformer_run(const Transformer *t, const Ops *ops, Queue *queue,
                     const TransformerSpace *space, int64_t B, int64_t T, bool first_only) {
    for (int64_t i = 0; i < t->depth; i++) {
        const int64_t kept = first_only && i == t->depth - 1 ? 1 : T;
        attend(t, &t->block[i], ops, queue, space, B, T, kept);
        transform(t, &t->block[i], ops, queue, space, B, T, kept);
    }
}
