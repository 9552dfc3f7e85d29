/* predict.c - what a labelling says about samples: argmax of Y (Eq. 9) over any split. */
#include "host/train/predict.h"

#include <math.h>
#include <stdlib.h>

#include "kernels/pieces.h"

/* Cuts the memory, NULL to count it. Returns its bytes. */
static int64_t lay_out(Predictor *p, void *memory) {
    Pieces pieces = {memory, 0};
    int64_t d_max = 0;
    for (int k = 0; k < p->K; k++) {
        p->linear[k] = take_f32(&pieces, linear_size(p->C, p->d[k]));
        if (p->d[k] > d_max) d_max = p->d[k];
    }
    p->Z = take_f32(&pieces, p->chunk * batch_row(DTYPE_F32, d_max));
    p->P = take_f32(&pieces, p->K * p->chunk * p->C);
    p->Y = take_f32(&pieces, p->chunk * p->C);
    p->confidence = take_f32(&pieces, p->chunk);
    p->margin = take_f32(&pieces, p->chunk);
    p->index = take_i32(&pieces, (p->K + 1) * p->chunk);
    p->scratch =
        take(&pieces, p->ops->matrix.matmul_scratch_bytes(MATMUL_NT, p->chunk, p->C, d_max));
    return pieces.bytes;
}

/* Makes the list of rows by which every piece of a split is gathered, from where the piece begins. */
static Status make_rows(Predictor *p, Error *err) {
    const int64_t bytes = p->chunk * (int64_t)sizeof(int64_t);
    const DeviceOps *mem = &p->ops->mem;
    int64_t *rows = malloc((size_t)bytes);
    Status st = rows ? mem->alloc(p->ops->device, &p->own, bytes, err)
                     : fail(err, ERR_MEMORY, "predictions: out of memory");
    for (int64_t i = 0; st == OK && i < p->chunk; i++) rows[i] = i;
    p->rows = p->own.data;
    if (st == OK) mem->to_device(p->queue, p->rows, rows, bytes);
    if (st == OK) st = mem->wait(p->queue, err);
    free(rows);
    return st;
}

Status predictor_open(Predictor *out, const Ops *ops, int K, int64_t C, const int64_t *d,
                      const Buffer *borrowed, Error *err) {
    *out = (Predictor){.ops = ops, .K = K, .C = C, .chunk = ops->busy_rows};
    for (int k = 0; k < K; k++) out->d[k] = d[k];
    const int64_t bytes = lay_out(out, NULL);
    Status st = ops->mem.queue_open(ops->device, &out->queue, err);
    if (st == OK && borrowed && borrowed->bytes >= bytes) {
        lay_out(out, borrowed->data);
    } else if (st == OK) {
        st = ops->mem.alloc(ops->device, &out->memory, bytes, err);
        if (st == OK) lay_out(out, out->memory.data);
    }
    if (st == OK) st = make_rows(out, err);
    if (st != OK) predictor_close(out);
    return st;
}

void predictor_close(Predictor *p) {
    if (!p || !p->ops) return;
    p->ops->mem.queue_close(p->queue);
    p->ops->mem.free(p->ops->device, &p->memory);
    p->ops->mem.free(p->ops->device, &p->own);
    *p = (Predictor){0};
}

/* Enqueues samples first .. first+n, n <= chunk: Y's argmax into p->index[0..n], each P_k's into
 * p->index[(1 + k) n ..]. */
