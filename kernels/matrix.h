/* matrix.h - dense matrix operations that every algorithm shares.
 *
 * Each works on float32 in row-major order; pointers are device memory. Cost is stated as
 * floating-point operations and bytes that must move at least once.
 */
#ifndef TURTLE_KERNELS_MATRIX_H
#define TURTLE_KERNELS_MATRIX_H

#include <stdbool.h>
#include <stdint.h>

#include "../io/dtype.h"
#include "../io/status.h"

typedef struct Device Device;
typedef struct Queue Queue; /* operations run in the order they are enqueued (ops.h) */

/* The representations of a data set under one encoder, as they lie in a file. */
typedef struct {
    const void *data; /* (N,d), possibly unaligned */
    int64_t N, d;     /* samples, feature dimension */
    DType type;       /* DTYPE_F16, DTYPE_F32 or DTYPE_F64 */
    bool swapped;     /* bytes are in the other order */
} Features;

/* Which operand of a product is transposed. A is (rows,depth), B is (depth,cols) as multiplied. */
typedef enum {
    MATMUL_NN, /* A stored (rows,depth), B stored (depth,cols) */
    MATMUL_NT, /* A stored (rows,depth), B stored (cols,depth): a linear layer's forward */
    MATMUL_TN, /* A stored (depth,rows), B stored (depth,cols): its weight gradient */
} MatmulForm;

typedef struct {
    /* out = A B (+ bias, broadcast over rows; NULL for none).
     *   out (rows,cols), bias (cols); 2 rows cols depth flops.
     * scratch: matmul_scratch_bytes(form, rows, cols, depth) bytes. */
    Status (*matmul)(Queue *queue, MatmulForm form, float *out, const float *A, const float *B,
                     const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch);
    int64_t (*matmul_scratch_bytes)(MatmulForm form, int64_t rows, int64_t cols, int64_t depth);

    /* out[b,:] = features[rows[b],:], converted to float32. rows (B) in [0, N).
     *   4Bd bytes written, B d elements read in runs of one row. */
    Status (*gather)(Queue *queue, float *out, const Features *features, const int64_t *rows,
                     int64_t B);

    /* Per row: the index of the first maximum; its value and its distance from the second largest.
     *   X (rows,cols); index (rows) int32; top, margin (rows) float32 or NULL. cols >= 2. */
    Status (*argmax)(Queue *queue, int32_t *index, float *top, float *margin, const float *X,
                     int64_t rows, int64_t cols);
} MatrixOps;

#endif
