/* bf16.c - products of bfloat16 where the processor has no instruction for them: both elements of a
 * pair are widened, exactly, and multiplied in float32. It serves to save memory, and tests. */
#include "kernels/cpu/gemm/bf16.h"

typedef float PairVec __attribute__((vector_size(4 * VEC_FLOATS)));
#define PAIR_DOT(sum, a, b)                                \
    ((sum) + (PairVec)((a) << 16) * (PairVec)((b) << 16) + \
     (PairVec)((a)&0xffff0000u) * (PairVec)((b)&0xffff0000u))
#define PAIR_PRODUCT bf16_product

#include "kernels/cpu/gemm/pair_tile.h"
