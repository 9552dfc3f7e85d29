/* vit.c - vision transformers: CLIP's, DINO's and SigLIP's, from patches to features.
 *
 *     x = [class; registers; patches W_p + b_p] + [position; none; positions]     DINOv3: no positions
 *     x = norm_pre(x)                              CLIP
 *     x = blocks(x)                                transformer.h; DINOv3: rotary positions
 *     feature = norm_post(x[class]) (P)            P: CLIP's projection
 *     feature = head(norm_post(x))                 SigLIP, which has no class token: pooling_head.h
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/vit_names.h"

struct Network {
    Transformer transformer;
    FeatureKind feature;
    int64_t side, patch, prefix, n; /* prefix: class token and registers; n patches */
    Layer embed, projection;        /* projection.weight.data NULL: none */
    const float *first, *position;  /* (prefix,d) and (n,d); position NULL: none is added */
    Norm norm_pre, norm_post;
    Norm norm_class;  /* of the class token; the patches have norm_post */
    PoolingHead head; /* head.probe NULL: none */
    Precision type;   /* of activations between products */
    Buffer x, normed, wide, gated, scratch;
};

/* --- loading ---------------------------------------------------------------------------------- */

/* Hugging Face's CLIPVisionModel is saved without the projection, and without texts, which would need
 * it: its features are the normed class token. */
static bool lacks_projection(const Weights *w, const VitNames *names) {
    return names->projection && !names->projection_transposed &&
           !weights_has(w, "%s", names->projection) && !weights_has(w, "text_projection.weight") &&
           !weights_has(w, "text_model.embeddings.token_embedding.weight");
}

static void vit_shape(EncoderShape *s, Weights *w) {
    const VitNames *names = vit_names(s);
    s->width = weights_extent(w, 0, "%sweight", names->patch);
    s->patch = weights_extent(w, 2, "%sweight", names->patch);
    if (names->position)
        s->grid =
            position_grid(w, weights_extent(w, -2, "%s", names->position), names->first != NULL);
    if (names->periods && weights_has(w, "%s", names->periods))
        s->periods = weights_extent(w, -1, "%s", names->periods);
    s->features = s->width;
    if (lacks_projection(w, names))
        weights_say(w,
                    "weights: %s: there is no %s: features are the class token after the last "
                    "norm, not in the space of texts",
                    w->path, names->projection);
    else if (names->projection)
        s->features = weights_extent(w, names->projection_transposed, "%s", names->projection);
    if (names->registers && weights_holds(w, "%s", names->registers))
        s->registers = weights_extent(w, -2, "%s", names->registers);
    s->depth = transformer_depth(w, names->block, names->blocks);
    s->gated = transformer_gated(w, names->block, names->blocks);
}

/* Loads the class token, with its position where it has one, and the registers, which have none. */
static void load_prefix(Network *v, Weights *w, const VitNames *names, const EncoderShape *shape,
                        const float *position) {
    const int64_t d = shape->width;
    float *first = weights_read(w, 1, d, "%s", names->first), *registers = NULL,
          *prefix = malloc((size_t)((1 + shape->registers) * d) * sizeof *prefix);
    if (shape->registers) registers = weights_read(w, shape->registers, d, "%s", names->registers);
    if (w->status == OK && !(first && prefix))
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    if (w->status == OK) {
        for (int64_t j = 0; j < d; j++) prefix[j] = position ? first[j] + position[j] : first[j];
        if (registers)
            memcpy(prefix + d, registers, (size_t)(shape->registers * d) * sizeof *prefix);
        v->first = weights_place(w, prefix, v->prefix * d);
    }
    free(first);
    free(registers);
    free(prefix);
}

/* For CLIP at another size there is no published rule. For SigLIP it is that of the library which
 * names the tensors so. */
static PositionRule rule_of(const EncoderShape *s) {
    if (s->kind == ENCODER_SIGLIP && s->hugging_face) return POSITION_EXACT;
    return s->kind == ENCODER_DINOV2 && !s->registers ? POSITION_OFFSET : POSITION_ANTIALIAS;
}

/* Loads the positions of the patches, interpolated to the grid of this image size, and the class
 * token, where there is one, with its own. */
static void load_positions(Network *v, Weights *w, const VitNames *names,
                           const EncoderShape *shape) {
    const int64_t d = shape->width, cells = shape->grid * shape->grid, grid = v->side / v->patch;
    const int64_t lead = names->first != NULL;
    float *table = weights_read(w, lead + cells, d, "%s", names->position),
          *resized = malloc((size_t)(v->n * d) * sizeof *resized);
    if (w->status == OK && !(table && resized))
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    if (w->status == OK) {
        if (lead) load_prefix(v, w, names, shape, table);
        position_resize(resized, grid, table + lead * d, shape->grid, d, rule_of(shape));
        v->position = weights_place(w, resized, v->n * d);
    }
    free(table);
    free(resized);
}

