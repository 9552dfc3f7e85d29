/* kmeans.c - k-means with k-means++ or random starts; see kmeans.h. */
#include "host/baseline/kmeans.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "kernels/pieces.h"

enum {
    PIECE = 4096,          /* samples that kmeans_apply looks at together; changes no bit */
    START_BYTES = 1 << 28, /* most memory for candidates' distances of several restarts */
};

/* --- memory ----------------------------------------------------------------------------------- */

/* Cuts the memory, NULL to count it. Returns its bytes. */
static int64_t lay_out(Kmeans *m, void *memory) {
    const int64_t N = m->N, C = m->config.C, row = batch_row(DTYPE_F32, m->d), R = m->together;
    Pieces pieces = {memory, 0};
    m->samples.Z.data = take_f32(&pieces, N * row);
    m->samples.norm2 = take_f32(&pieces, N);
    m->piece.Z.data = take_f32(&pieces, PIECE * row);
    m->piece.norm2 = take_f32(&pieces, PIECE);
    m->rows = take_i64(&pieces, PIECE);
    m->centers.at = take_f32(&pieces, C * m->d);
    m->centers.norm2 = take_f32(&pieces, C);
    m->centers.moved = take_f32(&pieces, C);
    m->best = take_f32(&pieces, C * m->d);
    m->mean = take_f32(&pieces, m->d);
    m->label = take_i32(&pieces, N > PIECE ? N : PIECE);
    m->before = take_i32(&pieces, N);
    m->bounds.upper = take_f32(&pieces, N);
    m->bounds.lower = take_f32(&pieces, N);
    m->distance2 = take_f32(&pieces, N);
    m->first = take_f32(&pieces, PIECE);
    m->second = take_f32(&pieces, PIECE);
    m->sums = take_f64(&pieces, C * m->d);
    m->count = take_i64(&pieces, C + 1);
    m->scalar = take_f64(&pieces, 2);
    m->seeds = take_i64(&pieces, R * C);
    m->candidate = take_i64(&pieces, R * m->candidates);
    m->number = take_i64(&pieces, 1);
    m->closest = take_f32(&pieces, N * R);
    m->scratch =
        take(&pieces, m->ops->cluster.scratch_bytes(m->ops->device, N, m->d, C, R, m->candidates));
    return pieces.bytes;
}

Status kmeans_take_memory(Kmeans *m, Error *err) {
    const int64_t N = m->N, row = batch_row(DTYPE_F32, m->d);
    m->candidates = m->config.random_start ? 1 : 2 + (int64_t)log((double)m->config.C);
    m->together = START_BYTES / (N * m->candidates * (int64_t)sizeof(float));
    if (m->together > m->config.n_init) m->together = m->config.n_init;
    if (m->together < 1 || m->config.random_start) m->together = 1;
    const int64_t bytes = lay_out(m, NULL);
    Status st = m->ops->mem.queue_open(m->ops->device, &m->queue, err);
    if (st == OK) st = m->ops->mem.alloc(m->ops->device, &m->memory, bytes, err);
    if (st == ERR_MEMORY)
        st = fail(err, ERR_MEMORY,
                  "k-means: %.1f MiB are not to be had: %lld samples of %lld features are copied",
                  (double)bytes / (1 << 20), (long long)N, (long long)m->d);
    if (st != OK) return st;
    lay_out(m, m->memory.data);
    m->samples.N = N;
    m->samples.Z = (Batch){m->samples.Z.data, DTYPE_F32, m->d, row, false, 0};
    m->piece.Z = (Batch){m->piece.Z.data, DTYPE_F32, m->d, row, false, 0};
    m->centers.C = m->config.C;
    m->count_host = calloc((size_t)m->config.C + 1, sizeof *m->count_host);
    return m->count_host ? OK : fail(err, ERR_MEMORY, "k-means: out of memory");
}

void kmeans_close(Kmeans *m) {
    if (!m || !m->ops) return;
    m->ops->mem.queue_close(m->queue);
    m->ops->mem.free(m->ops->device, &m->memory);
    free(m->count_host);
    *m = (Kmeans){0};
}

/* --- samples ---------------------------------------------------------------------------------- */

