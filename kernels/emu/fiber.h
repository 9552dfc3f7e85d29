/* fiber.h - stacks that a processor can be switched between: one for every CUDA thread. */
#ifndef TURTLE_EMU_FIBER_H
#define TURTLE_EMU_FIBER_H

#include <stddef.h>
#include <stdint.h>

namespace emu {

struct Fiber {
    void *stack_pointer; /* where the fiber continues */
    char *stack;         /* its lowest address */
    size_t bytes;
    void *fake_stack; /* AddressSanitizer's, kept across a switch */
    void *tsan;       /* ThreadSanitizer's fiber */
};

/* Returns the stacks of n fibers, in one mapping. With guard pages between them, 50 688 threads would pass
 * the kernel's limit of mappings. So the lowest words of each stack are looked at instead: they stay 0. */
char *fiber_stacks(size_t n);
size_t
fiber_stack_bytes(); /* Returns the bytes from one stack to the next: 64 KB, another number under a sanitizer. */

/* Makes `f` stand for the stack that the program runs on. */
void fiber_adopt(Fiber *f);
/* Makes `f`, the i-th of fiber_stacks(), begin with entry(), which never returns. */
void fiber_prepare(Fiber *f, size_t i, void (*entry)());
bool fiber_overflowed(const Fiber *f);
void fiber_release(Fiber *f);
/* Returns whether an access to the address comes from a stack that has grown too large. */
bool fiber_near(const Fiber *f, const void *address);

/* A fiber calls it first of all, when it was switched to for the first time. */
void fiber_began(Fiber *self);

/* --- sanitizers ------------------------------------------------------------------------------- */

extern bool watched; /* whether the program is linked with ThreadSanitizer (CONFIG=race) */

/* They order memory between fibers. */
void order_release(const void *address);
void order_acquire(const void *address);

/* To ThreadSanitizer, the work between enter and leave is done by somebody else: a stream, a copy. */
void *watch_create();
void watch_destroy(void *watch);
void *watch_enter(void *watch); /* Returns the argument of watch_leave. */
void watch_leave(void *before);
/* While an object of this type lives, the running fiber is not watched: it does the emulator's own work. */
struct Unwatched {
    Unwatched();
    ~Unwatched();
    Unwatched(const Unwatched &) = delete;
    Unwatched &operator=(const Unwatched &) = delete;
};
/* While an object of this type lives inside an Unwatched, the fiber is watched. */
struct Watched {
    Watched();
    ~Watched();
    Watched(const Watched &) = delete;
    Watched &operator=(const Watched &) = delete;
};
/* Forgets the accesses to memory that is used anew. Its contents may become 0. */
void watch_forget(void *memory, size_t bytes);

/* --- the switch ------------------------------------------------------------------------------- */

/* The parts of a switch that only a sanitizer needs. */
void sanitizer_leaves(Fiber *from, Fiber *to, bool ending);
void sanitizer_arrives(Fiber *self);
extern bool sanitized; /* whether the program is linked with either sanitizer */

#if defined(__x86_64__)
extern "C" void emu_switch_stacks(void **save, void *load);
static inline void switch_stack(Fiber *from, Fiber *to) {
    emu_switch_stacks(&from->stack_pointer, to->stack_pointer);
}
#else
void switch_stack(Fiber *from, Fiber *to);
#endif

/* Saves this stack in `from` and continues `to`. `ending`: `from` will not be continued. */
static inline void fiber_switch(Fiber *from, Fiber *to, bool ending = false) {
    if (__builtin_expect(sanitized, 0)) sanitizer_leaves(from, to, ending);
    switch_stack(from, to);
    if (__builtin_expect(sanitized, 0)) sanitizer_arrives(from);
}

} // namespace emu

#endif
