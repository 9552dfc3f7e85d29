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
     "case $1 in -c) echo \"${TORCH:-True}\" ;;\n"
     "*) echo '{\"case\": \"outer\", \"work\": 1, \"seconds\": [0.0050, 0.0051]}' ;; esac\n"},
    {"bin/nvidia-smi", "echo 'NVIDIA H200, 580.1'\n"},
    {"commit", "abc1234\n"},
};

/* Runs `run.sh first` in a kit of such programs, with `variables` in its environment. Returns its status; *text is
 * what it printed, and how many programs it has left running; *table is the table that it left, or empty. */
static int first_light(const char *variables, char **text, char **table) {
    char *folder = temporary_folder();
    char *made = format_text(
             "cd %s && mkdir -p kit/bin kit/tests/goldens kit/bench kit/built/kit && : "
             ">kit/bench/run && "
             ": >kit/built/recorded && : >kit/built/kit/turtle && echo %s/kit/built >kit/build",
             folder, folder),
         *copied = format_text("cp bench/gpu_kit_run %s/kit/run.sh", folder);
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
        "cd %s/kit && PATH=%s/kit/bin:$PATH PYTHON=%s/kit/bin/python %s sh run.sh first 2>&1; "
        "status=$?; left=0; for p in $(cat hung 2>/dev/null); do kill -0 $p 2>/dev/null && "
        "left=$((left + 1)); done; echo left: $left; exit $status",
        folder, folder, folder, variables);
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
