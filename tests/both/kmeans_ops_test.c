/* kmeans_ops_test.c - every operation of k-means, on every backend, against the reference;
 * sums to the last bit; draws. */
#include "host/baseline/kmeans.h"
#include "tests/support/operation.h"

static const Shape shapes[] = {
    {1, 1, 1, 1},    {1, 3, 5, 2},      {7, 2, 16, 1},    {119, 17, 8, 2},   {120, 16, 15, 1},
    {121, 5, 33, 3}, {241, 100, 64, 1}, {513, 47, 67, 2}, {997, 300, 31, 4}, {1003, 10, 192, 2},
};

static void judge(const char *name, Operation *operation, double limit) {
    judge_at(name, operation, shapes, sizeof shapes / sizeof *shapes, limit);
}

/* Limits, u = 2^-24. Squared distances |z|^2 - 2<z,c> + |c|^2 of numbers uniform in [-1,1): the
 * product errs by sqrt(d) u |z||c| in norm, and the shapes leave |z - c|^2 >= |z||c|/4 on average,
 * so that 2 x 4 sqrt(192) u = 6.6e-6 bounds the relative error of the vector. What is summed in
 * double and rounded once: u each side, and a square root or a division more: 8 u = 5e-7. */
#define DISTANCE_LIMIT 8e-6
#define ONCE_LIMIT 5e-7

/* B samples in rows longer than they are, and C centres. */
typedef struct {
    Samples s;
    Centers centers;
    void *work;
} Problem;

static Problem problem(const Ops *ops, Queue *q, Shape s) {
    const int64_t row = batch_row(DTYPE_F32, s.d);
    float *packed = numbers(s.B * s.d, 1);
    Problem p = {.s = {{floats(s.B * row), DTYPE_F32, s.d, row, false}, floats(s.B), s.B},
                 .centers = {numbers(s.C * s.d, 2), floats(s.C), floats(s.C), s.C}};
    for (int64_t n = 0; n < s.B; n++)
        memcpy((float *)p.s.Z.data + n * row, packed + n * s.d, (size_t)s.d * 4);
    p.work = scratch(ops->cluster.scratch_bytes(ops->device, s.B, s.d, s.C, s.K, 3));
    const Batch at = batch_f32(p.centers.at, s.d);
    ops->cluster.row_norms(q, p.s.norm2, &p.s.Z, s.B);
    ops->cluster.row_norms(q, p.centers.norm2, &at, s.C);
    return p;
}

/* An output made of whole numbers or doubles, as they are when all that was enqueued is done. */
#define OUTPUT_OF(o, values, n)                                             \
    do {                                                                    \
        finish(ops, q);                                                     \
        float *to_ = output(o, n, NULL);                                    \
        for (int64_t i_ = 0; i_ < (n); i_++) to_[i_] = (float)(values)[i_]; \
    } while (0)

static void run_rows(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *x = numbers(s.B * (s.d + 3), 1), *shift = numbers(s.d, 2);
    memset(x, 0, (size_t)(s.d + 3) * 4); /* a sample without length */
    float *unit = output(o, s.B * (s.d + 3), x), *moved = output(o, s.B * (s.d + 3), x);
    const Batch a = {unit + 3, DTYPE_F32, s.d, s.d + 3, false, 0},
                b = {moved, DTYPE_F32, s.d, s.d + 3, false, 0};
    ops->cluster.unit_rows(q, &a, s.B);
    ops->cluster.shift_rows(q, &b, shift, s.B);
    ops->cluster.row_norms(q, output(o, s.B, NULL), &b, s.B);
}

Test(kmeans_operations, rows) {
    /* the last row of unit + 3 ends with the output: columns before and behind must stay */
    judge("rows", run_rows, ONCE_LIMIT);
}

