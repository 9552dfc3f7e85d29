/* gemm.h - the one micro-kernel under every matrix product, and the panels built from it.
 *
 *     out (rows, TILE_COLS)  =  A (rows, depth)  B (depth, TILE_COLS)      rows <= TILE_ROWS
 *
 * A is read element by element (broadcast), a[i*row + k*step], and may be a matrix as it lies or
 * packed; B is read in vectors, TILE_COLS consecutive floats for each step of the depth.
 *     logits    A = Z as it lies (step 1),  B = W packed as [C/TILE_COLS][d][TILE_COLS]
 *     gradient  A = residual packed as [C/TILE_ROWS][n][TILE_ROWS] (row 1),
 *               B = TILE_COLS columns of Z as it lies, or packed by their first tile if they serve often
 */
#ifndef TURTLE_KERNELS_CPU_GEMM_GEMM_H
#define TURTLE_KERNELS_CPU_GEMM_GEMM_H

#include "kernels/cpu/cpu.h"

/* the symbols that carry the set's name */
#define arriving_logits ISA(arriving_logits)
#define dot_tile_flat ISA(dot_tile_flat)
#define gemm_tile_flat ISA(gemm_tile_flat)
#define gemm_tile_packing_flat ISA(gemm_tile_packing_flat)
#define gemm_tile_B_apart ISA(gemm_tile_B_apart)
#define gemm_tile_A_apart_flat ISA(gemm_tile_A_apart_flat)
#define features_in_more_groups ISA(features_in_more_groups)
#define gradient_groups ISA(gradient_groups)
#define pack_weight ISA(pack_weight)
#define packed_bytes ISA(packed_bytes)
#define panel_features ISA(panel_features)
#define panel_gradient ISA(panel_gradient)
#define panel_logits ISA(panel_logits)
#define residual_bytes ISA(residual_bytes)
#define sum_groups ISA(sum_groups)
#define rows_to_lanes ISA(rows_to_lanes)
#define lanes_to_rows ISA(lanes_to_rows)

/* Register tiles: TILE_ROWS x TILE_COLS accumulators, TILE_COLS of B and one broadcast must fit the
 * vector registers: AVX-512 has 32 of 16 floats (24 + 4 + 1), AVX2 16 of 8 (12 + 2 + 1), SSE and
 * NEON 16 or 32 of 4 (8 + 2 + 1).
 *
 * Classes beyond the last whole TILE_COLS take dot products along d (dot_tile), which waste nothing, where DOT_CLASSES > 0.
 * Elsewhere they take a strip that is padded. Up to DOT_CLASSES classes are few: they have no strip at all. */
#if defined(__AVX512F__)
#define TILE_ROWS 6
enum { VEC_FLOATS = 16, TILE_COLS = 64, DOT_CLASSES = TILE_COLS - 1 };
#elif defined(__AVX2__)
#define TILE_ROWS 6
enum { VEC_FLOATS = 8, TILE_COLS = 16, DOT_CLASSES = 0 };
#else
#define TILE_ROWS 4
enum { VEC_FLOATS = 4, TILE_COLS = 8, DOT_CLASSES = 0 };
#endif
enum { DOT_ROWS = 4, DOT_COLS = 6 };
#define UNROLL _Pragma("GCC unroll 6")

/* Rows of a panel: a multiple of every TILE_ROWS; 120 x 784 floats are 368 KiB, so that a panel of
 * features stays in a second-level cache of 512 KiB or more from its logits to its gradient. Of
 * bfloat16, 192, a multiple of BF16_RUN, are 294 KiB. Of few classes, whose gradient costs little to add to, 64, a
 * multiple of LANES: beside them and the rows that are fetched the cache has room for what else passes. */
enum { PANEL = 120, FEW_PANEL = 64, BF16_PANEL = 192 };
enum { ROW_UNIT = 12 }; /* a multiple of every TILE_ROWS, and of DOT_ROWS */

typedef struct {
    const float *at;
    int64_t row, step; /* between rows (of A), between elements along the depth */
} Operand;
static inline Operand strip_of(const float *packed) { /* a packed B */
    return (Operand){packed, 0, TILE_COLS};
}

/* Memory that a micro-kernel fetches into the second-level cache on its way: `step` bytes, 128 at most, for
 * each element along the depth. */
typedef struct {
    const char *at;
    int64_t step;
} Ahead;
static inline Ahead nothing_ahead(const float *b) { /* a line that is at hand */
    return (Ahead){(const char *)b, 0};
}

/* The micro-kernels behind the functions below, which pass operands member by member. A structure on the stack is
 * written in halves and copied whole, which a processor does not forward: the loads of a tile would wait until the
 * tile before it has retired. */
void gemm_tile_flat(int64_t rows, int64_t cols, int64_t depth, const float *a, int64_t a_row,
                    int64_t a_step, const float *b, int64_t b_step, float *out, int64_t out_row,
                    bool accumulate, const char *ahead, int64_t ahead_step);
