/* runner.c - runs the tests of criterion/criterion.h, each in a child process.
 *
 * usage: PROGRAM [--filter '@(suite|other)/name*'] [--jobs N] [--tap=FILE] [--timeout S] [--quiet] [--verbose]
 *     --tap       a line a test, as it ends: so a run that is stopped leaves what it had
 *     --timeout   seconds of a test that has no limit of its own
 * TURTLE_TEST_PATIENCE multiplies all limits. The last line says `N passed, N failed, N skipped`.
 * Exit status: 0 if tests ran and none has failed. */
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/runner/criterion/criterion.h"

/* --- what the macros of a test call ------------------------------------------------------------- */

static OwnTest *first, **last = &first;
static int failed;  /* failed conditions of this child */
static int reasons; /* where this child says why it is skipped */
enum { SKIPPED = 77 };

void own_test_add(OwnTest *test) {
    *last = test;
    last = &test->next;
}

static void say_failed(const char *file, int line, const char *condition, const char *format,
                       va_list args) {
    char text[8192];
    vsnprintf(text, sizeof text, format, args);
    fprintf(stderr, "%s:%d: not so: %s%s%s\n", file, line, condition, text[1] ? ":" : "",
            text[1] ? text : "");
    failed++;
}
void own_test_failed(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_failed(file, line, condition, format, args);
    va_end(args);
}
void own_test_ends(const char *file, int line, const char *condition, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say_failed(file, line, condition, format, args);
    va_end(args);
    exit(1);
}
void own_test_skip(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vdprintf(reasons, format, args);
    va_end(args);
    exit(SKIPPED);
}

/* --- the runner --------------------------------------------------------------------------------- */

/* The child of one test, when it began, and the pipe by which it says why it is skipped. */
typedef struct {
    pid_t id;
    const OwnTest *test;
    int reasons;
    struct timespec begun;
} Child;

static struct {
    FILE *tap;
    bool quiet;
    double patience, timeout;
    int passed, failed, skipped;
} runner;

static Child start(const OwnTest *test) {
    Child c = {.test = test};
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) exit(1);
    clock_gettime(CLOCK_MONOTONIC, &c.begun);
    c.id = fork();
    if (c.id < 0) exit(1);
    if (c.id == 0) {
        const double limit = test->limits->timeout > 0.0 ? test->limits->timeout : runner.timeout;
        reasons = ends[1];
        close(ends[0]);
        if (limit > 0.0) alarm((unsigned)(limit * runner.patience) + 1);
        test->run();
        exit(failed > 0); /* sanitizers make another status of it where they have reported */
    }
    close(ends[1]);
    c.reasons = ends[0];
    return c;
}

static void finish(const Child *c, int status) {
    char why[256] = "";
    const char *suite = c->test->suite, *name = c->test->name;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    const double seconds =
        (double)(now.tv_sec - c->begun.tv_sec) + 1e-9 * (double)(now.tv_nsec - c->begun.tv_nsec);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    if (code == SKIPPED && read(c->reasons, why, sizeof why - 1) > 0) {
        runner.skipped++;
        fprintf(runner.tap, "ok - %s::%s # SKIP%s\n", suite, name, why);
    } else {
        *(code ? &runner.failed : &runner.passed) += 1;
        fprintf(runner.tap, "%s - %s::%s  (%.2fs)\n", code ? "not ok" : "ok", suite, name, seconds);
        if (code) fprintf(stderr, "[FAIL] %s::%s: ", suite, name);
        if (code == -SIGALRM) fprintf(stderr, "stopped after %.0f s\n", seconds);
        else if (code) fprintf(stderr, "%s %d\n", code < 0 ? "signal" : "status", abs(code));
        else if (!runner.quiet) fprintf(stderr, "[PASS] %s::%s: (%.2fs)\n", suite, name, seconds);
    }
    fflush(runner.tap);
    close(c->reasons);
}

/* Returns whether a filter names the test. Its first @(a|b) is tried part by part: not every fnmatch knows it. */
static bool is_named(const char *filter, const OwnTest *test) {
    char path[512], pattern[512];
    const char *open = strstr(filter, "@(");
    const char *close = open ? strchr(open, ')') : NULL;
    snprintf(path, sizeof path, "%s/%s", test->suite, test->name);
    if (!close) return fnmatch(filter, path, 0) == 0;
    for (const char *part = open + 2; part < close;) {
        const int n = (int)strcspn(part, "|)");
        snprintf(pattern, sizeof pattern, "%.*s%.*s%s", (int)(open - filter), filter, n, part,
                 close + 1);
        if (fnmatch(pattern, path, 0) == 0) return true;
        part += n + 1;
    }
    return false;
}

int main(int argc, char **argv) {
    const char *filter = "*", *patience = getenv("TURTLE_TEST_PATIENCE");
    int jobs = 1, running = 0;
    runner.patience = patience ? atof(patience) : 1.0;
    for (int i = 1; i < argc; i++) {
        const char *with = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--filter") == 0) filter = with, i++;
        else if (strcmp(argv[i], "--jobs") == 0) jobs = atoi(with), i++;
        else if (strcmp(argv[i], "--timeout") == 0) runner.timeout = atof(with), i++;
        else if (strncmp(argv[i], "-j", 2) == 0) jobs = atoi(argv[i] + 2);
        else if (strncmp(argv[i], "--tap=", 6) == 0) runner.tap = fopen(argv[i] + 6, "w");
        else if (strcmp(argv[i], "--quiet") == 0) runner.quiet = true;
        else if (strcmp(argv[i], "--verbose") != 0)
            return fprintf(stderr, "%s: unknown: %s\n", argv[0], argv[i]), 2;
    }
    if (!runner.tap) runner.tap = fopen("/dev/null", "w");
    if (jobs < 1) jobs = 1;
    Child *children = calloc((size_t)jobs, sizeof *children);
    if (!runner.tap || !children) return 1;
    for (const OwnTest *t = first; t || running;) {
        if (t && running < jobs) {
            if (is_named(filter, t)) children[running++] = start(t);
            t = t->next;
            continue;
        }
        int status, i = 0;
        const pid_t ended = waitpid(-1, &status, 0);
        while (i < running && children[i].id != ended) i++;
        if (i == running) continue;
        finish(&children[i], status);
        children[i] = children[--running];
    }
    fclose(runner.tap);
    free(children);
    fprintf(stderr, "%d passed, %d failed, %d skipped\n", runner.passed, runner.failed,
            runner.skipped);
    return runner.failed > 0 || runner.passed + runner.skipped == 0;
}
