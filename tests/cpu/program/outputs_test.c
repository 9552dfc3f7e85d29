/* outputs_test.c - what calls leave on the disk: nothing is lost, half-written or mixed up, and two
 * calls never work in one place. */
#include <signal.h>

#include "io/arrays/npy.h"
#include "io/files/lock.h"
#include "tests/support/check.h"
#include "tests/support/weights_file.h"

#define IMAGES "tests/goldens/images"
#define VIT "data/demo/checkpoints/demo_vit.pth"
#define X DEMO "/representations/patches/mnist_train.npy"
#define KMEANS "kmeans --features " X " --classes 3 --n_init 1 --max_iter 2 --device cpu --quiet"

/* Runs a shell command in which $T is the program and $D a folder. Returns its exit status. */
PRINTF_LIKE(4, 5)
static int shell(char *said, size_t bytes, const char *folder, const char *format, ...) {
    char script[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(script, sizeof script, format, args);
    va_end(args);
    char *command =
        format_text("{ T=" TURTLE_PROGRAM "; D=%s; %s\n} 2>%s/.said", folder, script, folder);
    char *path = format_text("%s/.said", folder);
    fflush(NULL);
    const int state = system(command);
    read_text(said, bytes, path);
    unlink(path);
    free(path);
    free(command);
    return WIFEXITED(state) ? WEXITSTATUS(state) : 128;
}

static char *text_of(char *text, size_t bytes, const char *folder, const char *name) {
    char *path = format_text("%s/%s", folder, name);
    read_text(text, bytes, path);
    free(path);
    return text;
}

static bool is_there(const char *folder, const char *name) {
    char *path = format_text("%s/%s", folder, name);
    const bool there = file_exists(path);
    free(path);
    return there;
}

static bool same_in(const char *folder, const char *a, const char *b) {
    char *x = format_text("%s/%s", folder, a), *y = format_text("%s/%s", folder, b);
    const bool same = file_exists(x) && file_exists(y) && same_files(x, y);
    free(x);
    free(y);
    return same;
}

/* --- one output file --------------------------------------------------------------------------- */

/* Standard output by any of its names holds the predictions alone; what people read goes to
 * stderr. */
Test(outputs, standard_output_holds_one_file_alone, .timeout = 120) {
    char *folder = temporary_folder(), said[4096], head[64];
    static const char *const names[] = {"-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"};
    for (int i = 0; i < 4; i++) {
        cr_expect(shell(said, sizeof said, folder, "$T " KMEANS " --predictions %s >$D/csv%d",
                        names[i], i) == 0,
                  "%s", said);
        cr_expect(strstr(said, "inertia") && strstr(said, "clusters found"), "%s", said);
        snprintf(head, sizeof head, "csv%d", i);
        cr_expect(same_in(folder, "csv0", head), "%s", names[i]);
        cr_expect(!file_exists("-"));
    }
    cr_expect_str_eq(strtok(text_of(said, sizeof said, folder, "csv0"), "\n"),
                     "path,cluster,confidence,margin");
    cr_expect(shell(said, sizeof said, folder, "$T " KMEANS " --predictions - --json >/dev/null") ==
                      2 &&
                  strstr(said, "--json"),
              "%s", said);
    cr_expect(shell(said, sizeof said, folder, "$T " KMEANS " --predictions $D/plain >$D/out") ==
              0);
    cr_expect(said[0] == '\0' && same_in(folder, "csv0", "plain"), "%s", said);
    cr_expect(strstr(text_of(said, sizeof said, folder, "out"), "inertia") != NULL);
    remove_folder(folder);
}

/* A target that cannot be written gives one line and exit status 1, whoever is at the other end. */
Test(outputs, what_cannot_be_written_is_one_line, .timeout = 120) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *before, *target, *word;
    } cases[] = {{":", "/dev/full", "No space left"},
                 {"mkdir -p $D/f", "$D/f", "folder"},
                 {":", "$D/f/", "folder"},
                 {"echo x >$D/ro; chmod 444 $D/ro", "$D/ro", "read-only"},
                 {"mkfifo $D/pipe", "$D/pipe", "nobody reads"},
                 {"ln -s ring $D/ring", "$D/ring", "circle"},
                 {"echo x >$D/file", "$D/file/p.csv", "Not a directory"},
                 {":", "$D/$(printf %0300d 7)", "name too long"},
                 {":", "/proc/none/p.csv", "No such file"},
                 {":", "''", "empty name"},
                 {":", "- >/dev/full", "No space left"},
                 {":", "- >&-", "nothing is open"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status = shell(said, sizeof said, folder, "%s; $T " KMEANS " --predictions %s",
                                 cases[i].before, cases[i].target);
        cr_expect(status == 1, "%s: %d: %s", cases[i].target, status, said);
        cr_expect(strncmp(said, "turtle: ", 8) == 0 && strstr(said, cases[i].word) &&
                      strchr(said, '\n') == strrchr(said, '\n'),
                  "%s: %s", cases[i].target, said);
    }
    cr_expect(count_files(folder, "tmp") == 0);
    cr_expect(shell(said, sizeof said, folder,
                    "$T train --features " X " --classes 3 --device cpu --quiet --out -") == 1 &&
                  strstr(said, "standard output, expected a folder") && !file_exists("-"),
              "%s", said);
    remove_folder(folder);
}

