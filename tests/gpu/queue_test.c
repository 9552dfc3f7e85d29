/* queue_test.c - the CUDA backend as a device: opening, copies, marks, replay, features, profile,
 * training. Which program this is, tests-emu or tests-cuda, the output of `make test` says. */
#include "host/train/train.h"
#include "host/train/train_state.h"
#include "io/arrays/npy.h"
#include "tests/gpu/device_memory.h"
#include "tests/support/check.h"

#if defined(TEST_CUDA)

static void open_cuda(Ops *ops, Queue **q) {
    Error err;
    need_gpu();
    ASSERT_OK(ops_open(ops, "cuda", 0, NULL, &err), err);
    ASSERT_OK(ops->mem.queue_open(ops->device, q, &err), err);
}

static void close_cuda(Ops *ops, Queue *q) {
    ops->mem.queue_close(q);
    ops_close(ops);
}

/* --- opening ---------------------------------------------------------------------------------- */

Test(queue, is_had_by_name_or_refused, .timeout = 60) {
    Ops ops;
    Queue *q;
    Error err = {""};
    const char *why = NULL;
    open_cuda(&ops, &q);
    cr_expect(strncmp(ops.kind, "cuda", 4) == 0 && strncmp(ops.name, "cuda", 4) == 0, "%s",
              ops.name);
    cr_expect(ops.threads >= 1 && ops.f16_products && strcmp(ops.precision, "fp16") == 0);
    close_cuda(&ops, q);
    cr_expect(ops_open(&ops, "cuda:0", 0, NULL, &err) == OK, "%s", err.text);
    ops_close(&ops);
    cr_expect(ops_open(&ops, "cuda:900", 0, NULL, &err) == ERR_DEVICE);
    cr_expect(strstr(err.text, "cuda:900") && strstr(err.text, "numbered from 0"), "%s", err.text);
    cr_expect(ops_open(&ops, "cuda:x", 0, NULL, &err) == ERR_USAGE, "%s", err.text);
    /* `auto` takes a GPU, but not an emulated one */
    ASSERT_OK(ops_open(&ops, "auto", 0, &why, &err), err);
#if defined(TEST_EMULATED)
    cr_expect(strcmp(ops.kind, "cpu") == 0 && why && strstr(why, "emulated"), "%s", ops.kind);
#else
    cr_expect(strncmp(ops.kind, "cuda", 4) == 0 && !why, "%s", ops.kind);
#endif
    ops_close(&ops);
}

Test(queue, devices_are_listed, .timeout = 60) {
    CudaDevice devices[CUDA_MAX_DEVICES];
    char versions[128];
    Error err = {""};
    need_gpu();
    const int count = cuda_devices(devices, versions, &err);
    cr_expect(count >= 1 && devices[0].why[0] == '\0' && strstr(devices[0].name, "SMs"), "%s",
              err.text);
    cr_expect(strstr(versions, "runtime") != NULL, "%s", versions);
}

/* --- memory and copies ------------------------------------------------------------------------ */

/* From nothing to more than all slots of a queue carry at once. */
static const int64_t sizes[] = {
    0, 1, 63, (256 << 10) - 1, 256 << 10, (256 << 10) + 1, (40 << 20) + 13};
enum { SIZES = sizeof sizes / sizeof *sizes };

static void fill(uint8_t *x, int64_t n, int salt) {
    for (int64_t i = 0; i < n; i++) x[i] = (uint8_t)((i * 2654435761u >> 13) + salt);
}

