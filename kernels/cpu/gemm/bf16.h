/* bf16.h - a panel's products when its batch is bfloat16 (--precision bf16): W and the residual are
 * rounded to bfloat16 too, sums are float32. */
#ifndef TURTLE_KERNELS_CPU_GEMM_BF16_H
#define TURTLE_KERNELS_CPU_GEMM_BF16_H

#include "kernels/cpu/gemm/gemm.h"

#define bf16_gradient ISA(bf16_gradient)
#define bf16_logits ISA(bf16_logits)
#define bf16_pack_weight ISA(bf16_pack_weight)
#define bf16_product ISA(bf16_product)

/* The packed W (C,d) is [C/BF16_COLS][depth/2][BF16_COLS][2], or for few classes (Bf16Few) [C][depth], with zeros beyond
 * C and d. */
static inline int64_t bf16_depth(int64_t d) {
    return round_up(d, BF16_RUN);
}
static inline int64_t bf16_weight_bytes(int64_t C, int64_t d) {
    return round_up(C, BF16_COLS) * bf16_depth(d) * (int64_t)sizeof(uint16_t);
}
void bf16_pack_weight(uint16_t *packed, const Device *device, const float *W, int64_t C, int64_t d);

/* They compute what panel_logits and, without the bias, panel_gradient do. transposed has
 * bf16_residual_bytes. */
void bf16_logits(float *logits, int64_t ld, Panel Z, const uint16_t *packed_W, int64_t n, int64_t C,
                 int64_t width, int64_t d);
void bf16_gradient(float *grad, bool accumulate, const float *residual, int64_t ld, Panel Z,
                   int64_t n, int64_t C, int64_t d, uint16_t *transposed);
static inline int64_t bf16_residual_bytes(int64_t C) {
    return round_up(C, VEC_FLOATS) * round_up(BF16_PANEL, BF16_RUN) * (int64_t)sizeof(uint16_t);
}

#endif
