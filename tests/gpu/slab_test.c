/* slab_test.c - the inner loop for few classes in one launch (kernels/cuda/inner/inner_slab.cu): ragged
 * shapes, pieces that stay and pieces that are streamed, spaces side by side and in turn, long runs.
 *
 * product_test.c and train_test.c judge the same kernel at their shapes and on recorded runs. */
#include "kernels/plan/plan.h"
#include "tests/support/operation.h"

static const Variant types[] = {
    {"fp16", DTYPE_F16, false, INNER_MEGA},
    {"bf16", DTYPE_BF16, false, INNER_MEGA},
};
enum { TYPES = 2 };

/* Settings of the runs below, for which the shape has no place. */
static struct {
    int64_t M;
    float lr, m2;
    bool moments; /* recorded beside the losses, in place of the heads */
    bool equal_d; /* of all spaces; else they differ */
} how;

static int64_t dimension(int64_t d, int k) {
    return how.equal_d || k == 0 ? d : k == 1 ? (d + 1) / 2 : d / 3 + 1;
}

static InnerSteps prepare(const Ops *ops, Shape s, Outputs *o) {
    InnerSteps in = {
        .K = (int)s.K, .B = s.B, .C = s.C, .M = how.M, .lr = how.lr, .tier = variant.tier};
    in.Y = probabilities(s.B, s.C, 1);
    in.step = counting(5, 1);
    in.scratch = scratch(ops->train.scratch_bytes(variant.type, in.K, s.B, s.C, 1, s.d));
    in.losses = output(o, in.M, NULL);
    for (int k = 0; k < in.K; k++) {
        const int64_t d = dimension(s.d, k), n = linear_size(s.C, d);
        float *Z = numbers(s.B * d, 2 + k), *initial = operands(n, 9 + k), *m2 = floats(n),
              *none = floats(n);
        for (int64_t i = 0; i < n; i++) m2[i] = how.m2;
        const bool recorded = k < (MAX_OUTPUTS - 1);
        in.space[k] = (InnerSpace){batch_of(ops, Z, s.B, d),
                                   !how.moments && recorded ? output(o, n, initial) : initial,
                                   how.moments && recorded ? output(o, n, none) : none, m2};
    }
    return in;
}

static void run(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    InnerSteps in = prepare(ops, s, o);
    ops->train.inner_steps(q, &in);
}

/* The cut that the emulated device gets for a shape, so that a test knows that it tests what it
 * means to; on another device the shapes are tested as they come. */
static Plan plan_of(Shape s) {
    const PlanDevice *tiny = plan_device("tiny");
    const PlanDevice device = plan_device_like(tiny->sms, tiny->shared_per_block, 90);
    PlanSpace spaces[PLAN_MAX_SPACES];
    Plan plan;
    Error err;
    for (int k = 0; k < s.K; k++) spaces[k] = (PlanSpace){s.B, s.C, dimension(s.d, k)};
    ASSERT_OK(plan_inner(&plan, &device, spaces, (int)s.K, variant.type, false, &err), err);
    cr_assert(plan.form == PLAN_SLAB);
    return plan;
}

/* Limits, u = 2^-24, as product_test.c derives them where d <= 113, for d <= 1536.
 *
 * A logit: tensor cores cut each of d/16 sums of 16 products by up to 2u of the sum so far, a half of
 * what grows to its end: d/16 u of 1536: 96 u; its norm is sqrt(d)/3 = 13 for numbers uniform in
 * [-1,1), so 1250 u = 7.5e-5; all logits are cut towards zero alike, and softmax - Y cancels one
 * digit: 3e-4 of R. Adam keeps m2 at 1 (how.m2), so that m1 is a weighted sum of gradients.
 *
 * float16: the reference does not round R: 2^-11 of each at most, in norm too, 4.9e-4: 7.9e-4.
 * bfloat16: both round, on their own (before and behind the division by B): 2^-8. */
static double gradient_limit(void) {
    return variant.type == DTYPE_BF16 ? 0x1p-8 : 7.9e-4;
}
/* Losses of M steps and heads, M <= 3: 7.5e-5 of a logit, of losses above 0.5: 1.5e-4. Heads begin as
 * operands of 16 bits and move by less than half a unit of them, so ours multiply as they began. A
 * step moves a weight by at most lr/0.47 |g| / sqrt(167 x 0.001) = 1.6e-5 |g|, a logit of a sample that
 * is alone in its batch by 1.6e-5 r sum z^2, its loss by r times that: 1.6e-5 d/(3B), d/B <= 15
 * here: 8e-5 in the second step, twice that in the third, of losses above 0.5 and in norm over the
 * three 2.1e-4. */
