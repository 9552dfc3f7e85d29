/* text.c - CLIP's text transformer.
 *
 *     x = tokens + positions;  x = blocks(x), causal;  feature = norm(x[end token]) P
 */
#include "host/encode/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const char *table, *position, *blocks, *norm, *projection;
    bool projection_transposed; /* stored (in,out) */
    const char *const *others;  /* tensors beside the text encoder, ending with NULL */
    const BlockNames *block;
} TextNames;

static const char *const clip_others[] = {"logit_scale", "input_resolution", "context_length",
                                          "vocab_size", NULL};
static const char *const clip_hf_others[] = {"logit_scale", "text_model.embeddings.position_ids",
                                             NULL};

static const TextNames clip_names = {.table = "token_embedding.weight",
                                     .position = "positional_embedding",
                                     .blocks = "transformer.resblocks.",
                                     .norm = "ln_final.",
                                     .projection = "text_projection",
                                     .projection_transposed = true,
                                     .others = clip_others,
                                     .block = &clip_block_names},
                       clip_hf_names = {.table = "text_model.embeddings.token_embedding.weight",
                                        .position =
                                            "text_model.embeddings.position_embedding.weight",
                                        .blocks = "text_model.encoder.layers.",
                                        .norm = "text_model.final_layer_norm.",
                                        .projection = "text_projection.weight",
                                        .others = clip_hf_others,
                                        .block = &clip_hf_block_names};

static const TextNames *names_of(const EncoderShape *shape) {
    return shape->hugging_face ? &clip_hf_names : &clip_names;
}

void text_shape(EncoderShape *shape, Weights *w) {
    const TextNames *names = names_of(shape);
    if (!weights_has(w, "%s", names->table)) return;
    shape->vocabulary = weights_extent(w, 0, "%s", names->table);
    shape->text_width = weights_extent(w, 1, "%s", names->table);
    shape->context = weights_extent(w, 0, "%s", names->position);
    shape->text_depth = transformer_depth(w, names->block, names->blocks);
}

void text_pass_over(Weights *w, const EncoderShape *shape) {
    const TextNames *names = names_of(shape);
    const char *const own[] = {names->table, names->position, names->blocks, names->norm,
                               names->projection};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) weights_pass_over(w, own[i]);
    for (int i = 0; names->others[i]; i++) weights_pass_over(w, names->others[i]);
}

struct TextEncoder {
    Weights weights;
    EncoderShape shape;
    EncoderFacts facts;
    Transformer transformer;
    Norm norm;
    Weight table, projection;
    const float *position;
    const Ops *ops;
    Queue *queue;
    int64_t batch;
    Buffer ids, x, normed, wide, ends, zeros, features, scratch;
    Parts parts;     /* these, once a batch has memory */
    int32_t *packed; /* of a batch, on the host: ids up to the last end, and the ends */
};

static void load(TextEncoder *t) {
    Weights *w = &t->weights;
    const EncoderShape *s = &t->shape;
    const TextNames *names = names_of(s);
    const int64_t d = s->text_width;
    t->table = weights_matrix(w, s->vocabulary, d, "%s", names->table);
    t->table.precision = PRECISION_FP32; /* it is read, never multiplied */
    weights_pack(w, &t->table);
    float *position = weights_read(w, s->context, d, "%s", names->position);
    if (position) t->position = weights_place(w, position, s->context * d);
    free(position);
    t->transformer = (Transformer){.heads = t->facts.heads,
                                   .activation = t->facts.activation,
                                   .eps = t->facts.eps,
                                   .causal = true};
    transformer_load(&t->transformer, w, names->block, names->blocks, d);
    t->norm = weights_norm(w, d, "%s", names->norm);
    t->projection = names->projection_transposed
                        ? weights_transposed(w, s->features, d, "%s", names->projection)
                        : weights_matrix(w, s->features, d, "%s", names->projection);
    weights_pack(w, &t->projection);
}

