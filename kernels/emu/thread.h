/* thread.h - threads, warps and blocks of the launch that runs: what schedule.cpp, together.cpp,
 * copy.cpp and report.cpp share.
 *
 * One OS thread per process; nothing here is reentrant. */
#ifndef TURTLE_EMU_THREAD_H
#define TURTLE_EMU_THREAD_H

#include <cuda_runtime.h>

#include <functional>
#include <vector>

#include "kernels/emu/device.h"
#include "kernels/emu/fiber.h"

namespace emu {

struct Warp;
struct Block;

/* What a thread waits for that is not in its warp's `ready`. */
enum Waiting {
    NOTHING,
    AT_BARRIER,
    AT_MEETING,
    AT_CLUSTER,
    AT_GROUP,
    FOR_COUNTER,
    IN_LOOP,
    FOR_MBARRIER,
    ENDED
};

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
    bool arrived;                  /* at its cluster's barrier, which it has not waited for yet */
    unsigned cluster_phase;        /* of that barrier then */
    bool registers_fenced;         /* wgmma may take over its accumulators */
    std::vector<uint64_t> commits; /* of wgmma: how many products its group had begun by then */
    /* of global memory, by run.clock: what it knows of others' stores, and what it has fenced */
    uint64_t acquired, fenced, fence_seen;
    bool starts_copies; /* its fences are a reader's */
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

/* Blocks that run side by side and reach each other's shared memory. */
struct Cluster {
    std::vector<Block *> blocks; /* by rank */
    int live, arrived;           /* threads that have not returned; those at the barrier */
    unsigned phase;              /* how often it has opened */
    Thread *first;
};

struct WarpGroup; /* wgmma.cpp */

struct Block {
    uint3 index;
    int live;
    unsigned char *shared;
    Cluster *cluster;
    unsigned rank;
    /* What asynchronous copies and products see in shared memory: ordinary stores once somebody has
     * fenced behind them. Empty: nobody has asked yet. */
    std::vector<unsigned char> async_view;
    std::vector<WarpGroup *> groups;
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
    int cluster;                      /* blocks of one */
    const std::function<void()> *one; /* what one thread does */
};

/* The launch that runs. */
struct Run {
    const Launch *launch; /* NULL: none */
    std::vector<Block *> resident;
    std::vector<Warp *> ready;
    Thread *counting; /* those that wait for a counter */
    Thread *looping;  /* those that read a counter in a loop of their own */
    Thread *at_mbarriers;
    int live_blocks;
    int64_t live;               /* threads */
    uint64_t vain;              /* loops since anybody did anything else */
    size_t bulk;                /* asynchronous copies on their way (tma.cpp) */
    uint64_t clock, last_fence; /* events that order global memory; fence_proxy_async_global */
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

/* The running thread sees what others stored before they released. */
static inline void note_acquire() {
    self->acquired = ++run.clock;
    self->fence_seen = run.last_fence;
}

/* A thread has ended: nobody waits for it any more, or it was needed. */
void leave_together(Thread *t);
void leave_cluster(Thread *t);
/* Copies that nobody waited for land. */
void finish_copies(Thread *t);

/* Shared memory of the i-th of n resident blocks, filled with 0xff; whether it is whole behind its
 * end. */
unsigned char *shared_prepare(size_t i, size_t n, size_t bytes);
bool shared_intact(const unsigned char *shared, size_t bytes);
/* Whether a faulting address lies in shared memory's guards. */
bool shared_guard(const void *address);

/* The address of a byte of its block's shared memory, as hardware would number it, and back: in the
 * window of the block or in that of the cluster. Outside of the launch's bytes: a fault. */
uint32_t shared_number(const void *shared, const char *what, const char *file, int line);
unsigned char *shared_at(uint32_t number, size_t bytes, Block **of, const char *what,
                         const char *file, int line);
constexpr uint32_t SHARED_BASE = 1024; /* hardware keeps the first KB to itself */

/* --- asynchronous copies and products ----------------------------------------------------------- */

unsigned char *async_view(Block *b);
/* One of the copies on their way lands; run.bulk says how many there are. */
void land_bulk();
void forget_bulk(); /* a launch begins */
void forget_groups(Block *b);
/* `bytes` have come for an mbarrier. */
void mbarrier_bytes(uint64_t *barrier, const Block *b, unsigned bytes, const char *file, int line);
/* "phase 0: 1 of 2 arrivals and 4096 bytes are missing" */
const char *describe_mbarrier(const uint64_t *barrier);

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
