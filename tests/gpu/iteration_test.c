/* iteration_test.c - a whole outer iteration in one launch (kernels/cuda/inner/iteration_slab.cu) beside the
 * operations that it stands for: ragged shapes, rows read where the features lie, gathered before and
 * there already, priors, residuals whose scale changes on the way, one space and several. */
#include "kernels/plan/plan.h"
#include "tests/support/operation.h"

static const Variant types[] = {
    {"fp16", DTYPE_F16, false, INNER_AUTO},
    {"bf16", DTYPE_BF16, false, INNER_AUTO},
};
enum { TYPES = 2 };

typedef enum { IN_PLACE, GATHERED, THERE_ALREADY } Source;

/* Settings of the runs below, for which the shape has no place. */
static struct {
    int64_t M;
    Source source;
    bool prior;
    bool steep;    /* every other 16 rows of the batch have far smaller features */
    int64_t wrong; /* 1 + which row of the batch does not exist */
} how;

/* (N,d) as a file has them: of float16, which batches of it take as they lie, or of float32. */
static Features features_of(const float *Z, int64_t N, int64_t d) {
    Features f = {.N = N, .d = d, .type = how.source == IN_PLACE ? DTYPE_F16 : DTYPE_F32};
    if (f.type == DTYPE_F32) {
        f.data = copy_of(Z, N * d * 4);
        return f;
    }
    uint16_t *data = array(N * d * 2);
    for (int64_t i = 0; i < N * d; i++) data[i] = f16_from_f32(Z[i]);
    f.data = data;
    return f;
}

/* Rows of 2B, from the last to the first. */
static int64_t *some_rows(int64_t B) {
    int64_t *rows = array(B * 8);
    for (int64_t b = 0; b < B; b++) rows[b] = 2 * (B - 1 - b) + b % 2;
    return rows;
}

static int64_t dimension(int64_t d, int k) {
    return k == 0 ? d : k == 1 ? (d + 1) / 2 : d / 3 + 1;
}

/* One space of a run: features, batch, task encoder and head. `moved` and what follows are its parts of the
 * outputs. */
typedef struct {
    Features features;
    Batch batch;
    float *task, *moved;
} Space;

static Space space_of(const Ops *ops, Shape s, int k, const int64_t *rows) {
    const int64_t B = s.B, d = dimension(s.d, k), N = 2 * B, n = task_size(s.C, d);
    float *Z = operands(N * d, 2 + k), *batch = floats(B * d);
    for (int64_t b = 0; how.steep && b < B; b++)
        for (int64_t j = 0; b / 16 % 2 == 0 && j < d; j++) Z[rows[b] * d + j] *= 0x1p-6f;
    for (int64_t b = 0; how.source == THERE_ALREADY && b < B; b++)
        memcpy(batch + b * d, Z + rows[b] * d, (size_t)d * sizeof *batch);
    return (Space){.features = features_of(Z, N, d),
                   .batch = batch_of(ops, batch, B, d),
                   .task = numbers(n, 20 + k)};
}

