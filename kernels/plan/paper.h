/* paper.h - a device on paper: a network runs on it as on a GPU, and every launch is noted instead of made.
 *
 * So a prediction counts the launches that the host really enqueues, with their shapes. Memory has addresses and
 * sizes but no bytes. Activations between products have the precision of the weights, as on a GPU.
 */
#ifndef TURTLE_KERNELS_PLAN_PAPER_H
#define TURTLE_KERNELS_PLAN_PAPER_H

#include "kernels/ops.h"

typedef enum { LAUNCH_PRODUCT, LAUNCH_ATTENTION, LAUNCH_ELEMENTS } LaunchKind;

/* One launch, or several of the same shape. */
typedef struct {
    const char *operation; /* "linear" */
    LaunchKind kind;
    Precision precision;      /* of operands */
    int64_t rows, out, depth; /* a product: (rows,depth) times (depth,out) */
    bool boxes;               /* a product: the TMA can load its rows, and move its output */
    bool singly;              /* a product: its input is loaded one number at a time */
    Activation activation;    /* a product's */
    bool beside;              /* a product's epilogue reads a matrix: a sum or a gate */
    int64_t heads, width, queries, keys; /* attention, over `rows` sequences */
    bool causal;
    double bytes; /* bytes that must move once */
    double flops; /* flops without padding */
    int64_t times;
} Launch;

enum { PAPER_MOST_LAUNCHES = 512 };

typedef struct {
    Launch launch[PAPER_MOST_LAUNCHES];
    int count;
    int64_t bytes; /* bytes that are allocated now */
    int64_t most;  /* the most that were */
    bool noting;   /* launches are noted from now on */
    bool too_many; /* there were more shapes than PAPER_MOST_LAUNCHES */
} Paper;

/* Opens the device. `paper` must outlive *out; launches are noted while paper->noting. */
Status paper_open(Ops *out, Paper *paper, Error *err);

#endif