/* Returns the memory of a batch. */
static Parts text_parts(TextEncoder *t) {
    const Ops *ops = t->ops;
    const int64_t d = t->transformer.width, T = t->shape.context, rows = t->batch * T,
                  floats = (int64_t)sizeof(float);
    const Precision type = activations_of(&ops->encode, t->weights.precision);
    return (Parts){
        {{&t->ids, (rows + t->batch) * (int64_t)sizeof(int32_t)},
         {&t->x, rows * d * floats},
         {&t->normed, rows * d * floats},
         {&t->wide, rows * transformer_wide(&t->transformer) * precision_bytes(type)},
         {&t->ends, t->batch * d * floats},
         {&t->zeros, d * floats},
         {&t->features, t->batch * t->shape.features * floats},
         {&t->scratch, ops->encode.scratch_bytes(ops->device, most(t->transformer.hidden, d), T)}},
        8};
}

Status text_open(TextEncoder **out, const Ops *ops, const char *path, int64_t batch, Error *err) {
    return text_open_as(out, ops, path, batch, &(FactOptions){0}, PRECISION_FP32, err);
}

Status text_open_as(TextEncoder **out, const Ops *ops, const char *path, int64_t batch,
                    const FactOptions *options, Precision precision, Error *err) {
    TextEncoder *t = *out = calloc(1, sizeof *t);
    if (!t) return fail(err, ERR_MEMORY, "text: out of memory");
    t->ops = ops;
    t->batch = batch;
    Status st = ops->mem.queue_open(ops->device, &t->queue, err);
    if (st == OK) st = weights_open(&t->weights, ops, t->queue, path, err);
    t->weights.precision = precision;
    if (st == OK) st = encoder_shape(&t->shape, &t->weights);
    if (st == OK && t->shape.kind == ENCODER_SIGLIP)
        st = fail(err, ERR_ARG,
                  "text: %s: SigLIP's texts need a SentencePiece tokenizer, which is not here: its "
                  "image tower alone is served",
                  path);
    if (st == OK && !t->shape.text_depth)
        st = fail(err, ERR_ARG, "text: %s: there is no text encoder in this file", path);
    if (st == OK) st = encoder_facts(&t->facts, &t->shape, TOWER_TEXT, &t->weights, options, err);
    if (st == OK) {
        load(t);
        st = t->weights.status;
    }
    if (st == OK) {
        t->packed = malloc((size_t)(batch * (t->shape.context + 1)) * sizeof *t->packed);
        t->parts = text_parts(t);
        st = t->packed ? parts_alloc(&t->parts, ops, err)
                       : fail(err, ERR_MEMORY, "text: out of memory");
    }
    if (st == OK) st = ops->mem.wait(t->queue, err);
    if (st != OK) {
        text_close(t);
        *out = NULL;
    }
    return st;
}

void text_close(TextEncoder *t) {
    if (!t) return;
    if (t->queue) t->ops->mem.wait(t->queue, NULL); /* what a failed caller did not wait for */
    parts_free(&t->parts, t->ops);
    transformer_free(&t->transformer);
    weights_close(&t->weights);
    t->ops->mem.queue_close(t->queue);
    free(t->packed);
    free(t);
}

int64_t text_features(const TextEncoder *t) {
    return t->shape.features;
}

int64_t text_context(const TextEncoder *t) {
    return t->shape.context;
}

const char *text_said(const TextEncoder *t) {
    return weights_said(&t->weights);
}

/* Returns where a text ends: at the first end token, or, where none is known, at the first of the
 * largest ids. transformers takes the first token of a text without an end, and so do we. */
static int64_t end_of(const TextEncoder *t, const int32_t *ids) {
    const int64_t T = t->shape.context, token = t->facts.end_token;
    int64_t end = 0;
    if (token) {
        while (end < T && ids[end] != token) end++;
        return end < T ? end : 0;
    }
    for (int64_t i = 1; i < T; i++)
        if (ids[i] > ids[end]) end = i;
    return end;
}

