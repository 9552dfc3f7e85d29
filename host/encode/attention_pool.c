/* attention_pool.c - attention of one query over all tokens. */
#include "host/encode/attention_pool.h"

void attention_pool_run(const AttentionPool *p, const Ops *ops, Queue *queue, float *out,
                        const float *query, int64_t query_row, const float *tokens, int64_t B,
                        int64_t T, const AttentionPoolSpace *s) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = p->query.weight.in, queries = query_row ? B : 1;
    e->linear(queue, s->q, d, query, query_row ? query_row : d, &p->query.weight,
              &(Epilogue){.bias = p->query.bias}, queries, s->scratch);
    e->linear(queue, s->k, d, tokens, d, &p->key.weight, &(Epilogue){.bias = p->key.bias}, B * T,
              s->scratch);
    e->linear(queue, s->v, d, tokens, d, &p->value.weight, &(Epilogue){.bias = p->value.bias},
              B * T, s->scratch);
    e->attention(queue, (Tokens){s->mixed, d, d}, (Tokens){s->q, query_row ? d : 0, d},
                 (Tokens){s->k, T * d, d}, (Tokens){s->v, T * d, d}, B, 1, T, p->heads,
                 d / p->heads, false, NULL, s->scratch);
    e->linear(queue, out, p->out.weight.out, s->mixed, d, &p->out.weight,
              &(Epilogue){.bias = p->out.bias}, B, s->scratch);
}
