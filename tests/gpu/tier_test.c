/* tier_test.c - tiers of the inner loop and operands of every precision in whole iterations: replayed or
 * not, features resident or not, and what each tier launches. */
#include "host/train/train.h"
#include "kernels/plan/model.h"
#include "kernels/plan/plan.h"
#include "tests/support/operation.h"

/* --- a small run ------------------------------------------------------------------------------ */

enum { RUN_N = 211, RUN_B = 67, RUN_C = 7, RUN_K = 2, RUN_T = 5 };
static const int64_t run_d[RUN_K] = {24, 37};

typedef struct {
    bool torch_rng, warm_start;
    InnerTier tier;
    DType operands;
    bool tf32;
    int beside;
    bool one_space, halves; /* the first one alone; features in float16 */
} Run;

/* Its state after RUN_T iterations: parameters, heads, losses. Whether features were remote. */
static Outputs run_training(const Ops *ops, const Run *run, bool *remote) {
    Error err;
    Train r;
    Features features[RUN_K];
    const int K = run->one_space ? 1 : RUN_K;
    TrainConfig config = {.K = K,
                          .C = RUN_C,
                          .B = RUN_B,
                          .M = 3,
                          .operands = run->operands,
                          .tf32 = run->tf32,
                          .tier = run->tier,
                          .gamma = 10.0,
                          .inner_lr = 0.001,
                          .outer_lr = 0.001,
                          .warm_start = run->warm_start,
                          .torch_rng = run->torch_rng,
                          .beside = run->beside,
                          .seed = 42};
    for (int k = 0; k < K; k++) {
        const int64_t n = RUN_N * run_d[k];
        const float *x = numbers(n, 1 + k);
        uint16_t *half = array(n * 2);
        for (int64_t i = 0; i < n; i++) half[i] = f16_from_f32(x[i]);
        features[k] = (Features){.data = run->halves ? (const void *)half : x,
                                 .N = RUN_N,
                                 .d = run_d[k],
                                 .type = run->halves ? DTYPE_F16 : DTYPE_F32};
        config.features[k] = &features[k];
    }
    ASSERT_OK(train_open(&r, ops, &config, &err), err);
    *remote = ops->mem.features_remote(ops->device, &r.features[0]);
    for (int t = 0; t < RUN_T; t++) ASSERT_OK(train_iteration(&r, &err), err);
    Outputs o = {.n = 0};
    for (int k = 0; k < K; k++) {
        const int64_t task = task_size(RUN_C, run_d[k]), head = linear_size(RUN_C, run_d[k]);
        ops->mem.to_host(r.queue, output(&o, task, NULL), r.task[k], task * 4);
        ops->mem.to_host(r.queue, output(&o, head, NULL), r.head[k], head * 4);
    }
    ops->mem.to_host(r.queue, output(&o, K, NULL), r.loss, K * 4);
    ops->mem.to_host(r.queue, output(&o, 3, NULL), r.inner_losses, 3 * 4);
    ASSERT_OK(ops->mem.wait(r.queue, &err), err);
    train_close(&r);
    free_arrays();
    return o;
}

static Outputs run_with(const char *name, const char *value, const Run *run, bool *remote) {
    Ops ops;
    Queue *q;
    if (name) setenv(name, value, 1);
    open_backend(&ops, &q, "cuda", 0);
    Outputs o = run_training(&ops, run, remote);
    close_backend(&ops, q);
    if (name) unsetenv(name);
    return o;
}

static void expect_same_bits(const char *what, const Outputs *a, const Outputs *b) {
    for (int j = 0; j < a->n; j++) {
        cr_expect(isfinite(a->data[j][0]), "%s: output %d", what, j);
        cr_expect(!memcmp(a->data[j], b->data[j], (size_t)a->count[j] * 4), "%s: output %d", what,
                  j);
    }
}

