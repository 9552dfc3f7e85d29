/* classifier.c - images and clusters beside class vectors: logits, classes, names. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/baseline/zeroshot.h"
#include "kernels/pieces.h"

/* Cuts the memory, NULL to count it. Returns its bytes. */
static int64_t lay_out(Classifier *c, void *memory) {
    Pieces pieces = {memory, 0};
    const int64_t n = CLASSIFIER_ROWS;
    c->rows = take_i64(&pieces, n);
    c->W = take_f32(&pieces, c->classes * c->d);
    c->Z = take_f32(&pieces, n * c->d);
    c->norm2 = take_f32(&pieces, n);
    c->logits = take_f32(&pieces, n * c->classes);
    c->top = take_f32(&pieces, n);
    c->margin = take_f32(&pieces, n);
    c->index = take_i32(&pieces, n);
    c->scratch = take(&pieces, c->ops->matrix.matmul_scratch_bytes(MATMUL_NT, n, c->classes, c->d));
    return pieces.bytes;
}

Status classifier_open(Classifier *out, const Ops *ops, const float *weights, int64_t classes,
                       int64_t d, Error *err) {
    *out = (Classifier){.ops = ops, .classes = classes, .d = d};
    const int64_t n = classes * d, bytes = lay_out(out, NULL);
    float *scaled = malloc((size_t)n * sizeof *scaled);
    Status st = scaled ? OK : fail(err, ERR_MEMORY, "zeroshot: out of memory");
    if (st == OK) st = ops->mem.queue_open(ops->device, &out->queue, err);
    if (st == OK) st = ops->mem.alloc(ops->device, &out->memory, bytes, err);
    if (st == OK) {
        lay_out(out, out->memory.data);
        for (int64_t i = 0; i < n; i++) scaled[i] = 100.0f * weights[i];
        ops->mem.to_device(out->queue, out->W, scaled, n * (int64_t)sizeof *scaled);
        st = ops->mem.wait(out->queue, err);
    }
    free(scaled);
    if (st != OK) classifier_close(out);
    return st;
}

void classifier_close(Classifier *c) {
    if (!c || !c->ops) return;
    c->ops->mem.queue_close(c->queue);
    c->ops->mem.free(c->ops->device, &c->memory);
    *c = (Classifier){0};
}

/* Computes c->logits (n,classes) of rows first .. first+n. */
static void run_logits(Classifier *c, const Features *features, int64_t first, int64_t n) {
    const Ops *ops = c->ops;
    const Batch Z = batch_f32(c->Z, c->d);
    int64_t rows[CLASSIFIER_ROWS];
    for (int64_t i = 0; i < n; i++) rows[i] = first + i;
    ops->mem.to_device(c->queue, c->rows, rows, n * (int64_t)sizeof *rows);
    ops->matrix.gather(c->queue, &Z, features, c->rows, n);
    ops->cluster.unit_rows(c->queue, &Z, n);
    ops->cluster.row_norms(c->queue, c->norm2, &Z, n);
    ops->matrix.matmul(c->queue, MATMUL_NT, c->logits, &Z, c->W, NULL, n, c->classes, c->d,
                       c->scratch);
}

Status classifier_run(Classifier *c, const Features *features, const char *path, Predictions *out,
                      float *probability, Error *err) {
    const Ops *ops = c->ops;
    const int64_t N = features->N;
    Features on_device;
    int32_t index[CLASSIFIER_ROWS];
    float norm2[CLASSIFIER_ROWS];
    predictions_free(out);
    *out = (Predictions){.n = N,
                         .cluster = malloc((size_t)N * sizeof *out->cluster),
                         .confidence = malloc((size_t)N * sizeof *out->confidence),
                         .margin = malloc((size_t)N * sizeof *out->margin),
                         .space_agreement = NAN};
    if (!out->cluster || !out->confidence || !out->margin)
        return fail(err, ERR_MEMORY, "zeroshot: out of memory for %lld samples", (long long)N);
    Status st = ops->mem.features_open(ops->device, &on_device, features, err);
    if (st != OK) return st;
    for (int64_t first = 0; st == OK && first < N; first += CLASSIFIER_ROWS) {
        const int64_t n = N - first < CLASSIFIER_ROWS ? N - first : CLASSIFIER_ROWS;
        run_logits(c, &on_device, first, n);
        ops->train.softmax(c->queue, c->logits, c->logits, n, c->classes);
        ops->matrix.argmax(c->queue, c->index, c->top, c->margin, c->logits, n, c->classes);
        ops->mem.to_host(c->queue, index, c->index, n * (int64_t)sizeof *index);
        ops->mem.to_host(c->queue, norm2, c->norm2, n * (int64_t)sizeof *norm2);
        ops->mem.to_host(c->queue, out->confidence + first, c->top, n * (int64_t)sizeof(float));
        ops->mem.to_host(c->queue, out->margin + first, c->margin, n * (int64_t)sizeof(float));
        if (probability)
            ops->mem.to_host(c->queue, probability + first * c->classes, c->logits,
                             n * c->classes * (int64_t)sizeof(float));
        st = ops->mem.wait(c->queue, err);
        for (int64_t i = 0; st == OK && i < n; i++) {
            out->cluster[first + i] = index[i];
            if (norm2[i] == 0.0f)
                st = fail(err, ERR_FORMAT,
                          "zeroshot: %s: row %lld is all zeros: it points nowhere, recompute or "
                          "drop that sample",
                          path, (long long)(first + i));
        }
    }
    ops->mem.features_close(ops->device, &on_device);
    return st;
}