static double head_limit(void) {
    return 3.6e-4;
}

static void judge_all(const char *name, const Shape *shapes, size_t count) {
    for (int t = 0; t < (getenv("TURTLE_TEST_SMALL") ? 1 : TYPES); t++) {
        variant = types[t];
        how.moments = false;
        judge_at(name, run, shapes, count, head_limit());
        how.moments = true;
        judge_at(name, run, shapes, count, gradient_limit());
    }
}

/* Classes on both sides of a fragment, features of less than one and of odd numbers of them, batches of
 * one row and with a last tile of one row. */
Test(slab, ragged_shapes, .timeout = 600) {
    static const Shape shapes[] = {{1, 2, 8, 1},     {17, 3, 250, 1},   {65, 10, 441, 2},
                                   {33, 16, 8, 3},   {129, 17, 250, 2}, {49, 31, 441, 1},
                                   {81, 32, 113, 3}, {257, 10, 64, 2}};
    how.M = 2, how.lr = 0.001f, how.m2 = 1.0f;
    judge_all("slab", shapes, sizeof shapes / sizeof *shapes);
}

/* Pieces of rows: several that stay; some that stay and some streamed, through slots that wrap; all
 * streamed; gradients in two sweeps. */
Test(slab, pieces_stay_and_stream, .timeout = 600) {
    static const Shape shapes[] = {{257, 10, 768, 1},  {257, 32, 441, 1}, {330, 10, 1536, 1},
                                   {1000, 16, 441, 1}, {97, 17, 777, 1},  {130, 32, 1536, 1}};
    variant = types[0];
    Plan p = plan_of(shapes[0]);
    cr_assert(p.space[0].resident == p.space[0].rows && p.space[0].group == p.space[0].rows);
    p = plan_of(shapes[1]);
    cr_assert(p.space[0].resident == p.space[0].rows && p.space[0].group * 2 < p.space[0].rows);
    p = plan_of(shapes[2]);
    cr_assert(p.space[0].resident > 0 && p.space[0].stages == 2 && p.space[0].passes == 1 &&
              p.space[0].rows - p.space[0].resident >= 5 * p.space[0].stage);
    p = plan_of(shapes[3]);
    cr_assert(p.space[0].resident == 0 && p.space[0].stages > 0);
    p = plan_of(shapes[4]);
    cr_assert(p.space[0].resident == p.space[0].rows && p.space[0].passes == 2);
    p = plan_of(shapes[5]);
    cr_assert(p.space[0].resident < p.space[0].rows && p.space[0].passes == 2);
    how.M = 3, how.lr = 0.001f, how.m2 = 1.0f;
    judge_all("slab pieces", shapes, sizeof shapes / sizeof *shapes);
    if (!getenv("TURTLE_TEST_SMALL")) return;
    /* ThreadSanitizer, for which these are too large to be judged, still watches those that stream */
    variant = types[0];
    how.M = 2;
    for (int i = 2; i < 6; i += 3) {
        Outputs o = run_operation(run, "cuda", 0, shapes[i]);
        for (int64_t m = 0; m < how.M; m++) cr_expect(isfinite(o.data[0][m]));
        free_outputs(&o);
    }
}

/* Spaces side by side on CTAs of their own, and in turn on the same ones. */
Test(slab, spaces_side_by_side_and_in_turn, .timeout = 600) {
    static const Shape beside[] = {{100, 10, 250, 2}, {65, 17, 64, 3}, {33, 3, 16, 3}},
                       in_turn[] = {{100, 10, 250, 5}, {65, 20, 33, 7}, {49, 3, 8, 5}};
    variant = types[0];
    for (int i = 0; i < 3; i++)
        cr_assert(plan_of(beside[i]).side_by_side && !plan_of(in_turn[i]).side_by_side);
    how.M = 3, how.lr = 0.001f, how.m2 = 1.0f;
    judge_all("slab side by side", beside, 3);
    judge_all("slab in turn", in_turn, 3);
}

/* The three tiers beside one another. Unfused divides residuals by B before it rounds them: the limits
 * above. Fused rounds as mega does, so only logits differ, by 3e-4 of R at most; of float16 then a share 3e-4/2^-11 rounds to other neighbours: sqrt(3e-4 x
 * 2^11) 2^-11 = 3.8e-4, of bfloat16 sqrt(3e-4 x 2^8) 2^-8 = 1.1e-3, beside 3e-4 itself. */
