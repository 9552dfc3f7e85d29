/* copy.cpp - shared memory, and asynchronous copies into it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "kernels/emu/thread.h"

extern "C" {
void __asan_poison_memory_region(const volatile void *memory, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes) __attribute__((weak));
}

namespace emu {

/* --- shared memory ----------------------------------------------------------------------------
 *
 * A slot for every resident block, one page of each inaccessible; a block's memory ends where the
 * next slot begins, but for what its alignment leaves over:
 *
 *     | guard |        0xff: slack | shared memory ... | 0xff: slack | guard | ...
 *     slot i                       aligned to 1024                   slot i + 1              */

constexpr size_t GUARD = 4096, ROOM = 256 << 10, SLOT = GUARD + ROOM, ALIGNED = 1024, SLACK = 256;

static char *slots;
static size_t slot_count;
/* Bytes at the end of each slot that AddressSanitizer lets through; the rest of a slot is poisoned. */
static auto &opened = *new std::vector<size_t>;

static void make_slots(size_t n) {
    if (n <= slot_count) return;
    if (slots) munmap(slots, slot_count * SLOT + GUARD);
    slot_count = n < 16 ? 16 : n;
    slots = (char *)mmap(NULL, slot_count * SLOT + GUARD, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    bool ok = slots != MAP_FAILED;
    for (size_t i = 0; ok && i < slot_count; i++)
        ok = mprotect(slots + i * SLOT + GUARD, ROOM, PROT_READ | PROT_WRITE) == 0;
    opened.assign(slot_count, ROOM);
    if (ok) return;
    fprintf(stderr, "emulator: no memory for the shared memory of %zu blocks\n", n);
    abort();
}

unsigned char *shared_prepare(size_t i, size_t n, size_t bytes) {
    make_slots(n);
    char *end = slots + (i + 1) * SLOT;
    char *begin = end - (bytes + ALIGNED - 1) / ALIGNED * ALIGNED;
    watch_forget(end - (end - begin + SLACK + GUARD - 1) / GUARD * GUARD,
                 (size_t)(end - begin + SLACK + GUARD - 1) / GUARD * GUARD);
    const size_t whole = (size_t)(end - begin);
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(begin - SLACK, whole + SLACK);
    memset(begin - SLACK, 0xff, whole + SLACK);
    if (__asan_poison_memory_region) { /* what the last launch opened below, too */
        const size_t close = std::max(opened[i], whole + SLACK);
        __asan_poison_memory_region(end - close, close - whole);
        __asan_poison_memory_region(begin + bytes, whole - bytes);
        opened[i] = whole;
    }
    return (unsigned char *)begin;
}

bool shared_intact(const unsigned char *shared, size_t bytes) {
    if (__asan_poison_memory_region)
        return true; /* AddressSanitizer would have reported it at once */
    const size_t behind = (ALIGNED - bytes % ALIGNED) % ALIGNED;
    for (size_t i = 1; i <= SLACK; i++)
        if (shared[-(long)i] != 0xff) return false;
    for (size_t i = 0; i < behind; i++)
        if (shared[bytes + i] != 0xff) return false;
    return true;
}

bool shared_guard(const void *address) {
    return slots && (const char *)address >= slots &&
           (const char *)address < slots + slot_count * SLOT + GUARD;
}

void *shared_memory(int offset, size_t alignment) {
    const size_t bytes = run.launch->shared;
    if (offset < 0 || (size_t)offset >= bytes)
        fault("shared_mem: byte %d, but the launch gave %zu", offset, bytes);
    if ((size_t)offset % alignment)
        fault("shared_mem: byte %d is not aligned to %zu", offset, alignment);
    return own_block()->shared + offset;
}

int shared_bytes() {
    return (int)run.launch->shared;
}

/* --- asynchronous copies ---------------------------------------------------------------------- */

/* Fills the destination of a copy with NaN until somebody waits. It does not call memset, for ThreadSanitizer
 * would see the thread write. */
static void poison(void *to, int bytes) {
    for (volatile unsigned *w = (volatile unsigned *)to; bytes > 0; bytes -= 4) *w++ = 0xffffffffu;
}

void copy_begin(void *shared, const void *global, int bytes, int size, const char *file, int line) {
    const Block *b = own_block();
    Copies *c = &self->copies;
    const unsigned char *to = (unsigned char *)shared;
    if ((uintptr_t)to % (unsigned)size)
        fault("cp.async at %s:%d: %p in shared memory is not aligned to %d bytes", file, line,
              shared, size);
    if (bytes > 0 && (uintptr_t)global % (unsigned)size)
        fault("cp.async at %s:%d: %p in global memory is not aligned to %d bytes", file, line,
              global, size);
    if (to < b->shared || to + size > b->shared + run.launch->shared)
        fault("cp.async at %s:%d: %d bytes to byte %ld of the %zu of shared memory", file, line,
              size, (long)(to - b->shared), run.launch->shared);
    if (bytes < 0 || bytes > size)
        fault("cp.async at %s:%d: %d of %d bytes", file, line, bytes, size);
    poison(shared, size);
    Unwatched unwatched;
    c->all.push_back({shared, global, bytes, size});
    if (watched) { /* another writer, who knows what this thread knows now, writes the bytes */
        if (!c->watch) c->watch = watch_create();
        order_release(&c->all);
        void *own = watch_enter(c->watch);
        order_acquire(&c->all);
        watch_leave(own);
    }
}

void copy_commit() {
    Unwatched unwatched;
    self->copies.ends.push_back(self->copies.all.size());
}

/* Lands the oldest n copies and the groups that they fill. */
static void land(Copies *c, size_t n, size_t groups) {
    void *own = watch_enter(c->watch);
    for (size_t i = 0; i < n; i++) {
        const Copy &copy = c->all[i];
        if (copy.bytes) memcpy(copy.to, copy.from, (size_t)copy.bytes);
        memset((char *)copy.to + copy.bytes, 0, (size_t)(copy.size - copy.bytes));
    }
    order_release(&c->ends);
    watch_leave(own);
    order_acquire(&c->ends);
    Unwatched unwatched;
    c->all.erase(c->all.begin(), c->all.begin() + (long)n);
    c->ends.erase(c->ends.begin(), c->ends.begin() + (long)groups);
    for (size_t &end : c->ends) end -= n;
}

void copy_wait(int youngest) {
    Copies *c = &self->copies;
    if (c->ends.size() <= (size_t)youngest) return;
    const size_t groups = c->ends.size() - (size_t)youngest, n = c->ends[groups - 1];
    Unwatched unwatched;
    if (n) land(c, n, groups);
    else c->ends.erase(c->ends.begin(), c->ends.begin() + (long)groups);
}

void finish_copies(Thread *t) {
    land(&t->copies, t->copies.all.size(), t->copies.ends.size());
}

} // namespace emu