/* --- names of clusters ------------------------------------------------------------------------ */

/* Adds up the normalised features of each cluster's members; sums (C,d) is zero at first. */
static Status sum_members(double *sums, Classifier *c, const Features *features,
                          const int64_t *cluster, Error *err) {
    const int64_t d = c->d;
    float *row = calloc((size_t)d, sizeof *row);
    if (!row) return fail(err, ERR_MEMORY, "zeroshot: out of memory");
    for (int64_t i = 0; i < features->N; i++) {
        double square = 0.0, *sum = sums + cluster[i] * d;
        dtype_to_f32(row, (const uint8_t *)features->data + i * d * dtype_bytes(features->type),
                     features->type, features->swapped, d);
        for (int64_t j = 0; j < d; j++) square += (double)row[j] * row[j];
        const double scale = 1.0 / sqrt(square); /* classifier_run refused rows of zeros */
        for (int64_t j = 0; j < d; j++) sum[j] += scale * row[j];
    }
    free(row);
    return OK;
}

/* Returns whether class a names a cluster better than class b. */
static bool better(const int64_t *votes, const float *similarity, int64_t a, int64_t b) {
    return votes[a] != votes[b] ? votes[a] > votes[b] : similarity[a] > similarity[b];
}

static Status name_one(TurtleClusterName *out, const int64_t *votes, const float *similarity,
                       const Prompts *p, Error *err) {
    int64_t best = 0, next = 1, nearest = 0;
    if (better(votes, similarity, 1, 0)) best = 1, next = 0;
    for (int64_t j = 1; j < p->classes; j++)
        if (similarity[j] > similarity[nearest]) nearest = j;
    for (int64_t j = 2; j < p->classes; j++) {
        if (better(votes, similarity, j, best)) {
            next = best;
            best = j;
        } else if (better(votes, similarity, j, next)) {
            next = j;
        }
    }
    const double n = (double)out->samples;
    out->share = (double)votes[best] / n;
    out->runner_up_share = (double)votes[next] / n;
    out->name = strdup(p->names.item[p->begin[best]]);
    out->runner_up = strdup(p->names.item[p->begin[next]]);
    out->mean_name = strdup(p->names.item[p->begin[nearest]]);
    return out->name && out->runner_up && out->mean_name
               ? OK
               : fail(err, ERR_MEMORY, "zeroshot: out of memory");
}

/* Orders the samples by their clusters: cluster k has order[begin[k]] to order[begin[k + 1] - 1]. */
static void sort_by_cluster(int64_t *order, int64_t *begin, const int64_t *cluster, int64_t N,
                            int64_t C) {
    memset(begin, 0, (size_t)(C + 2) * sizeof *begin);
    for (int64_t i = 0; i < N; i++) begin[cluster[i] + 2]++;
    for (int64_t k = 0; k < C; k++) begin[k + 2] += begin[k + 1];
    for (int64_t i = 0; i < N; i++) order[begin[cluster[i] + 1]++] = i;
}

Status clusters_name(TurtleClusterName *out, int64_t C, Classifier *c, const Features *features,
                     const int64_t *cluster, const int64_t *nearest, const Prompts *p, Error *err) {
    const int64_t N = features->N, d = c->d;
    double *sums = calloc((size_t)(C * d), sizeof *sums);
    float *means = malloc((size_t)(C * d) * sizeof *means);
    float *similarity = malloc((size_t)(CLASSIFIER_ROWS * c->classes) * sizeof *similarity);
    int64_t *votes = malloc((size_t)c->classes * sizeof *votes);
    int64_t *order = malloc((size_t)N * sizeof *order),
            *begin = malloc((size_t)(C + 2) * sizeof *begin);
    const Features host = {.data = means, .N = C, .d = d, .type = DTYPE_F32};
    Features on_device = {0};
    Status st = sums && means && similarity && votes && order && begin
                    ? OK
                    : fail(err, ERR_MEMORY, "zeroshot: out of memory");
    if (st == OK) st = sum_members(sums, c, features, cluster, err);
    for (int64_t i = 0; st == OK && i < C * d; i++) means[i] = (float)sums[i];
    if (st == OK) st = c->ops->mem.features_open(c->ops->device, &on_device, &host, err);
    if (st == OK) sort_by_cluster(order, begin, cluster, N, C);
    for (int64_t k = 0; st == OK && k < C; k++) {
        const int64_t row = k % CLASSIFIER_ROWS;
        if (row == 0) {
            const int64_t n = C - k < CLASSIFIER_ROWS ? C - k : CLASSIFIER_ROWS;
            run_logits(c, &on_device, k, n);
            c->ops->mem.to_host(c->queue, similarity, c->logits,
                                n * c->classes * (int64_t)sizeof *similarity);
            st = c->ops->mem.wait(c->queue, err);
        }
        out[k] = (TurtleClusterName){.cluster = k, .samples = begin[k + 1] - begin[k]};
        memset(votes, 0, (size_t)c->classes * sizeof *votes);
        for (int64_t i = begin[k]; i < begin[k + 1]; i++) votes[nearest[order[i]]]++;
        if (st == OK && out[k].samples)
            st = name_one(&out[k], votes, similarity + row * c->classes, p, err);
    }
    if (on_device.data) c->ops->mem.features_close(c->ops->device, &on_device);
    free(sums);
    free(means);
    free(similarity);
    free(votes);
    free(order);
    free(begin);
    return st;
}