Test(queue, memory_is_zeroed_and_copies_arrive, .timeout = 120) {
    Ops ops;
    Queue *q;
    Error err;
    Buffer a, b;
    open_cuda(&ops, &q);
    const DeviceOps *mem = &ops.mem;
    for (int i = 0; i < SIZES; i++) {
        const int64_t n = sizes[i];
        uint8_t *from = malloc((size_t)n + 1), *kept = malloc((size_t)n + 1),
                *to = malloc((size_t)n + 1);
        ASSERT_OK(mem->alloc(ops.device, &a, n, &err), err);
        ASSERT_OK(mem->alloc(ops.device, &b, n, &err), err);
        memset(to, 1, (size_t)n + 1);
        mem->to_host(q, to, a.data, n);
        ASSERT_OK(mem->wait(q, &err), err);
        int64_t bad = 0;
        for (int64_t j = 0; j < n; j++) bad += to[j] != 0;
        cr_expect(bad == 0 && to[n] == 1, "%lld bytes are not zeroed", (long long)n);

        fill(from, n, i);
        memcpy(kept, from, (size_t)n);
        mem->to_device(q, a.data, from, n);
        memset(from, 0xee, (size_t)n); /* it has been read */
        mem->copy(q, b.data, a.data, n);
        mem->zero(q, a.data, n);
        mem->to_host(q, to, b.data, n);
        ASSERT_OK(mem->wait(q, &err), err);
        cr_expect(memcmp(to, kept, (size_t)n) == 0 && to[n] == 1, "%lld bytes", (long long)n);
        mem->to_host(q, to, a.data, n);
        ASSERT_OK(mem->wait(q, &err), err);
        cr_expect(n == 0 || (to[0] == 0 && to[n - 1] == 0), "zero: %lld bytes", (long long)n);
        mem->free(ops.device, &a);
        mem->free(ops.device, &b);
        mem->free(ops.device, &b);
        free(from), free(kept), free(to);
    }
    close_cuda(&ops, q);
}

/* --- order: marks, failures, replay, branches ------------------------------------------------- */

Test(queue, a_mark_is_reached_with_what_came_before, .timeout = 60) {
    enum { MARKS = 200 }; /* more than a queue has slots */
    Ops ops;
    Queue *q;
    Error err;
    Buffer counter;
    int64_t mark[MARKS], seen[MARKS];
    open_cuda(&ops, &q);
    ASSERT_OK(ops.mem.alloc(ops.device, &counter, 8, &err), err);
    for (int i = 0; i < MARKS; i++) {
        seen[i] = -1;
        ops.mem.count(q, counter.data, 1);
        ops.mem.to_host(q, &seen[i], counter.data, 8);
        ASSERT_OK(ops.mem.mark(q, &mark[i]), err);
    }
    for (int i = 150; i < MARKS; i += 7) {
        ASSERT_OK(ops.mem.reach(q, mark[i], &err), err);
        cr_expect(seen[i] == i + 1 && ops.mem.reached(q, mark[i]), "mark %d", i);
    }
    ASSERT_OK(ops.mem.reach(q, mark[3], &err), err); /* long past */
    ASSERT_OK(ops.mem.wait(q, &err), err);
    cr_expect(seen[MARKS - 1] == MARKS);
    ops.mem.free(ops.device, &counter);
    close_cuda(&ops, q);
}

Test(queue, a_failed_queue_runs_nothing_until_asked, .timeout = 60) {
    Ops ops;
    Queue *q;
    Error err = {""};
    Buffer counter;
    int64_t seen = -1, mark;
    open_cuda(&ops, &q);
    ASSERT_OK(ops.mem.alloc(ops.device, &counter, 8, &err), err);
    cr_expect(ops.mem.count(q, NULL, 1) == ERR_ARG);
    cr_expect(ops.mem.count(q, counter.data, 1) == ERR_ARG);
    cr_expect(ops.mem.to_host(q, &seen, counter.data, 8) == ERR_ARG && seen == -1);
    cr_expect(ops.mem.mark(q, &mark) == ERR_ARG);
    cr_expect(ops.mem.reach(q, mark, &err) == ERR_ARG && strstr(err.text, "count"), "%s", err.text);
    cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "count"), "%s", err.text);
    ops.mem.to_host(q, &seen, counter.data, 8);
    ASSERT_OK(ops.mem.wait(q, &err), err);
    cr_expect(seen == 0);
    ops.mem.free(ops.device, &counter);
    close_cuda(&ops, q);
}

typedef struct {
    const DeviceOps *mem;
    Queue *q;
    int64_t *counters; /* on the device */
    int called;
} Counting;

/* counters[1] = counters[0] of before, on a branch, beside counters[0] += 3; counters[2] += 1 after
 * both. */
static Status count_beside(void *context) {
    Counting *c = context;
    c->called++;
    c->mem->copy(c->q, c->counters + 3, c->counters, 8);
    Queue *side = c->mem->branch(c->q);
    c->mem->copy(side, c->counters + 1, c->counters + 3, 8);
    c->mem->count(c->q, c->counters, 3);
    c->mem->join(c->q);
    return c->mem->count(c->q, c->counters + 2, 1);
}

