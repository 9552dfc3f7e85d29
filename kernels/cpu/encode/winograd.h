/* winograd.h - 3 x 3 convolutions in float32 with fewer multiplications. */
#ifndef TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_H
#define TURTLE_KERNELS_CPU_ENCODE_WINOGRAD_H

#include "kernels/cpu/gemm/product.h"

#define winograd ISA(winograd)
#define winograd_scratch ISA(winograd_scratch)
#define winograd_serves ISA(winograd_serves)

/* Returns whether winograd() computes this convolution: 3 x 3 of stride 1, padded by 1, over and to whole
 * vectors of channels, all in float32. */
bool winograd_serves(const Weight *w, const Window *window);
/* out (B,H,W,w->out) = epilogue(convolution of in (B,H,W,w->in)); scratch: winograd_scratch(9 w->in). */
void winograd(float *out, const float *in, const Weight *w, const Window *window,
              const Epilogue *epilogue, int64_t B, void *scratch, Threads *pool);
/* Returns the bytes that serve any convolution of `depth` = inputs x taps. */
int64_t winograd_scratch(int64_t depth, int threads);

#endif