void gemm_tile_packing_flat(float *strip, int64_t rows, int64_t depth, const float *a,
                            int64_t a_step, const float *b, int64_t b_step, float *out,
                            int64_t out_row, bool accumulate, const char *ahead,
                            int64_t ahead_step);
void gemm_tile_A_apart_flat(int64_t rows, int64_t cols, int64_t depth, const float *const *A,
                            int64_t at, const float *b, float *out, int64_t out_row,
                            bool accumulate, const char *ahead, int64_t ahead_step);
void dot_tile_flat(int64_t rows, int64_t cols, int64_t depth, const float *Z, int64_t Z_row,
                   const float *W, int64_t W_row, float *out, int64_t out_row, const char *ahead,
                   int64_t ahead_step);

/* The micro-kernel. cols <= TILE_COLS are stored; all TILE_COLS of B are read. */
static inline void gemm_tile(int64_t rows, int64_t cols, int64_t depth, Operand a, Operand b,
                             float *out, int64_t out_row, bool accumulate, Ahead ahead) {
    gemm_tile_flat(rows, cols, depth, a.at, a.row, a.step, b.at, b.step, out, out_row, accumulate,
                   ahead.at, ahead.step);
}
/* Does so for TILE_COLS columns and an A of row 1. The strip receives B as strip_of reads it: its stores
 * cost nothing beside the multiply-adds, where a copy would wait for its loads. */
static inline void gemm_tile_packing(float *strip, int64_t rows, int64_t depth, Operand a,
                                     Operand b, float *out, int64_t out_row, bool accumulate,
                                     Ahead ahead) {
    gemm_tile_packing_flat(strip, rows, depth, a.at, a.step, b.at, b.step, out, out_row, accumulate,
                           ahead.at, ahead.step);
}
/* Does what gemm_tile does for TILE_COLS columns of a B whose rows lie apart, `at` floats behind B[k], and an A of row
 * 1. */
void gemm_tile_B_apart(int64_t rows, int64_t depth, const float *a, int64_t a_step,
                       const float *const *B, int64_t at, float *out, int64_t out_row,
                       bool accumulate);
/* Does what gemm_tile does for rows of an A that lie apart, `at` floats behind A[i], and a packed B. */
static inline void gemm_tile_A_apart(int64_t rows, int64_t cols, int64_t depth,
                                     const float *const *A, int64_t at, const float *b, float *out,
                                     int64_t out_row, bool accumulate, Ahead ahead) {
    gemm_tile_A_apart_flat(rows, cols, depth, A, at, b, out, out_row, accumulate, ahead.at,
                           ahead.step);
}
/* out[i,c] = <Z_i, W_c> for rows <= DOT_ROWS, cols <= DOT_COLS; only where DOT_CLASSES > 0. `ahead` steps
 * once for VEC_FLOATS elements of the depth. */
static inline void dot_tile(int64_t rows, int64_t cols, int64_t depth, const float *Z,
                            int64_t Z_row, const float *W, int64_t W_row, float *out,
                            int64_t out_row, Ahead ahead) {
    dot_tile_flat(rows, cols, depth, Z, Z_row, W, W_row, out, out_row, ahead.at, ahead.step);
}

/* Lets other threads see what was copied past the caches before what is written next. */
static inline void end_stream(void) {
#if defined(__SSE2__)
    __builtin_ia32_sfence();
#endif
}
/* Rows of few classes side by side: element [c][l] is class c of row l. What sums over classes then adds LANES rows at
 * once, in the order of the classes, as a loop over the classes of one row would. Both functions exist only where
 * LANE_CLASSES > 0. Lanes beyond n <= LANES rows are 0; rows keep what lies beyond C <= LANE_CLASSES. */
enum { LANES = 16, LANE_CLASSES = DOT_CLASSES > 0 ? 16 : 0 };
typedef float Lanes[LANES][LANES];
void rows_to_lanes(Lanes lanes, const float *rows, int64_t ld, int64_t n, int64_t C);
void lanes_to_rows(float *rows, int64_t ld, const Lanes lanes, int64_t n, int64_t C);

/* Returns the most rows of a panel. */
static inline int64_t panel_rows(DType type, int64_t C) {
    return type == DTYPE_BF16 ? BF16_PANEL : C <= DOT_CLASSES ? FEW_PANEL : PANEL;
}
/* Returns of how many rows every panel but the last is a multiple. Panels of few classes and of bfloat16 stay whole:
 * shorter ones would be added to their gradient more often. */
static inline int64_t panel_unit(DType type, int64_t C) {
    const int64_t rows = panel_rows(type, C);
    return rows == PANEL ? ROW_UNIT : rows;
}

/* The rows of a batch that one group takes, and the panels into which it cuts them, as even as whole units allow. Shapes
 * decide, never threads. */