Test(slab, mega_is_fused_is_unfused, .timeout = 600) {
    static const Shape shapes[] = {{97, 10, 441, 2}, {65, 32, 250, 1}};
    how.M = 3, how.lr = 0.001f, how.m2 = 1.0f, how.moments = true;
    for (int t = 0; t < TYPES; t++)
        for (int i = 0; i < 2; i++) {
            Outputs o[INNER_MEGA + 1];
            for (InnerTier tier = INNER_UNFUSED; tier <= INNER_MEGA; tier++) {
                variant = types[t];
                variant.tier = tier;
                o[tier] = run_operation(run, "cuda", 0, shapes[i]);
            }
            const Outputs *mega = &o[INNER_MEGA];
            for (InnerTier tier = INNER_UNFUSED; tier < INNER_MEGA; tier++)
                for (int j = 0; j < mega->n; j++)
                    EXPECT_CLOSE(relative_error(mega->data[j], o[tier].data[j], mega->count[j]),
                                 tier == INNER_UNFUSED        ? gradient_limit()
                                 : variant.type == DTYPE_BF16 ? 1.4e-3
                                                              : 6.8e-4,
                                 "mega against tier %d %s: output %d at B %d C %d d %d", (int)tier,
                                 variant.name, j, (int)shapes[i].B, (int)shapes[i].C,
                                 (int)shapes[i].d);
            for (InnerTier tier = INNER_UNFUSED; tier <= INNER_MEGA; tier++) free_outputs(&o[tier]);
        }
}

/* Many steps from nothing, as a cold start: every weight moves by about lr a step, and of weights whose
 * gradient is nearer to 0 than its error e (of what gradients are: 2^-12 in float16, 2^-9 in
 * bfloat16, rounding of R) a share 0.8 e takes the opposite step, 2 lr = 0.02 away, of heads of norm
 * 0.58: after M steps in which that happens anew sqrt(0.8 e M) x 0.034. M 37: 2.9e-3 and 8.2e-3.
 * Losses feel it in second order (product_test.c): 2e-3. And the losses fall, so each step saw the
 * one before. */
static void run_cold(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    InnerSteps in = prepare(ops, s, o);
    ops->train.inner_steps(q, &in);
    finish(ops, q);
    cr_expect(in.losses[in.M - 1] < (in.M > 30 ? 0.6f : 0.9f) * in.losses[0], "%g after %g",
              (double)in.losses[in.M - 1], (double)in.losses[0]);
}

Test(slab, cold_starts_of_10_and_37_steps, .timeout = 600) {
    static const Shape shapes[] = {{129, 10, 250, 2}, {65, 31, 64, 1}};
    how.lr = 0.01f, how.m2 = 0.0f, how.moments = false;
    for (int t = 0; t < TYPES && !getenv("TURTLE_TEST_SMALL"); t++)
        for (how.M = 10; how.M <= 37; how.M += 27)
            for (int i = 0; i < 2; i++) {
                variant = types[t];
                Outputs expected = run_operation(run_cold, "reference", 0, shapes[i]),
                        found = run_operation(run_cold, "cuda", 0, shapes[i]);
                const double e = variant.type == DTYPE_BF16 ? 0x1p-9 : 0x1p-12;
                for (int j = 0; j < found.n; j++)
                    EXPECT_CLOSE(relative_error(found.data[j], expected.data[j], found.count[j]),
                                 j == 0 ? 2e-3 : sqrt(0.8 * e * (double)how.M) * 0.034,
                                 "%s, M %d: output %d at C %d d %d", variant.name, (int)how.M, j,
                                 (int)shapes[i].C, (int)shapes[i].d);
                free_outputs(&expected), free_outputs(&found);
            }
}

/* One launch for all steps of all spaces; beyond 1024 steps another, which goes on where the first one
 * ended. */
static int64_t launches(const char *kernel, Shape s, Outputs *o) {
    Ops ops;
    Queue *q;
    Error err;
    ProfileRow rows[64];
    int64_t all = 0, own = 0;
    open_backend(&ops, &q, "cuda", 0);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    run(&ops, q, s, o);
    finish(&ops, q);
    const int n = ops.mem.profile_rows(ops.device, rows, 64);
    for (int i = 0; i < n && i < 64; i++) {
        all += rows[i].calls;
        if (strstr(rows[i].kernel, kernel)) own += rows[i].calls;
    }
    close_backend(&ops, q);
    free_arrays();
    cr_expect(all == own, "%d launches, %d of them %s", (int)all, (int)own, kernel);
    return own;
}