static const Run runs[] = {
    {.tier = INNER_FUSED, .operands = DTYPE_F32},
    {.torch_rng = true, .tier = INNER_UNFUSED, .operands = DTYPE_F16},
    {.warm_start = true, .tier = INNER_FUSED, .operands = DTYPE_BF16},
    {.torch_rng = true,
     .warm_start = true,
     .tier = INNER_AUTO,
     .operands = DTYPE_F32,
     .tf32 = true},
    {.tier = INNER_MEGA, .operands = DTYPE_F16},
    /* an iteration at once: rows where they lie, gathered before, of a stream of the host */
    {.tier = INNER_AUTO, .operands = DTYPE_F16, .one_space = true, .halves = true},
    {.warm_start = true, .tier = INNER_AUTO, .operands = DTYPE_BF16, .one_space = true},
    {.torch_rng = true,
     .tier = INNER_AUTO,
     .operands = DTYPE_F16,
     .one_space = true,
     .halves = true},
    {.tier = INNER_AUTO, .operands = DTYPE_F16, .halves = true},
};

Test(tiers, replayed_iterations_give_the_bits_of_enqueued_ones, .timeout = 300) {
    bool remote;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        Outputs plain = run_with("TURTLE_REPLAY", "0", &runs[i], &remote),
                replayed = run_with(NULL, NULL, &runs[i], &remote);
        expect_same_bits("replayed", &replayed, &plain);
        free_outputs(&plain), free_outputs(&replayed);
    }
}

Test(tiers, features_beside_the_device_give_the_same_bits, .timeout = 300) {
    bool remote, resident;
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        Outputs here = run_with(NULL, NULL, &runs[i], &resident),
                there = run_with("TURTLE_RESIDENT", "0", &runs[i], &remote);
        cr_expect(remote && !resident);
        expect_same_bits("remote", &there, &here);
        free_outputs(&here), free_outputs(&there);
    }
}

/* An iteration at once is one by its parts up to rounding: iteration_test.c judges it; here, that a run of
 * them stays beside the other. After 5 iterations losses are within 2^-10, of logits below 2 that are off by 2^-11. */
Test(tiers, iterations_at_once_are_those_by_parts, .timeout = 300) {
    bool remote;
    for (int i = 0; i < 4; i++) {
        Run run = {.warm_start = i % 2,
                   .tier = INNER_AUTO,
                   .operands = DTYPE_F16,
                   .one_space = i < 2,
                   .halves = true};
        Outputs once = run_with(NULL, NULL, &run, &remote);
        run.tier = INNER_MEGA;
        Outputs parts = run_with(NULL, NULL, &run, &remote);
        for (int j = run.one_space ? 2 : 2 * RUN_K; j < once.n; j++)
            EXPECT_CLOSE(relative_error(once.data[j], parts.data[j], once.count[j]), 0x1p-10,
                         "losses %d", j);
        cr_expect(memcmp(once.data[0], parts.data[0], (size_t)once.count[0] * 4), "the same code");
        free_outputs(&once), free_outputs(&parts);
    }
}

/* Operands are the same float16 numbers but where float32 sums in another order round to a neighbour, so a
 * logit is off by less than 2^-11 of itself, and a loss, of logits below 1 and residuals below 1, too.
 * Between 8 trainings four SMs are less than one each: one block then has all rows. */
Test(tiers, a_training_runs_on_its_share_of_the_device, .timeout = 300) {
    Run run = {.tier = INNER_MEGA, .operands = DTYPE_F16};
    bool remote;
    Ops ops;
    Queue *q;
    open_backend(&ops, &q, "cuda", 0);
    const bool emulated = ops.emulated; /* with 4 SMs */
    InnerSteps shape = {.K = 1, .B = RUN_B, .C = RUN_C, .tier = INNER_AUTO};
    shape.space[0].Z = (Batch){.d = 24, .row = 24, .type = DTYPE_F16};
    const InnerOutlook halves = ops.train.inner_outlook(ops.device, &shape);
    cr_expect(halves.note[0] == 0 && halves.trainings >= 2, "%d", halves.trainings);
    shape.space[0].Z.type = DTYPE_F32;
    cr_expect(ops.train.inner_outlook(ops.device, &shape).trainings == 1, "tiles");
    close_backend(&ops, q);

    Outputs alone = run_with(NULL, NULL, &run, &remote);
    bool same = true;
    for (run.beside = 2; run.beside <= 8; run.beside *= 2) {
        Outputs shared = run_with(NULL, NULL, &run, &remote);
        for (int j = 2 * RUN_K; j < shared.n; j++) /* losses, then inner losses */
            EXPECT_CLOSE(relative_error(shared.data[j], alone.data[j], alone.count[j]), 0x1p-11,
                         "%d beside each other, output %d", run.beside, j);
        for (int j = 0; j < shared.n; j++)
            same &= !memcmp(shared.data[j], alone.data[j], (size_t)alone.count[j] * 4);
        free_outputs(&shared);
    }
    cr_expect(!same || !emulated, "the blocks' sums are cut otherwise");
    free_outputs(&alone);
}

