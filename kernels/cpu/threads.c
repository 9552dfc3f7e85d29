/* threads.c - the pool: helpers that look for open loops, spin shortly for the next, then sleep. */
#include "kernels/cpu/threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

#include "io/sizes.h"
#include "io/thread.h"

#if defined(__x86_64__) || defined(__i386__)
#define PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define PAUSE() __asm__ volatile("isb") /* as long as x86's pause; yield ends at once */
#else
#define PAUSE() ((void)0)
#endif

enum { LOOPS = 8, LINE = 64, PAUSES = 16 /* between two looks at the clock */ };
#define SPIN_SECONDS 20e-6 /* about as long as the wake-up that a spin has to save */

/* A thread's own part of a loop, on a cache line of its own. */
typedef struct {
    _Alignas(LINE) _Atomic int64_t next; /* the first pass that nobody has taken yet */
    int64_t end;
} Part;

/* A place for a loop. It outlives every loop, so that a helper which comes late finds it closed and
 * not gone. All atomics are sequentially consistent: `inside` and `open`, `inside` and `waiting`, and
 * `posted` and `asleep` of the pool are pairs of which each side writes one and then reads the
 * other. Each side writes by a read-modify-write: qemu-user 7.2 (aarch64 on x86) hung where one was a store,
 * as if the load behind it had been served first. */
typedef struct {
    _Alignas(LINE) atomic_bool taken, open, waiting;
    atomic_int inside; /* helpers that may be at work */
    LoopBody *body;
    const void *loop;
    int64_t run;
    int parts;
    Part *part; /* (count) */
} Loop;

struct Threads {
    int count, helpers; /* helpers: started, or 0 before the first loop */
    atomic_uint posted; /* how many loops there were so far */
    atomic_int asleep;
    atomic_bool closing;
    pthread_mutex_t mutex; /* serves sleeping alone; loops never take it */
    pthread_cond_t work,
        done; /* work: posted has changed; done: nobody is inside a loop that is waited for */
    pthread_mutex_t starting;
    atomic_bool started;
    pthread_t *helper;
    struct Helper *self;
    Part *parts; /* (LOOPS, count) */
    Loop loop[LOOPS];
};

typedef struct Helper {
    Threads *pool;
    int number;
} Helper;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- passes ----------------------------------------------------------------------------------- */

/* Takes runs of the thread's own part, then of the parts behind it, until none is left. */
static void run_parts(Loop *l, int thread) {
    for (int k = 0; k < l->parts; k++) {
        Part *part = &l->part[(thread + k) % l->parts];
        while (atomic_load_explicit(&part->next, memory_order_relaxed) < part->end) {
            const int64_t first =
                atomic_fetch_add_explicit(&part->next, l->run, memory_order_relaxed);
            if (first >= part->end) break;
            const int64_t end = least(first + l->run, part->end);
            l->body(l->loop, first, end, thread);
        }
    }
}

/* --- helpers ---------------------------------------------------------------------------------- */

static void leave(Threads *pool, Loop *l) {
    if (atomic_fetch_sub(&l->inside, 1) != 1 || !atomic_load(&l->waiting)) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->done);
    pthread_mutex_unlock(&pool->mutex);
}

static void help(Threads *pool, int thread) {
    for (int i = 0; i < LOOPS; i++) {
        Loop *l = &pool->loop[i];
        if (!atomic_load(&l->open)) continue;
        atomic_fetch_add(&l->inside, 1);
        if (atomic_load(&l->open)) run_parts(l, thread);
        leave(pool, l);
    }
}

