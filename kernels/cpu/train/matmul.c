/*
 * matmul.c - out = A B (+ bias), in the three forms of a linear layer (kernels/matrix.h)
 *
 * Cost     2 rows cols depth flops.
 * Mapping  A B^T: panels of A over threads, B in strips (panel.c), as everywhere in training;
 *          float16 and the other forms: the blocked product of product.c, with B as its weight.
 * Needs    scratch (cpu_matmul_scratch): the packed B.
 * History  v1, a blocking of its own with A read where it lies: 79 instead of 93 GFLOP/s where rows
 *          are 4 KiB apart and share cache sets (AVX2, one core of an AMD EPYC, Zen 5).
 *          v2, product.c for all forms. v3: panels for A B^T, predicted 10.2 -> 7.6 ms at B 10000,
 *          C 100, d 768 (AVX-512, 1 thread) for no class is padded.
 */
#include "kernels/cpu/gemm/product.h"
#include "kernels/cpu/operations.h"

/* Copies columns of A, which are rows of the transposed A. */
static void fill_columns(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                         int64_t deep) {
    for (int64_t r = 0; r < n; r++)
        for (int64_t j = 0; j < deep; j++)
            panel[r * PANEL_ROW + j] = left->data[(k + j) * left->row + i + r];
}

static void fill_rows_f16(const Left *left, float *panel, int64_t i, int64_t n, int64_t k,
                          int64_t deep) {
    for (int64_t r = 0; r < n; r++)
        dtype_to_f32(panel + r * PANEL_ROW,
                     (const uint16_t *)(const void *)left->data + (i + r) * left->row + k,
                     DTYPE_F16, false, deep);
}

/* A linear layer's forward pass, panel by panel of A where it lies. */
typedef struct {
    const Device *device;
    float *out;
    const Batch *A;
    const float *B, *bias;
    int64_t cols;
    const void *packed;
} Forward;

/* Passes are rows, of which a run is a panel. */
static void forward(const void *loop, int64_t first, int64_t end, int thread) {
    const Forward *f = loop;
    const int64_t n = end - first, cols = f->cols;
    float *to = f->out + first * cols;
    (void)thread;
    panel_logits(to, cols, panel_features(f->device, f->A, first, n, NULL), f->packed, f->B, n,
                 cols, f->A->d);
    for (int64_t i = 0; f->bias && i < n; i++)
        for (int64_t j = 0; j < cols; j++) to[i * cols + j] += f->bias[j];
}

int64_t cpu_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth) {
    (void)rows;
    int64_t bytes = product_scratch(cols, depth);
    for (int type = DTYPE_BF16; form == MATMUL_NT && type <= DTYPE_F32; type++)
        bytes = most(bytes, packed_bytes((DType)type, cols, depth));
    return bytes;
}

Status cpu_matmul(Queue *q, MatmulForm form, float *out, const Batch *A, const float *B,
                  const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch) {
    REQUIRE(q, out && batch_servable(A) && B && scratch && rows >= 1 && cols >= 1 && depth >= 1,
            "matmul");
    REQUIRE(q, A->d == (form == MATMUL_TN ? rows : depth), "matmul");
    REQUIRE(q, A->type == DTYPE_F32 || form == MATMUL_NT, "matmul");
    if (form == MATMUL_NT && A->type != DTYPE_F16) {
        const Forward f = {q->device, out, A, B, bias, cols, scratch};
        pack_weight(scratch, q->device, A->type, B, cols, A->d);
        threads_loop(q->device->pool, rows, PANEL, forward, &f);
        return OK;
    }
    const bool rows_of_B = form == MATMUL_NT;
    const Weight b = {.data = B,
                      .type = DTYPE_F32,
                      .out = cols,
                      .in = depth,
                      .taps = 1,
                      .out_step = rows_of_B ? depth : 1,
                      .in_step = rows_of_B ? 1 : cols,
                      .tap_step = 1};
    Left a = left_rows(A->data, A->row);
    if (form == MATMUL_TN) a.fill = fill_columns;
    else if (A->type == DTYPE_F16) a.fill = fill_rows_f16;
    product((Output){.out = out, .rows = rows, .out_row = cols, .image_rows = rows}, &a, &b,
            &(Epilogue){.bias = bias}, scratch, q->device->pool);
    return OK;
}
