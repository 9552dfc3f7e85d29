/* gemm_avx2.c - the micro-kernel with AVX2 and FMA: 6 x 16, two loads and six broadcasts for twelve
 * fused multiply-adds. */
#include "kernels/cpu/gemm/gemm_tile.h"
