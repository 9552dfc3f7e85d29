/* threads.h - loops whose passes run on several threads: the one place where the CPU backend forks.
 *
 *     typedef struct { float *x; float by; } Scale;
 *     static void scale(const void *loop, int64_t first, int64_t end, int thread) {
 *         const Scale *s = loop;
 *         for (int64_t i = first; i < end; i++) s->x[i] *= s->by;
 *     }
 *     threads_loop(device->pool, n, ELEMENTS, scale, &(Scale){x, 0.5f});
 *
 * A loop of `passes` is cut into runs of `run` passes, whatever the number of threads, so that no
 * pass depends on how many there are: same bits. Every thread begins with its own part of the runs,
 * which are the rows that it had in the loop before, and takes from the others when it is done.
 *
 * The caller works too, and waits only for threads that have begun: where the system has descheduled
 * a helper, its part is done by the others. Who waits spins for SPIN_SECONDS and then sleeps, so that
 * a waiting thread never takes a core from a working one. (OpenMP's threads spin for much longer, and
 * how long can only be said in the environment before a program starts.)
 *
 * A pool serves loops of several callers at a time, a loop inside a loop included. Without helpers,
 * or where all places for loops are taken, a loop runs on its caller alone.
 */
#ifndef TURTLE_KERNELS_CPU_THREADS_H
#define TURTLE_KERNELS_CPU_THREADS_H

#include <stdint.h>

#include "io/status.h"

typedef struct Threads Threads;

/* Executes one run, passes first .. end-1 of a loop. `thread` is below the pool's count, and differs between
 * the threads inside one loop. */
typedef void LoopBody(const void *loop, int64_t first, int64_t end, int thread);

/* Opens a pool of `count` threads, its caller among them. Helpers start with the first loop that needs
 * them. Fewer start where the system refuses. */
Status threads_open(Threads **out, int count, Error *err);
void threads_close(Threads *pool); /* pool may be NULL; no loop may run */
int threads_count(const Threads *pool);

/* Returns when all passes are done. What they wrote is visible to the caller. run >= 1. */
void threads_loop(Threads *pool, int64_t passes, int64_t run, LoopBody *body, const void *loop);

#endif