/* Gathers rows first .. first+n of every space's features, side by side from row `at` of Z on, and
 * scales them. */
static Status fill(Kmeans *m, const Batch *Z, int64_t at, const Features *features, int64_t first,
                   int64_t n, Error *err) {
    const Ops *ops = m->ops;
    Queue *q = m->queue;
    int64_t *rows = malloc((size_t)n * sizeof *rows);
    if (!rows) return fail(err, ERR_MEMORY, "k-means: out of memory");
    for (int64_t i = 0; i < n; i++) rows[i] = first + i;
    ops->mem.to_device(q, m->rows, rows, n * (int64_t)sizeof *rows);
    free(rows);
    float *z = (float *)Z->data + at * Z->row;
    const Batch whole = {z, DTYPE_F32, m->d, Z->row, false, 0};
    for (int k = 0, column = 0; k < m->K; column += (int)m->d_k[k++]) {
        const Batch columns = {z + column, DTYPE_F32, m->d_k[k], Z->row, false, 0};
        ops->matrix.gather(q, &columns, &features[k], m->rows, n);
        if (m->K > 1) ops->cluster.unit_rows(q, &columns, n);
    }
    if (m->config.spherical) ops->cluster.unit_rows(q, &whole, n);
    return ops->mem.wait(q, err);
}

/* Measures all samples: the largest length decides the grid of the sums, the sum of squares the
 * variance. */
static Status measure(Kmeans *m, Error *err) {
    float *norm2 = malloc((size_t)m->N * sizeof *norm2);
    if (!norm2) return fail(err, ERR_MEMORY, "k-means: out of memory");
    m->ops->cluster.row_norms(m->queue, m->samples.norm2, &m->samples.Z, m->N);
    m->ops->mem.to_host(m->queue, norm2, m->samples.norm2, m->N * (int64_t)sizeof *norm2);
    Status st = m->ops->mem.wait(m->queue, err);
    double sum = 0.0, most = 0.0;
    for (int64_t n = 0; st == OK && n < m->N; n++) {
        sum += norm2[n];
        if (norm2[n] > most) most = norm2[n];
        if (!(norm2[n] < 1e36f))
            st =
                fail(err, ERR_ARG,
                     "k-means: sample %lld is %.3g long: its squared distances pass float32: scale "
                     "the features down",
                     (long long)n, sqrt((double)norm2[n]));
    }
    free(norm2);
    m->grid = cluster_grid(m->N, sqrt(most));
    m->variance = sum / ((double)m->N * (double)m->d);
    /* A centre is rounded to float32, 2^-24 of its length: samples nearer to it than 2^-20 of the
     * longest one coincide with it. */
    m->apart2 = 0x1p-40 * most;
    return st;
}

/* Subtracts the mean of all samples: the sum of one cluster that holds them all. */
static Status center_samples(Kmeans *m, Error *err) {
    const Ops *ops = m->ops;
    double *sum = malloc((size_t)m->d * sizeof *sum);
    float *mean = malloc((size_t)m->d * sizeof *mean);
    Status st = sum && mean ? OK : fail(err, ERR_MEMORY, "k-means: out of memory");
    if (st == OK) {
        ops->mem.zero(m->queue, m->label, m->N * (int64_t)sizeof *m->label);
        ops->cluster.update_sums(m->queue, m->sums, m->count, m->before, true, m->label,
                                 &m->samples, 1, m->grid, m->scratch);
        ops->mem.to_host(m->queue, sum, m->sums, m->d * (int64_t)sizeof *sum);
        st = ops->mem.wait(m->queue, err);
    }
    if (st == OK) {
        for (int64_t j = 0; j < m->d; j++) mean[j] = (float)(sum[j] / (double)m->N);
        ops->mem.to_device(m->queue, m->mean, mean, m->d * (int64_t)sizeof *mean);
        ops->cluster.shift_rows(m->queue, &m->samples.Z, m->mean, m->N);
        st = measure(m, err);
    }
    free(sum);
    free(mean);
    return st;
}