/* Returns when `posted` is no longer `seen`. */
static void wait_for_work(Threads *pool, unsigned seen) {
    const double end = seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < PAUSES; i++) {
            if (atomic_load(&pool->posted) != seen) return;
            PAUSE();
        }
    } while (seconds() < end);
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->asleep, 1);
    while (atomic_load(&pool->posted) == seen) pthread_cond_wait(&pool->work, &pool->mutex);
    atomic_fetch_sub(&pool->asleep, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static void *helper_main(void *context) {
    const Helper *self = context;
    Threads *pool = self->pool;
    while (!atomic_load(&pool->closing)) {
        const unsigned seen = atomic_load(&pool->posted);
        help(pool, self->number);
        if (!atomic_load(&pool->closing)) wait_for_work(pool, seen);
    }
    return NULL;
}

static void start_helpers(Threads *pool) {
    pthread_mutex_lock(&pool->starting);
    while (!atomic_load(&pool->started) && pool->helpers < pool->count - 1) {
        Helper *self = &pool->self[pool->helpers];
        *self = (Helper){pool, pool->helpers + 1};
        if (start_thread(&pool->helper[pool->helpers], helper_main, self) != 0) break;
        pool->helpers++;
    }
    atomic_store(&pool->started, true);
    pthread_mutex_unlock(&pool->starting);
}

/* --- loops ------------------------------------------------------------------------------------ */

static Loop *take_place(Threads *pool) {
    for (int i = 0; i < LOOPS; i++) {
        bool taken = false;
        if (atomic_compare_exchange_strong(&pool->loop[i].taken, &taken, true))
            return &pool->loop[i];
    }
    return NULL;
}

static void post(Threads *pool, Loop *l) {
    atomic_store(&l->open, true);
    atomic_fetch_add(&pool->posted, 1);
    if (atomic_load(&pool->asleep) == 0) return;
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
}

/* Closes the loop to helpers. Returns when the last one is out. */
static void finish(Threads *pool, Loop *l) {
    atomic_exchange(&l->open, false);
    if (atomic_load(&l->inside) == 0) return;
    const double end = seconds() + SPIN_SECONDS;
    do {
        for (int i = 0; i < PAUSES; i++) {
            if (atomic_load(&l->inside) == 0) return;
            PAUSE();
        }
    } while (seconds() < end);
    pthread_mutex_lock(&pool->mutex);
    atomic_exchange(&l->waiting, true);
    while (atomic_load(&l->inside) > 0) pthread_cond_wait(&pool->done, &pool->mutex);
    atomic_store(&l->waiting, false);
    pthread_mutex_unlock(&pool->mutex);
}

void threads_loop(Threads *pool, int64_t passes, int64_t run, LoopBody *body, const void *loop) {
    const int64_t runs = passes / run + (passes % run != 0);
    Loop *l = runs > 1 && pool->count > 1 ? take_place(pool) : NULL;
    if (!l) { /* run by run, as in a pool: where a body treats a run's end otherwise, bits are the same */
        for (int64_t first = 0; first < passes; first += run)
            body(loop, first, least(passes, first + run), 0);
        return;
    }
    if (!atomic_load(&pool->started)) start_helpers(pool);
    l->body = body;
    l->loop = loop;
    l->run = run;
    l->parts = runs < pool->count ? (int)runs : pool->count;
    for (int i = 0; i < l->parts; i++) {
        const int64_t end = runs * (i + 1) / l->parts * run;
        l->part[i].end = least(end, passes);
        atomic_store_explicit(&l->part[i].next, runs * i / l->parts * run, memory_order_relaxed);
    }
    post(pool, l);
    run_parts(l, 0);
    finish(pool, l);
    atomic_store(&l->taken, false);
}

/* --- pools ------------------------------------------------------------------------------------ */

Status threads_open(Threads **out, int count, Error *err) {
    Threads *pool = *out = aligned_alloc(LINE, (size_t)round_up(sizeof *pool, LINE));
    if (!pool) return fail(err, ERR_MEMORY, "threads: out of memory");
    *pool = (Threads){.count = count};
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_mutex_init(&pool->starting, NULL);
    pthread_cond_init(&pool->work, NULL);
    pthread_cond_init(&pool->done, NULL);
    pool->parts = aligned_alloc(LINE, LOOPS * (size_t)count * sizeof *pool->parts);
    pool->helper = calloc((size_t)count, sizeof *pool->helper);
    pool->self = calloc((size_t)count, sizeof *pool->self);
    if (!pool->parts || !pool->helper || !pool->self) {
        threads_close(pool);
        *out = NULL;
        return fail(err, ERR_MEMORY, "threads: out of memory");
    }
    for (int i = 0; i < LOOPS; i++) pool->loop[i].part = pool->parts + i * count;
    return OK;
}

void threads_close(Threads *pool) {
    if (!pool) return;
    atomic_store(&pool->closing, true);
    atomic_fetch_add(&pool->posted, 1);
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (int i = 0; i < pool->helpers; i++) pthread_join(pool->helper[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_cond_destroy(&pool->done);
    pthread_mutex_destroy(&pool->mutex);
    pthread_mutex_destroy(&pool->starting);
    free(pool->parts);
    free(pool->helper);
    free(pool->self);
    free(pool);
}

int threads_count(const Threads *pool) {
    return pool->count;
}
