/* strided.c - elements that lie at any strides, brought into C order. */
#include "io/arrays/strided.h"

#include <string.h>

/* Copies one element of 1, 2, 4 or 8 bytes. */
static void copy_element(uint8_t *to, const uint8_t *from, int bytes) {
    switch (bytes) {
    case 1: *to = *from; break;
    case 2: memcpy(to, from, 2); break;
    case 4: memcpy(to, from, 4); break;
    default: memcpy(to, from, 8);
    }
}

/* Copies a matrix in squares, so that both what is read and what is written stay in the cache. */
static void copy_matrix(uint8_t *to, const uint8_t *from, int bytes, const int64_t *shape,
                        const int64_t *stride) {
    enum { SQUARE = 32 };
    const int64_t rows = shape[0], columns = shape[1];
    for (int64_t i0 = 0; i0 < rows; i0 += SQUARE)
        for (int64_t j0 = 0; j0 < columns; j0 += SQUARE)
            for (int64_t i = i0; i < rows && i < i0 + SQUARE; i++)
                for (int64_t j = j0; j < columns && j < j0 + SQUARE; j++)
                    copy_element(to + (i * columns + j) * bytes,
                                 from + (i * stride[0] + j * stride[1]) * bytes, bytes);
}

void strided_copy(uint8_t *to, const uint8_t *from, int bytes, int axes, const int64_t *shape,
                  const int64_t *stride) {
    int64_t index[STRIDED_MAX_AXES] = {0}, at = 0, count = 1;
    if (axes == 2) {
        copy_matrix(to, from, bytes, shape, stride);
        return;
    }
    for (int i = 0; i < axes; i++) count *= shape[i];
    for (int64_t n = 0; n < count; n++) { /* `index` counts through the array like an odometer */
        copy_element(to + n * bytes, from + at * bytes, bytes);
        for (int i = axes - 1; i >= 0; i--) {
            at += stride[i];
            if (++index[i] < shape[i]) break;
            at -= index[i] * stride[i];
            index[i] = 0;
        }
    }
}
