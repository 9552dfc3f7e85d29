/* label_use_test.c - what labels do to a call: they score it, and change nothing else. */
#include "io/arrays/npy.h"
#include "tests/support/check.h"

/* --- samples in three clear groups ------------------------------------------------------------ */

enum { N = 60, D = 4, GROUPS = 3 };

static int group_of(int64_t i) {
    return (int)(i * 7 % GROUPS);
}

/* Makes a folder of x.npy (N,D) and v.npy, which holds `val` samples of the same groups. */
static char *sample_folder(int64_t val) {
    char *folder = temporary_folder();
    float x[N * D];
    Error err;
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < D; j++)
            x[i * D + j] =
                (group_of(i) == j ? 10.0f : 0.0f) + (float)((i * 13 + j * 29) % 17) / 17.0f;
    for (int s = 0; s < 2; s++) {
        char *path = format_text("%s/%s.npy", folder, s ? "v" : "x");
        ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){s ? val : N, D}, x, &err), err);
        free(path);
    }
    return folder;
}

/* Writes labels as the text of a file: names[group] of each sample. */
static void write_labels(const char *folder, const char *file, const char *const *names,
                         int64_t count) {
    char *path = format_text("%s/%s", folder, file);
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    for (int64_t i = 0; i < count; i++) fprintf(f, "%s\n", names[group_of(i)]);
    cr_assert(fclose(f) == 0);
    free(path);
}

static void expect_score(const Ran *ran, const char *key, double value, const char *what) {
    cr_assert(ran->status == 0, "%s: %s", what, ran->err);
    cr_expect(fabs(json_number(ran->out, key) - value) < 1e-12, "%s: %s is %.17g, not %.17g", what,
              key, json_number(ran->out, key), value);
    cr_expect(!strstr(ran->err, "set --classes"), "%s: %s", what, ran->err);
}

/* --- k-means ---------------------------------------------------------------------------------- */

Test(label_use, ids_are_names_and_their_number_is_free, .timeout = 60) {
    static const struct {
        const char *names[GROUPS];
        int classes;
        double accuracy;
        const char *says; /* a notice, or NULL */
    } cases[] = {
        {{"0", "1", "2"}, 3, 1.0, NULL},
        {{"1", "2", "3"}, 3, 1.0, NULL},
        {{"0", "10", "20"}, 3, 1.0, NULL},
        {{"3.0", "1.0", "2.0"}, 3, 1.0, NULL},
        {{"cat", "dog", "sea lion"}, 3, 1.0, NULL},
        {{"7", "1000000000000", "99999999999999999999"}, 3, 1.0, NULL},
        {{"-5", "4", "5"}, 3, 1.0, "only -1 says that a label is not known"},
        {{"0.25", "0.5", "2"}, 3, 1.0, "no whole number"},
        {{"0", "1", "2"}, 2, 2.0 / 3, NULL},
        {{"4", "4", "9"}, 3, 2.0 / 3, NULL},
        {{"-1", "4", "9"}, 3, 1.0, "20 of 60 samples have no known label"},
        {{"", "4", "nan"}, 3, 1.0, "40 of 60 samples have no known label"},
    };
    char *folder = sample_folder(1);
    Ran ran;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *what = format_text("case %d", (int)i);
        write_labels(folder, "y.txt", cases[i].names, N);
        run_turtle(&ran,
                   "kmeans --features %s/x.npy --labels %s/y.txt --classes %d --n_init 5 "
                   "--threads 1 --json --root_dir %s",
                   folder, folder, cases[i].classes, folder);
        /* two clusters of three groups: the two that lie together are one cluster */
        expect_score(&ran, "train_acc", cases[i].accuracy, what);
        cr_expect(cases[i].says ? strstr(ran.err, cases[i].says) != NULL
                                : !strstr(ran.err, "labels:"),
                  "%s: %s", what, ran.err);
        free(what);
    }
    remove_folder(folder);
}