/* An output that names what the same call reads, or its other output, is refused: both stay. */
Test(outputs, an_output_never_replaces_an_input, .timeout = 120) {
    char *folder = temporary_folder(), said[4096];
    static const char *const calls[] = {
        "kmeans --features $D/x.npy --classes 3 --predictions $D/x.npy",
        "kmeans --features $D/x.npy --classes 3 --predictions $D/link",
        "kmeans --features $D/x.npy $D/v.npy --classes 3 --predictions $D/./v.npy",
        "kmeans --features $D/x.npy --labels $D/y.txt --classes 3 --predictions $D/hard",
        "kmeans --features " X " --val_features $D/z.npz:a --classes 3 --predictions $D/z.npz",
        "evaluate --ckpt_path $D/v.npy --features " X " --predictions $D/v.npy",
        "evaluate --ckpt_path $D/c --features $D/x.npy --probabilities $D/x.npy",
        "evaluate --ckpt_path $D/c --features " X " --predictions $D/p.npy --probabilities "
        "$D/p.npy"};
    cr_assert(shell(said, sizeof said, folder,
                    "cp " X " $D/x.npy; cp " X " $D/v.npy; cp " X " $D/z.npz; cp " X " $D/first; "
                    "ln -s x.npy $D/link; echo 1 >$D/y.txt; ln $D/y.txt $D/hard") == 0,
              "%s", said);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const int status = shell(said, sizeof said, folder, "$T %s", calls[i]);
        cr_expect(status == 2 && strncmp(said, "turtle: --pr", 12) == 0 &&
                      strstr(said, ": expected ") && strchr(said, '\n') == strrchr(said, '\n'),
                  "%s: %d: %s", calls[i], status, said);
    }
    cr_expect(same_in(folder, "x.npy", "first") && same_in(folder, "v.npy", "first") &&
              same_in(folder, "z.npz", "first") && !is_there(folder, "p.npy"));
    cr_expect_str_eq(text_of(said, sizeof said, folder, "y.txt"), "1\n");
    remove_folder(folder);
}

