/* transformer.h - the pre-norm transformer that CLIP's image tower, its text tower and DINOv2 share
 * (Vaswani et al. 2017; Dosovitskiy et al. 2021).
 *
 *     x += s1 * proj(attention(norm1(x)))        s1, s2: LayerScale, DINOv2 only
 *     x += s2 * mlp(norm2(x))                    mlp: fc2(act(fc1 x)), or SwiGLU: w3(silu(a) * b)
 */
#ifndef TURTLE_HOST_ENCODE_TRANSFORMER_H
#define TURTLE_HOST_ENCODE_TRANSFORMER_H

#include "host/encode/weights.h"

/* Names of the tensors of a block, behind "<blocks><number>." and before "weight", "bias". */
typedef struct {
    const char *norm1, *qkv; /* packed; or NULL: query, key and value each */
    const char *query, *key, *value, *proj, *scale1;
    const char *norm2, *fc1, *fc2, *gate_in, *gate_out, *scale2; /* gate_*: SwiGLU; NULL: never */
} BlockNames;

extern const BlockNames clip_block_names, clip_hf_block_names, dinov2_block_names,
    dinov2_hf_block_names;

typedef struct {
    Norm norm1, norm2;
    Layer qkv[3]; /* one packed layer, or three */
    int qkv_count;
    Layer proj, fc1, fc2; /* SwiGLU: w12 and w3 */
} Block;

typedef struct {
    int64_t width, depth, heads;
    int64_t hidden; /* width of the MLP, behind the gate */
    bool gated, causal;
    Activation activation;
    double eps;
    Block *block; /* owned */
} Transformer;

/* Activations of one batch, on the device. */
typedef struct {
    float *x;      /* (B,T,width): the residual stream */
    float *normed; /* (B,T,width) */
    float *wide;   /* (B,T,transformer_wide) */
    float *gated;  /* (B,T,hidden) with SwiGLU, else unused */
    void *scratch;
} TransformerSpace;

/* Loads the blocks called "<blocks>0.", "<blocks>1.", ... as many as there are. `width` is known;
 * heads, activation, eps and causal stand in *out already. Failures stick to *w. */
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