/* The most samples that one id can stand for cost nothing: 10^12 and 3 in the memory of 0, 1, 2. */
Test(label_use, memory_follows_distinct_ids, .timeout = 60) {
    static const char *const small[] = {"0", "1", "2"}, *const huge[] = {"0", "9", "1000000000000"};
    char *folder = sample_folder(1);
    Ran a, b;
    for (int probe = 0; probe < 2; probe++) {
        const char *command = probe ? "probe" : "kmeans --classes 3 --n_init 1";
        write_labels(folder, "y.txt", small, N);
        run_turtle(&a,
                   "%s --features %s/x.npy --labels %s/y.txt --device cpu --threads 1 --json "
                   "--root_dir %s",
                   command, folder, folder, folder);
        write_labels(folder, "y.txt", huge, N);
        run_turtle(&b,
                   "%s --features %s/x.npy --labels %s/y.txt --device cpu --threads 1 --json "
                   "--root_dir %s",
                   command, folder, folder, folder);
        expect_score(&a, "train_acc", 1.0, command);
        expect_score(&b, "train_acc", 1.0, command);
        cr_expect(b.peak_kib < a.peak_kib + 4096, "%s: %ld KiB, %ld KiB", command, b.peak_kib,
                  a.peak_kib);
    }
    remove_folder(folder);
}

/* --- train, evaluate, sweep ------------------------------------------------------------------- */

#define TRAIN \
    "train --features %s/x.npy --classes 3 --T 20 --batch_size 60 --device cpu --threads 1 "

Test(label_use, labels_change_nothing_that_train_leaves, .timeout = 60) {
    static const char *const labels[][GROUPS] = {{"1", "2", "3"},
                                                 {"a", "b", "b"},
                                                 {"-1", "nan", ""},
                                                 {"0.5", "-7", "123456789012345678901"}};
    char *folder = sample_folder(1), *plain = format_text("%s/plain/predictions_train.csv", folder);
    Ran ran;
    run_turtle(&ran, TRAIN "--out %s/plain --quiet", folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < 4; i++) {
        char *scored = format_text("%s/scored%d/predictions_train.csv", folder, i);
        write_labels(folder, "y.txt", labels[i], N);
        run_turtle(&ran, TRAIN "--labels %s/y.txt --out %s/scored%d", folder, folder, folder, i);
        cr_expect(ran.status == 0, "%d: %s", i, ran.err);
        cr_expect(same_files(plain, scored), "%d", i);
        free(scored);
    }
    remove_folder(folder);
    free(plain);
}

/* The validation split lacks the first class: its ids are still those of the training split. */
Test(label_use, a_validation_split_without_the_first_class, .timeout = 60) {
    static const char *const names[] = {"ant", "bee", "cat"};
    char *folder = sample_folder(N), *path = format_text("%s/vy.txt", folder);
    float x[N * D];
    int64_t kept = 0, shape[] = {0, D};
    Npy npy;
    Error err;
    Ran ran;
    char *x_path = format_text("%s/x.npy", folder), *v_path = format_text("%s/v.npy", folder);
    write_labels(folder, "y.txt", names, N);
    ASSERT_OK(npy_open(&npy, x_path, &err), err);
    FILE *f = fopen(path, "w");
    cr_assert(f != NULL);
    for (int64_t i = 0; i < N; i++) {
        if (group_of(i) == 0) continue;
        memcpy(x + kept++ * D, (const float *)npy.data + i * D, D * sizeof *x);
        fprintf(f, "%s\n", names[group_of(i)]);
    }
    cr_assert(fclose(f) == 0);
    npy_close(&npy);
    shape[0] = kept;
    ASSERT_OK(npy_write(v_path, DTYPE_F32, 2, shape, x, &err), err);
    run_turtle(&ran,
               "probe --features %s/x.npy --labels %s/y.txt --val_features %s/v.npy "
               "--val_labels %s/vy.txt --device cpu --threads 1 --json",
               folder, folder, folder, folder);
    expect_score(&ran, "val_acc", 1.0, "probe"); /* 0 if the split had a table of its own */
    run_turtle(&ran,
               "kmeans --features %s/x.npy --labels %s/y.txt --val_features %s/v.npy "
               "--val_labels %s/vy.txt --classes 3 --n_init 5 --threads 1 --json --root_dir %s",
               folder, folder, folder, folder, folder);
    expect_score(&ran, "val_acc", 1.0, "kmeans");
    expect_score(&ran, "nmi", 1.0, "kmeans");
    remove_folder(folder);
    free(path);
    free(x_path);
    free(v_path);
}

