/* product_test.c - operations that multiply matrices, with every type of operand and every tier of
 * the inner loop, at ragged shapes: against the plain reference, and against products in double.
 *
 * The reference multiplies float16 and tf32 as they are, unrounded where they meet float32; so what
 * meets them here is numbers that need no rounding (operands()), and residuals, which are results,
 * carry the rounding in their limit. */
#include "tests/support/operation.h"

/* Limits, u = 2^-24. A product of depth n in float32 summed in any order: n u in the worst case,
 * sqrt(n) u in norm for random signs; n <= 1003 here, and 4 sqrt(1003) u = 7.6e-6 leaves room for
 * both sides' rounding. Elementwise operations with exp (2 ulp), a sum and a division: under 16 u
 * = 1e-6. */
#define PRODUCT_LIMIT 8e-6
#define ELEMENT_LIMIT 1e-6
/* Tensor cores cut what they add instead of rounding it: up to 2u of the sum so far, every time the
 * same way, 8 products (m16n8k8) at a time: n/8 times 2u, and the sum grows to its end, 2/3 of it
 * on average: 1003/12 x 2u = 1.0e-5 beside the limit above. */
#define TENSOR_LIMIT 1.8e-5

#if defined(TEST_CUDA)
static const Variant types[] = {
    {"fp32", DTYPE_F32, false, INNER_AUTO},
    {"tf32", DTYPE_F32, true, INNER_AUTO},
    {"fp16", DTYPE_F16, false, INNER_AUTO},
    {"bf16", DTYPE_BF16, false, INNER_AUTO},
};
static const InnerTier tiers[] = {INNER_UNFUSED, INNER_FUSED, INNER_MEGA};
#else
static const Variant types[] = {
    {"fp32", DTYPE_F32, false, INNER_AUTO},
    {"bf16", DTYPE_BF16, false, INNER_AUTO},
};
static const InnerTier tiers[] = {INNER_AUTO};
#endif
enum { TYPES = sizeof types / sizeof *types, TIERS = sizeof tiers / sizeof *tiers };

static bool plain(void) {
    return variant.type == DTYPE_F32 && !variant.tf32;
}

static double product_limit(void) {
#if defined(TEST_CUDA)
    if (!plain()) return TENSOR_LIMIT;
#endif
    return PRODUCT_LIMIT;
}

static void judge(const char *name, Operation *operation, double limit) {
    judge_at(name, operation, ragged, RAGGED, limit);
}

static void *train_scratch(const Ops *ops, Shape s) {
    return scratch(ops->train.scratch_bytes(variant.type, (int)s.K, s.B, s.C, 1, s.d));
}

/* --- forward ---------------------------------------------------------------------------------- */

/* The CPU multiplies 16 bits in the forward form alone. */
static void run_matmul(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    static const MatmulForm forms[] = {MATMUL_NT, MATMUL_NN, MATMUL_TN};
    float *A = numbers(s.B * s.d, 1), *B = operands(s.C * s.d, 2), *bias = numbers(s.C, 3);
#if defined(TEST_CUDA)
    const int count = 3;
#else
    const int count = plain() ? 3 : 1;
#endif
    for (int f = 0; f < count; f++) {
        const bool across = forms[f] == MATMUL_TN;
        void *work = scratch(ops->matrix.matmul_scratch_bytes(forms[f], s.B, s.C, s.d));
        for (int64_t i = 0; variant.tf32 && f == 0 && i < s.B * s.d; i++) A[i] = as_operand(A[i]);
        const Batch a = batch_of(ops, A, across ? s.d : s.B, across ? s.B : s.d);
        ops->matrix.matmul(q, forms[f], output(o, s.B * s.C, NULL), &a, B, f == 0 ? bias : NULL,
                           s.B, s.C, s.d, work);
    }
}

Test(product, matmul, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge("matmul", run_matmul, product_limit());
    }
}

/* Depth and columns beyond one block of the CPU's packed operand. */
static void run_large_matmul(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_matmul(ops, q, (Shape){s.B % 61 + 1, 500 + s.C, 1000 + s.d, 1}, o);
}

Test(product, matmul_beyond_its_blocks, .timeout = 600) {
    judge_at("large matmul", run_large_matmul, ragged, 10, PRODUCT_LIMIT);
}

/* --- gradients of weights --------------------------------------------------------------------- */

