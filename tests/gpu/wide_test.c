/* wide_test.c - the outer logits of 33 to 2048 classes in 16 bits (kernels/cuda/train/wide_logits.cuh): labels of the
 * task encoders and log-softmax of the heads, beside the reference, at every way in which the rows are cut.
 *
 * tier_test.c judges the same rows inside the inner loop, product_test.c the operations at its shapes. */
#include "kernels/plan/plan.h"
#include "tests/support/operation.h"

static int64_t wide_d(int64_t d, int64_t k) {
    return k ? (d + 1) / 2 : d;
}

static TaskSteps prepare(const Ops *ops, Shape s) {
    const int K = (int)s.K;
    TaskSteps t = {.K = K, .B = s.B, .C = s.C, .lr = 0.1, .step = counting(3, 1)};
    t.P_bar = floats(K * s.C), t.entropy = floats(K), t.loss = floats(K);
    t.scratch = scratch(ops->train.scratch_bytes(variant.type, K, s.B, s.C, 1, s.d));
    for (int k = 0; k < K; k++) {
        const int64_t d = wide_d(s.d, k), n = task_size(s.C, d);
        t.space[k] = (TaskSpace){batch_of(ops, operands(s.B * d, 2 + k), s.B, d),
                                 numbers(n, 20 + k), floats(n), floats(n)};
    }
    return t;
}

static void run_labels(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    TaskSteps t = prepare(ops, s);
    t.P = output(o, s.K * s.B * s.C, NULL), t.Y = output(o, s.B * s.C, NULL);
    t.P_bar = output(o, s.K * s.C, NULL), t.entropy = output(o, s.K, NULL);
    ops->train.task_labels(q, &t);
}

/* Without the entropy's weight the gradient of the logits is P (q - sum P q), q = -1/BK sum_k L_k: what
 * tells of L. */
static void run_step(const Ops *ops, Queue *q, Shape s, Outputs *o) {
    TaskSteps t = prepare(ops, s);
    InnerSteps heads = {.K = t.K, .B = s.B, .C = s.C};
    for (int k = 0; k < t.K; k++)
        heads.space[k] = (InnerSpace){.Z = t.space[k].Z,
                                      .head = operands(linear_size(s.C, t.space[k].Z.d), 40 + k)};
    t.P = output(o, s.K * s.B * s.C, probabilities(s.K * s.B, s.C, 1));
    t.Y = probabilities(s.B, s.C, 60);
    t.loss = output(o, s.K, NULL);
    ops->train.task_step(q, &t, &heads);
}

/* Limits, u = 2^-24, d <= 577, C <= 1100.
 *
 * Labels: a row of W has norm g <= 1, features 0.58 a column, so logits are below 1 and their sums add nothing
 * to speak of: (d/16 + sqrt(d)) u x 0.58 = 2e-6, and as much for what is done to each element. float16: the
 * reference does not round W: 2^-11 of each. bfloat16: both round W, from values sqrt(d) u = 1.4e-6 apart,
 * of which a share 1.4e-6/2^-8 rounds to other neighbours: sqrt(1.4e-6 x 2^8) 2^-8 = 7.4e-5. */
static double label_limit(void) {
    return 4e-6 + (variant.type == DTYPE_F16 ? 0x1p-11 : 7.4e-5);
}
/* The step: operands need no rounding, or both round them alike. A logit, sqrt(d)/3 = 8 in norm: tensor cores
 * cut d/16 u = 37 u of it, sums in another order are sqrt(d) u = 24 u apart: 4e-6 of what q varies by. L is
 * stored at up to 30, off by 16u four times: 4e-6/8 of it, of d 20 at up to 12 1.3e-6. sum P q of C terms: sqrt(C)
 * u of q, 5 times what it varies by: 1e-5. */
#define STEP_LIMIT 1.6e-5