/* --- launches --------------------------------------------------------------------------------- */

/* Launches of the kernels whose names begin so. */
static int64_t calls(const Ops *ops, const char *prefix) {
    ProfileRow rows[64];
    const int n = ops->mem.profile_rows(ops->device, rows, 64);
    int64_t sum = 0;
    for (int i = 0; i < n && i < 64; i++) {
        cr_expect(rows[i].total_ms >= 0.0 && rows[i].calls > 0);
        if (strstr(rows[i].kernel, prefix)) sum += rows[i].calls;
    }
    return sum;
}

/* Enqueues M steps of K spaces; how many launches the GPU was given, and of these `of_name`. */
static int64_t launches(InnerTier tier, DType type, int K, int64_t M, const char *name,
                        int64_t *of_name) {
    enum { B = 40, C = 5, D = 24, HEAD = C * D + C };
    Ops ops;
    Queue *q;
    Error err;
    open_backend(&ops, &q, "cuda", 0);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    InnerSteps in = {.K = K, .B = B, .C = C, .M = M, .lr = 0.001, .tier = tier};
    in.Y = probabilities(B, C, 1);
    in.step = counting(0, 1);
    in.losses = floats(M);
    in.scratch = scratch(ops.train.scratch_bytes(type, K, B, C, 1, D));
    variant.type = type;
    for (int k = 0; k < K; k++)
        in.space[k] = (InnerSpace){batch_of(&ops, numbers(B * D, 2 + k), B, D),
                                   numbers(HEAD, 6 + k), floats(HEAD), floats(HEAD)};
    variant.type = DTYPE_F32;
    ops.train.inner_steps(q, &in);
    finish(&ops, q);
    for (int64_t m = 0; m < M; m++) cr_expect(in.losses[m] > 0.0f, "step %d", (int)m);
    *of_name = calls(&ops, name);
    const int64_t all = calls(&ops, "");
    close_backend(&ops, q);
    free_arrays();
    return all;
}

/* The tiers launch all M steps of all K spaces at once; or two kernels a step, and one a space before the
 * first where operands are rounded; or one kernel for each operation. */
Test(tiers, tiers_launch_what_they_say, .timeout = 300) {
    static const int64_t steps[] = {1, 10, 37};
    static const DType types[] = {DTYPE_F32, DTYPE_F16};
    int64_t own, all;
    for (int t = 0; t < 2; t++)
        for (int K = 1; K <= 3; K++)
            for (int i = 0; i < 3; i++) {
                const int64_t M = steps[i];
                all = launches(INNER_MEGA, types[t], K, M, "inner_", &own);
                cr_expect(own == 1 && all == 1, "mega: %d of %d launches at M %d K %d", (int)own,
                          (int)all, (int)M, K);
                all = launches(INNER_AUTO, types[t], K, M, "inner_", &own);
                cr_expect(own == 1 && all == 1, "auto: %d of %d launches at M %d K %d", (int)own,
                          (int)all, (int)M, K);
                all = launches(INNER_FUSED, types[t], K, M, "residual", &own);
                const int64_t rounds = types[t] == DTYPE_F32 ? 0 : K;
                cr_expect(own == M && all == 2 * M + rounds, "fused: %d of %d at M %d K %d",
                          (int)own, (int)all, (int)M, K);
            }
    all = launches(INNER_UNFUSED, DTYPE_F32, 2, 4, "matmul", &own);
    cr_expect(own == 8 && all > 32, "unfused: %d of %d", (int)own, (int)all);
    all = launches(INNER_UNFUSED, DTYPE_F32, 2, 4, "adam", &own);
    cr_expect(own == 8, "unfused: %d of %d", (int)own, (int)all);
}

