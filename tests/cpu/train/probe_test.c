/* probe_test.c - `turtle probe` and `train --cross_val` as users run them. */
#include "io/arrays/npy.h"
#include "tests/support/check.h"
#include "tests/support/golden.h"

#define PATCHES                                                    \
    "--features " DEMO "/representations/patches/mnist_train.npy " \
    "--labels " DEMO "/labels/mnist_train.npy "

static char *demo_root(void) {
    char *root = temporary_folder();
    char *command = format_text("cd '%s' && ln -s %s/" DEMO "/representations %s/" DEMO "/labels .",
                                root, "\"$OLDPWD\"", "\"$OLDPWD\"");
    cr_assert(system(command) == 0);
    free(command);
    return root;
}

Test(probe, writes_json_and_the_published_line, .timeout = 120) {
    char *root = demo_root(), *path = format_text("%s/results/linear_probe.txt", root);
    const double *recorded = golden("baselines/probe_scores.npy", DTYPE_F64, 8);
    Ran ran;
    for (int again = 0; again < 2; again++)
        run_turtle(&ran, "probe --root_dir %s --dataset mnist --phis patches --json --quiet", root);
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(ran.err[0] == '\0', "%s", ran.err);
    cr_expect(fabs(json_number(ran.out, "objective") / recorded[0] - 1.0) <= 1e-5);
    cr_expect(fabs(json_number(ran.out, "train_acc") - recorded[1]) <= 0.002);
    cr_expect(fabs(json_number(ran.out, "val_acc") - recorded[2]) <= 0.002);
    cr_expect(json_number(ran.out, "C") == 1.0 && json_number(ran.out, "classes") == 10);
    cr_expect(json_number(ran.out, "iterations") > 0 && json_number(ran.out, "gradient_norm") > 0);
    char text[1024];
    read_text(text, sizeof text, path);
    const char *line = "mnist       , patches, validation False, C=1.0, Train Accuracy: 99.79, Val "
                       "Accuracy: 97.30\n";
    cr_expect(strncmp(text, line, strlen(line)) == 0 && strcmp(text + strlen(line), line) == 0,
              "%s", text);
    free(path);
    remove_folder(root);
}

/* With one value, C = 1, the accuracy on the samples that scikit-learn's train_test_split holds
 * back is the recorded one. With several, the best of them is taken and fitted again on all
 * samples. */
Test(probe, a_fit_that_has_not_converged_is_said, .timeout = 60) {
    Ran ran;
    run_turtle(&ran, "probe " PATCHES "--max_iter 2 --quiet");
    cr_expect(ran.status == 0 && strstr(ran.out, "has not converged after 2 iterations"), "%s%s",
              ran.out, ran.err);
    run_turtle(&ran, "probe " PATCHES "--max_iter 2 --json --quiet");
    cr_expect(strstr(ran.out, "\"converged\": false"), "%s", ran.out);
    run_turtle(&ran, "probe " PATCHES "--tol 10 --quiet");
    cr_expect(ran.status == 0 && !strstr(ran.out, "not converged"), "%s%s", ran.out, ran.err);
}