/* Text inputs come from standard input and pipes; binary ones are refused as what they are. */
Test(outputs, inputs_that_are_no_files, .timeout = 120) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *command, *word;
        int status;
    } cases[] = {
        {"mkfifo $D/pipe; $T info $D/pipe", "is a pipe", 1},
        {"$T kmeans --features $D/pipe --classes 3", "is a pipe", 1},
        {"$T kmeans --features " X " --classes 3 --labels $D/pipe", "pipe", 1},
        {"$T info /dev/zero", "is a device", 1},
        {"$T kmeans --features $D --classes 3", "is a folder", 1},
        {"$T kmeans --features - --classes 3 </dev/null", "standard input", 1},
        {"$T features --list $D/pipe --name x --weights " VIT " --root_dir $D/r", "nobody writes",
         1},
        {"printf 'train\\t-\\t%s/" IMAGES "/square150.jpg\\n' $PWD | $T features --list - --name x "
         "--weights " VIT " --root_dir $D/r --quiet >/dev/null",
         "", 0},
        {"mkdir $D/in; cp " IMAGES "/square150.jpg $D/in; mkfifo $D/in/9.png; $T features --images "
         "$D/in --weights " VIT " --root_dir $D/r --skip_bad >/dev/null",
         "9.png", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int got = shell(said, sizeof said, folder, "%s", cases[i].command);
        cr_expect(got == cases[i].status && strstr(said, cases[i].word), "%s: %d: %s",
                  cases[i].command, got, said);
    }
    remove_folder(folder);
}

/* --- two calls --------------------------------------------------------------------------------- */

Test(outputs, a_lock_ends_with_its_process, .timeout = 30) {
    char *folder = temporary_folder(), *path = format_text("%s/.lock", folder), own[32];
    Lock one, two;
    Error err = {""};
    snprintf(own, sizeof own, "process %ld on ", (long)getpid());
    ASSERT_OK(lock_open(&one, path, "the place", &err), err);
    cr_expect(lock_open(&two, path, "the place", &err) == ERR_ARG); /* within a process, too */
    cr_expect(strstr(err.text, "the place: another call is at work") && strstr(err.text, own) &&
                  strstr(err.text, " since 2"),
              "%s", err.text);
    cr_expect(two.path == NULL);
    lock_close(&two);
    lock_close(&one);
    lock_close(&one);
    cr_expect(!file_exists(path), "the file is left");

    int ends[2];
    char byte = 0;
    cr_assert(pipe(ends) == 0);
    fflush(NULL);
    const pid_t child = fork();
    if (child == 0) {
        if (lock_open(&one, path, "the place", &err) != OK || write(ends[1], "x", 1) != 1) _exit(1);
        pause();
    }
    cr_assert(read(ends[0], &byte, 1) == 1);
    kill(child, SIGSTOP);
    cr_expect(lock_open(&two, path, "the place", &err) == ERR_ARG, "a stopped process lost it");
    kill(child, SIGKILL);
    cr_assert(waitpid(child, NULL, 0) == child && file_exists(path));
    ASSERT_OK(lock_open(&two, path, "the place", &err), err); /* what it left hinders nobody */
    lock_close(&two);
    write_bytes(path, "process 1 on elsewhere since 1999\n", 34); /* nor does an old text */
    ASSERT_OK(lock_open(&two, path, "the place", &err), err);
    lock_close(&two);
    free(path);
    remove_folder(folder);
}

#define PLAIN "train --features " X " --device cpu --quiet"
#define TRAIN PLAIN " --classes 3 --batch_size 500 --M 2 --threads 1"
#define FEATURES "features --images " IMAGES " --weights " VIT " --device cpu --quiet"
#define MANY_IMAGES                                    \
    "features --list $D/l.txt --name x --weights " VIT \
    " --device cpu --threads 1 --batch_size 2 --quiet"
#define SWEEP             \
    "sweep --features " X \
    " --classes 3 --batch_size 500 --M 2 --seeds 1 2 --no_score --device cpu --quiet"