static Status open_features(Kmeans *m, Features *on_device, const Features *const *features,
                            Error *err) {
    Status st = OK;
    for (int k = 0; st == OK && k < m->K; k++)
        st = m->ops->mem.features_open(m->ops->device, &on_device[k], features[k], err);
    return st;
}

static void close_features(Kmeans *m, Features *on_device) {
    for (int k = 0; k < m->K; k++) m->ops->mem.features_close(m->ops->device, &on_device[k]);
}

Status kmeans_open(Kmeans *out, const Ops *ops, const KmeansConfig *config, int K,
                   const Features *const *features, Error *err) {
    Features on_device[MAX_SPACES] = {{0}};
    *out = (Kmeans){.ops = ops, .config = *config, .K = K, .N = features[0]->N};
    for (int k = 0; k < K; k++) {
        out->d_k[k] = features[k]->d;
        out->d += features[k]->d;
    }
    Status st = kmeans_take_memory(out, err);
    if (st == OK) st = open_features(out, on_device, features, err);
    for (int64_t first = 0; st == OK && first < out->N; first += PIECE)
        st = fill(out, &out->samples.Z, first, on_device, first,
                  out->N - first < PIECE ? out->N - first : PIECE, err);
    close_features(out, on_device);
    if (st == OK) st = measure(out, err);
    if (st == OK && !config->spherical) st = center_samples(out, err);
    if (st != OK) kmeans_close(out);
    return st;
}

static Status stopped(Error *err) {
    return fail(err, ERR_STOPPED, "k-means: stopped; nothing is kept of this run");
}

/* --- starts ----------------------------------------------------------------------------------- */

/* Draws the k-means++ starts of the restarts first .. first+R, side by side. */
static void draw_starts(Kmeans *m, int64_t first, int64_t R) {
    const ClusterOps *ops = &m->ops->cluster;
    const int64_t C = m->config.C;
    for (int64_t step = 0; step < C && !stop_asked(m->hooks); step++) {
        const int64_t L = step ? m->candidates : 1;
        ops->weighted_rows(m->queue, m->candidate, step ? m->closest : NULL, m->N, R, L,
                           m->config.seed, first, step, m->scratch);
        ops->seed_step(m->queue, m->seeds + step, C, m->closest, step == 0, m->candidate,
                       &m->samples, R, L, m->scratch);
    }
}

Status kmeans_start(Kmeans *m, int64_t r, Error *err) {
    const Ops *ops = m->ops;
    const int64_t *seeds = m->seeds;
    if (m->config.random_start) {
        ops->mem.to_device(m->queue, m->number, &r, sizeof r);
        ops->train.random_rows(m->queue, m->seeds, m->config.C, m->N, m->config.seed, m->number);
    } else {
        const int64_t first = r / m->together * m->together, left = m->config.n_init - first;
        if (m->drawn != first + 1) {
            draw_starts(m, first, left < m->together ? left : m->together);
            m->drawn = first + 1;
        }
        seeds += (r - first) * m->config.C;
    }
    ops->cluster.pick_rows(m->queue, &m->centers, seeds, &m->samples);
    return ops->mem.wait(m->queue, err);
}

Status kmeans_start_at(Kmeans *m, const float *centers, Error *err) {
    const Batch at = batch_f32(m->centers.at, m->d);
    const int64_t C = m->config.C;
    m->ops->mem.to_device(m->queue, m->centers.at, centers, C * m->d * (int64_t)sizeof *centers);
    if (m->config.spherical) m->ops->cluster.unit_rows(m->queue, &at, C);
    else m->ops->cluster.shift_rows(m->queue, &at, m->mean, C);
    m->ops->cluster.row_norms(m->queue, m->centers.norm2, &at, C);
    return m->ops->mem.wait(m->queue, err);
}

/* --- Lloyd ------------------------------------------------------------------------------------ */

static void assign(Kmeans *m, bool fresh) {
    const ClusterOps *ops = &m->ops->cluster;
    if (m->config.all_distances)
        ops->nearest(m->queue, m->label, NULL, NULL, &m->samples, &m->centers, m->scratch);
    else
        ops->nearest_bounded(m->queue, m->label, m->bounds, fresh, &m->samples, &m->centers,
                             m->scratch);
}

