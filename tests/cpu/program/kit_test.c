/* kit_test.c - the kit's run.sh with programs that only say what real ones would: steps, their limits, the table. */
#include "tests/support/check.h"

/* Programs of a kit, as shell scripts. Rows have the form of bench/programs/bench.h. */
static const char *const programs[][2] = {
    {"bin/tests-cuda",
     "for a; do case $a in --tap=*) tap=${a#--tap=} ;; --filter) ;; esac; done\n"
     "[ \"$HANG\" ] && case \"$*\" in *two_hundred*) sleep 60 ;; esac\n"
     "printf 'ok - layout::one  (0.00s)\\nok - layout::two  (0.00s)\\n' >\"$tap\"\n"},
    {"bin/bench-roofs", "for row in 'explicit cluster, no attribute:0' 'explicit cluster, clusters "
                        "of 1:0' 'explicit cluster, clusters of 2:1' \\\n"
                        "    'L2 read 24 MB:5000' 'L2 read 46 MB:4800' 'L2 read 120 MB:4100' "
                        "'clusters of 4 at once:31'; do\n"
                        "    echo \"{\\\"case\\\": \\\"${row%:*}\\\", \\\"work\\\": ${row##*:}, "
                        "\\\"unit\\\": \\\"x\\\", \\\"seconds\\\": [2, 1, 0.5]}\"\n"
                        "done\n"},
    {"bin/bench-training",
     "[ \"$HANG\" = program ] && echo $$ >>hung && exec sleep 61\n"
     "echo \"outer C $3: predicted 0.4000 ms an iteration (wgmma, 19 launches), measured 0.5000: "
     "1.25 times\" >&2\n"
     "echo '{\"case\": \"outer\", \"work\": 1, \"seconds\": [0.0006, 0.0005, 0.0004]}'\n"},
    {"bin/bench-training-TURTLE_AB_OTHER",
     "echo '{\"case\": \"outer\", \"work\": 1, \"seconds\": [0.0007]}'\n"},
    {"bin/turtle",
     "case $1 in sweep) exit 0 ;; esac\n"
     "[ \"$NO_GPU\" ] && echo 'cuda  no driver' && echo '{\"cuda_devices\": []}' && exit\n"
     "echo '{\"predicted_ms\": 0.5}'\n"},
    {"bin/python",
     "all=\"$*\"\n"
     "case $all in -c*) echo \"${TORCH:-True}\" ;;\n"
     "*encoders_torch.py*) [ \"$SLOW\" ] && sleep 60\n"
     "    name=${all##*--weights } name=${name%%.pt*} precision=${all##*--precision }\n"
     "    echo \"{\\\"case\\\": \\\"${name##*/} ${precision%% *}\\\", \\\"program\\\": \\\"PyTorch "
     "2.9\\\", "
     "\\\"threads\\\": 1, \\\"work\\\": 256, \\\"unit\\\": \\\"images/s\\\", \\\"seconds\\\": "
     "[0.16]}\" ;;\n"
     "*layers_torch.py*) sed -n 's/turtle, stub/PyTorch 2.9 matmul/; s/0\\.002\\]/0.003]/p' \"$3\" "
     ";;\n"
     "*) echo '{\"case\": \"outer\", \"work\": 1, \"seconds\": [0.0050, 0.0051]}' ;; esac\n"},
    {"bin/bench-random_weights", ": >\"$2\"\n"},
    {"bin/bench-encoders",
     "[ \"$BROKEN\" ] && case $1 in *dinov2*) echo 'bench-encoders: features differ' >&2; exit 1 "
     ";; esac\n"
     "name=${1##*/} precision=\" $6\"; : >\"$5/features.npy\"; [ $6 = fp32 ] && precision=\n"
     "echo \"{\\\"case\\\": \\\"${name%.pt}$precision\\\", \\\"program\\\": \\\"turtle, stub\\\", "
     "\\\"threads\\\": 1, "
     "\\\"work\\\": 256, \\\"unit\\\": \\\"images/s\\\", \\\"peak\\\": 4000.0, \\\"flops\\\": "
     "4e13, \\\"predicted\\\": 2500, "
     "\\\"seconds\\\": [0.13, 0.1, 0.128]}\"\n"},
    {"bin/bench-layers",
     "[ $1 = attention ] && name='attention 4x16 50x50 64' || name='linear 65792x3072x1024'\n"
     "echo \"{\\\"case\\\": \\\"$name fp16\\\", \\\"program\\\": \\\"turtle, stub\\\", "
     "\\\"threads\\\": 1, \\\"work\\\": 400, "
     "\\\"unit\\\": \\\"GFLOP/s\\\", \\\"predicted\\\": 250000, \\\"seconds\\\": [0.002]}\"\n"},
    {"bin/nvidia-smi", "echo 'NVIDIA H200, 580.1'\n"},
    {"commit", "abc1234\n"},
};