static void run_linear_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    float *R = operands(s.B * s.C, 1), *Z = numbers(s.B * s.d, 2);
#if defined(TEST_CUDA) /* whose sums of columns are of the rounded residuals */
    for (int64_t i = 0; i < s.B * s.C; i++) R[i] = as_operand(R[i]);
#endif
    for (int64_t i = 0; variant.tf32 && i < s.B * s.d; i++) Z[i] = as_operand(Z[i]);
    const Batch batch = batch_of(ops, Z, s.B, s.d);
    ops->train.linear_grad(q, output(o, linear_size(s.C, s.d), NULL), R, &batch, s.B, s.C,
                           train_scratch(ops, s));
}

Test(product, linear_grad, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge("linear_grad", run_linear_grad, product_limit());
    }
}

/* --- the inner loop --------------------------------------------------------------------------- */

/* Which of its results a run of the inner loop records; the others stay private. */
typedef enum { HEADS, MOMENTS } Recorded;

static void run_inner(const Ops *ops, Queue *q, Shape s, Outputs *o, Recorded recorded) {
    InnerSteps in = {.K = (int)s.K, .B = s.B, .C = s.C, .M = 3, .lr = 0.001, .tier = variant.tier};
    in.Y = probabilities(s.B, s.C, 1);
    in.step = counting(5, 1);
    in.scratch = train_scratch(ops, s);
    in.losses = recorded == HEADS ? output(o, in.M, NULL) : floats(in.M);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d; /* spaces of two dimensions */
        const int64_t n = linear_size(s.C, d);
        float *Z = numbers(s.B * d, 2 + k), *initial = operands(n, 6 + k), *m2 = floats(n),
              *none = floats(n);
        for (int64_t i = 0; variant.tf32 && i < s.B * d; i++) Z[i] = as_operand(Z[i]);
        for (int64_t i = 0; i < n; i++)
            m2[i] = 1.0f; /* keeps a step far from sign(g): no amplification */
        in.space[k] = (InnerSpace){batch_of(ops, Z, s.B, d),
                                   recorded == HEADS ? output(o, n, initial) : initial,
                                   recorded == MOMENTS ? output(o, n, none) : none, m2};
    }
    ops->train.inner_steps(q, &in);
}

static void run_inner_heads(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_inner(ops, q, s, o, HEADS);
}

static void run_inner_moments(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    run_inner(ops, q, s, o, MOMENTS);
}

/* With such moments a step moves a head by 1e-6 of itself, so m1, a weighted sum of the gradients,
 * is the output that tells of them. Its error: that of a logit, sqrt(d) u <= 14 u of terms up to
 * 14 in norm, so 196 u, enters the softmax; softmax - Y cancels up to 2 digits of norm at most 4
 * times; the product over B adds PRODUCT_LIMIT: 800 u + 8e-6 = 5.6e-5.
 *
 * bfloat16: the reference rounds what we round, but an operand is itself a result: of two values e
 * apart, a share e/2^-8 rounds to different neighbours, 2^-8 apart: sqrt(e 2^8) 2^-8 in norm.
 * Residuals: e = 5.6e-5 gives 4.7e-4 beside 5.6e-5 itself. W in the second step: the heads' e = 4e-6
 * gives 1.3e-4. The CUDA kernels round residuals before they are divided by B, the reference behind
 * it, so both are off by 2^-8 at most, evenly spread and on their own: sqrt(2/3) 2^-8 in norm for
 * random signs; 2^-8.
 *
 * float16 and tf32: the reference does not round. Residuals: 2^-11 of each at most, and of their
 * sum in norm: 4.9e-4 beside 5.6e-5. Heads: begin exact, and move by less than half a unit in the
 * last place of an operand, so ours multiply as they began. A step moves a weight by at most
 * 1.6e-5 |g| (lr 0.1/0.47 / sqrt(0.001 x 167) from such moments), a logit of a sample that is alone
 * in its batch by 1.6e-5 r sum z^2, so its loss by 1.6e-5 (sum r^2) d/3 <= 3.2e-5 d/3; d/(3B) is at
 * most 5/3: 5.3e-5 in the second step, twice that in the third, of losses above 0.5: 1.8e-4 in norm
 * over the three. */
