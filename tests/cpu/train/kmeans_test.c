/* kmeans_test.c - k-means: recorded runs of scikit-learn, properties, bad input, the command. Its
 * operations: kmeans_ops_test.c. */
#include "host/baseline/kmeans.h"
#include "host/score/metrics.h"
#include "tests/support/golden.h"
#include "tests/support/operation.h"

static void open_cpu(Ops *ops, int threads) {
    Error err;
    ASSERT_OK(ops_open(ops, "cpu", threads, NULL, &err), err);
}

/* --- runs ------------------------------------------------------------------------------------- */

enum { TRAIN = 8000, VAL = 2000 };
static const char *const spaces[] = {"patches", "gabor"};
static const char *const sets[] = {"patches", "gabor", "both"}; /* of features, as recorded */

/* Opens the demo's features of a recorded set. */
static int demo_features(Features *f, int set, const char *split) {
    int K = 0;
    for (int k = 0; k < 2; k++) {
        if (set != 2 && set != k) continue;
        Npy file;
        Error err;
        char *path = format_text(DEMO "/representations/%s/mnist_%s.npy", spaces[k], split);
        ASSERT_OK(npy_open(&file, path, &err), err); /* as long as the process lives */
        f[K++] = (Features){file.data, file.shape[0], file.shape[1], DTYPE_F32, false};
        free(path);
    }
    return K;
}

static const KmeansConfig usual = {
    .C = 10, .n_init = 10, .max_iter = 1000, .tol = 1e-4, .seed = 42};

static void open_features(Kmeans *m, const Ops *ops, KmeansConfig config, int K,
                          const Features *f) {
    Error err;
    const Features *each[2] = {&f[0], &f[1]};
    ASSERT_OK(kmeans_open(m, ops, &config, K, each, &err), err);
}

static double accuracy(Kmeans *m, int set, const char *split, int64_t *clusters) {
    Features f[2];
    Error err;
    Npy labels;
    Predictions p = {0};
    Metrics metrics;
    demo_features(f, set, split);
    const Features *each[2] = {&f[0], &f[1]};
    char *path = format_text(DEMO "/labels/mnist_%s.npy", split);
    ASSERT_OK(npy_open(&labels, path, &err), err);
    ASSERT_OK(kmeans_apply(m, each, f[0].N, &p, &err), err);
    ASSERT_OK(metrics_compute(&metrics, p.cluster, labels.data, p.n, &err), err);
    const double acc = metrics.cluster_acc;
    if (clusters) memcpy(clusters, p.cluster, (size_t)p.n * sizeof *clusters);
    for (int64_t n = 0; n < p.n; n++) {
        cr_assert(p.confidence[n] >= 0.5f && p.confidence[n] <= 1.0f);
        cr_assert(fabsf(2.0f * p.confidence[n] - 1.0f - p.margin[n]) < 1e-6f);
    }
    metrics_free(&metrics);
    predictions_free(&p);
    npy_close(&labels);
    free(path);
    return acc;
}

enum { SET, SEED, INERTIA, ITERATIONS, TRAIN_ACC, VAL_ACC, NMI, ARI, COLUMNS };

/* Our random numbers are others than scikit-learn's. So no recorded run may be more than 0.5 %
 * better, and the accuracies must be within a point of the recorded run that came nearest in
 * inertia. */
Test(kmeans, as_good_as_recorded_runs, .timeout = 120) {
    const double *runs = golden("baselines/kmeans_runs.npy", DTYPE_F64, 9 * COLUMNS);
    Ops ops;
    open_cpu(&ops, 2);
    for (int set = 0; set < 3; set++)
        for (int seed = 42; seed < 45; seed++) {
            Kmeans m;
            Features f[2];
            Error err;
            KmeansConfig config = usual;
            KmeansRestart restart[10];
            int64_t best;
            config.seed = (uint64_t)seed;
            open_features(&m, &ops, config, demo_features(f, set, "train"), f);
            ASSERT_OK(kmeans_run(&m, restart, &best, NULL, &err), err);
            const double *near = NULL;
            for (const double *r = runs; r < runs + 9 * COLUMNS; r += COLUMNS) {
                if (r[SET] != set) continue;
                EXPECT_CLOSE(restart[best].inertia / r[INERTIA] - 1.0, 0.005, "%s: inertia",
                             sets[set]);
                if (!near || fabs(r[INERTIA] - restart[best].inertia) <
                                 fabs(near[INERTIA] - restart[best].inertia))
                    near = r;
            }
            EXPECT_CLOSE(fabs(accuracy(&m, set, "train", NULL) - near[TRAIN_ACC]), 0.01,
                         "%s, seed %d: training accuracy", sets[set], seed);
            EXPECT_CLOSE(fabs(accuracy(&m, set, "val", NULL) - near[VAL_ACC]), 0.01,
                         "%s, seed %d: validation accuracy", sets[set], seed);
            kmeans_close(&m);
        }
    ops_close(&ops);
}