Test(label_use, evaluate_works_on_one_sample, .timeout = 60) {
    static const char *const names[] = {"ant", "bee", "cat"};
    static const int64_t counts[] = {1, 2, 5};
    char *folder = sample_folder(1);
    float x[5 * D] = {9, 1, 0, 0, 0, 9, 1, 0, 9, 0, 1, 0, 8, 0, 0, 1, 9, 1, 1, 1};
    Error err;
    Ran ran;
    run_turtle(&ran,
               "train --features %s/x.npy --classes 10 --T 3 --batch_size 60 --device cpu "
               "--threads 1 --out %s/run --quiet",
               folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < 3; i++) {
        char *path = format_text("%s/v.npy", folder);
        ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){counts[i], D}, x, &err), err);
        write_labels(folder, "y.txt", names, counts[i]);
        run_turtle(&ran,
                   "evaluate --features %s/v.npy --labels %s/y.txt --ckpt_path %s/run "
                   "--device cpu --threads 1 --json",
                   folder, folder, folder);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect(!strstr(ran.err, "collapsed"), "%s", ran.err); /* 10 clusters cannot be used */
        cr_expect(json_number(ran.out, "samples") == (double)counts[i]);
        if (i == 0) expect_score(&ran, "cluster_acc", 1.0, "one sample");
        free(path);
    }
    remove_folder(folder);
}

/* 40 samples of one point fall into one of 10 clusters: a collapse where their labels do not say
 * otherwise. */
Test(label_use, a_collapse_is_told_where_it_can_be_judged, .timeout = 60) {
    static const char *const names[] = {"a", "b", "c"}, *const same[] = {"a", "a", "a"};
    char *folder = sample_folder(1), *path = format_text("%s/v.npy", folder);
    float x[40 * D];
    Error err;
    Ran ran;
    for (int i = 0; i < 40 * D; i++) x[i] = 1.0f;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){40, D}, x, &err), err);
    run_turtle(&ran,
               "train --features %s/x.npy --classes 10 --T 3 --batch_size 60 --device cpu "
               "--threads 1 --out %s/run --quiet",
               folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    for (int i = 0; i < 3; i++) {
        char *labels = i ? format_text("--labels %s/y.txt", folder) : format_text("%s", "");
        if (i) write_labels(folder, "y.txt", i == 1 ? names : same, 40);
        run_turtle(&ran,
                   "evaluate --features %s/v.npy %s --ckpt_path %s/run --device cpu "
                   "--threads 1 --json",
                   folder, labels, folder);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect((strstr(ran.err, "collapsed") != NULL) == (i < 2), "%d: %s", i, ran.err);
        free(labels);
    }
    remove_folder(folder);
    free(path);
}

