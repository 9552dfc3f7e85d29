/* share_test.c - what a GPU gives to a training: the kernels that its code serves, the SMs that TURTLE_SMS allows,
 * its part of the device beside other trainings. */
#include "host/turtle.h"
#include "io/arrays/npy.h"
#include "io/files/file.h"
#include "tests/support/operation.h"

#if defined(TEST_EMULATED)
int64_t emu_most_held(int device);

#define PATCHES DEMO "/representations/patches/mnist_val.npy"

/* Trains for one iteration with one or two spaces and prints the kernels. Returns the run's folder. */
static char *trained(Ran *ran, int classes, const char *spaces) {
    char *folder = temporary_folder();
    run_turtle(ran,
               "train --device cuda --features %s --classes %d --T 1 --batch_size 160 --M 2 "
               "--precision fp16 "
               "--eval_every 0 --profile --out %s/run",
               spaces, classes, folder);
    cr_assert(ran->status == 0, "%d classes: %s", classes, ran->err);
    return folder;
}

static bool says(const Ran *ran, const char *part) {
    return strstr(ran->out, part) || strstr(ran->err, part);
}

/* A device of 9.0 whose kernels are compiled for 8.0 has no clusters: instructions of 9.0 would trap. */
Test(share, code_that_was_compiled_decides_not_the_capability, .timeout = 120) {
    Ran ran;
    setenv("EMU_DEVICE", "tiny", 1);
    for (int classes = 40; classes <= 160; classes *= 4) {
        unsetenv("EMU_CODE");
        char *folder = trained(&ran, classes, PATCHES);
        cr_expect(says(&ran, "inner_wgmma") && says(&ran, "gradient_wgmma") &&
                      says(&ran, "task_labels_wgmma"),
                  "%s%s", ran.out, ran.err);
        remove_folder(folder);
        setenv("EMU_CODE", "80", 1);
        folder = trained(&ran, classes, PATCHES);
        cr_expect(says(&ran, "inner_tiled") && !says(&ran, "wgmma"), "%s%s", ran.out, ran.err);
        remove_folder(folder);
    }
}

/* The plan of the device that is there is the one that its code serves. */
Test(share, info_plans_for_the_code_that_was_compiled) {
    Ran ran;
    setenv("EMU_DEVICE", "tiny", 1);
    run_turtle(&ran, "info --plan --device auto --classes 160 --dims 768");
    cr_expect(ran.status == 0 && says(&ran, "inner loop    wgmma"), "%s%s", ran.out, ran.err);
    setenv("EMU_CODE", "80", 1);
    run_turtle(&ran, "info --plan --device auto --classes 160 --dims 768");
    cr_expect(ran.status == 0 && says(&ran, "inner loop    tiled"), "%s%s", ran.out, ran.err);
}

static bool same_bits(const char *a, const char *b) {
    char *command = format_text("cmp -s %s/run/checkpoint.pt %s/run/checkpoint.pt", a, b);
    const int status = system(command);
    free(command);
    return status == 0;
}

/* A large device that is cut down to 4 SMs is planned as one that has 4: so tests reach there what a small device
 * alone reaches, rows that stream and clusters of several turns. */
Test(share, turtle_sms_cuts_a_large_device_down, .timeout = 240) {
    static const struct {
        int classes;
        const char *spaces;
    } cases[] = {{10, PATCHES}, {10, PATCHES " " PATCHES}, {40, PATCHES}, {160, PATCHES}};
    Ran ran;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setenv("EMU_DEVICE", "tiny", 1);
        unsetenv("TURTLE_SMS");
        char *small = trained(&ran, cases[i].classes, cases[i].spaces);
        setenv("EMU_DEVICE", "h200", 1);
        char *large = trained(&ran, cases[i].classes, cases[i].spaces);
        setenv("TURTLE_SMS", "4", 1);
        char *cut = trained(&ran, cases[i].classes, cases[i].spaces);
        cr_expect(same_bits(small, cut), "case %d: 4 of 132 SMs", (int)i);
        cr_expect(!same_bits(small, large) || cases[i].classes > 32,
                  "case %d: 132 SMs sum otherwise", (int)i);
        remove_folder(small), remove_folder(large), remove_folder(cut);
    }
    setenv("TURTLE_SMS", "4 SMs", 1);
    run_turtle(&ran,
               "train --device cuda --features " PATCHES " --classes 10 --T 1 --out /nowhere");
    cr_expect(ran.status != 0 && strstr(ran.err, "TURTLE_SMS=4 SMs: expected a number of SMs"),
              "%s", ran.err);
}

