/* large_test.c - the inner loop at the sizes that people train at, where a large GPU has several items a block: the same
 * bits twice, and the heads of the unfused tier. On the emulator the shapes are a part of that. */
#include "kernels/plan/plan.h"
#include "tests/support/operation.h"

enum { STEPS = 3 };

/* Two spaces of d and 2d features, heads and losses of STEPS steps. */
static Outputs steps_of(InnerTier tier, int64_t B, int64_t C, int64_t d) {
    Ops ops;
    Queue *q;
    Error err;
    Outputs o = {.n = 0};
    open_backend(&ops, &q, "cuda", 0);
    variant = (Variant){"fp16", DTYPE_F16, false, tier};
    InnerSteps in = {.K = 2,
                     .Y = probabilities(B, C, 5),
                     .B = B,
                     .C = C,
                     .M = STEPS,
                     .tier = tier,
                     .lr = 0.001,
                     .step = counting(0, 1)};
    for (int k = 0; k < 2; k++) {
        const int64_t wide = d * (k + 1), n = linear_size(C, wide);
        float *W = numbers(n, 10 + k);
        for (int64_t i = 0; i < n; i++) W[i] *= 0.02f;
        in.space[k].Z = batch_of(&ops, numbers(B * wide, 1 + k), B, wide);
        in.space[k].head = output(&o, n, W);
        in.space[k].m1 = memset(floats(n), 0, (size_t)n * 4);
        in.space[k].m2 = memset(floats(n), 0, (size_t)n * 4);
    }
    in.losses = output(&o, STEPS, NULL);
    in.scratch = scratch(ops.train.scratch_bytes(DTYPE_F16, 2, B, C, 1, 2 * d));
    ASSERT_OK(ops.train.inner_steps(q, &in), err);
    finish(&ops, q);
    close_backend(&ops, q);
    free_arrays();
    return o;
}

/* Adam moves a weight by lr in a step whatever its gradient is; a gradient near zero may have either sign, so heads
 * differ by 2 STEPS lr at most, and few of them do. Losses are near ln C. Both tiers round the operands alike. */
static void check(int64_t B, int64_t C, int64_t d) {
    if (getenv("TURTLE_TEST_SMALL")) cr_skip_test("a large shape");
    Outputs first = steps_of(INNER_MEGA, B, C, d), again = steps_of(INNER_MEGA, B, C, d),
            other = steps_of(INNER_UNFUSED, B, C, d);
    for (int j = 0; j < first.n; j++) {
        cr_expect(!memcmp(first.data[j], again.data[j], (size_t)first.count[j] * 4),
                  "C %d: output %d differs", (int)C, j);
        EXPECT_CLOSE(relative_error(first.data[j], other.data[j], first.count[j]),
                     j < 2 ? 0x1p-6 : 0x1p-10, "C %d: output %d beside the unfused tier", (int)C,
                     j);
    }
    free_outputs(&first), free_outputs(&again), free_outputs(&other);
}

#if defined(TEST_EMULATED)
#define SHAPE(classes, rows, features) check(rows, classes, features)
#else
#define SHAPE(classes, rows, features) check(10000, classes, 768)
#endif

/* Two items a block and more, of clusters of one block that splits no classes: its barriers of clusters are none. */
Test(large, two_hundred_classes, .timeout = 300) {
    SHAPE(200, 650, 72);
}
Test(large, ten_classes, .timeout = 300) {
    SHAPE(10, 650, 72);
}
Test(large, hundred_classes, .timeout = 300) {
    SHAPE(100, 1100, 72);
}
Test(large, thousand_classes, .timeout = 300) {
    SHAPE(1000, 290, 72);
}
Test(large, more_classes_than_a_cluster_of_four, .timeout = 300) {
    SHAPE(1100, 129, 40);
}
