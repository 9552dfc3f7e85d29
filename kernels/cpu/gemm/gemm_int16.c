/* gemm_int16.c - products of 16-bit integers (cpu.h, Int16Product): with AVX512-VNNI one instruction
 * multiplies and adds sixteen pairs, twice the multiply-adds of float32; tests execute it in C. */
#define ELEMENT int32_t
#define PAIR_PRODUCT ISA(int16_product)
#if defined(__AVX512VNNI__)
#include <immintrin.h>
#define PAIR_DOT(sum, a, b) ((Vec)_mm512_dpwssd_epi32((__m512i)(sum), (__m512i)(a), (__m512i)(b)))
#else
#define PAIR_DOT(sum, a, b)                        \
    ((sum) + ((Vec)(a) >> 16) * ((Vec)(b) >> 16) + \
     ((Vec)((a) << 16) >> 16) * ((Vec)((b) << 16) >> 16))
#endif

#include "kernels/cpu/gemm/pair_tile.h"