/* All spaces share every launch of an iteration but gather's: rows, gather of each, heads; weight norm, labels,
 * their means; the inner loop; the heads' labels, the gradient of the logits, of the weights, Adam; the count
 * of iterations. Where operands are rounded, so are heads and residuals. At once: rows, heads, all the rest, the
 * count. Before: a weight and a head drawn for each space. */
Test(tiers, an_iteration_launches_what_it_says, .timeout = 300) {
    static const Run some[] = {
        {.tier = INNER_MEGA, .operands = DTYPE_F32},
        {.tier = INNER_MEGA, .operands = DTYPE_F16},
        {.warm_start = true, .tier = INNER_MEGA, .operands = DTYPE_BF16},
        {.tier = INNER_AUTO, .operands = DTYPE_F16, .one_space = true, .halves = true}};
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        Ops ops;
        Queue *q;
        Error err;
        bool remote;
        open_backend(&ops, &q, "cuda", 0);
        ASSERT_OK(ops.mem.profile(ops.device, &err), err);
        Outputs o = run_training(&ops, &some[i], &remote);
        const int64_t rounds = some[i].operands == DTYPE_F32 ? 0 : 2, K = some[i].one_space ? 1 : 2,
                      each = some[i].one_space ? 4 : 11 + K + rounds,
                      expected = 2 * K + RUN_T * each;
        /* a warm start draws no heads, but counts their steps */
        cr_expect(!remote && calls(&ops, "") == expected, "run %d: %d launches for %d", (int)i,
                  (int)calls(&ops, ""), (int)expected);
        free_outputs(&o);
        close_backend(&ops, q);
    }
}

/* Each kernel of an iteration is one of a phase of the model, and each launch of the model is one of them. */
Test(tiers, the_model_knows_every_launch, .timeout = 300) {
    static const Run some[] = {
        {.tier = INNER_AUTO, .operands = DTYPE_F16},
        {.tier = INNER_AUTO, .operands = DTYPE_F32},
        {.tier = INNER_AUTO, .operands = DTYPE_F16, .one_space = true},
        {.tier = INNER_AUTO, .operands = DTYPE_F16, .one_space = true, .halves = true}};
    const PlanDevice *tiny = plan_device("tiny");
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        const Run *run = &some[i];
        const ModelRun of = {.M = 3, .type = run->operands, .feature_bytes = run->halves ? 2 : 4};
        const PlanSpace spaces[RUN_K] = {{RUN_B, RUN_C, run_d[0]}, {RUN_B, RUN_C, run_d[1]}};
        bool found[MODEL_MAX_PHASES] = {false}, remote;
        ProfileRow rows[64];
        Plan plan;
        Model model;
        Ops ops;
        Queue *q;
        Error err;
        ASSERT_OK(plan_inner(&plan, tiny, spaces, run->one_space ? 1 : 2, of.type, false, &err),
                  err);
        model_iteration(&model, tiny, &plan, &of);
        open_backend(&ops, &q, "cuda", 0);
        ASSERT_OK(ops.mem.profile(ops.device, &err), err);
        Outputs o = run_training(&ops, run, &remote);
        const int n = ops.mem.profile_rows(ops.device, rows, 64);
        for (int j = 0; j < n; j++) {
            const int phase = model_phase_of(&model, rows[j].kernel);
            const bool once = strstr(rows[j].kernel, "random_linear"); /* a run's first heads */
            cr_expect(phase >= 0 || once, "%s", rows[j].kernel);
            if (phase >= 0) found[phase] = true;
        }
        double launches = 0.0;
        for (int j = 0; j < model.count; j++) {
            cr_expect(found[j] == (model.phase[j].kernels != NULL), "%s", model.phase[j].name);
            if (model.phase[j].kernels) launches += model_launch_s(&model, j);
        }
        cr_expect(fabs(launches - model.seconds) < 1e-9 * model.seconds);
        free_outputs(&o);
        close_backend(&ops, q);
    }
}