Test(queue, an_iteration_is_recorded_once_and_replayed, .timeout = 60) {
    for (int replays = 0; replays < 2; replays++) {
        Ops ops;
        Queue *q;
        Error err;
        Buffer counters;
        Graph *graph = NULL;
        int64_t seen[4];
        setenv("TURTLE_REPLAY", replays ? "1" : "0", 1);
        open_cuda(&ops, &q);
        ASSERT_OK(ops.mem.alloc(ops.device, &counters, sizeof seen, &err), err);
        Counting c = {&ops.mem, q, counters.data, 0};
        for (int i = 0; i < 6; i++) {
            ASSERT_OK(ops.mem.replay(q, &graph, count_beside, &c), err);
            ops.mem.to_host(q, seen, counters.data, sizeof seen);
            ASSERT_OK(ops.mem.wait(q, &err), err);
            cr_expect(seen[0] == 3 * (i + 1) && seen[1] == 3 * i && seen[2] == i + 1,
                      "call %d: %lld %lld %lld", i, (long long)seen[0], (long long)seen[1],
                      (long long)seen[2]);
        }
#if !defined(CHECK_LAUNCHES)
        cr_expect(c.called == (replays ? 2 : 6), "called %d times", c.called);
#endif
        ops.mem.graph_free(graph);
        ops.mem.free(ops.device, &counters);
        close_cuda(&ops, q);
    }
}

static Status refused(void *context) {
    Counting *c = context;
    return ++c->called == 1 ? OK : c->mem->count(c->q, NULL, 1);
}

Test(queue, what_fails_while_recorded_is_reported, .timeout = 60) {
    Ops ops;
    Queue *q;
    Error err = {""};
    Graph *graph = NULL;
    open_cuda(&ops, &q);
    Counting c = {&ops.mem, q, NULL, 0};
    ASSERT_OK(ops.mem.replay(q, &graph, refused, &c), err);
    cr_expect(ops.mem.replay(q, &graph, refused, &c) == ERR_ARG);
    cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "count"), "%s", err.text);
    ops.mem.graph_free(graph);
    close_cuda(&ops, q);
}

/* --- features and training -------------------------------------------------------------------- */

enum { N = 300, B = 64, C = 5, SPACES = 2, T = 7 };
static const int64_t dims[SPACES] = {9, 17};

/* Two clusterable spaces. */
static void make_features(Features f[SPACES], float *memory[SPACES]) {
    for (int k = 0; k < SPACES; k++) {
        memory[k] = malloc((size_t)(N * dims[k]) * sizeof(float));
        for (int64_t i = 0; i < N * dims[k]; i++)
            memory[k][i] = (float)((i * 2654435761u >> 8 & 0xffff) / 65536.0 - 0.5) +
                           (float)(i / dims[k] % C == i % dims[k] % C);
        f[k] = (Features){memory[k], N, dims[k], DTYPE_F32, false};
    }
}

Test(queue, features_are_gathered_from_wherever_they_lie, .timeout = 60) {
    static const int64_t rows[] = {299, 0, 7, 150};
    Features host[SPACES];
    float *memory[SPACES];
    make_features(host, memory);
    for (int remote = 0; remote < 2; remote++) {
        Ops ops;
        Queue *q;
        Error err;
        Features f;
        Buffer rows_dev, Z_dev;
        MemoryUse use;
        float Z[4 * 9];
        setenv("TURTLE_RESIDENT", remote ? "0" : "1", 1);
        open_cuda(&ops, &q);
        ASSERT_OK(ops.mem.features_open(ops.device, &f, &host[0], &err), err);
        cr_expect(ops.mem.features_remote(ops.device, &f) == remote);
        ops.mem.memory(ops.device, &use);
        cr_expect((remote ? use.remote : use.resident) == N * 9 * 4);
        cr_expect((remote ? use.resident : use.remote) == 0);
        ASSERT_OK(ops.mem.alloc(ops.device, &rows_dev, sizeof rows, &err), err);
        ASSERT_OK(ops.mem.alloc(ops.device, &Z_dev, sizeof Z, &err), err);
        ops.mem.to_device(q, rows_dev.data, rows, sizeof rows);
        const Batch batch = batch_f32(Z_dev.data, 9);
        ops.matrix.gather(q, &batch, &f, rows_dev.data, 4);
        ops.mem.to_host(q, Z, Z_dev.data, sizeof Z);
        ASSERT_OK(ops.mem.wait(q, &err), err);
        for (int b = 0; b < 4; b++)
            cr_expect(!memcmp(Z + b * 9, memory[0] + rows[b] * 9, 9 * 4), "row %d", b);
        ops.mem.features_close(ops.device, &f);
        ops.mem.memory(ops.device, &use);
        cr_expect(use.remote == 0 && use.resident == 0);
        ops.mem.free(ops.device, &rows_dev);
        ops.mem.free(ops.device, &Z_dev);
        close_cuda(&ops, q);
    }
    for (int k = 0; k < SPACES; k++) free(memory[k]);
}

