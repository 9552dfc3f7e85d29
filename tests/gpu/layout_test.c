/* layout_test.c - every instruction of kernels/cuda/tile/ptx*.cuh against plain C: where each element of a
 * fragment goes, which bytes a copy brings, how numbers are rounded.
 *
 * Operands are small integers, so that sums are exact in any order and every comparison is for
 * equality. On a GPU this judges ptx*.cuh itself; on the emulator, the emulator. Whatever else runs
 * on either rests on it: it runs first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/dtype.h"
#include "kernels/philox.h"
#include "tests/gpu/device_memory.h"
#include "tests/gpu/layout.h"
#include "tests/support/check.h"

static void run(Layout which, const void *in, size_t in_bytes, void *out, size_t out_bytes) {
    const char *message = NULL;
    need_gpu();
    cr_assert(layout_run(which, in, (int64_t)in_bytes, out, (int64_t)out_bytes, &message), "%s",
              message);
}

/* Integers in -8 ... 8, exact in every type; products of 64 of them sum to under 2^12. */
static int small(int stream, int i) {
    return (int)(philox_at(11, 15, stream, 0, i).word[0] % 17) - 8;
}

/* --- ldmatrix --------------------------------------------------------------------------------- */

static void check_ldmatrix(Layout which, int matrices, bool transposed) {
    uint16_t in[32 * 8];
    uint32_t out[32 * 4];
    for (int i = 0; i < 32 * 8; i++) in[i] = (uint16_t)(1000 + i);
    run(which, in, sizeof in, out, (size_t)(32 * matrices) * sizeof *out);
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < matrices; i++) {
            const uint16_t *matrix = in + i * 64;
            const uint32_t low = transposed ? matrix[2 * t * 8 + g] : matrix[g * 8 + 2 * t],
                           high =
                               transposed ? matrix[(2 * t + 1) * 8 + g] : matrix[g * 8 + 2 * t + 1];
            cr_expect(out[lane * matrices + i] == (low | high << 16),
                      "lane %d, register %d: %08x, expected %08x", lane, i,
                      out[lane * matrices + i], low | high << 16);
        }
    }
}

Test(layout, ldmatrix_x4, .timeout = 60) {
    check_ldmatrix(LAYOUT_LDMATRIX_X4, 4, false);
}
Test(layout, ldmatrix_x4_trans, .timeout = 60) {
    check_ldmatrix(LAYOUT_LDMATRIX_X4_TRANS, 4, true);
}
Test(layout, ldmatrix_x2, .timeout = 60) {
    check_ldmatrix(LAYOUT_LDMATRIX_X2, 2, false);
}
Test(layout, ldmatrix_x2_trans, .timeout = 60) {
    check_ldmatrix(LAYOUT_LDMATRIX_X2_TRANS, 2, true);
}

/* --- mma.sync --------------------------------------------------------------------------------- */

/* d (16,8), a (16,depth), b (depth,8) as layout.h packs them; `type` of a and b. */
static void check_mma(Layout which, DType type, int depth, bool b_by_columns) {
    static unsigned char in[512 + 16 * 16 * 4 + 16 * 8 * 4];
    float out[16 * 8], *d = (float *)in;
    unsigned char *at = in + 512;
    const int size = dtype_bytes(type);
    for (int i = 0; i < 16 * 8; i++) d[i] = (float)small(0, i);
    for (int operand = 1; operand <= 2; operand++) {
        const int count = operand == 1 ? 16 * depth : depth * 8;
        for (int i = 0; i < count; i++, at += size) {
            /* a column after the other: element (k,c) of b is the one at c depth + k */
            const int from = operand == 2 && b_by_columns ? i % depth * 8 + i / depth : i;
            const float x = (float)small(operand, from);
            const uint16_t half = type == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
            if (type == DTYPE_F32) memcpy(at, &x, 4);
            else memcpy(at, &half, 2);
        }
    }
    run(which, in, (size_t)(at - in), out, sizeof out);
    for (int r = 0; r < 16; r++) {
        for (int c = 0; c < 8; c++) {
            int sum = small(0, r * 8 + c);
            for (int k = 0; k < depth; k++) sum += small(1, r * depth + k) * small(2, k * 8 + c);
            cr_expect(out[r * 8 + c] == (float)sum, "row %d, column %d: %g, expected %d", r, c,
                      (double)out[r * 8 + c], sum);
        }
    }
}

