/*
 * gather.c - the rows of a batch, converted to float32: Z[b,:] = features[rows[b],:]
 *
 * Cost     4Bd bytes written; runs of d elements read, 1.5 to 6 KiB, near the full rate of the memory.
 * Mapping  rows over threads.
 */
#include <string.h>

#include "operations.h"

static void convert_row(float *to, const Features *f, int64_t row) {
    const int64_t d = f->d;
    const uint8_t *from = (const uint8_t *)f->data + row * d * dtype_bytes(f->type);
    if (f->type == DTYPE_F32) {
        memcpy(to, from, (size_t)d * sizeof *to);
        if (f->swapped)
            for (int64_t j = 0; j < d; j++) {
                uint32_t bits;
                memcpy(&bits, to + j, sizeof bits);
                to[j] = f32_from_bits(byte_swap32(bits));
            }
    } else if (f->type == DTYPE_F16) {
        for (int64_t j = 0; j < d; j++) {
            uint16_t bits;
            memcpy(&bits, from + 2 * j, sizeof bits);
            to[j] = f32_from_f16(f->swapped ? byte_swap16(bits) : bits);
        }
    } else {
        for (int64_t j = 0; j < d; j++) {
            uint64_t bits;
            double x;
            memcpy(&bits, from + 8 * j, sizeof bits);
            if (f->swapped) bits = byte_swap64(bits);
            memcpy(&x, &bits, sizeof x);
            to[j] = (float)x;
        }
    }
}

Status ISA(cpu_gather)(Queue *q, float *out, const Features *f, const int64_t *rows, int64_t B) {
    REQUIRE(q, out && f && f->data && f->d >= 1 && rows && B >= 1, "gather");
    REQUIRE(q, f->type == DTYPE_F16 || f->type == DTYPE_F32 || f->type == DTYPE_F64, "gather");
    for (int64_t b = 0; b < B; b++) REQUIRE(q, rows[b] >= 0 && rows[b] < f->N, "gather");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t b = 0; b < B; b++) convert_row(out + b * f->d, f, rows[b]);
    return OK;
}
