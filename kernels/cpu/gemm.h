/* gemm.h - the one micro-kernel under every matrix product, and the panels built from it.
 *
 *     out (rows, TILE_COLS)  =  A (rows, depth)  B (depth, TILE_COLS)      rows <= TILE_ROWS
 *
 * A is read element by element (broadcast), B in vectors of TILE_COLS consecutive floats, both with
 * strides: a[i*a_row + k*a_step], b[k*b_step + j]. So either may be a packed panel or the matrix
 * as it lies, and the features, by far the largest operand of training, are never packed:
 *     logits    A = Z as it lies (a_step 1), B = W packed as [C/TILE_COLS][d][TILE_COLS]
 *     gradient  A = residual as it lies (a_row 1), B = Z as it lies (b_step d)
 */
#ifndef TURTLE_KERNELS_CPU_GEMM_H
#define TURTLE_KERNELS_CPU_GEMM_H

#include "cpu.h"

/* the symbols that carry the set's name */
#define gemm_tile ISA(gemm_tile)
#define gradient_groups ISA(gradient_groups)
#define pack_weight ISA(pack_weight)
#define panel_gradient ISA(panel_gradient)
#define panel_logits ISA(panel_logits)

/* Register tiles: TILE_ROWS x TILE_COLS accumulators, TILE_COLS of B and one broadcast must fit the
 * vector registers: AVX-512 has 32 of 16 floats (24 + 2 + 1), AVX2 16 of 8 (12 + 2 + 1), SSE and
 * NEON 16 or 32 of 4 (8 + 2 + 1). */
#if defined(__AVX512F__)
#define TILE_ROWS 12
enum { VEC_FLOATS = 16, TILE_COLS = 32 };
#elif defined(__AVX2__)
#define TILE_ROWS 6
enum { VEC_FLOATS = 8, TILE_COLS = 16 };
#else
#define TILE_ROWS 4
enum { VEC_FLOATS = 4, TILE_COLS = 8 };
#endif

/* Rows of a panel: a multiple of every TILE_ROWS; 120 x 768 floats are 360 KiB, so that a panel of
 * features stays in a second-level cache of 512 KiB or more from its logits to its gradient. */
enum { PANEL = 120 };

typedef struct {
    const float *at;
    int64_t row, step; /* for A: of i and k; for B: `row` is unused, step of k */
} Operand;

/* The micro-kernel. cols <= TILE_COLS are stored; all TILE_COLS of B are read. */
void gemm_tile(int64_t rows, int64_t cols, int64_t depth, Operand a, Operand b, float *out,
               int64_t out_row, bool accumulate);

/* W (C,d) as [C/TILE_COLS][d][TILE_COLS], zeros beyond C: round_up(C, TILE_COLS) * d floats. */
void pack_weight(float *packed, const float *W, int64_t C, int64_t d, int threads);

/* logits (n, ld) of a panel = Z (n,d) W^T; ld = round_up(C, TILE_COLS), the bias not yet added. */
void panel_logits(float *logits, const float *Z, const float *packed_W, int64_t n, int64_t C,
                  int64_t d);

/* grad (linear_size: (C,d), then (C)) += residual (n, C of ld)^T Z (n,d), and its column sums. */
void panel_gradient(float *grad, const float *residual, int64_t ld, const float *Z, int64_t n,
                    int64_t C, int64_t d);

/* Groups of rows with a private gradient each: as many as fit 16 MiB, a power of two from 1 to
 * ROW_GROUPS, never more than there are panels. */
int64_t gradient_groups(int64_t B, int64_t C, int64_t d);

#endif
