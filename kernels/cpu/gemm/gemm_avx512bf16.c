/* gemm_avx512bf16.c - products of bfloat16 with AVX512-BF16: one instruction multiplies sixteen pairs,
 * twice the multiply-adds of float32 where the processor issues it as often (Zen 4 and 5). */
#include <immintrin.h>

#include "kernels/cpu/gemm/bf16.h"

#define PAIR_DOT(sum, a, b) ((Vec)_mm512_dpbf16_ps((__m512)(sum), (__m512bh)(a), (__m512bh)(b)))
#define PAIR_PRODUCT bf16_product

#include "kernels/cpu/gemm/pair_tile.h"