/* The second call is told who is at work; the first, which is held still meanwhile, ends whole. */
Test(outputs, a_second_call_is_refused, .timeout = 300) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *first, *sign, *second;
    } cases[] = {
        {TRAIN " --T 400 --out $D/t", "$D/t/log.jsonl", TRAIN " --T 20 --out $D/t"},
        {TRAIN " --T 400 --out $D/u", "$D/u/log.jsonl", TRAIN " --T 20 --out $D/u --restart"},
        {TRAIN " --T 400 --out $D/v", "$D/v/log.jsonl", TRAIN " --T 400 --out $D/v --resume"},
        {SWEEP " --T 300 --out $D/s", "$D/s/*/run.json", SWEEP " --T 300 --out $D/s --resume"},
        {SWEEP " --T 300 --out $D/w", "$D/w/*/run.json",
         SWEEP " --T 300 --out $D/w --shard 1/1 --restart"},
        {MANY_IMAGES " --root_dir $D/r", "$D/r/representations/demo_vit/*.npy.part",
         MANY_IMAGES " --root_dir $D/r --resume"},
        {MANY_IMAGES " --root_dir $D/q --shard 1/2", "$D/q/representations/demo_vit/*.npy.part",
         MANY_IMAGES " --root_dir $D/q --resume"},
    };
    cr_assert(shell(said, sizeof said, folder,
                    "for i in $(seq 300); do printf 'train\t-\t%%s/" IMAGES
                    "/square150.jpg\n' $PWD; done >$D/l.txt") == 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status =
            shell(said, sizeof said, folder,
                  "$T %s >/dev/null 2>&1 & p=$!; while ! cat %s >/dev/null 2>&1; do sleep 0.005; "
                  "kill -0 $p || exit 99; done; kill -STOP $p; $T %s; rc=$?; "
                  "echo $p >$D/pid; kill -CONT $p; wait $p || exit 98; exit $rc",
                  cases[i].first, cases[i].sign, cases[i].second);
        char pid[64] = "process ", number[32];
        strcat(pid, strtok(text_of(number, sizeof number, folder, "pid"), "\n"));
        cr_expect(status == 1, "%zu: %d: %s", i, status, said);
        cr_expect(strstr(said, "another call is at work") && strstr(said, pid) &&
                      strstr(said, " since "),
                  "%zu: %s: %s", i, pid, said);
    }
    cr_expect(is_there(folder, "t/checkpoint.pt") && !is_there(folder, "t/resume.pt"));
    cr_expect(is_there(folder, "s/runs.csv") && is_there(folder, "w/runs.csv"));
    cr_expect(count_files(folder, ".lock") == 0 && count_files(folder, ".part") == 0);
    remove_folder(folder);
}

/* --- what a finished run is replaced by --------------------------------------------------------- */

#define THREE "--classes 3 --T 20"
#define MANY " --batch_size 500"
#define STEPS " --M 2"

Test(outputs, a_finished_run_is_replaced_by_the_same_call_alone, .timeout = 300) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *flags, *words; /* NULL: it is replaced */
    } cases[] = {
        {THREE MANY STEPS, NULL},
        {THREE MANY STEPS " --threads 2 --json", NULL},
        {THREE MANY STEPS " --save_every 7 --eval_every 0", NULL},
        {THREE MANY STEPS " --seed 7", NULL},
        {THREE MANY STEPS " --gamma 5", "--gamma 10.0 (now 5.0)"},
        {"--classes 3 --T 21 --batch_size 500 --M 2", "--T 20 (now 21)"},
        {"--classes 4 --T 20" MANY STEPS, "--classes 3 (now 4)"},
        {THREE MANY " --M 3 --warm_start", "--M 2 (now 3), --warm_start no (now yes)"},
        {THREE MANY STEPS " --inner_lr 0.01", "--inner_lr 0.001 (now 0.01)"},
        {THREE " --batch_size 400" STEPS, "--batch_size 500 (now 400)"},
        {THREE MANY STEPS " --precision bf16", "--precision auto (now bf16)"},
        {THREE MANY STEPS " --prior power:0.5", "--prior uniform (now power:0.5)"},
        {THREE MANY STEPS " --rng torch", "--rng philox (now torch)"},
        {THREE MANY STEPS " --val_features " X, "val_features[1] none (now "},
        {THREE MANY STEPS " --gamma 5 --resume", "--gamma 10.0 (now 5.0)"},
        {THREE MANY STEPS " --gamma 5 --restart", NULL},
        {THREE MANY STEPS " --gamma 5", NULL}, /* which is what is there now */
    };
    cr_assert(shell(said, sizeof said, folder, "$T " TRAIN " --T 20 --out $D/t >/dev/null") == 0,
              "%s", said);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status =
            shell(said, sizeof said, folder,
                  "cp $D/t/checkpoint.pt $D/before; $T " PLAIN " --out $D/t %s >/dev/null",
                  cases[i].flags);
        if (!cases[i].words) {
            cr_expect(status == 0, "%s: %s", cases[i].flags, said);
            continue;
        }
        cr_expect(status == 1 && strstr(said, cases[i].words) && strstr(said, "--restart") &&
                      strstr(said, "--out"),
                  "%s: %d: %s", cases[i].flags, status, said);
        cr_expect(same_in(folder, "before", "t/checkpoint.pt"), "%s", cases[i].flags);
    }
    remove_folder(folder);
}