static void run(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.B, C = s.C;
    const int K = (int)s.K;
    int64_t *rows = some_rows(B), tasks = 0, heads = 0;
    Space space[MAX_SPACES];
    Features features[MAX_SPACES];
    for (int k = 0; k < K; k++) {
        space[k] = space_of(ops, s, k, rows);
        features[k] = space[k].features;
        tasks += task_size(C, dimension(s.d, k)), heads += linear_size(C, dimension(s.d, k));
    }
    if (how.wrong) rows[how.wrong - 1] = 2 * B;
    TaskSteps t = {.K = K, .B = B, .C = C, .gamma = 10.0, .lr = 0.1};
    InnerSteps in = {.K = K, .B = B, .C = C, .M = how.M, .lr = 0.001, .tier = variant.tier};
    t.P = floats(K * B * C), t.Y = floats(B * C), in.Y = t.Y;
    t.step = counting(3, 1), in.step = counting(5, 1);
    t.scratch = in.scratch = scratch(ops->train.scratch_bytes(variant.type, K, B, C, 1, s.d));
    t.loss = output(o, K, NULL), t.entropy = output(o, K, NULL), t.P_bar = output(o, K * C, NULL);
    in.losses = output(o, how.M, NULL);
    float *none = floats(tasks), *moved = output(o, tasks, none), *m1 = output(o, tasks, none),
          *head_m1 = output(o, heads, none);
    for (int k = 0; k < K; k++) {
        const int64_t n = task_size(C, dimension(s.d, k)), h = linear_size(C, dimension(s.d, k));
        float *m2 = floats(n), *head_m2 = floats(h);
        for (int64_t i = 0; i < n; i++) m2[i] = 1e-6f; /* about the square of a gradient */
        for (int64_t i = 0; i < h; i++) head_m2[i] = 1.0f;
        space[k].moved = memcpy(moved, space[k].task, (size_t)n * sizeof *moved);
        t.space[k] = (TaskSpace){space[k].batch, moved, m1, m2};
        in.space[k] = (InnerSpace){space[k].batch, operands(h, 9 + k), head_m1, head_m2};
        moved += n, m1 += n, head_m1 += h;
    }
    const float *prior = how.prior ? probabilities(1, C, 30) : NULL;
    const bool there = how.source == THERE_ALREADY;
    if (ops->train.iteration && !getenv("TURTLE_KERNELS")) {
        cr_assert(ops->train.iteration_fits(ops->device, &in));
        ops->train.iteration(q, &t, &in, features, there ? NULL : rows, prior);
    } else {
        for (int k = 0; k < K && !there; k++)
            ops->matrix.gather(q, &space[k].batch, &features[k], rows, B);
        ops->train.task_labels(q, &t);
        if (prior) ops->train.prior_ratio(q, t.P_bar, prior, K, C);
        ops->train.inner_steps(q, &in);
        ops->train.task_step(q, &t, &in);
    }
    finish(ops, q);
    for (int k = 0; k < K; k++)
        for (int64_t i = 0; i < task_size(C, dimension(s.d, k)); i++)
            space[k].moved[i] -= space[k].task[i];
}

/* Limits, beside the reference, which rounds neither W nor R in float16. W's rounding moves a logit of d
 * terms by 2^-11/sqrt(3) of its norm's share, P and q by as much of themselves or less, 2.8e-4 each; R's
 * own rounding 2.8e-4; logits cut 3e-4 (slab_test.c): in norm 6e-4 of the gradient, of which moments
 * from zero are a tenth exactly. bfloat16: both round, apart: 2^-8.
 * P_bar, losses and moments of the heads are means of what errs so. */
static double limit(void) {
    return variant.type == DTYPE_BF16 ? 0x1p-8 : 6e-4;
}

/* Features of less than a fragment and of odd numbers, one row, a last tile of one row; several pieces,
 * rows that stay and rows that are streamed; features as they lie need whole 16 bytes of them. */
static const Shape ragged_shapes[] = {{1, 2, 8, 1},      {17, 3, 250, 1},    {49, 31, 441, 1},
                                      {81, 32, 113, 1},  {65, 10, 441, 1},   {257, 10, 768, 1},
                                      {257, 32, 441, 1}, {330, 10, 1536, 1}, {1000, 16, 441, 1}},
                   whole[] = {
                       {1, 2, 8, 1}, {65, 17, 104, 1}, {257, 10, 768, 1}, {330, 16, 1536, 1}};
enum { RAGGED_SHAPES = sizeof ragged_shapes / sizeof *ragged_shapes, WHOLE = 4 };

static void judge_all(const char *name, const Shape *shapes, size_t count) {
    for (int t = 0; t < (getenv("TURTLE_TEST_SMALL") ? 1 : TYPES); t++) {
        variant = types[t];
        judge_at(name, run, shapes, count, limit());
    }
}

Test(iteration, ragged_shapes_gathered, .timeout = 600) {
    how.M = 2, how.source = GATHERED;
    judge_all("gathered", ragged_shapes, RAGGED_SHAPES);
}

Test(iteration, features_where_they_lie, .timeout = 600) {
    how.M = 4, how.source = IN_PLACE;
    judge_all("in place", whole, WHOLE);
    how.prior = true;
    judge_all("in place, with a prior", whole + 1, 1);
}

/* Spaces that exchange labels and log-probabilities: two and three of them, of unequal features, some read where
 * they lie and some gathered; two classes, three and more; rows that are streamed; one step and several. */
Test(iteration, spaces_side_by_side, .timeout = 600) {
    static const Shape few[] = {{33, 2, 16, 2}, {65, 3, 250, 2}, {100, 10, 104, 3}},
                       several[] = {{257, 10, 768, 2}, {190, 10, 1536, 2}, {81, 17, 64, 3}};
    how.M = 1, how.source = IN_PLACE;
    judge_all("spaces in place", few, 3);
    how.M = 3, how.prior = true;
    judge_all("spaces in place, with a prior", several, 3);
    how.source = GATHERED, how.prior = false;
    judge_all("spaces gathered", few, 3);
    how.steep = true, how.source = THERE_ALREADY;
    judge_all("steep spaces there already", several, 1);
}

