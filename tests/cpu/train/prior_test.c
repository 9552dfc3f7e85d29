/* prior_test.c - expected sizes of classes: how they are read, that they reach the training, and
 * what they are good for. */
#include "host/inputs/prior.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

/* --- reading ---------------------------------------------------------------------------------- */

static Status open_bytes(Prior *p, const char *text, size_t bytes, int64_t C, Error *err) {
    char *folder = temporary_folder(), *path = format_text("%s/prior.txt", folder);
    write_bytes(path, text, bytes);
    const Status st = prior_open(p, path, C, err);
    free(path);
    remove_folder(folder);
    return st;
}

static Status open_text(Prior *p, const char *text, int64_t C, Error *err) {
    return open_bytes(p, text, strlen(text), C, err);
}

/* Marks, line ends and blank lines change no number; a zero byte hides none. */
Test(prior, the_same_numbers_in_any_text) {
    static const char *const texts[] = {"\xef\xbb\xbf"
                                        "1\n2\n3\n",
                                        "1\r\n2\r\n3", "1\r2\r3\r", "\n1\n\n2, 3\n\n", "1\t2\t3\n"};
    Prior p;
    Error err;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ASSERT_OK(open_text(&p, texts[i], 3, &err), err);
        for (int c = 0; c < 3; c++) cr_expect(fabsf(p.pi[c] - (float)(c + 1) / 6) < 1e-6f);
        cr_expect(p.blank == (texts[i][0] == '\n'), "text %d: blank line %lld", (int)i,
                  (long long)p.blank);
        prior_free(&p);
    }
    cr_expect(open_bytes(&p, "1\n2\0\n3\n", 7, 3, &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "line 2: a zero byte"), "%s", err.text);
    cr_expect(open_bytes(&p,
                         "\xff\xfe"
                         "1\0\n\0",
                         6, 1, &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "UTF-16LE"), "%s", err.text);
    cr_expect(open_text(&p, "1\n\n2\nthree\n", 3, &err) == ERR_FORMAT);
    cr_expect(strstr(err.text, "line 4: number 3: 'three'"), "%s", err.text);
}

/* A blank line may be a class that somebody forgot: it is said. At the end it is none. */
Test(prior, a_blank_line_is_said, .timeout = 60) {
    static const char *const texts[] = {"3\n2\n\n1\n", "3\n2\n1\n\n"};
    char *folder = temporary_folder(), *file = format_text("%s/p.txt", folder);
    Ran ran;
    for (int i = 0; i < 2; i++) {
        write_bytes(file, texts[i], strlen(texts[i]));
        run_turtle(&ran,
                   "train --features " DEMO "/representations/patches/mnist_val.npy --classes 3 "
                   "--T 1 --M 1 --prior %s --out %s/run --restart",
                   file, folder);
        cr_assert(ran.status == 0, "%s", ran.err);
        cr_expect((strstr(ran.err, "line 3 is blank") == NULL) == (i == 1), "%s", ran.err);
    }
    free(file);
    remove_folder(folder);
}

Test(prior, shares_sum_to_one_and_follow_the_law) {
    Prior p, file;
    Error err;
    ASSERT_OK(prior_open(&p, "uniform", 4, &err), err);
    cr_expect(p.pi == NULL);
    cr_expect_str_eq(p.name, "uniform");
    ASSERT_OK(prior_open(&p, "power:1", 4, &err), err);
    for (int c = 0; c < 4; c++) /* 1 + 1/2 + 1/3 + 1/4 = 25/12 */
        cr_expect(fabs(p.pi[c] - 12.0 / 25 / (c + 1)) < 1e-7, "class %d: %g", c, (double)p.pi[c]);
    cr_expect_str_eq(p.name, "power:1.0");
    ASSERT_OK(open_text(&file, " 6,3\t2\r\n1.5e0\n", 4, &err), err);
    cr_expect(memcmp(p.pi, file.pi, 4 * sizeof *p.pi) == 0);
    cr_expect(strncmp(file.name, "file:", 5) == 0 && strlen(file.name) == 13, "%s", file.name);
    prior_free(&p);
    prior_free(&p);
    prior_free(&file);
}

