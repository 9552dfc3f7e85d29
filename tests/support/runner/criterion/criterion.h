/* criterion.h - what our tests use of Criterion, for machines and tools that cannot have it: another C library, an
 * emulated processor, ThreadSanitizer, a kit that brings no libraries. runner.c runs the tests. RUNNER=own chooses both.
 *
 *     Test(suite, name, .timeout = seconds)    a test; it runs in a child process
 *     cr_assert, cr_expect                     a condition, then a message if one likes; cr_assert ends the test
 *     cr_skip_test, cr_log_warn                a reason, as for printf */
#ifndef TURTLE_TESTS_SUPPORT_RUNNER_CRITERION_H
#define TURTLE_TESTS_SUPPORT_RUNNER_CRITERION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    double timeout; /* seconds; 0: no limit */
} OwnLimits;
typedef struct OwnTest {
    const char *suite, *name;
    void (*run)(void);
    const OwnLimits *limits;
    struct OwnTest *next; /* filled in by own_test_add */
} OwnTest;

void own_test_add(OwnTest *test);
/* A condition of the running test is false: the test goes on and fails, or it ends. */
__attribute__((format(printf, 4, 5))) void
own_test_failed(const char *file, int line, const char *condition, const char *format, ...);
__attribute__((format(printf, 4, 5), noreturn)) void
own_test_ends(const char *file, int line, const char *condition, const char *format, ...);
__attribute__((format(printf, 1, 2), noreturn)) void own_test_skip(const char *format, ...);

#ifdef __cplusplus
}
#endif

#define Test(of, called, ...)                                                 \
    static void of##_##called##_run(void);                                    \
    static const OwnLimits of##_##called##_limits = {__VA_ARGS__};            \
    static OwnTest of##_##called##_test = {#of, #called, of##_##called##_run, \
                                           &of##_##called##_limits, NULL};    \
    __attribute__((constructor)) static void of##_##called##_add(void) {      \
        own_test_add(&of##_##called##_test);                                  \
    }                                                                         \
    static void of##_##called##_run(void)

/* A message begins with a space, for compilers warn of an empty format. */
#define OWN_CHECK(failed, is_so, text, ...) \
    ((is_so) ? (void)0 : failed(__FILE__, __LINE__, text, " " __VA_ARGS__))
#define cr_assert(is_so, ...) OWN_CHECK(own_test_ends, is_so, #is_so, __VA_ARGS__)
#define cr_expect(is_so, ...) OWN_CHECK(own_test_failed, is_so, #is_so, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) OWN_CHECK(own_test_failed, (a) == (b), #a " == " #b, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) \
    OWN_CHECK(own_test_failed, strcmp(a, b) == 0, #a " is " #b, __VA_ARGS__)
#define cr_expect_str_empty(a, ...) \
    OWN_CHECK(own_test_failed, (a)[0] == '\0', #a " is empty", __VA_ARGS__)
#define cr_assert_fail(...) own_test_ends(__FILE__, __LINE__, "cr_assert_fail", " " __VA_ARGS__)
#define cr_skip_test(...) own_test_skip(" " __VA_ARGS__)
#define cr_log_warn(...) fprintf(stderr, " " __VA_ARGS__)

#endif
