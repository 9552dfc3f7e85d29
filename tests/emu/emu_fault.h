/* emu_fault.h - runs wrong kernels, each in a child process, and reads its last words. */
#ifndef TURTLE_TESTS_EMU_EMU_FAULT_H
#define TURTLE_TESTS_EMU_EMU_FAULT_H

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/emu/emu_test.h"

extern "C" void __sanitizer_set_report_fd(void *fd) __attribute__((weak));

/* --- the child -------------------------------------------------------------------------------- */

struct Words {
    int status;
    char text[1 << 14];
};

/* Returns the report of a child in which fault() ran, and how the child ended. */
static inline Words *last_words(void (*fault)()) {
    static Words words;
    int ends[2];
    size_t n = 0;
    fflush(NULL);
    cr_assert(pipe(ends) == 0);
    const pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        alarm(100); /* a child that hangs reports nothing */
        dup2(ends[1], 2);
        close(ends[0]);
        signal(SIGABRT, SIG_DFL);
        signal(SIGSEGV, SIG_DFL);
        if (__sanitizer_set_report_fd) __sanitizer_set_report_fd((void *)2);
        fault();
        cudaDeviceSynchronize();
        _exit(0);
    }
    close(ends[1]);
    for (ssize_t got; (got = read(ends[0], words.text + n, sizeof words.text - 1 - n)) > 0;)
        n += (size_t)got;
    words.text[n] = '\0';
    close(ends[0]);
    cr_assert(waitpid(child, &words.status, 0) == child);
    return &words;
}

/* Expects that fault() ends with a report that says `says`, or what AddressSanitizer would say instead. */
static inline void expect_fault(void (*fault)(), const char *says, const char *or_says = NULL) {
    for (const char *seed : {"1", "2", "3"}) {
        setenv("EMU_SEED", seed, 1);
        const Words *w = last_words(fault);
        cr_expect(strstr(w->text, says) || (or_says && strstr(w->text, or_says)),
                  "seed %s: expected '%s', got: %s", seed, says, w->text);
        cr_expect(!(WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0), "it went on: %s", says);
    }
}

/* Expects that ThreadSanitizer finds a race under any schedule. Without it nothing is claimed. */
static inline void expect_race(void (*fault)(), const char *where) {
    if (!RACE) cr_skip_test("found under CONFIG=race");
    for (const char *seed : {"1", "2", "3"}) {
        setenv("EMU_SEED", seed, 1);
        const Words *w = last_words(fault);
        cr_expect(strstr(w->text, "ThreadSanitizer: data race") && strstr(w->text, where),
                  "seed %s: no race at '%s': %s", seed, where, w->text);
    }
}
/* Expects that a right kernel reports nothing. */
static inline void expect_silence(void (*right)()) {
    const Words *w = last_words(right);
    cr_expect(WIFEXITED(w->status) && WEXITSTATUS(w->status) == 0 && !w->text[0], "%s", w->text);
}

static inline float *floats() {
    static float *memory;
    if (!memory) cudaMalloc((void **)&memory, 1024 * sizeof *memory);
    return memory;
}
static inline float float_at(int i) {
    float x = 0.0f;
    cudaMemcpy(&x, floats() + i, sizeof x, cudaMemcpyDeviceToHost);
    return x;
}

#endif
