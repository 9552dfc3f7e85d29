/*
 * cluster_sums.c - sums of the samples of each cluster, new centres, distances to them
 *
 * Cost     4d bytes read per sample that changed its cluster, twice where it left another; exact
 *          sums (kernels/cluster.h) are brought up to date instead of summed again.
 * Mapping  changes sorted by cluster (a counting sort); clusters x slices of COLUMNS features over
 *          threads, a slice of a sum (2 KiB) staying in the first-level cache.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cluster/cluster.h"

enum { COLUMNS = 256 };

/* --- sums ------------------------------------------------------------------------------------- */

/* The pieces of the scratch memory. */
typedef struct {
    int64_t *first;  /* (C + 1) where each cluster's changes begin */
    int64_t *change; /* (2 N) sample * 2, + 1 where the sample leaves */
    int64_t bytes;   /* of all pieces */
} Scratch;

static Scratch lay_out(void *scratch, int64_t N, int64_t C) {
    Scratch s = {0};
    Pieces pieces = {scratch, 0};
    s.first = take_i64(&pieces, C + 1);
    s.change = take_i64(&pieces, 2 * N);
    s.bytes = pieces.bytes;
    return s;
}

int64_t cpu_update_sums_scratch(int64_t N, int64_t C) {
    return lay_out(NULL, N, C).bytes;
}

/* Sorts changes by cluster: first[c] .. first[c+1] become the range of cluster c in `change`. Returns how
 * many samples changed. */
static int64_t sort_changes(int64_t *first, int64_t *change, const int32_t *before, bool fresh,
                            const int32_t *label, int64_t N, int64_t C) {
    int64_t changed = 0, sum = 0;
    memset(first, 0, (size_t)(C + 1) * sizeof *first);
    for (int64_t n = 0; n < N; n++) {
        if (!fresh && before[n] == label[n]) continue;
        changed++;
        first[label[n]]++;
        if (!fresh) first[before[n]]++;
    }
    for (int64_t c = 0; c < C; c++) { /* the end of each range; filling moves it to the front */
        sum += first[c];
        first[c] = sum;
    }
    first[C] = sum;
    for (int64_t n = N - 1; n >= 0; n--) {
        if (!fresh && before[n] == label[n]) continue;
        change[--first[label[n]]] = 2 * n;
        if (!fresh) change[--first[before[n]]] = 2 * n + 1;
    }
    return changed;
}

static void add_changes(double *restrict sum, const int64_t *change, int64_t n, const Samples *s,
                        int64_t column, int64_t columns, double grid) {
    for (int64_t i = 0; i < n; i++) {
        const float *z = sample(s, change[i] / 2) + column;
        const double sign = change[i] % 2 ? -1.0 : 1.0;
        SIMD()
        for (int64_t j = 0; j < columns; j++) sum[j] += sign * cluster_round((double)z[j], grid);
    }
}

typedef struct {
    double *sums;
    const int64_t *first, *change;
    const Samples *s;
    int64_t slices;
    double grid;
    bool fresh;
} Update;

/* Passes are slices of sums: all slices of the first cluster, then those of the second, ... */
static void update_slices(const void *loop, int64_t begin, int64_t end, int thread) {
    const Update *u = loop;
    const int64_t d = u->s->Z.d;
    (void)thread;
    for (int64_t piece = begin; piece < end; piece++) {
        const int64_t c = piece / u->slices, column = piece % u->slices * COLUMNS,
                      columns = least(d - column, COLUMNS);
        double *sum = u->sums + c * d + column;
        if (u->fresh) memset(sum, 0, (size_t)columns * sizeof *sum);
        add_changes(sum, u->change + u->first[c], u->first[c + 1] - u->first[c], u->s, column,
                    columns, u->grid);
    }
}

Status cpu_update_sums(Queue *q, double *sums, int64_t *count, int32_t *before, bool fresh,
                       const int32_t *label, const Samples *s, int64_t C, double grid,
                       void *scratch) {
    REQUIRE(q,
            sums && count && before && label && samples_servable(s) && C >= 1 && grid > 0.0 &&
                scratch,
            "update_sums");
    for (int64_t n = 0; n < s->N; n++)
        REQUIRE(q, label[n] >= 0 && label[n] < C && (fresh || (before[n] >= 0 && before[n] < C)),
                "update_sums");
    const Scratch piece = lay_out(scratch, s->N, C);
    int64_t *first = piece.first, *change = piece.change;
    const int64_t d = s->Z.d, slices = ceil_div(d, COLUMNS);
    count[C] = sort_changes(first, change, before, fresh, label, s->N, C);
    for (int64_t c = 0; c < C; c++) {
        if (fresh) count[c] = 0;
        for (int64_t i = first[c]; i < first[c + 1]; i++) count[c] += change[i] % 2 ? -1 : 1;
    }
    const Update u = {sums, first, change, s, slices, grid, fresh};
    threads_loop(q->device->pool, C * slices, 1, update_slices, &u);
    memcpy(before, label, (size_t)s->N * sizeof *before);
    return OK;
}