/* Copies tokens up to the last end of the texts, T of each, and the places of the ends in one piece. Returns T. */
static int64_t copy_tokens(TextEncoder *t, const int32_t *ids, int64_t B) {
    const int64_t context = t->shape.context;
    int64_t T = 1; /* no token sees a later one: what is behind the last end is never read */
    for (int64_t b = 0; b < B; b++) {
        const int64_t used = end_of(t, ids + b * context) + 1;
        if (used > T) T = used;
    }
    for (int64_t b = 0; b < B; b++) {
        memcpy(t->packed + b * T, ids + b * context, (size_t)T * sizeof *ids);
        t->packed[B * T + b] = (int32_t)(b * T + end_of(t, ids + b * context));
    }
    t->ops->mem.to_device(t->queue, t->ids.data, t->packed,
                          B * (T + 1) * (int64_t)sizeof *t->packed);
    return T;
}

/* Enqueues the features of B texts, B <= batch. The states at the ends are gathered as words are: x is their table. */
static void start_batch(TextEncoder *t, float *features, const int32_t *ids, int64_t B) {
    const Ops *ops = t->ops;
    const EncodeOps *e = &ops->encode;
    const int64_t floats = (int64_t)sizeof(float), d = t->transformer.width,
                  T = copy_tokens(t, ids, B);
    const TransformerSpace space = {.x = t->x.data,
                                    .normed = t->normed.data,
                                    .wide = t->wide.data,
                                    .type = activations_of(e, t->weights.precision),
                                    .scratch = t->scratch.data};
    const Weight states = {space.x, DTYPE_F32, B * T, d, 1, d, 1, 1, PRECISION_FP32, space.x};
    const int32_t *words = t->ids.data;
    float *ends = t->ends.data;
    e->embed(t->queue, space.x, words, &t->table, t->position, B, T);
    transformer_run(&t->transformer, ops, t->queue, &space, B, T, false);
    e->embed(t->queue, ends, words + B * T, &states, t->zeros.data, B, 1);
    e->layer_norm(t->queue, matrix_f32(ends, d), ends, d, t->norm.weight, t->norm.bias,
                  t->transformer.eps, B, d);
    e->linear(t->queue, matrix_f32(t->features.data, t->shape.features), matrix_f32(ends, d),
              &t->projection, &(Epilogue){0}, B, space.scratch);
    ops->mem.to_host(t->queue, features, t->features.data, B * t->shape.features * floats);
}

void text_start(TextEncoder *t, float *features, const int32_t *ids, int64_t B, int64_t *mark) {
    for (int64_t b = 0; b < B; b += t->batch)
        start_batch(t, features + b * t->shape.features, ids + b * t->shape.context,
                    B - b < t->batch ? B - b : t->batch);
    t->ops->mem.mark(t->queue, mark);
}

Status text_reach(TextEncoder *t, int64_t mark, Error *err) {
    return t->ops->mem.reach(t->queue, mark, err);
}

void text_drop(TextEncoder *t) {
    t->ops->mem.wait(t->queue, NULL);
}

Status text_run(TextEncoder *t, float *features, const int32_t *ids, int64_t B, Error *err) {
    int64_t mark;
    text_start(t, features, ids, B, &mark);
    return t->ops->mem.wait(t->queue, err);
}

static double norm_of(const float *x, int64_t d) {
    double sum = 0.0;
    for (int64_t j = 0; j < d; j++) sum += (double)x[j] * x[j];
    return sqrt(sum);
}

void text_class_vector(float *out, const float *features, int64_t prompts, int64_t d) {
    for (int64_t j = 0; j < d; j++) out[j] = 0.0f;
    for (int64_t p = 0; p < prompts; p++, features += d) {
        const double norm = norm_of(features, d);
        for (int64_t j = 0; j < d; j++) out[j] += (float)(features[j] / norm / (double)prompts);
    }
    const double norm = norm_of(out, d);
    for (int64_t j = 0; j < d; j++) out[j] = (float)(out[j] / norm);
}
