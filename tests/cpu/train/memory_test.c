/* memory_test.c - the library on arrays: the bits of files, nothing on the disk, calls side by side, hooks that stop. */
#include <dirent.h>
#include <pthread.h>

#include "io/arrays/npy.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

enum { K = 2, C = 10 };
static const char *const TRAIN[] = {DEMO "/representations/patches/mnist_train.npy",
                                    DEMO "/representations/gabor/mnist_train.npy"};
static const char *const VAL[] = {DEMO "/representations/patches/mnist_val.npy",
                                  DEMO "/representations/gabor/mnist_val.npy"};

/* The demo's features and labels, once as files and once as arrays. */
typedef struct {
    Npy file[2 * K + 2];
    TurtleMatrix Z[K], val_Z[K];
    TurtleInputs files, arrays;
} Demo;

static void demo_open(Demo *d) {
    Error err;
    *d = (Demo){0};
    for (int k = 0; k < K; k++) {
        ASSERT_OK(npy_open(&d->file[k], TRAIN[k], &err), err);
        ASSERT_OK(npy_open(&d->file[K + k], VAL[k], &err), err);
        const Npy *t = &d->file[k], *v = &d->file[K + k];
        cr_assert(t->type == DTYPE_F32 && v->type == DTYPE_F32);
        d->Z[k] = (TurtleMatrix){t->data, t->shape[0], t->shape[1], TURTLE_FLOAT32};
        d->val_Z[k] = (TurtleMatrix){v->data, v->shape[0], v->shape[1], TURTLE_FLOAT32};
    }
    ASSERT_OK(npy_open(&d->file[2 * K], DEMO "/labels/mnist_train.npy", &err), err);
    ASSERT_OK(npy_open(&d->file[2 * K + 1], DEMO "/labels/mnist_val.npy", &err), err);
    cr_assert(d->file[2 * K].type == DTYPE_I64 && d->file[2 * K + 1].type == DTYPE_I64);
    d->files = (TurtleInputs){.features = {(const char **)TRAIN, K},
                              .val_features = {(const char **)VAL, K},
                              .labels = DEMO "/labels/mnist_train.npy",
                              .val_labels = DEMO "/labels/mnist_val.npy",
                              .classes = C};
    d->arrays = (TurtleInputs){.Z = {d->Z, K},
                               .val_Z = {d->val_Z, K},
                               .y_true = d->file[2 * K].data,
                               .val_y_true = d->file[2 * K + 1].data,
                               .classes = C};
}

static void demo_close(Demo *d) {
    for (int i = 0; i < 2 * K + 2; i++) npy_close(&d->file[i]);
}

static void set_training(TurtleTrainOptions *o, const TurtleInputs *in, uint64_t seed) {
    turtle_train_defaults(o);
    o->inputs = *in;
    o->common.device = "cpu";
    o->common.seed = seed;
    o->T = 20;
    o->batch_size = 500;
    o->soft_labels = true;
}

static void expect_same(const TurtleResult *a, const TurtleResult *b) {
    cr_assert(a->samples == b->samples && a->classes == b->classes && a->samples > 0);
    cr_assert(a->train_samples == b->train_samples && a->train_samples > 0);
    const size_t n = (size_t)a->samples, N = (size_t)a->train_samples;
    cr_expect(memcmp(a->cluster_of, b->cluster_of, n * sizeof *a->cluster_of) == 0);
    cr_expect(memcmp(a->probability, b->probability, n * C * sizeof *a->probability) == 0);
    cr_expect(memcmp(a->train_cluster_of, b->train_cluster_of, N * sizeof(int64_t)) == 0);
    cr_expect(a->loss == b->loss && a->entropy == b->entropy && a->cluster_acc == b->cluster_acc &&
              a->nmi == b->nmi);
    cr_assert(a->model.spaces == K && b->model.spaces == K);
    for (int k = 0; k < K; k++)
        cr_expect(memcmp(a->model.linear[k], b->model.linear[k],
                         (size_t)(C * (a->model.dims[k] + 1)) * sizeof(float)) == 0);
}

/* Returns how many entries a folder has. */
static int entries(const char *folder) {
    DIR *dir = opendir(folder);
    int n = 0;
    cr_assert(dir != NULL);
    while (readdir(dir)) n++;
    closedir(dir);
    return n - 2;
}

