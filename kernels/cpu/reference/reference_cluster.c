/* reference_cluster.c - every operation of k-means in the plainest code: the judge of the shipped
 * ones, and the place to read what an operation computes (TURTLE_ISA=reference).
 *
 * There is one thread, no blocking and no bounds. Sums and differences are in double and rounded to
 * float32 once, at their end. */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cpu.h"
#include "kernels/philox.h"

static const float *row_of(const Batch *Z, int64_t n) {
    return (const float *)Z->data + n * Z->row;
}

static bool servable(const Batch *Z, int64_t N) {
    return batch_servable(Z) && Z->type == DTYPE_F32 && N >= 1;
}

static double product(const float *a, const float *b, int64_t d) {
    double sum = 0.0;
    for (int64_t j = 0; j < d; j++) sum += (double)a[j] * b[j];
    return sum;
}

/* --- samples ---------------------------------------------------------------------------------- */

static Status row_norms(Queue *q, float *norm2, const Batch *Z, int64_t N) {
    REQUIRE(q, norm2 && servable(Z, N), "row_norms");
    for (int64_t n = 0; n < N; n++) norm2[n] = (float)product(row_of(Z, n), row_of(Z, n), Z->d);
    return OK;
}

static Status unit_rows(Queue *q, const Batch *Z, int64_t N) {
    REQUIRE(q, servable(Z, N), "unit_rows");
    for (int64_t n = 0; n < N; n++) {
        float *z = (float *)Z->data + n * Z->row;
        const double length = sqrt(product(z, z, Z->d));
        for (int64_t j = 0; length > 0.0 && j < Z->d; j++) z[j] = (float)(z[j] / length);
    }
    return OK;
}

static Status shift_rows(Queue *q, const Batch *Z, const float *row, int64_t N) {
    REQUIRE(q, servable(Z, N) && row, "shift_rows");
    for (int64_t n = 0; n < N; n++)
        for (int64_t j = 0; j < Z->d; j++) ((float *)Z->data)[n * Z->row + j] -= row[j];
    return OK;
}

/* --- nearest centres -------------------------------------------------------------------------- */

static Status nearest(Queue *q, int32_t *label, float *first, float *second, const Samples *s,
                      const Centers *centers, void *scratch) {
    REQUIRE(q, label && s && servable(&s->Z, s->N) && centers && centers->C >= 1, "nearest");
    (void)scratch;
    for (int64_t n = 0; n < s->N; n++) {
        double best = -INFINITY, next = -INFINITY;
        label[n] = 0;
        for (int64_t c = 0; c < centers->C; c++) {
            const double score = product(row_of(&s->Z, n), centers->at + c * s->Z.d, s->Z.d) -
                                 0.5 * centers->norm2[c];
            if (score > best) {
                next = best;
                best = score;
                label[n] = (int32_t)c;
            } else if (score > next) {
                next = score;
            }
        }
        if (first) first[n] = (float)fmax(0.0, s->norm2[n] - 2.0 * best);
        if (second) second[n] = (float)fmax(0.0, s->norm2[n] - 2.0 * next);
    }
    return OK;
}

static Status nearest_bounded(Queue *q, int32_t *label, Bounds bounds, bool fresh, const Samples *s,
                              const Centers *centers, void *scratch) {
    (void)bounds;
    (void)fresh;
    return nearest(q, label, NULL, NULL, s, centers, scratch);
}

/* --- new centres ------------------------------------------------------------------------------ */

static Status update_sums(Queue *q, double *sums, int64_t *count, int32_t *before, bool fresh,
                          const int32_t *label, const Samples *s, int64_t C, double grid,
                          void *scratch) {
    REQUIRE(q, sums && count && before && label && s && servable(&s->Z, s->N) && C >= 1,
            "update_sums");
    (void)scratch;
    const int64_t d = s->Z.d;
    count[C] = 0;
    for (int64_t n = 0; n < s->N; n++) {
        REQUIRE(q, label[n] >= 0 && label[n] < C, "update_sums");
        count[C] += fresh || label[n] != before[n];
    }
    memset(count, 0, (size_t)C * sizeof *count);
    memset(sums, 0, (size_t)(C * d) * sizeof *sums);
    for (int64_t n = 0; n < s->N; n++) {
        count[label[n]]++;
        for (int64_t j = 0; j < d; j++)
            sums[label[n] * d + j] += cluster_round(row_of(&s->Z, n)[j], grid);
        before[n] = label[n];
    }
    return OK;
}

static Status update_centers(Queue *q, const Centers *centers, double *shift2, const double *sums,
                             const int64_t *count, int64_t d, bool spherical) {
    REQUIRE(q, centers && centers->C >= 1 && shift2 && sums && count && d >= 1, "update_centers");
    *shift2 = 0.0;
    for (int64_t c = 0; c < centers->C; c++) {
        float *at = centers->at + c * d;
        double length = 0.0, moved2 = 0.0;
        for (int64_t j = 0; j < d; j++) length += sums[c * d + j] * sums[c * d + j];
        const double divisor = spherical ? sqrt(length) : (double)count[c];
        for (int64_t j = 0; count[c] > 0 && divisor > 0.0 && j < d; j++) {
            const float to = (float)(sums[c * d + j] / divisor);
            moved2 += ((double)to - at[j]) * ((double)to - at[j]);
            at[j] = to;
        }
        centers->moved[c] = (float)(sqrt(moved2) * (1.0 + 0x1p-22));
        centers->norm2[c] = (float)product(at, at, d);
        *shift2 += (double)centers->moved[c] * centers->moved[c];
    }
    return OK;
}