Test(probe, validation_chooses_C, .timeout = 300) {
    const double *recorded = golden("baselines/probe_sklearn.npy", DTYPE_F64, 3);
    Ran ran;
    run_turtle(&ran, "probe " PATCHES "--validation --Cs 1 --Crange 0 --json --quiet");
    cr_assert(ran.status == 0, "%s", ran.err);
    cr_expect(fabs(json_number(ran.out, "validation_acc") - recorded[2]) <= 0.002, "%s", ran.out);
    run_turtle(&ran, "probe " PATCHES "--validation --Cs 7 --Crange 3 --json --quiet");
    cr_assert(ran.status == 0, "%s", ran.err);
    const double best = json_number(ran.out, "validation_acc"), C = json_number(ran.out, "C");
    int tried = 0;
    bool chosen = false;
    for (const char *at = strstr(ran.out, "\"sweep\""); (at = strstr(at, "{\"C\"")); at++) {
        const double exponent = log10(json_number(at, "C")), accuracy = json_number(at, "accuracy");
        cr_expect(fabs(exponent - (tried - 3)) < 1e-9, "C %g", pow(10.0, exponent));
        cr_expect(accuracy <= best);
        if (!chosen && accuracy == best) {
            chosen = true;
            cr_expect(json_number(at, "C") == C, "the least C of equals");
        }
        tried++;
    }
    cr_expect(tried == 7 && chosen, "%d tried", tried);
    cr_expect(strstr(ran.out, "\"val_acc\": null") != NULL); /* there is no validation split */
    run_turtle(&ran, "probe " PATCHES "--validation --Cs 7 --Crange 3 --seed 7 --json --quiet");
    cr_expect(ran.status == 0 && json_number(ran.out, "validation_acc") != best, "another split");
}

Test(probe, same_bits_for_any_number_of_threads, .timeout = 120) {
    Ran one, two;
    run_turtle(&one, "probe " PATCHES "--max_iter 40 --threads 1 --json --quiet");
    run_turtle(&two, "probe " PATCHES "--max_iter 40 --threads 3 --json --quiet");
    cr_expect(one.status == 0 && two.status == 0 &&
              json_number(one.out, "objective") == json_number(two.out, "objective") &&
              json_number(one.out, "gradient_norm") == json_number(two.out, "gradient_norm"));
    cr_expect(strstr(one.out, "\"stopped_by\": \"iterations\"") != NULL &&
              json_number(one.out, "iterations") == 40);
}

Test(probe, bad_use_gets_one_line, .timeout = 60) {
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {2, "give --labels", "--features " DEMO "/representations/patches/mnist_train.npy"},
        {2, "expected one", DEMO_TRAIN " --labels " DEMO "/labels/mnist_train.npy"},
        {2, "must be positive", PATCHES "--C 0"},
        {2, "expected a number", PATCHES "--C nan"},
        {2, "expected a number", PATCHES "--C strong"},
        {2, "less than 1", PATCHES "--share 1 --validation"},
        {2, "--Cs 0", PATCHES "--Cs 0"},
        {2, "--Crange -1", PATCHES "--Crange -1"},
        {2, "--C 0.5 with --validation", PATCHES "--C 0.5 --validation"},
        {2, "--max_iter 0", PATCHES "--max_iter 0"},
        {2, "--tol -1", PATCHES "--tol -1"},
        {1, "leave --classes out", PATCHES "--classes 9"},
        {1, "expected 8000 labels",
         "--features " DEMO "/representations/patches/mnist_train.npy "
         "--labels " DEMO "/labels/mnist_val.npy"},
        {2, "turtle labels", "--root_dir %s --dataset mnist --phis patches"},
    };
    char *root = demo_root();
    char *labels = format_text("%s/labels", root);
    cr_assert(remove(labels) == 0); /* a data set without labels */
    free(labels);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        Ran ran;
        char *arguments = strstr(cases[i].arguments, "%s")
                              ? format_text("--root_dir %s --dataset mnist --phis patches", root)
                              : format_text("%s", cases[i].arguments);
        run_turtle(&ran, "probe --quiet %s", arguments);
        cr_expect(ran.status == cases[i].status && strstr(ran.err, cases[i].says) &&
                      strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1 && !ran.out[0],
                  "%s: status %d: %s", arguments, ran.status, ran.err);
        free(arguments);
    }
    remove_folder(root);
}

