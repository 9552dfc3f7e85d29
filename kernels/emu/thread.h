/* thread.h - threads, warps and blocks of the launch that runs: what schedule.cpp, together.cpp,
 * copy.cpp and report.cpp share.
 *
 * One OS thread per process; nothing here is reentrant. */
#ifndef TURTLE_EMU_THREAD_H
#define TURTLE_EMU_THREAD_H

#include <cuda_runtime.h>

#include <functional>
#include <vector>

#include "device.h"
#include "fiber.h"

namespace emu {

struct Warp;
struct Block;

/* What a thread waits for that is not in its warp's `ready`. */
enum Waiting { NOTHING, AT_BARRIER, AT_MEETING, FOR_COUNTER, IN_LOOP, ENDED };

struct Copy {
    void *to;
    const void *from;
    int bytes, size;
};

/* Asynchronous copies of a thread, oldest first, until it waits for them. */
struct Copies {
    std::vector<Copy> all;
    std::vector<size_t> ends; /* of committed groups, in `all` */
    void *watch;              /* who writes their bytes, for ThreadSanitizer */
};

struct Thread {
    Fiber fiber;
    Warp *warp;
    int index, lane; /* in the block, in the warp */
    Waiting waiting;
    const char *what, *file; /* it waits at */
    int line;
    const unsigned *counter;
    unsigned target;
    Thread *behind; /* the next in the list of those that wait for the same */
    Copies copies;
};

/* Lanes that meet: all of one mask at one instruction. Usually the one of the mask's lowest lane. */
struct Meeting {
    unsigned mask, arrived;
    const char *what, *file;
    int line;
};

struct Warp {
    unsigned ready;   /* lanes that can run */
    unsigned live;    /* lanes that have not returned */
    unsigned meeting; /* lanes that wait for others of a meeting */
    unsigned turn;    /* which lane is looked at first */
    Thread *lanes;    /* 32 of them, fewer in the last warp */
    Block *block;
    size_t place; /* among the warps that can run; NOWHERE */
    void *operands[32];
    Meeting meetings[32];
};
constexpr size_t NOWHERE = ~(size_t)0;

struct Barrier {
    int arrived, expected; /* expected 0: all that live */
    int count, result;     /* of true predicates: of those that have come, of the last opening */
    const char *file;
    int line;
    Thread *first;
};

struct Block {
    uint3 index;
    int live;
    unsigned char *shared;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Barrier barriers[16]; /* number 0 is __syncthreads */
};

struct Launch {
    const char *name; /* or NULL */
    const void *kernel;
    dim3 grid;
    int threads;
    size_t shared;                    /* dynamic, bytes */
    int64_t resident;                 /* blocks that exist at once */
    const std::function<void()> *one; /* what one thread does */
};

/* The launch that runs. */
struct Run {
    const Launch *launch; /* NULL: none */
    std::vector<Block *> resident;
    std::vector<Warp *> ready;
    Thread *counting; /* those that wait for a counter */
    Thread *looping;  /* those that read a counter in a loop of their own */
    int live_blocks;
    int64_t live;  /* threads */
    uint64_t vain; /* loops since anybody did anything else */
};
extern Run run;
extern Thread *self; /* that runs; NULL: the host */

/* Runs all threads to their ends. */
void run_launch(const Launch *launch);
const char *running_kernel(); /* its name, for a report */

/* --- the scheduler, for what makes threads wait ------------------------------------------------- */

/* The running thread waits until make_ready() names it. Where, the caller has noted. */
void wait(Waiting why);
void make_ready(Thread *t);
/* Lanes of the running thread's warp. */
void make_lanes_ready(unsigned lanes);
/* A good moment to let others run: sometimes they do. */
void maybe_yield();
uint32_t random_bits();

static inline Block *own_block() {
    return self->warp->block;
}

/* A thread has ended: nobody waits for it any more, or it was needed. */
void leave_together(Thread *t);
/* Copies that nobody waited for land. */
void finish_copies(Thread *t);

/* Shared memory of the i-th of n resident blocks, filled with 0xff; whether it is whole behind its
 * end. */
unsigned char *shared_prepare(size_t i, size_t n, size_t bytes);
bool shared_intact(const unsigned char *shared, size_t bytes);
/* Whether a faulting address lies in shared memory's guards. */
bool shared_guard(const void *address);

/* --- reports ---------------------------------------------------------------------------------- */

[[noreturn]] void deadlock();
/* Names block and thread of a crash inside a kernel. */
void watch_crashes();
/* What memory.cpp knows of an address, for such a report; NULL: nothing. */
const char *describe_address(const void *address);
/* The name of a function, as the program's symbols give it; NULL without them. */
const char *symbol_name(const void *function);

} // namespace emu

#endif