/* A run is not replaced by one of other values in the same file, where its record is damaged, or
 * where the checkpoint is another program's. */
Test(outputs, a_run_of_other_inputs_is_not_replaced, .timeout = 120) {
    enum { N = 64, D = 3 };
    char *folder = temporary_folder(), said[4096], *x = format_text("%s/x.npy", folder);
    float z[N * D];
    Error err;
    const int64_t shape[] = {N, D};
    for (int i = 0; i < N * D; i++) z[i] = (float)(i * 37 % 101) / 10.0f;
    ASSERT_OK(npy_write(x, DTYPE_F32, 2, shape, z, &err), err);
#define SMALL                                                                               \
    "$T train --features $D/x.npy --classes 3 --T 3 --M 1 --device cpu --quiet --out $D/t " \
    ">/dev/null"
    cr_assert(shell(said, sizeof said, folder, SMALL) == 0, "%s", said);
    z[100] += 1.0f;
    ASSERT_OK(npy_write(x, DTYPE_F32, 2, shape, z, &err), err);
    cr_expect(shell(said, sizeof said, folder, SMALL) == 1 && strstr(said, "features[1] 64 x 3"),
              "%s", said);
    z[100] -= 1.0f;
    ASSERT_OK(npy_write(x, DTYPE_F32, 2, shape, z, &err), err);
    cr_expect(shell(said, sizeof said, folder, SMALL) == 0, "%s", said);
    cr_expect(
        shell(said, sizeof said, folder, "mv $D/x.npy $D/y.npy; ln -s y.npy $D/x.npy; " SMALL) ==
            0, /* where inputs lie does not count */
        "%s", said);
    cr_expect(shell(said, sizeof said, folder, "echo '{\"finished\": tr' >$D/t/run.json; " SMALL) ==
                      1 &&
                  strstr(said, "damaged") && strstr(said, "--restart"),
              "%s", said);
    cr_expect(shell(said, sizeof said, folder, "echo '{}' >$D/t/run.json; " SMALL) == 1 &&
                  strstr(said, "earlier version"),
              "%s", said);
    cr_expect(shell(said, sizeof said, folder, "rm $D/t/run.json; " SMALL) == 1 &&
                  strstr(said, "was not made by"),
              "%s", said);
    cr_expect(shell(said, sizeof said, folder, "rm $D/t/checkpoint.pt; " SMALL) == 0, "%s", said);
#undef SMALL
    free(x);
    remove_folder(folder);
}