/* --- centres ---------------------------------------------------------------------------------- */

/* Moves one centre. Returns the square of its movement. */
static double move_center(float *at, const double *sum, int64_t count, int64_t d, bool spherical) {
    double length2 = 0.0, moved2 = 0.0;
    for (int64_t j = 0; j < d && spherical; j++) length2 += sum[j] * sum[j];
    const double divisor = spherical ? sqrt(length2) : (double)count;
    if (count < 1 || !(divisor > 0.0)) return 0.0;
    for (int64_t j = 0; j < d; j++) {
        const float to = (float)(sum[j] / divisor);
        const double by = (double)to - at[j];
        moved2 += by * by;
        at[j] = to;
    }
    return moved2;
}

typedef struct {
    const Centers *centers;
    const double *sums;
    const int64_t *count;
    int64_t d;
    bool spherical;
} Movement;

static void move_centers(const void *loop, int64_t first, int64_t end, int thread) {
    const Movement *m = loop;
    const int64_t d = m->d;
    (void)thread;
    for (int64_t c = first; c < end; c++) {
        float *at = m->centers->at + c * d;
        const double moved2 = move_center(at, m->sums + c * d, m->count[c], d, m->spherical);
        /* rounded up: float32 rounds by 2^-24 at most */
        m->centers->moved[c] = (float)(sqrt(moved2) * (1.0 + 0x1p-22));
        m->centers->norm2[c] = (float)square_length(at, d);
    }
}

Status cpu_update_centers(Queue *q, const Centers *centers, double *shift2, const double *sums,
                          const int64_t *count, int64_t d, bool spherical) {
    REQUIRE(q, centers_servable(centers) && centers->moved && shift2 && sums && count && d >= 1,
            "update_centers");
    const Movement m = {centers, sums, count, d, spherical};
    threads_loop(q->device->pool, centers->C, rows_run(d), move_centers, &m);
    *shift2 = 0.0;
    for (int64_t c = 0; c < centers->C; c++)
        *shift2 += (double)centers->moved[c] * centers->moved[c];
    return OK;
}

/* --- distances -------------------------------------------------------------------------------- */

static double difference2(const float *a, const float *b, int64_t d) {
    double sum = 0.0;
    SIMD(reduction(+ : sum))
    for (int64_t j = 0; j < d; j++) {
        const double by = (double)a[j] - b[j];
        sum += by * by;
    }
    return sum;
}

typedef struct {
    float *distance2;
    double *sum; /* (ROW_GROUPS) */
    const int32_t *label;
    const Samples *s;
    const Centers *centers;
} Distances;

static void measure_groups(const void *loop, int64_t first, int64_t last, int thread) {
    const Distances *m = loop;
    const Samples *s = m->s;
    const int64_t d = s->Z.d;
    (void)thread;
    for (int64_t g = first; g < last; g++) {
        const int64_t end = group_first(g + 1, ROW_GROUPS, s->N);
        m->sum[g] = 0.0;
        for (int64_t n = group_first(g, ROW_GROUPS, s->N); n < end; n++) {
            const double x = difference2(sample(s, n), m->centers->at + m->label[n] * d, d);
            m->distance2[n] = (float)x;
            m->sum[g] += x;
        }
    }
}

Status cpu_own_distances(Queue *q, float *distance2, double *inertia, const int32_t *label,
                         const Samples *s, const Centers *centers, void *scratch) {
    REQUIRE(q,
            distance2 && inertia && label && samples_servable(s) && centers_servable(centers) &&
                scratch,
            "own_distances");
    double *sum = scratch;
    const Distances m = {distance2, sum, label, s, centers};
    threads_loop(q->device->pool, ROW_GROUPS, groups_run(s->N * s->Z.d), measure_groups, &m);
    *inertia = 0.0;
    for (int64_t g = 0; g < ROW_GROUPS; g++) *inertia += sum[g];
    return OK;
}