/* From recorded centres one assignment gives the recorded clusters, training and validation, on
 * every instruction set, and their inertia. scikit-learn computes scores in float32, too: a sample
 * whose two nearest centres are within its rounding may differ. */
Test(kmeans, recorded_centres_give_recorded_clusters, .timeout = 120) {
    const double *runs = golden("baselines/kmeans_runs.npy", DTYPE_F64, 9 * COLUMNS);
    static const int dimension[] = {192, 320, 512};
    const char *isa[CPU_MAX_SETS + 1];
    cpu_instruction_sets(isa);
    for (int i = 0; isa[i]; i++)
        for (int set = 0; set < 3; set++) {
            Ops ops;
            Kmeans m;
            Features f[2];
            Error err;
            char path[64];
            KmeansConfig config = usual;
            config.n_init = 1;
            setenv("TURTLE_ISA", isa[i], 1);
            open_cpu(&ops, 2);
            open_features(&m, &ops, config, demo_features(f, set, "train"), f);
            snprintf(path, sizeof path, "baselines/kmeans_%s_centers.npy", sets[set]);
            ASSERT_OK(kmeans_start_at(&m, golden(path, DTYPE_F32, 10 * dimension[set]), &err), err);
            snprintf(path, sizeof path, "baselines/kmeans_%s_labels.npy", sets[set]);
            const uint8_t *recorded = golden(path, DTYPE_U8, TRAIN + VAL);
            int64_t clusters[TRAIN + VAL];
            int apart = 0;
            accuracy(&m, set, "train", clusters);
            accuracy(&m, set, "val", clusters + TRAIN);
            for (int n = 0; n < TRAIN + VAL; n++) apart += clusters[n] != recorded[n];
            EXPECT_CLOSE(apart, 1, "%s %s: clusters that differ", isa[i], sets[set]);
            double inertia; /* of these clusters and centres */
            m.ops->cluster.nearest(m.queue, m.label, NULL, NULL, &m.samples, &m.centers, m.scratch);
            m.ops->cluster.own_distances(m.queue, m.distance2, &inertia, m.label, &m.samples,
                                         &m.centers, m.scratch);
            ASSERT_OK(m.ops->mem.wait(m.queue, &err), err);
            /* single: samples minus their mean are rounded once, 2^-24 of each */
            EXPECT_CLOSE(fabs(inertia / runs[3 * set * COLUMNS + INERTIA] - 1.0), 1e-6,
                         "%s %s: inertia", isa[i], sets[set]);
            kmeans_close(&m);
            ops_close(&ops);
        }
}

/* Everything that a run leaves, as bits. */
typedef struct {
    int32_t label[TRAIN];
    float centers[10 * 192];
    KmeansRestart restart[3];
} Trace;

static void trace_run(Trace *t, const char *isa, int threads, bool all_distances, bool spherical,
                      bool random_start) {
    Ops ops;
    Kmeans m;
    Features f[2];
    Error err;
    int64_t best;
    KmeansConfig config = usual;
    config.n_init = 3;
    config.tol = 0.0;
    config.all_distances = all_distances;
    config.spherical = spherical;
    config.random_start = random_start;
    setenv("TURTLE_ISA", isa, 1);
    open_cpu(&ops, threads);
    memset(t, 0, sizeof *t);
    open_features(&m, &ops, config, demo_features(f, 0, "train"), f);
    ASSERT_OK(kmeans_run(&m, t->restart, &best, NULL, &err), err);
    memcpy(t->label, m.label, sizeof t->label);
    memcpy(t->centers, m.centers.at, sizeof t->centers);
    kmeans_close(&m);
    ops_close(&ops);
}

/* The bits are the same with 1, 2 and 7 threads, and whether bounds pass over samples or not. A slow build compares
 * 7 threads with bounds to one thread without them. */
Test(kmeans, threads_and_bounds_change_no_bit, .timeout = 240) {
    const char *isa[CPU_MAX_SETS + 1];
    static Trace expected, found;
    cpu_instruction_sets(isa);
    for (int i = 0; isa[i]; i++) {
        if (strcmp(isa[i], "reference") == 0) continue;
        for (int kind = 0; kind < 3; kind++) {
            trace_run(&expected, isa[i], 1, true, kind == 1, kind == 2);
            for (int t = slow_build() ? PARTY - 1 : 0; t < PARTY; t++) {
                trace_run(&found, isa[i], party[t], false, kind == 1, kind == 2);
                cr_expect(memcmp(&found, &expected, sizeof found) == 0,
                          "%s, %d threads, kind %d: other bits", isa[i], party[t], kind);
            }
        }
    }
}