Test(label_use, a_sweep_scores_every_number_of_classes, .timeout = 60) {
    static const char *const names[] = {"1", "2", "3"};
    char *folder = sample_folder(1);
    Ran ran;
    write_labels(folder, "y.txt", names, N);
    run_turtle(&ran,
               "sweep --features %s/x.npy --labels %s/y.txt --classes 2..5 --seeds 42 --T 10 "
               "--batch_size 60 --device cpu --threads 1 --no_score --out %s/s --json",
               folder, folder, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    int scored = 0;
    for (const char *at = ran.out; (at = strstr(at, "\"cluster_acc\": ")) != NULL; at++)
        scored += at[15] == '0' || at[15] == '1';
    cr_expect(scored >= 8, "%d scores: %s", scored, ran.out); /* 4 runs, 4 numbers of classes */
    remove_folder(folder);
}

/* --- probe ------------------------------------------------------------------------------------ */

/* Learning from the rows whose label is known is learning from these rows alone. */
Test(label_use, probe_learns_from_known_rows, .timeout = 60) {
    char *folder = sample_folder(1);
    char *x_path = format_text("%s/x.npy", folder), *s_path = format_text("%s/s.npy", folder),
         *y_path = format_text("%s/y.npy", folder), *sy_path = format_text("%s/sy.npy", folder);
    float x[N * D];
    double y[N];
    int64_t sy[N], kept = 0;
    Npy npy;
    Error err;
    Ran part, alone;
    ASSERT_OK(npy_open(&npy, x_path, &err), err);
    for (int64_t i = 0; i < N; i++) {
        y[i] = i % 4 == 1 ? NAN : i % 4 == 2 ? -1.0 : 10.0 * group_of(i) + 1;
        if (isnan(y[i]) || y[i] < 0) continue;
        memcpy(x + kept * D, (const float *)npy.data + i * D, D * sizeof *x);
        sy[kept++] = group_of(i);
    }
    npy_close(&npy);
    ASSERT_OK(npy_write(y_path, DTYPE_F64, 1, (const int64_t[]){N}, y, &err), err);
    ASSERT_OK(npy_write(sy_path, DTYPE_I64, 1, &kept, sy, &err), err);
    ASSERT_OK(npy_write(s_path, DTYPE_F32, 2, (const int64_t[]){kept, D}, x, &err), err);
    for (int validation = 0; validation < 2; validation++) {
        const char *more = validation ? "--validation --Cs 3" : "";
        run_turtle(&part, "probe --features %s --labels %s %s --device cpu --threads 1 --json",
                   x_path, y_path, more);
        run_turtle(&alone, "probe --features %s --labels %s %s --device cpu --threads 1 --json",
                   s_path, sy_path, more);
        cr_assert(part.status == 0 && alone.status == 0, "%s%s", part.err, alone.err);
        cr_expect(json_number(part.out, "objective") == json_number(alone.out, "objective"));
        cr_expect(json_number(part.out, "C") == json_number(alone.out, "C"));
        cr_expect(json_number(part.out, "unlabelled") == (double)(N - kept));
        cr_expect(strstr(part.err, "no known label") != NULL, "%s", part.err);
    }
    remove_folder(folder);
    free(x_path), free(s_path), free(y_path), free(sy_path);
}

Test(label_use, probe_refuses_what_cannot_be_learnt, .timeout = 60) {
    static const struct {
        const char *names[GROUPS], *flags, *says;
    } cases[] = {{{"nan", "-1", ""}, "", "no label is known"},
                 {{"0.5", "1", "2"}, "", "label 0.5 of sample 0 is not a class"},
                 {{"1", "2", "3"}, "--classes 2", "the labels have 3 classes"}};
    char *folder = sample_folder(1);
    Ran ran;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_labels(folder, "y.txt", cases[i].names, N);
        run_turtle(&ran, "probe --features %s/x.npy --labels %s/y.txt --device cpu --quiet %s",
                   folder, folder, cases[i].flags);
        cr_expect(ran.status == 1 && strstr(ran.err, cases[i].says), "%d: %s", ran.status, ran.err);
        cr_expect(!strstr(ran.err, "set --classes"), "%s", ran.err);
    }
    remove_folder(folder);
}

/* Samples of classes that nothing was learnt of are said, whatever the labels are. */
Test(label_use, probe_says_which_classes_it_never_learnt, .timeout = 60) {
    static const struct {
        const char *train[GROUPS], *val[GROUPS], *says; /* NULL: nothing */
    } cases[] = {{{"1", "2", "3"}, {"3", "2.0", "1"}, NULL},
                 {{"1", "2", "-1"}, {"1", "2", "-1"}, NULL},
                 {{"1", "2", "-1"}, {"1", "2", "3"}, "10 of 30 samples have a class that"},
                 {{"1", "2", "3"}, {"0", "-1", "2"}, "10 of 20 samples have a class that"},
                 {{"ant", "bee", "cat"}, {"ant", "wasp", "cat"}, "as 'wasp'"},
                 {{"0", "1", "2"}, {"ant", "bee", "cat"}, "30 of 30 samples"}};
    char *folder = sample_folder(30);
    Ran ran;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_labels(folder, "y.txt", cases[i].train, N);
        write_labels(folder, "w.txt", cases[i].val, 30);
        run_turtle(&ran,
                   "probe --features %s/x.npy --labels %s/y.txt --val_features %s/v.npy "
                   "--val_labels %s/w.txt --device cpu --threads 1 --json",
                   folder, folder, folder, folder);
        cr_assert(ran.status == 0, "%s", ran.err);
        if (cases[i].says)
            cr_expect(strstr(ran.err, cases[i].says) && strstr(ran.err, "count as wrong"), "%s",
                      ran.err);
        else cr_expect(!strstr(ran.err, "count as wrong"), "%s", ran.err);
    }
    remove_folder(folder);
}