static Status own_distances(Queue *q, float *distance2, double *inertia, const int32_t *label,
                            const Samples *s, const Centers *centers, void *scratch) {
    REQUIRE(q, distance2 && inertia && label && s && servable(&s->Z, s->N) && centers,
            "own_distances");
    (void)scratch;
    *inertia = 0.0;
    for (int64_t n = 0; n < s->N; n++) {
        double sum = 0.0;
        for (int64_t j = 0; j < s->Z.d; j++) {
            const double by = (double)row_of(&s->Z, n)[j] - centers->at[label[n] * s->Z.d + j];
            sum += by * by;
        }
        distance2[n] = (float)sum;
        *inertia += sum;
    }
    return OK;
}

/* --- starts ----------------------------------------------------------------------------------- */

static Status weighted_rows(Queue *q, int64_t *rows, const float *weight, int64_t N, int64_t R,
                            int64_t L, uint64_t seed, int64_t first, int64_t step, void *scratch) {
    REQUIRE(q, rows && N >= 1 && R >= 1 && L >= 1, "weighted_rows");
    (void)scratch;
    for (int64_t r = 0; r < R; r++)
        for (int64_t l = 0; l < L; l++) {
            const Philox words = philox_at(seed, PHILOX_STARTS, (int)l, first + r, step);
            const double u = unit_interval(words.word[0], words.word[1]);
            double whole = 0.0, sum = 0.0;
            for (int64_t n = 0; weight && n < N; n++) whole += weight[n * R + r];
            int64_t row = (int64_t)(u * (double)N);
            for (int64_t n = 0; weight && whole > 0.0 && n < N; n++) {
                sum += weight[n * R + r];
                if (weight[n * R + r] > 0.0f) row = n;
                if (sum > u * whole && row == n) break;
            }
            rows[r * L + l] = row;
        }
    return OK;
}

static Status pick_rows(Queue *q, const Centers *centers, const int64_t *rows, const Samples *s) {
    REQUIRE(q, centers && rows && s && servable(&s->Z, s->N), "pick_rows");
    for (int64_t c = 0; c < centers->C; c++) {
        REQUIRE(q, rows[c] >= 0 && rows[c] < s->N, "pick_rows");
        memcpy(centers->at + c * s->Z.d, row_of(&s->Z, rows[c]), (size_t)s->Z.d * sizeof(float));
        centers->norm2[c] = s->norm2[rows[c]];
    }
    return OK;
}

static float apart(const Samples *s, int64_t n, int64_t row) {
    const double x = (double)s->norm2[n] + s->norm2[row] -
                     2.0 * product(row_of(&s->Z, n), row_of(&s->Z, row), s->Z.d);
    return x > 0.0 ? (float)x : 0.0f;
}

static Status seed_step(Queue *q, int64_t *chosen, int64_t stride, float *closest, bool fresh,
                        const int64_t *rows, const Samples *s, int64_t R, int64_t L,
                        void *scratch) {
    REQUIRE(q, chosen && closest && rows && s && servable(&s->Z, s->N) && R >= 1 && L >= 1,
            "seed_step");
    (void)scratch;
    for (int64_t r = 0; r < R; r++) {
        double least = INFINITY;
        for (int64_t l = 0; l < L; l++) {
            double left = 0.0;
            for (int64_t n = 0; n < s->N; n++) {
                const float x = apart(s, n, rows[r * L + l]);
                left += fresh || x < closest[n * R + r] ? x : closest[n * R + r];
            }
            if (left < least) {
                least = left;
                chosen[r * stride] = rows[r * L + l];
            }
        }
        for (int64_t n = 0; n < s->N; n++) {
            const float x = apart(s, n, chosen[r * stride]);
            if (fresh || x < closest[n * R + r]) closest[n * R + r] = x;
        }
    }
    return OK;
}

static int64_t scratch_bytes(const Device *device, int64_t N, int64_t d, int64_t C, int64_t R,
                             int64_t L) {
    (void)device, (void)N, (void)d, (void)C, (void)R, (void)L;
    return 1;
}

void cpu_reference_cluster(ClusterOps *cluster) {
    *cluster = (ClusterOps){.row_norms = row_norms,
                            .unit_rows = unit_rows,
                            .shift_rows = shift_rows,
                            .nearest = nearest,
                            .nearest_bounded = nearest_bounded,
                            .update_sums = update_sums,
                            .update_centers = update_centers,
                            .own_distances = own_distances,
                            .weighted_rows = weighted_rows,
                            .seed_step = seed_step,
                            .pick_rows = pick_rows,
                            .scratch_bytes = scratch_bytes};
}
