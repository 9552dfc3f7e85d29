/* replay.h - seconds of a call on a GPU, from a replayed graph. */
#ifndef TURTLE_BENCH_PROGRAMS_REPLAY_H
#define TURTLE_BENCH_PROGRAMS_REPLAY_H

#include "bench/programs/bench.h"
#include "bench/programs/gpu.h"

/* Fills row->seconds with the time of run(context), which enqueues work on the queue, by the GPU's clock. `cold` times
 * one call after the L2 was filled with other data; otherwise up to twenty calls follow each other. The clock
 * has 2 row->repeats marks, and at least 2. */
Status replay_measure(const DeviceOps *mem, Queue *queue, GpuClock *clock,
                      void (*run)(void *context), void *context, bool cold, Row *row, Error *err);

#endif
