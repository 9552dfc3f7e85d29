/* toy_test.c - the toy of data/toy finds, draws and loses what its README says. */
#include "tests/support/check.h"

enum { MOST_LINES = 24 };

/* The toy prints this for one iteration or seed. */
typedef struct {
    double loss, share[3]; /* of a, b, c */
    int size[4];
} Line;

/* Returns the call of the toy that lies beside the program under test. */
static char *toy_call(const char *arguments) {
    char program[4096] = TURTLE_PROGRAM;
    char *turtle = strstr(strrchr(program, '/'), "turtle"); /* turtle-under: by an emulator */
    cr_assert(turtle);
    memcpy(turtle, "toy", 3);
    memmove(turtle + 3, turtle + 6, strlen(turtle + 6) + 1);
    return format_text("%s %s", program, arguments);
}

/* Runs the toy and reads its lines. Returns how many there were. */
static int run_toy(Line lines[MOST_LINES], const char *arguments) {
    char text[512], *command = toy_call(arguments);
    FILE *f = popen(command, "r");
    int n = 0;
    cr_assert(f, "%s", command);
    while (fgets(text, sizeof text, f)) {
        if (strncmp(text, "found: ", 7) == 0) continue;
        Line *line = &lines[n++];
        *line = (Line){.loss = -1};
        cr_assert(n < MOST_LINES);
        cr_assert(sscanf(text, "%*s %*d loss %lf entropy %*f a %lf b %lf c %lf sizes %d %d %d %d",
                         &line->loss, &line->share[0], &line->share[1], &line->share[2],
                         &line->size[0], &line->size[1], &line->size[2], &line->size[3]) >= 6,
                  "%s", text);
    }
    cr_assert(pclose(f) == 0, "%s", command);
    free(command);
    return n;
}

/* Returns how many lines have found a bit: all samples but one in a hundred. */
static int found(const Line *lines, int n, int bit) {
    int count = 0;
    for (int i = 0; i < n; i++) count += lines[i].share[bit] > 0.99;
    return count;
}

static int empty_classes(const Line *lines, int n) {
    int count = 0;
    for (int i = 0; i < n; i++) count += lines[i].size[0] == 0 || lines[i].size[1] == 0;
    return count;
}

/* Other instruction sets round otherwise, which may turn a seed or two. */
enum { TURNS = 2 };

Test(toy, two_views_decide_and_one_does_not, .timeout = 120) {
    Line lines[MOST_LINES];
    int n = run_toy(lines, "--spaces 1 --seeds 20");
    cr_expect(n == 20 && abs(found(lines, n, 0) - 10) <= TURNS, "a: %d", found(lines, n, 0));
    cr_expect(found(lines, n, 0) + found(lines, n, 1) == 20, "b: %d", found(lines, n, 1));
    n = run_toy(lines, "--seeds 20");
    cr_expect(abs(found(lines, n, 0) - 18) <= TURNS, "a: %d", found(lines, n, 0));
    cr_expect(found(lines, n, 1) + found(lines, n, 2) == 0);
}

Test(toy, without_the_entropy_classes_are_empty, .timeout = 120) {
    Line lines[MOST_LINES];
    int n = run_toy(lines, "--shift 2 --gamma 0 --seeds 20");
    cr_expect(n == 20 && abs(empty_classes(lines, n) - 18) <= TURNS, "%d", empty_classes(lines, n));
    n = run_toy(lines, "--shift 2 --gamma 1 --seeds 20");
    cr_expect(n == 20 && empty_classes(lines, n) == 0);
    cr_expect(abs(found(lines, n, 0) - 19) <= TURNS, "a: %d", found(lines, n, 0));
}

Test(toy, too_many_classes_split_clusters, .timeout = 120) {
    Line lines[MOST_LINES];
    int n = run_toy(lines, "--spaces 1 --classes 4");
    const Line last = lines[n - 1], *one = &last;
    cr_expect(n == 4 && one->share[0] == 1.0 && one->share[1] == 1.0 && one->loss < 0.3);
    for (int c = 0; c < 4; c++) cr_expect(one->size[c] == 60, "class %d: %d", c, one->size[c]);
    n = run_toy(lines, "--classes 4");
    const Line *two = &lines[n - 1];
    cr_expect(two->share[0] > 0.99 && two->share[1] < 0.9 && two->share[2] < 0.9);
    cr_expect(two->loss > 5 * one->loss, "%g and %g", two->loss, one->loss);
}

