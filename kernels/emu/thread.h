/* thread.h - threads, warps and blocks of the launch that runs, shared by schedule.cpp, together.cpp,
 * copy.cpp and report.cpp.
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

/* The reason why a thread is not in its warp's `ready`. */
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

/* A thread's asynchronous copies that it has not waited for, oldest first. */
struct Copies {
    std::vector<Copy> all;
    std::vector<size_t> ends; /* where committed groups end in `all` */
    void *watch;              /* the writer of their bytes, for ThreadSanitizer */
};

struct Thread {
    Fiber fiber;
    Warp *warp;
    int index, lane; /* number in the block, number in the warp */
    Waiting waiting;
    const char *what, *file; /* the operation at which it waits, and where that stands */
    int line;
    const unsigned *counter;
    unsigned target;
    Thread *behind; /* the next thread that waits for the same thing */
    Copies copies;
    bool arrived; /* whether it has arrived at its cluster's barrier, and not waited yet */
    unsigned cluster_phase; /* the barrier's phase when it arrived */
    bool registers_fenced;  /* whether wgmma may take over its accumulators */
    std::vector<uint64_t>
        commits; /* for each wgmma commit, how many products its group had begun */
    /* times of run.clock: up to when it knows others' stores to global memory, and what it has fenced */
    uint64_t acquired, fenced, fence_seen;
    bool starts_copies; /* whether it starts copies: then its fences are a reader's */
};

/* Lanes that meet: all lanes of one mask at one instruction. The meeting is usually that of the mask's
 * lowest lane. */
struct Meeting {
    unsigned mask, arrived;
    const char *what, *file;
    int line;
};

struct Warp {
    unsigned ready;   /* lanes that can run */
    unsigned live;    /* lanes that have not returned */
    unsigned meeting; /* lanes that wait for others of a meeting */
    unsigned turn;    /* the lane that is looked at first */
    Thread *lanes;    /* 32 threads, fewer in the last warp */
    Block *block;
    size_t place; /* index among the warps that can run, or NOWHERE */
    void *operands[32];
    Meeting meetings[32];
};
constexpr size_t NOWHERE = ~(size_t)0;

struct Barrier {
    int arrived, expected; /* expected 0 means all threads that live */
    int count, result; /* true predicates: of the threads that have come, and of the last opening */
    const char *file;
    int line;
    Thread *first;
};

/* Blocks that run side by side and reach each other's shared memory. */
struct Cluster {
    std::vector<Block *> blocks; /* blocks by rank */
    int live, arrived;           /* threads that have not returned; threads at the barrier */
    unsigned phase;              /* how often the barrier has opened */
    Thread *first;
};

struct WarpGroup; /* wgmma.cpp */

struct Block {
    uint3 index;
    int live;
    unsigned char *shared;
    Cluster *cluster;
    unsigned rank;
    /* Shared memory as asynchronous copies and products see it: ordinary stores appear once somebody has
     * fenced behind them. It is empty until somebody asks. */
    std::vector<unsigned char> async_view;
    std::vector<WarpGroup *> groups;
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Barrier barriers[16]; /* number 0 is __syncthreads */
};

struct Launch {
    const char *name; /* the kernel's name, or NULL */
    const void *kernel;
    dim3 grid;
    int threads;
    size_t shared;                    /* bytes of dynamic shared memory */
    int64_t resident;                 /* blocks that exist at once */
    int cluster;                      /* blocks of a cluster */
    const std::function<void()> *one; /* the code of one thread */
};

/* The launch that runs. */
struct Run {
    const Launch *launch; /* NULL: no launch runs */
    std::vector<Block *> resident;
    std::vector<Warp *> ready;
    Thread *counting; /* threads that wait for a counter */
    Thread *looping;  /* threads that read a counter in a loop of their own */
    Thread *at_mbarriers;
    int live_blocks;
    int64_t live;               /* threads that have not returned */
    uint64_t vain;              /* loops since a thread did anything else */
    size_t bulk;                /* asynchronous copies on their way (tma.cpp) */
    uint64_t clock, last_fence; /* events that order global memory; fence_proxy_async_global */
};
extern Run run;
extern Thread *self; /* the thread that runs; NULL: the host */

/* Runs all threads to their ends. */
void run_launch(const Launch *launch);
const char *running_kernel(); /* Returns the running kernel's name, for a report. */

/* --- the scheduler, for what makes threads wait ------------------------------------------------- */

/* Makes the running thread wait until make_ready() names it. The caller has noted where. */
void wait(Waiting why);
void make_ready(Thread *t);
/* Makes lanes of the running thread's warp ready. */
void make_lanes_ready(unsigned lanes);
/* Lets other threads run, sometimes. */
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

/* Waits at barrier 0 of the block, where every thread must come by the same line. */
void whole_block_barrier(const char *what, const char *file, int line);
/* Takes a thread that has ended out of barriers and meetings; it is a fault if a meeting needs it. */
void leave_together(Thread *t);
void leave_cluster(Thread *t);
/* Lands the copies of a thread that nobody waited for. */
void finish_copies(Thread *t);

/* shared_prepare returns the shared memory of the i-th of n resident blocks, filled with 0xff. shared_whole
 * returns whether nobody has written behind its end. */
unsigned char *shared_prepare(size_t i, size_t n, size_t bytes);
bool shared_intact(const unsigned char *shared, size_t bytes);
/* Returns whether a faulting address lies in shared memory's guards. */
bool shared_guard(const void *address);

/* They turn the address of a byte of a block's shared memory into the number that hardware gives it, in the
 * window of the block or of the cluster, and back. An address outside the launch's bytes is a fault. */
uint32_t shared_number(const void *shared, const char *what, const char *file, int line);
unsigned char *shared_at(uint32_t number, size_t bytes, Block **of, const char *what,
                         const char *file, int line);
constexpr uint32_t SHARED_BASE = 1024; /* hardware keeps the first KB to itself */

/* --- asynchronous copies and products ----------------------------------------------------------- */

unsigned char *async_view(Block *b);
/* Lands one of the run.bulk copies that are on their way. */
void land_bulk();
void forget_bulk(); /* Forgets all copies when a launch begins. */
void forget_groups(Block *b);
/* Tells an mbarrier that `bytes` have come. */
void mbarrier_bytes(uint64_t *barrier, const Block *b, unsigned bytes, const char *file, int line);
/* Returns "phase 0: 1 of 2 arrivals and 4096 bytes are missing". */
const char *describe_mbarrier(const uint64_t *barrier);

/* --- reports ---------------------------------------------------------------------------------- */

[[noreturn]] void deadlock();
/* Installs the handler that names block and thread of a crash inside a kernel. */
void watch_crashes();
/* Returns what memory.cpp knows of an address, for such a report, or NULL. */
const char *describe_address(const void *address);
/* Returns a function's name from the program's symbols, or NULL without symbols. */
const char *symbol_name(const void *function);

} // namespace emu

#endif
