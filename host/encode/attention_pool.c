/* attention_pool.c - attention of one query over all tokens. */
#include "host/encode/attention_pool.h"

void attention_pool_run(const AttentionPool *p, const Ops *ops, Queue *queue, Matrix out,
                        Matrix query, Matrix tokens, int64_t B, int64_t T,
                        const AttentionPoolSpace *s) {
    const EncodeOps *e = &ops->encode;
    const int64_t d = p->query.weight.in;
    const bool shared = query.row == 0;
    const Matrix q = {s->q, d, s->type}, k = {s->k, d, s->type}, v = {s->v, d, s->type},
                 mixed = {s->mixed, d, s->type};
    if (shared) query.row = d;
    e->linear(queue, q, query, &p->query.weight, &(Epilogue){.bias = p->query.bias}, shared ? 1 : B,
              s->scratch);
    e->linear(queue, k, tokens, &p->key.weight, &(Epilogue){.bias = p->key.bias}, B * T,
              s->scratch);
    e->linear(queue, v, tokens, &p->value.weight, &(Epilogue){.bias = p->value.bias}, B * T,
              s->scratch);
    e->attention(queue, (Tokens){s->mixed, d, d, s->type},
                 (Tokens){s->q, shared ? 0 : d, d, s->type}, (Tokens){s->k, T * d, d, s->type},
                 (Tokens){s->v, T * d, d, s->type}, B, 1, T, p->heads, d / p->heads, false, NULL,
                 s->scratch);
    e->linear(queue, out, mixed, &p->out.weight, &(Epilogue){.bias = p->out.bias}, B, s->scratch);
}
