/* threads_test.c - the pool runs every pass once, for several callers and loops inside loops; quotas of control
 * groups are read; a busy neighbour does not cost more than its share. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/turtle.h"
#include "io/arrays/npy.h"
#include "kernels/cpu/cores.h"
#include "kernels/cpu/threads.h"
#include "tests/support/check.h"

/* --- loops ------------------------------------------------------------------------------------ */

typedef struct {
    atomic_int *seen; /* (passes) */
    atomic_int *busy; /* (count) how often each thread's number is inside, which may not be twice */
    atomic_int runs, faults;
    int64_t run, passes;
    int count;
} Passes;

static void count_passes(const void *loop, int64_t first, int64_t end, int thread) {
    Passes *p = (Passes *)(uintptr_t)loop;
    if (thread < 0 || thread >= p->count || atomic_fetch_add(&p->busy[thread], 1) != 0)
        atomic_fetch_add(&p->faults, 1);
    /* a run begins at a multiple of its length and ends there, or with the loop */
    if (first % p->run || (end - first != p->run && end != p->passes) || first >= end)
        atomic_fetch_add(&p->faults, 1);
    for (int64_t i = first; i < end; i++) atomic_fetch_add(&p->seen[i], 1);
    atomic_fetch_add(&p->runs, 1);
    atomic_fetch_sub(&p->busy[thread], 1);
}

/* Returns how many passes did not run exactly once, plus the faults that count_passes found. */
static int64_t faults_of(Threads *pool, int64_t passes, int64_t run) {
    Passes p = {.seen = calloc((size_t)passes + 1, sizeof(atomic_int)),
                .busy = calloc((size_t)threads_count(pool), sizeof(atomic_int)),
                .run = run,
                .passes = passes,
                .count = threads_count(pool)};
    threads_loop(pool, passes, run, count_passes, &p);
    int64_t faults = atomic_load(&p.faults) + (atomic_load(&p.runs) != (passes + run - 1) / run);
    for (int64_t i = 0; i < passes; i++) faults += atomic_load(&p.seen[i]) != 1;
    faults += atomic_load(&p.seen[passes]) != 0;
    free(p.seen);
    free(p.busy);
    return faults;
}

Test(threads, every_pass_runs_once_whatever_the_cut) {
    static const int counts[] = {1, 2, 3, 7, 32};
    static const int64_t passes[] = {0, 1, 2, 31, 32, 1000, 4097}, runs[] = {1, 3, 32, 5000};
    for (size_t c = 0; c < sizeof counts / sizeof *counts; c++) {
        Threads *pool;
        Error err;
        ASSERT_OK(threads_open(&pool, counts[c], &err), err);
        cr_assert(threads_count(pool) == counts[c]);
        for (int again = 0; again < 20; again++)
            for (size_t p = 0; p < sizeof passes / sizeof *passes; p++)
                for (size_t r = 0; r < sizeof runs / sizeof *runs; r++)
                    cr_assert(faults_of(pool, passes[p], runs[r]) == 0,
                              "%d threads, %d in runs of %d", counts[c], (int)passes[p],
                              (int)runs[r]);
        threads_close(pool);
    }
    threads_close(NULL);
}

typedef struct {
    Threads *pool;
    atomic_llong faults;
} Callers;

static void *call_often(void *context) {
    Callers *c = context;
    for (int i = 0; i < 300; i++)
        atomic_fetch_add(&c->faults, faults_of(c->pool, 50 + i, 1 + i % 5));
    return NULL;
}

Test(threads, serves_more_callers_than_it_has_places) {
    enum { CALLERS = 11 };
    Callers c = {0};
    Error err;
    pthread_t thread[CALLERS];
    ASSERT_OK(threads_open(&c.pool, 3, &err), err);
    for (int i = 0; i < CALLERS; i++)
        cr_assert(pthread_create(&thread[i], NULL, call_often, &c) == 0);
    for (int i = 0; i < CALLERS; i++) pthread_join(thread[i], NULL);
    threads_close(c.pool);
    cr_expect(atomic_load(&c.faults) == 0, "%lld faults", (long long)atomic_load(&c.faults));
}

