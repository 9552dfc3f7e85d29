/* model_encode.h - a model of the time of an encoder's launches on a GPU.
 *
 *     launch  = largest of bytes / bandwidth of memory and of the L2 cache, and the tiles' arithmetic
 *               + prologue + epilogue + the time from one kernel to the next
 *     tiles   = waves x the time of a tile; a persistent block takes one tile after the other
 *     wgmma   = a sum over waves: the larger of a wave's loads, and of its products with the epilogue that shows
 *
 * Tiles compute their padding, and the last wave keeps every SM busy until its slowest block is done: both are
 * losses that are told. Launches do not overlap. The rates and times are those of devices.c; nothing here was
 * measured. */
#ifndef TURTLE_KERNELS_PLAN_MODEL_ENCODE_H
#define TURTLE_KERNELS_PLAN_MODEL_ENCODE_H

#include "kernels/plan/devices.h"
#include "kernels/plan/paper.h"

/* The time of one launch, in seconds. */
typedef struct {
    double seconds;
    double prologue_s,
        epilogue_s;   /* before the first product; epilogues that nothing hides, with the last */
    double padding_s; /* of its arithmetic: rows and columns that are not there */
    double wave_s;    /* of its arithmetic: SMs that wait for the last wave */
    double floor_s;   /* its flops at the device's best rate, or its bytes: the larger */
    const char *roof; /* "flops", "HBM", "L2", "exponentials" or "launch" */
} LaunchTime;
LaunchTime model_launch(const PlanDevice *device, const Launch *launch);

/* Returns the seconds of all launches of a batch. */
double model_batch_s(const PlanDevice *device, const Paper *paper);

/* Computes how far the seconds of a batch may be off: *low and *high take all figures of the device, as if their errors
 * were independent. */
void model_batch_range(double *low, double *high, const PlanDevice *device, const Paper *paper);

#endif
