/* gemm_avx512.c - the micro-kernel with AVX-512: 12 x 32, two loads and twelve broadcasts for
 * twenty-four fused multiply-adds. */
#include "gemm_tile.h"
