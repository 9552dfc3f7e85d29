/* encode.h - the encoder operations of one instruction set (signatures and formulas: kernels/encode.h). */
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
#define cpu_pack ISA(cpu_pack)
#define cpu_pack_bytes ISA(cpu_pack_bytes)
#define cpu_pixels ISA(cpu_pixels)
#define cpu_pool_tokens ISA(cpu_pool_tokens)

/* Returns whether these are rows of float32 or of bfloat16; activations on the CPU have no other type. */
static inline bool are_activations(Matrix rows) {
    return rows.data && (rows.type == PRECISION_FP32 || rows.type == PRECISION_BF16);
}

LinearOp cpu_linear;
Conv2dOp cpu_conv2d;
AttentionOp cpu_attention;
LayerNormOp cpu_layer_norm;
PixelsOp cpu_pixels;
AddTokensOp cpu_add_tokens;
EmbedOp cpu_embed;
PoolTokensOp cpu_pool_tokens;
AvgPoolOp cpu_avg_pool;
MeanTokensOp cpu_mean_tokens;
NormalizeOp cpu_normalize;
PackOp cpu_pack;
int64_t cpu_encode_scratch(const Device *device, int64_t depth, int64_t keys);
int64_t cpu_pack_bytes(const Weight *w);
int64_t cpu_attention_scratch(const Device *device, int64_t keys);

#endif
