/* pooling_head.h - the head of SigLIP's image tower (Zhai et al. 2023; big_vision's MAP head, after
 * Lee et al. 2019): a learned query, the probe, gathers all tokens, and an MLP of its own follows.
 *
 *     a       = attention pool(query = probe, tokens = x)       attention_pool.h
 *     feature = a + fc2(act(fc1(norm a)))                       the residual is a, not the probe
 */
#ifndef TURTLE_HOST_ENCODE_POOLING_HEAD_H
#define TURTLE_HOST_ENCODE_POOLING_HEAD_H

#include "host/encode/attention_pool.h"
#include "host/encode/transformer.h"

/* Names of its tensors, but for the probe in front of "weight" and "bias". The projections are packed:
 * q, k and v in `qkv`, or q apart from k and v in `kv`. */
typedef struct {
    const char *probe, *qkv, *query, *kv, *out, *norm, *fc1, *fc2;
} PoolingHeadNames;

typedef struct {
    AttentionPool attention;
    const float *probe; /* (width) on the device */
    Norm norm;
    Layer fc1, fc2;
    int64_t width, hidden;
    Activation activation;
    double eps;
} PoolingHead;

/* Loads the head. Heads, activation and eps stand in *out already. Failures stick to *w. */
void pooling_head_load(PoolingHead *out, Weights *w, const PoolingHeadNames *names, int64_t width);
/* Returns the width of the rows that the head needs of TransformerSpace.wide. */
int64_t pooling_head_wide(const PoolingHead *h);

/* Computes one row per image of space->normed, the tokens (B,T,width) of its type after the last norm. The rows
 * replace the first B of them. x and wide are overwritten. */
void pooling_head_run(const PoolingHead *h, const Ops *ops, Queue *queue,
                      const TransformerSpace *space, int64_t B, int64_t T);

#endif
