/* schedule.h - one launch, ready to run. */
#ifndef TURTLE_EMU_SCHEDULE_H
#define TURTLE_EMU_SCHEDULE_H

#include <cuda_runtime.h>

#include <vector>

namespace emu {

struct Block;

struct Launch {
    const char *name;
    dim3 grid;
    int threads;
    size_t shared;                     /* dynamic, bytes */
    int64_t resident_blocks;           /* that exist at once */
    const std::function<void()> *body; /* one thread */
    std::vector<Block *> *resident;    /* while it runs */
};

/* Runs all threads to their ends. */
void run_launch(Launch *launch);

} // namespace emu

#endif