/* Runs `run.sh STEPS` in a kit of such programs, with `variables` in its environment. Returns its status; *text is
 * what it printed, and how many programs it has left running; *table is the table that it left, or empty. */
static int run_kit(const char *steps, const char *variables, char **text, char **table) {
    char *folder = temporary_folder();
    char *made = format_text(
             "cd %s && mkdir -p kit/bin kit/tests/goldens kit/bench kit/built/kit && : "
             ">kit/built/recorded && : >kit/built/kit/turtle && echo %s/kit/built >kit/build",
             folder, folder),
         *copied = format_text("cp bench/gpu_kit_run %s/kit/run.sh && cp bench/run bench/table "
                               "%s/kit/bench/",
                               folder, folder);
    cr_assert(system(made) == 0 && system(copied) == 0);
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        char *path = format_text("%s/kit/%s", folder, programs[i][0]);
        const bool script = strncmp(programs[i][0], "bin/", 4) == 0;
        FILE *f = fopen(path, "w");
        cr_assert(f && fprintf(f, "%s%s", script ? "#!/bin/sh\n" : "", programs[i][1]) > 0 &&
                  fclose(f) == 0);
        cr_assert(chmod(path, 0755) == 0);
        free(path);
    }
    char *command = format_text(
        "cd %s/kit && PATH=%s/kit/bin:$PATH PYTHON=%s/kit/bin/python %s sh run.sh %s 2>&1; "
        "status=$?; left=0; for p in $(cat hung 2>/dev/null); do kill -0 $p 2>/dev/null && "
        "left=$((left + 1)); done; echo left: $left; exit $status",
        folder, folder, folder, variables, steps);
    FILE *f = popen(command, "r");
    cr_assert(f != NULL);
    *text = calloc(1, 1 << 16), *table = calloc(1, 1 << 14);
    (*text)[fread(*text, 1, (1 << 16) - 1, f)] = '\0';
    const int status = pclose(f);
    char *path = format_text("%s/kit/results/table.txt", folder);
    f = fopen(path, "r");
    if (f) (*table)[fread(*table, 1, (1 << 14) - 1, f)] = '\0', fclose(f);
    free(made), free(copied), free(command), free(path);
    remove_folder(folder);
    return status;
}

static int first_light(const char *variables, char **text, char **table) {
    return run_kit("first", variables, text, table);
}

/* Returns the line of the table that begins with `what`, or "". */
static const char *line_of(const char *table, const char *what) {
    static char line[256];
    const char *at = strstr(table, what);
    line[0] = '\0';
    if (at) snprintf(line, sizeof line, "%.*s", (int)strcspn(at, "\n"), at);
    return line;
}

