/* layout.h - the instructions of kernels/cuda/tile/ptx*.cuh one by one: what layout_test.c asks of
 * cuda_layout.cu. */
#ifndef TURTLE_TESTS_GPU_LAYOUT_H
#define TURTLE_TESTS_GPU_LAYOUT_H

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
    /* The product of LAYOUT_MMA_F16 through shared memory: a by ldmatrix_x4, b by ldmatrix_x2_trans; and
     * b stored (8,depth) by ldmatrix_x2. */
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

    /* Compute capability 9.0a: */
    /* in: d (64,N) float32, then a, then b as boxes of 64 elements a line. K-major: a (64,64), b (N,64),
     * depth last. MN-major: depth first: a (64 depths, 64 rows), b (N/64, 64 depths, 64 columns).
     * out: d + a b. */
    LAYOUT_WGMMA_F16,         /* N 256, K-major both */
    LAYOUT_WGMMA_F16_ACROSS,  /* N 256, MN-major both */
    LAYOUT_WGMMA_BF16,        /* N 128, K-major both */
    LAYOUT_WGMMA_BF16_ACROSS, /* N 128, MN-major both */
    LAYOUT_WGMMA_F16_MIXED,   /* N 64, a K-major, b MN-major */
    LAYOUT_WGMMA_BF16_MIXED,  /* N 64, a MN-major, b K-major */
    /* in: one float4 a block, 4 blocks. out: what each read from the next block's shared memory, then
     * what the one before stored into its own. */
    LAYOUT_CLUSTER,
    /* in: 40 lines of 72 elements of 16 bits. out: two boxes of BOX_LINES lines as they lie in shared
     * memory, which begin at (x,y) = (32,30) and (-8,-3): of 64 elements, swizzled; of 16, not. */
    LAYOUT_BOX_SWIZZLED,
    LAYOUT_BOX_PLAIN,
    /* The first of the swizzled boxes, loaded once for a cluster of 4: by blocks 1 and 3, as block 0
     * and blocks 2, 3 got it; block 1 got nothing (0xee). */
    LAYOUT_BOX_MULTICAST,
    /* in: 160 bytes. out: the last 144 of them, copied in a row. */
    LAYOUT_BULK,
} Layout;

enum { BOX_LINES = 16 };

/* Whether the device has what a layout needs. */
bool layout_served(Layout which);

/* Copies in to the device, runs the layout's kernel, copies out back. On failure *message says
 * what. */
bool layout_run(Layout which, const void *in, int64_t in_bytes, void *out, int64_t out_bytes,
                const char **message);

#endif