static void loop_inside(const void *loop, int64_t first, int64_t end, int thread) {
    Callers *c = (Callers *)(uintptr_t)loop;
    (void)thread;
    for (int64_t i = first; i < end; i++) atomic_fetch_add(&c->faults, faults_of(c->pool, 40, 1));
}

Test(threads, a_loop_may_stand_inside_a_loop) {
    Callers c = {0};
    Error err;
    ASSERT_OK(threads_open(&c.pool, 4, &err), err);
    for (int i = 0; i < 20; i++) threads_loop(c.pool, 30, 1, loop_inside, &c);
    threads_close(c.pool);
    cr_expect(atomic_load(&c.faults) == 0, "%lld faults", (long long)atomic_load(&c.faults));
}

/* A loop reads, on any thread, data that one thread of the last loop wrote. There are no atomics, so that
 * ThreadSanitizer would see a missing order. */
typedef struct {
    int64_t *from, *to;
    int64_t n;
} Shift;

static void shift(const void *loop, int64_t first, int64_t end, int thread) {
    const Shift *s = loop;
    (void)thread;
    for (int64_t i = first; i < end; i++) s->to[i] = s->from[(i + 1) % s->n] + 1;
}

Test(threads, a_loop_sees_what_the_last_one_wrote) {
    enum { N = 1000, LOOPS = 2000 };
    static int64_t a[N], b[N];
    Threads *pool;
    Error err;
    ASSERT_OK(threads_open(&pool, 3, &err), err);
    for (int i = 0; i < LOOPS; i++)
        threads_loop(pool, N, 7, shift, &(Shift){i % 2 ? b : a, i % 2 ? a : b, N});
    threads_close(pool);
    for (int i = 0; i < N; i++) cr_assert(a[i] == LOOPS, "%d: %d", i, (int)a[i]);
}

/* --- trainings -------------------------------------------------------------------------------- */

typedef struct {
    const char *features;
    char *out;
    uint64_t seed;
    int threads;
    double loss;
    Status status;
    Error error;
} Training;

static void *train_once(void *context) {
    Training *t = context;
    TurtleTrainOptions o;
    TurtleResult result;
    turtle_train_defaults(&o);
    o.inputs.features = (TurtleTexts){&t->features, 1};
    o.inputs.classes = 3;
    o.T = 40;
    o.batch_size = 2000;
    o.out = t->out;
    o.common.device = "cpu";
    o.common.threads = t->threads;
    o.common.seed = t->seed;
    t->status = turtle_train(&o, &result, &t->error);
    if (t->status == OK) t->loss = result.loss;
    if (t->status == OK) turtle_result_free(&result);
    return NULL;
}

/* Each training has a pool of its own; the losses equal those of trainings one after the other. */
Test(threads, two_trainings_at_once_in_one_process, .timeout = 60) {
    enum { N = 2000, D = 24 };
    static float z[N * D];
    char *folder = temporary_folder(), *features = format_text("%s/z.npy", folder);
    Training t[4];
    pthread_t thread[2];
    Error err;
    for (int i = 0; i < N * D; i++)
        z[i] = (float)(i * 2654435761u >> 8 & 0xffff) / 65536.0f + (float)(i / D % 3);
    ASSERT_OK(npy_write(features, DTYPE_F32, 2, (const int64_t[]){N, D}, z, &err), err);
    for (int i = 0; i < 4; i++)
        t[i] = (Training){.features = features,
                          .out = format_text("%s/%d", folder, i),
                          .seed = 7 + (uint64_t)i % 2,
                          .threads = i < 2 ? 3 : 1};
    for (int i = 0; i < 2; i++) cr_assert(pthread_create(&thread[i], NULL, train_once, &t[i]) == 0);
    for (int i = 0; i < 2; i++) pthread_join(thread[i], NULL);
    for (int i = 2; i < 4; i++) train_once(&t[i]);
    for (int i = 0; i < 4; i++) ASSERT_OK(t[i].status, t[i].error);
    cr_expect(t[0].loss == t[2].loss && t[1].loss == t[3].loss && t[0].loss != t[1].loss,
              "%.9g %.9g at once, %.9g %.9g in turn", t[0].loss, t[1].loss, t[2].loss, t[3].loss);
    for (int i = 0; i < 4; i++) free(t[i].out);
    free(features);
    remove_folder(folder);
}

/* --- cores ------------------------------------------------------------------------------------ */

