/* emu_test.h - shared by the tests of the emulator: memory, launches, children that must fail. */
#ifndef TURTLE_TESTS_EMU_EMU_TEST_H
#define TURTLE_TESTS_EMU_EMU_TEST_H

#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/tile/tile.cuh"

#define OKAY(call)                                                                   \
    do {                                                                             \
        const cudaError_t error_ = (call);                                           \
        cr_assert(error_ == cudaSuccess, "%s: %s", #call, cudaGetErrorName(error_)); \
    } while (0)

template <class T> T *device_memory(size_t n) {
    void *out = NULL;
    OKAY(cudaMalloc(&out, n * sizeof(T)));
    return (T *)out;
}

template <typename... Params, typename... Args>
cudaError_t try_start(bool cooperative, cudaStream_t stream, void (*kernel)(Params...), int blocks,
                      int threads, int shared, Args... args) {
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeCooperative;
    attribute.val.cooperative = cooperative;
    config.gridDim = dim3((unsigned)blocks);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.stream = stream;
    config.attrs = &attribute;
    config.numAttrs = 1;
    return cudaLaunchKernelEx(&config, kernel, Params(args)...);
}
template <typename... Params, typename... Args>
void start(void (*kernel)(Params...), int blocks, int threads, int shared, Args... args) {
    OKAY(try_start(false, NULL, kernel, blocks, threads, shared, args...));
}
template <typename... Params, typename... Args>
void start_cooperative(void (*kernel)(Params...), int blocks, int threads, int shared,
                       Args... args) {
    OKAY(try_start(true, NULL, kernel, blocks, threads, shared, args...));
}

/* RACE is true under CONFIG=race. */
#if defined(__SANITIZE_THREAD__)
#define RACE 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACE 1
#endif
#endif
#ifndef RACE
#define RACE 0
#endif

#endif
