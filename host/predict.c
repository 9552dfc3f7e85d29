/* predict.c - what a labelling says about samples: argmax of Y (Eq. 9) over any split. */
#include "predict.h"

#include <math.h>
#include <stdlib.h>

enum { CHUNK = 256 }; /* rows at a time: bounds the memory, does not change a bit */

static int64_t lay_out(Predictor *p, char *base) {
    int64_t used = 0, d_max = 0;
#define TAKE(field, bytes) \
    (p->field = (void *)(base ? base + used : NULL), used += ((int64_t)(bytes) + 63) / 64 * 64)
    for (int k = 0; k < p->K; k++) {
        TAKE(linear[k], linear_size(p->C, p->d[k]) * (int64_t)sizeof(float));
        if (p->d[k] > d_max) d_max = p->d[k];
    }
    TAKE(rows, CHUNK * sizeof(int64_t));
    TAKE(Z, CHUNK * batch_row(DTYPE_F32, d_max) * (int64_t)sizeof(float));
    TAKE(P, p->K * CHUNK * p->C * (int64_t)sizeof(float));
    TAKE(Y, CHUNK * p->C * (int64_t)sizeof(float));
    TAKE(confidence, CHUNK * sizeof(float));
    TAKE(margin, CHUNK * sizeof(float));
    TAKE(index, (p->K + 1) * CHUNK * sizeof(int32_t));
    TAKE(scratch, p->ops->matrix.matmul_scratch_bytes(MATMUL_NT, CHUNK, p->C, d_max));
#undef TAKE
    return used;
}

Status predictor_open(Predictor *out, const Ops *ops, int K, int64_t C, const int64_t *d,
                      const Buffer *borrowed, Error *err) {
    *out = (Predictor){.ops = ops, .K = K, .C = C};
    for (int k = 0; k < K; k++) out->d[k] = d[k];
    const int64_t bytes = lay_out(out, NULL);
    Status st = ops->mem.queue_open(ops->device, &out->queue, err);
    if (st == OK && borrowed && borrowed->bytes >= bytes) {
        lay_out(out, borrowed->data);
    } else if (st == OK) {
        st = ops->mem.alloc(ops->device, &out->memory, bytes, err);
        if (st == OK) lay_out(out, out->memory.data);
    }
    if (st != OK) predictor_close(out);
    return st;
}

void predictor_close(Predictor *p) {
    if (!p || !p->ops) return;
    p->ops->mem.queue_close(p->queue);
    p->ops->mem.free(p->ops->device, &p->memory);
    *p = (Predictor){0};
}

Status predictions_alloc(Predictions *out, int64_t n, Error *err) {
    predictions_free(out);
    out->n = n;
    out->cluster = malloc((size_t)n * sizeof *out->cluster);
    out->confidence = malloc((size_t)n * sizeof *out->confidence);
    out->margin = malloc((size_t)n * sizeof *out->margin);
    if (out->cluster && out->confidence && out->margin) return OK;
    predictions_free(out);
    return fail(err, ERR_MEMORY, "predictions: out of memory for %lld samples", (long long)n);
}

void predictions_free(Predictions *p) {
    if (!p) return;
    free(p->cluster);
    free(p->confidence);
    free(p->margin);
    *p = (Predictions){0};
}

/* Rows first .. first+n, n <= CHUNK: Y's argmax into index[0], each P_k's into index[1 + k]. */
static Status run_chunk(Predictor *p, const Features *features, int64_t first, int64_t n,
                        int32_t *index, Predictions *out, Error *err) {
    const Ops *ops = p->ops;
    Queue *q = p->queue;
    int64_t rows[CHUNK];
    for (int64_t i = 0; i < n; i++) rows[i] = first + i;
    ops->mem.to_device(q, p->rows, rows, n * (int64_t)sizeof *rows);
    for (int k = 0; k < p->K; k++) {
        float *P = p->P + k * n * p->C;
        const int64_t d = p->d[k];
        const Batch Z = {p->Z, DTYPE_F32, d, batch_row(DTYPE_F32, d)};
        ops->matrix.gather(q, &Z, &features[k], p->rows, n);
        ops->matrix.matmul(q, MATMUL_NT, P, &Z, p->linear[k], p->linear[k] + p->C * d, n, p->C, d,
                           p->scratch);
        ops->train.softmax(q, P, P, n, p->C);
        ops->matrix.argmax(q, p->index + (1 + k) * n, NULL, NULL, P, n, p->C);
    }
    ops->train.label_mean(q, p->Y, p->P, p->K, n, p->C);
    ops->matrix.argmax(q, p->index, p->confidence, p->margin, p->Y, n, p->C);
    ops->mem.to_host(q, index, p->index, (p->K + 1) * n * (int64_t)sizeof *index);
    ops->mem.to_host(q, out->confidence + first, p->confidence, n * (int64_t)sizeof(float));
    ops->mem.to_host(q, out->margin + first, p->margin, n * (int64_t)sizeof(float));
    return ops->mem.wait(q, err);
}

Status predictor_run(Predictor *p, const TaskEncoder *task, const Features *features, int64_t n,
                     Predictions *out, Error *err) {
    int64_t agree[MAX_SPACES] = {0};
    Status st = predictions_alloc(out, n, err);
    if (st != OK) return st;
    int32_t *index = malloc((size_t)(p->K + 1) * CHUNK * sizeof *index);
    if (!index) st = fail(err, ERR_MEMORY, "predictions: out of memory");
    for (int k = 0; k < p->K && st == OK; k++)
        p->ops->mem.to_device(p->queue, p->linear[k], task->linear[k],
                              linear_size(p->C, p->d[k]) * (int64_t)sizeof(float));
    for (int64_t first = 0; st == OK && first < n; first += CHUNK) {
        const int64_t m = n - first < CHUNK ? n - first : CHUNK;
        st = run_chunk(p, features, first, m, index, out, err);
        for (int64_t i = 0; st == OK && i < m; i++) {
            out->cluster[first + i] = index[i];
            for (int k = 0; k < p->K; k++) agree[k] += index[(1 + k) * m + i] == index[i];
        }
    }
    free(index);
    if (st != OK) {
        predictions_free(out);
        return st;
    }
    int64_t least = n;
    for (int k = 0; k < p->K; k++)
        if (agree[k] < least) least = agree[k];
    out->space_agreement = p->K > 1 ? (double)least / (double)n : NAN;
    return OK;
}
