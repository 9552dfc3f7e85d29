/* library_test.c - what turtle.h gives on arrays beside training: scores, centres of k-means, names. */
#include "io/arrays/npy.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"
#include "tests/support/weights_file.h"

/* --- scores ----------------------------------------------------------------------------------- */

Test(library, scores_of_any_ids_are_those_of_a_table_by_hand, .timeout = 60) {
    /* clusters 7, 40, 2^40 beside classes 5, 9: 7 holds 5 5 9, 40 holds 9 9, 2^40 holds 5; two labels are unknown */
    const int64_t big = INT64_C(1) << 40;
    const int64_t cluster[] = {7, 7, 7, 40, 40, big, 7, 99}, y[] = {5, 5, 9, 9, 9, 5, -1, -3};
    TurtleScores s;
    Error err;
    ASSERT_OK(turtle_scores(cluster, y, 8, &s, &err), err);
    cr_expect(s.samples == 6 && s.unlabelled == 2 && s.clusters == 3 && s.classes == 2);
    cr_expect(s.matched == 4 && s.cluster_acc == 4.0 / 6.0);
    cr_expect(fabs(s.mean_class_acc - (2.0 / 3.0 + 2.0 / 3.0) / 2) < 1e-15);
    cr_assert(s.match != NULL);
    const TurtleMatch want[] = {{7, 3, 5, 2}, {40, 2, 9, 2}, {big, 1, -1, 0}};
    for (int i = 0; i < 3; i++)
        cr_expect(s.match[i].cluster == want[i].cluster && s.match[i].samples == want[i].samples &&
                      s.match[i].class_id == want[i].class_id &&
                      s.match[i].matched == want[i].matched,
                  "cluster %d", i);
    /* H(cluster) of 3 2 1, H(class) of 3 3, H(both) of 2 1 2 1, in nats */
    const double hc = log(6) - (3 * log(3) + 2 * log(2)) / 6, hy = log(2),
                 both = log(6) - 4 * log(2) / 6, mi = hc + hy - both;
    cr_expect(fabs(s.nmi - mi / sqrt(hc * hy)) < 1e-12, "%.15g", s.nmi);
    /* pairs: 2 together in both, 4 in a cluster, 6 in a class, 15 in all */
    cr_expect(fabs(s.ari - (2 - 4 * 6 / 15.0) / ((4 + 6) / 2.0 - 4 * 6 / 15.0)) < 1e-12, "%.15g",
              s.ari);
    turtle_scores_free(&s);
    cr_expect(s.match == NULL && isnan(s.nmi));
    turtle_scores_free(&s);
    turtle_scores_free(NULL);
}

Test(library, scores_without_labels_are_unknown_and_bad_arrays_are_refused, .timeout = 60) {
    const int64_t cluster[] = {0, 1}, none[] = {-1, -1}, bad[] = {0, -1};
    TurtleScores s;
    Error err;
    ASSERT_OK(turtle_scores(cluster, none, 2, &s, &err), err);
    cr_expect(s.samples == 0 && s.unlabelled == 2 && isnan(s.cluster_acc) && isnan(s.ari));
    turtle_scores_free(&s);
    cr_expect(turtle_scores(bad, none, 2, &s, &err) == TURTLE_ERR_ARG &&
              strstr(err.text, "sample 1 has cluster -1"));
    cr_expect(turtle_scores(NULL, none, 2, &s, &err) == TURTLE_ERR_ARG);
    cr_expect(turtle_scores(cluster, NULL, 2, &s, NULL) == TURTLE_ERR_ARG);
    cr_expect(turtle_scores(cluster, none, 0, &s, &err) == TURTLE_ERR_ARG);
}

/* --- centres ---------------------------------------------------------------------------------- */

enum { N = 120, D = 3 };
static float Z[N][D], other[N][D];

/* Fills three groups of samples in, whose first feature is the farthest apart, times `unit`. */
static void make_groups(float unit) {
    for (int i = 0; i < N; i++)
        for (int j = 0; j < D; j++) {
            const float noise = 0.01f * (float)((37 * i + 11 * j) % 29);
            Z[i][j] = unit * ((float)(3 * (i % 3 == j) + 5) + noise);
            other[i][j] = unit * ((float)(2 * (i % 3 == j) + 1) - noise);
        }
}