Test(layout, mma_f16, .timeout = 60) {
    check_mma(LAYOUT_MMA_F16, DTYPE_F16, 16, false);
}
Test(layout, mma_bf16, .timeout = 60) {
    check_mma(LAYOUT_MMA_BF16, DTYPE_BF16, 16, false);
}
Test(layout, mma_tf32, .timeout = 60) {
    check_mma(LAYOUT_MMA_TF32, DTYPE_F32, 8, false);
}
Test(layout, ldmatrix_feeds_mma, .timeout = 60) {
    check_mma(LAYOUT_LDMATRIX_MMA_F16, DTYPE_F16, 16, false);
    check_mma(LAYOUT_LDMATRIX_MMA_F16_COLUMNS, DTYPE_F16, 16, true);
}

/* --- conversions ------------------------------------------------------------------------------ */

static uint32_t tf32_reference(float x) { /* to the nearest, ties away from zero */
    return (bits_of_f32(x) + 0x1000u) & ~0x1fffu;
}

Test(layout, narrowing, .timeout = 60) {
    /* exact ones, ties of each type in both directions, subnormal and vanishing halves, the largest */
    const float in[32] = {0.0f,
                          -0.0f,
                          1.0f,
                          -3.0f,
                          0.1f,
                          -0.3f,
                          2049.0f,
                          2051.0f,
                          -2049.0f,
                          257.0f,
                          259.0f,
                          -257.0f,
                          1.0f + 0x1p-11f,
                          1.0f + 3 * 0x1p-11f,
                          1.0f + 0x1p-8f,
                          1.0f + 3 * 0x1p-8f,
                          0x1p-14f,
                          0x1p-24f,
                          0x1p-25f,
                          3 * 0x1p-25f,
                          0x1.8p-26f,
                          -0x1p-24f,
                          65504.0f,
                          65519.0f,
                          65520.0f,
                          -1e6f,
                          1e30f,
                          INFINITY,
                          -INFINITY,
                          0x1p-126f,
                          3.14159265f,
                          -1.0f - 0x1p-11f};
    uint32_t out[32 * 5];
    run(LAYOUT_NARROW, in, sizeof in, out, sizeof out);
    for (int i = 0; i < 32; i++) {
        const float x = in[i], next = in[(i + 1) % 32];
        const uint32_t f16 = f16_from_f32(x), bf16 = bf16_from_f32(x),
                       f16_next = f16_from_f32(next), bf16_next = bf16_from_f32(next);
        const uint32_t expected[5] = {f16, bf16, f16 | f16_next << 16, bf16 | bf16_next << 16,
                                      tf32_reference(x)};
        static const char *const names[5] = {"f16_of", "bf16_of", "f16x2_of", "bf16x2_of",
                                             "tf32_of"};
        for (int j = 0; j < 5; j++) {
            const uint32_t mask = j == 4 ? ~0x1fffu : ~0u; /* tf32's low bits are ignored */
            cr_expect((out[i * 5 + j] & mask) == expected[j], "%s(%a): %08x, expected %08x",
                      names[j], (double)x, out[i * 5 + j], expected[j]);
        }
    }
}

Test(layout, widening, .timeout = 60) {
    /* every exponent of float16 over four launches, with a mantissa that changes */
    for (int launch = 0; launch < 4; launch++) {
        uint16_t in[32];
        float out[64];
        for (int i = 0; i < 32; i++)
            in[i] = (uint16_t)(i << 10 | ((launch * 331 + i * 37) & 0x3ff) | (launch & 1) << 15);
        run(LAYOUT_WIDEN, in, sizeof in, out, sizeof out);
        for (int i = 0; i < 32; i++) {
            const float f16 = f32_from_f16(in[i]), bf16 = f32_from_bf16(in[i]);
            cr_expect(out[2 * i] == f16 || (isnan(f16) && isnan(out[2 * i])),
                      "f32_of_f16(%04x): %a, expected %a", in[i], (double)out[2 * i], (double)f16);
            cr_expect(out[2 * i + 1] == bf16 || (isnan(bf16) && isnan(out[2 * i + 1])),
                      "f32_of_bf16(%04x): %a, expected %a", in[i], (double)out[2 * i + 1],
                      (double)bf16);
        }
    }
}

