/*
 * gather.c - the rows of a batch, converted to float32: Z[b,:] = features[rows[b],:]
 *
 * Cost     4Bd bytes written; runs of d elements read, 1.5 to 6 KiB, near the full rate of the
 *          memory.
 * Mapping  rows over threads.
 */
#include "operations.h"

Status cpu_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows, int64_t B) {
    REQUIRE(q, batch_servable(out) && f && f->data && f->d == out->d && rows && B >= 1, "gather");
    REQUIRE(q, dtype_is_float(f->type), "gather");
    REQUIRE(q, out->type == DTYPE_F32 || (f->type == DTYPE_F16 && !f->swapped), "gather");
    const int64_t bytes = f->d * dtype_bytes(f->type), stride = out->row * dtype_bytes(out->type);
    for (int64_t b = 0; b < B; b++) REQUIRE(q, rows[b] >= 0 && rows[b] < f->N, "gather");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) {
        const uint8_t *from = (const uint8_t *)f->data + rows[b] * bytes;
        uint8_t *to = (uint8_t *)out->data + b * stride;
        if (out->type == DTYPE_F16) memcpy(to, from, (size_t)bytes);
        else dtype_to_f32((float *)(void *)to, from, f->type, f->swapped, f->d);
    }
    return OK;
}
