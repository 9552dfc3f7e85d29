/* layout.h - the instructions of kernels/cuda/ptx.cuh one by one: what layout_test.c asks of
 * cuda_layout.cu. */
#ifndef TURTLE_TESTS_LAYOUT_H
#define TURTLE_TESTS_LAYOUT_H

#include <stdbool.h>
#include <stdint.h>

/* in and out as layout_run describes them; 16-bit elements are uint16_t. */
typedef enum {
    /* in: 32 rows of 8 elements; row r of shared memory is named by lane r. out: 4 (x4) or 2 (x2)
     * registers of each lane in turn. */
    LAYOUT_LDMATRIX_X4,
    LAYOUT_LDMATRIX_X4_TRANS,
    LAYOUT_LDMATRIX_X2,
    LAYOUT_LDMATRIX_X2_TRANS,
    /* in: d (16,8) float32, then a (16,depth), then b (depth,8), 16 bits (16 deep) or float32 (8 deep,
     * tf32). out: d + a b (16,8). Fragments are put together as the pictures say. */
    LAYOUT_MMA_F16,
    LAYOUT_MMA_BF16,
    LAYOUT_MMA_TF32,
    /* The same through shared memory: a by ldmatrix_x4, b by ldmatrix_x2_trans; and b stored (8,depth)
     * by ldmatrix_x2. */
    LAYOUT_LDMATRIX_MMA_F16,
    LAYOUT_LDMATRIX_MMA_F16_COLUMNS,
    /* in: 32 float32. out: 32 x (f16_of, bf16_of, f16x2_of(x, of the next lane), bf16x2_of the same,
     * tf32_of) as uint32_t. */
    LAYOUT_NARROW,
    /* in: 32 x 16 bits. out: 32 x (f32_of_f16, f32_of_bf16). */
    LAYOUT_WIDEN,
    /* in: 32 x 16 bytes, then 32 x 4 bytes. out: what lane l copied of it into shared memory full of
     * 0xee: l / 2 bytes by cp_async_16, or 4 - l % 5 bytes by cp_async_4. */
    LAYOUT_CP_ASYNC,
    /* in: 2 x 512 bytes, copied as two groups; out: the first, read after a wait for all but the
     * youngest, then both. */
    LAYOUT_CP_ASYNC_GROUPS,
    /* in: 32 float4. out: the same times two, through load_float4 and store_float4. */
    LAYOUT_VECTORS,
    /* in: one float x. out: 4 floats x + 1, x + 2, ...: each block waits for the one before it, reads
     * what it wrote and adds 1. */
    LAYOUT_HAND_OVER,

    /* Compute capability 9.0a, not emulated: */
    /* in: d (64,256) float32, a (64,64), b (256,64) of float16, depth last. out: d + a b^T. */
    LAYOUT_WGMMA_F16,
    /* in: one float4 a block, 4 blocks. out: what each read from the next block's shared memory. */
    LAYOUT_CLUSTER,
} Layout;

/* Whether the device has what a layout needs. */
bool layout_served(Layout which);

/* Copies in to the device, runs the layout's kernel, copies out back. On failure *message says
 * what. */
bool layout_run(Layout which, const void *in, int64_t in_bytes, void *out, int64_t out_bytes,
                const char **message);

#endif
