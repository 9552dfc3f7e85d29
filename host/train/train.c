/* train.c - TURTLE's training loop.
 *
 * Gadetsky, Jiang, Brbic: Let Go of Your Labels with Unsupervised Transfer, ICML 2024, section 3.
 * K representation spaces, a weight-normalised linear task encoder theta_k and a plain linear head
 * W_k in each. Start reading at outer_iteration: everything before it is memory. */
#include "host/train/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- memory ----------------------------------------------------------------------------------- */

/* Hands out 64-byte-aligned pieces of one allocation; with base NULL it only counts. */
typedef struct {
    char *base;
    int64_t used;
} Arena;

static void *take(Arena *a, int64_t count, int64_t size) {
    void *piece = a->base ? a->base + a->used : NULL;
    a->used += (count * size + 63) / 64 * 64;
    return piece;
}

static float *take_f32(Arena *a, int64_t count) {
    return take(a, count, sizeof(float));
}

/* How a batch of these features is kept. In fp32 too float16 is kept as it is in the file where it
 * is widened to be multiplied: its products are the same bits. */
static Batch batch_of(int k, const TrainConfig *c, const Ops *ops) {
    const Features *f = c->features[k];
    const bool as_it_is = c->operands == DTYPE_F32 && f->type == DTYPE_F16 && !f->swapped;
    const DType type = as_it_is && !ops->f16_products ? DTYPE_F16 : c->operands;
    return (Batch){.type = type,
                   .d = f->d,
                   .row = batch_row(type, f->d),
                   .tf32 = c->tf32 && type == DTYPE_F32,
                   .exponent = ops->f16_products && type == DTYPE_F16 ? c->exponent[k] : 0};
}

static int64_t batch_bytes(const Batch *Z, int64_t B) {
    return B * Z->row * dtype_bytes(Z->type);
}

static void lay_out(Train *r, Arena *a) {
    const TrainConfig *c = &r->config;
    const int64_t K = c->K, B = c->B, C = c->C;
    int64_t d_max = 0;
    for (int k = 0; k < K; k++) {
        const int64_t d = r->d[k], task = task_size(C, d), head = linear_size(C, d);
        if (d > d_max) d_max = d;
        r->task[k] = take_f32(a, task);
        r->task_m1[k] = take_f32(a, task);
        r->task_m2[k] = take_f32(a, task);
        r->head[k] = take_f32(a, head);
        r->head_m1[k] = take_f32(a, head);
        r->head_m2[k] = take_f32(a, head);
        r->Z[k] = batch_of(k, c, r->ops);
        r->Z[k].data = take(a, batch_bytes(&r->Z[k], B), 1);
    }
    r->iteration = r->drawn = take(a, 1, sizeof(int64_t));
    r->head_step = take(a, 1, sizeof(int64_t));
    r->loss = take_f32(a, K);
    r->entropy = take_f32(a, K);
    r->rows = take(a, B, sizeof(int64_t));
    r->W = take_f32(a, C * d_max);
    r->P = take_f32(a, K * B * C);
    r->Y = take_f32(a, B * C);
    r->P_bar = take_f32(a, K * C);
    r->prior = c->prior ? take_f32(a, C) : NULL;
    r->inner_losses = take_f32(a, c->M);

    int64_t scratch = r->ops->matrix.matmul_scratch_bytes(MATMUL_NT, B, C, d_max);
    for (int k = 0; k < c->K; k++) {
        const int64_t bytes = r->ops->train.scratch_bytes(r->Z[k].type, c->K, B, C, d_max);
        if (bytes > scratch) scratch = bytes;
    }
    r->scratch = take(a, scratch, 1);
}

/* Of a run whose batches are gathered one iteration ahead. */
static void lay_out_next(Train *r, Arena *a) {
    for (int k = 0; k < r->config.K; k++) {
        r->next_Z[k] = r->Z[k];
        r->next_Z[k].data = take(a, batch_bytes(&r->Z[k], r->config.B), 1);
    }
    r->drawn = take(a, 1, sizeof(int64_t));
}

static Status allocate_next(Train *r, Error *err) {
    Arena arena = {0};
    lay_out_next(r, &arena);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory_next, arena.used, err);
    arena = (Arena){.base = r->memory_next.data};
    if (st == OK) lay_out_next(r, &arena);
    return st;
}