/* A run is continued with the same features alone; other values of the same shape are not mixed in. */
Test(outputs, a_run_of_other_features_is_not_continued, .timeout = 120) {
    enum { N = 64, D = 3 };
    char *folder = temporary_folder(), said[4096];
    float z[N * D];
    Error err;
    for (int i = 0; i < N * D; i++) z[i] = (float)(i * 37 % 101) / 10.0f;
    for (int other = 0; other < 2; other++) {
        char *path = format_text("%s/%s.npy", folder, other ? "other" : "x");
        ASSERT_OK(npy_write(path, DTYPE_F32, 2, (const int64_t[]){N, D}, z, &err), err);
        z[100] += 1.0f;
        free(path);
    }
    static const char *const calls[] = {
        "train --classes 3 --M 1 --save_every 10 --out $D/t --T 100000000 --resume",
        "sweep --classes 3 --M 1 --save_every 10 --out $D/s --T 100000000 --resume --no_score",
        "sweep --classes 3 --M 1 --out $D/w --T 3 --resume --no_score"};
    cr_assert(shell(said, sizeof said, folder, "$T %s --features $D/x.npy >/dev/null", calls[2]) ==
                  0,
              "%s", said);
    for (int i = 0; i < 2; i++)
        shell(said, sizeof said, folder,
              "$T %s --features $D/x.npy >/dev/null & p=$!; until ls $D/%s/resume.pt "
              "$D/%s/*/resume.pt 2>/dev/null | grep -q .; do sleep 0.01; kill -0 $p || exit 99; "
              "done; kill -INT $p; wait $p",
              calls[i], i ? "s" : "t", i ? "s" : "t");
    for (int i = 0; i < 3; i++) {
        const int status = shell(said, sizeof said, folder,
                                 "$T %s --features $D/other.npy --quiet >/dev/null", calls[i]);
        cr_expect(status == 1 && strstr(said, "features[1] 64 x 3 float32, CRC-32 ") &&
                      strstr(said, "--restart") && strchr(said, '\n') == strrchr(said, '\n'),
                  "%d: %d: %s", i, status, said);
    }
    cr_expect(shell(said, sizeof said, folder, "$T %s --T 5 --features $D/x.npy --quiet",
                    calls[0]) == 1 &&
                  strstr(said, "--T 5 are fewer"),
              "%s", said);
    cr_expect(shell(said, sizeof said, folder, "$T %s --features $D/x.npy --quiet >/dev/null",
                    calls[2]) == 0,
              "%s", said);
    remove_folder(folder);
}

/* --- features ---------------------------------------------------------------------------------- */

#define REPRESENTATION "r/representations/demo_vit/p_train"
#define GROW                                \
    "features --images $D/p --weights " VIT \
    " --root_dir $D/r --device cpu --batch_size 2 --quiet --skip_bad"

/* A folder grows, shrinks and is stopped, and shards of it are made; each time the result is what
 * one call would make. */
Test(outputs, features_take_the_rows_that_are_there, .timeout = 300) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *before, *flags;
        const char *images; /* that stdout begins with */
    } steps[] = {
        {"rm $D/p/[c-r]*", "", NULL},
        {"cp " IMAGES "/*[05].* $D/p", "--resume", NULL},
        {"cp " IMAGES "/*.* $D/p", "--resume", "12 images"},
        {":", "--resume", "0 images"},
        {": >$D/p/a.png; : >$D/p/z.jpg", "--resume", "12 images"}, /* two that are no images */
        {"rm $D/p/z.jpg", "--resume", "12 images"},
        {"rm $D/p/g*", "--resume", NULL}, /* fewer */
        {"cp " IMAGES "/*.* $D/p; mkdir $D/p/x; mv $D/p/g* $D/p/x; mv $D/p/x/* $D/p; rmdir $D/p/x",
         "--resume", "12 images"},
        {"rm -r $D/r", "--shard 1/3", NULL},
        {":", "--shard 3/3", NULL},
        {":", "--resume", "12 images"}, /* one of three is missing */
        {"rm $D/" REPRESENTATION ".npy", "--shard 2/3", NULL},
        {":", "--resume", "12 images"},
    };
    cr_assert(shell(said, sizeof said, folder,
                    "mkdir $D/p; cp " IMAGES "/*.* $D/p; rm -f $D/p/*.txt "
                    "$D/p/MANIFEST*; ls $D/p >&2") == 0);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        cr_assert(shell(said, sizeof said, folder,
                        "{ %s; } && rm -f $D/p/*.txt $D/p/MANIFEST* && $T " GROW " %s >$D/out",
                        steps[i].before, steps[i].flags) == 0,
                  "%zu: %s", i, said);
        if (strstr(steps[i].flags, "--shard")) continue;
        text_of(said, sizeof said, folder, "out");
        cr_expect(!steps[i].images || strncmp(said, steps[i].images, strlen(steps[i].images)) == 0,
                  "%zu: %s", i, said);
        cr_assert(shell(said, sizeof said, folder,
                        "rm -rf $D/once; $T features --images $D/p --weights " VIT
                        " --root_dir $D/once --device cpu --quiet --skip_bad >/dev/null") == 0,
                  "%s", said);
        static const char *const endings[] = {".npy", ".txt"};
        for (int k = 0; k < 2; k++) {
            char once[128], grown[128];
            snprintf(grown, sizeof grown, "%s%s", REPRESENTATION, endings[k]);
            snprintf(once, sizeof once, "once%s%s", REPRESENTATION + 1, endings[k]);
            cr_expect(same_in(folder, grown, once), "step %zu: %s differs", i, grown);
        }
        cr_expect(count_files(folder, ".part") == 0 && count_files(folder, ".lock") == 0);
    }
    remove_folder(folder);
}