/* The inertia of every iteration's labels and new centres is never more than the one before. A
 * label that rounding chose wrongly could cost 2E of its sample (kernels/cpu/cluster/nearest.c), E
 * about 4e-5 |z|^2 at worst and sqrt(d) times less in fact, and only near a border: 1e-7 of the
 * whole is allowed. */
Test(kmeans, inertia_never_grows, .timeout = 300) {
    Ops ops;
    open_cpu(&ops, 2);
    for (int set = 0; set < 3; set++)
        for (int spherical = 0; spherical < 2; spherical++) {
            Kmeans m;
            Features f[2];
            Error err;
            KmeansConfig config = usual;
            config.tol = 0.0;
            config.spherical = spherical;
            config.C = 25;
            static double step[1000];
            open_features(&m, &ops, config, demo_features(f, set, "train"), f);
            for (int r = 0; r < 3; r++) {
                KmeansRestart found;
                ASSERT_OK(kmeans_start(&m, r, &err), err);
                ASSERT_OK(kmeans_lloyd(&m, &found, step, NULL, &err), err);
                cr_assert(found.iterations > 2 && found.iterations < 1000);
                for (int64_t i = 1; i < found.iterations; i++)
                    cr_expect(step[i] <= step[i - 1] * (1.0 + 1e-7),
                              "%s: iteration %d: %.9g > %.9g", sets[set], (int)i, step[i],
                              step[i - 1]);
                EXPECT_CLOSE(fabs(found.inertia / step[found.iterations - 1] - 1.0), 1e-12,
                             "%s: inertia at the end", sets[set]);
            }
            kmeans_close(&m);
        }
    ops_close(&ops);
}

/* No sample is nearer to another centre in the end, in double, beyond what scores may round; centres
 * are the means. */
Test(kmeans, ends_in_a_fixed_point, .timeout = 60) {
    Ops ops;
    Kmeans m;
    Features f[2];
    Error err;
    int64_t best;
    KmeansConfig config = usual;
    config.n_init = 2;
    config.tol = 0.0;
    open_cpu(&ops, 2);
    open_features(&m, &ops, config, demo_features(f, 0, "train"), f);
    KmeansRestart restart[2];
    ASSERT_OK(kmeans_run(&m, restart, &best, NULL, &err), err);
    m.ops->cluster.nearest(m.queue, m.label, NULL, NULL, &m.samples, &m.centers, m.scratch);
    ASSERT_OK(m.ops->mem.wait(m.queue, &err), err);
    static double mean[10][192];
    int64_t count[10] = {0};
    for (int64_t n = 0; n < m.N; n++) {
        const float *z = (const float *)m.samples.Z.data + n * m.samples.Z.row;
        double d2[10] = {0.0};
        count[m.label[n]]++;
        for (int c = 0; c < 10; c++)
            for (int j = 0; j < 192; j++)
                d2[c] += ((double)z[j] - m.centers.at[c * 192 + j]) *
                         ((double)z[j] - m.centers.at[c * 192 + j]);
        for (int j = 0; j < 192; j++) mean[m.label[n]][j] += z[j];
        for (int c = 0; c < 10; c++) cr_expect(d2[m.label[n]] <= d2[c] * (1.0 + 1e-5));
    }
    double worst = 0.0, length = 0.0;
    for (int c = 0; c < 10; c++)
        for (int j = 0; j < 192; j++) {
            worst = fmax(worst, fabs(mean[c][j] / (double)count[c] - m.centers.at[c * 192 + j]));
            length = fmax(length, fabs((double)m.centers.at[c * 192 + j]));
        }
    EXPECT_CLOSE(worst, 0x1p-24 * length + m.grid, "centres beside means in double");
    kmeans_close(&m);
    ops_close(&ops);
}

/* Four samples lie on a line, centres at 0, 1 and far away: the third loses all, and takes the
 * sample farthest from its centre. */