/* --- more than 32 classes: clusters, wgmma ------------------------------------------------------- */

static int64_t wide_d(int64_t d, int k) {
    return k == 0 ? d : k == 1 ? (d + 1) / 2 : d / k + k;
}

/* M steps in fp16 or bf16 from moments that keep a step far from sign(g). Outputs: losses, heads and first
 * moments of three spaces at most. */
static Outputs wide_run(DType type, InnerTier tier, const char *backend, int run, int K, int64_t B,
                        int64_t C, int64_t d, int M, int64_t *mega) {
    Ops ops;
    Queue *q;
    Error err;
    Outputs o = {.n = 0};
    open_backend(&ops, &q, backend, run);
    if (mega) ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    variant = (Variant){"", type, false, tier};
    InnerSteps in = {.K = K, .B = B, .C = C, .M = M, .lr = 0.001, .tier = tier};
    in.Y = probabilities(B, C, 1);
    in.step = counting(5, 1);
    in.scratch = scratch(ops.train.scratch_bytes(type, in.K, B, C, 1, d));
    in.losses = output(&o, M, NULL);
    for (int k = 0; k < in.K; k++) {
        const int64_t own = wide_d(d, k), n = linear_size(C, own);
        float *initial = operands(n, 6 + k), *m2 = floats(n), *none = floats(n);
        for (int64_t i = 0; i < n; i++) m2[i] = 1.0f;
        float *head = k < 3 ? output(&o, n, initial) : initial,
              *m1 = k < 3 ? output(&o, n, none) : none;
        in.space[k] = (InnerSpace){batch_of(&ops, numbers(B * own, 2 + k), B, own), head, m1, m2};
    }
    ops.train.inner_steps(q, &in);
    finish(&ops, q);
    if (mega) *mega = calls(&ops, "inner_wgmma");
    close_backend(&ops, q);
    free_arrays();
    variant = (Variant){"fp32", DTYPE_F32, false, INNER_AUTO};
    return o;
}

/* Both tiers round the same operands: W and R, to 2^-11 or 2^-8. Where two float32 sums, e = 5.6e-5
 * apart in norm (product_test.c), round to different neighbours they are one unit apart: sqrt(e 2^8) 2^-8
 * = 4.7e-4 in bf16. In the unfused tier R is rounded behind the division by B, here before it: both are
 * off by 2^-8 (2^-11) at most, evenly spread and on their own. So first moments agree within 2^-8, or
 * 2^-11 + e. Heads and losses hear of it through steps of 1e-6: product_test.c's limits. */
static void check_wide(DType type, int K, int64_t B, int64_t C, int64_t d, int M) {
    const double moments = type == DTYPE_BF16 ? 0x1p-8 : 0x1p-11 + 5.6e-5;
    const double heads = type == DTYPE_BF16 ? 1.3e-4 : 1.8e-4;
    int64_t mega = 0;
    Outputs ours = wide_run(type, INNER_MEGA, "cuda", 0, K, B, C, d, M, &mega);
    cr_expect(mega == 1, "%d launches", (int)mega);
    for (int other = 0; other < 2; other++) {
        Outputs o =
            wide_run(type, INNER_UNFUSED, other ? "reference" : "cuda", 0, K, B, C, d, M, NULL);
        for (int j = 0; j < ours.n; j++)
            EXPECT_CLOSE(relative_error(ours.data[j], o.data[j], o.count[j]),
                         j > 0 && j % 2 == 0 ? moments : heads,
                         "%s: output %d at K %d B %d C %d d %d", other ? "reference" : "unfused", j,
                         K, (int)B, (int)C, (int)d);
        free_outputs(&o);
    }
    for (int run = 1; run < test_runs("cuda"); run++) {
        Outputs again = wide_run(type, INNER_MEGA, "cuda", run, K, B, C, d, M, NULL);
        for (int j = 0; j < ours.n; j++)
            cr_expect(!memcmp(ours.data[j], again.data[j], (size_t)ours.count[j] * 4),
                      "output %d differs in run %d", j, run);
        free_outputs(&again);
    }
    free_outputs(&ours);
}

