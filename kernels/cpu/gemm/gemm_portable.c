/* gemm_portable.c - the micro-kernel with what every 64-bit processor has (SSE2, NEON): 4 x 8. */
#include "kernels/cpu/gemm/gemm_tile.h"