/* --- copies ----------------------------------------------------------------------------------- */

Test(layout, cp_async_brings_the_first_bytes_and_zeros, .timeout = 60) {
    unsigned char in[640], out[640];
    for (int i = 0; i < 640; i++) in[i] = (unsigned char)(i % 251 + 1);
    run(LAYOUT_CP_ASYNC, in, sizeof in, out, sizeof out);
    for (int i = 0; i < 640; i++) {
        const bool wide = i < 512;
        const int lane = wide ? i / 16 : (i - 512) / 4;
        const int bytes = wide ? lane / 2 : 4 - lane % 5, at = wide ? i % 16 : i % 4;
        const int expected = at < bytes ? in[i] : 0;
        cr_expect(out[i] == expected, "byte %d of lane %d's %s of %d: %d, expected %d", at, lane,
                  wide ? "cp_async_16" : "cp_async_4", bytes, out[i], expected);
    }
}

Test(layout, cp_async_groups_are_waited_for_in_order, .timeout = 60) {
    unsigned char in[1024], out[1536];
    for (int i = 0; i < 1024; i++) in[i] = (unsigned char)(i * 7 % 253);
    run(LAYOUT_CP_ASYNC_GROUPS, in, sizeof in, out, sizeof out);
    cr_expect(memcmp(out, in, 512) == 0, "the older group");
    cr_expect(memcmp(out + 512, in, 1024) == 0, "both groups");
}

Test(layout, vectors, .timeout = 60) {
    float in[128], out[128];
    for (int i = 0; i < 128; i++) in[i] = (float)i;
    run(LAYOUT_VECTORS, in, sizeof in, out, sizeof out);
    for (int i = 0; i < 128; i++) cr_expect(out[i] == 2.0f * in[i], "element %d", i);
}

Test(layout, blocks_hand_over_what_they_wrote, .timeout = 60) {
    const float in = 5.0f;
    float out[4];
    run(LAYOUT_HAND_OVER, &in, sizeof in, out, sizeof out);
    for (int i = 0; i < 4; i++)
        cr_expect(out[i] == in + (float)(i + 1), "block %d: %g", i, (double)out[i]);
}

/* --- compute capability 9.0a ------------------------------------------------------------------ */

static void need(Layout which) {
    if (!layout_served(which)) cr_skip_test("not on this device: needs compute capability 9.0");
}

/* Element (row, depth) of a, or (column, depth) of b, among those stored in lines of 64. */
static int stored_at(bool mn_major, int row, int depth) {
    return mn_major ? row / 64 * 64 * 64 + depth * 64 + row % 64 : row * 64 + depth;
}

static void check_wgmma(Layout which, DType type, int columns, bool a_mn, bool b_mn) {
    enum { ROWS = 64, COLS = 256, DEPTH = 64 };
    static unsigned char in[ROWS * COLS * 4 + (ROWS + COLS) * DEPTH * 2];
    static float out[ROWS * COLS];
    need(which);
    float *d = (float *)in;
    uint16_t *a = (uint16_t *)(d + ROWS * columns), *b = a + ROWS * DEPTH;
    for (int i = 0; i < ROWS * columns; i++) d[i] = (float)small(0, i);
    for (int i = 0; i < (ROWS + columns) * DEPTH; i++) {
        const float x = (float)small(1, i);
        a[i] = type == DTYPE_F16 ? f16_from_f32(x) : bf16_from_f32(x);
    }
    run(which, in, (size_t)((unsigned char *)(b + columns * DEPTH) - in), out,
        (size_t)(ROWS * columns) * 4);
    int bad = 0, first = -1;
    for (int i = 0; i < ROWS * columns; i++) {
        int sum = small(0, i);
        for (int k = 0; k < DEPTH; k++)
            sum += small(1, stored_at(a_mn, i / columns, k)) *
                   small(1, ROWS * DEPTH + stored_at(b_mn, i % columns, k));
        if (!(out[i] == (float)sum) && bad++ == 0) first = i;
    }
    cr_expect(bad == 0, "%d of %d wrong, first at row %d, column %d", bad, ROWS * columns,
              first / columns, first % columns);
}

