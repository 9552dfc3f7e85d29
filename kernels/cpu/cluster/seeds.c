/*
 * seeds.c - random starts of k-means: samples drawn by weight, and the steps of k-means++
 *
 * Shapes   R restarts side by side with L candidates each: M = R L columns of one product, so that
 *          a step reads the samples once for all restarts and is bound by arithmetic.
 * Cost     seed_step 2NMd flops, 4N(d + 3M + 2R) bytes; weighted_rows 4NR bytes.
 * Mapping  groups of samples (ROW_GROUPS) over threads; a group's sums by one thread, added in
 *          order.
 */
#include <math.h>
#include <string.h>

#include "kernels/cpu/cluster/cluster.h"
#include "kernels/philox.h"

/* --- drawing ---------------------------------------------------------------------------------- */

int64_t cpu_weighted_scratch(int64_t N, int64_t R) {
    return (element_runs(N) + 1) * R * (int64_t)sizeof(double);
}

/* Returns the first sample whose running sum passes `target`; its run is found first. */
static int64_t find_row(const double *run_sum, int64_t runs, const float *weight, int64_t N,
                        int64_t R, int64_t r, double target) {
    int64_t run = 0, last = -1;
    double sum = 0.0;
    while (run + 1 < runs && sum + run_sum[run * R + r] <= target) sum += run_sum[run++ * R + r];
    for (int64_t n = run * ELEMENT_RUN; n < least(N, (run + 1) * ELEMENT_RUN); n++) {
        sum += weight[n * R + r];
        if (weight[n * R + r] > 0.0f) last = n;
        if (sum > target && last == n) return n;
    }
    return last; /* rounding left some of the target over */
}

typedef struct {
    double *run_sum; /* (runs,R) */
    const float *weight;
    int64_t N, R;
} Weighing;

static void sum_runs(const void *loop, int64_t begin, int64_t end, int thread) {
    const Weighing *w = loop;
    const int64_t N = w->N, R = w->R;
    (void)thread;
    for (int64_t run = begin; run < end; run++) {
        double *sum = w->run_sum + run * R;
        for (int64_t r = 0; r < R; r++) sum[r] = 0.0;
        for (int64_t n = run * ELEMENT_RUN; w->weight && n < least(N, (run + 1) * ELEMENT_RUN); n++)
            for (int64_t r = 0; r < R; r++) sum[r] += w->weight[n * R + r];
    }
}

Status cpu_weighted_rows(Queue *q, int64_t *rows, const float *weight, int64_t N, int64_t R,
                         int64_t L, uint64_t seed, int64_t first, int64_t step, void *scratch) {
    REQUIRE(q, rows && N >= 1 && R >= 1 && L >= 1 && L < 256 && first >= 0 && step >= 0 && scratch,
            "weighted_rows");
    const int64_t runs = element_runs(N);
    double *run_sum = scratch;
    threads_loop(q->device->pool, runs, rows_run(ELEMENT_RUN * R), sum_runs,
                 &(Weighing){run_sum, weight, N, R});
    for (int64_t r = 0; r < R; r++) {
        double whole = 0.0;
        for (int64_t run = 0; run < runs; run++) whole += run_sum[run * R + r];
        for (int64_t l = 0; l < L; l++) {
            const Philox words = philox_at(seed, PHILOX_STARTS, (int)l, first + r, step);
            const double u = unit_interval(words.word[0], words.word[1]);
            int64_t row = -1;
            if (weight && whole > 0.0) row = find_row(run_sum, runs, weight, N, R, r, u * whole);
            rows[r * L + l] = row >= 0 ? row : (int64_t)(u * (double)N);
        }
    }
    return OK;
}

Status cpu_pick_rows(Queue *q, const Centers *centers, const int64_t *rows, const Samples *s) {
    REQUIRE(q, centers_servable(centers) && rows && samples_servable(s), "pick_rows");
    for (int64_t c = 0; c < centers->C; c++)
        REQUIRE(q, rows[c] >= 0 && rows[c] < s->N, "pick_rows");
    for (int64_t c = 0; c < centers->C; c++) {
        memcpy(centers->at + c * s->Z.d, sample(s, rows[c]), (size_t)s->Z.d * sizeof(float));
        centers->norm2[c] = s->norm2[rows[c]];
    }
    return OK;
}

/* --- k-means++ -------------------------------------------------------------------------------- */

/* The pieces of the scratch memory: candidates (M,d), also packed, and their squared lengths; distances
 * (N,columns); sums (ROW_GROUPS,M). */
typedef struct {
    float *at, *packed, *norm2, *distance2;
    double *sum;
    int64_t columns;
} Step;