Test(kit, first_light_prints_measured_beside_predicted, .timeout = 100) {
    char *text, *table;
    const int status = first_light("", &text, &table);
    cr_expect(status == 0, "%s", text);
    static const char *const expected[][3] = {
        {"layout ", "2 passed", ""},
        {"explicit cluster, clusters of 1", " 0 ", ""},
        {"clusters of 4 at once", " 31 ", " 33 "},
        {"hang ", "2 passed", ""},
        {"iteration C 100 d 768,1536", "0.5000 ms", "0.4000 ms    1.25"},
        {"goldens ", "2 passed", ""},
        {"ViT-L-14 fp16", "2000 images/s", "2500    0.80  50 % of peak, 312 TFLOP/s"},
        {"PyTorch, best, C 100 d 768,1536", "5.0500 ms", "10.1 times ours"},
        {"C 1000 with -DTURTLE_AB_OTHER", "0.7000 ms", "0.5000 ms    1.40"},
        {"L2 read 120 MB", " 4100 ", " 4300 "},
        {"C 1000 without any, once more", "0.5000 ms", "scatters"},
        {"sweep of 4 trainings, cuda, --jobs 4", " s ", "at most one after the other"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *line = line_of(table, expected[i][0]);
        cr_expect(strstr(line, expected[i][1]) && strstr(line, expected[i][2]), "%s: '%s' in\n%s",
                  expected[i][0], line, table);
    }
    cr_expect(strstr(text, "not explicit: its cluster barriers are barriers of the block"), "%s",
              text);
    free(text), free(table);
}

/* A step that hangs is stopped and named, the others run; what is not there is one line. */
Test(kit, a_step_that_hangs_is_stopped, .timeout = 100) {
    char *text, *table;
    const int status = first_light("HANG=1 LIMIT_hang=2 TORCH=False", &text, &table);
    cr_expect(status != 0 && strstr(text, "hang: stopped after 2 s"), "%s", text);
    cr_expect(strstr(line_of(table, "hang "), "stopped after 2 s") &&
                  strstr(table, "L2 read 24 MB"),
              "%s", table);
    cr_expect(strstr(text, "there is no PyTorch that sees a GPU") &&
                  !strstr(table, "PyTorch, best"),
              "%s", text);
    free(text), free(table);
}

/* `first` ends in time although one step takes long: those behind it are left out by name. */
Test(kit, first_light_has_an_end, .timeout = 100) {
    char *text, *table;
    first_light("HANG=1 LIMIT_first=7 LIMIT_hang=60", &text, &table);
    cr_expect(strstr(text, "side: left out: the time of first is over"), "%s", text);
    free(text), free(table);
}

/* Without a GPU no step begins, and no figure is printed. */
Test(kit, first_light_without_a_gpu_is_two_lines, .timeout = 100) {
    char *text, *table;
    const int status = first_light("NO_GPU=1", &text, &table);
    cr_expect(status != 0 && strstr(text, "finds no GPU: no driver\n"), "%s", text);
    cr_expect(!strstr(text, "layout") && table[0] == '\0', "%s%s", text, table);
    free(text), free(table);
}

/* A step that is stopped takes the programs that it runs along. */
Test(kit, a_stopped_step_leaves_no_program_behind, .timeout = 100) {
    char *text, *table;
    const int status =
        first_light("HANG=program LIMIT_hang=1 LIMIT_times=2 LIMIT_pairs=1", &text, &table);
    cr_expect(status != 0 && strstr(text, "times: stopped after 2 s"), "%s", text);
    cr_expect(strstr(text, "left: 0\n"), "%s", text);
    free(text), free(table);
}

/* The rows of bench/run stand in the table, beside their prediction or as a multiple of our time. */
Test(kit, encoders_stand_beside_prediction_and_pytorch, .timeout = 100) {
    char *text, *table;
    const int status = run_kit("encoders layers", "BENCH_ROUNDS=1", &text, &table);
    cr_expect(status == 0, "%s", text);
    static const char *const expected[][3] = {
        {"dinov2_vitg14 bf16 ", "2000 images/s", "2500    0.80"},
        {"siglip2so400m14_384 fp16, PyTorch 2.9", "1600 images/s", "1.25 times our time"},
        {"linear 65792x3072x1024 fp16 ", "2e+05 GFLOP/s", "250000    0.80"},
        {"attention 4x16 50x50 64 fp16, PyTorch 2.9 matmul", "1.333e+05 GFLOP/s",
         "1.50 times our time"},
    };
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        const char *line = line_of(table, expected[i][0]);
        cr_expect(strstr(line, expected[i][1]) && strstr(line, expected[i][2]), "%s: '%s' in\n%s",
                  expected[i][0], line, table);
    }
    free(text), free(table);
}

/* A program that fails is named, and the models behind it run; a step that is stopped leaves its rows in the table. */
Test(kit, encoders_go_on_behind_a_failure, .timeout = 100) {
    char *text, *table;
    int status = run_kit("encoders", "BROKEN=1", &text, &table);
    cr_expect(status != 0 && strstr(text, "left out, exit status 1") &&
                  strstr(table, "RN50x64 bf16, PyTorch 2.9") && !strstr(table, "dinov2_vitg14"),
              "%s%s", text, table);
    free(text), free(table);
    status = run_kit("encoders", "SLOW=1 LIMIT_encoders=6", &text, &table);
    cr_expect(status != 0 && strstr(text, "encoders: stopped after 6 s") &&
                  strstr(line_of(table, "RN50x64 bf16"), "2500") && !strstr(table, "PyTorch"),
              "%s%s", text, table);
    free(text), free(table);
    status = run_kit("encoders", "SLOW=1 BENCH_BUDGET=1 BENCH_MODELS=RN50 BENCH_PRECISIONS=fp16",
                     &text, &table);
    cr_expect(status == 0 && strstr(text, "stopped after 1 s") && strstr(table, "RN50 fp16"),
              "%s%s", text, table);
    free(text), free(table);
}

/* A folder that is asked for receives three files, whatever number of steps there was: the table, the summary, and an
 * archive of all. */
Test(kit, results_are_handed_over, .timeout = 100) {
    char *folder = temporary_folder(), *text, *table;
    char *out = format_text("OUT=%s/out", folder);
    cr_expect(run_kit("layout explicit", out, &text, &table) == 0, "%s", text);
    char *check = format_text("cd %s/out && ls | tr '\\n' ' ' && tar -tzf results.tar.gz | sort | "
                              "tr '\\n' ' ' && grep -c explicit table.txt",
                              folder);
    FILE *f = popen(check, "r");
    char listed[512] = "";
    cr_assert(f != NULL);
    listed[fread(listed, 1, sizeof listed - 1, f)] = '\0';
    cr_expect(pclose(f) == 0);
    cr_expect(strstr(listed, "results.tar.gz summary.txt table.txt ") == listed &&
                  strstr(listed, "./explicit.txt ") && strstr(listed, "./layout.txt ") &&
                  strstr(listed, "./summary.txt "),
              "%s\n%s", listed, text);
    free(text), free(table), free(out), free(check);
    remove_folder(folder);
}