static Status allocate(Train *r, Error *err) {
    Arena arena = {0};
    lay_out(r, &arena);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory, arena.used, err);
    if (st != OK) return st;
    arena = (Arena){.base = r->memory.data};
    lay_out(r, &arena);
    if (!r->config.torch_rng) return OK;
    int64_t head_max = linear_size(r->config.C, r->d[0]);
    for (int k = 1; k < r->config.K; k++)
        if (linear_size(r->config.C, r->d[k]) > head_max)
            head_max = linear_size(r->config.C, r->d[k]);
    r->rows_host = malloc((size_t)r->N * sizeof *r->rows_host);
    r->next.rows = malloc((size_t)r->N * sizeof *r->next.rows);
    r->head_host = malloc((size_t)head_max * sizeof *r->head_host);
    if (!r->rows_host || !r->next.rows || !r->head_host)
        return fail(err, ERR_MEMORY, "training: out of memory for %lld random indices",
                    (long long)r->N);
    return OK;
}

/* --- random numbers --------------------------------------------------------------------------- */

/* A fresh linear layer of space k: weight (C,d), then bias (C), uniform in +-1/sqrt(d). */
static void draw_linear(Train *r, float *linear, int k, int stream) {
    const int64_t C = r->config.C, d = r->d[k];
    if (r->config.torch_rng) {
        torch_linear(&r->weights, r->head_host, r->head_host + C * d, C, d);
        r->ops->mem.to_device(r->queue, linear, r->head_host,
                              linear_size(C, d) * (int64_t)sizeof(float));
    } else {
        r->ops->train.random_linear(r->queue, linear, C, d, r->config.seed, stream, k,
                                    r->iteration);
    }
}

static void draw_head(Train *r, int k) {
    const int64_t bytes = linear_size(r->config.C, r->d[k]) * (int64_t)sizeof(float);
    draw_linear(r, r->head[k], k, PHILOX_HEAD);
    r->ops->mem.zero(r->queue, r->head_m1[k], bytes);
    r->ops->mem.zero(r->queue, r->head_m2[k], bytes);
}

/* A permutation takes 12 ns a row: from here on worth a thread, if a core is left for it. N 10^6,
 * C 10, d 64 on two Xeon cores: 23.5 -> 16 to 21 ms an iteration with one thread; with two, where
 * both cores have work, 19 -> 20 to 32. */
enum { ROWS_WORTH_A_THREAD = 100000 };

static void *draw_next(void *run) {
    Train *r = run;
    numpy_permutation(&r->next.batches, r->next.rows, r->N);
    return NULL;
}

static void begin_next(Train *r) {
    if (r->N < ROWS_WORTH_A_THREAD || r->ops->threads >= r->ops->cores) return;
    r->next.batches = r->batches;
    r->next.drawing = pthread_create(&r->next.thread, NULL, draw_next, r) == 0;
}

/* Whether a permutation was being drawn; it is complete now. */
static bool end_next(Train *r) {
    const bool drawn = r->next.drawing;
    if (drawn) pthread_join(r->next.thread, NULL);
    r->next.drawing = false;
    return drawn;
}

/* numpy.random.choice(N, B, replace=False): the first B of a permutation. */
static void numpy_rows(Train *r) {
    r->batches_before = r->batches;
    if (end_next(r)) {
        int64_t *drawn = r->next.rows;
        r->next.rows = r->rows_host;
        r->rows_host = drawn;
        r->batches = r->next.batches;
    } else {
        numpy_permutation(&r->batches, r->rows_host, r->N);
    }
    begin_next(r);
}

/* The same, in device memory. */
static void torch_rows(Train *r) {
    numpy_rows(r);
    r->ops->mem.to_device(r->queue, r->rows, r->rows_host, r->config.B * (int64_t)sizeof *r->rows);
}

/* Weight norm starts at the drawn weight itself: v = W, g = |v| row by row. */
static Status draw_task(Train *r, int k, Error *err) {
    const int64_t C = r->config.C, d = r->d[k];
    const int64_t bytes = C * d * (int64_t)sizeof(float);
    float *v = malloc((size_t)(bytes + C * (int64_t)sizeof(float)));
    if (!v) return fail(err, ERR_MEMORY, "training: out of memory");
    float *g = v + C * d;
    draw_linear(r, r->task[k], k, PHILOX_TASK);
    r->ops->mem.to_host(r->queue, v, r->task[k], bytes);
    const Status st = r->ops->mem.wait(r->queue, err);
    for (int64_t c = 0; st == OK && c < C; c++) {
        double square = 0.0;
        for (int64_t j = 0; j < d; j++) square += (double)v[c * d + j] * v[c * d + j];
        g[c] = (float)sqrt(square);
    }
    if (st == OK)
        r->ops->mem.to_device(r->queue, r->task[k] + linear_size(C, d), g,
                              C * (int64_t)sizeof(float));
    free(v);
    return st;
}

