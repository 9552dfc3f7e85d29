/*
 * gather.c - the rows of a batch, converted to its type: Z[b,:] = features[rows[b],:]
 *
 * Cost     4Bd bytes written, 2Bd to a batch of 16 bits; runs of d elements read, 1.5 to 6 KiB, near
 *          the full rate of the memory.
 * Mapping  rows over threads.
 */
#include "kernels/cpu/operations.h"

/* Writes one sample in 16 bits, rounded to the nearest, then zeros up to the end of its row, which products
 * of bfloat16 read. */
static void narrow_row(uint16_t *to, const Batch *out, const uint8_t *from, const Features *f) {
    enum { RUN = 256 };
    float run[RUN];
    for (int64_t j = 0; j < f->d; j += RUN) {
        const int64_t n = least(f->d - j, RUN);
        if (!dtype_to_f32(run, from + j * dtype_bytes(f->type), f->type, f->swapped, n))
            return; /* never reached: cpu_gather refuses such a type */
        if (out->type == DTYPE_BF16)
            for (int64_t i = 0; i < n; i++) to[j + i] = bf16_from_f32(run[i]);
        else
            for (int64_t i = 0; i < n; i++) to[j + i] = f16_from_f32(run[i]);
    }
    memset(to + f->d, 0, (size_t)(out->row - f->d) * sizeof *to);
}

typedef struct {
    const Batch *out;
    const Features *f;
    const int64_t *rows;
} Gather;

static void gather_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Gather *g = loop;
    const Batch *out = g->out;
    const Features *f = g->f;
    const int64_t bytes = f->d * dtype_bytes(f->type), stride = out->row * dtype_bytes(out->type);
    (void)thread;
    for (int64_t b = first; b < end; b++) {
        const uint8_t *from = (const uint8_t *)f->data + g->rows[b] * bytes;
        uint8_t *to = (uint8_t *)out->data + b * stride;
        if (out->type == DTYPE_F32)
            dtype_to_f32((float *)(void *)to, from, f->type, f->swapped, f->d);
        else if (out->type == f->type && out->type == DTYPE_F16 && !f->swapped)
            memcpy(to, from, (size_t)bytes);
        else narrow_row((uint16_t *)(void *)to, out, from, f);
    }
}

Status cpu_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows, int64_t B) {
    REQUIRE(q, batch_servable(out) && f && f->data && f->d == out->d && rows && B >= 1, "gather");
    REQUIRE(q, dtype_is_float(f->type), "gather");
    for (int64_t b = 0; b < B; b++) REQUIRE(q, rows[b] >= 0 && rows[b] < f->N, "gather");
    threads_loop(q->device->pool, B, rows_run(f->d), gather_rows, &(Gather){out, f, rows});
    return OK;
}
