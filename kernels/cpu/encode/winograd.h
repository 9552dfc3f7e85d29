/* winograd.h - 3 x 3 convolutions with fewer multiplications, in float32 and in bfloat16. */
#ifndef TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_H
#define TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_H

#include "kernels/cpu/gemm/product_16.h"

#define winograd ISA(winograd)
#define winograd_scratch ISA(winograd_scratch)
#define winograd_serves ISA(winograd_serves)
#define winograd_16 ISA(winograd_16)
#define winograd_16_bytes ISA(winograd_16_bytes)
#define winograd_16_pack ISA(winograd_16_pack)
#define winograd_16_scratch ISA(winograd_16_scratch)

/* Returns whether winograd(), or winograd_16() of a weight that it packed, computes this convolution: 3 x 3 of stride 1,
 * padded by 1, over and to whole vectors of channels. */
bool winograd_serves(const Weight *w, const Window *window);
/* out (B,H,W,w->out) = epilogue(convolution of in (B,H,W,w->in)); scratch: winograd_scratch(9 w->in). */
void winograd(float *out, const float *in, const Weight *w, const Window *window,
              const Epilogue *epilogue, int64_t B, void *scratch, Threads *pool);
/* Returns the bytes that serve any convolution of `depth` = inputs x taps. */
int64_t winograd_scratch(int64_t depth, int threads);

/* Returns the bytes of a weight of bfloat16 that is packed for winograd_16, or 0: it is no weight of 3 x 3 over and to
 * whole vectors of channels. */
int64_t winograd_16_bytes(const Weight *w);
void winograd_16_pack(uint16_t *packed, const Weight *w, Threads *pool);
/* Computes what winograd() does, in and out float32 or bfloat16; transformed pixels and weights are rounded to
 * bfloat16. */
void winograd_16(Output out, Matrix in, const Weight *w, const Window *window,
                 const Epilogue *epilogue, int64_t B, void *scratch, const Device *device);
int64_t winograd_16_scratch(int64_t depth, int threads);

#endif
