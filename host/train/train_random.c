/* train_random.c - the random numbers of a training run, on the device or on the host. */
#include "host/train/train_random.h"

#include <math.h>
#include <stdlib.h>

#include "io/thread.h"

/* --- weights ---------------------------------------------------------------------------------- */

/* Draws a fresh linear layer of space k: weight (C,d), then bias (C), uniform in +-1/sqrt(d). */
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

void train_draw_heads(Train *r) {
    for (int k = 0; k < r->config.K; k++) {
        const int64_t bytes = linear_size(r->config.C, r->d[k]) * (int64_t)sizeof(float);
        draw_linear(r, r->head[k], k, PHILOX_HEAD);
        r->ops->mem.zero(r->queue, r->head_m1[k], bytes);
        r->ops->mem.zero(r->queue, r->head_m2[k], bytes);
    }
}

/* Draws theta_k. Weight norm starts at the drawn weight itself: v = W, g = |v| row by row. */
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

Status train_draw_weights(Train *r, Error *err) {
    Status st = OK;
    mt19937_seed(&r->weights, r->config.seed);
    mt19937_seed(&r->batches, r->config.seed);
    for (int k = 0; st == OK && k < r->config.K; k++) st = draw_task(r, k, err);
    train_draw_heads(r); /* a cold start replaces them, but the published stream has drawn them */
    return st == OK ? r->ops->mem.wait(r->queue, err) : st;
}

/* --- rows ------------------------------------------------------------------------------------- */

void train_draw_rows(Train *r, Queue *q) {
    const TrainConfig *c = &r->config;
    if (!c->torch_rng) r->ops->train.random_rows(q, r->rows, c->B, r->N, c->seed, r->drawn);
}

/* A permutation takes 12 ns a row: from here on it is worth a thread, if a core is left for it. N 10^6,
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
    r->next.drawing = start_thread(&r->next.thread, draw_next, r) == 0;
}

bool train_end_drawing(Train *r) {
    const bool drawn = r->next.drawing;
    if (drawn) pthread_join(r->next.thread, NULL);
    r->next.drawing = false;
    return drawn;
}

void train_draw_rows_on_host(Train *r) {
    r->batches_before = r->batches;
    if (train_end_drawing(r)) {
        int64_t *drawn = r->next.rows;
        r->next.rows = r->rows_host;
        r->rows_host = drawn;
        r->batches = r->next.batches;
    } else {
        numpy_permutation(&r->batches, r->rows_host, r->N);
    }
    begin_next(r);
    r->ops->mem.to_device(r->queue, r->rows, r->rows_host, r->config.B * (int64_t)sizeof *r->rows);
}
