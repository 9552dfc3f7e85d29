/* no_gpu.c - stands for gpu.cu in a build without CUDA kernels. */
#include <stdio.h>

#include "bench/programs/gpu.h"

bool gpu_peaks(GpuPeaks *out) {
    *out = (GpuPeaks){0};
    fputs("gpu: this build has no CUDA kernels\n", stderr);
    return false;
}

GpuClock *gpu_clock_open(Queue *queue, int marks) {
    (void)queue, (void)marks;
    fputs("gpu: this build has no CUDA kernels\n", stderr);
    return NULL;
}

void gpu_clock_close(GpuClock *clock) {
    (void)clock;
}

void gpu_clock_mark(GpuClock *clock, int mark) {
    (void)clock, (void)mark;
}

double gpu_clock_between(GpuClock *clock, int from, int to) {
    (void)clock, (void)from, (void)to;
    return 0.0;
}

void gpu_clock_evict(GpuClock *clock) {
    (void)clock;
}
