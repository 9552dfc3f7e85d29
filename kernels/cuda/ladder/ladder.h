/* ladder.h - Eq. 13 in eight small kernels, one idea each: what they share with the host. README.md tells the story.
 *
 *     M times: logits = Z W^T + bias,  R = softmax(logits) sum_c Y - Y,  (W, bias) <- Adam(R^T Z / B, sums of R / B)
 *
 * One space, no losses, cold or warm heads: what kernels/cuda/inner serves beside that would hide the ideas. */
#ifndef TURTLE_KERNELS_CUDA_LADDER_LADDER_H
#define TURTLE_KERNELS_CUDA_LADDER_LADDER_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/plan/devices.h"

/* Sizes that all steps keep to; every step serves them all. */
enum {
    LADDER_STEPS = 8,
    LADDER_CLASSES = 64,   /* most classes */
    LADDER_FEATURES = 768, /* most features, a multiple of 64 */
    LADDER_ROWS = 64,      /* rows of the batch that a block holds, from step 5 on */
    LADDER_PIECES = 16,    /* pieces of the batch, in step 4 */
    LADDER_WIDE_PIECES = 40, /* in step 8 */
};

/* The problem, in memory of the device that the caller owns. d is a multiple of 64. */
typedef struct {
    int B, C, d;
    int done; /* steps of Adam before this call */
    float lr;
    const float *Z;      /* (B,d) */
    const uint16_t *Z16; /* (B,d) Z as float16, for steps 5 to 8 */
    const float *Y;      /* (B,C) labels */
    float *head;         /* (C,d) W, then (C) bias */
    float *m1, *m2;      /* as head: Adam's moments */
    float *R;            /* (B,C) logits, then residuals */
    uint16_t *R16;       /* (B,64) residuals times 2^15; zeros beyond C */
    uint16_t *W16;       /* (64,d) W as float16; zeros beyond C */
    float *partial;      /* (pieces, C (d+1)) gradients of pieces of the batch: ladder_partials() floats */
    unsigned *arrived;   /* (1) counts blocks at a barrier of the grid */
} Ladder;

/* A step of the ladder. `run` enqueues M inner steps on the null stream and does not wait. It returns NULL, or a
 * sentence that says why nothing runs. */
typedef struct {
    const char *idea;
    const char *kernels; /* names of its kernels, ' ' between: first the logits', last the gradient's */
    const char *(*run)(const Ladder *a, int M);
    double (*seconds)(const PlanDevice *p, double B, double C, double d); /* predicted, of one inner step */
    bool hopper; /* whether it needs compute capability 9.0 */
} LadderStep;

#ifdef __cplusplus
extern "C" {
#endif
/* Returns the i-th step, from 0; NULL beyond the last. */
const LadderStep *ladder_step(int i);
/* Returns the floats of `partial` that serve every step. */
int64_t ladder_partials(int B, int C, int d);

/* Fills a new problem with made-up clusters, its head zero. Everything lies in managed memory, which
 * ladder_close frees. Returns false where memory is short or there is no device. */
bool ladder_open(Ladder *a, int B, int C, int d);
void ladder_close(Ladder *a);
/* Sets head and moments to zero, and W16 with them. */
void ladder_restart(Ladder *a);
/* Waits for the device. Returns false if a launch has failed. */
bool ladder_wait(void);
/* Returns milliseconds of `repeats` calls of run(a, M), by events of the device; below 0: a launch has failed. */
double ladder_time(const LadderStep *step, const Ladder *a, int M, int repeats);
/* Returns how many GPUs there are; 0 on the emulator. */
int ladder_gpus(void);
#ifdef __cplusplus
}
#endif
#endif
