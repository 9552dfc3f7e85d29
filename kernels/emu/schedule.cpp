/* schedule.cpp - runs the threads of a launch, each a fiber, in a random order that EMU_SEED names.
 *
 * A thread runs until it must wait: for its block's barrier, for the other lanes of a meeting, for a
 * counter. Then the next lane of its warp that can run goes on, and when none can, a warp drawn from
 * all that can run. So a meeting of 32 lanes costs 32 switches, and warps still overtake one another in
 * any order. A launch ends when all threads have returned; if none can run before that, the report
 * says who waits for what. */
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>

#include "kernels/emu/thread.h"

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace emu {

Run run;
Thread *self;
static Fiber host;

/* --- random ----------------------------------------------------------------------------------- */

static uint64_t state = 0x9E3779B97F4A7C15u;

/* xorshift64*: the schedule only has to differ from seed to seed. */
uint32_t random_bits() {
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(state * 0x2545F4914F6CDD1Du >> 32);
}
uint32_t random_below(uint32_t n) {
    return (uint32_t)((uint64_t)random_bits() * n >> 32);
}
void random_begin() {
    static uint64_t of;
    static bool begun;
    const uint64_t now = seed();
    if (begun && of == now) return;
    begun = true;
    of = now;
    state = (now + 1) * 0x9E3779B97F4A7C15u;
    if (state == 0) state = 1;
    for (int i = 0; i < 8; i++) random_bits();
}

/* --- who can run ------------------------------------------------------------------------------ */

static inline void list(Warp *w) {
    if (w->place != NOWHERE) return;
    w->place = run.ready.size();
    run.ready.push_back(w);
}
static inline void unlist(Warp *w) {
    if (w->place == NOWHERE) return;
    run.ready[w->place] = run.ready.back();
    run.ready[w->place]->place = w->place;
    run.ready.pop_back();
    w->place = NOWHERE;
}

void make_ready(Thread *t) {
    t->warp->ready |= 1u << t->lane;
    list(t->warp);
}
void make_lanes_ready(unsigned lanes) {
    Warp *w = self->warp;
    w->ready |= lanes;
    w->turn = random_bits() % 32;
    list(w);
}

static bool counted(const Thread *t) {
    return (int)(*(volatile const unsigned *)t->counter - t->target) >= 0;
}

static void wake_counted() {
    for (Thread **at = &run.counting; *at;) {
        Thread *t = *at;
        if (counted(t)) {
            *at = t->behind;
            make_ready(t);
        } else {
            at = &t->behind;
        }
    }
}

/* Threads that loop read their counters again. This may be in vain, but not for ever. */
static void wake_looping() {
    if (run.vain > 100 * (uint64_t)run.live + 1000 && run.ready.empty()) deadlock();
    for (Thread *t = run.looping; t; t = t->behind) make_ready(t);
    run.looping = NULL;
}

static inline Thread *lane_of(Warp *w) {
    const unsigned turned = w->ready >> w->turn | w->ready << (-w->turn & 31);
    return &w->lanes[((unsigned)__builtin_ctz(turned) + w->turn) & 31];
}

/* Returns a lane of any warp that can run, or NULL when the launch has ended. */
static Thread *next_anywhere() {
    const bool sometimes = random_below(8) == 0;
    while (run.bulk && (run.ready.empty() || random_below(8) == 0)) land_bulk();
    if (run.counting && (run.ready.empty() || sometimes)) wake_counted();
    if (run.looping && (run.ready.empty() || sometimes)) wake_looping();
    if (run.ready.empty()) {
        if (run.live_blocks == 0) return NULL;
        deadlock();
    }
    Warp *w = run.ready[random_below((uint32_t)run.ready.size())];
    w->turn = random_bits() % 32;
    return lane_of(w);
}

/* Returns a lane of this warp as long as it has one that can run. */
static inline Thread *next(Warp *stay) {
    if (stay->ready) return lane_of(stay);
    unlist(stay);
    return next_anywhere();
}

static inline void resume(Fiber *from, Thread *t, bool ending = false) {
    self = t;
    threadIdx.x = (unsigned)t->index;
    blockIdx = t->warp->block->index;
    if (&t->fiber != from) fiber_switch(from, &t->fiber, ending);
}

void wait(Waiting why) {
    Thread *own = self;
    run.vain = why == IN_LOOP ? run.vain + 1 : 0;
    own->waiting = why;
    own->warp->ready &= ~(1u << own->lane);
    resume(&own->fiber, next(own->warp)); /* not NULL: this thread lives */
}

void maybe_yield() {
    run.vain = 0;
    if (random_below(8) || run.ready.empty()) return;
    Thread *own = self;
    resume(&own->fiber, next_anywhere());
}

/* --- waiting for memory ----------------------------------------------------------------------- */

void loop_yield(const unsigned *counter, const char *file, int line) {
    Thread *own = self;
    own->counter = counter;
    own->what = "load_acquire in a loop";
    own->file = file;
    own->line = line;
    own->behind = run.looping;
    run.looping = own;
    wait(IN_LOOP);
    note_acquire();
}

void wait_until(const unsigned *counter, unsigned target, const char *file, int line) {
    Thread *own = self;
    own->counter = counter;
    own->target = target;
    if (counted(own) && random_bits() % 2) {
        note_acquire();
        return;
    }
    own->what = "wait_for";
    own->file = file;
    own->line = line;
    own->behind = run.counting;
    run.counting = own;
    wait(FOR_COUNTER);
    note_acquire();
}

/* --- a launch --------------------------------------------------------------------------------- */

static void thread_main() {
    Thread *own = self;
    fiber_began(&own->fiber);
    (*run.launch->one)();
    if (!own->copies.all.empty()) finish_copies(own);
    order_release(&run);
    if (fiber_overflowed(&own->fiber))
        fault("its stack overflowed: %zu KB", fiber_stack_bytes() >> 10);
    Warp *w = own->warp;
    own->waiting = ENDED;
    run.live--;
    run.vain = 0;
    w->ready &= ~(1u << own->lane);
    w->live &= ~(1u << own->lane);
    leave_together(own);
    leave_cluster(own);
    if (--w->block->live == 0) run.live_blocks--;
    Thread *t = next(w);
    if (t) resume(&own->fiber, t, true);
    fiber_switch(&own->fiber, &host, true);
    __builtin_unreachable();
}

static void begin_block(Block *b, uint3 index, size_t i, size_t n) {
    const int threads = run.launch->threads;
    b->index = index;
    b->live = threads;
    b->threads.resize((size_t)threads);
    b->warps.resize((size_t)(threads + 31) / 32);
    for (Barrier &barrier : b->barriers) {
        barrier.arrived = barrier.count = 0;
        barrier.file = NULL;
        barrier.first = NULL;
    }
    b->async_view.clear();
    b->shared = shared_prepare(i, n, run.launch->shared);
    for (size_t w = 0; w < b->warps.size(); w++) {
        const int lanes = std::min(32, threads - 32 * (int)w);
        Warp &warp = b->warps[w];
        warp.block = b;
        warp.lanes = &b->threads[32 * w];
        warp.live = warp.ready = lanes == 32 ? 0xffffffffu : (1u << lanes) - 1;
        warp.meeting = warp.turn = 0;
        warp.place = NOWHERE;
        for (Meeting &m : warp.meetings) m.mask = m.arrived = 0;
        for (int lane = 0; lane < lanes; lane++) {
            Thread &t = warp.lanes[lane];
            t.warp = &warp;
            t.index = 32 * (int)w + lane;
            t.lane = lane;
            t.waiting = NOTHING;
            t.arrived = t.registers_fenced = t.starts_copies = false;
            t.commits.clear();
            t.acquired = t.fenced = t.fence_seen = 0;
            fiber_prepare(&t.fiber, i * (size_t)threads + (size_t)t.index, thread_main);
        }
        list(&warp);
    }
}

static void end_block(Block *b) {
    forget_groups(b);
    for (Thread &t : b->threads) {
        fiber_release(&t.fiber);
        watch_destroy(t.copies.watch);
        t.copies.watch = NULL;
    }
    if (shared_intact(b->shared, run.launch->shared)) return;
    fprintf(stderr, "emulator: %s: block (%u,%u,%u) wrote past its %zu bytes of shared memory\n",
            running_kernel(), b->index.x, b->index.y, b->index.z, run.launch->shared);
    abort();
}

void run_launch(const Launch *launch) {
    static auto &pool = *new std::vector<Block *>; /* never destroyed, as streams are not */
    const uint64_t blocks = (uint64_t)launch->grid.x * launch->grid.y * launch->grid.z;
    const uint64_t size = (uint64_t)launch->cluster, clusters = blocks / size;
    const size_t most = (size_t)std::min<uint64_t>(blocks, (uint64_t)launch->resident);
    const size_t wave = std::max<size_t>(most / size, 1) * size; /* whole clusters */
    const size_t threads = wave * (size_t)launch->threads;
    std::vector<uint64_t> order((size_t)clusters);
    for (uint64_t i = 0; i < clusters; i++) order[i] = i;
    for (uint64_t i = clusters; i > 1; i--)
        std::swap(order[i - 1], order[random_below((uint32_t)i)]);
    while (pool.size() < wave) pool.push_back(new Block());
    std::vector<Cluster> together(wave / size);
    char *stacks = fiber_stacks(threads);
    watch_crashes();
    run.launch = launch;
    blockDim = dim3((unsigned)launch->threads);
    gridDim = launch->grid;
    forget_bulk();
    fiber_adopt(&host);
    for (uint64_t first = 0; first < blocks; first += wave) {
        const size_t n = (size_t)std::min<uint64_t>(wave, blocks - first);
        run.live_blocks = (int)n;
        run.live = (int64_t)n * launch->threads;
        run.ready.reserve((size_t)run.live / 32 + n);
        run.vain = 0;
        run.resident.assign(pool.begin(), pool.begin() + (long)n);
        watch_forget(stacks, threads * fiber_stack_bytes());
        for (size_t i = 0; i < n; i++) {
            const uint64_t at = order[(first + i) / size] * size + i % size;
            const unsigned x = launch->grid.x, y = launch->grid.y;
            begin_block(pool[i],
                        {(unsigned)(at % x), (unsigned)(at / x % y), (unsigned)(at / x / y)}, i, n);
            Cluster *cluster = &together[i / size];
            if (i % size == 0) *cluster = Cluster();
            cluster->blocks.push_back(pool[i]);
            cluster->live += launch->threads;
            pool[i]->cluster = cluster;
            pool[i]->rank = (unsigned)(i % size);
        }
        resume(&host, next_anywhere());
        self = NULL;
        for (Block *b : run.resident) end_block(b);
    }
    order_acquire(&run); /* but not between waves, for nothing orders the blocks of one launch */
    run.launch = NULL;
}

} // namespace emu
