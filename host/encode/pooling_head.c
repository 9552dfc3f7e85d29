/* pooling_head.c - SigLIP's head: attention of a probe over all tokens, then an MLP. */
#include "host/encode/pooling_head.h"

/* Returns the layer that computes outputs first .. first+n of `packed`. */
static Layer outputs_of(const Layer *packed, int64_t first, int64_t n) {
    Layer part = *packed;
    if (!packed->weight.data || !packed->bias) return part;
    part.weight.data = (const uint8_t *)packed->weight.data +
                       first * packed->weight.out_step * dtype_bytes(packed->weight.type);
    part.weight.out = n;
    part.bias = packed->bias + first;
    return part;
}

void pooling_head_load(PoolingHead *out, Weights *w, const PoolingHeadNames *names, int64_t width) {
    const int64_t d = width;
    PoolingHead *h = out;
    AttentionPool *a = &h->attention;
    h->width = d;
    h->probe = weights_vector(w, d, "%s", names->probe);
    if (names->qkv) {
        const Layer qkv = weights_linear(w, 3 * d, d, "%s", names->qkv);
        a->query = outputs_of(&qkv, 0, d);
        a->key = outputs_of(&qkv, d, d);
        a->value = outputs_of(&qkv, 2 * d, d);
    } else {
        const Layer kv = weights_linear(w, 2 * d, d, "%s", names->kv);
        a->query = weights_linear(w, d, d, "%s", names->query);
        a->key = outputs_of(&kv, 0, d);
        a->value = outputs_of(&kv, d, d);
    }
    a->out = weights_linear(w, d, d, "%s", names->out);
    h->norm = weights_norm(w, d, "%s", names->norm);
    h->hidden = weights_extent(w, 0, "%sweight", names->fc1);
    h->fc1 = weights_linear(w, h->hidden, d, "%s", names->fc1);
    h->fc2 = weights_linear(w, d, h->hidden, "%s", names->fc2);
}

int64_t pooling_head_wide(const PoolingHead *h) {
    return h->hidden > 3 * h->width ? h->hidden : 3 * h->width;
}

void pooling_head_run(const PoolingHead *h, const Ops *ops, Queue *queue,
                      const TransformerSpace *space, int64_t B, int64_t T) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = h->width, rows = B * T;
    float *a = space->normed, *mixed = space->x, *wide = space->wide;
    const AttentionPoolSpace pool = {.q = wide + 2 * rows * d,
                                     .mixed = mixed,
                                     .k = wide,
                                     .v = wide + rows * d,
                                     .scratch = space->scratch};
    attention_pool_run(&h->attention, ops, queue, a, h->probe, 0, space->normed, B, T, &pool);
    e->layer_norm(queue, mixed, a, d, h->norm.weight, h->norm.bias, h->eps, B, d);
    e->linear(queue, wide, h->hidden, mixed, d, &h->fc1.weight,
              &(Epilogue){.bias = h->fc1.bias, .activation = h->activation}, B, space->scratch);
    e->linear(queue, a, d, wide, h->hidden, &h->fc2.weight,
              &(Epilogue){.bias = h->fc2.bias, .add = true}, B, space->scratch);
}