/* Computes sums and centres of the labels as they are; count_host[C] is how many labels changed,
 * *shift2 how far centres moved. */
static Status update(Kmeans *m, bool fresh, double *shift2, Error *err) {
    const Ops *ops = m->ops;
    ops->cluster.update_sums(m->queue, m->sums, m->count, m->before, fresh, m->label, &m->samples,
                             m->config.C, m->grid, m->scratch);
    ops->cluster.update_centers(m->queue, &m->centers, m->scalar, m->sums, m->count, m->d,
                                m->config.spherical);
    ops->mem.to_host(m->queue, m->count_host, m->count,
                     (m->config.C + 1) * (int64_t)sizeof *m->count);
    ops->mem.to_host(m->queue, shift2, m->scalar, sizeof *shift2);
    return ops->mem.wait(m->queue, err);
}

static Status inertia(Kmeans *m, double *out, Error *err) {
    m->ops->cluster.own_distances(m->queue, m->distance2, m->scalar + 1, m->label, &m->samples,
                                  &m->centers, m->scratch);
    m->ops->mem.to_host(m->queue, out, m->scalar + 1, sizeof *out);
    return m->ops->mem.wait(m->queue, err);
}

static bool any_empty(const Kmeans *m) {
    for (int64_t c = 0; c < m->config.C; c++)
        if (m->count_host[c] == 0) return true;
    return false;
}

/* Gives every empty cluster the sample farthest from its centre, where one lies apart. */
static Status refill(Kmeans *m, bool *refilled, double *shift2, Error *err) {
    const Ops *ops = m->ops;
    const int64_t N = m->N;
    float *distance2 = malloc((size_t)N * sizeof *distance2);
    int32_t *label = malloc((size_t)N * sizeof *label);
    double unused;
    *refilled = false;
    Status st = distance2 && label ? OK : fail(err, ERR_MEMORY, "k-means: out of memory");
    if (st == OK) {
        ops->mem.to_host(m->queue, label, m->label, N * (int64_t)sizeof *label);
        st = inertia(m, &unused, err);
    }
    if (st == OK) {
        ops->mem.to_host(m->queue, distance2, m->distance2, N * (int64_t)sizeof *distance2);
        st = ops->mem.wait(m->queue, err);
    }
    for (int64_t c = 0; st == OK && c < m->config.C; c++) {
        if (m->count_host[c]) continue;
        int64_t far = -1;
        for (int64_t n = 0; n < N; n++)
            if (distance2[n] > m->apart2 && m->count_host[label[n]] > 1 &&
                (far < 0 || distance2[n] > distance2[far]))
                far = n;
        if (far < 0) break;
        m->count_host[label[far]]--;
        m->count_host[c] = 1;
        label[far] = (int32_t)c;
        distance2[far] = 0.0f;
        *refilled = true;
    }
    if (st == OK && *refilled) {
        ops->mem.to_device(m->queue, m->label, label, N * (int64_t)sizeof *label);
        st = update(m, false, shift2, err);
    }
    free(distance2);
    free(label);
    return st;
}

Status kmeans_lloyd(Kmeans *m, KmeansRestart *out, double *step, const TurtleHooks *hooks,
                    Error *err) {
    const double enough = m->config.tol * m->variance;
    bool fresh = true, settled = false; /* labels unknown; labels belong to the centres */
    Status st = OK;
    *out = (KmeansRestart){0};
    while (st == OK && !settled && out->iterations < m->config.max_iter) {
        double shift2 = 0.0;
        if (stop_asked(hooks)) return stopped(err);
        const bool first = out->iterations++ == 0;
        assign(m, fresh);
        fresh = false;
        st = update(m, first, &shift2, err);
        if (st == OK && !first && m->count_host[m->config.C] == 0) settled = true;
        else if (st == OK && any_empty(m)) st = refill(m, &fresh, &shift2, err);
        if (st == OK && step) st = inertia(m, &step[out->iterations - 1], err);
        if (st == OK && !settled && shift2 <= enough) break;
    }
    if (st == OK && !settled) assign(m, fresh);
    return st == OK ? inertia(m, &out->inertia, err) : st;
}

/* --- all restarts ----------------------------------------------------------------------------- */