Test(iteration, batches_that_are_there, .timeout = 600) {
    how.M = 1, how.source = THERE_ALREADY;
    judge_all("there already", ragged_shapes + 2, 3);
}

/* Residuals of later pieces are larger and smaller: their scale and that of the gradient change. */
Test(iteration, steep_residuals, .timeout = 600) {
    how.M = 2, how.source = GATHERED, how.steep = true;
    judge_all("steep", ragged_shapes + 6, 3);
}

/* One launch; beside a gather where features are converted. */
Test(iteration, is_one_launch, .timeout = 600) {
    for (int run_of = 0; run_of < 6; run_of++) {
        const int K = 1 + run_of / 3;
        how.source = run_of % 3;
        Ops ops;
        Queue *q;
        Error err;
        ProfileRow rows[64];
        Outputs o = {.n = 0};
        int64_t all = 0, own = 0;
        how.M = 3;
        variant = types[0];
        open_backend(&ops, &q, "cuda", 0);
        ASSERT_OK(ops.mem.profile(ops.device, &err), err);
        run(&ops, q, (Shape){65, 10, 64, K}, &o);
        const int n = ops.mem.profile_rows(ops.device, rows, 64);
        for (int i = 0; i < n && i < 64; i++) {
            all += rows[i].calls;
            if (strstr(rows[i].kernel, "iteration_slab")) own += rows[i].calls;
        }
        cr_expect(own == 1 && all == (how.source == GATHERED ? 1 + K : 1),
                  "%d launches, %d of them", (int)all, (int)own);
        close_backend(&ops, q);
        free_outputs(&o);
        free_arrays();
    }
}

/* A row that does not exist shows in every loss. */
Test(iteration, unknown_rows_become_nan, .timeout = 600) {
    how.M = 2, how.wrong = 20;
    variant = types[0];
    for (how.source = IN_PLACE; how.source <= GATHERED; how.source++) {
        for (int K = 1; K <= 2; K++) {
            Outputs o = run_operation(run, "cuda", 0, (Shape){65, 10, 64, K});
            cr_expect(isnan(o.data[0][K - 1]) && isnan(o.data[3][0]) && isnan(o.data[3][1]));
            free_outputs(&o);
        }
    }
}

/* Whom it serves: one space or spaces side by side, few classes, 16 bits, a gradient of one sweep, and nobody who
 * asked for another tier. Five spaces on the emulator's four SMs take turns. */
Test(iteration, serves_what_it_says) {
    static const struct {
        int K;
        int64_t C, d, M;
        DType type;
        InnerTier tier;
        bool fits;
    } asked[] = {
        {1, 10, 768, 10, DTYPE_F16, INNER_AUTO, true},
        {1, 32, 441, 1, DTYPE_BF16, INNER_AUTO, true},
        {1, 33, 768, 10, DTYPE_F16, INNER_AUTO, false},
        {2, 10, 768, 10, DTYPE_F16, INNER_AUTO, true},
        {2, 32, 1536, 10, DTYPE_F16, INNER_AUTO, false},
        {2, 10, 768, 10, DTYPE_F16, INNER_MEGA, false},
        {1, 10, 768, 10, DTYPE_F32, INNER_AUTO, false},
        {1, 10, 1552, 10, DTYPE_F16, INNER_AUTO, false},
        {1, 10, 768, 10, DTYPE_F16, INNER_MEGA, false},
        {1, 10, 768, 10, DTYPE_F16, INNER_FUSED, false},
        {1, 10, 768, 0, DTYPE_F16, INNER_AUTO, false},
        {1, 10, 768, 1025, DTYPE_F16, INNER_AUTO, false},
    };
    Ops ops;
    Queue *q;
    open_backend(&ops, &q, "cuda", 0);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        InnerSteps in = {
            .K = asked[i].K, .B = 100, .C = asked[i].C, .M = asked[i].M, .tier = asked[i].tier};
        for (int k = 0; k < in.K; k++)
            in.space[k].Z = (Batch){
                NULL, asked[i].type, asked[i].d, batch_row(asked[i].type, asked[i].d), false, 0};
        cr_expect(ops.train.iteration_fits(ops.device, &in) == asked[i].fits, "case %d", (int)i);
    }
    close_backend(&ops, q);
}