/* --- pipes ------------------------------------------------------------------------------------ */

Test(label_use, labels_come_through_pipes, .timeout = 60) {
    static const char *const names[] = {"ant", "bee", "cat"};
    char *folder = sample_folder(1);
    Ran ran;
    write_labels(folder, "y.txt", names, N);
    run_turtle(&ran,
               "kmeans --features %s/x.npy --labels - --classes 3 --n_init 5 --threads 1 --json "
               "--root_dir %s <%s/y.txt",
               folder, folder, folder);
    expect_score(&ran, "train_acc", 1.0, "standard input");
    run_turtle(&ran,
               "kmeans --features %s/x.npy --labels - --classes 3 --n_init 5 --quiet "
               "--root_dir %s <%s/x.npy",
               folder, folder, folder);
    cr_expect(ran.status == 1 && strstr(ran.err, "cannot be read from a pipe"), "%s", ran.err);
    remove_folder(folder);
}

/* Images whose label a list does not know get -1 in the file that `labels` writes. */
Test(label_use, labels_writes_what_is_not_known_as_minus_one) {
    char *folder = temporary_folder(), *list = format_text("%s/l.txt", folder),
         *path = format_text("%s/labels/l_train.npy", folder);
    static const char *const label[] = {"4", "-", "0"};
    static const int64_t expected[] = {4, -1, 0};
    int64_t y[3];
    Npy npy;
    Error err;
    Ran ran;
    FILE *f = fopen(list, "w");
    cr_assert(f != NULL);
    for (int i = 0; i < 3; i++) fprintf(f, "train\t%s\t%s/%d.png\n", label[i], folder, i);
    cr_assert(fclose(f) == 0);
    run_turtle(&ran, "labels --list %s --root_dir %s", list, folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(strstr(ran.err, "1 of 3 images of the train split have no known label"), "%s",
              ran.err);
    ASSERT_OK(npy_open(&npy, path, &err), err);
    cr_assert(npy.count == 3);
    ASSERT_OK(npy_read_i64(&npy, 0, 3, y, &err), err);
    npy_close(&npy);
    cr_expect(memcmp(y, expected, sizeof y) == 0);
    remove_folder(folder);
    free(list), free(path);
}

/* Labels of one split suffice; without a single one nothing is written. */
Test(label_use, labels_of_one_split_suffice) {
    char *folder = temporary_folder(), *list = format_text("%s/l.txt", folder);
    for (int known = 0; known < 3; known++) { /* 0: neither, 1: train, 2: val */
        char *train = format_text("%s/%d/labels/l_train.npy", folder, known),
             *val = format_text("%s/%d/labels/l_val.npy", folder, known);
        Ran ran;
        FILE *f = fopen(list, "w");
        cr_assert(f != NULL);
        fprintf(f, "train\t%s\ta.png\nval\t%s\tb.png\n", known == 1 ? "3" : "-",
                known == 2 ? "3" : "-");
        cr_assert(fclose(f) == 0);
        run_turtle(&ran, "labels --list %s --root_dir %s/%d", list, folder, known);
        cr_expect(ran.status == (known ? 0 : 1), "%d: %s", known, ran.err);
        cr_expect(strstr(ran.err, known == 0   ? "no label is known"
                                  : known == 1 ? "1 of 1 images of the val split"
                                               : "1 of 1 images of the train split"),
                  "%s", ran.err);
        cr_expect(file_exists(train) == (known > 0) && file_exists(val) == (known > 0));
        free(train), free(val);
    }
    remove_folder(folder);
    free(list);
}