/* Returns whether the texts are equal but for numbers that differ by at most two pixels. */
static bool nearly_equal(const char *a, const char *b) {
    while (*a && *b) {
        if (*a >= '0' && *a <= '9' && *b >= '0' && *b <= '9') {
            char *after_a, *after_b;
            if (labs(strtol(a, &after_a, 10) - strtol(b, &after_b, 10)) > 2) return false;
            a = after_a, b = after_b;
        } else if (*a++ != *b++) return false;
    }
    return *a == *b;
}

/* The pictures of the README are those that `make toy` draws. */
Test(toy, draws_the_pictures_of_the_readme, .timeout = 60) {
    static const int iterations[] = {0, 10, 100, 300};
    static char drawn[1 << 15], kept[1 << 15];
    char *folder = temporary_folder(), *arguments = format_text("--out %s", folder);
    Line lines[MOST_LINES];
    size_t bytes = 0;
    cr_expect(run_toy(lines, arguments) == 4);
    for (int i = 0; i < 4; i++) {
        char *path = format_text("%s/labels_%d.svg", folder, iterations[i]);
        char *tracked = format_text("data/toy/labels_%d.svg", iterations[i]);
        read_text(drawn, sizeof drawn, path);
        read_text(kept, sizeof kept, tracked);
        bytes += strlen(kept);
        cr_expect(strlen(kept) > 1000 && nearly_equal(drawn, kept), "%s is another one", tracked);
        free(path), free(tracked);
    }
    cr_expect(bytes < 100000, "%zu bytes", bytes);
    free(arguments);
    remove_folder(folder);
}

/* A picture replaces an older one whole; one that cannot be written is a failure in one line. */
Test(toy, pictures_are_whole_or_refused, .timeout = 60) {
    static char drawn[1 << 15];
    char *folder = temporary_folder(), text[512] = "";
    char *first = format_text("%s/labels_0.svg", folder),
         *last = format_text("%s/labels_1.svg", folder),
         *arguments = format_text("--T 1 --out %s 2>&1 >/dev/null", folder),
         *command = toy_call(arguments);
    write_bytes(first, "old", 3);
    cr_assert(symlink("/dev/full", last) == 0);
    FILE *f = popen(command, "r");
    cr_assert(f && fgets(text, sizeof text, f));
    cr_expect(pclose(f) != 0 && strncmp(text, "toy: ", 5) == 0 && strstr(text, "labels_1.svg"),
              "%s", text);
    read_text(drawn, sizeof drawn, first);
    cr_expect(strncmp(drawn, "<svg ", 5) == 0 && strstr(drawn, "</svg>"), "%s", drawn);
    free(first), free(last), free(arguments), free(command);
    remove_folder(folder);
}

/* A word that is no setting is refused in one line that names it; lines that cannot be written are a failure. */
Test(toy, settings_that_are_none_are_refused) {
    static const char *const bad[] = {
        "--shift x 2>&1",     "--gamma nan 2>&1",     "--shift inf 2>&1", "--classes 2.5 2>&1",
        "--classes 100 2>&1", "--spaces 3 2>&1",      "--T -1 2>&1",      "--T 2>&1",
        "--shape 3 2>&1",     "--T 1 2>&1 >/dev/full"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512], more[512], *command = toy_call(bad[i]);
        FILE *f = popen(command, "r");
        cr_assert(f, "%s", command);
        cr_expect(fgets(text, sizeof text, f) && strncmp(text, "toy: ", 5) == 0, "%s", bad[i]);
        cr_expect(!fgets(more, sizeof more, f), "%s", bad[i]);
        cr_expect(pclose(f) != 0, "%s", bad[i]);
        free(command);
    }
}

/* The tests above run all that the READMEs ask of `make toy`. */
Test(toy, settings_of_the_readmes_are_run) {
    static const char *const readmes[] = {"data/toy/README.md", "host/train/README.md"};
    static char text[1 << 16], tests[1 << 14];
    int found_any = 0;
    read_text(tests, sizeof tests, "tests/cpu/program/toy_test.c");
    for (int i = 0; i < 2; i++) {
        read_text(text, sizeof text, readmes[i]);
        for (char *at = text; (at = strstr(at, "\n    make toy TOY=\"")); found_any++) {
            at += strlen("\n    make toy TOY=\"");
            char *settings = format_text("lines, \"%.*s\")", (int)strcspn(at, "\""), at);
            cr_expect(strstr(tests, settings), "%s: no test has %s", readmes[i], settings);
            free(settings);
        }
    }
    cr_expect(found_any >= 8, "the READMEs have %d calls", found_any);
}