/* T iterations; what is left of them. `broken` > 0: saved after so many, and continued by another. */
static void train(float *out, double *loss, bool torch, bool warm, int broken) {
    Ops ops;
    Queue *q;
    Error err;
    Train r;
    TrainLosses losses;
    Features f[SPACES];
    float *memory[SPACES];
    char *folder = temporary_folder(), *saved = format_text("%s/state.pt", folder);
    make_features(f, memory);
    open_cuda(&ops, &q);
    TrainConfig config = {.K = SPACES,
                          .features = {&f[0], &f[1]},
                          .C = C,
                          .B = B,
                          .M = 3,
                          .operands = DTYPE_F32,
                          .gamma = 10.0,
                          .inner_lr = 0.01,
                          .outer_lr = 0.01,
                          .warm_start = warm,
                          .torch_rng = torch,
                          .seed = 5};
    ASSERT_OK(train_open(&r, &ops, &config, &err), err);
    for (int t = 0; t < T; t++) {
        if (broken && t == broken) {
            ASSERT_OK(train_save(&r, saved, "", &err), err);
            train_close(&r);
            config.seed = 6; /* all comes from the file */
            ASSERT_OK(train_open(&r, &ops, &config, &err), err);
            r.config.seed = 5; /* but philox's key */
            ASSERT_OK(train_restore(&r, saved, "", &err), err);
        }
        ASSERT_OK(train_iteration(&r, &err), err);
    }
    ASSERT_OK(train_losses(&r, &losses, &err), err);
    *loss = losses.loss;
    float *linear[SPACES] = {out, out + linear_size(C, dims[0])};
    ASSERT_OK(train_read_task(&r, linear, &err), err);
    train_close(&r);
    close_cuda(&ops, q);
    for (int k = 0; k < SPACES; k++) free(memory[k]);
    free(saved);
    remove_folder(folder);
}

/* Resident or over the bus, replayed or not, broken or whole: the same bits. */
Test(queue, training_does_not_depend_on_where_and_how, .timeout = 600) {
    enum { FLOATS = C * 9 + C + C * 17 + C };
    for (int variant = 0; variant < 4; variant++) {
        const bool torch = variant & 1, warm = variant & 2;
        float whole[FLOATS], other[FLOATS];
        double loss, other_loss;
        unsetenv("TURTLE_RESIDENT"), unsetenv("TURTLE_REPLAY");
        train(whole, &loss, torch, warm, 0);
        cr_expect(isfinite(loss) && loss > 0.0);
        for (int how = 1; how < 8; how++) {
            setenv("TURTLE_RESIDENT", how & 1 ? "0" : "1", 1);
            setenv("TURTLE_REPLAY", how & 2 ? "0" : "1", 1);
            train(other, &other_loss, torch, warm, how & 4 ? 4 : 0);
            cr_expect(!memcmp(whole, other, sizeof whole) && loss == other_loss,
                      "rng %s, %s start: %s, %s, %s: loss %.9g, not %.9g",
                      torch ? "torch" : "philox", warm ? "warm" : "cold",
                      how & 1 ? "remote" : "resident", how & 2 ? "not replayed" : "replayed",
                      how & 4 ? "continued" : "whole", other_loss, loss);
        }
    }
}

/* --- profile ---------------------------------------------------------------------------------- */