Test(kmeans, empty_cluster_takes_the_farthest) {
    static const float x[] = {-1.0f, 0.0f, 1.0f, 2.0f, 30.0f, 40.0f}, at[] = {0.0f, 35.0f, 900.0f};
    const Features f = {x, 6, 1, DTYPE_F32, false};
    Ops ops;
    Kmeans m;
    Error err;
    KmeansRestart r;
    KmeansConfig config = usual;
    config.C = 3;
    config.tol = 0.0;
    open_cpu(&ops, 2);
    open_features(&m, &ops, config, 1, &f);
    ASSERT_OK(kmeans_start_at(&m, at, &err), err);
    ASSERT_OK(kmeans_lloyd(&m, &r, NULL, NULL, &err), err);
    /* {-1,0,1,2} and {30,40}: 30 and 40 are 5 from their mean, the first of them moves */
    static const int32_t expected[] = {0, 0, 0, 0, 2, 1};
    cr_expect(memcmp(m.label, expected, sizeof expected) == 0);
    EXPECT_CLOSE(fabs(r.inertia - 5.0), 1e-5, "inertia");
    kmeans_close(&m);
    ops_close(&ops);
}

/* There are fewer distinct samples than clusters: each is a cluster, the others stay empty, nothing
 * loops. */
Test(kmeans, fewer_distinct_samples_than_clusters, .timeout = 30) {
    enum { N = 60, D = 5 };
    float x[N * D];
    Ops ops;
    open_cpu(&ops, 2);
    for (int distinct = 1; distinct <= 3; distinct += 2)
        for (int random_start = 0; random_start < 2; random_start++) {
            const Features f = {x, N, D, DTYPE_F32, false};
            Kmeans m;
            Error err;
            KmeansRestart restart[10];
            KmeansConfig config = usual;
            int64_t best;
            Predictions p = {0};
            config.C = 7;
            config.random_start = random_start;
            for (int i = 0; i < N * D; i++)
                x[i] = 100.0f + 0.1f * (float)(i / D % distinct * (i % D + 1));
            open_features(&m, &ops, config, 1, &f);
            ASSERT_OK(kmeans_run(&m, restart, &best, NULL, &err), err);
            ASSERT_OK(kmeans_apply(&m, (const Features *[]){&f}, N, &p, &err), err);
            for (int n = 0; n < N; n++)
                for (int other = 0; other < N; other++)
                    cr_expect((p.cluster[n] == p.cluster[other]) ==
                              (n % distinct == other % distinct));
            /* 100 + x is rounded by 2^-18, the mean by as much */
            EXPECT_CLOSE(restart[best].inertia, N * D * 0x1p-34, "inertia of %d", distinct);
            cr_expect(restart[best].iterations < 20);
            predictions_free(&p);
            kmeans_close(&m);
        }
    ops_close(&ops);
}

Test(kmeans, stops_when_asked) {
    static const volatile sig_atomic_t stop = 1;
    const TurtleHooks hooks = {.stop = &stop};
    Features f[2];
    Ops ops;
    Kmeans m;
    Error err;
    int64_t best;
    open_cpu(&ops, 1);
    open_features(&m, &ops, usual, demo_features(f, 0, "train"), f);
    cr_expect(kmeans_run(&m, NULL, &best, &hooks, &err) == ERR_STOPPED);
    kmeans_close(&m);
    kmeans_close(&m);
    ops_close(&ops);
}

/* --- the command ------------------------------------------------------------------------------ */

/* Writes features (rows,4): kind 0 is varied, 1 constant, 2 has a NaN, 3 is too large to square. */
static char *features_file(const char *folder, int64_t rows, int kind) {
    char *path = format_text("%s/kind%d_%d.npy", folder, kind, (int)rows);
    float *x = malloc((size_t)(rows * 4) * sizeof *x);
    Error err;
    for (int64_t i = 0; i < rows * 4; i++)
        x[i] = kind == 1 ? 0.1f : (float)(i * 37 % 101) * (kind == 3 ? 1e18f : 0.01f);
    if (kind == 2) x[9] = NAN;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){rows, 4}, x, &err), err);
    free(x);
    return path;
}

Test(kmeans, bad_input_gets_one_line, .timeout = 60) {
    static const struct {
        int status, kind;
        const char *says, *flags;
    } cases[] = {
        {1, 0, "more than the 40 samples", "--classes 41"},
        {1, 0, "at least 2", "--classes 1"},
        {2, 0, "number of clusters", ""},
        {1, 2, "row 2, column 1", "--classes 4"},
        {2, 0, "--n_init 0", "--classes 4 --n_init 0"},
        {2, 0, "--max_iter 0", "--classes 4 --max_iter 0"},
        {2, 0, "--tol", "--classes 4 --tol -1"},
        {2, 0, "kmeans++", "--classes 4 --init best"},
        {2, 0, "fp32", "--classes 4 --precision bf16"},
        {2, 0, "--spherical", "--classes 4 --sperical"},
    };
    char *folder = temporary_folder();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *file = features_file(folder, 40, cases[i].kind);
        Ran ran;
        run_turtle(&ran, "kmeans --quiet --root_dir %s --features %s %s", folder, file,
                   cases[i].flags);
        cr_expect(ran.status == cases[i].status, "%s: status %d: %s", cases[i].says, ran.status,
                  ran.err);
        cr_expect(strstr(ran.err, cases[i].says) != NULL, "expected '%s', got: %s", cases[i].says,
                  ran.err);
        cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "not one line: %s",
                  ran.err);
        cr_expect(count_files(folder, "kmeans.txt") == 0, "%s: left a result", cases[i].says);
        free(file);
    }
    remove_folder(folder);
}

