/* device_memory.h - memory that the operations under test and the host both read: malloc in
 * tests-cpu, cudaMallocManaged (device_memory.cu) in tests-emu and tests-cuda. */
#ifndef TURTLE_TESTS_GPU_DEVICE_MEMORY_H
#define TURTLE_TESTS_GPU_DEVICE_MEMORY_H

#include <stdlib.h>

#if defined(TEST_CUDA)
#ifdef __cplusplus
extern "C" {
#endif
int test_devices(void); /* CUDA devices; the emulator is one */
/* Zeros, aligned to 64 bytes at least (16 in tests-cpu); NULL where there is no device. */
void *test_alloc(size_t bytes);
void test_free(void *memory);
/* The emulator's next launches are scheduled from another seed; a GPU schedules as it likes. */
void test_schedule(int run);
#ifdef __cplusplus
}
#endif
#else
static inline void *test_alloc(size_t bytes) {
    return calloc(bytes ? bytes : 1, 1);
}
static inline void test_free(void *memory) {
    free(memory);
}
static inline void test_schedule(int run) {
    (void)run;
}
#endif

/* Skips the test where there is no CUDA device; fails it if one was asked for. */
#if defined(TEST_CUDA) && !defined(__cplusplus)
#include <criterion/criterion.h>
static inline void need_gpu(void) {
    if (test_devices() > 0) return;
    cr_assert(!getenv("REQUIRE_GPU"), "a GPU run was asked for but there is no CUDA device");
    cr_skip_test("no CUDA device");
}
#elif !defined(TEST_CUDA)
static inline void need_gpu(void) {}
#endif

#endif
