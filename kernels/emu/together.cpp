/* together.cpp - what the threads of a block and the lanes of a warp do together. */
#include <string.h>

#include "kernels/emu/thread.h"

namespace emu {

static bool same_place(const char *file_a, int line_a, const char *file_b, int line_b) {
    return line_a == line_b && (file_a == file_b || strcmp(file_a, file_b) == 0);
}

/* --- barriers --------------------------------------------------------------------------------- */

static void open_barrier(Barrier *b) {
    b->result = b->count;
    for (Thread *t = b->first; t; t = t->behind) make_ready(t);
    b->first = NULL;
    b->arrived = b->count = 0;
    b->file = NULL;
}

static int barrier(Barrier *b, int expected, bool predicate, bool waits, const char *what,
                   const char *file, int line) {
    Thread *own = self;
    own->what = what;
    own->file = file;
    own->line = line;
    b->expected = expected;
    b->count += predicate;
    order_release(b);
    if (++b->arrived == (expected ? expected : own_block()->live)) {
        open_barrier(b);
        if (random_bits() % 2) maybe_yield();
    } else if (waits) {
        own->behind = b->first;
        b->first = own;
        wait(AT_BARRIER);
    }
    if (waits) {
        order_acquire(b);
        note_acquire();
    }
    return b->result;
}

int block_barrier(bool predicate, const char *what, const char *file, int line) {
    Barrier *b = &own_block()->barriers[0];
    if (!b->file) {
        b->file = file;
        b->line = line;
    } else if (!same_place(file, line, b->file, b->line)) {
        fault("divergent barrier: it is at %s:%d, others of its block wait at %s:%d", file, line,
              b->file, b->line);
    }
    return barrier(b, 0, predicate, true, what, file, line);
}

/* The barrier 0 of a block, called for what the compiler has put in its place. */
void whole_block_barrier(const char *what, const char *file, int line) {
    Barrier *b = &own_block()->barriers[0];
    if (!b->file) {
        b->file = file;
        b->line = line;
    } else if (!same_place(file, line, b->file, b->line)) {
        fault("%s at %s:%d: in a cluster of one it is bar.sync 0, where others of its block wait at %s:%d: "
              "no split barrier",
              what, file, line, b->file, b->line);
    }
    barrier(b, 0, false, true, what, file, line);
}

void named_barrier(int id, int threads, bool waits, const char *file, int line) {
    Barrier *b = &own_block()->barriers[id & 15];
    if (id < 1 || id > 15)
        fault("barrier %d at %s:%d: named barriers are 1 to 15, 0 is __syncthreads", id, file,
              line);
    if (threads < 32 || threads % 32 || threads > run.launch->threads)
        fault("barrier %d at %s:%d: %d threads of a block of %d; whole warps meet", id, file, line,
              threads, run.launch->threads);
    if (b->arrived && b->expected != threads)
        fault("barrier %d at %s:%d: %d threads expected, others there expect %d", id, file, line,
              threads, b->expected);
    barrier(b, threads, false, waits, "named barrier", file, line);
}

/* --- meetings --------------------------------------------------------------------------------- */

static Meeting *pending(Warp *w, unsigned mask) {
    for (Meeting &m : w->meetings)
        if (m.arrived && m.mask == mask) return &m;
    return NULL;
}

[[noreturn]] static void wrong_mask(unsigned mask, const char *what, const char *file, int line) {
    const unsigned live = self->warp->live;
    if (!(mask >> self->lane & 1))
        fault("%s at %s:%d: lane %d is not in its own mask %08x", what, file, line, self->lane,
              mask);
    fault("%s at %s:%d: mask %08x names lanes that have returned or never were (there are %08x)",
          what, file, line, mask, live);
}

/* Reports that all lanes of the running thread's warp wait for each other. */
[[noreturn]] static void mismatched(const Meeting *own) {
    for (const Meeting &m : self->warp->meetings)
        if (m.arrived && &m != own)
            fault("%s at %s:%d with mask %08x: other lanes of its warp wait at %s at %s:%d with "
                  "mask %08x",
                  own->what, own->file, own->line, own->mask, m.what, m.file, m.line, m.mask);
    fault("%s at %s:%d with mask %08x: lanes are missing", own->what, own->file, own->line,
          own->mask); /* not reached: a missing lane would not wait */
}

void meet(unsigned mask, const char *what, Compute *compute, void *operand, const char *file,
          int line) {
    Thread *own = self;
    Warp *w = own->warp;
    const unsigned bit = 1u << own->lane;
    if (!(mask & bit) || (mask & ~w->live)) wrong_mask(mask, what, file, line);
    Meeting *m = &w->meetings[__builtin_ctz(mask)];
    if (w->meeting && !(m->arrived && m->mask == mask)) {
        /* other masks have the same lowest lane; then a meeting may stand elsewhere */
        Meeting *same = pending(w, mask);
        if (same) m = same;
        for (int i = 0; !same && m->arrived; i++) m = &w->meetings[i];
    }
    if (!m->arrived) {
        *m = {mask, 0, what, file, line};
    } else if ((m->what != what || m->line != line) && (what != SYNCWARP || m->what != what)) {
        /* only __syncwarp may stand at several places: lanes that diverged come together */
        fault("%s at %s:%d with mask %08x: lanes of it wait at %s at %s:%d", what, file, line, mask,
              m->what, m->file, m->line);
    }
    w->operands[own->lane] = operand;
    m->arrived |= bit;
    if (m->arrived != mask) {
        own->what = what;
        own->file = file;
        own->line = line;
        w->meeting |= bit;
        if (w->meeting == w->live) mismatched(m);
        wait(AT_MEETING);
        return;
    }
    compute(w->operands, mask);
    m->arrived = 0;
    w->meeting &= ~mask;
    if (mask != bit) make_lanes_ready(mask & ~bit);
    maybe_yield();
}

void leave_together(Thread *t) {
    Warp *w = t->warp;
    Barrier *b = &w->block->barriers[0];
    if (w->meeting)
        for (const Meeting &m : w->meetings)
            if (m.arrived && (m.mask >> t->lane & 1))
                fault("returned while other lanes wait for it at %s (%s:%d), mask %08x", m.what,
                      m.file, m.line, m.mask);
    /* as on hardware, nobody waits for a thread that has returned */
    if (b->arrived > 0 && b->arrived == w->block->live - 1) open_barrier(b);
}

const char SYNCWARP[] = "__syncwarp";

void sync_warp(unsigned mask, const char *file, int line) {
    const void *order = &self->warp->meetings[mask ? __builtin_ctz(mask) : 0];
    order_release(order);
    meet(
        mask, SYNCWARP, [](void *const *, unsigned) {}, NULL, file, line);
    order_acquire(order);
}

/* --- votes, shuffles, reductions: the operand is where each lane finds its result --------------- */

unsigned ballot(unsigned mask, bool predicate, const char *what, const char *file, int line) {
    unsigned own = predicate;
    meet(
        mask, what,
        [](void *const *operands, unsigned lanes) {
            unsigned all = 0;
            for (unsigned m = lanes; m; m &= m - 1) {
                const int i = __builtin_ctz(m);
                all |= *(unsigned *)operands[i] << i;
            }
            for (unsigned m = lanes; m; m &= m - 1) *(unsigned *)operands[__builtin_ctz(m)] = all;
        },
        &own, file, line);
    return own;
}

struct Shuffle {
    uint64_t value, result;
    int from;
};
uint64_t shuffle(unsigned mask, uint64_t value, int from, const char *what, const char *file,
                 int line) {
    Shuffle own = {value, value, from};
    if (!(mask >> from & 1))
        fault("%s at %s:%d: lane %d reads lane %d, which is not in mask %08x", what, file, line,
              self->lane, from, mask);
    meet(
        mask, what,
        [](void *const *operands, unsigned lanes) {
            for (unsigned m = lanes; m; m &= m - 1) {
                auto *s = (Shuffle *)operands[__builtin_ctz(m)];
                s->result = ((const Shuffle *)operands[s->from])->value;
            }
        },
        &own, file, line);
    return own.result;
}

template <class Op> static void reduce_all(void *const *operands, unsigned lanes) {
    unsigned all = *(unsigned *)operands[__builtin_ctz(lanes)];
    for (unsigned m = lanes & (lanes - 1); m; m &= m - 1)
        all = Op::of(all, *(unsigned *)operands[__builtin_ctz(m)]);
    for (unsigned m = lanes; m; m &= m - 1) *(unsigned *)operands[__builtin_ctz(m)] = all;
}
#define REDUCTION(name, type, result)                \
    struct name {                                    \
        static unsigned of(unsigned x, unsigned y) { \
            const type a = (type)x, b = (type)y;     \
            return (unsigned)(result);               \
        }                                            \
    };
REDUCTION(Add, unsigned, a + b)
REDUCTION(MinInt, int, a < b ? a : b)
REDUCTION(MaxInt, int, a > b ? a : b)
REDUCTION(MinUnsigned, unsigned, a < b ? a : b)
REDUCTION(MaxUnsigned, unsigned, a > b ? a : b)
REDUCTION(And, unsigned, a &b)
REDUCTION(Or, unsigned, a | b)
REDUCTION(Xor, unsigned, a ^ b)
#undef REDUCTION

unsigned reduce(unsigned mask, unsigned x, Reduction op, const char *what, const char *file,
                int line) {
    static Compute *const computes[] = {
        reduce_all<Add>,         reduce_all<MinInt>, reduce_all<MaxInt>, reduce_all<MinUnsigned>,
        reduce_all<MaxUnsigned>, reduce_all<And>,    reduce_all<Or>,     reduce_all<Xor>};
    meet(mask, what, computes[op], &x, file, line);
    return x;
}

int lane() {
    return self->lane;
}
unsigned live_mask() {
    return self->warp->live;
}

} // namespace emu