static double moment_limit(void) {
    if (plain()) return 5.6e-5;
#if defined(TEST_CUDA)
    if (variant.type == DTYPE_BF16) return 0x1p-8;
#endif
    return variant.type == DTYPE_BF16 ? 6.6e-4 : 0x1p-11 + 5.6e-5;
}
static double head_limit(void) {
    if (plain()) return 4 * ELEMENT_LIMIT;
    return variant.type == DTYPE_BF16 ? 1.3e-4 : 1.8e-4;
}

static void judge_inner(int t) {
    variant = types[t];
    judge_tiers("inner_steps", run_inner_heads, ragged, RAGGED, head_limit(), tiers, TIERS);
    judge_tiers("inner_steps m1", run_inner_moments, ragged, RAGGED, moment_limit(), tiers, TIERS);
}

Test(product, inner_steps_in_fp32, .timeout = 600) {
    judge_inner(0);
}

Test(product, inner_steps_in_bf16, .timeout = 600) {
    judge_inner(TYPES - 1);
}

#if defined(TEST_CUDA)
Test(product, inner_steps_in_tf32, .timeout = 600) {
    judge_inner(1);
}

Test(product, inner_steps_in_fp16, .timeout = 600) {
    judge_inner(2);
}
#endif

/* Steps so long that a head which is not seen by the next product would show: the losses of five
 * steps of 0.1 each fall to a fraction of the first. Limit: of weights whose gradient is nearer to 0
 * than its error e a share e takes the opposite step, 0.2 apart. Their gradients being near 0, a
 * loss feels that in second order: bfloat16: e = 2^-8, so a logit of d <= 113 weights against
 * features of norm 0.58 is off by sqrt(113/256) 0.2 x 0.58 = 0.08, and the loss by p(1 - p)/2 <=
 * 0.1 of its square, 6e-4 a step; 3e-3 after five, of losses above 1.5: 2e-3. */
static void run_long_steps(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    InnerSteps in = {.K = (int)s.K, .B = s.B, .C = s.C, .M = 5, .lr = 0.1, .tier = variant.tier};
    in.Y = probabilities(s.B, s.C, 1);
    in.step = counting(0, 1);
    in.scratch = train_scratch(ops, s);
    in.losses = output(o, in.M, NULL);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d, n = linear_size(s.C, d);
        float *Z = numbers(s.B * d, 2 + k);
        in.space[k] =
            (InnerSpace){batch_of(ops, Z, s.B, d), operands(n, 6 + k), floats(n), floats(n)};
    }
    ops->train.inner_steps(q, &in);
    finish(ops, q);
    cr_expect(in.losses[4] < 0.8f * in.losses[0], "%g after %g", (double)in.losses[4],
              (double)in.losses[0]);
}

Test(product, every_inner_step_sees_the_heads_of_the_one_before, .timeout = 600) {
    static const Shape some[] = {{65, 17, 113, 2}, {241, 100, 64, 1}, {119, 130, 40, 1}};
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge_tiers("long steps", run_long_steps, some, 3, 2e-3, tiers, TIERS);
    }
}

/* --- gradient of the labels ------------------------------------------------------------------- */

static void run_label_grad(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    InnerSteps in = {.K = (int)s.K, .B = s.B, .C = s.C};
    float *Y = probabilities(s.B, s.C, 1);
    in.scratch = train_scratch(ops, s);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d;
        float *Z = numbers(s.B * d, 2 + k), *head = operands(linear_size(s.C, d), 6 + k);
        for (int64_t i = 0; variant.tf32 && i < s.B * d; i++) Z[i] = as_operand(Z[i]);
        in.space[k] = (InnerSpace){.Z = batch_of(ops, Z, s.B, d), .head = head};
    }
    float *loss = output(o, s.K, NULL), *in_place = output(o, s.B * s.C, Y),
          *apart = output(o, s.B * s.C, NULL);
    in.Y = Y;
    ops->train.label_grad(q, loss, apart, &in);
    in.Y = in_place;
    ops->train.label_grad(q, loss, in_place, &in);
    finish(ops, q);
    cr_expect(!memcmp(apart, in_place, (size_t)(s.B * s.C) * 4), "in place is another result");
}

Test(product, label_grad, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge("label_grad", run_label_grad, plain() ? 4 * ELEMENT_LIMIT : product_limit());
    }
}