/* --- batches ---------------------------------------------------------------------------------- */

/* B distinct rows of the training split. */
static void draw_rows(Train *r, Queue *q) {
    const TrainConfig *c = &r->config;
    if (!c->torch_rng) r->ops->train.random_rows(q, r->rows, c->B, r->N, c->seed, r->drawn);
}

/* And their features. */
static void gather_batch(Train *r, Queue *q, const Batch *Z) {
    const TrainConfig *c = &r->config;
    draw_rows(r, q);
    for (int k = 0; k < c->K; k++) r->ops->matrix.gather(q, &Z[k], &r->features[k], r->rows, c->B);
}

/* The next batch, on a queue of its own; `join` ends it. */
static void gather_ahead(Train *r, Queue *q) {
    gather_batch(r, q, r->next_Z);
    r->ops->mem.count(q, r->drawn, 1);
}

/* What was gathered ahead becomes this iteration's batch. */
static void take_batch(Train *r, Queue *q) {
    for (int k = 0; k < r->config.K; k++)
        r->ops->mem.copy(q, r->Z[k].data, r->next_Z[k].data, batch_bytes(&r->Z[k], r->config.B));
}

/* --- the algorithm ---------------------------------------------------------------------------- */

static TaskSteps task_steps(const Train *r) {
    const TrainConfig *c = &r->config;
    TaskSteps s = {.K = c->K,
                   .P = r->P,
                   .Y = r->Y,
                   .P_bar = r->P_bar,
                   .entropy = r->entropy,
                   .loss = r->loss,
                   .B = c->B,
                   .C = c->C,
                   .gamma = c->gamma,
                   .lr = c->outer_lr,
                   .step = r->iteration,
                   .scratch = r->scratch};
    for (int k = 0; k < c->K; k++)
        s.space[k] = (TaskSpace){r->Z[k], r->task[k], r->task_m1[k], r->task_m2[k]};
    return s;
}

static InnerSteps inner_steps(const Train *r) {
    const TrainConfig *c = &r->config;
    InnerSteps s = {.K = c->K,
                    .Y = r->Y,
                    .B = c->B,
                    .C = c->C,
                    .M = c->M,
                    .tier = c->tier,
                    .lr = c->inner_lr,
                    .step = r->head_step,
                    .losses = r->inner_losses,
                    .scratch = r->scratch,
                    .beside = c->beside};
    for (int k = 0; k < c->K; k++)
        s.space[k] = (InnerSpace){r->Z[k], r->head[k], r->head_m1[k], r->head_m2[k]};
    return s;
}

static Status end_iteration(Train *r) {
    if (r->ahead) r->ops->mem.join(r->queue);
    return r->ops->mem.count(r->queue, r->iteration, 1);
}

/* Steps 2 to 5 of outer_iteration as one operation, which gathers the batch too if it is not there. */
static Status iteration_at_once(Train *r) {
    const TrainConfig *c = &r->config;
    const TrainOps *train = &r->ops->train;
    const TaskSteps tasks = task_steps(r);
    const InnerSteps heads = inner_steps(r);
    r->ops->mem.phase(r->queue, "iteration");
    if (!c->warm_start && !c->torch_rng)
        train->random_heads(r->queue, &heads, c->seed, r->iteration);
    train->iteration(r->queue, &tasks, &heads, &r->features[0], r->ahead ? NULL : r->rows,
                     r->prior);
    if (c->warm_start) r->ops->mem.count(r->queue, r->head_step, c->M);
    return end_iteration(r);
}

/* One outer iteration, enqueued. What changes from one to the next is in device memory, so that a
 * queue may record this once and replay it. */