static int64_t lay_out(Step *step, void *scratch, int64_t N, int64_t d, int64_t M) {
    Pieces pieces = {scratch, 0};
    step->columns = round_up(M, VEC_FLOATS);
    step->at = take_f32(&pieces, M * d);
    step->packed = take(&pieces, packed_bytes(DTYPE_F32, M, d));
    step->norm2 = take_f32(&pieces, M);
    step->distance2 = take_f32(&pieces, N * step->columns);
    step->sum = take_f64(&pieces, ROW_GROUPS * M);
    return pieces.bytes + 64; /* the caller's memory may begin within a cache line */
}

int64_t cpu_seed_scratch(int64_t N, int64_t d, int64_t candidates) {
    Step step;
    return lay_out(&step, NULL, N, d, candidates);
}

/* Computes the distances of samples n0 .. n0+n to all candidates. Adds to `sum`, for each candidate, what it
 * would leave of `closest`. */
static void seed_panel(double *sum, const Step *t, const Samples *s, int64_t n0, int64_t n,
                       const float *closest, int64_t R, int64_t L) {
    const Panel panel = {.at = sample(s, n0), .row = s->Z.row, .next = (const char *)sample(s, n0)};
    const int64_t M = R * L;
    float *out = t->distance2 + n0 * t->columns;
    panel_logits(out, t->columns, panel, t->packed, t->at, n, M, s->Z.d);
    for (int64_t i = 0; i < n; i++) {
        float *x = out + i * t->columns;
        for (int64_t m = 0; m < M; m++) {
            const float d2 = s->norm2[n0 + i] + t->norm2[m] - 2.0f * x[m];
            x[m] = d2 > 0.0f ? d2 : 0.0f;
        }
        for (int64_t r = 0; r < R; r++) {
            const float now = closest ? closest[(n0 + i) * R + r] : INFINITY;
            for (int64_t m = r * L; m < (r + 1) * L; m++) sum[m] += x[m] < now ? x[m] : now;
        }
    }
}

typedef struct {
    const Step *t;
    const Samples *s;
    float *closest;
    bool fresh;
    int64_t R, L;
    int64_t restart, best; /* arguments of keep_closest */
} Seeding;

static void seed_groups(const void *loop, int64_t begin, int64_t last, int thread) {
    const Seeding *in = loop;
    const int64_t N = in->s->N, M = in->R * in->L;
    (void)thread;
    for (int64_t g = begin; g < last; g++) {
        const int64_t end = group_first(g + 1, ROW_GROUPS, N);
        double *sum = in->t->sum + g * M;
        for (int64_t m = 0; m < M; m++) sum[m] = 0.0;
        for (int64_t n = group_first(g, ROW_GROUPS, N); n < end; n += PANEL)
            seed_panel(sum, in->t, in->s, n, least(end - n, PANEL), in->fresh ? NULL : in->closest,
                       in->R, in->L);
    }
}

/* Updates the samples' distances to the nearest centre of one restart, which has a new one. */
static void keep_closest(const void *loop, int64_t first, int64_t end, int thread) {
    const Seeding *in = loop;
    (void)thread;
    for (int64_t n = first; n < end; n++) {
        const float x = in->t->distance2[n * in->t->columns + in->restart * in->L + in->best];
        float *to = in->closest + n * in->R + in->restart;
        *to = in->fresh || x < *to ? x : *to;
    }
}

Status cpu_seed_step(Queue *q, int64_t *chosen, int64_t stride, float *closest, bool fresh,
                     const int64_t *rows, const Samples *s, int64_t R, int64_t L, void *scratch) {
    REQUIRE(q,
            chosen && stride >= 1 && closest && rows && samples_servable(s) && R >= 1 && L >= 1 &&
                scratch,
            "seed_step");
    const int64_t N = s->N, d = s->Z.d, M = R * L;
    Threads *pool = q->device->pool;
    Step t;
    lay_out(&t, (char *)scratch + (64 - (uintptr_t)scratch % 64) % 64, N, d, M);
    const Status st = cpu_pick_rows(q, &(Centers){.at = t.at, .norm2 = t.norm2, .C = M}, rows, s);
    if (st != OK) return st;
    Seeding in = {&t, s, closest, fresh, R, L, 0, 0};
    pack_weight(t.packed, q->device, DTYPE_F32, t.at, M, d);
    threads_loop(pool, ROW_GROUPS, 1, seed_groups, &in);
    for (int64_t g = 1; g < ROW_GROUPS; g++)
        for (int64_t m = 0; m < M; m++) t.sum[m] += t.sum[g * M + m];
    for (int64_t r = 0; r < R; r++) {
        int64_t best = 0;
        for (int64_t l = 1; l < L; l++)
            if (t.sum[r * L + l] < t.sum[r * L + best]) best = l;
        chosen[r * stride] = rows[r * L + best];
        in.restart = r;
        in.best = best;
        threads_loop(pool, N, LOOP_RUN, keep_closest, &in);
    }
    return OK;
}
