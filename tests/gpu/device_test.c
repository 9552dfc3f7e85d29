/* device_test.c - `--device cuda` beside `--device cpu`, as users run them: the program itself, a real
 * GPU or the emulated one (build/turtle-emu). */
#include "host/train/predict.h"
#include "io/arrays/npy.h"
#include "tests/support/golden.h"
#include "tests/support/operation.h"

/* --- step by step ----------------------------------------------------------------------------- */

enum { STEPS = 8, FIELDS = 4 };

/* iteration, loss, entropy and clusters found of every line of a run's log. */
static int read_log(const char *folder, double log[STEPS][FIELDS]) {
    char *path = format_text("%s/log.jsonl", folder), line[512];
    FILE *f = fopen(path, "r");
    int n = 0;
    cr_assert(f, "%s: no log", folder);
    while (n < STEPS && fgets(line, sizeof line, f)) {
        static const char *const names[FIELDS] = {"iteration", "loss", "entropy", "clusters_found"};
        for (int i = 0; i < FIELDS; i++) {
            char key[32];
            snprintf(key, sizeof key, "\"%s\":", names[i]);
            const char *at = strstr(line, key);
            cr_assert(at, "no %s in %s", names[i], line);
            log[n][i] = strtod(at + strlen(key), NULL);
        }
        n++;
    }
    fclose(f);
    free(path);
    return n;
}

/* The validation split of the demo's features as the training split: 2000 rows, small batches. */
static void train_steps(const char *flags, double log[STEPS][FIELDS]) {
    char *folder = temporary_folder();
    Ran ran;
    run_turtle(&ran,
               "train --features " DEMO "/representations/patches/mnist_val.npy " DEMO
               "/representations/gabor/mnist_val.npy --classes 10 --T %d --M 4 --batch_size 200 "
               "--eval_every 1 --quiet --out %s %s",
               STEPS, folder, flags);
    cr_assert(ran.status == 0, "%s: status %d: %s", flags, ran.status, ran.err);
    cr_expect(read_log(folder, log) == STEPS);
    remove_folder(folder);
}

/* Limit in fp32: both are float32 in another order, which train_test.c bounds by 1e-6 a step, and the
 * log has six digits; 1e-4 is what is promised of losses. With operands rounded by r a logit, below
 * 1 of heads that begin anew, is off by r sqrt(2/3) (product_test.c), a loss, a mean over 200 rows of
 * that times residuals of norm 0.5, by 0.5/sqrt(200) of it, of losses of 4.6: r 6.3e-3. That is the
 * first step; ten times that for what eight steps of training make of it: bf16 2.5e-4, others
 * 3.1e-5. */
static void compare_steps(const char *both, const char *device, double limit) {
    double expected[STEPS][FIELDS], found[STEPS][FIELDS];
    char flags[256];
    snprintf(flags, sizeof flags, "--device cpu --precision fp32 %s", both);
    train_steps(flags, expected);
    snprintf(flags, sizeof flags, "--device cuda %s %s", device, both);
    train_steps(flags, found);
    for (int i = 0; i < STEPS; i++) {
        cr_expect(found[i][0] == i + 1 && expected[i][0] == i + 1);
        for (int field = 1; field < 3; field++)
            EXPECT_CLOSE(fabs(found[i][field] / expected[i][field] - 1.0), limit,
                         "%s: iteration %d: %s %g, on the CPU %g", flags, i + 1,
                         field == 1 ? "loss" : "entropy", found[i][field], expected[i][field]);
        cr_expect(found[i][3] == expected[i][3]);
    }
}

Test(device, cuda_agrees_with_the_cpu_step_by_step, .timeout = 600) {
    need_gpu();
    compare_steps("", "--precision fp32 --inner unfused", 1e-5);
    compare_steps("", "--precision fp32 --inner fused", 1e-5);
    compare_steps("", "--precision fp32 --inner mega", 1e-5);
    compare_steps("--rng torch --warm_start", "--precision fp32", 1e-5);
}

Test(device, every_precision_follows_fp32, .timeout = 600) {
    need_gpu();
    compare_steps("", "--precision tf32", 3.1e-5);
    compare_steps("", "--precision fp16", 3.1e-5);
    compare_steps("", "--precision bf16", 2.5e-4);
}

/* On a GPU --precision auto is fp16, with a power of two where float16 would make a feature infinite, but not
 * beyond 2^25. */
