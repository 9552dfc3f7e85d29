/* transformer.c - the transformer shared by the image and text encoders. */
#include "host/encode/transformer.h"

#include <math.h>
#include <stdlib.h>

/* --- loading ---------------------------------------------------------------------------------- */

int64_t transformer_depth(const Weights *w, const BlockNames *names, const char *blocks) {
    int64_t depth = 0;
    while (weights_has(w, "%s%d.%sweight", blocks, (int)depth, names->norm1)) depth++;
    return depth;
}

bool transformer_gated(const Weights *w, const BlockNames *names, const char *blocks) {
    return (names->gates && weights_has(w, "%s0.%sweight", blocks, names->gates)) ||
           (names->gate && weights_has(w, "%s0.%sweight", blocks, names->gate));
}

/* A block while it is loaded. */
typedef struct {
    Weights *w;
    const BlockNames *names;
    const char *block; /* "<blocks><number>." */
    const char *first; /* "<blocks>0.": what it has every block has */
} BlockFile;

/* Returns whether the blocks have this tensor, which networks of some kinds may lack. */
static bool is_there(const BlockFile *f, const char *name, const char *end) {
    return !f->names->some || weights_has(f->w, "%s%s%s", f->first, name, end);
}

/* Loads a layer, whose output is scaled if it has a scale: scale (W x + b) = scale (W x) + scale b. */
static Layer read_layer(const BlockFile *f, int64_t out, int64_t in, const char *name,
                        const char *scale_name, bool pack) {
    Weights *w = f->w;
    Layer layer = {.weight = weights_matrix(w, out, in, "%s%sweight", f->block, name)};
    const bool scaled = scale_name && is_there(f, scale_name, "");
    float *bias = NULL, *scale = NULL;
    if (is_there(f, name, "bias")) bias = weights_read(w, 1, out, "%s%sbias", f->block, name);
    if (scaled) scale = weights_read(w, 1, out, "%s%s", f->block, scale_name);
    for (int64_t i = 0; bias && scale && i < out; i++) bias[i] *= scale[i];
    if (bias) layer.bias = weights_place(w, bias, out);
    if (scale) layer.scale = weights_place(w, scale, out);
    if (pack) weights_pack(w, &layer.weight);
    free(bias);
    free(scale);
    return layer;
}

static Layer load_layer(const BlockFile *f, int64_t out, int64_t in, const char *name,
                        const char *scale_name) {
    return read_layer(f, out, in, name, scale_name, true);
}

/* Returns the bias of packed q, k, v (3d), which is on the device, or NULL: there is none. A mask that
 * was saved before it was set is NaN; it means 0 for k and 1 for the others. */
static const float *packed_bias(const BlockFile *f, int64_t d) {
    Weights *w = f->w;
    float *bias = NULL, *part, *mask = NULL;
    const float *placed = NULL;
    if (is_there(f, f->names->qkv, "bias")) {
        bias = weights_read(w, 1, 3 * d, "%s%sbias", f->block, f->names->qkv);
        if (f->names->mask && is_there(f, f->names->mask, ""))
            mask = weights_read(w, 1, 3 * d, "%s%s", f->block, f->names->mask);
        for (int64_t i = 0; bias && mask && i < 3 * d; i++)
            bias[i] *= isnan(mask[i]) ? (float)(i / d != 1) : mask[i];
        free(mask);
    }
    for (int i = 0; i < 3; i++) {
        if (!f->names->biases[i] || !is_there(f, f->names->biases[i], "")) continue;
        if (!bias) bias = calloc((size_t)(3 * d), sizeof *bias);
        if (!bias && w->status == OK)
            w->status = fail(w->err, ERR_MEMORY, "weights: %s: no memory for its biases", w->path);
        part = weights_read(w, 1, d, "%s%s", f->block, f->names->biases[i]);
        for (int64_t j = 0; bias && part && j < d; j++) bias[i * d + j] += part[j];
        free(part);
    }
    if (bias) placed = weights_place(w, bias, 3 * d);
    free(bias);
    return placed;
}

/* Returns rows first .. first+n of a layer that is not packed as a layer of their own. */
static Layer part_of(Weights *w, const Layer *layer, int64_t first, int64_t n) {
    Layer part = *layer;
    if (!part.weight.data) return part;
    part.weight.data = (const uint8_t *)layer->weight.data +
                       first * layer->weight.out_step * dtype_bytes(layer->weight.type);
    part.weight.out = n;
    if (part.bias) part.bias += first;
    weights_pack(w, &part.weight);
    return part;
}

