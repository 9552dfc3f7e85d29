/* tiles.h - the sizes of tiles and launches in which kernels, plan and model must agree. Plain C: enums and
 * macros, so that a kernel may use them as template arguments. */
#ifndef TURTLE_KERNELS_TILES_H
#define TURTLE_KERNELS_TILES_H

/* --- logits and gradient by cp.async and mma.sync (logits.cuh, residual.cuh, gradient.cuh) ------------ */

/* A block has 64 rows of logits. Their tile is the narrowest that holds C classes; beyond 128 classes the
 * block computes one tile after the other. */
enum { LOGIT_ROWS = 64, LOGIT_MOST_COLS = 128 };
#define LOGIT_COLS(C) ((C) <= 16 ? 16 : (C) <= 64 ? 64 : LOGIT_MOST_COLS)

/* A tile of R^T Z: classes x features. */
#define GRADIENT_ROWS(C) ((C) <= 16 ? 16 : (C) <= 64 ? 64 : 128)
#define GRADIENT_COLS(C) ((C) <= 16 ? 128 : 64)
/* Most pieces into which the batch of a tile is cut, and most blocks of one launch that wait for each
 * other: both bound the scratch memory. */
enum { GRADIENT_MOST_SPLITS = 64, GRADIENT_MOST_BLOCKS = 512 };

/* The persistent kernel of both, inner_tiled.cu. Its shared memory is the most that any of its tiles need:
 * a ring of three stages for tiles of 64 x 128 and 128 x 64 (a static_assert of inner_tiled.cu). */
enum { TILED_THREADS = 128, TILED_PER_SM = 2, TILED_SHARED = 46080 };

/* --- logits and gradient by TMA and wgmma (wgmma.cuh, wide_logits.cuh, wide_gradient.cuh) ------------- */

/* A block's tile of logits has 128 rows and 64, 128 or 256 classes, one of its gradient 128 classes and 256
 * features. Two warp groups multiply, a third one loads. */
enum {
    WGMMA_ROWS = 128,
    WGMMA_MOST_CLASSES = 256,
    WGMMA_FEATURES = 256,
    WGMMA_THREADS = 384,
    WGMMA_MOST_SPLITS = 8, /* CTAs of a cluster that split the classes */
    WGMMA_MOST_SHARES = 4, /* CTAs of a cluster that share W */
};
#define WGMMA_CLASSES(C) ((C) <= 64 ? 64 : (C) <= 128 ? 128 : WGMMA_MOST_CLASSES)
/* CTAs that split the classes of a row. */
#define WGMMA_SPLITS(C) ((C) > 1024 ? 8 : (C) > 512 ? 4 : (C) > 256 ? 2 : 1)
/* CTAs that share Z in the gradient where it is a launch of its own. */
#define WGMMA_TOGETHER(C) ((C) > 384 ? 4 : (C) > 128 ? 2 : 1)
/* SMs that are surely there in whole clusters, of a card of so many: GPCs may lack SMs. */
#define WGMMA_SURE(sms) ((sms)*10 / 11)
/* Bytes of shared memory: four stages of six boxes of 8 KiB and their mbarriers, rows' sums, biases and
 * losses twice (a static_assert of wide_logits.cuh). */
enum { WGMMA_SHARED = 4 * 6 * 8192 + 64 + 2 * 64 * 16 + 2 * 256 * 4 + 2 * 8 * 8 };

/* --- rows that stay in shared memory (inner_slab.cu, iteration_slab.cu) ------------------------------- */

enum {
    SLAB_WARPS = 8,
    SLAB_THREADS = 32 * SLAB_WARPS,
    SLAB_MOST_CLASSES = 32,
    SLAB_FRAGMENT = 16,     /* rows of a band, features of a strip */
    SLAB_PAD = 8,           /* elements behind every row: ldmatrix meets all banks */
    SLAB_MOST_BLOCKS = 256, /* CTAs of a launch: bounds scratch memory */
    SLAB_MOST_STEPS = 1024, /* steps of a launch: bounds the losses that wait for its end */
    SLAB_SUMS = 4096,       /* bytes: sums of a slice, in the place of the logits */
    SLAB_SMALL = 512,       /* bytes: bias, losses of the warps, Adam's factors */
    /* The cost of a visit to a piece of rows beside its bytes: four barriers of a CTA, the latency of
     * the first fragments, softmax of a row by two lanes. An estimate, not measured. */
    SLAB_VISIT_CLOCKS = 1100,
};
/* Classes in whole fragments. */
#define SLAB_CLASSES(C) ((C) <= 16 ? 16 : 32)
/* A warp holds the logits of so many bands (16 rows) at once, and the gradient of so many strips (16 features):
 * 40 + 96 or 32 + 96 accumulators a thread. */
#define SLAB_MOST_BANDS(classes) ((classes) == 16 ? 5 : 2)
#define SLAB_MOST_STRIPS(classes) ((classes) == 16 ? 12 : 6)

#endif