Test(prior, bad_ones_are_refused) {
    static const struct {
        const char *text, *says;
    } files[] = {{"", "expected 3 numbers, one per class, got 0"},
                 {"1 2", "got 2"},
                 {"1 2 3 4", "got 4"},
                 {"1 2 x", "number 3: 'x"},
                 {"1 2 3x", "number 3"},
                 {"1 0 3", "number 2"},
                 {"1 -1 3", "number 2"},
                 {"1 nan 3", "number 2"},
                 {"1 inf 3", "number 2"},
                 {"1 1e-40 3", "class 1 would have a share"}};
    static const char *const words[] = {"power:",   "power:x",   "power:-1",
                                        "power:1x", "power:nan", "power:1000"};
    Prior p;
    Error err;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        cr_expect(open_text(&p, files[i].text, 3, &err) != OK && p.pi == NULL, "%s", files[i].text);
        cr_expect(strstr(err.text, files[i].says), "%s", err.text);
    }
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        cr_expect(prior_open(&p, words[i], 3, &err) != OK && p.pi == NULL, "%s", words[i]);
    cr_expect(prior_open(&p, "no/such/file", 3, &err) == ERR_IO);
    cr_expect(prior_open(&p, "unifrom", 3, &err) == ERR_IO && strstr(err.text, "expected uniform"),
              "%s", err.text);
}

/* --- training --------------------------------------------------------------------------------- */

/* Tests use the first n0 / (c + 1) samples of every class c of the demo's recorded features. */
enum { K = 2, CLASSES = 10, MOST = 4000 };

static int64_t imbalanced_rows(int64_t *rows, int64_t *y, int64_t n0) {
    int64_t got[CLASSES] = {0}, n = 0;
    Npy npy;
    Error err;
    ASSERT_OK(npy_open(&npy, DEMO "/labels/mnist_train.npy", &err), err);
    for (int64_t i = 0, c; i < npy.count && n < MOST; i++) {
        ASSERT_OK(npy_read_i64(&npy, i, 1, &c, &err), err);
        if (got[c] >= n0 / (c + 1)) continue;
        got[c]++;
        rows[n] = i;
        y[n++] = c;
    }
    npy_close(&npy);
    return n;
}

static void save_subsample(const char *folder, int64_t n0) {
    static const char *const names[K] = {"patches", "gabor"};
    static int64_t rows[MOST], y[MOST];
    const int64_t n = imbalanced_rows(rows, y, n0);
    Error err;
    char *path = format_text("%s/y.npy", folder);
    ASSERT_OK(npy_write(path, DTYPE_I64, 1, &n, y, &err), err);
    free(path);
    for (int k = 0; k < K; k++) {
        Npy npy;
        char from[96];
        snprintf(from, sizeof from, DEMO "/representations/%s/mnist_train.npy", names[k]);
        ASSERT_OK(npy_open(&npy, from, &err), err);
        const int64_t d = npy.shape[1], shape[2] = {n, d};
        float *Z = malloc((size_t)(n * d) * sizeof *Z);
        for (int64_t i = 0; i < n; i++)
            ASSERT_OK(npy_read_f32(&npy, rows[i] * d, d, Z + i * d, &err), err);
        path = format_text("%s/%s.npy", folder, names[k]);
        ASSERT_OK(npy_write(path, DTYPE_F32, 2, shape, Z, &err), err);
        free(path);
        free(Z);
        npy_close(&npy);
    }
}

static void run_train(Ran *ran, const char *folder, const char *more) {
    run_turtle(ran,
               "train --features %s/patches.npy %s/gabor.npy --labels %s/y.npy --classes 10 "
               "--save_every 0 --eval_every 0 --quiet --json --restart %s",
               folder, folder, folder, more);
}

#ifdef __SANITIZE_ADDRESS__
enum { SEEDS = 1 }; /* ten times as slow */
#else
enum { SEEDS = 3 };
#endif

/* Classes of 780, 390, 260, ... 78 samples: told so, training finds more of them. Measured with T
 * 1000 and seeds 42 to 47: cluster accuracy 0.38 to 0.42 with a uniform prior, 0.60 to 0.71 with
 * power:1 (README.md). */