static void set_kmeans(TurtleKmeansOptions *o, const TurtleMatrix *spaces, int K) {
    turtle_kmeans_defaults(o);
    o->common.device = "cpu";
    o->inputs.Z = (TurtleMatrices){spaces, K};
    o->inputs.classes = 3;
    o->n_init = 2;
}

static bool same_clusters(const TurtleKmeansResult *a, const TurtleKmeansResult *b) {
    return a->samples == b->samples &&
           memcmp(a->cluster_of, b->cluster_of, (size_t)a->samples * sizeof *a->cluster_of) == 0;
}

/* A centre is the mean of its samples, and given back it says the cluster of each sample, one by one as well. */
Test(library, centres_are_means_and_say_the_same_clusters_again, .timeout = 60) {
    static const float units[] = {1.0f, 1e30f, 1e-30f};
    for (int u = 0; u < 3; u++) {
        make_groups(units[u]);
        const TurtleMatrix spaces[] = {{Z, N, D, TURTLE_FLOAT32}};
        TurtleKmeansOptions o;
        TurtleKmeansResult found, again, one;
        Error err;
        set_kmeans(&o, spaces, 1);
        ASSERT_OK(turtle_kmeans(&o, &found, &err), err);
        const TurtleCenters *c = &found.centers;
        cr_assert(c->spaces == 1 && c->classes == 3 && c->dims[0] == D && !c->spherical);
        for (int k = 0; k < 3; k++)
            for (int j = 0; j < D; j++) {
                double sum = 0, n = 0;
                for (int i = 0; i < N; i++)
                    if (found.cluster_of[i] == k) sum += (double)Z[i][j] / units[u], n++;
                const double center = ((double)c->mean[j] + c->center[k * D + j]) / units[u];
                cr_expect(fabs(sum / n - center) < 1e-5, "%g, centre %d: %g beside %g", units[u], k,
                          center, sum / n);
            }
        o.centers = &found.centers;
        o.inputs.classes = 0;
        ASSERT_OK(turtle_kmeans(&o, &again, &err), err);
        cr_expect(same_clusters(&found, &again));
        cr_expect(again.restarts == 0 && isnan(again.inertia) && again.iterations == -1);
        for (int i = 0; i < N; i += 17) {
            const TurtleMatrix row = {Z[i], 1, D, TURTLE_FLOAT32};
            o.inputs.Z = (TurtleMatrices){&row, 1};
            ASSERT_OK(turtle_kmeans(&o, &one, &err), err);
            cr_expect(one.samples == 1 && one.cluster_of[0] == found.cluster_of[i]);
            turtle_kmeans_result_free(&one);
        }
        turtle_kmeans_result_free(&found);
        turtle_kmeans_result_free(&again);
        cr_expect(found.centers.center == NULL);
    }
}

Test(library, centres_of_two_spaces_and_of_cosines_serve_as_well, .timeout = 60) {
    make_groups(1.0f);
    const TurtleMatrix spaces[] = {{Z, N, D, TURTLE_FLOAT32}, {other, N, D, TURTLE_FLOAT32}};
    for (int K = 1; K <= 2; K++) {
        TurtleKmeansOptions o;
        TurtleKmeansResult found, again;
        Error err;
        set_kmeans(&o, spaces, K);
        o.spherical = K == 1;
        ASSERT_OK(turtle_kmeans(&o, &found, &err), err);
        cr_expect(found.centers.spaces == K && found.centers.spherical == o.spherical);
        set_kmeans(&o, spaces, K);
        o.centers = &found.centers;
        ASSERT_OK(turtle_kmeans(&o, &again, &err), err);
        cr_expect(same_clusters(&found, &again));
        turtle_kmeans_result_free(&found);
        turtle_kmeans_result_free(&again);
    }
}