static void copy_centers(Kmeans *m, float *to, const float *from) {
    m->ops->mem.copy(m->queue, to, from, m->config.C * m->d * (int64_t)sizeof *to);
}

Status kmeans_run(Kmeans *m, KmeansRestart *restart, int64_t *best, const TurtleHooks *hooks,
                  Error *err) {
    TurtleProgress p = {.unit = "restarts",
                        .iterations = m->config.n_init,
                        .loss = NAN,
                        .entropy = NAN,
                        .cluster_acc = NAN};
    double least = INFINITY;
    Status st = OK;
    *best = -1;
    m->hooks = hooks;
    const double started = now_seconds();
    for (int64_t r = 0; st == OK && r < m->config.n_init; r++) {
        KmeansRestart found;
        st = kmeans_start(m, r, err);
        if (st == OK) st = kmeans_lloyd(m, &found, NULL, hooks, err);
        if (st != OK) break;
        if (restart) restart[r] = found;
        if (*best < 0 || found.inertia < least) {
            least = found.inertia;
            *best = r;
            copy_centers(m, m->best, m->centers.at);
        }
        p.iteration = r + 1;
        p.seconds = now_seconds() - started;
        if (progress_tell(hooks, &p) && r + 1 < m->config.n_init) st = stopped(err);
    }
    if (st != OK) return st;
    const Batch at = batch_f32(m->centers.at, m->d);
    copy_centers(m, m->centers.at, m->best);
    m->ops->cluster.row_norms(m->queue, m->centers.norm2, &at, m->config.C);
    return m->ops->mem.wait(m->queue, err);
}

/* --- any samples ------------------------------------------------------------------------------ */

/* Finds the nearest centres of n <= PIECE samples from `first` on. */
static Status apply_piece(Kmeans *m, const Features *features, int64_t first, int64_t n,
                          Predictions *out, int32_t *label, float *second, Error *err) {
    const Ops *ops = m->ops;
    Status st = fill(m, &m->piece.Z, 0, features, first, n, err);
    if (st != OK) return st;
    m->piece.N = n;
    if (!m->config.spherical) ops->cluster.shift_rows(m->queue, &m->piece.Z, m->mean, n);
    ops->cluster.row_norms(m->queue, m->piece.norm2, &m->piece.Z, n);
    ops->cluster.nearest(m->queue, m->label, m->first, m->second, &m->piece, &m->centers,
                         m->scratch);
    ops->mem.to_host(m->queue, label, m->label, n * (int64_t)sizeof *label);
    ops->mem.to_host(m->queue, out->confidence + first, m->first, n * (int64_t)sizeof(float));
    ops->mem.to_host(m->queue, second, m->second, n * (int64_t)sizeof(float));
    st = ops->mem.wait(m->queue, err);
    for (int64_t i = 0; st == OK && i < n; i++) {
        const double d1 = sqrt((double)out->confidence[first + i]), d2 = sqrt((double)second[i]);
        const bool apart = d2 > 0.0 && isfinite(d2);
        out->cluster[first + i] = label[i];
        out->confidence[first + i] = apart ? (float)(d2 / (d1 + d2)) : 0.5f;
        out->margin[first + i] = apart ? (float)((d2 - d1) / (d1 + d2)) : 0.0f;
    }
    return st;
}

Status kmeans_apply(Kmeans *m, const Features *const *features, int64_t n, Predictions *out,
                    Error *err) {
    Features on_device[MAX_SPACES] = {{0}};
    int32_t *label = malloc(PIECE * sizeof *label);
    float *second = malloc(PIECE * sizeof *second);
    Status st = predictions_alloc(out, n, err);
    if (st == OK && (!label || !second)) st = fail(err, ERR_MEMORY, "k-means: out of memory");
    if (st == OK) st = open_features(m, on_device, features, err);
    for (int64_t first = 0; st == OK && first < n; first += PIECE)
        st = apply_piece(m, on_device, first, n - first < PIECE ? n - first : PIECE, out, label,
                         second, err);
    close_features(m, on_device);
    free(label);
    free(second);
    if (st != OK) predictions_free(out);
    else out->space_agreement = NAN;
    return st;
}
