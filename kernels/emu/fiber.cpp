/* fiber.cpp - see fiber.h. x86-64 switches in a few instructions; other processors through
 * ucontext. */
#include "kernels/emu/fiber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Functions of the sanitizer that the program is linked with. This file itself is compiled without
 * ThreadSanitizer, for kernels are watched, not the emulator. */
extern "C" {
#define WEAK __attribute__((weak))
void __sanitizer_start_switch_fiber(void **fake_stack, const void *bottom, size_t size) WEAK;
void __sanitizer_finish_switch_fiber(void *fake_stack, const void **bottom, size_t *size) WEAK;
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes) WEAK;
void *__tsan_get_current_fiber(void) WEAK;
void *__tsan_create_fiber(unsigned flags) WEAK;
void __tsan_destroy_fiber(void *fiber) WEAK;
void __tsan_switch_to_fiber(void *fiber, unsigned flags) WEAK;
void __tsan_acquire(void *address) WEAK;
void __tsan_release(void *address) WEAK;
void AnnotateIgnoreWritesBegin(const char *file, int line) WEAK;
void AnnotateIgnoreWritesEnd(const char *file, int line) WEAK;
#undef WEAK
}

namespace emu {

bool watched = __tsan_create_fiber != nullptr;
static const bool asan = __asan_unpoison_memory_region != nullptr;
bool sanitized = watched || asan;

/* --- stacks ----------------------------------------------------------------------------------- */

static char *stacks;
static size_t have;

size_t fiber_stack_bytes() {
    if (asan) return 256 << 10;   /* red zones make frames large */
    if (watched) return 32 << 10; /* the whole stack is forgotten after every launch */
    return 64 << 10;
}

char *fiber_stacks(size_t n) {
    if (n <= have) return stacks;
    const size_t each = fiber_stack_bytes();
    if (stacks) munmap(stacks, have * each);
    have = n < 2048 ? 2048 : n;
    stacks = (char *)mmap(NULL, have * each, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) {
        fprintf(stderr, "emulator: no memory for the stacks of %zu threads\n", n);
        abort();
    }
    madvise(stacks, have * each, MADV_NOHUGEPAGE); /* most of a stack is never touched */
    return stacks;
}

bool fiber_near(const Fiber *f, const void *address) {
    const char *at = (const char *)address;
    return at >= f->stack - (1 << 20) && at < f->stack + f->bytes;
}

bool fiber_overflowed(const Fiber *f) {
    const uint64_t *lowest = (const uint64_t *)f->stack;
    for (int i = 0; i < 16; i++)
        if (lowest[i]) return true;
    return false;
}

/* --- the switch ------------------------------------------------------------------------------- */

#if defined(__x86_64__)

/* void emu_switch_stacks(void **save, void *load) pushes the registers that a called function must preserve
 * on this stack, then pops them from the other. */
asm(".text\n"
    ".globl emu_switch_stacks\n"
    ".hidden emu_switch_stacks\n"
    ".type emu_switch_stacks, @function\n"
    "emu_switch_stacks:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size emu_switch_stacks, .-emu_switch_stacks\n");

static void prepare_stack(Fiber *f, size_t colour, void (*entry)()) {
    /* stack tops at equal places of a page would fight for the same cache sets */
    uint64_t *top = (uint64_t *)(f->stack + f->bytes - colour % 61 * 64);
    *--top = 0;               /* entry's return address: here a debugger's list of frames ends */
    *--top = (uint64_t)entry; /* the address at which `ret` above continues */
    for (int i = 0; i < 6; i++) *--top = 0;
    f->stack_pointer = top;
}

#else
} // namespace emu
#include <ucontext.h>
namespace emu {
static void prepare_stack(Fiber *f, size_t, void (*entry)()) {
    ucontext_t *c = (ucontext_t *)(f->stack + f->bytes -
                                   4096); /* the context lies above the stack that it describes */
    getcontext(c);
    c->uc_stack.ss_sp = f->stack;
    c->uc_stack.ss_size = f->bytes - 4096;
    c->uc_link = NULL;
    makecontext(c, entry, 0);
    f->stack_pointer = c;
}
void switch_stack(Fiber *from, Fiber *to) {
    static ucontext_t host;
    if (!from->stack_pointer) from->stack_pointer = &host;
    swapcontext((ucontext_t *)from->stack_pointer, (ucontext_t *)to->stack_pointer);
}
#endif

void fiber_adopt(Fiber *f) {
    *f = Fiber();
    if (asan) {
        pthread_attr_t attributes;
        void *bottom = NULL;
        if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
            pthread_attr_getstack(&attributes, &bottom, &f->bytes);
            f->stack = (char *)bottom;
            pthread_attr_destroy(&attributes);
        }
    }
    f->tsan = watched ? __tsan_get_current_fiber() : NULL;
}

void fiber_prepare(Fiber *f, size_t i, void (*entry)()) {
    f->bytes = fiber_stack_bytes();
    f->stack = stacks + i * f->bytes;
    f->fake_stack = NULL;
    f->tsan = watched ? __tsan_create_fiber(0) : NULL;
    prepare_stack(f, i, entry);
}

/* ThreadSanitizer gives a new fiber the number of one that was destroyed, and takes both for the
 * same thread: it does not see races between them. So fibers are destroyed late. */
static void destroy(void *fiber) {
    constexpr size_t LATE = 512;
    static void *waiting[LATE];
    static size_t at;
    if (waiting[at]) __tsan_destroy_fiber(waiting[at]);
    waiting[at] = fiber;
    at = (at + 1) % LATE;
}

void fiber_release(Fiber *f) {
    if (f->tsan) destroy(f->tsan);
    f->tsan = NULL;
}

/* --- sanitizers ------------------------------------------------------------------------------- */

constexpr unsigned NO_SYNC = 1; /* a switch orders nothing */

void sanitizer_leaves(Fiber *from, Fiber *to, bool ending) {
    if (asan && ending) { /* the frames up to the top never return: the next thread on this stack has others */
        char *here = (char *)__builtin_frame_address(0);
        __asan_unpoison_memory_region(here, (size_t)(from->stack + from->bytes - here));
    }
    if (asan)
        __sanitizer_start_switch_fiber(ending ? NULL : &from->fake_stack, to->stack, to->bytes);
    if (watched) __tsan_switch_to_fiber(to->tsan, NO_SYNC);
}
void sanitizer_arrives(Fiber *self) {
    if (asan) __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
}
void fiber_began(Fiber *self) {
    sanitizer_arrives(self);
}

void order_release(const void *address) {
    if (watched) __tsan_release((void *)address);
}
void order_acquire(const void *address) {
    if (watched) __tsan_acquire((void *)address);
}

void *watch_create() {
    return watched ? __tsan_create_fiber(0) : NULL;
}
void watch_destroy(void *watch) {
    if (watch) destroy(watch);
}
void *watch_enter(void *watch) {
    if (!watched) return NULL;
    void *before = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(watch, NO_SYNC);
    return before;
}
void watch_leave(void *before) {
    if (watched) __tsan_switch_to_fiber(before, NO_SYNC);
}
static void ignore() {
    if (watched) AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
}
static void look_again() {
    if (watched) AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
}
Unwatched::Unwatched() {
    ignore();
}
Unwatched::~Unwatched() {
    look_again();
}
Watched::Watched() {
    look_again();
}
Watched::~Watched() {
    ignore();
}
/* ThreadSanitizer takes memory that is mapped anew for new. */
void watch_forget(void *memory, size_t bytes) {
    if (!watched || bytes == 0) return;
    if (mmap(memory, bytes, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
        abort();
}

} // namespace emu
