/* cli_test.c - the program as users run it: bad input gets one line and a status, good input
 * whole files. */
#include "host/cli/flags.h"
#include "host/tell/json.h"
#include "io/arrays/npy.h"
#include "tests/support/check.h"

/* --- bad input -------------------------------------------------------------------------------- */

/* The command must fail with that exit status and one line on stderr that says `says`, and leave
 * no file in its output directory but run.json's folder itself. */
static void expect_failure(int status, const char *says, const char *arguments) {
    char *folder = temporary_folder();
    Ran ran;
    run_turtle(&ran, "%s --out %s/run --quiet", arguments, folder);
    cr_expect(ran.status == status, "%s: exit status %d: %s", arguments, ran.status, ran.err);
    cr_expect(strstr(ran.err, says) != NULL, "%s: expected '%s', got: %s", arguments, says,
              ran.err);
    cr_expect(strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "not one line: %s", ran.err);
    cr_expect(ran.out[0] == '\0', "stdout: %s", ran.out);
    cr_expect(count_files(folder, ".pt") == 0 && count_files(folder, ".csv") == 0 &&
                  count_files(folder, ".tmp") == 0,
              "%s: left files", arguments);
    remove_folder(folder);
}

/* A folder of small features and labels, good and bad. */
typedef struct {
    char *folder;
    char text[2048];
} Fixture;

enum { ROWS = 40, DIMENSION = 6 };

static void save_f32(const Fixture *f, const char *name, int64_t rows, int64_t columns, int bad_row,
                     float bad) {
    float *x = malloc((size_t)(rows * columns) * sizeof *x);
    Error err;
    char *path = format_text("%s/%s", f->folder, name);
    for (int64_t i = 0; i < rows * columns; i++) x[i] = (float)((i * 37 % 101) - 50) / 50.0f;
    if (bad_row >= 0) x[bad_row * columns + 2] = bad;
    ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){rows, columns}, x, &err), err);
    free(path);
    free(x);
}

static void save_labels(const Fixture *f, const char *name, int64_t rows, int64_t classes,
                        int64_t shift) {
    int64_t y[ROWS + 1];
    Error err;
    char *path = format_text("%s/%s", f->folder, name);
    for (int64_t i = 0; i < rows; i++) y[i] = i % classes + shift;
    ASSERT_OK(npy_write(path, DTYPE_I64, 1, &rows, y, &err), err);
    free(path);
}

static Fixture fixture(void) {
    Fixture f = {.folder = temporary_folder()};
    char *path;
    save_f32(&f, "a.npy", ROWS, DIMENSION, -1, 0);
    save_f32(&f, "b.npy", ROWS, DIMENSION + 3, -1, 0);
    save_f32(&f, "short.npy", ROWS - 1, DIMENSION, -1, 0);
    save_f32(&f, "nan.npy", ROWS, DIMENSION, 7, NAN);
    save_f32(&f, "inf.npy", ROWS, DIMENSION, 31, -INFINITY);
    save_f32(&f, "none.npy", 0, DIMENSION, -1, 0);
    save_labels(&f, "y.npy", ROWS, 4, 0);
    save_labels(&f, "y_short.npy", ROWS - 1, 4, 0);
    path = format_text("%s/text.npy", f.folder);
    write_bytes(path, "not an array", 12);
    free(path);
    FileMap map;
    Error err;
    path = format_text("%s/a.npy", f.folder);
    ASSERT_OK(file_map(&map, path, &err), err);
    free(path);
    path = format_text("%s/truncated.npy", f.folder);
    write_bytes(path, map.data, (size_t)map.bytes - 10);
    free(path);
    file_unmap(&map);
    return f;
}

/* Replaces every @ by the fixture's folder. */
static const char *in(Fixture *f, const char *arguments) {
    size_t n = 0;
    for (const char *c = arguments; *c && n + 200 < sizeof f->text; c++)
        n += (size_t)snprintf(f->text + n, sizeof f->text - n, *c == '@' ? "%s" : "%.1s",
                              *c == '@' ? f->folder : c);
    f->text[n] = '\0';
    return f->text;
}

