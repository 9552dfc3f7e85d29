/* attention_pool.h - attention of one query over all tokens, with which CLIP's residual network
 * (Radford et al. 2021) and SigLIP's head (Zhai et al. 2023) make one vector of an image.
 *
 *     out = W_o attention(W_q query, W_k tokens, W_v tokens)     every layer with its bias
 */
#ifndef TURTLE_HOST_ENCODE_ATTENTION_POOL_H
#define TURTLE_HOST_ENCODE_ATTENTION_POOL_H

#include "host/encode/weights.h"

typedef struct {
    Layer query, key, value, out;
    int64_t heads;
} AttentionPool;

/* Memory of one batch of B images with T tokens of width d, on the device. */
typedef struct {
    void *q;        /* (B,d), or (1,d) where all images share a query */
    void *mixed;    /* (B,d) */
    void *k, *v;    /* (B,T,d) */
    Precision type; /* of these four */
    void *scratch;
} AttentionPoolSpace;

/* Computes out (B,width of the layer `out`) of tokens (B,T,d), which lie densely. Queries lie query.row
 * apart, one an image; a row of 0 means that all images share one. `out` may be `tokens`. */
void attention_pool_run(const AttentionPool *p, const Ops *ops, Queue *queue, Matrix out,
                        Matrix query, Matrix tokens, int64_t B, int64_t T,
                        const AttentionPoolSpace *space);

#endif
