/*
 * cluster_rows.c - samples made ready for k-means: lengths, rows of length 1, a row subtracted
 *
 * Cost     4Nd bytes read, and written where they change. Lengths in double: one rounding each.
 * Mapping  samples over threads.
 */
#include <math.h>

#include "kernels/cpu/cluster/cluster.h"

static bool rows_servable(const Batch *Z, int64_t N) {
    return batch_servable(Z) && Z->type == DTYPE_F32 && N >= 1;
}

double square_length(const float *x, int64_t d) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) sum += (double)x[j] * x[j];
    return sum;
}

typedef struct {
    const Batch *Z;
    float *norm2;
    const float *row;
} Rows;

static void measure_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Rows *r = loop;
    (void)thread;
    for (int64_t n = first; n < end; n++)
        r->norm2[n] = (float)square_length((const float *)r->Z->data + n * r->Z->row, r->Z->d);
}

static void scale_rows(const void *loop, int64_t first, int64_t end, int thread) {
    const Batch *Z = ((const Rows *)loop)->Z;
    (void)thread;
    for (int64_t n = first; n < end; n++) {
        float *z = (float *)Z->data + n * Z->row;
        const double length = sqrt(square_length(z, Z->d));
        for (int64_t j = 0; length > 0.0 && j < Z->d; j++) z[j] = (float)(z[j] / length);
    }
}

static void subtract_row(const void *loop, int64_t first, int64_t end, int thread) {
    const Batch *Z = ((const Rows *)loop)->Z;
    const float *row = ((const Rows *)loop)->row;
    (void)thread;
    for (int64_t n = first; n < end; n++) {
        float *z = (float *)Z->data + n * Z->row;
        for (int64_t j = 0; j < Z->d; j++) z[j] -= row[j];
    }
}

Status cpu_row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N) {
    REQUIRE(q, norm2 && rows_servable(Z, N), "row_norms");
    threads_loop(q->device->pool, N, rows_run(Z->d), measure_rows, &(Rows){Z, norm2, NULL});
    return OK;
}

Status cpu_unit_rows(Queue *q, const Batch *Z, int64_t N) {
    REQUIRE(q, rows_servable(Z, N), "unit_rows");
    threads_loop(q->device->pool, N, rows_run(Z->d), scale_rows, &(Rows){Z, NULL, NULL});
    return OK;
}

Status cpu_shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N) {
    REQUIRE(q, rows_servable(Z, N) && row, "shift_rows");
    threads_loop(q->device->pool, N, rows_run(Z->d), subtract_row, &(Rows){Z, NULL, row});
    return OK;
}
