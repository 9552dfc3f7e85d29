/* matrix.h - dense matrix operations that every algorithm shares.
 *
 * Each works on float32 in row-major order; pointers are device memory. Cost is stated as
 * floating-point operations and bytes that must move at least once.
 */
#ifndef TURTLE_KERNELS_MATRIX_H
#define TURTLE_KERNELS_MATRIX_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/dtype.h"
#include "io/status.h"

typedef struct Device Device;
typedef struct Queue Queue; /* operations run in the order they are enqueued (ops.h) */

/* The representations of a data set under one encoder, as they lie in a file. */
typedef struct {
    const void *data; /* (N,d), possibly unaligned */
    int64_t N, d;     /* samples, feature dimension */
    DType type;       /* DTYPE_F16, DTYPE_F32 or DTYPE_F64 */
    bool swapped;     /* bytes are in the other order */
} Features;

/* A batch of features in device memory, as gather leaves it: sample b begins at element b * row. */
typedef struct {
    void *data;
    DType type; /* DTYPE_F32; DTYPE_F16: half the bytes, on the CPU widened exactly to multiply, on
                 * a GPU multiplied as they are (Ops.f16_products);
                 * DTYPE_BF16: products are of bfloat16. Products are summed in float32; what
                 * multiplies 16 bits is rounded to them too. Rows of bfloat16, on a GPU also those
                 * of float16, are zero from d to `row`. */
    int64_t d, row;
    bool tf32; /* products of float32 keep 10 bits of the mantissa (tensor cores); GPUs alone */
    int exponent; /* of float16 on GPUs alone, else 0: the features are the data times 2^exponent, so that
                   * float16 holds any. Operations see the features: products undo it exactly, gather
                   * divides by it. */
} Batch;

/* 2^exponent, -126 to 127. */
static inline float batch_unit(const Batch *Z) {
    return ldexpf(1.0f, Z->exponent);
}

/* Elements between the samples of a batch: an odd number of 64-byte lines, so that a column of
 * features meets every set of a cache (768 floats are 48 lines: four sets of 64 would serve all
 * samples), and a multiple of what vector and bulk loads align to. */
static inline int64_t batch_row(DType type, int64_t d) {
    const int64_t per_line = 64 / dtype_bytes(type);
    return ((d + per_line - 1) / per_line | 1) * per_line;
}

/* Samples one after the other. */
static inline Batch batch_f32(const float *data, int64_t d) {
    return (Batch){(void *)data, DTYPE_F32, d, d, false, 0};
}

/* Which operand of a product is transposed. A is (rows,depth), B is (depth,cols) as multiplied. */
typedef enum {
    MATMUL_NN, /* A stored (rows,depth), B stored (depth,cols) */
    MATMUL_NT, /* A stored (rows,depth), B stored (cols,depth): a linear layer's forward */
    MATMUL_TN, /* A stored (depth,rows), B stored (depth,cols): its weight gradient */
} MatmulForm;

typedef struct {
    /* out = A B (+ bias, broadcast over rows; NULL for none).
     *   A as A->type, A->d elements per stored row; out (rows,cols), bias (cols).
     *   2 rows cols depth flops.
     * scratch: matmul_scratch_bytes(form, rows, cols, depth) bytes. */
    Status (*matmul)(Queue *queue, MatmulForm form, float *out, const Batch *A, const float *B,
                     const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch);
    int64_t (*matmul_scratch_bytes)(MatmulForm form, int64_t rows, int64_t cols, int64_t depth);

    /* out[b,:] = features[rows[b],:], converted to out->type, to the nearest, ties to even.
     *   rows (B) in [0, N): on others the CPU fails the queue; a GPU, which reads them when it is
     *   too late to refuse, leaves NaN in the d elements of their samples, and so in every loss.
     * B d elements written, B d read in runs of one row. */
    Status (*gather)(Queue *queue, const Batch *out, const Features *features, const int64_t *rows,
                     int64_t B);

    /* Per row: the index of the first maximum; its value and its distance from the second largest.
     *   X (rows,cols); index (rows) int32; top, margin (rows) float32 or NULL. cols >= 2. */
    Status (*argmax)(Queue *queue, int32_t *index, float *top, float *margin, const float *X,
                     int64_t rows, int64_t cols);
} MatrixOps;

#endif