/* --- around the inner loop -------------------------------------------------------------------- */

/* One outer iteration's two halves on the same inputs, beside the operations that they consist of. */
typedef struct {
    TaskSteps tasks;
    InnerSteps heads;
    float *task[MAX_SPACES], *m1[MAX_SPACES]; /* as they began */
    int64_t size[MAX_SPACES];
} Outer;

static Outer outer_problem(const Ops *ops, Shape s) {
    const int K = (int)s.K;
    const int64_t B = s.B, C = s.C;
    Outer o = {.tasks = {.K = K, .B = B, .C = C, .gamma = 10.0, .lr = 0.1},
               .heads = {.K = K, .B = B, .C = C}};
    TaskSteps *t = &o.tasks;
    t->P = floats(K * B * C), t->Y = floats(B * C), t->P_bar = floats(K * C);
    t->entropy = floats(K), t->loss = floats(K);
    t->step = counting(3, 1);
    t->scratch = train_scratch(ops, s);
    for (int k = 0; k < K; k++) {
        const int64_t d = k ? (s.d + 1) / 2 : s.d, n = task_size(C, d);
        const Batch Z = batch_of(ops, operands(B * d, 2 + k), B, d);
        float *m2 = floats(n);
        o.task[k] = numbers(n, 20 + k), o.m1[k] = numbers(n, 40 + k), o.size[k] = n;
        for (int64_t i = 0; i < n; i++) m2[i] = 0.001f;
        t->space[k] = (TaskSpace){Z, copy_of(o.task[k], n * 4), copy_of(o.m1[k], n * 4), m2};
        o.heads.space[k] = (InnerSpace){.Z = Z, .head = operands(linear_size(C, d), 6 + k)};
    }
    return o;
}

/* Expects the values that the parts leave, up to `limit`. */
static void expect_parts(const char *what, const float *found, const float *parts, int64_t n,
                         double limit) {
    EXPECT_CLOSE(relative_error(found, parts, n), limit, "%s %s beside its parts", what,
                 variant.name);
}

/* The parts compute the same in the same precision; what was rounded to 16 bits from values e = 4
 * ELEMENT_LIMIT apart is off by sqrt(e / u) u in norm, u the rounding. */
static double parts_limit(void) {
    const double e = 4 * ELEMENT_LIMIT, u = variant.type == DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
    return plain() ? e : e + sqrt(e / u) * u;
}

static void run_task_labels(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    const Outer p = outer_problem(ops, s);
    TaskSteps t = p.tasks;
    const int K = t.K;
    const int64_t B = s.B, C = s.C;
    t.P = output(o, K * B * C, NULL), t.Y = output(o, B * C, NULL);
    t.P_bar = output(o, K * C, NULL), t.entropy = output(o, K, NULL);
    ops->train.task_labels(q, &t);
    finish(ops, q);
    for (int k = 0; k < K; k++) {
        const TaskSpace *space = &t.space[k];
        float *W = floats(C * space->Z.d), *P = p.tasks.P + k * B * C;
        ops->train.weight_norm(q, W, space->task, C, space->Z.d);
        ops->matrix.matmul(q, MATMUL_NT, P, &space->Z, W, space->task + C * space->Z.d, B, C,
                           space->Z.d, t.scratch);
        ops->train.softmax(q, P, P, B, C);
    }
    ops->train.label_mean(q, p.tasks.Y, p.tasks.P, K, B, C);
    ops->train.batch_entropy(q, p.tasks.P_bar, p.tasks.entropy, p.tasks.P, K, B, C, t.scratch);
    finish(ops, q);
    expect_parts("P", t.P, p.tasks.P, K * B * C, parts_limit());
    expect_parts("Y", t.Y, p.tasks.Y, B * C, parts_limit());
    expect_parts("P_bar", t.P_bar, p.tasks.P_bar, K * C, parts_limit());
    expect_parts("entropy", t.entropy, p.tasks.entropy, K, parts_limit());
}