Test(cli, bad_features_and_labels_get_one_line, .timeout = 60) {
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {1, "truncated", "train --features @/truncated.npy --classes 4"},
        {1, "expected .npy, .npz", "train --features @/text.npy --classes 4"},
        {1, "No such file", "train --features @/missing.npy --classes 4"},
        {1, "expected a (samples, dimension) matrix, got (40)",
         "train --features @/y.npy --classes 4"},
        {1, "got (0, 6)", "train --features @/none.npy --classes 4"},
        {1, "one row per sample", "train --features @/a.npy @/short.npy --classes 4"},
        {1, "row 7, column 2", "train --features @/nan.npy --classes 4"},
        {1, "row 31, column 2", "train --features @/a.npy @/inf.npy --classes 4"},
        {1, "dimension 9", "train --features @/a.npy --val_features @/b.npy --classes 4"},
        {1, "at least 2", "train --features @/a.npy --classes 1"},
        {1, "more than the 40 samples", "train --features @/a.npy --classes 41"},
        {2, "number of classes", "train --features @/a.npy"},
        {1, "expected 40 labels", "train --features @/a.npy --labels @/y_short.npy --classes 4"},
        {1, "save x.argmax(1)", "train --features @/a.npy --labels @/a.npy --classes 4"},
        {2, "--val_labels without", "train --features @/a.npy --val_labels @/y.npy --classes 4"},
        {2, "one per space", "train --features @/a.npy @/b.npy --val_features @/a.npy --classes 4"},
        {1, "`turtle features --dataset mnist --phis nowhere --weights FILE --root_dir",
         "train --root_dir @ --dataset mnist --phis nowhere"},
        {1, "did you mean --phis clipvitL14?",
         "train --root_dir @ --dataset mnist --phis clipvitl14"},
        {1, "--images DIR --name own", "train --root_dir @ --dataset own --phis dinov2"},
        {2, "not both", "train --dataset mnist --phis p --features @/a.npy"},
        {2, "no features", "train --classes 4"},
        {1, "clipvitL14/mnist_train.npy", "train --root_dir @ --dataset mnist"},
    };
    Fixture f = fixture();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i].status, cases[i].says, in(&f, cases[i].arguments));
    remove_folder(f.folder);
}