/* A last tile of one row and one class, two clusters of 2, several items a cluster, a ring of 4 that
 * wraps twice in depth (d) and over the batch. */
Test(tiers, many_classes_in_clusters_of_two, .timeout = 600) {
    check_wide(DTYPE_F16, 2, 641, 257, 577, 4);
}
/* One cluster of 4; no cluster at all. */
Test(tiers, many_classes_in_a_cluster_of_four, .timeout = 600) {
    check_wide(DTYPE_BF16, 2, 129, 600, 65, 4);
    check_wide(DTYPE_BF16, 2, 70, 129, 72, 5);
}

/* Expects that the emulated device cuts a shape so: a test knows by it that it tests what it means to. */
static void expect_cut(int K, int64_t B, int64_t C, int64_t d, int classes, int cluster,
                       int64_t pieces) {
    const PlanDevice *tiny = plan_device("tiny");
    const PlanDevice device = plan_device_like(tiny->sms, tiny->shared_per_block, 90);
    PlanSpace spaces[PLAN_MAX_SPACES];
    Plan plan;
    Error err;
    int64_t most, features;
    for (int k = 0; k < K; k++) spaces[k] = (PlanSpace){B, C, wide_d(d, k)};
    ASSERT_OK(plan_inner(&plan, &device, spaces, K, DTYPE_F16, false, &err), err);
    plan_busiest(&plan, &most, &features);
    cr_assert(plan.form == PLAN_WGMMA && plan.classes == classes && plan.cluster == cluster &&
                  most == pieces,
              "%s of %d classes, clusters of %d, %d pieces", plan_form_name(plan.form),
              plan.classes, plan.cluster, (int)most);
}

/* All classes in one block. A last tile of one row, d that is no multiple of 64, a ring of 4 that wraps twice
 * and more in depth, three pieces a block and more: alone, in clusters of 2 that share W, in one of 4 of
 * which three have no rows in the last piece. */
Test(tiers, a_block_has_all_classes, .timeout = 600) {
    expect_cut(4, 257, 65, 577, 128, 1, 3);
    check_wide(DTYPE_F16, 4, 257, 65, 577, 4);
}
Test(tiers, all_classes_in_clusters_of_two, .timeout = 600) {
    expect_cut(2, 513, 100, 577, 128, 2, 3);
    check_wide(DTYPE_BF16, 2, 513, 100, 577, 4);
}
Test(tiers, all_classes_in_a_cluster_of_four, .timeout = 600) {
    expect_cut(3, 257, 64, 577, 64, 4, 3);
    check_wide(DTYPE_F16, 3, 257, 64, 577, 4);
    expect_cut(2, 513, 33, 130, 64, 4, 4);
    check_wide(DTYPE_BF16, 2, 513, 33, 130, 5);
}

/* Two blocks of rows that share W, by one and by two of classes: the last one has no rows. */
Test(tiers, classes_are_split_and_rows_shared, .timeout = 600) {
    expect_cut(1, 1025, 256, 40, 256, 2, 3);
    check_wide(DTYPE_F16, 1, 1025, 256, 40, 3);
    expect_cut(1, 513, 511, 72, 256, 4, 3);
    check_wide(DTYPE_BF16, 1, 513, 511, 72, 3);
}

/* Both ends of each tile's classes; labels whose pairs are not aligned. */
Test(tiers, classes_fill_a_block, .timeout = 600) {
    static const int64_t classes[] = {33, 63, 64, 65, 127, 128};
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const DType type = i % 2 ? DTYPE_BF16 : DTYPE_F16;
        for (off_alignment = 0; off_alignment < 2; off_alignment++)
            check_wide(type, 1, 70, classes[i], 72, 4);
    }
    off_alignment = 0;
}

