/* cuda_threads.h - what threads do together: barriers, votes, shuffles, atomics. Included by
 * cuda_runtime.h.
 *
 * The last two parameters of each function say where it was called, for reports. */
#ifndef TURTLE_EMU_CUDA_THREADS_H
#define TURTLE_EMU_CUDA_THREADS_H

#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emu {

/* Waits until all live threads of the block have come, to the same line. Returns the number of true
 * predicates. */
int block_barrier(bool predicate, const char *what, const char *file, int line);
/* Waits until `threads` threads of the block have come to barrier `id`. A thread that does not wait only
 * counts. */
void named_barrier(int id, int threads, bool waits, const char *file, int line);

/* Makes the lanes of `mask` meet. The last to come runs compute(operands, mask) for all; operands[lane] is what
 * each lane brought. A lane of the mask that names another mask or meeting is a fault. `what` is told apart by
 * its address. */
typedef void Compute(void *const *operands, unsigned mask);
void meet(unsigned mask, const char *what, Compute *compute, void *operand, const char *file,
          int line);
extern const char SYNCWARP[];

void sync_warp(unsigned mask, const char *file, int line);
unsigned ballot(unsigned mask, bool predicate, const char *what, const char *file, int line);
uint64_t shuffle(unsigned mask, uint64_t value, int from, const char *what, const char *file,
                 int line);
enum Reduction { ADD, MIN_INT, MAX_INT, MIN_UNSIGNED, MAX_UNSIGNED, AND, OR, XOR };
unsigned reduce(unsigned mask, unsigned x, Reduction op, const char *what, const char *file,
                int line);

int lane();           /* Returns the running thread's lane. */
unsigned live_mask(); /* Returns the lanes of its warp that have not ended. */

/* Sometimes lets other threads run before this one goes on. */
void maybe_yield();
/* Lets other threads run, for `counter` does not yet have the value that this thread waits for. */
void loop_yield(const unsigned *counter, const char *file, int line);
/* Waits until *counter - target >= 0. */
void wait_until(const unsigned *counter, unsigned target, const char *file, int line);
void fence();

inline void check_aligned(const void *address, size_t to, const char *what, const char *file,
                          int line) {
    if ((uintptr_t)address % to)
        fault("%s at %s:%d: %p is not aligned to %zu bytes", what, file, line, address, to);
}

/* Shuffles any type that a shuffle carries, as 64 bits. */
template <class T>
T shuffle_any(unsigned mask, T x, int from, const char *what, const char *file, int line) {
    static_assert(std::is_arithmetic<T>::value && (sizeof(T) == 4 || sizeof(T) == 8),
                  "a shuffle carries numbers of 32 or 64 bits");
    uint64_t bits = 0;
    memcpy(&bits, &x, sizeof x);
    bits = shuffle(mask, bits, from, what, file, line);
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The type of a parameter that follows another's. */
template <class T> struct Same { typedef T type; };

} // namespace emu

/* --- of the block ----------------------------------------------------------------------------- */

inline void __syncthreads(CALLER) {
    emu::block_barrier(false, "__syncthreads", file, line);
}
inline int __syncthreads_count(int p, CALLER) {
    return emu::block_barrier(p != 0, "__syncthreads_count", file, line);
}
inline int __syncthreads_or(int p, CALLER) {
    return emu::block_barrier(p != 0, "__syncthreads_or", file, line) > 0;
}
inline int __syncthreads_and(int p, CALLER) {
    return emu::block_barrier(p == 0, "__syncthreads_and", file, line) == 0;
}

/* --- of the warp ------------------------------------------------------------------------------ */

