/* cluster.cpp - clusters: their barrier, their shared memory; mbarriers.
 *
 * Shared memory is numbered as on hardware, in 32 bits: byte n of a block is SHARED_BASE + n in its own
 * window. In the window of the cluster the top byte of that number is rank + 1. */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/emu/thread.h"

namespace emu {

/* --- the barrier ------------------------------------------------------------------------------
 *
 * A kernel without a cluster size of its own is compiled twice. Launched in clusters of one, which may count as no
 * clusters at all, its cluster_arrive does nothing and its cluster_wait is a barrier of the whole block (sm_90a,
 * nvcc 13.0: UCGABAR_ARV and UCGABAR_WAIT, else BAR.SYNC 0). So threads that arrive early and wait late hang. */

/* Code for older GPUs has a trap in place of the instructions of 9.0 (EMU_CODE). */
static void need_hopper(const char *what, const char *file, int line) {
    if (code_built() < 90)
        fault("%s at %s:%d: trap: the kernel's code is for %d.%d, which has no such instruction", what, file,
              line, code_built() / 10, code_built() % 10);
}

static void open_cluster(Cluster *c) {
    for (Thread *t = c->first; t; t = t->behind) make_ready(t);
    c->first = NULL;
    c->arrived = 0;
    c->phase++;
}

void cluster_arrive(const char *file, int line) {
    Thread *own = self;
    Cluster *c = own_block()->cluster;
    need_hopper("cluster_arrive", file, line);
    if (own->arrived)
        fault("cluster_arrive at %s:%d: it has not waited for its last one", file, line);
    own->arrived = true;
    if (c->blocks.size() == 1) return;
    own->cluster_phase = c->phase;
    order_release(c);
    if (++c->arrived == c->live) open_cluster(c);
    maybe_yield();
}
void cluster_wait(const char *file, int line) {
    Thread *own = self;
    Cluster *c = own_block()->cluster;
    if (!own->arrived) fault("cluster_wait at %s:%d: it has not arrived before", file, line);
    if (c->blocks.size() == 1) {
        own->arrived = false;
        whole_block_barrier("cluster_wait", file, line);
        return;
    }
    if (own->cluster_phase == c->phase) {
        own->what = "cluster_wait";
        own->file = file;
        own->line = line;
        own->behind = c->first;
        c->first = own;
        wait(AT_CLUSTER);
    }
    own->arrived = false;
    order_acquire(c);
}
void leave_cluster(Thread *t) {
    Cluster *c = t->warp->block->cluster;
    if (c->blocks.size() > 1 && t->arrived && t->cluster_phase == c->phase) c->arrived--;
    if (--c->live > 0 && c->arrived == c->live) open_cluster(c);
}

unsigned cluster_rank() {
    return own_block()->rank;
}
unsigned cluster_size() {
    return (unsigned)own_block()->cluster->blocks.size();
}

/* --- shared memory by number ------------------------------------------------------------------ */

uint32_t shared_number(const void *shared, const char *what, const char *file, int line) {
    const Block *b = own_block();
    const unsigned char *at = (const unsigned char *)shared;
    if (at < b->shared || at > b->shared + run.launch->shared)
        fault("%s at %s:%d: %p is not in its block's shared memory", what, file, line, shared);
    return SHARED_BASE + (uint32_t)(at - b->shared);
}
uint32_t shared_address(const void *shared, const char *file, int line) {
    return shared_number(shared, "shared_address", file, line);
}

unsigned char *shared_at(uint32_t number, size_t bytes, Block **of, const char *what,
                         const char *file, int line) {
    Block *b = own_block();
    const uint32_t window = number >> 24, byte = (number & 0xffffff) - SHARED_BASE;
    if (window > b->cluster->blocks.size())
        fault("%s at %s:%d: %08x names block %u of a cluster of %zu", what, file, line, number,
              window - 1, b->cluster->blocks.size());
    if (window) b = b->cluster->blocks[window - 1];
    if (byte + bytes > run.launch->shared) /* a number below SHARED_BASE gives a huge byte */
        fault("%s at %s:%d: %zu bytes at byte %ld of the %zu of shared memory", what, file, line,
              bytes, (long)(int32_t)byte, run.launch->shared);
    if (b->live == 0)
        fault("%s at %s:%d: block %u of its cluster has returned", what, file, line, b->rank);
    if (of) *of = b;
    return b->shared + byte;
}

uint32_t cluster_address(const void *shared, unsigned rank, const char *file, int line) {
    const uint32_t own = shared_number(shared, "cluster_address", file, line);
    if (rank >= cluster_size())
        fault("cluster_address at %s:%d: block %u of a cluster of %u", file, line, rank,
              cluster_size());
    return (rank + 1) << 24 | own;
}
void *cluster_memory(uint32_t there, const char *what, const char *file, int line) {
    if (there % 16) fault("%s at %s:%d: %08x is not aligned to 16 bytes", what, file, line, there);
    return shared_at(there, 16, NULL, what, file, line);
}

/* --- mbarriers --------------------------------------------------------------------------------
 *
 * In the 8 bytes: what is pending of this phase, the arrivals of every phase, the parity of this one. */

struct Mbarrier {
    uint64_t pending : 20, arrivals : 20, parity : 1, unused : 1;
    int64_t bytes : 22; /* announced and not here yet; copies may come before their announcement */
};
static_assert(sizeof(Mbarrier) == 8, "as large as the hardware's");

static Mbarrier read(const uint64_t *barrier, const char *what, const char *file, int line) {
    Mbarrier m;
    check_aligned(barrier, 8, what, file, line);
    memcpy(&m, barrier, sizeof m);
    if (m.unused || m.arrivals == 0)
        fault("%s at %s:%d: no mbarrier was initialised at %p", what, file, line,
              (const void *)barrier);
    return m;
}

const char *describe_mbarrier(const uint64_t *barrier) {
    static char text[128];
    Mbarrier m;
    memcpy(&m, barrier, sizeof m);
    snprintf(text, sizeof text, "in phase %d, lacks %d of %d arrivals and %d announced bytes",
             (int)m.parity, (int)m.pending, (int)m.arrivals, (int)m.bytes);
    return text;
}

/* Stores the barrier, after ending its phase if nothing is missing. */
static void write(uint64_t *barrier, Mbarrier m) {
    const bool over = m.pending == 0 && m.bytes == 0;
    if (over) {
        m.parity ^= 1;
        m.pending = m.arrivals;
    }
    memcpy(barrier, &m, sizeof m);
    for (Thread **at = &run.at_mbarriers; over && *at;) {
        Thread *t = *at;
        if (t->counter == (const unsigned *)barrier) {
            *at = t->behind;
            make_ready(t);
        } else {
            at = &t->behind;
        }
    }
}

void mbarrier_init(uint64_t *barrier, unsigned count, const char *file, int line) {
    const uint32_t number = shared_number(barrier, "mbarrier_init", file, line);
    need_hopper("mbarrier_init", file, line);
    if (number % 8 || count < 1 || count >= 1u << 20)
        fault("mbarrier_init at %s:%d: count %u at byte %u: 1 to 2^20 - 1, aligned to 8", file,
              line, count, number - SHARED_BASE);
    const Mbarrier m = {count, count, 0, 0, 0};
    memcpy(barrier, &m, sizeof m);
}

static void arrive(uint64_t *barrier, unsigned count, unsigned bytes, const char *what,
                   const char *file, int line) {
    Mbarrier m = read(barrier, what, file, line);
    if (count > m.pending)
        fault("%s at %s:%d: %u arrivals at an mbarrier of %d that lacks %d", what, file, line,
              count, (int)m.arrivals, (int)m.pending);
    if (bytes >= 1u << 20)
        fault("%s at %s:%d: %u bytes: one phase counts less than 2^20", what, file, line, bytes);
    order_release(barrier);
    m.pending -= count;
    m.bytes += bytes;
    if (m.pending == 0 && m.bytes < 0)
        fault("%s at %s:%d: wrong transaction count: %d more bytes have come than were announced",
              what, file, line, -(int)m.bytes);
    write(barrier, m);
    maybe_yield();
}
void mbarrier_arrive(uint64_t *barrier, unsigned count, unsigned bytes, const char *file,
                     int line) {
    const char *what = bytes ? "mbarrier_arrive_expect" : "mbarrier_arrive";
    shared_number(barrier, what, file, line);
    arrive(barrier, count, bytes, what, file, line);
}
void mbarrier_arrive_at(uint64_t *barrier, unsigned rank, const char *file, int line) {
    const char *what = "mbarrier_arrive_at";
    const uint32_t there = cluster_address(barrier, rank, file, line);
    arrive((uint64_t *)shared_at(there, 8, NULL, what, file, line), 1, 0, what, file, line);
}

void mbarrier_bytes(uint64_t *barrier, const Block *b, unsigned bytes, const char *file, int line) {
    Mbarrier m = read(barrier, "a copy started", file, line);
    m.bytes -= bytes;
    if (m.pending == 0 && m.bytes < 0)
        fault("a copy started at %s:%d: wrong transaction count: %d more bytes have come to the "
              "mbarrier at byte %ld than were announced",
              file, line, -(int)m.bytes, (long)((unsigned char *)barrier - b->shared));
    write(barrier, m);
}

void mbarrier_wait(uint64_t *barrier, unsigned parity, const char *file, int line) {
    Thread *own = self;
    const char *what = "mbarrier_wait";
    shared_number(barrier, what, file, line);
    if (read(barrier, what, file, line).parity == (parity & 1)) {
        own->what = what;
        own->file = file;
        own->line = line;
        own->counter = (const unsigned *)barrier;
        own->target = parity & 1;
        own->behind = run.at_mbarriers;
        run.at_mbarriers = own;
        wait(FOR_MBARRIER);
    } else {
        maybe_yield();
    }
    order_acquire(barrier);
}

} // namespace emu
