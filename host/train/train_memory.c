/* train_memory.c - the arrays of a training run. */
#include "host/train/train_memory.h"

#include <stdlib.h>

#include "kernels/pieces.h"

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

static void lay_out(Train *r, Pieces *p) {
    const TrainConfig *c = &r->config;
    const int64_t K = c->K, B = c->B, C = c->C;
    int64_t d_max = 0, d_min = INT64_MAX;
    for (int k = 0; k < K; k++) {
        const int64_t d = r->d[k], task = task_size(C, d), head = linear_size(C, d);
        if (d > d_max) d_max = d;
        if (d < d_min) d_min = d;
        r->task[k] = take_f32(p, task);
        r->task_m1[k] = take_f32(p, task);
        r->task_m2[k] = take_f32(p, task);
        r->head[k] = take_f32(p, head);
        r->head_m1[k] = take_f32(p, head);
        r->head_m2[k] = take_f32(p, head);
        r->Z[k] = train_batch(c, r->ops, k);
        r->Z[k].data = take(p, train_batch_bytes(&r->Z[k], B));
    }
    r->iteration = r->drawn = take_i64(p, 1);
    r->head_step = take_i64(p, 1);
    r->loss = take_f32(p, K);
    r->entropy = take_f32(p, K);
    r->rows = take_i64(p, B);
    r->W = take_f32(p, C * d_max);
    r->P = take_f32(p, K * B * C);
    r->Y = take_f32(p, B * C);
    r->P_bar = take_f32(p, K * C);
    r->prior = c->prior ? take_f32(p, C) : NULL;
    r->inner_losses = take_f32(p, c->M);

    int64_t scratch = r->ops->matrix.matmul_scratch_bytes(MATMUL_NT, B, C, d_max);
    for (int k = 0; k < c->K; k++) {
        const int64_t bytes = r->ops->train.scratch_bytes(r->Z[k].type, c->K, B, C, d_min, d_max);
        if (bytes > scratch) scratch = bytes;
    }
    r->scratch = take(p, scratch);
}

static void lay_out_ahead(Train *r, Pieces *p) {
    for (int k = 0; k < r->config.K; k++) {
        r->next_Z[k] = r->Z[k];
        r->next_Z[k].data = take(p, train_batch_bytes(&r->Z[k], r->config.B));
    }
    r->drawn = take_i64(p, 1);
}

/* Allocates memory of the host, where it draws the random numbers. */
static Status allocate_host(Train *r, Error *err) {
    int64_t head_max = 1;
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
    Pieces pieces = {0};
    lay_out(r, &pieces);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory, pieces.bytes, err);
    if (st != OK) return st;
    pieces = (Pieces){r->memory.data, 0};
    lay_out(r, &pieces);
    return r->config.torch_rng ? allocate_host(r, err) : OK;
}

Status train_allocate_ahead(Train *r, Error *err) {
    Pieces pieces = {0};
    lay_out_ahead(r, &pieces);
    const Status st = r->ops->mem.alloc(r->ops->device, &r->memory_next, pieces.bytes, err);
    pieces = (Pieces){r->memory_next.data, 0};
    if (st == OK) lay_out_ahead(r, &pieces);
    return st;
}

void train_free_arrays(Train *r) {
    r->ops->mem.free(r->ops->device, &r->memory);
    r->ops->mem.free(r->ops->device, &r->memory_next);
    free(r->next.rows);
    free(r->rows_host);
    free(r->head_host);
}