static Status outer_iteration(void *run) {
    Train *r = run;
    const TrainConfig *c = &r->config;
    const TrainOps *train = &r->ops->train;
    const DeviceOps *mem = &r->ops->mem;
    Queue *q = r->queue;

    /* 1. B distinct rows; Z_k = those rows of every space. Where they come over a bus, they were
     *    gathered beside the iteration before, and the next ones are beside this one. */
    mem->phase(q, "gather");
    if (r->ahead) {
        take_batch(r, q);
        gather_ahead(r, mem->branch(q));
    } else if (r->at_once) {
        draw_rows(r, q);
    } else {
        gather_batch(r, q, r->Z);
    }
    /* On a GPU one space and few classes: the same up to rounding, in one launch. */
    if (r->at_once) return iteration_at_once(r);

    /* 2. P_k = softmax(theta_k(Z_k)), labels Y = mean_k P_k (Eq. 9), and their mean over the batch.
     *    With a prior the outer loss has + gamma sum_k KL(mean_b P_k || prior) in place of the
     *    entropy. */
    mem->phase(q, "encode");
    const TaskSteps tasks = task_steps(r);
    train->task_labels(q, &tasks);
    if (r->prior) train->prior_ratio(q, r->P_bar, r->prior, c->K, c->C);

    /* 3. Cold start: fresh heads and fresh Adam state. Warm start keeps both. */
    mem->phase(q, "inner");
    const InnerSteps heads = inner_steps(r);
    if (!c->warm_start && !c->torch_rng) train->random_heads(q, &heads, c->seed, r->iteration);

    /* 4. M Adam steps of every head on CE(W_k(Z_k), Y), Y held constant (Eq. 13). */
    train->inner_steps(q, &heads);
    if (c->warm_start) mem->count(q, r->head_step, c->M);

    /* 5. Outer loss sum_k CE(W_k(Z_k), Y) - gamma sum_k H(mean_b P_k), heads held constant
     *    (Eq. 12, first order): gradient to theta through Y and P_k, through weight norm; Adam. */
    mem->phase(q, "hypergrad");
    train->task_step(q, &tasks, &heads);
    return end_iteration(r);
}

/* Gathers the first batch of a run that is to find each one gathered. */
static void begin_ahead(Train *r) {
    r->ops->mem.copy(r->queue, r->drawn, r->iteration, sizeof *r->iteration);
    if (r->config.torch_rng) torch_rows(r);
    gather_ahead(r, r->queue);
    r->begun = true;
}

Status train_iteration(Train *r, Error *err) {
    if (r->ahead && !r->begun) begin_ahead(r);
    if (r->config.torch_rng) { /* streams of the host: outside the recorded iteration */
        torch_rows(r);
        for (int k = 0; k < r->config.K && !r->config.warm_start; k++) draw_head(r, k);
    }
    const Status st = r->ops->mem.replay(r->queue, &r->graph, outer_iteration, r);
    return st == OK ? OK : r->ops->mem.wait(r->queue, err); /* wait tells what failed */
}

InnerOutlook train_outlook(const Ops *ops, const TrainConfig *c) {
    InnerSteps s = {.K = c->K, .B = c->B, .C = c->C, .M = c->M, .tier = c->tier};
    for (int k = 0; k < c->K; k++) s.space[k].Z = batch_of(k, c, ops);
    return ops->train.inner_outlook ? ops->train.inner_outlook(ops->device, &s)
                                    : (InnerOutlook){.trainings = 1};
}

/* --- a run's life ----------------------------------------------------------------------------- */

Status train_open(Train *out, const Ops *ops, const TrainConfig *config, Error *err) {
    Train *r = out;
    *r = (Train){0};
    if (config->K < 1 || config->K > MAX_SPACES || config->C < 2 || config->M < 0 ||
        config->B < 1 || config->B > config->features[0]->N)
        return fail(err, ERR_ARG,
                    "training: %d spaces, %lld classes, batches of %lld: not a problem", config->K,
                    (long long)config->C, (long long)config->B);
    *r = (Train){.config = *config, .ops = ops, .N = config->features[0]->N};
    Status st = OK;
    for (int k = 0; k < config->K; k++) r->d[k] = config->features[k]->d;
    st = ops->mem.queue_open(ops->device, &r->queue, err);
    if (st == OK) st = allocate(r, err);
    for (int k = 0; st == OK && k < config->K; k++) { /* what fits beside the arrays is resident */
        if (config->on_device) r->features[k] = config->on_device[k];
        else st = ops->mem.features_open(ops->device, &r->features[k], config->features[k], err);
        r->ahead |= st == OK && ops->mem.features_remote(ops->device, &r->features[k]);
    }
    if (st == OK && r->ahead) st = allocate_next(r, err);
    if (st != OK) goto out;

    const InnerSteps heads = inner_steps(r);
    r->at_once = ops->train.iteration && ops->train.iteration_fits(ops->device, &heads);
    if (r->prior)
        ops->mem.to_device(r->queue, r->prior, config->prior,
                           config->C * (int64_t)sizeof *r->prior);
    mt19937_seed(&r->weights, config->seed);
    mt19937_seed(&r->batches, config->seed);
    for (int k = 0; st == OK && k < config->K; k++) st = draw_task(r, k, err);
    for (int k = 0; k < config->K; k++)
        draw_head(r, k); /* drawn by cold start too, then replaced */
    if (st == OK) st = ops->mem.wait(r->queue, err);
out:
    if (st != OK) train_close(r);
    return st;
}