static Outputs profiled(Operation *operation, int run, Shape s, const char *kernel) {
    Ops ops;
    Queue *q;
    Error err;
    Outputs o = {.n = 0};
    open_backend(&ops, &q, "cuda", run);
    ASSERT_OK(ops.mem.profile(ops.device, &err), err);
    operation(&ops, q, s, &o);
    finish(&ops, q);
#if defined(TEST_EMULATED) /* 9.0 */
    cr_expect(launches_of(&ops, kernel) == 1 && launches_of(&ops, "_labels_") == 1, "%s at C %d",
              kernel, (int)s.C);
#else
    (void)kernel;
#endif
    close_backend(&ops, q);
    free_arrays();
    return o;
}

static void judge(const char *kernel, Operation *operation, Shape s, double limit) {
    if (too_large(s)) return;
    Outputs expected = run_operation(operation, "reference", 0, s),
            found = profiled(operation, 0, s, kernel);
    for (int j = 0; j < found.n; j++)
        EXPECT_CLOSE(relative_error(found.data[j], expected.data[j], found.count[j]), limit,
                     "%s %s: output %d at B %d C %d d %d K %d", kernel, variant.name, j, (int)s.B,
                     (int)s.C, (int)s.d, (int)s.K);
    for (int run = 1; run < test_runs("cuda"); run++) {
        Outputs again = profiled(operation, run, s, kernel);
        for (int j = 0; j < found.n; j++)
            cr_expect(!memcmp(found.data[j], again.data[j], (size_t)found.count[j] * 4),
                      "%s %s: output %d differs in run %d at B %d C %d", kernel, variant.name, j,
                      run, (int)s.B, (int)s.C);
        free_outputs(&again);
    }
    free_outputs(&expected), free_outputs(&found);
}

/* The emulated device cuts the rows of a shape so: classes of a block, blocks of a cluster, pieces of the
 * busiest. A test knows by it that it tests what it means to. */
typedef struct {
    Shape s;
    int classes, cluster, pieces;
} Cut;

static void expect_cut(const Cut *c, int sms) {
    const PlanDevice *tiny = plan_device("tiny");
    const PlanDevice device = plan_device_like(sms, tiny->shared_per_block, 90);
    PlanSpace spaces[PLAN_MAX_SPACES];
    Plan plan;
    Error err;
    int64_t pieces, features;
    for (int k = 0; k < c->s.K; k++) spaces[k] = (PlanSpace){c->s.B, c->s.C, wide_d(c->s.d, k)};
    ASSERT_OK(plan_inner(&plan, &device, spaces, (int)c->s.K, DTYPE_F16, false, &err), err);
    plan_busiest(&plan, &pieces, &features);
    cr_assert(plan.form == PLAN_WGMMA && plan.classes == c->classes && plan.cluster == c->cluster &&
                  pieces == c->pieces,
              "C %d: %s of %d classes, clusters of %d, %d pieces", (int)c->s.C,
              plan_form_name(plan.form), plan.classes, plan.cluster, (int)pieces);
}

/* One type after the other; numbers and outputs on and off the alignment of pairs. */
static void judge_cuts(const Cut *cuts, int n) {
    static const Variant types[] = {{"fp16", DTYPE_F16, false, INNER_AUTO},
                                    {"bf16", DTYPE_BF16, false, INNER_AUTO}};
    for (int i = 0; i < n; i++) {
        variant = types[i % 2];
        off_alignment = i / 2 % 2;
        expect_cut(&cuts[i], plan_device("tiny")->sms);
        judge("task_labels_wgmma", run_labels, cuts[i].s, label_limit());
        judge("head_labels_wgmma", run_step, cuts[i].s, STEP_LIMIT);
    }
    off_alignment = 0;
}

/* All classes in one block, both ends of either tile: alone; in clusters of two and of four that share W, some
 * of whose blocks have no rows left. The last rows are one, features no multiple of 64. */
