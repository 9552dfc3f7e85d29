/* sizes.h - the arithmetic on sizes that every part of the program shares. Plain C; a CUDA kernel may
 * call the functions too. */
#ifndef TURTLE_IO_SIZES_H
#define TURTLE_IO_SIZES_H

#include <stdint.h>

/* HOST_DEVICE begins a function of plain C that CUDA kernels call as well. */
#if defined(__CUDACC__)
#define HOST_DEVICE __host__ __device__
#else
#define HOST_DEVICE
#endif

/* C++ may then use the functions below where it wants a constant; C has no such word. */
#if defined(__cplusplus)
#define CONSTANT_IN_CXX constexpr
#else
#define CONSTANT_IN_CXX
#endif

/* Returns the smaller of two numbers. */
HOST_DEVICE CONSTANT_IN_CXX static inline int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Returns the larger of two numbers. */
HOST_DEVICE CONSTANT_IN_CXX static inline int64_t most(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* Returns n / by, rounded up: the parts of `by` elements, the last perhaps shorter, that n elements make.
 * n >= 0, by >= 1. */
HOST_DEVICE CONSTANT_IN_CXX static inline int64_t ceil_div(int64_t n, int64_t by) {
    return (n + by - 1) / by;
}

/* Returns the first multiple of `to` that is at least n. n >= 0, to >= 1. */
HOST_DEVICE CONSTANT_IN_CXX static inline int64_t round_up(int64_t n, int64_t to) {
    return ceil_div(n, to) * to;
}

#endif