Test(device, auto_is_fp16_where_features_are_in_its_range, .timeout = 120) {
    enum { N = 64, D = 3 };
    const struct {
        float most;
        const char *precision;
    } cases[] = {{65504.0f, "\"precision\": \"fp16\""},
                 {0x1p25f, "\"precision\": \"fp16\""},
                 {0x1.1p25f, "\"precision\": \"tf32\""}};
    char *folder = temporary_folder();
    char *path = format_text("%s/x.npy", folder);
    float x[N * D];
    Error err;
    Ran ran;
    need_gpu();
    for (int i = 0; i < N * D; i++) x[i] = (float)(i * 37 % 101);
    for (int i = 0; i < 3; i++) {
        x[5] = -cases[i].most;
        ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){N, D}, x, &err), err);
        run_turtle(&ran,
                   "train --device cuda --features %s --classes 2 --T 1 --json --out %s/run "
                   "--restart",
                   path, folder);
        cr_expect(ran.status == 0 && strstr(ran.out, cases[i].precision), "%s%s", ran.out, ran.err);
        cr_expect((strstr(ran.err, "beyond fp16") != NULL) == (i == 2), "%s", ran.err);
    }
    free(path);
    remove_folder(folder);
}

/* A sweep with as many trainings side by side as the device's plan says leaves what one after the other
 * leaves, for each is planned for its share either way. (One thread drives the emulator.) */
Test(device, trainings_side_by_side_change_no_bit, .timeout = 300) {
    static const char *const flags[] = {"--jobs 1", "", "--jobs 3"};
    char *folder = temporary_folder();
    FileMap first[2], other;
    Error err;
    Ran ran;
    need_gpu();
    for (int i = 0; i < 3; i++) {
        run_turtle(&ran,
                   "sweep --device cuda --features " DEMO "/representations/patches/mnist_val.npy "
                   "--classes 10 --seeds 42 43 --T 3 --batch_size 100 --no_score --quiet "
                   "--out %s/%d %s",
                   folder, i, flags[i]);
        cr_assert(ran.status == 0, "%s: %s", flags[i], ran.err);
        for (int seed = 0; seed < 2; seed++) {
            char *path = format_text("%s/%d/C10_coldstart_innerlr0.001_outerlr0.001_gamma10.0_"
                                     "seed%d/checkpoint.pt",
                                     folder, i, 42 + seed);
            FileMap *map = i ? &other : &first[seed];
            ASSERT_OK(file_map(map, path, &err), err);
            if (i)
                cr_expect(map->bytes == first[seed].bytes &&
                              !memcmp(map->data, first[seed].data, (size_t)map->bytes),
                          "%s: seed %d", flags[i], 42 + seed);
            if (i) file_unmap(map);
            free(path);
        }
    }
    for (int seed = 0; seed < 2; seed++) file_unmap(&first[seed]);
    remove_folder(folder);
}

/* --- baselines -------------------------------------------------------------------------------- */

#define PATCHES                                                                \
    "--features " DEMO "/representations/patches/mnist_val.npy --labels " DEMO \
    "/labels/mnist_val.npy --precision fp32 --json --quiet --device %s --root_dir %s"

static void baseline(Ran *ran, const char *command, const char *device) {
    char *folder = temporary_folder();
    char *flags = format_text(PATCHES, device, folder);
    run_turtle(ran, "%s %s", command, flags);
    cr_assert(ran->status == 0, "%s on %s: %s", command, device, ran->err);
    free(flags);
    remove_folder(folder);
}

/* Sums of k-means are exact, so that labels and centres are those of the CPU; what is summed over
 * samples for inertia is rounded once a sample, 2000 u^2 of it in double. */
Test(device, kmeans_finds_the_clusters_of_the_cpu, .timeout = 120) {
    Ran cpu, cuda;
    need_gpu();
    baseline(&cpu, "kmeans --classes 10 --n_init 2", "cpu");
    baseline(&cuda, "kmeans --classes 10 --n_init 2", "cuda");
    cr_expect(json_number(cuda.out, "iterations") == json_number(cpu.out, "iterations"));
    cr_expect(json_number(cuda.out, "train_acc") == json_number(cpu.out, "train_acc"));
    EXPECT_CLOSE(fabs(json_number(cuda.out, "inertia") / json_number(cpu.out, "inertia") - 1.0),
                 1e-12, "inertia %.17g, on the CPU %.17g", json_number(cuda.out, "inertia"),
                 json_number(cpu.out, "inertia"));
}