Test(cli, bad_flags_get_one_line, .timeout = 60) {
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {2, "did you mean --gamma", "train --gama 3"},
        {2, "did you mean --inner_lr", "train --iner-lr 3"},
        {2, "--help lists them", "train --xyzzy 3"},
        {2, "expected a whole number", "train --T 12x"},
        {2, "expected a whole number", "train --T 1e3"},
        {2, "expected a number", "train --gamma ten"},
        {2, "expected a number", "train --gamma inf"},
        {2, "expected philox|torch", "train --rng numpy"},
        {2, "needs a value", "train --gamma --T 3"},
        {2, "unknown flag -x", "train -x"},
        {2, "0 to 2^64 - 1", "train --seed -1"},
        {2, "takes no value", "train --warm_start=yes"},
        {2, "unexpected argument", "train something"},
        {2, "at least 1 is needed", "train --T 0 --features x.npy"},
        {2, "at most 1099511627776 is served", "train --M 9223372036854775807 --features x.npy"},
        {2, "must be positive", "train --inner_lr -1 --features x.npy"},
        {2, "exclude each other",
         "train --features " DEMO
         "/representations/patches/mnist_val.npy --classes 10 --resume --restart"},
        {2, "has fp32, fp16 and bf16", "train --precision tf32 --features x.npy"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_failure(cases[i].status, cases[i].says, cases[i].arguments);
    Ran ran;
    run_turtle(&ran, "trian --T 3");
    cr_expect(ran.status == 2 && strstr(ran.err, "did you mean train"), "%s", ran.err);
    run_turtle(&ran, " ");
    cr_expect(ran.status == 2 && strstr(ran.err, "usage"));
    run_turtle(&ran,
               "train --features " DEMO "/representations/patches/mnist_val.npy --classes 10");
    cr_expect(ran.status == 2 && strstr(ran.err, "--out"), "%s", ran.err);
}

Test(cli, bad_devices_and_checkpoints_get_one_line, .timeout = 60) {
    Fixture f = fixture();
    Ran ran;
    expect_failure(1, "no CUDA", in(&f, "train --features @/a.npy --classes 4 --device cuda"));
    expect_failure(2, "expected auto", in(&f, "train --features @/a.npy --classes 4 --device gpu"));
    run_turtle(&ran, "%s",
               in(&f, "train --features @/a.npy @/b.npy --classes 4 --T 2 --out @/run --quiet"));
    cr_assert(ran.status == 0, "%s", ran.err);
    static const struct {
        int status;
        const char *says, *arguments;
    } cases[] = {
        {2, "which checkpoint", "evaluate --features @/a.npy @/b.npy"},
        {1, "No such file", "evaluate --features @/a.npy @/b.npy --ckpt_path @/no.pt"},
        {1, "holds neither", "evaluate --features @/a.npy @/b.npy --ckpt_path @"},
        {1, "2 spaces, 1 are given", "evaluate --features @/a.npy --ckpt_path @/run"},
        {1, "check the order", "evaluate --features @/b.npy @/a.npy --ckpt_path @/run"},
        {1, "--classes says 5",
         "evaluate --features @/a.npy @/b.npy --classes 5 --ckpt_path @/run"},
        {1, "not a file of torch.save", "evaluate --features @/a.npy --ckpt_path @/text.npy"},
        {1, "not a task checkpoint",
         "evaluate --features @/a.npy --ckpt_path tests/goldens/torch/types.pt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        run_turtle(&ran, "%s", in(&f, cases[i].arguments));
        cr_expect(ran.status == cases[i].status, "%s: %d: %s", cases[i].arguments, ran.status,
                  ran.err);
        cr_expect(strstr(ran.err, cases[i].says) != NULL, "%s: %s", cases[i].arguments, ran.err);
    }
    remove_folder(f.folder);
}

/* Places that cannot be written: a folder below a file, and a disk that is full (a file size
 * limit). */
Test(cli, nothing_is_left_where_nothing_can_be_written, .timeout = 60) {
    Fixture f = fixture();
    Ran ran;
    run_turtle(&ran, "%s",
               in(&f, "train --features @/a.npy --classes 4 --T 2 --out @/a.npy/run --quiet"));
    cr_expect(ran.status == 1 && strstr(ran.err, "a.npy"), "%d %s", ran.status, ran.err);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 1024; /* the log fits, the checkpoint does not */
    setrlimit(RLIMIT_FSIZE, &small);
    run_turtle(&ran, "%s",
               in(&f, "train --features @/a.npy --classes 40 --T 2 --out @/full --quiet"));
    setrlimit(RLIMIT_FSIZE, &old);
    cr_expect(ran.status == 1 && strstr(ran.err, "could not be written"), "%d %s", ran.status,
              ran.err);
    char *full = format_text("%s/full", f.folder);
    cr_expect(count_files(full, ".pt") == 0 && count_files(full, ".tmp") == 0);
    free(full);
    const int status = system(TURTLE_PROGRAM " info --json >/dev/full 2>/dev/null");
    cr_expect(WEXITSTATUS(status) == 1, "results that cannot be written are a failure");
    remove_folder(f.folder);
}

Test(cli, json_is_one_object_also_for_a_failure, .timeout = 60) {
    static const char *const arguments[] = {
        "train --features @/nan.npy --classes 4 --out @/r --json", "train --json --bogus 1",
        "nonsense --json"};
    Fixture f = fixture();
    Ran ran;
    for (int i = 0; i < 3; i++) {
        run_turtle(&ran, "%s", in(&f, arguments[i]));
        cr_expect(ran.status != 0 && strncmp(ran.out, "{\"error\": \"", 11) == 0, "%s", ran.out);
        cr_expect(strchr(ran.out, '\n') == ran.out + strlen(ran.out) - 1);
    }
    run_turtle(
        &ran, "%s",
        in(&f,
           "train --features @/a.npy @/b.npy --labels @/y.npy --classes 4 --T 3 --out @/r --json"));
    static const char *const keys[] = {"\"command\": \"train\"",
                                       "\"cluster_acc\": ",
                                       "\"mean_class_acc\": ",
                                       "\"nmi\": ",
                                       "\"ari\": ",
                                       "\"clusters_found\": ",
                                       "\"classes\": 4",
                                       "\"loss\": ",
                                       "\"entropy\": ",
                                       "\"space_agreement\": ",
                                       "\"generalization_score\": null",
                                       "\"iterations\": 3",
                                       "\"split\": \"train\"",
                                       "\"device\": \"cpu\"",
                                       "\"seed\": 42"};
    cr_expect(ran.status == 0 && ran.out[0] == '{' && ran.out[strlen(ran.out) - 2] == '}', "%s",
              ran.err);
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        cr_expect(strstr(ran.out, keys[i]) != NULL, "%s is missing: %s", keys[i], ran.out);
    char *path = format_text("%s/r/run.json", f.folder);
    char text[16384];
    read_text(text, sizeof text, path);
    cr_expect_str_eq(text, ran.out); /* run.json ends as the same object */
    free(path);
    remove_folder(f.folder);
}

/* --- good input ------------------------------------------------------------------------------- */

Test(cli, labels_are_never_needed, .timeout = 60) {
    Fixture f = fixture();
    Ran ran;
    run_turtle(&ran, "%s",
               in(&f, "train --features @/a.npy @/b.npy --classes 4 --T 30 --out @/r --json"));
    cr_expect(ran.status == 0 && strstr(ran.out, "\"cluster_acc\": null") &&
                  strstr(ran.out, "\"split\": \"train\""),
              "%s%s", ran.out, ran.err);
    cr_expect(strstr(ran.err, "--batch_size 10000 is more than the 40 samples"), "%s", ran.err);
    char *folder = format_text("%s/r", f.folder);
    static const char *const left[] = {"run.json", "log.jsonl", "checkpoint.pt",
                                       "predictions_train.csv"};
    for (int i = 0; i < 4; i++) cr_expect(count_files(folder, left[i]) == 1, "%s", left[i]);
    cr_expect(count_files(folder, "") == 4);
    free(folder);
    remove_folder(f.folder);
}

/* A collapsed labelling is said, with the histogram: without the entropy term one cluster wins. */
Test(cli, a_collapse_is_warned_of, .timeout = 60) {
    Fixture f = fixture();
    Ran ran;
    run_turtle(
        &ran, "%s",
        in(&f, "train --features @/a.npy --classes 12 --gamma 0 --outer_lr 0.1 --T 300 --out @/r"));
    cr_expect(ran.status == 0 && strstr(ran.err, "warning: only") &&
                  strstr(ran.err, "largest first"),
              "%s", ran.err);
    remove_folder(f.folder);
}

/* Everything goes to the published places under the published names: a checkpoint, a run directory,
 * one line of results. Image lists name the predictions. */
Test(cli, a_data_set_goes_to_the_published_places, .timeout = 60) {
    char *root = temporary_folder();
    Fixture f = {.folder = format_text("%s/representations/p1", root)};
    Error err;
    Ran ran;
    char text[4096];
    ASSERT_OK(folder_make(f.folder, &err), err);
    save_f32(&f, "sst_train.npy", 4, 3, -1, 0);
    char *path = format_text("%s/representations/p1/sst_train.txt", root);
    static const char names[] = "one.png\ntwo, with comma.png\nthree \"3\".png\nfour.png";
    write_bytes(path, names, sizeof names - 1);
    free(path);
    run_turtle(&ran,
               "train --root_dir %s --dataset sst --phis p1 --T 2 --M 1 --gamma 2.5 --warm-start "
               "--inner-lr=1e-5 --seed 7 --rng torch",
               root);
    cr_expect(ran.status == 0, "%s", ran.err);
    cr_expect(
        strstr(ran.err, "sst_train.npy: not there: the train split is clustered without a score"),
        "%s", ran.err);
    static const char *const name =
        "task_checkpoints/1space/p1/sst/turtle_p1_innerlr1e-05_outerlr0.001_T2_M1_"
        "warmstart_gamma2.5_bs10000_seed7_rngtorch";
    path = format_text("%s/%s.pt", root, name);
    cr_expect(file_exists(path), "%s", path);
    run_turtle(
        &ran,
        "evaluate --root_dir %s --dataset sst --phis p1 --task-ckpt %s --predictions %s/p.csv",
        root, path, root);
    cr_expect(ran.status == 0 &&
                  strstr(ran.out, "sst         , p1                  , Number of found"),
              "%s%s", ran.out, ran.err);
    free(path);
    path = format_text("%s/p.csv", root);
    read_text(text, sizeof text, path);
    cr_expect(strncmp(text, "path,cluster,confidence,margin\none.png,", 39) == 0, "%s", text);
    cr_expect(strstr(text, "\n\"two, with comma.png\",") &&
                  strstr(text, "\n\"three \"\"3\"\".png\","),
              "%s", text);
    free(path);
    char *predictions = format_text("%s/%s/predictions_train.csv", root, name),
         *again = format_text("%s/p.csv", root);
    cr_expect(same_files(predictions, again));
    free(predictions);
    free(again);
    path = format_text("%s/results/1space/p1/turtle_sst.txt", root);
    read_text(text, sizeof text, path);
    cr_expect(strstr(text, "sst") && strstr(text, "Number of found clusters") && strchr(text, '\n'),
              "%s", text);
    free(path);
    /* the authors' folder of checkpoints */
    char *command =
        format_text("mkdir -p %s/authors/1space/p1 && cp %s/%s.pt %s/authors/1space/p1/sst.pt",
                    root, root, name, root);
    cr_assert(system(command) == 0);
    free(command);
    run_turtle(&ran, "evaluate --root_dir %s --dataset sst --phis p1 --ckpt_path %s/authors", root,
               root);
    cr_expect(ran.status == 0, "%s", ran.err);
    free(f.folder);
    remove_folder(root);
}

Test(cli, help_and_version_speak_on_stdout) {
    static const char *const flags[] = {"--gamma X", "[10]",   "--inner_lr X",   "[0.001]",
                                        "--T N",     "[6000]", "--batch_size N", "[10000]",
                                        "--seed N",  "[42]"};
    Ran ran;
    run_turtle(&ran, "train --help");
    cr_expect(ran.status == 0 && !*ran.err);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        cr_expect(strstr(ran.out, flags[i]) != NULL, "%s", flags[i]);
    run_turtle(&ran, "evaluate --help");
    cr_expect(ran.status == 0 && strstr(ran.out, "--ckpt_path") && !strstr(ran.out, "task_ckpt"));
    run_turtle(&ran, "--version");
    cr_expect(ran.status == 0 && strncmp(ran.out, "turtle 0.", 9) == 0);
    run_turtle(&ran, "--help");
    cr_expect(ran.status == 0 && strstr(ran.out, "evaluate") && strstr(ran.out, "info"));
    run_turtle(&ran, "info tests/goldens/torch/nested.pt --json");
    cr_expect(
        ran.status == 0 &&
            strstr(ran.out, "\"name\": \"phi1/weight\", \"type\": \"float32\", \"shape\": [3, 4]"),
        "%s", ran.out);
    run_turtle(&ran, "info tests/goldens/npy/be_f2.npy");
    cr_expect(ran.status == 0 && strstr(ran.out, "float16, shape (3, 4), bytes swapped"), "%s",
              ran.out);
}

Test(cli, help_in_every_spelling) {
    static const char *const calls[] = {"train -h", "help train", "train --T 3 --help", "-h train"};
    static const char *const versions[] = {"version", "-V", "--version"};
    Ran ran;
    for (int i = 0; i < 4; i++) {
        run_turtle(&ran, "%s", calls[i]);
        cr_expect(ran.status == 0 && !*ran.err && strstr(ran.out, "usage: turtle train"), "%s: %s",
                  calls[i], ran.out);
    }
    for (int i = 0; i < 3; i++) {
        run_turtle(&ran, "%s", versions[i]);
        cr_expect(ran.status == 0 && strncmp(ran.out, "turtle 0.", 9) == 0, "%s", ran.out);
    }
    run_turtle(&ran, "version --json");
    cr_expect(ran.status == 0 && strstr(ran.out, "\"version\": \"0.") != NULL && ran.out[0] == '{',
              "%s", ran.out);
    static const char *const helps[] = {"help", "-h", "--help", "help help", "help version"};
    for (int i = 0; i < 5; i++) {
        run_turtle(&ran, "%s", helps[i]);
        cr_expect(ran.status == 0 && strstr(ran.out, "usage: turtle <command>"), "%s", ran.out);
    }
    run_turtle(&ran, "help trian");
    cr_expect(ran.status == 2 && strstr(ran.err, "did you mean train?"), "%s", ran.err);
}

/* Help begins in one column, or on a line of its own; what a command ignores is not in it. */
Test(cli, help_has_columns_and_nothing_that_is_ignored) {
    static const struct {
        const char *command, *ignored;
    } all[] = {{"features", "--seed"},      {"labels", "--threads"}, {"train", "--no-such"},
               {"evaluate", "--precision"}, {"sweep", "--seed "},    {"probe", "--precision"},
               {"kmeans", "--precision"},   {"zeroshot", "--seed"},  {"info", "--seed"},
               {"sort", "Common\n"}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        Ran ran;
        run_turtle(&ran, "%s --help", all[i].command);
        cr_expect(strstr(ran.out, all[i].ignored) == NULL, "%s lists %s", all[i].command,
                  all[i].ignored);
        for (char *line = strtok(ran.out, "\n"); line; line = strtok(NULL, "\n")) {
            if (strncmp(line, "  ", 2) != 0) continue;
            const size_t n = strlen(line);
            const bool flag = strncmp(line, "  --", 4) == 0;
            const bool column = n > 30 && line[29] == ' ' && line[30] != ' ';
            const char *argument = flag ? strchr(line + 4, ' ') : NULL;
            cr_expect(column || (flag && (!argument || !strchr(argument + 1, ' '))), "%s: %s",
                      all[i].command, line);
        }
    }
}

Test(cli, the_last_of_a_repeated_flag_wins) {
    Fixture f = fixture();
    Ran ran;
    run_turtle(&ran,
               "%s --out %s/r --T 9 --batch_size 7 --T 2 --T 3 --batch-size=8 --seed 1 --json",
               in(&f, "train --features @/a.npy --classes 4 --seed 2 --json"), f.folder);
    cr_expect(ran.status == 0 && json_number(ran.out, "iterations") == 3, "%s", ran.err);
    cr_expect(json_number(ran.out, "seed") == 1, "%s", ran.out);
    cr_expect(strstr(ran.err, "--T is given more than once: the last one counts") &&
                  strstr(ran.err, "--seed is given more than once"),
              "%s", ran.err);
    run_turtle(&ran, "%s --labels nowhere.npy --quiet --labels %s/y.npy --out %s/q",
               in(&f, "train --features @/b.npy --features @/a.npy --classes 4 --T 2"), f.folder,
               f.folder);
    cr_expect(ran.status == 0 && !*ran.err, "%s", ran.err);
    remove_folder(f.folder);
}

Test(cli, info_tells_how_a_gpu_would_run_an_iteration) {
    static const char *const bad[] = {
        "info --plan --device h300",
        "info --plan --dims 768 0",
        "info --plan --dims 1e3",
        "info --plan --classes 1",
        "info --plan --batch_size 0",
        "info --plan --precision fp8",
        "info --plan --M 0",
        "info --plan --M 99999999999",
        "info --plan --dims 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1",
    };
    Ran ran;
    run_turtle(&ran, "info --plan --device h200 --classes 10");
    cr_expect(ran.status == 0 && strstr(ran.out, "h200: 132 SMs") && strstr(ran.out, "slab: ") &&
                  strstr(ran.out, "inner: barriers"),
              "%s", ran.out);
    run_turtle(&ran, "info --plan --device rtx4090 --classes 1000 --dims 768 1536 --M 3 --json");
    cr_expect(ran.status == 0 && ran.out[0] == '{' && strstr(ran.out, "\"form\": \"tiled\"") &&
                  strstr(ran.out, "\"d\": 1536") && strstr(ran.out, "\"M\": 3") &&
                  strstr(ran.out, "\"predicted_ms\": "),
              "%s", ran.out);
    run_turtle(&ran, "info --plan --B 300 --precision fp32"); /* the GPU here, or h200 */
    cr_expect(ran.status == 0 && strstr(ran.out, "device        "), "%s", ran.err);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        run_turtle(&ran, bad[i]);
        cr_expect(ran.status == 2 && *ran.err && !*ran.out, "%s: status %d, %s", bad[i], ran.status,
                  ran.err);
    }
}

/* --- numbers and words ------------------------------------------------------------------------ */

/* Python 3 prints these doubles so. */
Test(json, numbers_are_written_as_python_writes_them) {
    static const struct {
        double x;
        const char *text;
    } known[] = {{10, "10.0"},
                 {0.001, "0.001"},
                 {1e-5, "1e-05"},
                 {0.0001, "0.0001"},
                 {1e16, "1e+16"},
                 {1e15, "1000000000000000.0"},
                 {0.1, "0.1"},
                 {1.0 / 3, "0.3333333333333333"},
                 {-2.5, "-2.5"},
                 {0, "0.0"},
                 {123456789.125, "123456789.125"},
                 {5e-324, "5e-324"},
                 {1.5e300, "1.5e+300"},
                 {0.30000000000000004, "0.30000000000000004"},
                 {100, "100.0"}};
    char text[REAL_TEXT];
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        cr_expect_str_eq(format_real(text, known[i].x), known[i].text);
}

Test(json, texts_are_escaped_and_unknowns_are_null) {
    Json j = {0};
    json_open(&j, NULL);
    json_text(&j, "a\"b", "line\nback\\slash\ttab");
    json_real(&j, "nan", NAN);
    json_real(&j, "inf", INFINITY);
    json_text(&j, "none", NULL);
    json_open_array(&j, "list");
    json_integer(&j, NULL, -5);
    json_bool(&j, NULL, true);
    json_close_array(&j);
    json_open(&j, "empty");
    json_close(&j);
    json_close(&j);
    char *text = json_take(&j);
    cr_expect_str_eq(
        text, "{\"a\\\"b\": \"line\\u000aback\\\\slash\\u0009tab\", \"nan\": null, \"inf\": null, "
              "\"none\": null, \"list\": [-5, true], \"empty\": {}}");
    free(text);
}

/* Python's json.loads reads each of these back; bytes that are no UTF-8 are U+FFFD. */
Test(json, any_bytes_become_utf8) {
    static const char *const known[][2] = {
        {"caf\xe9.npy", "caf\xef\xbf\xbd.npy"},
        {"\xc3\xa4\xe6\x97\xa5 \xf0\x9f\x90\xa2", "\xc3\xa4\xe6\x97\xa5 \xf0\x9f\x90\xa2"},
        {"\xc3", "\xef\xbf\xbd"},                                 /* cut */
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                 /* longer than need be */
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, /* half of a pair */
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\x1b[31m\x7f\xc2\x9b", "\\u001b[31m\\u007f\\u009b"},
        {"\xff\"\\\r", "\xef\xbf\xbd\\\"\\\\\\u000d"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        Json j = {0};
        json_text(&j, NULL, known[i][0]);
        char *found = json_take(&j), *expected = format_text("\"%s\"", known[i][1]);
        cr_expect_str_eq(found, expected);
        free(found), free(expected);
    }
}

/* Names move no cursor, and a message stays one line. */
Test(cli, messages_show_control_characters_escaped) {
    Ran ran;
    run_turtle(&ran, "kmeans --features \"$(printf 'a\\nb\\033[31m\\rc\\351.npy')\" --classes 2");
    cr_expect(ran.status == 1 && strchr(ran.err, '\n') == ran.err + strlen(ran.err) - 1, "%s",
              ran.err);
    cr_expect(strstr(ran.err, "a\\nb\\x1b[31m\\rc\\xe9.npy"), "%s", ran.err);
    run_turtle(&ran, "kmeans --features \"$(printf 'a\\nb\\033\\351')\" --classes 2 --json");
    cr_expect(strncmp(ran.out, "{\"error\": \"", 11) == 0 &&
                  strstr(ran.out, "a\\u000ab\\u001b\xef\xbf\xbd"),
              "%s", ran.out);
}

/* Commas, quotes and line ends are quoted (RFC 4180); the list may be edited on any system. */
Test(cli, image_lists_of_any_editor_name_the_predictions, .timeout = 60) {
    static const struct {
        const char *list, *says; /* NULL: the CSV is that of the first */
    } lists[] = {
        {"one.png\ntwo, with comma.png\nthree \"3\".png\nfour\t.png\n", NULL},
        {"\xef\xbb\xbfone.png\r\ntwo, with comma.png\r\nthree \"3\".png\r\nfour\t.png\r\n\r\n",
         NULL},
        {"one.png\rtwo, with comma.png\rthree \"3\".png\rfour\t.png", NULL},
        {"one.png\ntwo.png\nthr\ree.png\nfour.png\n", "line 3: a carriage return"},
        {"one.png\ntwo.png\nfour.png\n", "has 3 lines, the features have 4 rows"}};
    Fixture f = fixture();
    Ran ran;
    char *list = format_text("%s/four.txt", f.folder), *csv = format_text("%s/p.csv", f.folder),
         *first = format_text("%s/first.csv", f.folder), text[4096];
    save_f32(&f, "four.npy", 4, 3, -1, 0);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        write_bytes(list, lists[i].list, strlen(lists[i].list));
        run_turtle(&ran, "%s",
                   in(&f, "kmeans --features @/four.npy --classes 2 --predictions @/p.csv"));
        cr_expect((ran.status == 0) == (lists[i].says == NULL), "%d: %s", (int)i, ran.err);
        if (lists[i].says) cr_expect(strstr(ran.err, lists[i].says), "%s", ran.err);
        else if (i == 0) rename(csv, first);
        else cr_expect(same_files(csv, first), "list %d", (int)i);
    }
    read_text(text, sizeof text, first);
    cr_expect(strstr(text, "\n\"two, with comma.png\",") &&
                  strstr(text, "\n\"three \"\"3\"\".png\",") && strstr(text, "\nfour\t.png,"),
              "%s", text);
    free(list), free(csv), free(first);
    remove_folder(f.folder);
}

Test(flags, the_nearest_word_is_found) {
    static const char *const words[] = {"gamma", "inner_lr", "outer_lr", "batch_size"};
    cr_expect_str_eq(nearest_word("gama", words, 4), "gamma");
    cr_expect_str_eq(nearest_word("inner-rl", words, 4), "inner_lr");
    cr_expect_str_eq(nearest_word("batchsize", words, 4), "batch_size");
    cr_expect(nearest_word("zzz", words, 4) == NULL);
}