static void run_task_step(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    Outer p = outer_problem(ops, s);
    TaskSteps t = p.tasks;
    const int K = t.K;
    const int64_t B = s.B, C = s.C;
    float *loss = floats(K), *P = probabilities(K * B, C, 1), *Y = floats(B * C);
    ops->train.label_mean(q, Y, P, K, B, C);
    ops->train.batch_entropy(q, t.P_bar, t.entropy, P, K, B, C, t.scratch);
    finish(ops, q);
    memcpy(t.P, P, (size_t)(K * B * C) * 4), memcpy(t.Y, Y, (size_t)(B * C) * 4);
    t.loss = output(o, K, NULL);
    for (int k = 0; k < K; k++) {
        t.space[k].task = output(o, p.size[k], p.task[k]);
        t.space[k].m1 = output(o, p.size[k], p.m1[k]);
    }
    ops->train.task_step(q, &t, &p.heads);
    finish(ops, q);

    InnerSteps in = p.heads;
    in.Y = Y, in.scratch = t.scratch;
    ops->train.label_grad(q, loss, Y, &in);
    for (int k = 0; k < K; k++) {
        const TaskSpace *space = &p.tasks.space[k];
        float *R = P + k * B * C, *grad = floats(p.size[k]), *m2 = floats(p.size[k]);
        for (int64_t i = 0; i < p.size[k]; i++) m2[i] = 0.001f;
        ops->train.task_grad(q, R, Y, t.P_bar + k * C, K, t.gamma, B, C, t.scratch);
        ops->train.linear_grad(q, grad, R, &space->Z, B, C, t.scratch);
        ops->train.weight_norm_grad(q, grad, grad, space->task, C, space->Z.d);
        ops->train.adam(q, space->task, grad, space->m1, m2, p.size[k], t.lr, t.step);
        finish(ops, q);
        expect_parts("gradient of logits", t.P + k * B * C, R, B * C, 8 * parts_limit());
        expect_parts("m1", t.space[k].m1, space->m1, p.size[k], parts_limit());
        expect_parts("m2", t.space[k].m2, m2, p.size[k], parts_limit());
        expect_parts("task", t.space[k].task, space->task, p.size[k], parts_limit());
    }
    expect_parts("loss", t.loss, loss, K, parts_limit());
}

/* Beside the reference: labels as label_grad; where W is rounded, which the reference does for
 * bfloat16 alone, a logit is off by 2^-11 of |v| = 1 times features of norm 0.58 a column, and P by as
 * much of itself. The step begins from moments of norm 0.58, of which the gradient's error is a part:
 * as inner_steps. */
Test(product, task_labels, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge("task_labels", run_task_labels,
              plain() ? 4 * ELEMENT_LIMIT : product_limit() + parts_limit() + 0x1p-11);
    }
}

Test(product, task_step, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge("task_step", run_task_step, moment_limit());
    }
}

/* --- where pipelines wrap --------------------------------------------------------------------- */

/* The CUDA kernels carry tiles of 64 bytes of depth through a ring of 3 stages: 2 x 3 + 1 tiles and
 * one element more, in fp32 (16 to a tile) and in 16 bits (32); a last tile of one row and one
 * column; of linear_grad, whose depth is the batch and is cut into pieces, so many in each piece. */
static const Shape wrapping[] = {{129, 129, 7 * 16 + 1, 1}, {65, 17, 7 * 32 + 1, 1}},
                   deep_batches[] = {{8 * 7 * 16 + 1, 17, 129, 1}, {8 * 7 * 32 + 1, 3, 65, 1}};

Test(product, pipelines_wrap, .timeout = 600) {
    for (int t = 0; t < TYPES; t++) {
        variant = types[t];
        judge_at("matmul", run_matmul, wrapping, 2, product_limit());
        /* depth 1793: 1.3 times the rounding of 1003, 1.8 times the cutting */
        judge_at("linear_grad", run_linear_grad, deep_batches, 2, 2 * product_limit());
    }
}

/* --- products in double ----------------------------------------------------------------------- */

#if defined(TEST_CUDA)
static double operand_rounding(void) { /* of one operand, relative */
    if (plain()) return 0x1p-24;
    return variant.type == DTYPE_BF16 ? 0x1p-8 : 0x1p-11;
}

enum { DB = 65, DC = 33, DD = 113 };

/* out[i,j] = sum_k a(i,k) b(j,k). */
static void product_f64(double *out, const double *a, const double *b, int64_t rows, int64_t cols,
                        int64_t depth, int64_t a_row, int64_t a_step, int64_t b_row,
                        int64_t b_step) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            double sum = 0.0;
            for (int64_t k = 0; k < depth; k++)
                sum += a[i * a_row + k * a_step] * b[j * b_row + k * b_step];
            out[i * cols + j] = sum;
        }
}