typedef struct {
    int64_t B, unit;      /* rows of the batch, and of a unit */
    int64_t first, units; /* the group's first unit, and how many it has */
    int64_t panels;
} GroupRows;
static inline GroupRows group_rows(int64_t g, int64_t groups, int64_t B, int64_t height,
                                   int64_t unit) {
    const int64_t all = ceil_div(B, unit), first = group_first(g, groups, all),
                  units = group_first(g + 1, groups, all) - first;
    return (GroupRows){B, unit, first, units, ceil_div(units * unit, height)};
}
/* Returns the first row of panel p, or the end of the group where p is `panels`. */
static inline int64_t panel_first(const GroupRows *r, int64_t p) {
    return least((r->first + group_first(p, r->panels, r->units)) * r->unit, r->B);
}

/* Returns how many classes are packed into strips; the others are read where they lie. */
static inline int64_t packed_classes(int64_t C) {
    return DOT_CLASSES > 0 ? C / TILE_COLS * TILE_COLS : C;
}
/* Return the bytes that pack_weight and panel_gradient need for batches of this type. */
int64_t packed_bytes(DType type, int64_t C, int64_t d);
int64_t residual_bytes(DType type, int64_t C);

/* Packs W (C,d) as products with batches of this type read it. For float32 the first packed_classes become
 * [.][d][TILE_COLS], with zeros beyond C; for bfloat16 it is bf16_pack_weight. */
void pack_weight(void *packed, const Device *device, DType type, const float *W, int64_t C,
                 int64_t d);

/* A panel of a batch that arrives (gather.c, iteration.c): its rows still lie apart in the features. */
typedef struct Arriving {
    const float *rows[FEW_PANEL];
    const float *next[FEW_PANEL]; /* the rows behind them, which products fetch */
    float *to; /* the panel in the batch, rows `row` floats apart, to which logits copy */
    int64_t row;
    int64_t part, parts; /* the share that the next logits copy and fetch */
} Arriving;
/* logits (n,C), rows `ld` apart, = rows W^T, for C <= DOT_CLASSES and whole DOT_ROWS; only where DOT_CLASSES > 0. A part
 * of the panel is copied, and one of the next rows is fetched. */
void arriving_logits(float *logits, int64_t ld, const Arriving *in, const float *W, int64_t n,
                     int64_t C, int64_t d);

/* A panel is rows first .. first+n of a batch: where they lie, or float16 converted to float32 into
 * `buffer`, which has panel_buffer(Z) floats. */
typedef struct {
    const void *at; /* float32 or bfloat16 */
    int64_t row;
    Bf16Product *multiply;    /* NULL where products are of float32 */
    const char *next;         /* bytes that are fetched while a product of the panel is computed: */
    int64_t bytes;            /* the rows behind it */
    const Bf16Few *few;       /* NULL where few classes take `multiply` too */
    const Arriving *arriving; /* NULL where the batch is complete */
} Panel;
/* Return the panel whose products fetch the first, and the second, half of the rows behind it: logits and
 * gradient, which share a panel, share the wait for memory too. In bfloat16 the gradient fetches all. */
static inline Panel fetching_first_half(Panel p) {
    p.bytes -= p.bytes / 2;
    return p;
}
static inline Panel fetching_second_half(Panel p) {
    if (p.multiply) return p;
    p.next += p.bytes - p.bytes / 2;
    p.bytes /= 2;
    return p;
}
static inline int64_t panel_buffer(const Batch *Z) {
    return Z->type == DTYPE_F16 ? PANEL * batch_row(DTYPE_F32, Z->d) : 0;
}
Panel panel_features(const Device *device, const Batch *Z, int64_t first, int64_t n, float *buffer);

/* logits (n,C), rows `ld` apart, = Z (n,d) W^T; the bias is not yet added. Zeros may be written beyond
 * C up to round_up(C, VEC_FLOATS), never up to the next row. */
void panel_logits(float *logits, int64_t ld, Panel Z, const void *packed_W, const float *W,
                  int64_t n, int64_t C, int64_t d);

/* grad (linear_size: (C,d), then (C)) = or += residual (n,C), rows `ld` apart,^T Z (n,d), and its
 * column sums. packed: residual_bytes. */
void panel_gradient(float *grad, bool accumulate, const float *residual, int64_t ld, Panel Z,
                    int64_t n, int64_t C, int64_t d, void *packed);

/* Returns how many groups of rows have a private gradient each: a power of two from 1 to ROW_GROUPS, never
 * more than there are panels. As many as fit 16 MiB are taken, and more than 16 only if they fit 4 MiB. */
int64_t gradient_groups(DType type, int64_t B, int64_t C, int64_t d);
/* Returns the most features, fewer than d, whose gradient may have more groups than that of d, or 0. Scratch that
 * serves up to d features serves these too, and they may need more of it. */
int64_t features_in_more_groups(DType type, int64_t B, int64_t C, int64_t d);
/* sum[i] = the groups' gradients (groups,size) at first + i, added in order, 0 <= i < n. */
void sum_groups(float *sum, const float *grad, int64_t groups, int64_t size, int64_t first,
                int64_t n);

#endif
