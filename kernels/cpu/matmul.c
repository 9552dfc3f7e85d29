/*
 * matmul.c - out = A B (+ bias), in the three forms of a linear layer (kernels/matrix.h)
 *
 * Cost     2 rows cols depth flops.
 * Mapping  Goto & van de Geijn (2008), less one packing: a block of B, DEPTH_BLOCK x COL_BLOCK, is
 *          packed into panels of TILE_COLS columns (1 MiB, second-level cache); A is read as it
 *          lies, for the micro-kernel broadcasts its elements one by one. Pieces of the output
 *          over threads:
 *
 *              for each block of columns, for each block of depth:
 *                  pack B                          panels over threads
 *                  out[ROW_BLOCK, COL_STRIP] += A B   pieces over threads
 *
 *          Every element is summed by one thread, depth block after depth block.
 * Needs    scratch (cpu_matmul_scratch): the packed block.
 */
#include "gemm.h"
#include "operations.h"

enum {
    DEPTH_BLOCK = 512,
    COL_BLOCK = 512,
    ROW_BLOCK = 8 * TILE_ROWS, /* rows of A that one piece of work passes over, 96 KiB of it */
    COL_STRIP = 4 * TILE_COLS, /* packed columns that it reuses for them, 128 KiB */
};
_Static_assert(COL_BLOCK % COL_STRIP == 0, "strips must not cross blocks");

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t cpu_matmul_scratch(MatmulForm form, int64_t rows, int64_t cols, int64_t depth) {
    (void)form, (void)rows;
    return least(round_up(cols, TILE_COLS), COL_BLOCK) * least(depth, DEPTH_BLOCK) *
           (int64_t)sizeof(float);
}

/* Columns first .. first+n (n <= TILE_COLS) of B, depth k0 .. k0+depth, as [depth][TILE_COLS]. */
static void pack_panel(float *to, const float *B, MatmulForm form, int64_t first, int64_t n,
                       int64_t k0, int64_t depth, int64_t cols, int64_t full_depth) {
    const int64_t step = form == MATMUL_NT ? 1 : cols, next = form == MATMUL_NT ? full_depth : 1;
    const float *from = B + k0 * step + first * next;
    for (int64_t k = 0; k < depth; k++, from += step, to += TILE_COLS) {
        for (int64_t j = 0; j < n; j++) to[j] = from[j * next];
        for (int64_t j = n; j < TILE_COLS; j++) to[j] = 0.0f;
    }
}

Status cpu_matmul(Queue *q, MatmulForm form, float *out, const float *A, const float *B,
                  const float *bias, int64_t rows, int64_t cols, int64_t depth, void *scratch) {
    REQUIRE(q, out && A && B && scratch && rows >= 1 && cols >= 1 && depth >= 1, "matmul");
    float *packed = scratch;
    const int64_t a_row = form == MATMUL_TN ? 1 : depth, a_step = form == MATMUL_TN ? rows : 1;
    PARALLEL(num_threads(q->device->threads))
    for (int64_t j0 = 0; j0 < cols; j0 += COL_BLOCK) {
        const int64_t block = least(cols - j0, COL_BLOCK);
        for (int64_t k0 = 0; k0 < depth; k0 += DEPTH_BLOCK) {
            const int64_t deep = least(depth - k0, DEPTH_BLOCK);
            const bool last = k0 + deep == depth;
            FOR(schedule(static))
            for (int64_t j = 0; j < block; j += TILE_COLS)
                pack_panel(packed + j * deep, B, form, j0 + j, least(block - j, TILE_COLS), k0,
                           deep, cols, depth);
            FOR(collapse(2) schedule(static)) /* its end is the barrier before the next packing */
            for (int64_t i0 = 0; i0 < rows; i0 += ROW_BLOCK)
                for (int64_t s = 0; s < block; s += COL_STRIP) {
                    const int64_t i_end = least(i0 + ROW_BLOCK, rows),
                                  j_end = least(s + COL_STRIP, block);
                    for (int64_t j = s; j < j_end; j += TILE_COLS)
                        for (int64_t i = i0; i < i_end; i += TILE_ROWS)
                            gemm_tile(least(i_end - i, TILE_ROWS), least(block - j, TILE_COLS),
                                      deep, (Operand){A + i * a_row + k0 * a_step, a_row, a_step},
                                      (Operand){packed + j * deep, 0, TILE_COLS},
                                      out + i * cols + j0 + j, cols, k0 > 0);
                    for (int64_t i = i0; bias && last && i < i_end; i++)
                        for (int64_t j = s; j < j_end; j++) out[i * cols + j0 + j] += bias[j0 + j];
                }
        }
    }
    return OK;
}