inline void __syncwarp(unsigned mask = 0xffffffffu, CALLER) {
    emu::sync_warp(mask, file, line);
}
template <class T> T __shfl_sync(unsigned mask, T x, int from, int width = warpSize, CALLER) {
    const int base = emu::lane() & -width;
    return emu::shuffle_any(mask, x, base + (from & (width - 1)), "__shfl_sync", file, line);
}
template <class T> T __shfl_xor_sync(unsigned mask, T x, int with, int width = warpSize, CALLER) {
    const int own = emu::lane(), from = own ^ with;
    /* lanes of later groups of `width` are out of reach */
    return emu::shuffle_any(mask, x, from < (own & -width) + width ? from : own, "__shfl_xor_sync",
                            file, line);
}
template <class T> T __shfl_up_sync(unsigned mask, T x, unsigned by, int width = warpSize, CALLER) {
    const int own = emu::lane(), from = own - (int)by;
    return emu::shuffle_any(mask, x, from < (own & -width) ? own : from, "__shfl_up_sync", file,
                            line);
}
template <class T>
T __shfl_down_sync(unsigned mask, T x, unsigned by, int width = warpSize, CALLER) {
    const int own = emu::lane(), from = own + (int)by;
    return emu::shuffle_any(mask, x, from < (own & -width) + width ? from : own, "__shfl_down_sync",
                            file, line);
}
inline unsigned __ballot_sync(unsigned mask, int p, CALLER) {
    return emu::ballot(mask, p != 0, "__ballot_sync", file, line);
}
inline int __any_sync(unsigned mask, int p, CALLER) {
    return emu::ballot(mask, p != 0, "__any_sync", file, line) != 0;
}
inline int __all_sync(unsigned mask, int p, CALLER) {
    return emu::ballot(mask, p == 0, "__all_sync", file, line) == 0;
}
inline unsigned __activemask() {
    return emu::live_mask();
}
inline unsigned __reduce_add_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::ADD, "__reduce_add_sync", file, line);
}
inline int __reduce_add_sync(unsigned mask, int x, CALLER) {
    return (int)emu::reduce(mask, (unsigned)x, emu::ADD, "__reduce_add_sync", file, line);
}
inline unsigned __reduce_min_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::MIN_UNSIGNED, "__reduce_min_sync", file, line);
}
inline int __reduce_min_sync(unsigned mask, int x, CALLER) {
    return (int)emu::reduce(mask, (unsigned)x, emu::MIN_INT, "__reduce_min_sync", file, line);
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::MAX_UNSIGNED, "__reduce_max_sync", file, line);
}
inline int __reduce_max_sync(unsigned mask, int x, CALLER) {
    return (int)emu::reduce(mask, (unsigned)x, emu::MAX_INT, "__reduce_max_sync", file, line);
}
inline unsigned __reduce_and_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::AND, "__reduce_and_sync", file, line);
}
inline unsigned __reduce_or_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::OR, "__reduce_or_sync", file, line);
}
inline unsigned __reduce_xor_sync(unsigned mask, unsigned x, CALLER) {
    return emu::reduce(mask, x, emu::XOR, "__reduce_xor_sync", file, line);
}

/* --- atomics: relaxed, as in CUDA --------------------------------------------------------------- */

inline void __threadfence() {
    emu::fence();
}
inline void __threadfence_block() {
    emu::fence();
}
inline void __threadfence_system() {
    emu::fence();
}

namespace emu {

/* Fibers do not preempt, so the loop ends at once; ThreadSanitizer sees an atomic operation. */
template <class T, class Change> T atomic(T *p, const char *what, int line, Change change) {
    typedef typename std::conditional<sizeof(T) == 4, uint32_t, uint64_t>::type Bits;
    check_aligned(p, sizeof(T), what, "atomic", line);
    Bits before = __atomic_load_n((Bits *)p, __ATOMIC_RELAXED), after;
    T old, now;
    do {
        memcpy(&old, &before, sizeof old);
        now = change(old);
        memcpy(&after, &now, sizeof after);
    } while (!__atomic_compare_exchange_n((Bits *)p, &before, after, false, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    maybe_yield();
    return old;
}
template <class T> constexpr bool is_word() {
    return std::is_same<T, int>::value || std::is_same<T, unsigned>::value ||
           std::is_same<T, unsigned long long>::value;
}
template <class T> constexpr bool is_real() {
    return std::is_same<T, float>::value || std::is_same<T, double>::value;
}

} // namespace emu

#define ATOMIC(name, types, result)                                            \
    template <class T> T name(T *p, typename emu::Same<T>::type by, CALLER) {  \
        static_assert(types, #name ": CUDA has none of this type");            \
        (void)file;                                                            \
        return emu::atomic(p, #name, line, [by](T x) { return (T)(result); }); \
    }
ATOMIC(atomicAdd, emu::is_word<T>() || emu::is_real<T>(), x + by)
ATOMIC(atomicSub, emu::is_word<T>() && sizeof(T) == 4, x - by)
ATOMIC(atomicMin, emu::is_word<T>() || (std::is_same<T, long long>::value), by < x ? by : x)
ATOMIC(atomicMax, emu::is_word<T>() || (std::is_same<T, long long>::value), x < by ? by : x)
ATOMIC(atomicExch, emu::is_word<T>() || (std::is_same<T, float>::value), ((void)x, by))
ATOMIC(atomicAnd, emu::is_word<T>(), x &by)
ATOMIC(atomicOr, emu::is_word<T>(), x | by)
ATOMIC(atomicXor, emu::is_word<T>(), x ^ by)
#undef ATOMIC
template <class T>
T atomicCAS(T *p, typename emu::Same<T>::type expected, typename emu::Same<T>::type by, CALLER) {
    static_assert(emu::is_word<T>(), "atomicCAS: CUDA has none of this type");
    (void)file;
    return emu::atomic(p, "atomicCAS", line,
                       [expected, by](T x) { return x == expected ? by : x; });
}

#undef CALLER

#endif