Test(library, centres_that_do_not_fit_are_refused, .timeout = 60) {
    make_groups(1.0f);
    int64_t three[] = {3}, two[] = {2};
    float mean[3] = {0}, center[9] = {0}, far[9] = {1e30f}, undefined[9] = {NAN};
    const struct {
        TurtleCenters centers;
        const char *says;
    } cases[] = {
        {{.spaces = 1, .classes = 3, .dims = three, .mean = mean}, "are empty"},
        {{.spaces = 1, .classes = 3, .dims = two, .mean = mean, .center = center}, "dimension 3"},
        {{.spaces = 2, .classes = 3, .dims = three, .mean = mean, .center = center}, "dimension"},
        {{.spaces = 1, .classes = 2, .dims = three, .mean = mean, .center = center},
         "classes says"},
        {{.spaces = 1, .classes = 3, .dims = three, .mean = mean, .center = far}, "centre 0"},
        {{.spaces = 1, .classes = 3, .dims = three, .mean = mean, .center = undefined}, "centre 0"},
    };
    const TurtleMatrix space = {Z, N, D, TURTLE_FLOAT32};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int64_t both[] = {3, 3};
        TurtleKmeansOptions o;
        TurtleKmeansResult r;
        TurtleCenters given = cases[i].centers;
        Error err;
        if (given.spaces == 2) given.dims = both;
        set_kmeans(&o, &space, 1);
        o.centers = &given;
        cr_expect(turtle_kmeans(&o, &r, &err) == (i == 1 ? TURTLE_ERR_FORMAT : TURTLE_ERR_ARG));
        cr_expect(strstr(err.text, given.spaces == 2 ? "2 spaces" : cases[i].says), "case %zu: %s",
                  i, err.text);
    }
}

/* --- the program beside the library ------------------------------------------------------------ */

Test(library, arrays_give_the_bits_of_the_program, .timeout = 60) {
    enum { DIGITS = 10 };
    Npy features, val, soft;
    Ran ran;
    Error err;
    TurtleTrainOptions o;
    TurtleResult r;
    char *folder = temporary_folder(), *path = format_text("%s/soft.npy", folder);
    run_turtle(
        &ran,
        "train --features " DEMO "/representations/patches/mnist_train.npy --val_features " DEMO
        "/representations/patches/mnist_val.npy --classes 10 --T 20 --batch_size 500 --seed 7 "
        "--device cpu --out %s/run --probabilities %s --json",
        folder, path);
    cr_assert(ran.status == 0, "%s", ran.err);
    ASSERT_OK(npy_open(&features, DEMO "/representations/patches/mnist_train.npy", &err), err);
    ASSERT_OK(npy_open(&val, DEMO "/representations/patches/mnist_val.npy", &err), err);
    ASSERT_OK(npy_open(&soft, path, &err), err);
    const TurtleMatrix train = {features.data, features.shape[0], features.shape[1],
                                TURTLE_FLOAT32},
                       scored = {val.data, val.shape[0], val.shape[1], TURTLE_FLOAT32};
    turtle_train_defaults(&o);
    o.inputs = (TurtleInputs){.Z = {&train, 1}, .val_Z = {&scored, 1}, .classes = DIGITS};
    o.common.device = "cpu";
    o.common.seed = 7;
    o.T = 20;
    o.batch_size = 500;
    o.soft_labels = true;
    ASSERT_OK(turtle_train(&o, &r, &err), err);
    cr_assert(soft.shape[0] == r.samples && soft.shape[1] == r.classes && r.samples > 0);
    cr_expect(memcmp(soft.data, r.probability, (size_t)(r.samples * r.classes) * sizeof(float)) ==
              0);
    cr_expect(json_number(ran.out, "loss") == r.loss);
    turtle_result_free(&r);
    npy_close(&features);
    npy_close(&val);
    npy_close(&soft);
    free(path);
    remove_folder(folder);
}

static int stop_at_once(void *calls, const TurtleProgress *p) {
    (void)p;
    return ++*(int *)calls;
}

