/* product_16.h - the products of encoders whose operands are bfloat16 (kernels/encode.h, Precision). */
#ifndef TURTLE_KERNELS_CPU_GEMM_PRODUCT_16_H
#define TURTLE_KERNELS_CPU_GEMM_PRODUCT_16_H

#include "kernels/cpu/gemm/product.h"

#define product_16 ISA(product_16)
#define pairs_to_strip ISA(pairs_to_strip)
#define product_16_bytes ISA(product_16_bytes)
#define product_16_finish ISA(product_16_finish)
#define product_16_pack ISA(product_16_pack)
#define product_16_scratch ISA(product_16_scratch)

/* Returns the bytes of a packed weight: [out/BF16_COLS][depth/2][BF16_COLS][2], with zeros beyond both. */
int64_t product_16_bytes(const Weight *w);
void product_16_pack(uint16_t *packed, const Weight *w, Threads *pool);

/* Finishes the sums (rows,BF16_COLS) of rows from i on and of output channels from j on (Epilogue), and stores the first
 * `cols` of each row. */
void product_16_finish(const Output *out, const Epilogue *e, float *sum, int64_t i, int64_t rows,
                       int64_t j, int64_t cols);

/* Up to STRIP_PAIRS pairs of bfloat16 of one column of a strip. */
enum { STRIP_PAIRS = 64 };
typedef uint32_t
    Pairs[STRIP_PAIRS + 8]; /* no power of two: rows keep out of each other's cache sets */
/* Transposes the first n pairs of BF16_COLS columns: `to` (n,BF16_COLS) is a part of a packed strip. n is a multiple
 * of BF16_RUN / 2. */
void pairs_to_strip(uint32_t *to, const Pairs *from, int64_t n);

/* Computes what `product` does, with both operands rounded to bfloat16. A weight that is not packed is
 * packed on its way, into scratch. */
void product_16(Output out, const Left *left, const Weight *w, const Epilogue *e, void *scratch,
                const Device *device);
int64_t product_16_scratch(int threads, int64_t depth);

#endif
