/* strided.h - elements that lie at any strides, brought into C order. */
#ifndef TURTLE_IO_ARRAYS_STRIDED_H
#define TURTLE_IO_ARRAYS_STRIDED_H

#include <stdint.h>

enum { STRIDED_MAX_AXES = 8 };

/* Copies an array of elements of 1, 2, 4 or 8 `bytes` from `from` to `to`, in C order. Axis i of
 * `from` has shape[i] elements, which lie stride[i] elements apart. */
void strided_copy(uint8_t *to, const uint8_t *from, int bytes, int axes, const int64_t *shape,
                  const int64_t *stride);

#endif