Test(memory, arrays_give_the_bits_of_files_and_nothing_is_written, .timeout = 60) {
    Demo d;
    Error err;
    TurtleTrainOptions o;
    TurtleResult of_files, of_arrays, again;
    char *out = temporary_folder(), *empty = temporary_folder();
    demo_open(&d);
    set_training(&o, &d.files, 42);
    o.out = out;
    ASSERT_OK(turtle_train(&o, &of_files, &err), err);
    set_training(&o, &d.arrays, 42);
    o.common.root_dir = empty;
    ASSERT_OK(turtle_train(&o, &of_arrays, &err), err);
    expect_same(&of_files, &of_arrays);
    cr_expect(of_arrays.checkpoint == NULL && of_arrays.predictions == NULL);

    TurtleEvaluateOptions e;
    turtle_evaluate_defaults(&e);
    e.common.device = "cpu";
    e.inputs = d.arrays;
    e.model = &of_arrays.model;
    e.soft_labels = true;
    ASSERT_OK(turtle_evaluate(&e, &again, &err), err);
    const size_t n = (size_t)again.samples;
    cr_expect(memcmp(again.cluster_of, of_files.cluster_of, n * sizeof(int64_t)) == 0);
    cr_expect(memcmp(again.probability, of_files.probability, n * C * sizeof(float)) == 0);
    cr_expect(again.cluster_acc == of_files.cluster_acc);
    cr_expect(entries(empty) == 0, "something was written below root_dir");
    turtle_result_free(&of_files);
    turtle_result_free(&of_arrays);
    turtle_result_free(&again);
    demo_close(&d);
    remove_folder(out);
    remove_folder(empty);
}

/* float16 is read where it lies: the file of the same numbers gives the same bits. */
Test(memory, float16_gives_the_bits_of_its_file, .timeout = 60) {
    Demo d;
    Error err;
    TurtleTrainOptions o;
    TurtleResult of_file, of_array;
    char *out = temporary_folder(), *path = format_text("%s/half.npy", out);
    demo_open(&d);
    const int64_t rows = d.Z[0].rows, dims = d.Z[0].dims, shape[] = {rows, dims};
    uint16_t *half = malloc((size_t)(rows * dims) * sizeof *half);
    for (int64_t i = 0; i < rows * dims; i++) half[i] = (uint16_t)(0x3000 + (i * 7919) % 0x0c00);
    ASSERT_OK(npy_write(path, DTYPE_F16, 2, shape, half, &err), err);
    TurtleMatrix Z = {half, rows, dims, TURTLE_FLOAT16};
    const TurtleInputs file = {.features = {(const char **)&path, 1}, .classes = C},
                       array = {.Z = {&Z, 1}, .classes = C};
    set_training(&o, &file, 1);
    o.T = 3;
    o.out = out;
    ASSERT_OK(turtle_train(&o, &of_file, &err), err);
    set_training(&o, &array, 1);
    o.T = 3;
    ASSERT_OK(turtle_train(&o, &of_array, &err), err);
    cr_expect(of_file.loss == of_array.loss);
    cr_expect(
        memcmp(of_file.probability, of_array.probability, (size_t)(rows * C) * sizeof(float)) == 0);
    turtle_result_free(&of_file);
    turtle_result_free(&of_array);
    demo_close(&d);
    free(half);
    free(path);
    remove_folder(out);
}

typedef struct {
    TurtleTrainOptions options;
    TurtleResult result;
    TurtleError err;
    TurtleStatus status;
} Call;

static void *train(void *call) {
    Call *c = call;
    c->status = turtle_train(&c->options, &c->result, &c->err);
    return NULL;
}

Test(memory, two_trainings_at_once_give_the_bits_of_one_after_the_other, .timeout = 60) {
    Demo d;
    Call alone[2], together[2];
    pthread_t thread[2];
    demo_open(&d);
    for (int i = 0; i < 2; i++) {
        set_training(&alone[i].options, &d.arrays, (uint64_t)(7 + i));
        together[i].options = alone[i].options;
        train(&alone[i]);
        ASSERT_OK(alone[i].status, alone[i].err);
    }
    for (int i = 0; i < 2; i++)
        cr_assert(pthread_create(&thread[i], NULL, train, &together[i]) == 0);
    for (int i = 0; i < 2; i++) {
        pthread_join(thread[i], NULL);
        ASSERT_OK(together[i].status, together[i].err);
        expect_same(&alone[i].result, &together[i].result);
    }
    cr_expect(alone[0].result.loss != alone[1].result.loss, "two seeds gave one result");
    for (int i = 0; i < 2; i++) {
        turtle_result_free(&alone[i].result);
        turtle_result_free(&together[i].result);
    }
    demo_close(&d);
}

static int stop_at_five(void *context, const TurtleProgress *p) {
    *(int64_t *)context = p->iteration;
    return p->iteration >= 5;
}

Test(memory, a_hook_that_returns_non_zero_stops_the_call, .timeout = 60) {
    Demo d;
    Error err;
    TurtleTrainOptions o;
    TurtleKmeansOptions k;
    TurtleResult r;
    TurtleKmeansResult clusters;
    int64_t last = 0;
    demo_open(&d);
    set_training(&o, &d.arrays, 42);
    o.common.hooks = (TurtleHooks){.progress = stop_at_five, .context = &last};
    cr_expect(turtle_train(&o, &r, &err) == TURTLE_ERR_STOPPED);
    cr_expect(last == 5 && strstr(err.text, "nothing is kept"), "%lld, %s", (long long)last,
              err.text);
    cr_expect(r.cluster_of == NULL);
    turtle_kmeans_defaults(&k);
    k.common.device = "cpu";
    k.common.hooks = o.common.hooks;
    k.inputs = d.arrays;
    k.max_iter = 2;
    cr_expect(turtle_kmeans(&k, &clusters, &err) == TURTLE_ERR_STOPPED && last == 5, "%s",
              err.text);
    demo_close(&d);
}