/* Loads or computes the periods of rotary positions, and places the angles of this grid. */
static void load_rope(Network *v, Weights *w, const VitNames *names, const EncoderShape *shape,
                      const EncoderFacts *facts) {
    const int64_t grid = v->side / v->patch, half = shape->width / facts->heads / 2, n = half / 2;
    float *periods = NULL, *table = malloc((size_t)(2 * v->n * half) * sizeof *table);
    if (facts->rope_base > 0.0) periods = calloc((size_t)n, sizeof *periods);
    else periods = weights_read(w, 1, n, "%s", names->periods);
    if (w->status == OK && !(table && periods))
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
    if (w->status == OK && facts->rope_base > 0.0) rope_periods(periods, n, facts->rope_base);
    for (int64_t i = 0; w->status == OK && i < n; i++)
        if (!(periods[i] > 0.0f) || !isfinite(periods[i]))
            w->status = fail(w->err, ERR_FORMAT,
                             "weights: %s: tensor %s: %g is no period: expected numbers above 0",
                             w->path, names->periods ? names->periods : "periods", periods[i]);
    if (w->status == OK) {
        rope_angles(table, table + v->n * half, periods, n, grid);
        v->transformer.rope = (Rope){.cos = weights_place(w, table, v->n * half),
                                     .sin = weights_place(w, table + v->n * half, v->n * half),
                                     .first = v->prefix};
    }
    free(periods);
    free(table);
}

static void vit_free(Network *v) {
    if (!v) return;
    transformer_free(&v->transformer);
    free(v);
}

static Network *vit_load(Weights *w, const EncoderShape *shape, const EncoderFacts *facts,
                         FeatureKind feature) {
    const VitNames *names = vit_names(shape);
    const int64_t d = shape->width, side = facts->rule.crop, grid = side / shape->patch;
    Network *v = calloc(1, sizeof *v);
    if (!v) {
        w->status = fail(w->err, ERR_MEMORY, "weights: %s: out of memory", w->path);
        return NULL;
    }
    v->feature = feature;
    v->side = side;
    v->patch = shape->patch;
    v->prefix = names->first ? 1 + shape->registers : 0;
    v->n = grid * grid;
    v->transformer =
        (Transformer){.heads = facts->heads, .activation = facts->activation, .eps = facts->eps};
    v->embed.weight = weights_kernel(w, d, 3, shape->patch, "%sweight", names->patch);
    weights_pack(w, &v->embed.weight);
    if (names->patch_bias) v->embed.bias = weights_vector(w, d, "%sbias", names->patch);
    if (names->position) load_positions(v, w, names, shape);
    else load_prefix(v, w, names, shape, NULL);
    if (shape->kind == ENCODER_DINOV3) load_rope(v, w, names, shape, facts);
    if (names->norm_pre) v->norm_pre = weights_norm(w, d, "%s", names->norm_pre);
    transformer_load(&v->transformer, w, names->block, names->blocks, d);
    v->norm_post = v->norm_class = weights_norm(w, d, "%s", names->norm_post);
    if (names->class_norm && weights_has(w, "%sweight", names->class_norm))
        v->norm_class = weights_norm(w, d, "%s", names->class_norm);
    if (names->head) {
        v->head = (PoolingHead){
            .attention.heads = facts->heads, .activation = facts->activation, .eps = facts->eps};
        pooling_head_load(&v->head, w, names->head, d);
    }
    if (names->projection && !lacks_projection(w, names))
        v->projection.weight =
            names->projection_transposed
                ? weights_transposed(w, shape->features, d, "%s", names->projection)
                : weights_matrix(w, shape->features, d, "%s", names->projection);
    weights_pack(w, &v->projection.weight);
    v->type = activations_of(&w->ops->encode, w->precision);
    for (int i = 0; names->unused[i]; i++) weights_pass_over(w, names->unused[i]);
    if (names->registers && !shape->registers) weights_pass_over(w, names->registers);
    if (names->periods) weights_pass_over(w, names->periods); /* --rope_base overrules them */
    if (w->status == OK) return v;
    vit_free(v);
    return NULL;
}

static int64_t token_features(const Network *v) {
    return v->projection.weight.data ? v->projection.weight.out : v->transformer.width;
}

static int64_t vit_features(const Network *v) {
    return v->feature == FEATURE_CLS_MEAN ? 2 * token_features(v) : token_features(v);
}

