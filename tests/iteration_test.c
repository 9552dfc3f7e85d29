/* iteration_test.c - a whole outer iteration in one launch (kernels/cuda/iteration_slab.cu) beside the
 * operations that it stands for: ragged shapes, rows read where the features lie, gathered before and
 * there already, priors, residuals whose scale changes on the way. */
#include "../kernels/plan.h"
#include "operation.h"

static const Variant types[] = {
    {"fp16", DTYPE_F16, false, INNER_AUTO},
    {"bf16", DTYPE_BF16, false, INNER_AUTO},
};
enum { TYPES = 2 };

typedef enum { IN_PLACE, GATHERED, THERE_ALREADY } Source;

/* Of the runs below; the shape has no place for it. */
static struct {
    int64_t M;
    Source source;
    bool prior;
    bool parts;    /* not in one launch */
    bool steep;    /* every other 16 rows of the batch have far smaller features */
    int64_t wrong; /* 1 + which row of the batch does not exist */
} how;

/* (N,d) of the variant's type, as a file has them; of float32 where they are to be converted. */
static Features features_of(const float *Z, int64_t N, int64_t d) {
    Features f = {.N = N, .d = d, .type = how.source == IN_PLACE ? variant.type : DTYPE_F32};
    if (f.type == DTYPE_F32) {
        f.data = copy_of(Z, N * d * 4);
        return f;
    }
    uint16_t *data = array(N * d * 2);
    for (int64_t i = 0; i < N * d; i++)
        data[i] = variant.type == DTYPE_F16 ? f16_from_f32(Z[i]) : bf16_from_f32(Z[i]);
    f.data = data;
    return f;
}

/* Rows of 2B, from the last to the first. */
static int64_t *some_rows(int64_t B) {
    int64_t *rows = array(B * 8);
    for (int64_t b = 0; b < B; b++) rows[b] = 2 * (B - 1 - b) + b % 2;
    return rows;
}

static void run(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const int64_t B = s.B, C = s.C, d = s.d, N = 2 * B, n = task_size(C, d), h = linear_size(C, d);
    float *Z = operands(N * d, 2), *m2 = floats(n), *head_m2 = floats(h), *none = floats(n);
    int64_t *rows = some_rows(B);
    for (int64_t b = 0; how.steep && b < B; b++)
        for (int64_t j = 0; b / 16 % 2 == 0 && j < d; j++) Z[rows[b] * d + j] *= 0x1p-6f;
    for (int64_t i = 0; i < n; i++) m2[i] = 1.0f;
    for (int64_t i = 0; i < h; i++) head_m2[i] = 1.0f;
    const Features features = features_of(Z, N, d);
    float *batch = floats(B * d);
    for (int64_t b = 0; b < B; b++)
        memcpy(batch + b * d, Z + rows[b] * d, (size_t)d * sizeof *batch);
    if (how.wrong) rows[how.wrong - 1] = N;
    const bool there = how.source == THERE_ALREADY;
    TaskSteps t = {.K = 1, .B = B, .C = C, .gamma = 10.0, .lr = 0.001};
    InnerSteps in = {.K = 1, .B = B, .C = C, .M = how.M, .lr = 0.001, .tier = variant.tier};
    t.P = floats(B * C), t.Y = floats(B * C), in.Y = t.Y;
    t.step = counting(3, 1), in.step = counting(5, 1);
    t.scratch = in.scratch = scratch(ops->train.scratch_bytes(variant.type, 1, B, C, d));
    const Batch b = batch_of(ops, there ? batch : floats(B * d), B, d);
    t.loss = output(o, 1, NULL), t.entropy = output(o, 1, NULL), t.P_bar = output(o, C, NULL);
    in.losses = output(o, how.M, NULL);
    t.space[0] = (TaskSpace){b, numbers(n, 20), output(o, n, none), m2};
    in.space[0] = (InnerSpace){b, operands(h, 9), output(o, h, none), head_m2};
    const float *prior = how.prior ? probabilities(1, C, 30) : NULL;
    if (!how.parts && ops->train.iteration && !getenv("TURTLE_KERNELS")) {
        cr_assert(ops->train.iteration_fits(ops->device, &in));
        ops->train.iteration(q, &t, &in, &features, there ? NULL : rows, prior);
        return;
    }
    if (!there) ops->matrix.gather(q, &b, &features, rows, B);
    ops->train.task_labels(q, &t);
    if (prior) ops->train.prior_ratio(q, t.P_bar, prior, 1, C);
    ops->train.inner_steps(q, &in);
    ops->train.task_step(q, &t, &in);
}

/* Limits, beside the reference, which rounds neither W nor R in float16. W's rounding moves a logit of d
 * terms by 2^-11/sqrt(3) of its norm's share, P and q by as much of themselves or less, 2.8e-4 each; R's
 * own rounding 2.8e-4; logits cut 3e-4 (slab_test.c): in norm 6e-4 of the gradient, of which moments
 * from zero are a tenth exactly. bfloat16: both round, apart: 2^-8.
 * P_bar, losses and moments of the heads are means of what errs so. */
static double limit(void) {
    return variant.type == DTYPE_BF16 ? 0x1p-8 : 6e-4;
}

static const Shape shapes[] = {{1, 2, 8, 1},      {17, 3, 250, 1},    {49, 31, 441, 1},
                               {81, 32, 113, 1},  {65, 10, 441, 1},   {257, 10, 768, 1},
                               {257, 32, 441, 1}, {330, 10, 1536, 1}, {1000, 16, 441, 1}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

Test(iteration, ragged_shapes_gathered, .timeout = 600) {
    how.M = 2, how.source = GATHERED;
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge_at("iteration", run, shapes, SHAPES, limit());
    }
}
