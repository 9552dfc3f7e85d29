/* narrow.h - activations of encoders in tests of kernels: the reference takes them in float32, a backend that has the
 * precision under test `narrow` in that one, rounded alike. So errors are those of the arithmetic alone. */
#ifndef TURTLE_TESTS_SUPPORT_NARROW_H
#define TURTLE_TESTS_SUPPORT_NARROW_H

#include "tests/support/operation.h"

static Precision precision; /* of activations where they are narrow */

/* Returns half the distance of two neighbouring numbers between 1 and 2: the largest relative error of rounding. */
static inline double unit_of(Precision p) {
    return p == PRECISION_FP32 ? 0x1p-24 : p == PRECISION_FP16 ? 0x1p-11 : 0x1p-8;
}

static inline float narrowed(float x) {
    return precision == PRECISION_FP16   ? f32_from_f16(f16_from_f32(x))
           : precision == PRECISION_BF16 ? f32_from_bf16(bf16_from_f32(x))
                                         : x;
}

static inline Precision type_on(const Ops *ops) {
    return activations_of(&ops->encode, precision);
}

/* Returns rounded numbers in the type that the backend takes. off_alignment moves them. */
static inline void *activations(const Ops *ops, const float *x, int64_t n) {
    const Precision type = type_on(ops);
    uint8_t *to = (uint8_t *)array((n + 1) * 4) + off_alignment * precision_bytes(type);
    for (int64_t i = 0; i < n; i++)
        if (type == PRECISION_FP32) ((float *)to)[i] = narrowed(x[i]);
        else
            ((uint16_t *)to)[i] = type == PRECISION_FP16 ? f16_from_f32(x[i]) : bf16_from_f32(x[i]);
    return to;
}

/* Returns room for n numbers, all of them NaN. */
static inline void *unwritten(const Ops *ops, int64_t n) {
    return (uint8_t *)memset(array((n + 1) * 4), 0xff, (size_t)(n + 1) * 4) +
           off_alignment * precision_bytes(type_on(ops));
}

/* Waits, and makes an output of the rows (rows,d) that lie `row` apart. What lies between them must still be
 * unwritten. */
static inline void output_rows(const Ops *ops, Queue *q, Outputs *o, const void *from, int64_t rows,
                               int64_t d, int64_t row) {
    float *to = output(o, rows * d, NULL);
    const Precision type = type_on(ops);
    finish(ops, q);
    for (int64_t i = 0; i < rows * row; i++) {
        const float x = type == PRECISION_FP32   ? ((const float *)from)[i]
                        : type == PRECISION_FP16 ? f32_from_f16(((const uint16_t *)from)[i])
                                                 : f32_from_bf16(((const uint16_t *)from)[i]);
        if (i % row < d) to[i / row * d + i % row] = x;
        else cr_assert(isnan(x), "column %d of %d was written", (int)(i % row), (int)d);
    }
}

#endif
