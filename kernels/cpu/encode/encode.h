/* encode.h - the encoder operations of one instruction set (formulas: kernels/encode.h). */
#ifndef TURTLE_KERNELS_CPU_ENCODE_ENCODE_H
#define TURTLE_KERNELS_CPU_ENCODE_ENCODE_H

#include "kernels/cpu/cpu.h"

/* the symbols that carry the set's name */
#define cpu_add_tokens ISA(cpu_add_tokens)
#define cpu_attention ISA(cpu_attention)
#define cpu_attention_scratch ISA(cpu_attention_scratch)
#define cpu_avg_pool ISA(cpu_avg_pool)
#define cpu_conv2d ISA(cpu_conv2d)
#define cpu_embed ISA(cpu_embed)
#define cpu_encode_scratch ISA(cpu_encode_scratch)
#define cpu_layer_norm ISA(cpu_layer_norm)
#define cpu_linear ISA(cpu_linear)
#define cpu_mean_tokens ISA(cpu_mean_tokens)
#define cpu_normalize ISA(cpu_normalize)
#define cpu_pixels ISA(cpu_pixels)
#define cpu_pool_tokens ISA(cpu_pool_tokens)
#define cpu_silu_gate ISA(cpu_silu_gate)

Status cpu_linear(Queue *q, float *out, int64_t out_row, const float *in, int64_t in_row,
                  const Weight *w, const Epilogue *epilogue, int64_t rows, void *scratch);
Status cpu_conv2d(Queue *q, float *out, const float *in, const Weight *w, const Window *window,
                  const Epilogue *epilogue, int64_t B, void *scratch);
Status cpu_attention(Queue *queue, Tokens out, Tokens q, Tokens k, Tokens v, int64_t B,
                     int64_t queries, int64_t keys, int64_t heads, int64_t width, bool causal,
                     void *scratch);
Status cpu_layer_norm(Queue *q, float *out, const float *x, int64_t x_row, const float *weight,
                      const float *bias, double eps, int64_t rows, int64_t d);
Status cpu_silu_gate(Queue *q, float *out, const float *x, int64_t rows, int64_t h);
Status cpu_pixels(Queue *q, float *out, const uint8_t *pixels, const float mean[3],
                  const float std[3], int64_t B, int64_t side);
Status cpu_add_tokens(Queue *q, float *x, const float *first, int64_t prefix, const float *position,
                      int64_t B, int64_t n, int64_t d);
Status cpu_embed(Queue *q, float *out, const int32_t *ids, const Weight *table,
                 const float *position, int64_t B, int64_t T);
Status cpu_pool_tokens(Queue *q, float *out, const float *x, const float *position, int64_t B,
                       int64_t n, int64_t d);
Status cpu_avg_pool(Queue *q, float *out, const float *in, int64_t B, int64_t H, int64_t W,
                    int64_t C, int64_t k);
Status cpu_mean_tokens(Queue *q, float *out, int64_t out_row, const float *x, int64_t B, int64_t T,
                       int64_t first, int64_t n, int64_t d);
Status cpu_normalize(Queue *q, float *x, int64_t rows, int64_t d);
int64_t cpu_encode_scratch(const Device *device, int64_t depth, int64_t keys);
int64_t cpu_attention_scratch(const Device *device, int64_t keys);

#endif
