/* cuda_wait.cu - a barrier to which one block never comes; cuda_test.c judges what is said of it. */
#ifndef BOUNDED_WAITS
#define BOUNDED_WAITS
#endif
#include "kernels/cuda/backend/cuda.h"

__global__ void hangs(unsigned *arrived) {
    unsigned epoch = 0;
    if (blockIdx.x == 2) return;
    grid_barrier(arrived, epoch);
}

/* `arrived` is zero. */
extern "C" Status test_hang(Queue *q, unsigned *arrived) {
    return launch_with(q, COOPERATIVE, hangs, dim3(4), 64, 0, arrived);
}

/* Returns the sentence that a record of a block's wait becomes. */
extern "C" const char *test_wait_text(char text[240], bool written) {
    WaitRecord r = {};
    r.written = written;
    r.source = 1 << 20; /* no such file */
    snprintf(r.where, sizeof r.where, "tile.cuh");
    r.line = 98;
    r.block[0] = 7, r.blocks = 132, r.thread = 0;
    r.counter = 0x7f10, r.value = 131, r.target = 132;
    return cuda_wait_text(text, &r);
}
