/* fiber.h - stacks that a processor can be switched between: one for every CUDA thread. */
#ifndef TURTLE_EMU_FIBER_H
#define TURTLE_EMU_FIBER_H

#include <stddef.h>
#include <stdint.h>

namespace emu {

struct Fiber {
    void *stack_pointer; /* where it continues */
    char *stack;         /* lowest address */
    size_t bytes;
    void *fake_stack; /* AddressSanitizer's, kept across a switch */
    void *tsan;       /* ThreadSanitizer's fiber */
};

/* Stacks of n fibers in one mapping: guard pages between them would pass the kernel's limit of
 * mappings at 50 688 threads, so the lowest words of each are looked at instead: they stay 0. */
char *fiber_stacks(size_t n);
size_t fiber_stack_bytes(); /* from one to the next: 64 KB, under a sanitizer more or less */

/* `f` stands for the stack that the program runs on. */
void fiber_adopt(Fiber *f);
/* Makes `f`, the i-th of fiber_stacks(), begin with entry(), which never returns. */
void fiber_prepare(Fiber *f, size_t i, void (*entry)());
bool fiber_overflowed(const Fiber *f);
void fiber_release(Fiber *f);
/* Whether an access there is one to a stack that has grown too large. */
bool fiber_near(const Fiber *f, const void *address);

/* The first thing that a fiber does after it was switched to for the first time. */
void fiber_began(Fiber *self);

/* --- sanitizers ------------------------------------------------------------------------------- */

extern bool watched; /* the program is linked with ThreadSanitizer (CONFIG=race) */

/* What orders memory between fibers. */
void order_release(const void *address);
void order_acquire(const void *address);

/* What happens between enter and leave is done by another: a stream, a copy. */
void *watch_create();
void watch_destroy(void *watch);
void *watch_enter(void *watch); /* what to leave() to */
void watch_leave(void *before);
/* While one of these lives, what this one does is not watched: the emulator's own work. */
struct Unwatched {
    Unwatched();
    ~Unwatched();
    Unwatched(const Unwatched &) = delete;
    Unwatched &operator=(const Unwatched &) = delete;
};
/* While one of these lives inside of that, it is. */
struct Watched {
    Watched();
    ~Watched();
    Watched(const Watched &) = delete;
    Watched &operator=(const Watched &) = delete;
};
/* Memory is used anew: what was done to it before is forgotten. Its contents may become 0. */
void watch_forget(void *memory, size_t bytes);

/* --- the switch ------------------------------------------------------------------------------- */

/* The parts of a switch that only a sanitizer needs. */
void sanitizer_leaves(Fiber *from, Fiber *to, bool ending);
void sanitizer_arrives(Fiber *self);
extern bool sanitized; /* by either */

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