static void load_block(Block *b, const Transformer *t, const BlockFile *f) {
    const int64_t d = t->width;
    const BlockNames *names = f->names;
    b->norm1 = weights_norm(f->w, d, "%s%s", f->block, names->norm1);
    b->norm2 = weights_norm(f->w, d, "%s%s", f->block, names->norm2);
    if (names->qkv) {
        b->qkv[b->qkv_count++] =
            (Layer){.weight = weights_matrix(f->w, 3 * d, d, "%s%sweight", f->block, names->qkv),
                    .bias = packed_bias(f, d)};
        weights_pack(f->w, &b->qkv[0].weight);
    } else {
        b->qkv[b->qkv_count++] = load_layer(f, d, d, names->query, NULL);
        b->qkv[b->qkv_count++] = load_layer(f, d, d, names->key, NULL);
        b->qkv[b->qkv_count++] = load_layer(f, d, d, names->value, NULL);
    }
    b->proj = load_layer(f, d, d, names->proj, names->scale1);
    if (t->gated && names->gates) {
        const Layer both = read_layer(f, 2 * t->hidden, d, names->gates, NULL, false);
        b->gate = part_of(f->w, &both, 0, t->hidden);
        b->fc1 = part_of(f->w, &both, t->hidden, t->hidden);
    } else if (t->gated) {
        b->gate = load_layer(f, t->hidden, d, names->gate, NULL);
        b->fc1 = load_layer(f, t->hidden, d, names->value_in, NULL);
    } else {
        b->fc1 = load_layer(f, t->hidden, d, names->fc1, NULL);
    }
    b->fc2 = load_layer(f, d, t->hidden, t->gated ? names->gate_out : names->fc2, names->scale2);
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
    const char *fc1 = !t->gated ? names->fc1 : names->gates ? names->gates : names->gate;
    t->hidden = weights_extent(w, 0, "%s0.%sweight", blocks, fc1);
    if (t->gated && names->gates) t->hidden /= 2;
    t->block = calloc((size_t)t->depth, sizeof *t->block);
    if (!t->block) w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    for (int64_t i = 0; w->status == OK && i < t->depth; i++) {
        char block[128], first[128];
        snprintf(block, sizeof block, "%s%lld.", blocks, (long long)i);
        snprintf(first, sizeof first, "%s0.", blocks);
        load_block(&t->block[i], t, &(BlockFile){w, names, block, first});
    }
}

void transformer_free(Transformer *t) {
    if (!t) return;
    free(t->block);
    *t = (Transformer){0};
}

int64_t transformer_wide(const Transformer *t) {
    return t->hidden > 3 * t->width ? t->hidden : 3 * t->width;
}

/* --- running ---------------------------------------------------------------------------------- */

/* Computes x += s1 * proj(attention(norm1(x))) for `kept` rows of every sequence's T. */
static void attend(const Transformer *t, const Block *b, const Ops *ops, Queue *queue,
                   const TransformerSpace *s, int64_t B, int64_t T, int64_t kept) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = t->width, row = 3 * d;
    const Matrix normed = space_matrix(s, s->normed, 0, d);
    e->layer_norm(queue, normed, s->x, d, b->norm1.weight, b->norm1.bias, t->eps, B * T, d);
    for (int i = 0; i < b->qkv_count; i++)
        e->linear(queue, space_matrix(s, s->wide, i * d, row), normed, &b->qkv[i].weight,
                  &(Epilogue){.bias = b->qkv[i].bias}, B * T, s->scratch);
    e->attention(queue, space_tokens(s, s->normed, 0, kept, d), space_tokens(s, s->wide, 0, T, row),
                 space_tokens(s, s->wide, d, T, row), space_tokens(s, s->wide, 2 * d, T, row), B,
                 kept, T, t->heads, d / t->heads, t->causal, &t->rope, s->scratch);
    e->linear(queue, matrix_f32(s->x, kept < T ? T * d : d), normed, &b->proj.weight,
              &(Epilogue){.bias = b->proj.bias, .scale = b->proj.scale, .add = true}, B * kept,
              s->scratch);
}

/* Computes x += s2 * mlp(norm2(x)). */
static void transform(const Transformer *t, const Block *b, const Ops *ops, Queue *queue,
                      const TransformerSpace *s, int64_t B, int64_t T, int64_t kept) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = t->width, rows = B * kept, x_row = kept < T ? T * d : d;
    const Layer *gate = &b->gate, *fc1 = &b->fc1, *fc2 = &b->fc2;
    Epilogue first = {.bias = fc1->bias, .activation = t->activation};
    const Matrix normed = space_matrix(s, s->normed, 0, d),
                 gated = space_matrix(s, s->gated, 0, t->hidden),
                 wide = space_matrix(s, s->wide, 0, t->hidden);
    e->layer_norm(queue, normed, s->x, x_row, b->norm2.weight, b->norm2.bias, t->eps, rows, d);
    if (t->gated) {
        e->linear(queue, gated, normed, &gate->weight,
                  &(Epilogue){.bias = gate->bias, .activation = t->activation}, rows, s->scratch);
        first = (Epilogue){.bias = fc1->bias, .times = gated};
    }
    e->linear(queue, wide, normed, &fc1->weight, &first, rows, s->scratch);
    e->linear(queue, matrix_f32(s->x, x_row), wide, &fc2->weight,
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
