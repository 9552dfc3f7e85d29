/*
 * gather.c - the rows of a batch, converted to float32: Z[b,:] = features[rows[b],:]
 *
 * Cost     4Bd bytes written; runs of d elements read, 1.5 to 6 KiB, near the full rate of the
 *          memory.
 * Mapping  rows over threads.
 */
#include "operations.h"

Status cpu_gather(Queue *q, float *out, const Features *f, const int64_t *rows, int64_t B) {
    REQUIRE(q, out && f && f->data && f->d >= 1 && rows && B >= 1, "gather");
    REQUIRE(q, dtype_is_float(f->type), "gather");
    for (int64_t b = 0; b < B; b++) REQUIRE(q, rows[b] >= 0 && rows[b] < f->N, "gather");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++)
        dtype_to_f32(out + b * f->d,
                     (const uint8_t *)f->data + rows[b] * f->d * dtype_bytes(f->type), f->type,
                     f->swapped, f->d);
    return OK;
}
