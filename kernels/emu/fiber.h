/* fiber.h - stacks that a processor can be switched between: one for every CUDA thread. */
#ifndef TURTLE_EMU_FIBER_H
#define TURTLE_EMU_FIBER_H

#include <stddef.h>
#include <stdint.h>

namespace emu {

struct Fiber {
    void *stack_pointer; /* where it continues */
    char *stack;         /* lowest address */
    size_t stack_bytes;
    void *fake_stack; /* AddressSanitizer's, kept across a switch */
    void *tsan;       /* ThreadSanitizer's fiber */
};

constexpr size_t STACK_BYTES = 64 << 10;

/* Stacks of n fibers in one mapping: guard pages between them would pass the kernel's limit of
 * mappings at 50 688 threads, so a canary at the end of each is checked instead. */
char *fiber_stacks(size_t n);

/* `f` stands for the stack that the program runs on. */
void fiber_adopt(Fiber *f);
/* Makes `f` begin with entry() on its stack; entry never returns. */
void fiber_prepare(Fiber *f, char *stack, void (*entry)());
bool fiber_overflowed(const Fiber *f);
void fiber_release(Fiber *f);

/* Saves this stack in `from` and continues `to`. `ending`: `from` will not be continued. */
void fiber_switch(Fiber *from, Fiber *to, bool ending = false);
/* The first thing that a fiber does after it was switched to for the first time. */
void fiber_began(Fiber *self);

} // namespace emu

#endif