static void put(const char *folder, const char *name, const char *text) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *file = fopen(path, "w");
    cr_assert(file && fputs(text, file) >= 0 && fclose(file) == 0, "%s", path);
}

/* Returns cores_of_quota of a folder in which the files of `tree` (name, text, name, text, ..., NULL) lie beside
 * the membership file "cgroup". */
static int quota_of(const char *const *tree) {
    char *folder = temporary_folder();
    char membership[512];
    snprintf(membership, sizeof membership, "%s/cgroup", folder);
    for (int i = 0; tree[i]; i += 2) put(folder, tree[i], tree[i + 1]);
    const int cores = cores_of_quota(membership, folder);
    remove_folder(folder);
    return cores;
}

Test(threads, quotas_of_control_groups_are_respected) {
    static const struct {
        int cores;
        const char *tree[12];
    } cases[] = {
        {2,
         {"cgroup", "0::/a/b\n", "a/b/cpu.max", "150000 100000\n", "cpu.max", "max 100000\n",
          NULL}},
        {1,
         {"cgroup", "0::/a/b\n", "a/b/cpu.max", "max 100000\n", "a/cpu.max", "50000 100000\n",
          NULL}},
        {3, {"cgroup", "0::/not/there\n", "cpu.max", "300000 100000\n", NULL}},
        {4, {"cgroup", "0::/\n", "cpu.max", "400000 100000\n", NULL}},
        {0, {"cgroup", "0::/a\n", "a/cpu.max", "max 100000\n", NULL}},
        {0, {"cgroup", "", NULL}},
        {0, {"nothing", "", NULL}},
        {0, {"cgroup", "0::/a\nno colon\n::\n", "a/cpu.max", "nonsense\n", NULL}},
        {0, {"cgroup", "0::/\n", "cpu.max", "100000 0\n", NULL}},
        {2,
         {"cgroup", "5:memory:/x\n4:cpu,cpuacct:/docker/7\n", "cpu/docker/7/cpu.cfs_quota_us",
          "200000\n", "cpu/docker/7/cpu.cfs_period_us", "100000\n", NULL}},
        {0,
         {"cgroup", "4:cpu,cpuacct:/docker/7\n", "cpu/cpu.cfs_quota_us", "-1\n",
          "cpu/cpu.cfs_period_us", "100000\n", NULL}},
        {5,
         {"cgroup", "3:cpuacct,cpu:/gone\n", "cpu/cpu.cfs_quota_us", "450000\n",
          "cpu/cpu.cfs_period_us", "100000\n", NULL}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        cr_expect(quota_of(cases[i].tree) == cases[i].cores, "case %d: %d, expected %d", (int)i,
                  quota_of(cases[i].tree), cases[i].cores);
}

Test(threads, an_affinity_mask_is_respected) {
    cpu_set_t all, one;
    cr_assert(sched_getaffinity(0, sizeof all, &all) == 0);
    cr_expect(cpu_cores() >= 1 && cpu_cores() <= CPU_COUNT(&all));
    CPU_ZERO(&one);
    for (int i = 0; i < CPU_SETSIZE && CPU_COUNT(&one) == 0; i++)
        if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
    cr_assert(sched_setaffinity(0, sizeof one, &one) == 0);
    cr_expect(cpu_cores() == 1, "%d", cpu_cores());
    sched_setaffinity(0, sizeof all, &all);
}

Test(threads, plain_instruction_sets_alone_turn_avx2_off_elsewhere) {
    static const char *const on[] = {NULL,   "",       "amx",       "amx-emulated",
                                     "avx2", "avx512", "avx512vnni"};
    unsetenv("TURTLE_ISA");
    const bool here = cpu_uses_avx2();
    for (size_t i = 0; i < sizeof on / sizeof *on; i++) {
        if (on[i]) setenv("TURTLE_ISA", on[i], 1);
        cr_expect(cpu_uses_avx2() == here, "TURTLE_ISA=%s", on[i] ? on[i] : "(not set)");
    }
#if defined(__x86_64__)
    cr_expect(here == (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")));
#endif
    setenv("TURTLE_ISA", "portable", 1);
    cr_expect(!cpu_uses_avx2());
    setenv("TURTLE_ISA", "reference", 1);
    cr_expect(!cpu_uses_avx2());
}