static Parts vit_parts(Network *v, const Ops *ops, int64_t batch) {
    const Transformer *t = &v->transformer;
    const int64_t T = v->prefix + v->n, rows = batch * T;
    int64_t depth = most(3 * v->patch * v->patch, most(t->width, t->hidden)),
            wide = transformer_wide(t);
    depth = most(depth, v->head.hidden);
    if (v->head.probe) wide = most(wide, pooling_head_wide(&v->head));
    const int64_t floats = rows * (int64_t)sizeof(float), narrow = rows * precision_bytes(v->type);
    /* Pooling wants normed tokens in float32, and a token of every image in `wide`, whose rows are 3 t->width at least. */
    return (Parts){{{&v->x, floats * t->width},
                    {&v->normed, floats * t->width},
                    {&v->wide, narrow * wide},
                    {&v->gated, t->gated ? narrow * t->hidden : 0},
                    {&v->scratch, ops->encode.scratch_bytes(ops->device, depth, T)}},
                   5};
}

/* --- running ---------------------------------------------------------------------------------- */

/* Writes pooled tokens (B,d) to their columns of the features, projected if there is a projection. */
static void emit(const Network *v, const Ops *ops, Queue *queue, float *columns,
                 const float *pooled, int64_t B) {
    const Weight *projection = &v->projection.weight;
    const int64_t d = v->transformer.width, row = vit_features(v);
    if (projection->data)
        ops->encode.linear(queue, matrix_f32(columns, row), matrix_f32(pooled, d), projection,
                           &(Epilogue){0}, B, v->scratch.data);
    else /* the mean over one token: a copy into rows of another length */
        ops->encode.mean_tokens(queue, columns, row, pooled, B, 1, 0, 1, d);
}

/* Computes the features of tokens x that no class token stands for. */
static void pool(const Network *v, const Ops *ops, Queue *queue, float *features,
                 const TransformerSpace *space, int64_t B) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = v->transformer.width, T = v->n;
    const Norm *post = &v->norm_post;
    if (v->feature != FEATURE_CLS) { /* before the head, which overwrites the tokens */
        e->layer_norm(queue, matrix_f32(space->normed, d), space->x, d, post->weight, post->bias,
                      v->transformer.eps, B * T, d);
        e->mean_tokens(queue, space->wide, d, space->normed, B, T, 0, T, d);
        emit(v, ops, queue, features + (v->feature == FEATURE_CLS_MEAN ? token_features(v) : 0),
             space->wide, B);
    }
    if (v->feature != FEATURE_PATCHMEAN) {
        e->layer_norm(queue, space_matrix(space, space->normed, 0, d), space->x, d, post->weight,
                      post->bias, v->transformer.eps, B * T, d);
        pooling_head_run(&v->head, ops, queue, space, B, T);
        emit(v, ops, queue, features, space->normed, B);
    }
}

static void vit_run(Network *v, const Ops *ops, Queue *queue, float *features, const float *images,
                    int64_t B) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = v->transformer.width, T = v->prefix + v->n;
    const double eps = v->transformer.eps;
    const Norm *pre = &v->norm_pre, *post = &v->norm_post, *of_class = &v->norm_class;
    const TransformerSpace space = {v->x.data,     v->normed.data, v->wide.data,
                                    v->gated.data, v->type,        v->scratch.data};
    const Window patches = {v->side, v->side, v->patch, v->patch, 0, T * d};
    float *pooled = v->wide.data; /* free outside the blocks */

    e->conv2d(queue, matrix_f32(space.x + v->prefix * d, d), matrix_f32(images, 3),
              &v->embed.weight, &patches, &(Epilogue){.bias = v->embed.bias}, B, space.scratch);
    e->add_tokens(queue, space.x, v->first, v->prefix, v->position, B, v->n, d);
    if (pre->weight)
        e->layer_norm(queue, matrix_f32(space.x, d), space.x, d, pre->weight, pre->bias, eps, B * T,
                      d);
    transformer_run(&v->transformer, ops, queue, &space, B, T,
                    v->feature == FEATURE_CLS && !v->head.probe);
    if (v->head.probe) {
        pool(v, ops, queue, features, &space, B);
        return;
    }

    if (v->feature != FEATURE_PATCHMEAN) {
        e->layer_norm(queue, matrix_f32(pooled, d), space.x, T * d, of_class->weight,
                      of_class->bias, eps, B, d);
        emit(v, ops, queue, features, pooled, B);
        features += token_features(v); /* the next columns */
    }
    if (v->feature != FEATURE_CLS) {
        e->layer_norm(queue, matrix_f32(space.normed, d), space.x, d, post->weight, post->bias, eps,
                      B * T, d);
        e->mean_tokens(queue, pooled, d, space.normed, B, T, v->prefix, v->n, d);
        emit(v, ops, queue, features, pooled, B);
    }
}

const NetworkKind vit_network = {vit_shape, vit_load, vit_free, vit_features, vit_parts, vit_run};
