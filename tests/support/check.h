/* check.h - the vocabulary of all tests: distances, temporary folders, the program as users run it. */
#ifndef TURTLE_TESTS_SUPPORT_CHECK_H
#define TURTLE_TESTS_SUPPORT_CHECK_H

#include <criterion/criterion.h>
#include <ftw.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "host/turtle.h"
#include "io/files/file.h"

/* Under AddressSanitizer everything is ten times as slow. Tests that pass through the same code many times do it less often
 * there, for errors of memory do not wait for the thousandth pass; TURTLE_TEST_FULL does all of it. */
static inline bool slow_build(void) {
#if defined(__SANITIZE_ADDRESS__)
    return getenv("TURTLE_TEST_FULL") == NULL;
#else
    return false;
#endif
}

/* Returns ||a - b|| / ||b||: 0 for equal arrays, NaN where either holds one. */
static inline double relative_error(const float *a, const float *b, int64_t n) {
    double difference = 0.0, length = 0.0;
    for (int64_t i = 0; i < n; i++) {
        difference += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        length += (double)b[i] * b[i];
    }
    return difference == 0.0 ? 0.0 : sqrt(difference) / sqrt(length);
}

/* Returns ||a - b|| / ||b|| against a reference in double. */
static inline double relative_error_f64(const float *a, const double *b, int64_t n) {
    double difference = 0.0, length = 0.0;
    for (int64_t i = 0; i < n; i++) {
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        length += b[i] * b[i];
    }
    return difference == 0.0 ? 0.0 : sqrt(difference) / sqrt(length);
}

#define EXPECT_CLOSE(error, limit, ...)                                     \
    do {                                                                    \
        const double error_ = (error);                                      \
        cr_expect(error_ <= (limit), __VA_ARGS__);                          \
        if (getenv("TURTLE_TEST_SHOW")) {                                   \
            fprintf(stderr, "%.3g (limit %.1g) ", error_, (double)(limit)); \
            fprintf(stderr, __VA_ARGS__);                                   \
            fputc('\n', stderr);                                            \
        }                                                                   \
    } while (0)

/* Asserts that a status is OK; its message is the failure. */
#define ASSERT_OK(status, error) cr_assert((status) == OK, "%s", (error).text)

/* Returns whether another machine is emulated (tests/machines says so), whose limits of memory are the emulator's. */
static inline bool emulated(void) {
    return getenv("TURTLE_TEST_EMULATED") != NULL;
}

/* --- folders ---------------------------------------------------------------------------------- */

static inline char *temporary_folder(void) {
    const char *base = getenv("TMPDIR");
    char *path = format_text("%s/turtle-test-XXXXXX", base && *base ? base : "/tmp");
    cr_assert(path && mkdtemp(path), "no temporary folder");
    return path;
}

static inline int remove_entry(const char *path, const struct stat *s, int kind, struct FTW *walk) {
    (void)s, (void)kind, (void)walk;
    return remove(path);
}

static inline void remove_folder(char *path) {
    nftw(path, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(path);
}

static inline void write_bytes(const char *path, const void *bytes, size_t n) {
    FILE *f = fopen(path, "wb");
    cr_assert(f && fwrite(bytes, 1, n, f) == n && fclose(f) == 0, "%s: cannot be written", path);
}

static inline bool same_files(const char *a, const char *b) {
    FileMap x, y;
    Error err;
    const bool opened = file_map(&x, a, &err) == OK && file_map(&y, b, &err) == OK;
    const bool same = opened && x.bytes == y.bytes &&
                      (x.bytes == 0 || memcmp(x.data, y.data, (size_t)x.bytes) == 0);
    if (opened) file_unmap(&x), file_unmap(&y);
    return same;
}

/* Returns how many files below a folder have `part` in their names. */
static inline int count_files(const char *folder, const char *part) {
    char *command = format_text("find '%s' -type f -name '*%s*' | wc -l", folder, part);
    FILE *f = popen(command, "r");
    int n = -1;
    cr_assert(f && fscanf(f, "%d", &n) == 1);
    pclose(f);
    free(command);
    return n;
}

/* --- the program ------------------------------------------------------------------------------ */

typedef struct {
    int status;    /* exit status; 128 + n after signal n */
    long peak_kib; /* largest resident set, in KiB */
    char out[16384], err[8192];
} Ran;

static inline void read_text(char *text, size_t bytes, const char *path) {
    FILE *f = fopen(path, "rb");
    const size_t n = f ? fread(text, 1, bytes - 1, f) : 0;
    text[n] = '\0';
    if (f) fclose(f);
}

/* Runs `turtle <arguments>` through the shell and waits. */
PRINTF_LIKE(2, 3) static inline void run_turtle(Ran *ran, const char *format, ...) {
    char arguments[8192];
    va_list args;
    va_start(args, format);
    vsnprintf(arguments, sizeof arguments, format, args);
    va_end(args);
    char *folder = temporary_folder();
    char *command =
        format_text("exec " TURTLE_PROGRAM " %s >%s/out 2>%s/err", arguments, folder, folder);
    char *out = format_text("%s/out", folder), *err = format_text("%s/err", folder);
    fflush(NULL);
    const pid_t pid = fork();
    cr_assert(pid >= 0);
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int state = 0;
    struct rusage usage;
    cr_assert(wait4(pid, &state, 0, &usage) == pid);
    ran->status = WIFEXITED(state) ? WEXITSTATUS(state) : 128 + WTERMSIG(state);
    ran->peak_kib = usage.ru_maxrss;
    read_text(ran->out, sizeof ran->out, out);
    read_text(ran->err, sizeof ran->err, err);
    free(command);
    free(out);
    free(err);
    remove_folder(folder);
}

/* Returns the number behind "key": in JSON; fails the test where it is missing or null. */
static inline double json_number(const char *json, const char *key) {
    char *quoted = format_text("\"%s\": ", key), *end;
    const char *at = strstr(json, quoted);
    cr_assert(at != NULL, "no %s in %s", key, json);
    const double value = strtod(at + strlen(quoted), &end);
    cr_assert(end != at + strlen(quoted), "%s is no number in %s", key, json);
    free(quoted);
    return value;
}

/* The recorded features and labels, as make unpacks them (data/unpack). */
#define DEMO TURTLE_BUILD "/data/demo"
#define DEMO_TRAIN                                                      \
    "--features " DEMO "/representations/patches/mnist_train.npy " DEMO \
    "/representations/gabor/mnist_train.npy"
#define DEMO_VAL                                                          \
    "--val_features " DEMO "/representations/patches/mnist_val.npy " DEMO \
    "/representations/gabor/mnist_val.npy --val_labels " DEMO "/labels/mnist_val.npy"

#endif
