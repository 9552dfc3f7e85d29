/* transformer.h - the pre-norm transformer that CLIP's image tower, its text tower and DINO's share
 * (Vaswani et al. 2017; Dosovitskiy et al. 2021).
 *
 *     x += s1 * proj(attention(norm1(x)))        s1, s2: LayerScale, DINO's only
 *     x += s2 * mlp(norm2(x))                    mlp: fc2(act(fc1 x)), or gated: fc2(act(a) * b)
 */
#ifndef TURTLE_HOST_ENCODE_TRANSFORMER_H
#define TURTLE_HOST_ENCODE_TRANSFORMER_H

#include "host/encode/weights.h"

/* Names of the tensors of a block, behind "<blocks><number>." and before "weight", "bias". */
typedef struct {
    const char *norm1, *qkv; /* packed; or NULL: query, key and value each */
    const char *biases[3];   /* biases of packed q, k, v where they are apart */
    const char *mask;        /* factors of the packed bias, 0 for k */
    const char *query, *key, *value, *proj, *scale1;
    const char *norm2, *fc1, *fc2, *scale2;
    /* SwiGLU: gate and value in one layer, or each in its own, and the layer behind; NULL: never */
    const char *gates, *gate, *value_in, *gate_out;
    bool some; /* biases and LayerScale are there or not, as in the first block */
} BlockNames;

extern const BlockNames clip_block_names, clip_hf_block_names, dinov2_block_names,
    dinov2_hf_block_names, dinov3_block_names, dinov3_hf_block_names, dinov3_timm_block_names;

typedef struct {
    Norm norm1, norm2;
    Layer qkv[3]; /* one packed layer, or three */
    int qkv_count;
    Layer proj, fc1, fc2;
    Layer gate; /* SwiGLU; fc1 is the value that it opens and closes */
} Block;

typedef struct {
    int64_t width, depth, heads;
    int64_t hidden; /* width of the MLP, behind the gate */
    bool gated, causal;
    Activation activation; /* of fc1, or of the gate */
    double eps;
    Rope rope;    /* rotary positions; zeros: there are none */
    Block *block; /* owned */
} Transformer;

/* Activations of one batch, on the device. */
typedef struct {
    float *x;       /* (B,T,width): the residual stream */
    void *normed;   /* (B,T,width) */
    void *wide;     /* (B,T,transformer_wide) */
    void *gated;    /* (B,T,hidden) with SwiGLU, else unused */
    Precision type; /* of normed, wide and gated between products: activations_of */
    void *scratch;
} TransformerSpace;

/* Returns rows `row` elements apart, from the element `first` of normed, wide or gated on. */
static inline Matrix space_matrix(const TransformerSpace *s, void *data, int64_t first,
                                  int64_t row) {
    return (Matrix){(uint8_t *)data + first * precision_bytes(s->type), row, s->type};
}
/* Returns such rows as (B,T) tokens. */
static inline Tokens space_tokens(const TransformerSpace *s, void *data, int64_t first, int64_t T,
                                  int64_t row) {
    return (Tokens){space_matrix(s, data, first, row).data, T * row, row, s->type};
}

/* Loads the blocks called "<blocks>0.", "<blocks>1.", ... as many as there are. `width` is known;
 * heads, activation, eps, causal and rope stand in *out already. Failures stick to *w. */
void transformer_load(Transformer *out, Weights *w, const BlockNames *names, const char *blocks,
                      int64_t width);
void transformer_free(Transformer *t); /* NULL and twice are fine */
/* transformer_depth returns the number of blocks in the file, transformer_gated whether their MLP
 * is SwiGLU's. */
int64_t transformer_depth(const Weights *w, const BlockNames *names, const char *blocks);
bool transformer_gated(const Weights *w, const BlockNames *names, const char *blocks);
/* Returns the width of the widest row that a block needs: q, k, v or the MLP's. */
int64_t transformer_wide(const Transformer *t);

/* Runs all blocks over space->x. With `first_only` only row 0 of every sequence is wanted, so the
 * last block computes no other; its bits are the same. */
void transformer_run(const Transformer *t, const Ops *ops, Queue *queue,
                     const TransformerSpace *space, int64_t B, int64_t T, bool first_only);

#endif