void train_close(Train *r) {
    if (!r || !r->ops) return;
    const DeviceOps *mem = &r->ops->mem;
    mem->graph_free(r->graph);
    mem->queue_close(r->queue);
    mem->free(r->ops->device, &r->memory);
    mem->free(r->ops->device, &r->memory_next);
    for (int k = 0; !r->config.on_device && k < r->config.K; k++)
        mem->features_close(r->ops->device, &r->features[k]);
    end_next(r);
    free(r->next.rows);
    free(r->rows_host);
    free(r->head_host);
    *r = (Train){0};
}

Status train_losses(Train *r, TrainLosses *out, Error *err) {
    float loss[MAX_SPACES], entropy[MAX_SPACES];
    const int64_t bytes = r->config.K * (int64_t)sizeof(float);
    r->ops->mem.to_host(r->queue, loss, r->loss, bytes);
    r->ops->mem.to_host(r->queue, entropy, r->entropy, bytes);
    const Status st = r->ops->mem.wait(r->queue, err);
    *out = (TrainLosses){0};
    for (int k = 0; st == OK && k < r->config.K; k++) {
        out->loss += loss[k];
        out->entropy += entropy[k];
    }
    return st;
}

Status train_read_task(Train *r, float *const *linear, Error *err) {
    Status st = OK;
    for (int k = 0; st == OK && k < r->config.K; k++) {
        const int64_t C = r->config.C, d = r->d[k];
        r->ops->train.weight_norm(r->queue, r->W, r->task[k], C, d);
        r->ops->mem.to_host(r->queue, linear[k], r->W, C * d * (int64_t)sizeof(float));
        r->ops->mem.to_host(r->queue, linear[k] + C * d, r->task[k] + C * d,
                            C * (int64_t)sizeof(float));
        st = r->ops->mem.wait(r->queue, err); /* W serves the next space */
    }
    return st;
}

/* --- saving and continuing -------------------------------------------------------------------- */

enum { MAX_STATE = 6 * MAX_SPACES + 8 };

/* One array that the next iteration depends on. */
typedef struct {
    char name[32];
    DType type;
    int64_t count;
    void *device; /* or NULL: it is in host memory */
    void *host;
} StateArray;

static int state_arrays(Train *r, StateArray *s) {
    const TrainConfig *c = &r->config;
    int n = 0;
    for (int k = 0; k < c->K; k++) {
        const int64_t task = task_size(c->C, r->d[k]), head = linear_size(c->C, r->d[k]);
        const struct {
            const char *name;
            float *at;
            int64_t count;
        } arrays[] = {{"task", r->task[k], task},       {"task_m1", r->task_m1[k], task},
                      {"task_m2", r->task_m2[k], task}, {"head", r->head[k], head},
                      {"head_m1", r->head_m1[k], head}, {"head_m2", r->head_m2[k], head}};
        for (int i = 0; i < 6; i++, n++) {
            s[n] = (StateArray){"", DTYPE_F32, arrays[i].count, arrays[i].at, NULL};
            snprintf(s[n].name, sizeof s[n].name, "%s%d", arrays[i].name, k + 1);
        }
    }
    s[n++] = (StateArray){"iteration", DTYPE_I64, 1, r->iteration, NULL};
    s[n++] = (StateArray){"head_step", DTYPE_I64, 1, r->head_step, NULL};
    s[n++] = (StateArray){"loss", DTYPE_F32, c->K, r->loss, NULL};
    s[n++] = (StateArray){"entropy", DTYPE_F32, c->K, r->entropy, NULL};
    const int64_t words = (int64_t)(sizeof(Mt19937) / sizeof(int32_t));
    /* a batch that was drawn ahead is drawn again by the run that continues */
    Mt19937 *batches = r->begun ? &r->batches_before : &r->batches;
    s[n++] = (StateArray){"rng_weights", DTYPE_I32, words, NULL, &r->weights};
    s[n++] = (StateArray){"rng_batches", DTYPE_I32, words, NULL, batches};
    return n;
}