Test(memory, kmeans_and_probe_give_the_results_of_files, .timeout = 60) {
    Demo d;
    Error err;
    TurtleKmeansOptions k;
    TurtleKmeansResult a, b;
    char *root = temporary_folder(), *empty = temporary_folder();
    demo_open(&d);
    turtle_kmeans_defaults(&k);
    k.common.device = "cpu";
    k.n_init = 1;
    k.max_iter = 5;
    k.inputs = d.files;
    k.common.root_dir = root;
    ASSERT_OK(turtle_kmeans(&k, &a, &err), err);
    k.inputs = d.arrays;
    k.common.root_dir = empty;
    ASSERT_OK(turtle_kmeans(&k, &b, &err), err);
    cr_expect(a.inertia == b.inertia && a.val_acc == b.val_acc && a.samples == b.samples);
    cr_expect(memcmp(a.cluster_of, b.cluster_of, (size_t)a.samples * sizeof(int64_t)) == 0);
    cr_expect(memcmp(a.val_cluster_of, b.val_cluster_of, (size_t)a.val_samples * sizeof(int64_t)) ==
              0);

    TurtleProbeOptions p;
    TurtleProbeResult x, y;
    TurtleResult applied;
    turtle_probe_defaults(&p);
    p.common.device = "cpu";
    p.max_iter = 10;
    p.inputs = d.files;
    p.inputs.features.count = p.inputs.val_features.count = 1;
    ASSERT_OK(turtle_probe(&p, &x, &err), err);
    p.common.root_dir = empty;
    p.inputs = d.arrays;
    p.inputs.Z.count = p.inputs.val_Z.count = 1;
    ASSERT_OK(turtle_probe(&p, &y, &err), err);
    cr_expect(x.objective == y.objective && x.val_acc == y.val_acc);
    cr_assert(y.model.spaces == 1 && y.model.classes == C && strcmp(y.class_names[3], "3") == 0);

    /* evaluate applies the regression: the classes that it says are right as often as the probe's accuracy */
    TurtleEvaluateOptions e;
    turtle_evaluate_defaults(&e);
    e.common.device = "cpu";
    e.inputs = p.inputs;
    e.model = &y.model;
    ASSERT_OK(turtle_evaluate(&e, &applied, &err), err);
    int64_t right = 0;
    for (int64_t i = 0; i < applied.samples; i++)
        right += applied.cluster_of[i] == d.arrays.val_y_true[i];
    cr_expect((double)right / (double)applied.samples == y.val_acc);
    cr_expect(entries(empty) == 0, "something was written below root_dir");
    turtle_kmeans_result_free(&a);
    turtle_kmeans_result_free(&b);
    turtle_probe_result_free(&x);
    turtle_probe_result_free(&y);
    turtle_result_free(&applied);
    demo_close(&d);
    remove_folder(root);
    remove_folder(empty);
}

Test(memory, wrong_arrays_are_refused_by_name, .timeout = 60) {
    static float Z[4][2] = {{1, 2}, {3, 4}, {5, NAN}, {7, 8}};
    static const char *const files[] = {"x.npy"};
    TurtleMatrix whole = {Z, 4, 2, TURTLE_FLOAT32},
                 two[2] = {{Z, 2, 2, TURTLE_FLOAT32}, {Z, 1, 2, TURTLE_FLOAT32}},
                 none = {NULL, 4, 2, TURTLE_FLOAT32}, flat = {Z, 4, 0, TURTLE_FLOAT32},
                 huge = {Z, INT64_MAX / 2, 8, TURTLE_FLOAT32}, odd = {Z, 2, 2, (TurtleType)9};
    const struct {
        TurtleInputs in;
        const char *says;
    } cases[] = {
        {{.Z = {&whole, 1}}, "Z1: row 2, column 1 is NaN"},
        {{.Z = {&none, 1}}, "Z1: expected a non-empty"},
        {{.Z = {&flat, 1}}, "Z1: expected a non-empty"},
        {{.Z = {&huge, 1}}, "more than memory holds"},
        {{.Z = {&odd, 1}}, "type 9"},
        {{.Z = {two, 2}}, "Z2 has 1"},
        {{.Z = {two, 1}, .val_Z = {two, 2}}, "1 matrices Z but 2 val_Z"},
        {{.Z = {two, 1}, .features = {(const char **)files, 1}}, "not both"},
        {{.y_true = (int64_t[]){0}}, "0 matrices Z"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Error err;
        TurtleResult r;
        TurtleTrainOptions o;
        set_training(&o, &cases[i].in, 1);
        o.inputs.classes = 2;
        cr_expect(turtle_train(&o, &r, &err) != TURTLE_OK, "case %zu", i);
        cr_expect(strstr(err.text, cases[i].says), "case %zu: %s", i, err.text);
    }
}
