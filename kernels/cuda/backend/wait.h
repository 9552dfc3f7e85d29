/* wait.h - waits that give up: the record that a kernel leaves when the blocks that it waits for do not come.
 *
 * In builds with BOUNDED_WAITS (CONFIG=debug; the kernels inside tests-cuda) every loop of a kernel
 * that waits for other blocks has a Patience (ptx.cuh). After 2 seconds of %globaltimer it writes who
 * waits where, and for what, and traps. The host finds the record in its own pinned memory, which a failed
 * launch does not take along, and quotes it in the message of the failure. In other builds a Patience is empty.
 *
 * A device variable belongs to one .cu, so each .cu has its own WaitState and registers it before main. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_WAIT_H
#define TURTLE_KERNELS_CUDA_BACKEND_WAIT_H

#include <stdint.h>

struct WaitRecord {
    unsigned written;                  /* 1: the other members are valid */
    int source;                        /* number of the .cu, as WaitFile counts */
    char where[48];                    /* file that has the wait */
    int line;                          /* line of the wait in that file */
    unsigned block[3], thread, blocks; /* block and thread that wait; blocks of the grid in x */
    uint64_t counter;                  /* address of the counter */
    unsigned value, target;            /* value of the counter, value that was waited for */
};

struct WaitState {
    WaitRecord *record; /* pinned memory of the host; NULL: waits last forever */
    uint64_t limit;     /* nanoseconds of a wait */
    int source;
    unsigned taken; /* 1: some thread writes the record */
};

/* The name of a .cu and the address of its WaitState; each .cu that has a WaitState has one. */
struct WaitFile {
    const void *state;
    const char *name;
    WaitFile *next;
    WaitFile(const void *state, const char *name);
};

struct Device;
/* Gives every WaitState the record of a device that has just been opened. TURTLE_WAIT_SECONDS sets the limit;
 * unset it is 2. */
void cuda_waits_open(Device *device);
void cuda_waits_close(Device *device);
/* Returns what follows the message of a failure: "; inner_tiled.cu: ..." if the record is written, else "". */
const char *cuda_wait_text(char text[240], const WaitRecord *record);

#endif