static void run_nearest(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    Problem p = problem(ops, q, s);
    int32_t *label = array(s.B * 4);
    float *first = output(o, s.B, NULL), *second = s.C > 1 ? output(o, s.B, NULL) : NULL;
    ops->cluster.nearest(q, label, first, second, &p.s, &p.centers, p.work);
    OUTPUT_OF(o, label, s.B);
    ops->cluster.own_distances(q, output(o, s.B, NULL), array(8), label, &p.s, &p.centers, p.work);
}

Test(kmeans_operations, nearest, .timeout = 120) {
    judge("nearest", run_nearest, DISTANCE_LIMIT);
}

/* Sums, counts, centres: from nothing, then after labels have changed. */
static void run_update(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    Problem p = problem(ops, q, s);
    int32_t *label = array(s.B * 4), *before = scratch(s.B * 4);
    double *sums = scratch(s.C * s.d * 8), *shift2 = array(8), *inertia = array(8);
    int64_t *count = scratch((s.C + 1) * 8);
    const double grid = cluster_grid(s.B, sqrt((double)s.d));
    for (int round = 0; round < 3; round++) {
        finish(ops, q);
        for (int64_t n = 0; n < s.B; n++) /* the last cluster is empty in the end */
            label[n] = (int32_t)((n * n + n * round) % (round < 2 || s.C < 2 ? s.C : s.C - 1));
        ops->cluster.update_sums(q, sums, count, before, round == 0, label, &p.s, s.C, grid,
                                 p.work);
    }
    OUTPUT_OF(o, sums, s.C * s.d);
    OUTPUT_OF(o, count, s.C + 1);
    OUTPUT_OF(o, before, s.B);
    for (int spherical = 0; spherical < 2; spherical++) {
        ops->cluster.update_centers(q, &p.centers, shift2, sums, count, s.d, spherical);
        OUTPUT_OF(o, p.centers.at, s.C * s.d);
    }
    OUTPUT_OF(o, p.centers.norm2, s.C);
    ops->cluster.own_distances(q, output(o, s.B, NULL), inertia, label, &p.s, &p.centers, p.work);
}

Test(kmeans_operations, update, .timeout = 120) {
    judge("update", run_update, ONCE_LIMIT);
}

/* Sums are exact: every bit of the reference's, on every set, however labels came about. */
static void run_sums(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    Problem p = problem(ops, q, s);
    int32_t *label = array(s.B * 4), *before = array(s.B * 4);
    double *sums = array(s.C * s.d * 8);
    int64_t *count = array((s.C + 1) * 8);
    for (int round = 0; round < 4; round++) {
        finish(ops, q);
        for (int64_t n = 0; n < s.B; n++) label[n] = (int32_t)((n * 7 + n / 3 * round) % s.C);
        ops->cluster.update_sums(q, sums, count, before, round == 0, label, &p.s, s.C,
                                 cluster_grid(s.B, sqrt((double)s.d)), p.work);
    }
    finish(ops, q);
    float *halves = output(o, 2 * s.C * s.d, NULL); /* of the doubles: all bits count */
    for (int64_t i = 0; i < s.C * s.d; i++) {
        halves[2 * i] = (float)sums[i];
        halves[2 * i + 1] = (float)(sums[i] - (double)halves[2 * i]);
    }
    OUTPUT_OF(o, count, s.C + 1);
}

Test(kmeans_operations, sums_are_exact, .timeout = 120) {
    judge("sums", run_sums, 0.0);
}

static void run_seeds(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    enum { L = 3 };
    const int64_t R = s.K;
    Problem p = problem(ops, q, s);
    int64_t *rows = array(R * L * 8), *chosen = array(R * 4 * 8);
    float *closest = floats(s.B * R);
    for (int64_t step = 0; step < 4; step++) {
        ops->cluster.weighted_rows(q, rows, step ? closest : NULL, s.B, R, L, 42, 5, step, p.work);
        OUTPUT_OF(o, rows, R * L);
        ops->cluster.seed_step(q, chosen + step, 4, closest, step == 0, rows, &p.s, R, L, p.work);
    }
    OUTPUT_OF(o, chosen, R * 4);
    OUTPUT_OF(o, closest, s.B * R);
    const Centers picked = {output(o, 4 * s.d, NULL), output(o, 4, NULL), NULL, 4};
    ops->cluster.pick_rows(q, &picked, chosen, &p.s);
}