static void enqueue_chunk(Predictor *p, Queue *q, const Features *features, int64_t first,
                          int64_t n) {
    const Ops *ops = p->ops;
    for (int k = 0; k < p->K; k++) {
        float *P = p->P + k * n * p->C;
        const int64_t d = p->d[k];
        const Batch Z = {p->Z, DTYPE_F32, d, batch_row(DTYPE_F32, d), false, 0};
        Features piece = features[k];
        piece.data = (const char *)piece.data + first * d * dtype_bytes(piece.type);
        piece.N -= first;
        ops->matrix.gather(q, &Z, &piece, p->rows, n);
        ops->matrix.matmul(q, MATMUL_NT, P, &Z, p->linear[k], p->linear[k] + p->C * d, n, p->C, d,
                           p->scratch);
        ops->train.softmax(q, P, P, n, p->C);
        ops->matrix.argmax(q, p->index + (1 + k) * n, NULL, NULL, P, n, p->C);
    }
    ops->train.label_mean(q, p->Y, p->P, p->K, n, p->C);
    ops->matrix.argmax(q, p->index, p->confidence, p->margin, p->Y, n, p->C);
}

/* Runs one piece, into *out; `index` is (K+1, n) as in enqueue_chunk. */
static Status run_chunk(Predictor *p, const Features *features, int64_t first, int64_t n,
                        int32_t *index, Predictions *out, Error *err) {
    const DeviceOps *mem = &p->ops->mem;
    Queue *q = p->queue;
    enqueue_chunk(p, q, features, first, n);
    mem->to_host(q, index, p->index, (p->K + 1) * n * (int64_t)sizeof *index);
    mem->to_host(q, out->confidence + first, p->confidence, n * (int64_t)sizeof(float));
    mem->to_host(q, out->margin + first, p->margin, n * (int64_t)sizeof(float));
    return mem->wait(q, err);
}

/* Gives the soft labels of the piece that was run last to whoever takes them. */
static Status give_soft_labels(Predictor *p, float *soft, int64_t n, Error *err) {
    p->ops->mem.to_host(p->queue, soft, p->Y, n * p->C * (int64_t)sizeof *soft);
    const Status st = p->ops->mem.wait(p->queue, err);
    return st == OK ? p->take(p->take_context, soft, n, err) : st;
}

Status predictor_clusters(Predictor *p, Queue *q, float *const *task, const Features *features,
                          int64_t n, int32_t *cluster) {
    const DeviceOps *mem = &p->ops->mem;
    Status st = OK;
    for (int k = 0; k < p->K; k++) {
        const int64_t C = p->C, weights = C * p->d[k];
        p->ops->train.weight_norm(q, p->linear[k], task[k], C, p->d[k]);
        st = mem->copy(q, p->linear[k] + weights, task[k] + weights, C * (int64_t)sizeof(float));
    }
    for (int64_t first = 0; st == OK && first < n; first += p->chunk) {
        const int64_t m = n - first < p->chunk ? n - first : p->chunk;
        enqueue_chunk(p, q, features, first, m);
        st = mem->to_host(q, cluster + first, p->index, m * (int64_t)sizeof *cluster);
    }
    return st;
}

Status predictor_run(Predictor *p, const TaskEncoder *task, const Features *features, int64_t n,
                     Predictions *out, Error *err) {
    int64_t agree[MAX_SPACES] = {0};
    Status st = predictions_alloc(out, n, err);
    if (st != OK) return st;
    int32_t *index = malloc((size_t)((p->K + 1) * p->chunk) * sizeof *index);
    float *soft = p->take ? malloc((size_t)(p->chunk * p->C) * sizeof *soft) : NULL;
    if (!index || (p->take && !soft)) st = fail(err, ERR_MEMORY, "predictions: out of memory");
    for (int k = 0; k < p->K && st == OK; k++)
        p->ops->mem.to_device(p->queue, p->linear[k], task->linear[k],
                              linear_size(p->C, p->d[k]) * (int64_t)sizeof(float));
    for (int64_t first = 0; st == OK && first < n; first += p->chunk) {
        const int64_t m = n - first < p->chunk ? n - first : p->chunk;
        st = run_chunk(p, features, first, m, index, out, err);
        if (st == OK && p->take) st = give_soft_labels(p, soft, m, err);
        for (int64_t i = 0; st == OK && i < m; i++) {
            out->cluster[first + i] = index[i];
            for (int k = 0; k < p->K; k++) agree[k] += index[(1 + k) * m + i] == index[i];
        }
    }
    free(index);
    free(soft);
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