/* GPUs of one kind differ in their GPCs, and so in how many clusters they hold. Runs end with the same bits. */
Test(share, uneven_gpcs_change_no_bit, .timeout = 240) {
    static const char *const gpcs[] = {"8", "5,3", "3,3,2"};
    static const int classes[] = {40, 100, 300};
    Ran ran;
    setenv("EMU_DEVICE", "tiny", 1);
    for (int c = 0; c < 3; c++) {
        char *first = NULL;
        for (int i = 0; i < 3; i++) {
            setenv("EMU_GPCS", gpcs[i], 1);
            char *folder = trained(&ran, classes[c], PATCHES);
            if (first)
                cr_expect(same_bits(first, folder), "%d classes: GPCs of %s SMs", classes[c],
                          gpcs[i]);
            if (first) remove_folder(folder);
            else first = folder;
        }
        remove_folder(first);
    }
}

/* A launch of waiting blocks takes no more SMs than its host thread has: of four a quarter, then a half. The whole
 * device is asked for two blocks an SM, of which the emulator puts four on one. */
Test(share, waiting_blocks_take_the_part_of_their_thread, .timeout = 60) {
    enum { B = 1500, C = 10, D = 70 };
    Ops ops;
    Queue *q;
    Error err;
    setenv("EMU_DEVICE", "tiny", 1);
    open_backend(&ops, &q, "cuda", 0);
    const float *R = numbers(B * C, 1);
    const Batch Z = batch_f32(numbers(B * D, 2), D);
    float *grad = floats(linear_size(C, D));
    void *work = scratch(ops.train.scratch_bytes(DTYPE_F32, 1, B, C, 1, D));
    for (int beside = 4; beside >= 1; beside /= 2) {
        ASSERT_OK(ops.mem.enter(ops.device, beside, &err), err);
        ops.train.linear_grad(q, grad, R, &Z, B, C, work);
        finish(&ops, q);
        cr_expect(emu_most_held(0) == (beside == 4 ? 1 : 2), "one of %d: %d SMs", beside,
                  (int)emu_most_held(0));
    }
    close_backend(&ops, q);
    free_arrays();
}

/* Trainings of 5 and of 40 classes: several of the first fill the device, one of the second does. At no time do
 * the launches of waiting blocks that stand in the queues of all host threads need more SMs than there are. */
Test(share, trainings_side_by_side_fit_the_device, .timeout = 240) {
    enum { N = 600, D = 24 };
    static const char *classes[] = {"5", "40", "5", "6"}, *seeds = "1..2";
    char *folder = temporary_folder(), *out = format_text("%s/out", folder);
    char *paths[2] = {format_text("%s/a.npy", folder), format_text("%s/b.npy", folder)};
    static float x[N * D];
    TurtleSweepOptions o;
    TurtleSweepResult r;
    Error err;
    setenv("EMU_DEVICE", "tiny", 1);
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < N * D; i++) x[i] = (float)((i * 37 + k * 11) % 101) / 101.0f;
        ASSERT_OK(npy_write(paths[k], DTYPE_F32, 2, (const int64_t[]){N, D}, x, &err), err);
    }
    turtle_sweep_defaults(&o);
    o.inputs.features = (TurtleTexts){(const char **)paths, 2};
    o.classes = (TurtleTexts){classes, 4};
    o.seeds = (TurtleTexts){&seeds, 1};
    o.T = 3;
    o.M = 2;
    o.batch_size = 512; /* four blocks have rows of 40 classes at a time */
    o.no_score = true;
    o.out = out;
    o.common.device = "cuda";
    o.common.precision = "fp16";
    ASSERT_OK(turtle_sweep(&o, &r, &err), err);
    cr_expect(r.runs >= 6, "%d runs", (int)r.runs);
    for (int64_t i = 0; i < r.runs; i++) cr_expect(!r.run[i].failed && isfinite(r.run[i].loss));
    const int64_t held = emu_most_held(0);
    cr_expect(held >= 2 && held <= 4, "launches take %d of 4 SMs", (int)held);
    turtle_sweep_result_free(&r);
    free(out), free(paths[0]), free(paths[1]);
    remove_folder(folder);
}
#endif