/* One fit of a probe is stopped by its hook, whose first answer counts. */
Test(library, a_probe_is_stopped_by_its_hook, .timeout = 60) {
    make_groups(1.0f);
    const TurtleMatrix space = {Z, N, D, TURTLE_FLOAT32};
    int64_t y[N];
    int calls = 0;
    TurtleProbeOptions o;
    TurtleProbeResult r;
    Error err;
    for (int i = 0; i < N; i++) y[i] = i % 3;
    turtle_probe_defaults(&o);
    o.common.device = "cpu";
    o.inputs.Z = (TurtleMatrices){&space, 1};
    o.inputs.y_true = y;
    o.common.hooks = (TurtleHooks){.progress = stop_at_once, .context = &calls};
    cr_expect(turtle_probe(&o, &r, &err) == TURTLE_ERR_STOPPED && calls == 1, "%s", err.text);
    cr_expect(r.model.linear == NULL);
}

/* A sweep of arrays needs a folder for its runs; it, too, stops where its hook says so, and goes on. */
Test(library, a_sweep_of_arrays_is_stopped_and_goes_on, .timeout = 60) {
    static const char *counts[] = {"2", "3"};
    make_groups(1.0f);
    const TurtleMatrix space = {Z, N, D, TURTLE_FLOAT32};
    char *folder = temporary_folder();
    TurtleSweepOptions o;
    TurtleSweepResult r;
    Error err;
    int calls = 0;
    turtle_sweep_defaults(&o);
    o.common.device = "cpu";
    o.inputs.Z = (TurtleMatrices){&space, 1};
    o.classes = (TurtleTexts){counts, 2};
    o.T = 20;
    o.jobs = 1;
    cr_expect(turtle_sweep(&o, &r, &err) == TURTLE_ERR_USAGE && strstr(err.text, "out"), "%s",
              err.text);
    o.out = folder;
    o.common.hooks = (TurtleHooks){.progress = stop_at_once, .context = &calls};
    cr_expect(turtle_sweep(&o, &r, &err) == TURTLE_ERR_STOPPED && calls >= 1, "%s", err.text);
    o.common.hooks = (TurtleHooks){0};
    o.resume = true;
    ASSERT_OK(turtle_sweep(&o, &r, &err), err);
    cr_expect(r.runs == 6 && r.run[0].failed == NULL);
    turtle_sweep_result_free(&r);
    remove_folder(folder);
}

/* --- names ------------------------------------------------------------------------------------ */

enum { CLASSES = 5, DIM = 48, ROWS = 10 };