Test(wide, a_block_has_all_classes, .timeout = 300) {
    static const Cut cuts[] = {
        {{9, 33, 8, 1}, 64, 1, 1},       {{129, 64, 72, 2}, 64, 2, 1},
        {{257, 65, 40, 4}, 128, 1, 3},   {{513, 100, 72, 2}, 128, 2, 3},
        {{129, 128, 136, 1}, 128, 1, 1}, {{641, 33, 40, 2}, 64, 4, 4},
    };
    judge_cuts(cuts, sizeof cuts / sizeof *cuts);
}

/* Classes split: in one block; in two clusters of two, three items each; in one of four. A last block of one
 * class. */
Test(wide, a_cluster_has_all_classes, .timeout = 300) {
    static const Cut cuts[] = {
        {{129, 129, 72, 1}, 256, 1, 1},
        {{641, 257, 72, 1}, 256, 2, 3},
        {{129, 600, 65, 2}, 256, 4, 4},
    };
    judge_cuts(cuts, sizeof cuts / sizeof *cuts);
}

/* A ring of 4 stages that wraps twice and a box of one feature more. */
Test(wide, stages_wrap, .timeout = 300) {
    static const Cut cuts[] = {{{65, 64, 577, 1}, 64, 1, 1},
                               {{65, 65, 577, 1}, 128, 1, 1},
                               {{65, 300, 577, 2}, 256, 2, 1}};
    judge_cuts(cuts, sizeof cuts / sizeof *cuts);
}

/* Classes split, and W shared by two blocks of rows, the last of which has none: one block by two, two by two. */
Test(wide, a_cluster_has_all_classes_twice, .timeout = 300) {
    static const Cut cuts[] = {{{1025, 256, 40, 1}, 256, 2, 3}, {{513, 511, 72, 1}, 256, 4, 3}};
    judge_cuts(cuts, sizeof cuts / sizeof *cuts);
}

#if defined(TEST_EMULATED)
/* Clusters of eight, which the default device has no room for. */
Test(wide, a_cluster_of_eight, .timeout = 120) {
    setenv("EMU_DEVICE", "h200", 1);
    variant = (Variant){"fp16", DTYPE_F16, false, INNER_AUTO};
    judge("task_labels_wgmma", run_labels, (Shape){3, 1100, 8, 1}, label_limit());
    judge("head_labels_wgmma", run_step, (Shape){3, 1100, 8, 1}, STEP_LIMIT);
    /* two blocks of rows by four of classes */
    const Cut cut = {{130, 1000, 24, 1}, 256, 8, 1};
    setenv("EMU_GPCS", "8", 1);
    expect_cut(&cut, 8);
    judge("task_labels_wgmma", run_labels, cut.s, label_limit());
    judge("head_labels_wgmma", run_step, cut.s, STEP_LIMIT);
    unsetenv("EMU_GPCS");
    unsetenv("EMU_DEVICE");
}

/* A slice of a GPU holds no cluster of four; other shapes and types were never for this kernel. */
Test(wide, what_it_does_not_serve_goes_by_tiles, .timeout = 120) {
    static const struct {
        const char *device;
        int64_t C;
        DType type;
    } cases[] = {{"slice", 600, DTYPE_F16},
                 {"tiny", 32, DTYPE_BF16},
                 {"tiny", 33, DTYPE_F32},
                 {"a100", 33, DTYPE_F16},
                 {"tiny", 2049, DTYPE_F16}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const Shape s = {3, cases[i].C, 8, 1};
        setenv("EMU_DEVICE", cases[i].device, 1);
        variant = (Variant){"tiles", cases[i].type, false, INNER_AUTO};
        Outputs labels = profiled(run_labels, 0, s, "task_labels_tiled"),
                step = profiled(run_step, 0, s, "head_labels_tiled");
        free_outputs(&labels), free_outputs(&step);
    }
    unsetenv("EMU_DEVICE");
}
#endif
