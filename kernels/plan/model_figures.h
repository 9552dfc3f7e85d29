/* model_figures.h - what the compiled kernels cost beside bytes and flops: instructions and waits, as tests/sass reads
 * them in the machine code for sm_90a. The model counts with this one table; `tests/sass --model` compares it with
 * what it reads. A change of a kernel changes its line here, never a constant of the model. */
#ifndef TURTLE_KERNELS_PLAN_MODEL_FIGURES_H
#define TURTLE_KERNELS_PLAN_MODEL_FIGURES_H

/* Figures of one kernel. A turn is one pass through a loop; instructions are those of one warp. */
typedef struct {
    const char *kernel;      /* its name as tests/sass prints it */
    double logits, gradient; /* instructions for one MMA in the loops of either product */
    double fragments;        /* waits for shared memory for one MMA there */
    double epilogue;         /* instructions around the product of one item of rows */
    double row_trips;        /* waits for global memory among them */
    double share;       /* instructions for one element (slab, wgmma: four) of a gradient's sums */
    double share_trips; /* waits for global memory among them */
    double at_once;     /* partial sums that are loaded together */
    /* tests/sass does not tell these two apart; they were read in the listing. */
    double hits; /* of row_trips, how many find their sector in L1: the trip before brought it */
    double sums; /* of share_trips, how many bring partial sums, or what is back with them */
} KernelFigures;

/* Returns the figures of a kernel, by the name of the table. Returns zeros for a name that is not there. */
const KernelFigures *kernel_figures(const char *kernel);

/* Returns the i-th line of the table, or NULL beyond the last. */
const KernelFigures *kernel_figures_at(int i);

#endif
