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
    bool swapped;     /* whether bytes are in the order that this machine does not use */
} Features;

/* A batch of features in device memory, as gather leaves it: sample b begins at element b * row.
 *   DTYPE_F32    Products are of float32.
 *   DTYPE_F16    The CPU widens features to float32, which is exact, before it multiplies; a GPU
 *                multiplies them as they are (Ops.f16_products).
 *   DTYPE_BF16   Products are of bfloat16.
 * Products are summed in float32. The other factor is rounded to the 16 bits of the products, too. Rows
 * of bfloat16, on a GPU also rows of float16, are zero from d to `row`. */
typedef struct {
    void *data;
    DType type;
    int64_t d, row; /* features of a sample; elements between samples */
    bool tf32;    /* products of float32 keep 10 bits of the mantissa (tensor cores); GPUs alone */
    int exponent; /* the features are the data times 2^exponent, so that float16 holds any; else 0. On
                     * GPUs alone. Products undo it exactly, gather divides by it. */
} Batch;

/* Returns 2^exponent, from 2^-126 to 2^127. */
static inline float batch_unit(const Batch *Z) {
    return ldexpf(1.0f, Z->exponent);
}

/* Returns the elements between the samples of a batch: an odd number of 64-byte lines, so that a column
 * of features meets every set of a cache. With 768 floats, 48 lines, four sets of 64 would serve all
 * samples. Vector and bulk loads align to it. */
static inline int64_t batch_row(DType type, int64_t d) {
    const int64_t per_line = 64 / dtype_bytes(type);
    return ((d + per_line - 1) / per_line | 1) * per_line;
}

/* Returns a batch whose samples lie one after the other. */
static inline Batch batch_f32(const float *data, int64_t d) {
    return (Batch){(void *)data, DTYPE_F32, d, d, false, 0};
}

/* Which operand of a product is transposed. A is (rows,depth), B is (depth,cols) as multiplied. */
typedef enum {
    MATMUL_NN, /* A stored (rows,depth), B stored (depth,cols) */
    MATMUL_NT, /* A stored (rows,depth), B stored (cols,depth): a linear layer's forward */
    MATMUL_TN, /* A stored (depth,rows), B stored (depth,cols): its weight gradient */
} MatmulForm;

/* out = A B (+ bias, broadcast over rows; NULL for none).
 *   A as A->type, A->d elements per stored row; out (rows,cols), bias (cols).
 *   2 rows cols depth flops.
 *   scratch: matmul_scratch_bytes(form, rows, cols, depth) bytes. */
typedef Status MatmulOp(Queue *queue, MatmulForm form, float *out, const Batch *A, const float *B,
                        const float *bias, int64_t rows, int64_t cols, int64_t depth,
                        void *scratch);
/* Returns the bytes of scratch that such a matmul needs. */
typedef int64_t MatmulScratchBytes(MatmulForm form, int64_t rows, int64_t cols, int64_t depth);

/* out[b,:] = features[rows[b],:], converted to out->type, to the nearest, ties to even.
 *   rows (B) in [0, N). The CPU fails the queue on other numbers. A GPU reads them when it is too late to
 *   refuse: it leaves NaN in the d elements of such a sample, and so in every loss.
 *   B d elements are written, and B d are read in runs of one row. */
typedef Status GatherOp(Queue *queue, const Batch *out, const Features *features,
                        const int64_t *rows, int64_t B);

/* Finds, for each row, the index of the first maximum, its value and its distance from the second largest.
 *   X (rows,cols); index (rows) int32; top, margin (rows) float32 or NULL. cols >= 2. */
typedef Status ArgmaxOp(Queue *queue, int32_t *index, float *top, float *margin, const float *X,
                        int64_t rows, int64_t cols);

/* The dense matrix operations of one backend. */
typedef struct {
    MatmulOp *matmul;
    MatmulScratchBytes *matmul_scratch_bytes;
    GatherOp *gather;
    ArgmaxOp *argmax;
} MatrixOps;

#endif
