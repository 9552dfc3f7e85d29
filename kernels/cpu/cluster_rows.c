/*
 * cluster_rows.c - samples made ready for k-means: lengths, rows of length 1, a row subtracted
 *
 * Cost     4Nd bytes read, and written where they change. Lengths in double: one rounding each.
 * Mapping  samples over threads.
 */
#include <math.h>

#include "cluster.h"

static bool rows_servable(const Batch *Z, int64_t N) {
    return batch_servable(Z) && Z->type == DTYPE_F32 && N >= 1;
}

double square_length(const float *x, int64_t d) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) sum += (double)x[j] * x[j];
    return sum;
}

Status cpu_row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N) {
    REQUIRE(q, norm2 && rows_servable(Z, N), "row_norms");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t n = 0; n < N; n++)
        norm2[n] = (float)square_length((const float *)Z->data + n * Z->row, Z->d);
    return OK;
}

Status cpu_unit_rows(Queue *q, const Batch *Z, int64_t N) {
    REQUIRE(q, rows_servable(Z, N), "unit_rows");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t n = 0; n < N; n++) {
        float *z = (float *)Z->data + n * Z->row;
        const double length = sqrt(square_length(z, Z->d));
        for (int64_t j = 0; length > 0.0 && j < Z->d; j++) z[j] = (float)(z[j] / length);
    }
    return OK;
}

Status cpu_shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N) {
    REQUIRE(q, rows_servable(Z, N) && row, "shift_rows");
    PARALLEL_FOR(num_threads(q->device->threads))
    for (int64_t n = 0; n < N; n++) {
        float *z = (float *)Z->data + n * Z->row;
        for (int64_t j = 0; j < Z->d; j++) z[j] -= row[j];
    }
    return OK;
}