Test(kmeans_operations, seeds, .timeout = 120) {
    judge("seeds", run_seeds, DISTANCE_LIMIT);
}

/* Draws follow the weights: over 4000 draws of 5000 samples, each quarter of the weight, which lies
 * in samples n % 4 > 0, gets its share within 5 standard deviations; what weighs nothing never
 * comes. */
Test(kmeans_operations, draws_follow_the_weights, .timeout = 120) {
    enum { N = 5000, DRAWS = 4000, L = 8 };
    const char *const *backends = test_backends();
    for (int b = 0; backends[b]; b++) {
        Ops ops;
        Queue *q;
        int seen[4] = {0};
        open_backend(&ops, &q, backends[b], 0);
        float *weight = floats(N);
        int64_t *rows = array(DRAWS * 8);
        for (int n = 0; n < N; n++) weight[n] = (float)(n % 4); /* shares 0, 1/6, 2/6, 3/6 */
        void *work = scratch(ops.cluster.scratch_bytes(ops.device, N, 1, 1, 1, L));
        for (int step = 0; step < DRAWS / L; step++)
            ops.cluster.weighted_rows(q, rows + step * L, weight, N, 1, L, 3, 0, step, work);
        finish(&ops, q);
        for (int i = 0; i < DRAWS; i++) seen[rows[i] % 4]++;
        cr_expect(seen[0] == 0);
        for (int i = 1; i < 4; i++) {
            const double share = i / 6.0, sigma = sqrt(DRAWS * share * (1.0 - share));
            EXPECT_CLOSE(fabs(seen[i] - DRAWS * share), 5.0 * sigma, "%s: draws of weight %d",
                         backends[b], i);
        }
        free_arrays();
        close_backend(&ops, q);
    }
}

/* Labels and rows in device memory a GPU reads when it is too late to refuse: it leaves samples of
 * no cluster out, and NaN for rows that do not exist. */
Test(kmeans_operations, refuse_what_they_cannot_serve) {
    const char *const *backends = test_backends();
    for (int b = 0; backends[b]; b++) {
        Ops ops;
        Queue *q;
        Error err;
        open_backend(&ops, &q, backends[b], 0);
        Problem p = problem(&ops, q, (Shape){4, 2, 3, 1});
        int32_t *label = copy_of((int32_t[]){0, 1, 2, 0}, 16), *before = array(16);
        double *sums = array(6 * 8);
        int64_t *count = array(3 * 8),
                *rows = copy_of(&(int64_t){4}, 8); /* of 2 clusters, 4 rows */
        ops.cluster.update_sums(q, sums, count, before, true, label, &p.s, 2, 1.0, p.work);
        Status st = ops.mem.wait(q, &err);
        if (on_cuda(&ops)) cr_expect(st == OK && count[0] == 2 && count[1] == 1);
        else cr_expect(st == ERR_ARG && strstr(err.text, "update_sums"));
        const Centers one = {p.centers.at, p.centers.norm2, NULL, 1};
        ops.cluster.pick_rows(q, &one, rows, &p.s);
        st = ops.mem.wait(q, &err);
        if (on_cuda(&ops)) cr_expect(st == OK && isnan(one.at[2]) && isnan(one.norm2[0]));
        else cr_expect(st == ERR_ARG && strstr(err.text, "pick_rows"));
        ops.cluster.row_norms(q, p.s.norm2, &p.s.Z, 0);
        cr_expect(ops.mem.wait(q, &err) == ERR_ARG && strstr(err.text, "row_norms"));
        free_arrays();
        close_backend(&ops, q);
    }
}
