/* plain_products.h - linear layers and convolutions in their plainest CUDA code, a thread per number. Tests of
 * whole encoders take them where the backend has no products of its own. */
#ifndef TURTLE_TESTS_GPU_PLAIN_PRODUCTS_H
#define TURTLE_TESTS_GPU_PLAIN_PRODUCTS_H

#ifdef __cplusplus
extern "C" {
#endif
#include "kernels/ops.h"

/* Fills in linear, conv2d and pack, which then belong to each other. */
void plain_products(Ops *ops);
#ifdef __cplusplus
}
#endif

#endif