Test(queue, the_profile_counts_every_launch, .timeout = 120) {
    enum { CALLS = 2500 }; /* more than are read at a time */
    Ops ops;
    Queue *q;
    Error err;
    Buffer counter;
    Graph *graph = NULL;
    ProfileRow rows[8];
    open_cuda(&ops, &q);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    ASSERT_OK(ops.mem.alloc(ops.device, &counter, 4 * 8, &err), err);
    Counting c = {&ops.mem, q, counter.data, 0};
    for (int i = 0; i < CALLS; i++) ops.mem.count(q, counter.data, 1);
    for (int i = 0; i < 4; i++) ASSERT_OK(ops.mem.replay(q, &graph, count_beside, &c), err);
    cr_expect(c.called == 4, "nothing is replayed");
    cr_expect(ops.mem.profile_rows(ops.device, rows, 8) == 1);
    cr_expect(strcmp(rows[0].kernel, "count_kernel") == 0 && rows[0].calls == CALLS + 8, "%s %lld",
              rows[0].kernel, (long long)rows[0].calls);
    cr_expect(rows[0].total_ms >= 0.0 && rows[0].median_us >= 0.0);
    ops.mem.graph_free(graph);
    ops.mem.free(ops.device, &counter);
    close_cuda(&ops, q);
}

/* --- whole runs ------------------------------------------------------------------------------- */

typedef struct {
    volatile sig_atomic_t stop;
    int64_t at;
    char notices[4096];
} Hooked;

static int stop_at(void *context, const TurtleProgress *p) {
    Hooked *h = context;
    if (p->iteration == h->at) h->stop = 1;
    return 0;
}

static void keep_notice(void *context, const char *line) {
    Hooked *h = context;
    const size_t used = strlen(h->notices);
    snprintf(h->notices + used, sizeof h->notices - used, "%s\n", line);
}

static Status run_into(const char *folder, const char *path, Hooked *h, bool resume, Error *err) {
    TurtleTrainOptions o;
    TurtleResult result;
    turtle_train_defaults(&o);
    o.inputs.features = (TurtleTexts){&path, 1};
    o.inputs.classes = C;
    o.T = 40;
    o.M = 2;
    o.batch_size = B;
    o.eval_every = 1; /* more evaluations than are on their way at once */
    o.out = folder;
    o.resume = resume;
    o.common.device = "cuda";
    o.common.precision = "fp32";
    o.common.hooks =
        (TurtleHooks){.progress = stop_at, .notice = keep_notice, .context = h, .stop = &h->stop};
    const Status st = turtle_train(&o, &result, err);
    if (st == OK) cr_expect(strncmp(result.device, "cuda", 4) == 0, "%s", result.device);
    turtle_result_free(&result);
    return st;
}

static char *log_of(const char *folder) {
    char *path = format_text("%s/log.jsonl", folder), *text = calloc(1, 1 << 16);
    FILE *f = fopen(path, "r");
    cr_assert(f != NULL);
    size_t n = 0;
    char line[512];
    while (fgets(line, sizeof line, f)) { /* without its time */
        char *seconds = strstr(line, ", \"seconds\"");
        if (seconds) *seconds = '\0';
        n += (size_t)snprintf(text + n, (1 << 16) - n, "%s\n", line);
    }
    fclose(f);
    free(path);
    return text;
}

Test(queue, a_run_is_logged_in_order_and_resumed, .timeout = 600) {
    Features f[SPACES];
    float *memory[SPACES];
    Error err;
    char *folder = temporary_folder(), *path = format_text("%s/z.npy", folder);
    char *whole = format_text("%s/whole", folder), *broken = format_text("%s/broken", folder);
    need_gpu();
    make_features(f, memory);
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){N, 17}, memory[1], &err), err);
    Hooked h = {.at = -1}, first = {.at = 13}, second = {.at = -1};
    setenv("TURTLE_RESIDENT", "1", 1);
    ASSERT_OK(run_into(whole, path, &h, false, &err), err);
    cr_expect(strstr(h.notices, "memory: ") && strstr(h.notices, "resident"), "%s", h.notices);
    setenv("TURTLE_RESIDENT", "0", 1);
    cr_expect(run_into(broken, path, &first, false, &err) == ERR_STOPPED);
    ASSERT_OK(run_into(broken, path, &second, true, &err), err);
    cr_expect(strstr(second.notices, "pinned host memory"), "%s", second.notices);
    char *a = log_of(whole), *b = log_of(broken);
    cr_expect_str_eq(a, b);
    const char *line = a;
    for (int t = 1; t <= 40; t++) {
        char start[40];
        snprintf(start, sizeof start, "{\"iteration\": %d, ", t);
        cr_expect(line && strncmp(line, start, strlen(start)) == 0, "line %d", t);
        line = line && strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL;
    }
    free(a), free(b), free(path), free(whole), free(broken);
    for (int k = 0; k < SPACES; k++) free(memory[k]);
    remove_folder(folder);
}