/* Files may hold one class alone, or a NaN. */
Test(probe, one_class_and_nan_from_files, .timeout = 60) {
    enum { N = 30, D = 3 };
    char *folder = temporary_folder();
    char *x_path = format_text("%s/x.npy", folder), *y_path = format_text("%s/y.npy", folder);
    float x[N * D];
    int64_t y[N] = {0};
    Error err;
    Ran ran;
    for (int i = 0; i < N * D; i++) x[i] = (float)(i * 37 % 101) / 50.0f - 1.0f;
    ASSERT_OK(npy_write(x_path, DTYPE_F32, 2, (const int64_t[]){N, D}, x, &err), err);
    ASSERT_OK(npy_write(y_path, DTYPE_I64, 1, (const int64_t[]){N}, y, &err), err);
    run_turtle(&ran, "probe --features %s --labels %s --json", x_path, y_path);
    cr_expect(ran.status == 0 && json_number(ran.out, "train_acc") == 1.0 &&
                  json_number(ran.out, "objective") == 0.0 && strstr(ran.err, "one class only"),
              "%s%s", ran.out, ran.err);
    x[4 * D + 1] = NAN;
    ASSERT_OK(npy_write(x_path, DTYPE_F32, 2, (const int64_t[]){N, D}, x, &err), err);
    run_turtle(&ran, "probe --features %s --labels %s --quiet", x_path, y_path);
    cr_expect(ran.status == 1 && strstr(ran.err, "row 4, column 1"), "%s", ran.err);
    free(x_path), free(y_path);
    remove_folder(folder);
}

/* --- train --cross_val ------------------------------------------------------------------------ */

Test(probe, train_tells_the_generalization_score, .timeout = 300) {
    char *folder = temporary_folder();
    char *json = format_text("%s/run.json", folder);
    Ran ran;
    run_turtle(&ran,
               "train --features " DEMO "/representations/patches/mnist_train.npy --classes "
               "10 --T 40 --warm_start --quiet --json --cross_val --out %s",
               folder);
    cr_assert(ran.status == 0, "%s", ran.err);
    const double score = json_number(ran.out, "generalization_score");
    cr_expect(score > 0.5 && score <= 1.0, "score %g", score);
    char text[16384];
    read_text(text, sizeof text, json);
    cr_expect(json_number(text, "generalization_score") == score &&
              strstr(text, "\"cross_val\": true"));
    run_turtle(&ran,
               "train --features " DEMO "/representations/patches/mnist_train.npy --classes "
               "10 --T 2 --restart --quiet --json --out %s",
               folder);
    cr_expect(ran.status == 0 && strstr(ran.out, "\"generalization_score\": null"), "%s", ran.err);
    free(json);
    remove_folder(folder);
}

/* A call is stopped while the folds are fitted: the trained state is kept, and --resume only fits
 * them. */
/* A split whose fits take seconds, so that the signal comes between them. */
#ifdef __SANITIZE_ADDRESS__
#define FOLDED "val"
#else
#define FOLDED "train"
#endif

Test(probe, a_stop_in_cross_validation_keeps_the_training, .timeout = 300) {
    char *folder = temporary_folder();
    static const char *const train =
        "train --features " DEMO "/representations/gabor/mnist_" FOLDED ".npy --classes 10 --T 20 "
        "--cross_val --json";
    char *resume = format_text("%s/a/resume.pt", folder);
    char *script = format_text("{ " TURTLE_PROGRAM " %s --out %s/a >%s/out 2>%s/err & } ; pid=$!; "
                               "for i in $(seq 600); do grep -q fits/s %s/err && break; test -e "
                               "%s/a/predictions_train.csv "
                               "&& break; sleep 0.05; done; kill -INT $pid; wait $pid",
                               train, folder, folder, folder, folder, folder);
    const int status = system(script);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 130, "status %d", status);
    cr_expect(file_exists(resume));
    Ran resumed, whole;
    run_turtle(&resumed, "%s --out %s/a --resume --quiet", train, folder);
    run_turtle(&whole, "%s --out %s/b --quiet", train, folder);
    cr_expect(resumed.status == 0 && whole.status == 0, "%s%s", resumed.err, whole.err);
    cr_expect(json_number(resumed.out, "generalization_score") ==
              json_number(whole.out, "generalization_score"));
    cr_expect(!file_exists(resume));
    free(resume), free(script);
    remove_folder(folder);
}