Test(layout, wgmma_k_major, .timeout = 60) {
    check_wgmma(LAYOUT_WGMMA_F16, DTYPE_F16, 256, false, false);
    check_wgmma(LAYOUT_WGMMA_BF16, DTYPE_BF16, 128, false, false);
}
Test(layout, wgmma_mn_major, .timeout = 60) {
    check_wgmma(LAYOUT_WGMMA_F16_ACROSS, DTYPE_F16, 256, true, true);
    check_wgmma(LAYOUT_WGMMA_BF16_ACROSS, DTYPE_BF16, 128, true, true);
}
Test(layout, wgmma_mixed, .timeout = 60) {
    check_wgmma(LAYOUT_WGMMA_F16_MIXED, DTYPE_F16, 64, false, true);
    check_wgmma(LAYOUT_WGMMA_BF16_MIXED, DTYPE_BF16, 64, true, false);
}

Test(layout, clusters_read_and_write_each_other, .timeout = 60) {
    float in[16], out[32];
    need(LAYOUT_CLUSTER);
    for (int i = 0; i < 16; i++) in[i] = (float)i;
    run(LAYOUT_CLUSTER, in, sizeof in, out, sizeof out);
    for (int i = 0; i < 16; i++) {
        cr_expect(out[i] == in[(i + 4) % 16], "read, element %d: %g", i, (double)out[i]);
        cr_expect(out[16 + i] == in[i], "stored, element %d: %g", i, (double)out[16 + i]);
    }
}

/* --- boxes ------------------------------------------------------------------------------------ */

enum { BOX_WIDTH = 72, BOX_ALL = 40 };
static uint16_t box_in[BOX_ALL * BOX_WIDTH];

/* Returns the element of the matrix at byte `at` of a box that begins at (x,y); outside it is 0. The
 * 128-byte swizzle is this table: 16-byte piece p of line r is where p ^ (r % 8) would be. */
static uint16_t box_element(int at, int width, int x, int y) {
    const int line = at / (2 * width), piece = at % (2 * width) / 16;
    const int from = width == 64 ? piece ^ line % 8 : piece;
    const int column = x + from * 8 + at % 16 / 2, row = y + line;
    if (column < 0 || column >= BOX_WIDTH || row < 0 || row >= BOX_ALL) return 0;
    return box_in[row * BOX_WIDTH + column];
}

static void check_boxes(Layout which, int width) {
    static uint16_t out[2 * BOX_LINES * 64];
    const int n = BOX_LINES * width;
    need(which);
    for (int i = 0; i < BOX_ALL * BOX_WIDTH; i++) box_in[i] = (uint16_t)(i + 1);
    run(which, box_in, sizeof box_in, out, (size_t)(2 * n) * 2);
    for (int i = 0; i < 2 * n; i++) {
        const uint16_t expected = box_element(i % n * 2, width, i < n ? 32 : -8, i < n ? 30 : -3);
        cr_expect(out[i] == expected, "box %d, element %d: %d, expected %d", i / n, i % n, out[i],
                  expected);
    }
}
Test(layout, boxes, .timeout = 60) {
    check_boxes(LAYOUT_BOX_SWIZZLED, 64);
    check_boxes(LAYOUT_BOX_PLAIN, 16);
}
Test(layout, multicast, .timeout = 60) {
    static uint16_t out[4 * BOX_LINES * 64];
    const int n = BOX_LINES * 64;
    need(LAYOUT_BOX_MULTICAST);
    for (int i = 0; i < BOX_ALL * BOX_WIDTH; i++) box_in[i] = (uint16_t)(i + 1);
    run(LAYOUT_BOX_MULTICAST, box_in, sizeof box_in, out, sizeof out);
    for (int i = 0; i < 4 * n; i++) {
        const uint16_t expected = i / n == 1 ? 0xeeee : box_element(i % n * 2, 64, 32, 30);
        cr_expect(out[i] == expected, "block %d, element %d: %d, expected %d", i / n, i % n, out[i],
                  expected);
    }
}
Test(layout, bulk_copies, .timeout = 60) {
    unsigned char in[160], out[144];
    need(LAYOUT_BULK);
    for (int i = 0; i < 160; i++) in[i] = (unsigned char)(i * 7 % 253);
    run(LAYOUT_BULK, in, sizeof in, out, sizeof out);
    cr_expect(memcmp(out, in + 16, sizeof out) == 0);
}