Status train_save(Train *r, const char *path, const char *options, Error *err) {
    StateArray state[MAX_STATE];
    Tensor tensors[MAX_STATE + 1] = {{0}};
    const int n = state_arrays(r, state);
    Status st = OK;
    for (int i = 0; i < n; i++) {
        void *host = state[i].host;
        const int64_t bytes = state[i].count * dtype_bytes(state[i].type);
        if (state[i].device) {
            host = malloc((size_t)bytes);
            if (!host) {
                st = fail(err, ERR_MEMORY, "training: out of memory while saving %s", path);
                goto out;
            }
            r->ops->mem.to_host(r->queue, host, state[i].device, bytes);
        }
        tensors[i] = (Tensor){.name = state[i].name,
                              .type = state[i].type,
                              .axes = 1,
                              .shape = {state[i].count},
                              .count = state[i].count,
                              .data = host};
    }
    const int64_t length = (int64_t)strlen(options);
    tensors[n] = (Tensor){.name = "options",
                          .type = DTYPE_U8,
                          .axes = 1,
                          .shape = {length},
                          .count = length,
                          .data = options};
    st = r->ops->mem.wait(r->queue, err);
    if (st == OK) st = torch_save(path, tensors, n + 1, err);
out:
    for (int i = 0; i < n; i++)
        if (state[i].device) free((void *)tensors[i].data);
    return st;
}

/* The first line in which two texts of options differ, as message. */
static Status options_differ(const char *path, const char *saved, int64_t length, const char *now,
                             Error *err) {
    const char *end = saved + length;
    while (*now) {
        const size_t line = strcspn(now, "\n");
        const char *newline = memchr(saved, '\n', (size_t)(end - saved));
        const size_t saved_line = (size_t)((newline ? newline : end) - saved);
        if (line != saved_line || memcmp(now, saved, line) != 0)
            return fail(err, ERR_ARG,
                        "resume: %s was saved with `%.*s`, now it is `%.*s`: use the "
                        "options of the interrupted run, or --restart",
                        path, (int)saved_line, saved, (int)line, now);
        now += line + (now[line] == '\n');
        saved += saved_line + (newline != NULL);
    }
    return OK;
}

Status train_restore(Train *r, const char *path, const char *options, Error *err) {
    StateArray state[MAX_STATE];
    r->begun = false; /* the batch gathered ahead, if any, is another run's */
    const int n = state_arrays(r, state);
    TensorFile file;
    Status st = torch_open(&file, path, err);
    if (st != OK) return st;
    const Tensor *saved = tensor_find(&file, "options");
    if (!saved || saved->type != DTYPE_U8) {
        st = fail(err, ERR_FORMAT, "resume: %s: not a state of a training run", path);
        goto out;
    }
    end_next(r); /* of another stream than the restored one */
    st = options_differ(path, saved->data, saved->count, options, err);
    for (int i = 0; st == OK && i < n; i++) {
        const Tensor *t = tensor_find(&file, state[i].name);
        if (!t || t->type != state[i].type || t->count != state[i].count) {
            st = fail(err, ERR_FORMAT, "resume: %s: %s is missing or has another shape", path,
                      state[i].name);
        } else if (state[i].device) {
            r->ops->mem.to_device(r->queue, state[i].device, t->data,
                                  t->count * dtype_bytes(t->type));
        } else if (state[i].host) {
            memcpy(state[i].host, t->data, (size_t)(t->count * dtype_bytes(t->type)));
        }
    }
    if (st == OK && (r->weights.next < 0 || r->weights.next > 624 || r->batches.next < 0 ||
                     r->batches.next > 624))
        st = fail(err, ERR_FORMAT, "resume: %s: damaged random state", path);
    /* fresh heads have done no steps, whatever an older version counted */
    if (!r->config.warm_start) r->ops->mem.zero(r->queue, r->head_step, sizeof *r->head_step);
    if (st == OK) st = r->ops->mem.wait(r->queue, err);
out:
    tensor_file_close(&file);
    return st;
}
