/* race_runner.c - runs Criterion's tests under ThreadSanitizer, which keeps addresses for itself that
 * Criterion wants. It is linked instead of -lcriterion; a test is a child process here too.
 *
 * usage: PROGRAM [--filter '@(suite|other)/name*'] [--jobs N] [--tap=FILE] [--quiet] */
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <criterion/options.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- what the macros of a test call ------------------------------------------------------------- */

struct criterion_options criterion_options;
static int failed; /* failed assertions of this child */
enum { SKIPPED = 77, ABORTED = 78 };

int cr_asprintf(char **out, const char *format, ...) {
    va_list args;
    va_start(args, format);
    const int n = vasprintf(out, format, args);
    va_end(args);
    return n;
}
void cr_asprintf_free(char *text) {
    free(text);
}
char *cr_translate_assert_msg(int message, ...) {
    va_list args;
    va_start(args, message);
    char *text = strdup(va_arg(args, const char *));
    va_end(args);
    return text;
}
void cri_asserts_passed_incr(void) {}
void criterion_send_assert(struct criterion_assert_stats *stats) {
    if (stats->passed) return;
    failed++;
    fprintf(stderr, "%s:%u: %s\n", stats->file, stats->line, stats->message);
}
void criterion_continue_test(void) {}
void criterion_abort_test(void) {
    exit(ABORTED);
}
void criterion_skip_test(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stdout, format, args); /* the parent reads it */
    va_end(args);
    fflush(stdout);
    exit(SKIPPED);
}
void criterion_test_die(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    exit(ABORTED);
}
void cr_log(enum criterion_severity severity, const char *format, ...) {
    va_list args;
    (void)severity;
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
}
void criterion_internal_test_setup(void) {}
void criterion_internal_test_main(void (*test)(void)) {
    test();
}
void criterion_internal_test_teardown(void) {}

/* --- the runner --------------------------------------------------------------------------------- */

/* The array that the linker makes of the tests that Test() defines. */
extern struct criterion_test *__start_cr_tst[], *__stop_cr_tst[];

/* The child of one test, and the pipe by which it says why it is skipped. */
struct Child {
    pid_t id;
    const struct criterion_test *test;
    int says;
};

static struct Child start(const struct criterion_test *test) {
    int ends[2];
    fflush(NULL);
    if (pipe(ends) != 0) exit(1);
    const pid_t id = fork();
    if (id == 0) {
        dup2(ends[1], 1);
        close(ends[0]);
        close(ends[1]);
        if (test->data->timeout > 0.0) alarm(10 * (unsigned)test->data->timeout);
        if (test->data->init) test->data->init();
        test->test();
        if (test->data->fini) test->data->fini();
        exit(failed > 0); /* ThreadSanitizer makes another status of it where it has reported */
    }
    close(ends[1]);
    return (struct Child){id, test, ends[0]};
}

/* Reports the end of a child. Returns 1 if its test failed. */
static int finish(const struct Child *c, int status, FILE *tap, bool quiet) {
    char why[256] = "";
    const char *category = c->test->category, *name = c->test->name;
    const ssize_t n = read(c->says, why, sizeof why - 1);
    why[n > 0 ? n : 0] = '\0';
    close(c->says);
    const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    if (code == SKIPPED) {
        fprintf(tap, "ok - %s::%s # SKIP %s\n", category, name, why);
        return 0;
    }
    fprintf(tap, "%s - %s::%s\n", code ? "not ok" : "ok", category, name);
    if (code)
        fprintf(stderr, "[FAIL] %s::%s: %s %d\n", category, name, code < 0 ? "signal" : "status",
                abs(code));
    else if (!quiet) fprintf(stderr, "[PASS] %s::%s\n", category, name);
    return code != 0;
}

int main(int argc, char **argv) {
    const char *filter = "*";
    bool quiet = false;
    int jobs = 1, running = 0, bad = 0, count = 0;
    FILE *tap = NULL;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--filter") == 0 && i + 1 < argc) filter = argv[++i];
        else if (strcmp(argv[i], "--jobs") == 0 && i + 1 < argc) jobs = atoi(argv[++i]);
        else if (strncmp(argv[i], "-j", 2) == 0) jobs = atoi(argv[i] + 2);
        else if (strncmp(argv[i], "--tap=", 6) == 0) tap = fopen(argv[i] + 6, "w");
        else if (strcmp(argv[i], "--quiet") == 0) quiet = true;
        else return fprintf(stderr, "%s: unknown: %s\n", argv[0], argv[i]), 2;
    }
    if (!tap) tap = fopen("/dev/null", "w");
    if (jobs < 1) jobs = 1;
    struct Child *children = calloc((size_t)jobs, sizeof *children);
    if (!tap || !children) return 1;
    for (struct criterion_test **t = __start_cr_tst; t < __stop_cr_tst || running;) {
        if (t < __stop_cr_tst && running < jobs) {
            const struct criterion_test *test = *t++;
            char path[256];
            if (!test) continue;
            snprintf(path, sizeof path, "%s/%s", test->category, test->name);
            if (test->data->disabled || fnmatch(filter, path, FNM_EXTMATCH) != 0) continue;
            children[running++] = start(test);
            count++;
            continue;
        }
        int status, i = 0;
        const pid_t ended = waitpid(-1, &status, 0);
        while (i < running && children[i].id != ended) i++;
        if (i == running) continue;
        bad += finish(&children[i], status, tap, quiet);
        children[i] = children[--running];
    }
    fclose(tap);
    free(children);
    fprintf(stderr, "%d tests, %d failed\n", count, bad);
    return bad > 0;
}
