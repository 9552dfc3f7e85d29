/* fiber.cpp - see fiber.h. x86-64 switches in a few instructions; other processors through
 * ucontext. */
#include "fiber.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_ASAN 1
#endif
#endif
#if defined(HAS_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

/* ThreadSanitizer's fibers, where the program is linked with it (CONFIG=race). This file itself is
 * compiled without: the emulator is not what is watched. */
extern "C" {
void *__tsan_get_current_fiber(void) __attribute__((weak));
void *__tsan_create_fiber(unsigned flags) __attribute__((weak));
void __tsan_destroy_fiber(void *fiber) __attribute__((weak));
void __tsan_switch_to_fiber(void *fiber, unsigned flags) __attribute__((weak));
}

namespace emu {

static constexpr uint64_t CANARY = 0x7475727465666962u;
static constexpr unsigned TSAN_NO_SYNC = 1; /* a switch orders nothing */

char *fiber_stacks(size_t n) {
    static char *stacks;
    static size_t have;
    if (n <= have) return stacks;
    if (stacks) munmap(stacks, have * STACK_BYTES);
    stacks = (char *)mmap(NULL, n * STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) {
        fprintf(stderr, "emulator: no memory for %zu stacks\n", n);
        abort();
    }
    have = n;
    return stacks;
}

bool fiber_overflowed(const Fiber *f) {
    return *(const uint64_t *)f->stack != CANARY;
}

void fiber_release(Fiber *f) {
    if (f->tsan && __tsan_destroy_fiber) __tsan_destroy_fiber(f->tsan);
    f->tsan = NULL;
}

#if defined(__x86_64__)

/* void switch_stacks(void **save, void *load): what a called function must preserve goes to this
 * stack, then the same comes from the other. */
asm(".text\n"
    ".globl emu_switch_stacks\n"
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
extern "C" void emu_switch_stacks(void **save, void *load);

static void prepare_stack(Fiber *f, void (*entry)()) {
    uint64_t *top = (uint64_t *)(f->stack + STACK_BYTES);
    *--top = 0;               /* where entry would return to; keeps its frame aligned */
    *--top = (uint64_t)entry; /* what `ret` above continues with */
    for (int i = 0; i < 6; i++) *--top = 0;
    f->stack_pointer = top;
}
static void switch_stack(Fiber *from, Fiber *to) {
    emu_switch_stacks(&from->stack_pointer, to->stack_pointer);
}

#else
} // namespace emu
#include <ucontext.h>
namespace emu {
static void prepare_stack(Fiber *f, void (*entry)()) {
    ucontext_t *c = (ucontext_t *)(f->stack + 64); /* below the stack that it describes */
    getcontext(c);
    c->uc_stack.ss_sp = f->stack + 4096;
    c->uc_stack.ss_size = STACK_BYTES - 4096;
    c->uc_link = NULL;
    makecontext(c, entry, 0);
    f->stack_pointer = c;
}
static void switch_stack(Fiber *from, Fiber *to) {
    static ucontext_t host;
    if (!from->stack_pointer) from->stack_pointer = &host;
    swapcontext((ucontext_t *)from->stack_pointer, (ucontext_t *)to->stack_pointer);
}
#endif

void fiber_adopt(Fiber *f) {
    *f = Fiber();
#if defined(HAS_ASAN)
    pthread_attr_t attributes;
    void *bottom = NULL;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &bottom, &f->stack_bytes);
        f->stack = (char *)bottom;
        pthread_attr_destroy(&attributes);
    }
#endif
    f->tsan = __tsan_get_current_fiber ? __tsan_get_current_fiber() : NULL;
}

void fiber_prepare(Fiber *f, char *stack, void (*entry)()) {
    f->stack = stack;
    f->stack_bytes = STACK_BYTES;
    f->fake_stack = NULL;
    *(uint64_t *)stack = CANARY;
    f->tsan = __tsan_create_fiber ? __tsan_create_fiber(0) : NULL;
    prepare_stack(f, entry);
}

/* Called on the new stack, behind every switch: AddressSanitizer learns that it has happened. */
static void arrived(Fiber *self) {
#if defined(HAS_ASAN)
    __sanitizer_finish_switch_fiber(self->fake_stack, NULL, NULL);
#else
    (void)self;
#endif
}

void fiber_began(Fiber *self) {
    arrived(self);
}

void fiber_switch(Fiber *from, Fiber *to, bool ending) {
#if defined(HAS_ASAN)
    __sanitizer_start_switch_fiber(ending ? NULL : &from->fake_stack, to->stack, to->stack_bytes);
#else
    (void)ending;
#endif
    if (__tsan_switch_to_fiber) __tsan_switch_to_fiber(to->tsan, TSAN_NO_SYNC);
    switch_stack(from, to);
    arrived(from);
}

} // namespace emu