Test(prior, the_true_prior_finds_more_of_imbalanced_classes, .timeout = 300) {
    Ran ran;
    char *folder = temporary_folder();
    save_subsample(folder, 780);
    for (int seed = 42; seed < 42 + SEEDS; seed++) {
        double accuracy[2];
        for (int i = 0; i < 2; i++) {
            char *more = format_text("--T 400 --seed %d --prior %s --out %s/run", seed,
                                     i ? "power:1" : "uniform", folder);
            run_train(&ran, folder, more);
            cr_assert(ran.status == 0, "%s", ran.err);
            accuracy[i] = json_number(ran.out, "cluster_acc");
            free(more);
        }
        cr_expect(accuracy[1] > accuracy[0] + 0.1, "seed %d: uniform %.4f, power:1 %.4f", seed,
                  accuracy[0], accuracy[1]);
        if (getenv("TURTLE_TEST_SHOW"))
            fprintf(stderr, "seed %d: uniform %.4f, power:1 %.4f\n", seed, accuracy[0],
                    accuracy[1]);
    }
    remove_folder(folder);
}

/* A prior of equal numbers differs from none by rounding alone; the same numbers from a file and
 * from the law are the same training. After 5 iterations of Adam a difference of 1e-7 in gradients
 * has moved parameters by far less than a step of 1e-3: losses agree to 1e-4. */
Test(prior, equal_numbers_are_no_prior_and_files_are_the_law, .timeout = 120) {
    Ran ran;
    double loss[2];
    char *folder = temporary_folder(), *ones = format_text("%s/ones.txt", folder),
         *law = format_text("%s/law.txt", folder), *more;
    save_subsample(folder, 100);
    FILE *f = fopen(law, "w");
    for (int c = 0; c < CLASSES; c++) fprintf(f, "%.17g\n", pow(c + 1, -0.5));
    cr_assert(fclose(f) == 0);
    write_bytes(ones, "3 3 3 3 3 3 3 3 3 3", 19);
    const char *const priors[] = {"uniform", ones, "power:0.5", law};
    for (int i = 0; i < 4; i++) {
        more = format_text("--T 5 --prior %s --out %s/run%d", priors[i], folder, i);
        run_train(&ran, folder, more);
        cr_assert(ran.status == 0, "%s", ran.err);
        if (i < 2) loss[i] = json_number(ran.out, "loss");
        if (i == 2) cr_expect(strstr(ran.out, "\"prior\": \"power:0.5\""), "%s", ran.out);
        free(more);
    }
    EXPECT_CLOSE(fabs(loss[1] / loss[0] - 1), 1e-4, "equal numbers beside no prior");
    char *a = format_text("%s/run2/checkpoint.pt", folder),
         *b = format_text("%s/run3/checkpoint.pt", folder),
         *none = format_text("%s/run0/checkpoint.pt", folder);
    cr_expect(same_files(a, b));
    cr_expect(!same_files(a, none));
    free(a);
    free(b);
    free(none);
    free(ones);
    free(law);
    remove_folder(folder);
}

/* The prior is part of a run: in its name, and among what a continuation must share. */
Test(prior, it_belongs_to_the_run, .timeout = 60) {
    Ran ran;
    char *root = temporary_folder();
    char *command = format_text("mkdir -p %s/representations/p && cp " DEMO
                                "/representations/patches/mnist_val.npy %s/representations/p/"
                                "sst_train.npy",
                                root, root);
    cr_assert(system(command) == 0);
    free(command);
#define RUN "train --root_dir %s --dataset sst --phis p --quiet --T 2 --M 1 --classes 4 "
    run_turtle(&ran, RUN "--prior power:0.5 --rng torch", root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(count_files(root, "_seed42_priorpower0.5_rngtorch.pt") == 1);
    command = format_text("(exec " TURTLE_PROGRAM " train --root_dir %s --dataset sst --phis p "
                          "--classes 4 --M 1 --quiet --prior power:3 --out %s/run --T 10000000 "
                          "--save_every 1) 2>/dev/null & pid=$!; while ! test -e %s/run/resume.pt; "
                          "do sleep 0.1; done; kill -INT $pid; wait $pid",
                          root, root, root);
    cr_assert(WEXITSTATUS(system(command)) == 130);
    free(command);
    run_turtle(&ran, RUN "--out %s/run --resume", root, root);
    cr_expect(ran.status == 1 && strstr(ran.err, "saved with `prior power:3.0`"), "%s", ran.err);
    run_turtle(&ran, RUN "--out %s/run --resume --prior power:2", root, root);
    cr_expect(ran.status == 1 && strstr(ran.err, "now it is `prior power:2.0`"), "%s", ran.err);
    remove_folder(root);
}