/* Row i is the recorded vector of class i % 5, so that its class is known. */
Test(library, zeroshot_takes_names_and_a_labelling_in_memory, .timeout = 60) {
    static const char *names[CLASSES] = {"airplane", "golden retriever", "forest", "stop sign",
                                         "kite (bird of prey)\tkite"};
    static const char *templates[] = {"a photo of a {}.", "itap of the {}."};
    static const char text[] = "airplane\ngolden retriever\nforest\nstop sign\n"
                               "kite (bird of prey)\tkite\n";
    static const char lines[] = "a photo of a {}.\nitap of the {}.\n";
    const float *vectors = golden("encoders/clip_vit_tiny_zeroshot.npy", DTYPE_F32, DIM * CLASSES);
    float rows[ROWS][DIM], *linear = calloc(2 * DIM + 2, sizeof *linear);
    int64_t y[ROWS], dims[] = {DIM};
    for (int i = 0; i < ROWS; i++) {
        y[i] = i % CLASSES;
        for (int j = 0; j < DIM; j++) rows[i][j] = vectors[j * CLASSES + i % CLASSES];
    }
    for (int j = 0; j < DIM; j++) linear[j] = 40 * rows[3][j]; /* cluster 0 holds the stop signs */
    linear[2 * DIM] = -39.9f;
    char *folder = temporary_folder(), *weights = copy_weights(folder, "clip_vit_tiny.pt"),
         *names_file = format_text("%s/names.txt", folder),
         *templates_file = format_text("%s/templates.txt", folder);
    write_bytes(names_file, text, sizeof text - 1);
    write_bytes(templates_file, lines, sizeof lines - 1);
    const TurtleMatrix space = {rows, ROWS, DIM, TURTLE_FLOAT32};
    const TurtleModel model = {1, 2, dims, &linear};
    TurtleZeroshotOptions o;
    TurtleZeroshotResult of_texts, of_files;
    Error err;
    turtle_zeroshot_defaults(&o);
    o.common.device = "cpu";
    o.common.root_dir = folder;
    o.inputs.Z = (TurtleMatrices){&space, 1};
    o.inputs.y_true = y;
    o.weights = weights;
    o.soft_labels = true;
    o.model = &model;
    o.names = names_file;
    o.templates = templates_file;
    ASSERT_OK(turtle_zeroshot(&o, &of_files, &err), err);
    o.names = o.templates = NULL;
    o.class_names = (TurtleTexts){names, CLASSES};
    o.template_texts = (TurtleTexts){templates, 2};
    ASSERT_OK(turtle_zeroshot(&o, &of_texts, &err), err);
    cr_expect(of_texts.prompts == 12 && of_texts.top1 == 1.0 && of_texts.samples == ROWS);
    cr_expect(memcmp(of_texts.class_of, y, sizeof y) == 0);
    cr_expect(memcmp(of_texts.probability, of_files.probability, ROWS * CLASSES * sizeof(float)) ==
              0);
    for (int i = 0; i < ROWS; i++) {
        double sum = 0;
        for (int c = 0; c < CLASSES; c++) {
            sum += of_texts.probability[i * CLASSES + c];
            cr_expect(of_texts.probability[i * CLASSES + c] <=
                      of_texts.probability[i * CLASSES + y[i]]);
        }
        cr_expect(fabs(sum - 1) < 1e-6);
    }
    cr_assert(of_texts.clusters == 2 && of_texts.cluster[0].name != NULL);
    cr_expect_str_eq(of_texts.cluster[0].name, "stop sign");
    turtle_zeroshot_result_free(&of_texts);
    turtle_zeroshot_result_free(&of_files);

    names[1] = "forest";
    cr_expect(turtle_zeroshot(&o, &of_texts, &err) == TURTLE_ERR_FORMAT &&
                  strstr(err.text, "class_names: line 3"),
              "%s", err.text);
    names[1] = "golden\nretriever";
    cr_expect(turtle_zeroshot(&o, &of_texts, &err) == TURTLE_ERR_ARG, "%s", err.text);
    o.names = names_file;
    cr_expect(turtle_zeroshot(&o, &of_texts, &err) == TURTLE_ERR_USAGE, "%s", err.text);
    free(linear);
    free(names_file);
    free(templates_file);
    free(weights);
    remove_folder(folder);
}

/* A text that is NULL, a precision without that name and a count beyond all memory are refused. */
Test(library, options_that_no_call_can_serve_are_refused, .timeout = 60) {
    Error err;
    TurtleResult trained;
    TurtleKmeansResult kmeans;
    TurtleProbeResult probe;
    TurtleTrainOptions defaults, t;
    turtle_train_defaults(&defaults);
    for (int i = 0; i < 7; i++) {
        t = defaults;
        const char **texts[] = {&t.prior, &t.rng, &t.inner, &t.common.device, &t.common.precision};
        if (i < 5) *texts[i] = NULL;
        else if (i == 5) t.common.precision = "int8";
        else t.M = INT64_MAX;
        cr_expect(turtle_train(&t, &trained, &err) == TURTLE_ERR_USAGE, "%d: %s", i, err.text);
        cr_expect(strstr(err.text, i < 5    ? "NULL"
                                   : i == 5 ? "int8"
                                            : "at most") != NULL,
                  "%s", err.text);
    }
    TurtleKmeansOptions k;
    turtle_kmeans_defaults(&k);
    k.init = NULL;
    cr_expect(turtle_kmeans(&k, &kmeans, &err) == TURTLE_ERR_USAGE, "%s", err.text);
    TurtleProbeOptions p;
    turtle_probe_defaults(&p);
    p.common.device = NULL;
    cr_expect(turtle_probe(&p, &probe, &err) == TURTLE_ERR_USAGE, "%s", err.text);
}