/* Limit: losses and gradients in fp32 are off by 1e-6 a step (head_grad_test.c); five steps of L-BFGS
 * on the way down carry that into the objective ten times at most. Accuracy: two samples. */
Test(device, probe_follows_the_cpu, .timeout = 120) {
    Ran cpu, cuda;
    need_gpu();
    baseline(&cpu, "probe --max_iter 5", "cpu");
    baseline(&cuda, "probe --max_iter 5", "cuda");
    EXPECT_CLOSE(fabs(json_number(cuda.out, "objective") / json_number(cpu.out, "objective") - 1.0),
                 1e-5, "objective %.9g, on the CPU %.9g", json_number(cuda.out, "objective"),
                 json_number(cpu.out, "objective"));
    EXPECT_CLOSE(fabs(json_number(cuda.out, "train_acc") - json_number(cpu.out, "train_acc")),
                 1.1e-3, "accuracy %g, on the CPU %g", json_number(cuda.out, "train_acc"),
                 json_number(cpu.out, "train_acc"));
}

/* --- recorded full runs ----------------------------------------------------------------------- */

enum { RUNS = 13, COLUMNS = 11 };
enum { SPACES, ITERATIONS, WARM, SEED, VAL_ACC, TRAIN_ACC };

/* The accuracies recorded of a run with other seeds: 16 bits change the run as a seed does, not what
 * it finds. 0.01 beside them is what a seed of its own is held to (run_test.c). */
static void expect_within_spread(const double *all, int i, int column, double accuracy,
                                 const char *precision) {
    const double *run = all + i * COLUMNS;
    double least = 1.0, most = 0.0;
    for (int j = 0; j < RUNS; j++) {
        const double *other = all + j * COLUMNS;
        if (other[SPACES] != run[SPACES] || other[ITERATIONS] != run[ITERATIONS] ||
            other[WARM] != run[WARM])
            continue;
        least = fmin(least, other[column]);
        most = fmax(most, other[column]);
    }
    cr_expect(accuracy >= least - 0.01 && accuracy <= most + 0.01,
              "run %d in %s: accuracy %.4f, recorded %.4f to %.4f", i, precision, accuracy, least,
              most);
}

static void repeat_run(int i, const char *precision) {
    const char *train[] = {DEMO "/representations/patches/mnist_train.npy",
                           DEMO "/representations/gabor/mnist_train.npy"},
               *val[] = {DEMO "/representations/patches/mnist_val.npy",
                         DEMO "/representations/gabor/mnist_val.npy"};
    const double *all = golden("turtle/full_runs.npy", DTYPE_F64, RUNS * COLUMNS);
    const double *run = all + i * COLUMNS;
    char *folder = temporary_folder();
    Error err;
    TurtleResult r;
    TurtleTrainOptions o;
    turtle_train_defaults(&o);
    o.inputs = (TurtleInputs){.features = {train, (int)run[SPACES]},
                              .val_features = {val, (int)run[SPACES]},
                              .classes = 10,
                              .labels = DEMO "/labels/mnist_train.npy",
                              .val_labels = DEMO "/labels/mnist_val.npy"};
    o.T = (int64_t)run[ITERATIONS];
    o.warm_start = run[WARM] != 0;
    o.common.seed = (uint64_t)run[SEED];
    o.common.device = "cuda";
    o.common.precision = precision;
    o.rng = "torch";
    o.eval_every = 0;
    o.out = folder;
    ASSERT_OK(turtle_train(&o, &r, &err), err);
    expect_within_spread(all, i, VAL_ACC, r.cluster_acc, precision);
    expect_within_spread(all, i, TRAIN_ACC, r.train_cluster_acc, precision);
    cr_expect(r.clusters_found == 10);
    turtle_result_free(&r);
    remove_folder(folder);
}

/* One space, warm, T = 600, seed 42: the shortest. The emulator takes a while: make test-full. */
static void repeat(const char *precision) {
    need_gpu();
#if defined(TEST_EMULATED)
    if (!getenv("TURTLE_TEST_FULL")) cr_skip_test("a recorded run on the emulator: make test-full");
#endif
    repeat_run(3, precision);
}

Test(device, a_recorded_run_in_fp32, .timeout = 7200) {
    repeat("fp32");
}
Test(device, a_recorded_run_in_tf32, .timeout = 7200) {
    repeat("tf32");
}
Test(device, a_recorded_run_in_fp16, .timeout = 7200) {
    repeat("fp16");
}
Test(device, a_recorded_run_in_bf16, .timeout = 7200) {
    repeat("bf16");
}
