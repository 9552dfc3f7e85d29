/* kmeans_centers.c - centres as callers keep them: copied out of a k-means, and opened again for other samples. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/baseline/kmeans.h"

/* Samples that kmeans_apply is given room for, whatever their number: it takes them piece by piece. */
enum { ROOM = 4096 };

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "k-means: out of memory");
}

static void scale(float *x, int64_t n, int exponent) {
    for (int64_t i = 0; exponent && i < n; i++) x[i] = ldexpf(x[i], exponent);
}

Status kmeans_centers(Kmeans *m, TurtleCenters *out, int exponent, Error *err) {
    const int64_t C = m->config.C, d = m->d, floats = (int64_t)sizeof(float);
    *out = (TurtleCenters){.spaces = m->K,
                           .classes = C,
                           .dims = malloc((size_t)m->K * sizeof *out->dims),
                           .spherical = m->config.spherical,
                           .mean = calloc((size_t)d, sizeof *out->mean),
                           .center = malloc((size_t)(C * d) * sizeof *out->center)};
    Status st = out->dims && out->mean && out->center ? OK : out_of_memory(err);
    if (st == OK) {
        for (int k = 0; k < m->K; k++) out->dims[k] = m->d_k[k];
        m->ops->mem.to_host(m->queue, out->center, m->centers.at, C * d * floats);
        if (!m->config.spherical) m->ops->mem.to_host(m->queue, out->mean, m->mean, d * floats);
        st = m->ops->mem.wait(m->queue, err);
    }
    if (st == OK) {
        scale(out->center, C * d, exponent);
        scale(out->mean, d, exponent);
    } else {
        kmeans_centers_free(out);
    }
    return st;
}

void kmeans_centers_free(TurtleCenters *c) {
    free(c->dims);
    free(c->mean);
    free(c->center);
    *c = (TurtleCenters){0};
}

Status kmeans_centers_check(const TurtleCenters *c, Error *err) {
    int64_t d = 0;
    if (c->spaces < 1 || c->spaces > MAX_SPACES || c->classes < 1 || c->classes > INT32_MAX ||
        !c->dims || !c->mean || !c->center)
        return fail(err, ERR_ARG, "k-means: the centres are empty: %lld spaces, %lld classes",
                    (long long)c->spaces, (long long)c->classes);
    for (int64_t k = 0; k < c->spaces; k++) {
        if (c->dims[k] < 1 || c->dims[k] >= INT32_MAX || (d += c->dims[k]) >= INT32_MAX)
            return fail(err, ERR_ARG, "k-means: space %lld of the centres has dimension %lld",
                        (long long)k + 1, (long long)c->dims[k]);
    }
    return d < INT64_MAX / 64 / c->classes
               ? OK
               : fail(err, ERR_ARG, "k-means: the centres are more than memory holds");
}

/* Brings centres and mean to the device, divided by 2^exponent. */
static Status fill(Kmeans *m, const TurtleCenters *c, int exponent, Error *err) {
    const int64_t n = c->classes * m->d, floats = (int64_t)sizeof(float);
    const Batch at = batch_f32(m->centers.at, m->d);
    float *both = malloc((size_t)(n + m->d) * sizeof *both),
          *norm2 = malloc((size_t)c->classes * sizeof *norm2);
    Status st = both && norm2 ? OK : out_of_memory(err);
    if (st == OK) {
        memcpy(both, c->center, (size_t)n * sizeof *both);
        memcpy(both + n, c->mean, (size_t)m->d * sizeof *both);
        scale(both, n + m->d, -exponent);
        m->ops->mem.to_device(m->queue, m->centers.at, both, n * floats);
        m->ops->mem.to_device(m->queue, m->mean, both + n, m->d * floats);
        m->ops->cluster.row_norms(m->queue, m->centers.norm2, &at, c->classes);
        m->ops->mem.to_host(m->queue, norm2, m->centers.norm2, c->classes * floats);
        st = m->ops->mem.wait(m->queue, err);
    }
    for (int64_t i = 0; st == OK && i < c->classes; i++)
        if (!(norm2[i] < 1e36f))
            st = fail(err, ERR_ARG,
                      "k-means: centre %lld is %.3g long beside these samples: its squared "
                      "distances pass float32",
                      (long long)i, sqrt((double)norm2[i]));
    for (int64_t j = 0; st == OK && j < m->d; j++)
        if (!isfinite(both[n + j]))
            st = fail(err, ERR_ARG, "k-means: the mean of the centres is not finite");
    free(both);
    free(norm2);
    return st;
}

Status kmeans_open_at(Kmeans *out, const Ops *ops, const TurtleCenters *c, int exponent,
                      Error *err) {
    *out = (Kmeans){.ops = ops,
                    .config = {.C = c->classes, .n_init = 1, .spherical = c->spherical},
                    .K = (int)c->spaces,
                    .N = ROOM};
    for (int k = 0; k < out->K; k++) out->d += out->d_k[k] = c->dims[k];
    Status st = kmeans_take_memory(out, err);
    if (st == OK) st = fill(out, c, exponent, err);
    if (st != OK) kmeans_close(out);
    return st;
}