/* The call without --shard joins finished shards, but makes anew what is there whole, what other
 * options made, and what --dump needs the pixels of. */
Test(outputs, finished_shards_are_joined, .timeout = 120) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *before, *flags;
        int shards; /* that are joined */
        bool encodes;
    } cases[] = {
        {":", "", 2, false},
        {":", "", 0, true}, /* the file is there */
        {"rm $D/r/representations/v/p_train.npy", "--normalize", 0, true},
        {"rm $D/r/representations/v/p_train.npy", "--dump $D/d", 0, true},
        {"rm $D/r/representations/v/p_train.npy $D/r/representations/v/*.2of2.*", "", 1, true}};
    cr_assert(
        shell(said, sizeof said, folder,
              "mkdir $D/p; for i in 1 2 3 4 5; do cp " IMAGES "/square150.jpg $D/p/$i.jpg; done; "
              "for a in '--root_dir $D/r --shard 1/2' '--root_dir $D/r --shard 2/2' "
              "'--root_dir $D/once'; do eval $T features --images $D/p --phis v --weights " VIT
              " --device cpu --quiet $a >/dev/null || exit 1; done") == 0,
        "%s", said);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char joined[64], out[4096];
        snprintf(joined, sizeof joined, "put together from %d shards", cases[i].shards);
        cr_assert(shell(said, sizeof said, folder,
                        "%s; $T features --images $D/p --phis v --weights " VIT
                        " --root_dir $D/r --device cpu %s >$D/out",
                        cases[i].before, cases[i].flags) == 0,
                  "%zu: %s", i, said);
        cr_expect((strstr(said, joined) != NULL) == (cases[i].shards > 0), "%zu: %s", i, said);
        text_of(out, sizeof out, folder, "out");
        cr_expect(strncmp(out, "5 images", 8) == 0 &&
                      (strstr(out, "images/s") != NULL) == cases[i].encodes,
                  "%zu: %s", i, out);
        cr_expect(same_in(folder, "r/representations/v/p_train.npy",
                          "once/representations/v/p_train.npy") ==
                      (strcmp(cases[i].flags, "--normalize") != 0),
                  "%zu", i);
    }
    remove_folder(folder);
}

