/* schedule.cpp - runs the threads of a launch, each a fiber, in a random order that EMU_SEED names.
 *
 * A thread runs until it must wait: for its block's barrier, for the other lanes of a meeting, for a
 * counter. Then the next lane of its warp that can run does, and when none can, a warp drawn from
 * all that can. So a meeting of 32 lanes costs 32 switches, and warps still overtake one another in
 * any order. A launch ends when all threads have returned; if none can run before that, the report
 * says who waits for what.
 *
 * One OS thread per process; nothing here is reentrant. */
#include <cuda_runtime.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <vector>

#include "device.h"
#include "fiber.h"
#include "schedule.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

extern "C" {
void __tsan_acquire(void *address) __attribute__((weak));
void __tsan_release(void *address) __attribute__((weak));
}

namespace emu {

void release(const void *address) {
    if (__tsan_release) __tsan_release((void *)address);
}
void acquire(const void *address) {
    if (__tsan_acquire) __tsan_acquire((void *)address);
}

/* --- threads, warps, blocks ------------------------------------------------------------------- */

struct Copy {
    void *to;
    const void *from;
    int bytes, size;
};

enum Waiting { RUNS, AT_BARRIER, AT_MEETING, FOR_COUNTER, YIELDED, ENDED };

struct Warp;
struct Block;

struct Thread {
    Fiber fiber;
    Warp *warp;
    int index, lane; /* in the block, in the warp */
    Waiting waiting;
    const char *what; /* it waits for */
    const unsigned *counter;
    unsigned target;
    std::vector<std::vector<Copy>> groups; /* of asynchronous copies, the last one open */
};

/* Lanes that meet: all of one mask at one instruction. */
struct Meeting {
    unsigned mask, arrived;
    const char *what;
    void *operands[32];
};

struct Warp {
    Block *block;
    Thread *lanes;  /* 32 of them, fewer in the last warp */
    unsigned live;  /* lanes that have not returned */
    unsigned ready; /* lanes that can run */
    bool listed;    /* among the warps that can run */
    Meeting meetings[4];
};

struct Barrier {
    int arrived, expected;
    int count; /* of true predicates */
    const char *file;
    int line;
    std::vector<Thread *> threads;
};

constexpr int SHARED_GUARD = 256; /* bytes behind the dynamic shared memory that stay as they are */

struct Block {
    uint3 index;
    int live;
    int last_count; /* result of the last counting barrier */
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    Barrier barriers[17]; /* __syncthreads, then the named ones */
    unsigned char *shared;
    size_t shared_capacity;
};

/* The launch that runs. */
static struct {
    const Launch *launch;
    std::vector<Warp *> ready;
    std::vector<Thread *> spinning; /* wait for a counter */
    std::vector<Thread *> yielded;
    int live_blocks;
    uint64_t idle_rounds; /* in which threads only yielded */
} run;
static Fiber host;
static Thread *self;

static Block *own_block() {
    return self->warp->block;
}
int lane() {
    return self->lane;
}
unsigned live_mask() {
    return self->warp->live;
}

void fault(const char *format, ...) {
    va_list args;
    fflush(stdout);
    fprintf(stderr, "emulator: ");
    if (self && run.launch)
        fprintf(stderr, "%s, block (%u,%u), thread %d: ", run.launch->name, blockIdx.x, blockIdx.y,
                self->index);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    fflush(stderr);
    abort();
}

/* --- who runs next ---------------------------------------------------------------------------- */

static void make_ready(Thread *t) {
    Warp *w = t->warp;
    t->waiting = RUNS;
    w->ready |= 1u << t->lane;
    if (!w->listed) {
        w->listed = true;
        run.ready.push_back(w);
    }
}

static bool counted(const Thread *t) {
    return (int)(*(volatile const unsigned *)t->counter - t->target) >= 0;
}

static void wake_counted() {
    for (size_t i = 0; i < run.spinning.size();) {
        if (counted(run.spinning[i])) {
            make_ready(run.spinning[i]);
            run.spinning[i] = run.spinning.back();
            run.spinning.pop_back();
        } else {
            i++;
        }
    }
}

static void deadlock() {
    fflush(stdout);
    fprintf(stderr, "emulator: %s: deadlock, nobody can go on:\n", run.launch->name);
    int shown = 0;
    for (Block *b : *run.launch->resident)
        for (Thread &t : b->threads) {
            if (t.waiting == ENDED || t.waiting == RUNS || shown++ >= 24) continue;
            fprintf(stderr, "  block (%u,%u), thread %d waits %s %s", b->index.x, b->index.y,
                    t.index,
                    t.waiting == AT_BARRIER    ? "at the barrier"
                    : t.waiting == AT_MEETING  ? "for other lanes at"
                    : t.waiting == FOR_COUNTER ? "for a counter"
                                               : "in a loop",
                    t.what ? t.what : "");
            if (t.waiting == FOR_COUNTER)
                fprintf(stderr, "%p: %u, wants %u", (const void *)t.counter, *t.counter, t.target);
            fputc('\n', stderr);
        }
    fflush(stderr);
    abort();
}

/* A lane that can run: of this warp as long as it has one. NULL when the launch has ended. */
static Thread *next(Warp *stay) {
    if (stay && stay->ready) return &stay->lanes[__builtin_ctz(stay->ready)];
    if (stay && stay->listed) {
        stay->listed = false;
        run.ready.erase(std::find(run.ready.begin(), run.ready.end(), stay));
    }
    for (;;) {
        if (!run.spinning.empty() && (run.ready.empty() || random_below(8) == 0)) wake_counted();
        if (!run.yielded.empty() && (run.ready.empty() || random_below(8) == 0)) {
            run.idle_rounds = run.ready.empty() ? run.idle_rounds + 1 : 0;
            if (run.idle_rounds > 100000) deadlock();
            for (Thread *t : run.yielded) make_ready(t);
            run.yielded.clear();
        }
        if (run.ready.empty()) {
            if (run.live_blocks == 0) return NULL;
            deadlock();
        }
        /* the drawn warp moves to the end, where it is quick to take off again */
        const size_t drawn = random_below((uint32_t)run.ready.size());
        std::swap(run.ready[drawn], run.ready.back());
        Warp *w = run.ready.back();
        if (w->ready) {
            const unsigned turn = random_below(32); /* which lane first is random too */
            const unsigned turned = w->ready >> turn | (turn ? w->ready << (32 - turn) : 0);
            return &w->lanes[(__builtin_ctz(turned) + turn) % 32];
        }
        w->listed = false;
        run.ready.pop_back();
    }
}

static void resume(Fiber *from, Thread *t, bool ending) {
    self = t;
    threadIdx = {(unsigned)t->index, 0, 0};
    blockIdx = t->warp->block->index;
    if (&t->fiber != from) fiber_switch(from, &t->fiber, ending);
}

/* The running thread waits: for what, its caller has noted. */
static void wait(Waiting why, const char *what) {
    Thread *own = self;
    own->waiting = why;
    own->what = what;
    own->warp->ready &= ~(1u << own->lane);
    resume(&own->fiber, next(own->warp), false); /* not NULL: this thread lives */
}

void yield() {
    run.yielded.push_back(self);
    wait(YIELDED, "");
}

void wait_until(const unsigned *counter, unsigned target) {
    self->counter = counter;
    self->target = target;
    if (counted(self) && random_below(2)) return;
    run.spinning.push_back(self);
    wait(FOR_COUNTER, "");
}

/* --- barriers --------------------------------------------------------------------------------- */

static void open_barrier(Barrier *b) {
    own_block()->last_count = b->count;
    for (Thread *t : b->threads) make_ready(t);
    b->threads.clear();
    b->arrived = b->count = 0;
    b->file = NULL;
}

static int barrier(int number, int expected, bool predicate, const char *file, int line) {
    Block *block = own_block();
    Barrier *b = &block->barriers[number];
    if (b->file && (b->file != file || b->line != line))
        fault("divergent barrier: this thread is at %s:%d, others of its block at %s:%d", file,
              line, b->file, b->line);
    b->file = file;
    b->line = line;
    b->expected = expected;
    b->count += predicate;
    release(b);
    if (++b->arrived < (expected ? expected : block->live)) {
        b->threads.push_back(self);
        wait(AT_BARRIER, file);
    } else {
        open_barrier(b);
    }
    acquire(b);
    return block->last_count;
}

void block_barrier(const char *file, int line) {
    barrier(0, 0, false, file, line);
}
int block_count(bool predicate, const char *file, int line) {
    return barrier(0, 0, predicate, file, line);
}
void named_barrier(int id, int threads, const char *file, int line) {
    if (id < 0 || id > 15 || threads % 32)
        fault("barrier %d of %d threads: ids are 0 to 15, threads whole warps", id, threads);
    barrier(1 + id, threads, false, file, line);
}

/* --- meetings --------------------------------------------------------------------------------- */

void meet(unsigned mask, const char *what, Compute *compute, void *operand) {
    Warp *w = self->warp;
    const unsigned bit = 1u << self->lane;
    if (!(mask & bit)) fault("%s: lane %d is not in its own mask %08x", what, self->lane, mask);
    if (mask & ~w->live)
        fault("%s: mask %08x names lanes that have returned or never were (live: %08x)", what, mask,
              w->live);
    Meeting *m = NULL, *empty = NULL;
    for (Meeting &at : w->meetings) {
        if (!at.arrived) {
            empty = &at;
        } else if (at.mask & mask) {
            if (at.mask != mask || at.what != what)
                fault("%s with mask %08x: lanes of it wait at %s with mask %08x", what, mask,
                      at.what, at.mask);
            m = &at;
        }
    }
    if (!m) {
        if (!empty) fault("%s: more than 4 meetings in one warp", what);
        m = empty;
        m->mask = mask;
        m->what = what;
    }
    m->operands[self->lane] = operand;
    m->arrived |= bit;
    release(m);
    if (m->arrived != mask) {
        wait(AT_MEETING, what);
    } else {
        compute(m->operands, mask);
        m->arrived = 0;
        for (unsigned others = mask & ~bit; others; others &= others - 1)
            make_ready(&w->lanes[__builtin_ctz(others)]);
    }
    acquire(m);
}

struct Vote {
    bool predicate;
    unsigned result;
};
unsigned ballot(unsigned mask, bool predicate, const char *what) {
    Vote own = {predicate, 0};
    meet(
        mask, what,
        [](void *const *operands, unsigned mask) {
            unsigned all = 0;
            for (int i = 0; i < 32; i++)
                if (mask >> i & 1) all |= (unsigned)((Vote *)operands[i])->predicate << i;
            for (int i = 0; i < 32; i++)
                if (mask >> i & 1) ((Vote *)operands[i])->result = all;
        },
        &own);
    return own.result;
}

/* --- shared memory and asynchronous copies ---------------------------------------------------- */

int shared_bytes() {
    return (int)run.launch->shared;
}

void *shared_memory(int offset, size_t alignment) {
    if (offset < 0 || offset >= shared_bytes())
        fault("shared memory: byte %d, the launch gave %d", offset, shared_bytes());
    if ((size_t)offset % alignment)
        fault("shared memory: byte %d is not aligned to %zu", offset, alignment);
    return own_block()->shared + offset;
}

void copy_begin(void *shared, const void *global, int bytes, int size) {
    Block *b = own_block();
    check_aligned(shared, (size_t)size, "cp.async to shared memory");
    if (bytes > 0) check_aligned(global, (size_t)size, "cp.async from global memory");
    const unsigned char *to = (unsigned char *)shared;
    if (to < b->shared || to + size > b->shared + run.launch->shared)
        fault("cp.async: %d bytes to %p, outside the block's shared memory", size, shared);
    if (bytes < 0 || bytes > size) fault("cp.async: %d of %d bytes", bytes, size);
    memset(shared, 0xff, (size_t)size);
    if (self->groups.empty()) self->groups.emplace_back();
    self->groups.back().push_back({shared, global, bytes, size});
}

void copy_commit() {
    self->groups.emplace_back();
}

void copy_wait(int youngest) {
    auto &groups = self->groups; /* the last one is open: it is no group yet */
    while ((int)groups.size() - 1 > youngest) {
        for (const Copy &c : groups.front()) {
            if (c.bytes) memcpy(c.to, c.from, (size_t)c.bytes);
            memset((char *)c.to + c.bytes, 0, (size_t)(c.size - c.bytes));
        }
        groups.erase(groups.begin());
    }
}

/* --- a launch --------------------------------------------------------------------------------- */

static void thread_main() {
    fiber_began(&self->fiber);
    acquire(&run);
    (*run.launch->body)();
    Thread *own = self;
    Block *block = own->warp->block;
    release(&run);
    if (fiber_overflowed(&own->fiber)) fault("its stack of %zu bytes overflowed", STACK_BYTES);
    own->waiting = ENDED;
    own->warp->ready &= ~(1u << own->lane);
    own->warp->live &= ~(1u << own->lane);
    for (const Meeting &m : own->warp->meetings)
        if (m.arrived && (m.mask >> own->lane & 1))
            fault("returned while other lanes wait for it at %s", m.what);
    Barrier *b = &block->barriers[0];
    if (--block->live > 0) {
        if (b->arrived > 0 && b->arrived == block->live) open_barrier(b);
    } else {
        run.live_blocks--;
    }
    Thread *t = next(own->warp);
    if (t) resume(&own->fiber, t, true);
    fiber_switch(&own->fiber, &host, true);
}

static void begin_block(Block *b, uint3 index, int threads, char *stacks) {
    const size_t shared = run.launch->shared;
    b->index = index;
    b->live = threads;
    b->threads.resize((size_t)threads);
    b->warps.resize((size_t)(threads + 31) / 32);
    for (Barrier &barrier : b->barriers) barrier = Barrier();
    if (b->shared_capacity < shared + SHARED_GUARD) {
        free(b->shared);
        b->shared_capacity = (shared + SHARED_GUARD + 1023) / 1024 * 1024;
        b->shared = (unsigned char *)aligned_alloc(1024, b->shared_capacity);
    }
    memset(b->shared, 0xff, shared + SHARED_GUARD);
    for (size_t w = 0; w < b->warps.size(); w++) {
        const int lanes = std::min(32, threads - 32 * (int)w);
        Warp &warp = b->warps[w];
        warp = Warp();
        warp.block = b;
        warp.lanes = &b->threads[32 * w];
        warp.live = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
        for (int i = 0; i < lanes; i++) {
            Thread &t = warp.lanes[i];
            t.warp = &warp;
            t.index = 32 * (int)w + i;
            t.lane = i;
            t.groups.clear();
            fiber_prepare(&t.fiber, stacks + (size_t)t.index * STACK_BYTES, thread_main);
            make_ready(&t);
        }
    }
}

static void end_block(Block *b) {
    for (int i = 0; i < SHARED_GUARD; i++)
        if (b->shared[run.launch->shared + (size_t)i] != 0xff) {
            fprintf(stderr,
                    "emulator: %s, block (%u,%u) wrote past its %zu bytes of shared memory\n",
                    run.launch->name, b->index.x, b->index.y, run.launch->shared);
            abort();
        }
    for (Thread &t : b->threads) fiber_release(&t.fiber);
}

void run_launch(Launch *launch) {
    static std::vector<Block *> pool;
    const uint64_t blocks = (uint64_t)launch->grid.x * launch->grid.y * launch->grid.z;
    const size_t wave = (size_t)std::min<uint64_t>(blocks, (uint64_t)launch->resident_blocks);
    std::vector<uint64_t> order((size_t)blocks);
    for (uint64_t i = 0; i < blocks; i++) order[i] = i;
    for (uint64_t i = blocks; i > 1; i--) std::swap(order[i - 1], order[random_below((uint32_t)i)]);
    while (pool.size() < wave) pool.push_back(new Block());
    char *stacks = fiber_stacks(wave * (size_t)launch->threads);
    std::vector<Block *> resident;
    launch->resident = &resident;
    run.launch = launch;
    blockDim = dim3((unsigned)launch->threads);
    gridDim = launch->grid;
    fiber_adopt(&host);
    for (uint64_t first = 0; first < blocks; first += wave) {
        const size_t n = (size_t)std::min<uint64_t>(wave, blocks - first);
        release(&run);
        run.live_blocks = (int)n;
        run.idle_rounds = 0;
        resident.assign(pool.begin(), pool.begin() + (long)n);
        for (size_t i = 0; i < n; i++) {
            const uint64_t at = order[first + i];
            const unsigned x = launch->grid.x, y = launch->grid.y;
            begin_block(pool[i],
                        {(unsigned)(at % x), (unsigned)(at / x % y), (unsigned)(at / x / y)},
                        launch->threads, stacks + i * (size_t)launch->threads * STACK_BYTES);
        }
        resume(&host, next(NULL), false);
        self = NULL;
        acquire(&run);
        for (Block *b : resident) end_block(b);
    }
    run.launch = NULL;
}

} // namespace emu