Test(slab, all_steps_of_all_spaces_are_one_launch, .timeout = 600) {
    static const int64_t steps[] = {1, 10, 37};
    how.lr = 0.001f, how.m2 = 1.0f, how.moments = false;
    for (int t = 0; t < TYPES; t++)
        for (int i = 0; i < (getenv("TURTLE_TEST_SMALL") ? 1 : 3); i++)
            for (int K = 1; K <= 3; K++) {
                Outputs o = {.n = 0};
                variant = types[t];
                how.M = steps[i];
                cr_expect(launches("inner_slab", (Shape){33, 5, 24, K}, &o) == 1);
                free_outputs(&o);
            }
    Outputs o = {.n = 0}, none = {.n = 0};
    variant = types[0];
    if (getenv("TURTLE_TEST_SMALL")) return;
    how.M = 1030, how.m2 = 0.0f;
    const Shape small = {3, 2, 8, 1};
    cr_expect(launches("inner_slab", small, &o) == 2);
    for (int64_t m = 1; m < how.M; m++)
        cr_expect(o.data[0][m] <= o.data[0][m - 1] * 1.001f && isfinite(o.data[0][m]),
                  "loss %g after %g in step %d", (double)o.data[0][m], (double)o.data[0][m - 1],
                  (int)m);
    free_outputs(&o);
    /* operands of four bytes stay with the tiled form; more classes go to wgmma, still more do not */
    variant = (Variant){"tf32", DTYPE_F32, true, INNER_MEGA};
    how.M = 2;
    cr_expect(launches("inner_tiled", (Shape){33, 5, 24, 2}, &none) == 1);
    free_outputs(&none);
    variant = types[1];
    cr_expect(launches("inner_tiled", (Shape){3, 2049, 8, 1}, &none) == 1);
    free_outputs(&none);
#if defined(TEST_EMULATED) /* 9.0 */
    cr_expect(launches("inner_wgmma", (Shape){33, 33, 24, 2}, &none) == 1);
    free_outputs(&none);
#endif
}

/* --profile prints the kernel that ran, with the values of its template arguments, not their names. */
Test(slab, a_profile_says_the_values_of_template_arguments, .timeout = 120) {
    static const struct {
        Variant variant;
        int64_t C;
        const char *kernel;
    } cases[] = {
        {{"fp16", DTYPE_F16, false, INNER_MEGA}, 5, "inner_slab<fp16, 16>"},
        {{"bf16", DTYPE_BF16, false, INNER_MEGA}, 20, "inner_slab<bf16, 32>"},
        {{"tf32", DTYPE_F32, true, INNER_MEGA},
         5,
         "inner_tiled<tf32, Shape2<64, 16, 4, 1>, Shape2<16, 128, 1, 4>>"},
#if defined(TEST_EMULATED) /* 9.0 */
        {{"fp16", DTYPE_F16, false, INNER_MEGA}, 33, "inner_wgmma<fp16, 64>"},
        {{"bf16", DTYPE_BF16, false, INNER_MEGA}, 65, "inner_wgmma<bf16, 128>"},
#endif
    };
    how.M = 1, how.lr = 0.001f, how.m2 = 1.0f, how.moments = false;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Outputs o = {.n = 0};
        variant = cases[i].variant;
        cr_expect(launches(cases[i].kernel, (Shape){3, cases[i].C, 8, 1}, &o) == 1);
        free_outputs(&o);
    }
}

#if defined(TEST_EMULATED)
/* As many CTAs as an H200 has SMs, so that a slice's parts are of several CTAs each, and slices of one
 * quad and of none. */
Test(slab, all_multiprocessors_of_an_h200, .timeout = 600) {
    static const Shape shapes[] = {{2100, 3, 32, 1}, {1050, 2, 8, 2}};
    if (getenv("TURTLE_TEST_SMALL")) return;
    setenv("EMU_DEVICE", "h200", 1);
    how.M = 2, how.lr = 0.001f, how.m2 = 1.0f, how.moments = true;
    variant = types[0];
    for (int i = 0; i < 2; i++) {
        Outputs expected = run_operation(run, "reference", 0, shapes[i]),
                found = run_operation(run, "cuda", 0, shapes[i]);
        for (int j = 0; j < found.n; j++)
            EXPECT_CLOSE(relative_error(found.data[j], expected.data[j], found.count[j]),
                         gradient_limit(), "output %d at B %d", j, (int)shapes[i].B);
        free_outputs(&expected), free_outputs(&found);
    }
    unsetenv("EMU_DEVICE");
}
#endif