#if defined(TEST_EMULATED)
/* Not by the environment: on a device of 2 MB features of 3.84 MB do not fit, and all else does. */
Test(queue, features_that_do_not_fit_stay_beside_the_device, .timeout = 120) {
    enum { ROWS = 40000, D = 24 };
    Error err;
    char *folder = temporary_folder(), *path = format_text("%s/z.npy", folder);
    char *here = format_text("%s/here", folder), *there = format_text("%s/there", folder);
    float *z = malloc(ROWS * D * sizeof *z);
    for (int64_t i = 0; i < ROWS * D; i++) z[i] = (float)(i * 2654435761u >> 8 & 0xffff) / 65536.0f;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){ROWS, D}, z, &err), err);
    Hooked first = {.at = 5}, second = {.at = 5};
    cr_expect(run_into(here, path, &first, false, &err) == ERR_STOPPED, "%s", err.text);
    cr_expect(!strstr(first.notices, "pinned"), "%s", first.notices);
    setenv("EMU_MEMORY", "2000000", 1);
    cr_expect(run_into(there, path, &second, false, &err) == ERR_STOPPED, "%s", err.text);
    cr_expect(strstr(second.notices, "features of 3.84 MB stay in pinned host memory"), "%s",
              second.notices);
    char *a = log_of(here), *b = log_of(there);
    cr_expect_str_eq(a, b);
    free(a), free(b), free(z), free(path), free(here), free(there);
    remove_folder(folder);
}

/* Launches on a device so far, and from how many host threads (kernels/emu/device.cpp). */
int64_t emu_launches(int device, int *host_threads);

/* Six trainings on `device`, two at a time: losses by seed. */
static void sweep_on(const char *device, const char *folder, const char *path, double loss[6]) {
    TurtleSweepOptions o;
    TurtleSweepResult r;
    Error err;
    const char *seeds = "1..6";
    turtle_sweep_defaults(&o);
    o.inputs.features = (TurtleTexts){&path, 1};
    o.inputs.classes = C;
    o.seeds = (TurtleTexts){&seeds, 1};
    o.T = 5;
    o.M = 2;
    o.batch_size = B;
    o.jobs = 2;
    o.no_score = true;
    o.out = folder;
    o.common.device = device;
    o.common.precision = "fp32";
    ASSERT_OK(turtle_sweep(&o, &r, &err), err);
    cr_assert(r.runs == 6);
    for (int64_t i = 0; i < r.runs; i++) loss[r.run[i].seed - 1] = r.run[i].loss;
    turtle_sweep_result_free(&r);
}

/* CUDA's current device belongs to a host thread: a worker that does not choose its device would
 * launch on device 0. */
Test(queue, workers_of_a_sweep_train_on_the_device_that_was_asked_for, .timeout = 120) {
    Features f[SPACES];
    float *memory[SPACES];
    Error err;
    double first[6], second[6];
    int threads = 0;
    char *folder = temporary_folder(), *path = format_text("%s/z.npy", folder);
    char *one = format_text("%s/one", folder), *two = format_text("%s/two", folder);
    make_features(f, memory);
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){N, 17}, memory[1], &err), err);
    setenv("EMU_DEVICES", "2", 1);
    sweep_on("cuda:1", two, path, second);
    cr_expect(emu_launches(1, &threads) > 0 && threads == 2, "%d host threads on cuda:1", threads);
    cr_expect(emu_launches(0, &threads) == 0, "%d host threads on cuda:0", threads);
    sweep_on("cuda:0", one, path, first);
    cr_expect(emu_launches(0, &threads) > 0 && threads == 2, "%d host threads on cuda:0", threads);
    for (int i = 0; i < 6; i++)
        cr_expect(first[i] == second[i] && isfinite(first[i]), "seed %d: %.9g and %.9g", i + 1,
                  first[i], second[i]);
    for (int k = 0; k < SPACES; k++) free(memory[k]);
    free(path), free(one), free(two);
    remove_folder(folder);
}
#endif

#endif
