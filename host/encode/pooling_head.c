/* pooling_head.c - SigLIP's head: attention of a probe over all tokens, then an MLP. */
#include "host/encode/pooling_head.h"

/* Returns the layer that computes outputs first .. first+n of `all`, packed. */
static Layer outputs_of(Weights *w, const Layer *all, int64_t first, int64_t n) {
    Layer part = *all;
    if (!all->weight.data || !all->bias) return part;
    part.weight.data = (const uint8_t *)all->weight.data +
                       first * all->weight.out_step * dtype_bytes(all->weight.type);
    part.weight.out = n;
    part.bias = all->bias + first;
    weights_pack(w, &part.weight);
    return part;
}

/* Returns a layer of its own, packed. */
static Layer layer_of(Weights *w, int64_t out, int64_t in, const char *name) {
    Layer layer = weights_linear(w, out, in, "%s", name);
    weights_pack(w, &layer.weight);
    return layer;
}

void pooling_head_load(PoolingHead *out, Weights *w, const PoolingHeadNames *names, int64_t width) {
    const int64_t d = width;
    PoolingHead *h = out;
    AttentionPool *a = &h->attention;
    h->width = d;
    h->probe = weights_vector(w, d, "%s", names->probe);
    if (names->qkv) {
        const Layer qkv = weights_linear(w, 3 * d, d, "%s", names->qkv);
        a->query = outputs_of(w, &qkv, 0, d);
        a->key = outputs_of(w, &qkv, d, d);
        a->value = outputs_of(w, &qkv, 2 * d, d);
    } else {
        const Layer kv = weights_linear(w, 2 * d, d, "%s", names->kv);
        a->query = layer_of(w, d, d, names->query);
        a->key = outputs_of(w, &kv, 0, d);
        a->value = outputs_of(w, &kv, d, d);
    }
    a->out = layer_of(w, d, d, names->out);
    h->norm = weights_norm(w, d, "%s", names->norm);
    h->hidden = weights_extent(w, 0, "%sweight", names->fc1);
    h->fc1 = layer_of(w, h->hidden, d, names->fc1);
    h->fc2 = layer_of(w, d, h->hidden, names->fc2);
}

int64_t pooling_head_wide(const PoolingHead *h) {
    return h->hidden > 3 * h->width ? h->hidden : 3 * h->width;
}

void pooling_head_run(const PoolingHead *h, const Ops *ops, Queue *queue,
                      const TransformerSpace *space, int64_t B, int64_t T) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = h->width, rows = B * T;
    const Matrix tokens = space_matrix(space, space->normed, 0, d),
                 a = matrix_f32(space->normed, d), mixed = space_matrix(space, space->x, 0, d),
                 hidden = space_matrix(space, space->wide, 0, h->hidden);
    const AttentionPoolSpace pool = {.q = space_matrix(space, space->wide, 2 * rows * d, d).data,
                                     .mixed = mixed.data,
                                     .k = space->wide,
                                     .v = space_matrix(space, space->wide, rows * d, d).data,
                                     .type = space->type,
                                     .scratch = space->scratch};
    attention_pool_run(&h->attention, ops, queue, a, matrix_f32(h->probe, 0), tokens, B, T, &pool);
    e->layer_norm(queue, mixed, a.data, d, h->norm.weight, h->norm.bias, h->eps, B, d);
    e->linear(queue, hidden, mixed, &h->fc1.weight,
              &(Epilogue){.bias = h->fc1.bias, .activation = h->activation}, B, space->scratch);
    e->linear(queue, a, hidden, &h->fc2.weight, &(Epilogue){.bias = h->fc2.bias, .add = true}, B,
              space->scratch);
}
