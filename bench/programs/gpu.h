/* gpu.h - services of a GPU for the C programs here: its peaks, a clock of a queue, an empty L2.
 * no_gpu.c stands for it in a build without CUDA kernels. */
#ifndef TURTLE_BENCH_PROGRAMS_GPU_H
#define TURTLE_BENCH_PROGRAMS_GPU_H

#include "kernels/ops.h"

/* Rates that the GPU just reached (roofs_memory.cu, roofs_arithmetic.cu): GB/s of the device's
 * memory and of an L2 that holds 15 MB; GFLOP/s of products by the type of their operands. */
typedef struct {
    double memory, l2, fp32, tf32, fp16, bf16;
    int64_t l2_bytes;
} GpuPeaks;

/* Measures device 0. Returns false, after a line on stderr, if there is none. */
bool gpu_peaks(GpuPeaks *out);

/* A clock on the GPU: it takes marks in the order of a queue, and gives the seconds between two. */
typedef struct GpuClock GpuClock;
GpuClock *gpu_clock_open(Queue *queue, int marks); /* NULL after a line on stderr */
void gpu_clock_close(GpuClock *clock);             /* NULL is fine */
void gpu_clock_mark(GpuClock *clock, int mark);
double gpu_clock_between(GpuClock *clock, int from,
                         int to); /* seconds between two marks; waits for `to` */
/* Writes as many bytes as the L2 holds, in the queue's order, so that the next kernel finds none of
 * its own there. */
void gpu_clock_evict(GpuClock *clock);

#endif
