/*
 * matmul.c - out = A B (+ bias), in the three forms of a linear layer (kernels/matrix.h)
 *
 * Cost     2 rows cols depth flops.
 * Mapping  the blocked product of product.c, with B as its weight.
 * Needs    scratch (cpu_matmul_scratch): the packed B.
 * History  v1, a blocking of its own with A read where it lies: 79 instead of 93 GFLOP/s where rows
 *          are 4 KiB apart and share cache sets (AVX2, one core of an AMD EPYC, Zen 5).
 */
#include "operations.h"
#include "product.h"

/* Rows of the transposed A: its columns. */
static void fill_columns(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                         int64_t deep) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t j = 0; j < deep; j++)
            panel[r * PANEL_ROW + j] = left->data[(k + j) * left->row + i + r];
}

int64_t cpu_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth) {
    (void)form, (void)rows;
    return product_scratch(cols, depth);
}

Status cpu_matmul(Queue *q, MatmulForm form, float *out, const float *A, const float *B,
                  const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch) {
    REQUIRE(q, out && A && B && scratch && rows >= 1 && cols >= 1 && depth >= 1, "matmul");
    const bool rows_of_B = form == MATMUL_NT;
    const Weight b = {B, DTYPE_F32, cols, depth, 1, rows_of_B ? depth : 1, rows_of_B ? 1 : cols, 1};
    const Left a = form == MATMUL_TN ? (Left){.fill = fill_columns, .data = A, .row = rows}
                                     : left_rows(A, depth);
    product((Output){out, rows, cols, rows, 0}, &a, &b, &(Epilogue){.bias = bias}, scratch,
            q->device->threads);
    return OK;
}