/* Rows that were made with something else are not continued, and the line names the difference. */
Test(outputs, features_of_other_options_or_weights_are_not_continued, .timeout = 300) {
    char *folder = temporary_folder(), said[4096];
    static const struct {
        const char *before, *flags, *words;
    } cases[] = {
        {":", "--feature patchmean", "--feature cls (now patchmean)"},
        {":", "--normalize", "--normalize no (now yes)"},
        {":", "--image_size 14", "--image_size 28 (now 14)"},
        /* a byte of a number amid the file, which keeps its size */
        {"cp $D/w.safetensors $D/kept; printf x | dd of=$D/w.safetensors bs=1 seek=700000 "
         "conv=notrunc 2>/dev/null",
         "", "--weights "},
        {"cp $D/kept $D/w.safetensors", "", NULL},
        {"mv $D/w.safetensors $D/v.safetensors; ln -s v.safetensors $D/w.safetensors", "", NULL}};
#define OTHER                                                                                     \
    "$T features --images $D/p --phis w --weights $D/w.safetensors --root_dir $D/r --device cpu " \
    "--quiet"
    TensorSet set = read_tensors(VIT, "");
    char *weights = format_text("%s/w.safetensors", folder);
    write_safetensors(weights, &set);
    set_free(&set);
    free(weights);
    cr_assert(shell(said, sizeof said, folder,
                    "mkdir $D/p; cp " IMAGES "/square150.jpg $D/p; " OTHER " >/dev/null") == 0,
              "%s", said);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status = shell(said, sizeof said, folder, "%s; " OTHER " --resume %s >/dev/null",
                                 cases[i].before, cases[i].flags);
        if (!cases[i].words) cr_expect(status == 0, "%s: %s", cases[i].before, said);
        else
            cr_expect(status == 1 && strstr(said, cases[i].words) && strstr(said, "was made with"),
                      "%s: %d: %s", cases[i].flags, status, said);
    }
    cr_expect(shell(said, sizeof said, folder, OTHER " --feature patchmean >/dev/null") == 0, "%s",
              said); /* without --resume it is made anew */
#undef OTHER
    remove_folder(folder);
}

/* A call may be killed at any time: no half file has a final name, and --resume ends with one
 * call's bits. */
Test(outputs, killed_calls_leave_whole_files, .timeout = 300) {
    char *folder = temporary_folder(), said[4096];
    cr_assert(shell(said, sizeof said, folder, "$T " FEATURES " --root_dir $D/once >/dev/null") ==
              0);
    for (int i = 0; i < 4; i++) {
        cr_assert(shell(said, sizeof said, folder,
                        "rm -rf $D/r; for t in 0.0%d 0.1%d 0.2%d; do $T " FEATURES
                        " --root_dir $D/r --batch_size 1 --threads 1 --resume >/dev/null & p=$!; "
                        "sleep $t; kill -KILL $p; wait $p; R=$D/r/representations/demo_vit; "
                        "if [ -e $R/images_train.npy ]; then cmp $R/images_train.npy "
                        "$D/once/representations/demo_vit/images_train.npy || exit 9; fi; done; "
                        "$T " FEATURES " --root_dir $D/r --resume >/dev/null",
                        3 * i, 3 * i, 3 * i) == 0,
                  "%s", said);
        cr_expect(same_in(folder, "r/representations/demo_vit/images_train.npy",
                          "once/representations/demo_vit/images_train.npy"));
        cr_expect(same_in(folder, "r/representations/demo_vit/images_train.txt",
                          "once/representations/demo_vit/images_train.txt"));
        cr_expect(count_files(folder, ".part") == 0);
        /* killed while files got their final names */
        static const char *const renamed[] = {"json", "json txt", ""};
        for (int k = 0; k < 3; k++) {
            cr_expect(shell(said, sizeof said, folder,
                            "cd $D/r/representations/demo_vit; mv images_train.npy "
                            "images_train.npy.part; for e in json txt; do case '%s' in *$e*) ;; *) "
                            "mv images_train.$e images_train.$e.part;; esac; done; cd - "
                            ">/dev/null; $T " FEATURES " --root_dir $D/r --resume --json | grep "
                            "'\"images\": 12' >&2",
                            renamed[k]) == 0,
                      "%s", said);
            cr_expect(same_in(folder, "r/representations/demo_vit/images_train.npy",
                              "once/representations/demo_vit/images_train.npy") &&
                      count_files(folder, ".part") == 0);
        }
    }
    remove_folder(folder);
}