static double *widened(const float *x, int64_t n, bool rounded, float scale) {
    double *wide = malloc((size_t)n * sizeof *wide);
    for (int64_t i = 0; i < n; i++)
        wide[i] = rounded ? (double)as_operand(x[i] * scale) / scale : x[i];
    return wide;
}

/* Found beside the product of the rounded operands, from which only the summation may differ, and
 * beside that of the operands themselves. There each is off by at most r (operand_rounding), evenly
 * spread: r^2/3 in the mean of squares, both r sqrt(2/3) = 0.82 r in norm for random signs; r. */
static void expect_product(const char *name, const char *backend, const float *found,
                           const float *a, const float *b, float a_scale, int64_t rows,
                           int64_t cols, int64_t depth, int64_t a_row, int64_t a_step,
                           int64_t b_row, int64_t b_step) {
    double *out = malloc((size_t)(rows * cols) * sizeof *out);
    const bool rounds = variant.type != DTYPE_F32 || strcmp(backend, "naive") != 0;
    for (int rounded = 0; rounded < 1 + rounds;
         rounded++) { /* naive: tf32 is multiplied as it is */
        double *x = widened(a, rows * depth, rounded, a_scale),
               *y = widened(b, cols * depth, rounded, 1.0f);
        product_f64(out, x, y, rows, cols, depth, a_row, a_step, b_row, b_step);
        EXPECT_CLOSE(relative_error_f64(found, out, rows * cols),
                     rounded ? product_limit() : operand_rounding() + product_limit(),
                     "%s %s %s beside the product of %s operands in double", name, backend,
                     variant.name, rounded ? "rounded" : "its");
        free(x), free(y);
    }
    free(out);
}

Test(product, rounding_is_that_of_the_operands_alone, .timeout = 120) {
    const char *const *backends = test_backends();
    for (int i = 0; backends[i]; i++)
        for (int t = 0; t < TYPES; t++) {
            Ops ops;
            Queue *q;
            variant = types[t];
            open_backend(&ops, &q, backends[i], 0);
            float *Z = numbers(DB * DD, 1), *W = numbers(DC * DD, 2), *R = numbers(DB * DC, 3),
                  *out = floats(DB * DC);
            const Batch batch = batch_of(&ops, Z, DB, DD);
            ops.matrix.matmul(q, MATMUL_NT, out, &batch, W, NULL, DB, DC, DD,
                              scratch(ops.matrix.matmul_scratch_bytes(MATMUL_NT, DB, DC, DD)));
            finish(&ops, q);
            expect_product("matmul", backends[i], out, Z, W, 1.0f, DB, DC, DD, DD, 1, DD, 1);

            /* residuals of any size: 1/B of a large batch, and where float16 ends */
            static const float sizes[] = {1.0f, 1e-5f, 1e-9f, 3e-30f, 1e6f, 1e30f};
            for (size_t n = 0; n < sizeof sizes / sizeof *sizes; n++) {
                float *small = floats(DB * DC), *grad = floats(linear_size(DC, DD)), most = 0.0f;
                for (int j = 0; j < DB * DC; j++) {
                    small[j] = R[j] * sizes[n];
                    if (fabsf(small[j]) > most) most = fabsf(small[j]);
                }
                ops.train.linear_grad(
                    q, grad, small, &batch, DB, DC,
                    scratch(ops.train.scratch_bytes(variant.type, 1, DB, DC, 1, DD)));
                finish(&ops, q);
                const float scale = variant.type == DTYPE_F16 ? ldexpf(1.0f, -ilogbf(most)) : 1.0f;
                expect_product("linear_grad", backends[i], grad, small, Z, scale, DC, DD, DB, 1, DC,
                               1, DD);
                double bias[DC] = {0};
                for (int j = 0; j < DB * DC; j++) bias[j % DC] += small[j];
                /* the sums of columns may be of the rounded residuals: one rounding each */
                EXPECT_CLOSE(relative_error_f64(grad + DC * DD, bias, DC),
                             operand_rounding() + product_limit(), "linear_grad %s %s: bias",
                             backends[i], variant.name);
            }
            close_backend(&ops, q);
            free_arrays();
        }
}
#endif