Test(kmeans, constant_features_are_one_cluster, .timeout = 30) {
    char *folder = temporary_folder(), *file = features_file(folder, 40, 1);
    static const char *const flags[] = {"", "--init random", "--spherical"};
    for (int i = 0; i < 3; i++) {
        Ran ran;
        run_turtle(&ran, "kmeans --root_dir %s --features %s --classes 4 --json %s", folder, file,
                   flags[i]);
        cr_expect(ran.status == 0, "%s", ran.out);
        cr_expect(strstr(ran.out, "\"clusters_found\": 1,") != NULL, "%s", ran.out);
        cr_expect(strstr(ran.err, "only 1 of 4 clusters are used") != NULL, "%s", ran.err);
    }
    free(file);
    remove_folder(folder);
}

/* The call leaves the published line in its place, JSON and predictions; twice the same; and obeys
 * other flags. */
Test(kmeans, command_leaves_what_it_promises, .timeout = 120) {
    static const char *const files = "--features " DEMO "/representations/patches/mnist_train.npy "
                                     "--labels " DEMO "/labels/mnist_train.npy --val_features " DEMO
                                     "/representations/patches/mnist_val.npy --val_labels " DEMO
                                     "/labels/mnist_val.npy --classes 10 --quiet";
    static const char *const keys[] = {
        "\"command\": \"kmeans\"", "\"version\"",    "\"seed\": 42",       "\"device\": \"cpu\"",
        "\"precision\": \"fp32\"", "\"seconds\"",    "\"train_acc\": 0.5", "\"val_acc\": 0.5",
        "\"inertia\": 8",          "\"iterations\"", "\"restarts\""};
    char *folder = temporary_folder();
    char *csv = format_text("%s/p.csv", folder),
         *results = format_text("%s/results/kmeans.txt", folder);
    Ran a, b;
    run_turtle(&a, "kmeans --root_dir %s %s --json --predictions %s", folder, files, csv);
    cr_assert(a.status == 0, "%s", a.err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect(strstr(a.out, keys[i]) != NULL, "%s is missing: %s", keys[i], a.out);
    run_turtle(&b, "kmeans --root_dir %s %s --json --threads 1", folder, files);
    cr_assert(b.status == 0);
    char *rest_a = strstr(a.out, "\"train_acc\""), *rest_b = strstr(b.out, "\"train_acc\"");
    *strstr(rest_a, "\"backend\"") = *strstr(rest_b, "\"backend\"") =
        '\0'; /* threads in its name */
    cr_expect(strcmp(rest_a, rest_b) == 0, "%s and %s", rest_a, rest_b);
    run_turtle(&b, "kmeans --root_dir %s %s --n-init 2 --spherical --init random", folder, files);
    cr_assert(b.status == 0);

    char text[4096];
    read_text(text, sizeof text, results);
    static const char start[] = "features    , mnist_train         , n_init 10, inertia 8";
    cr_expect(strncmp(text, start, sizeof start - 1) == 0, "%s", text);
    const char *after = strstr(text, ", Train Accuracy: 5");
    cr_assert(after != NULL, "%s", text);
    double train, val;
    int used = 0;
    cr_assert(sscanf(after, ", Train Accuracy: %lf, Val Accuracy: %lf%n", &train, &val, &used) ==
              2);
    cr_expect(strncmp(after + used, " \n", 2) == 0, "%s", after);
    cr_expect(strstr(text, ", init random, spherical \n") != NULL, "%s", text);
    int lines = 0;
    for (const char *c = text; *c; c++) lines += *c == '\n';
    cr_expect(lines == 3);

    FileMap map;
    Error err;
    ASSERT_OK(file_map(&map, csv, &err), err);
    for (int64_t i = lines = 0; i < map.bytes; i++) lines += map.data[i] == '\n';
    cr_expect(lines == VAL + 1 && !memcmp(map.data, "path,cluster,confidence,margin\n", 31));
    file_unmap(&map);
    free(csv), free(results);
    remove_folder(folder);
}