#if defined(TEST_EMULATED)
/* The GPCs of 8 SMs decide whether the device holds a cluster of eight (two blocks of rows by four of classes), or two of
 * four, or one of four. All find the same bits. */
Test(tiers, bits_are_the_same_however_the_gpcs_are_cut, .timeout = 600) {
    enum { B = 513, C = 1000, D = 40, M = 2 };
    static const char *const gpcs[] = {"8", "4,4", "3,5"};
    const PlanDevice device = plan_device_like(8, plan_device("h200")->shared_per_block, 90);
    const PlanSpace space = {B, C, D};
    Plan plan;
    Error err;
    Outputs first = {.n = 0};
    ASSERT_OK(plan_inner(&plan, &device, &space, 1, DTYPE_F16, false, &err), err);
    cr_assert(plan.cluster == 8 && plan.splits == 4, "clusters of %d", plan.cluster);
    setenv("EMU_DEVICE", "h200", 1);
    for (size_t i = 0; i < sizeof gpcs / sizeof *gpcs; i++) {
        int64_t mega = 0;
        setenv("EMU_GPCS", gpcs[i], 1);
        if (i == 0) check_wide(DTYPE_F16, 1, B, C, D, M);
        Outputs o = wide_run(DTYPE_F16, INNER_MEGA, "cuda", 0, 1, B, C, D, M, &mega);
        cr_expect(mega == 1, "GPCs %s: %d launches", gpcs[i], (int)mega);
        for (int j = 0; i > 0 && j < o.n; j++)
            cr_expect(!memcmp(o.data[j], first.data[j], (size_t)o.count[j] * 4),
                      "GPCs %s: output %d differs", gpcs[i], j);
        if (i == 0) first = o;
        else free_outputs(&o);
    }
    free_outputs(&first);
    unsetenv("EMU_GPCS");
    unsetenv("EMU_DEVICE");
}

/* A slice of a GPU holds no cluster of four: the user is told, `auto` runs tiles, `mega` fails. */
Test(tiers, a_device_without_clusters_runs_tiles_and_says_so, .timeout = 120) {
    enum { B = 3, C = 600, D = 8 };
    Ops ops;
    Queue *q;
    Error err;
    setenv("EMU_DEVICE", "slice", 1);
    open_backend(&ops, &q, "cuda", 0);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    variant = (Variant){"", DTYPE_F16, false, INNER_AUTO};
    InnerSteps in = {.K = 1, .B = B, .C = C, .M = 2, .lr = 0.001, .tier = INNER_AUTO};
    const int64_t n = linear_size(C, D);
    in.Y = probabilities(B, C, 1);
    in.step = counting(0, 1);
    in.losses = floats(in.M);
    in.scratch = scratch(ops.train.scratch_bytes(DTYPE_F16, 1, B, C, 1, D));
    in.space[0] =
        (InnerSpace){batch_of(&ops, numbers(B * D, 2), B, D), operands(n, 6), floats(n), floats(n)};
    const InnerOutlook four = ops.train.inner_outlook(ops.device, &in);
    cr_expect(strstr(four.note, "no cluster of 4"), "%s", four.note);
    ops.train.inner_steps(q, &in);
    finish(&ops, q);
    cr_expect(in.losses[1] > 0.0f && calls(&ops, "inner_tiled") == 1 && calls(&ops, "inner_") == 1);
    in.C = 500; /* two blocks hold them */
    cr_expect(!ops.train.inner_outlook(ops.device, &in).note[0]);
    in.C = C;
    in.tier = INNER_MEGA;
    ops.train.inner_steps(q, &in);
    cr_expect(ops.mem.wait(q, &err) == ERR_DEVICE, "asked for by name");
    close_backend(&ops, q);
    free_arrays();
    variant = (Variant){"fp32", DTYPE_F32, false, INNER_AUTO};
    unsetenv("EMU_DEVICE");
}
#endif
