/* train_memory.c - the arrays of a training run. */
#include "host/train/train_memory.h"

#include <stdlib.h>

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

/* --- batches ---------------------------------------------------------------------------------- */

/* In fp32, too, float16 features stay float16 where the products widen them: the bits are the same. */
Batch train_batch(const TrainConfig *c, const Ops *ops, int k) {
    const Features *f = c->features[k];
    const bool as_it_is = c->operands == DTYPE_F32 && f->type == DTYPE_F16 && !f->swapped;
    const DType type = as_it_is && !ops->f16_products ? DTYPE_F16 : c->operands;
    return (Batch){.type = type,
                   .d = f->d,
                   .row = batch_row(type, f->d),
                   .tf32 = c->tf32 && type == DTYPE_F32,
                   .exponent = ops->f16_products && type == DTYPE_F16 ? c->exponent[k] : 0};
}

int64_t train_batch_bytes(const Batch *Z, int64_t B) {
    return B * Z->row * dtype_bytes(Z->type);
}

/* --- arrays ----------------------------------------------------------------------------------- */

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
        r->Z[k] = train_batch(c, r->ops, k);
        r->Z[k].data = take(a, train_batch_bytes(&r->Z[k], B), 1);
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

static void lay_out_ahead(Train *r, Arena *a) {
    for (int k = 0; k < r->config.K; k++) {
        r->next_Z[k] = r->Z[k];
        r->next_Z[k].data = take(a, train_batch_bytes(&r->Z[k], r->config.B), 1);
    }
    r->drawn = take(a, 1, sizeof(int64_t));
}

/* Allocates memory of the host, where it draws the random numbers. */
static Status allocate_host(Train *r, Error *err) {
    int64_t head_max = 0;
    for (int k = 0; k < r->config.K; k++)
        if (linear_size(r->config.C, r->d[k]) > head_max)
            head_max = linear_size(r->config.C, r->d[k]);
    r->rows_host = malloc((size_t)r->N * sizeof *r->rows_host);
    r->next.rows = malloc((size_t)r->N * sizeof *r->next.rows);
    r->head_host = malloc((size_t)head_max * sizeof *r->head_host);
    if (r->rows_host && r->next.rows && r->head_host) return OK;
    return fail(err, ERR_MEMORY, "training: out of memory for %lld random indices",
                (long long)r->N);
}

Status train_allocate(Train *r, Error *err) {
    Arena arena = {0};
    lay_out(r, &arena);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory, arena.used, err);
    if (st != OK) return st;
    arena = (Arena){.base = r->memory.data};
    lay_out(r, &arena);
    return r->config.torch_rng ? allocate_host(r, err) : OK;
}

Status train_allocate_ahead(Train *r, Error *err) {
    Arena arena = {0};
    lay_out_ahead(r, &arena);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory_next, arena.used, err);
    arena = (Arena){.base = r->memory_next.data};
    if (st == OK) lay_out_ahead(r, &arena);
    return st;
}

void train_free_arrays(Train *r) {
    r->ops->mem.free(r->ops->device, &r->memory);
    r->ops->mem.free(r->ops->device, &r->memory_next);
    free(r->next.rows);
    free(r->rows_host);
    free(r->head_host);
}
