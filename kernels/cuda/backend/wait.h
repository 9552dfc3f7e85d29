/* wait.h - waits that give up: what a kernel leaves behind when the blocks that it waits for do not come.
 *
 * In builds with BOUNDED_WAITS (CONFIG=debug; the kernels inside tests-cuda) every loop of a kernel
 * that waits for other blocks has a Patience (ptx.cuh). After 2 seconds of %globaltimer it writes who
 * waits where, for what, and traps; the host finds the record in its own pinned memory, which a failed
 * launch does not take along, and the message of the failure says it. Elsewhere a Patience is empty.
 *
 * A device variable belongs to one .cu, so each has its own WaitState, and says so before main. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_WAIT_H
#define TURTLE_KERNELS_CUDA_BACKEND_WAIT_H

#include <stdint.h>

struct WaitRecord {
    unsigned written;                  /* 1: the rest is valid */
    int source;                        /* number of the .cu, as WaitFile counts them */
    char where[48];                    /* the file that has the wait, */
    int line;                          /* and its line */
    unsigned block[3], thread, blocks; /* who waits; of how many blocks in x */
    uint64_t counter;                  /* the address */
    unsigned value, target;            /* what stands there, what was waited for */
};

struct WaitState {
    WaitRecord *record; /* in pinned memory of the host; NULL: waits forever */
    uint64_t limit;     /* nanoseconds */
    int source;
    unsigned taken; /* some thread writes the record */
};

/* Names the .cu and where its WaitState is; one in each file that has one. */
struct WaitFile {
    const void *state;
    const char *name;
    WaitFile *next;
    WaitFile(const void *state, const char *name);
};

struct Device;
/* Gives every WaitState the record of a device that has just been opened. TURTLE_WAIT_SECONDS: the
 * limit, 2 if it is not set. */
void cuda_waits_open(Device *device);
void cuda_waits_close(Device *device);
/* "; inner_tiled.cu: ..." if the record is written, else "": follows the message of a failure. */
const char *cuda_wait_text(char text[240], const WaitRecord *record);

#endif
