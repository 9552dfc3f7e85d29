/* device_memory.cu - device_memory.h through the CUDA runtime: a GPU's or the emulator's. */
#ifndef TEST_CUDA
#define TEST_CUDA
#endif
#include "tests/gpu/device_memory.h"

#include <cuda_runtime.h>
#include <stdio.h>
#include <string.h>

int test_devices(void) {
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

void *test_alloc(size_t bytes) {
    void *memory = NULL;
    if (cudaMallocManaged(&memory, bytes ? bytes : 1) != cudaSuccess) {
        fprintf(stderr, "test_alloc: %s\n", cudaGetErrorString(cudaGetLastError()));
        return NULL;
    }
    return memset(memory, 0, bytes ? bytes : 1);
}

void test_free(void *memory) {
    cudaFree(memory);
}

void test_schedule(int run) {
#if !defined(__CUDACC__)
    char seed[16];
    snprintf(seed, sizeof seed, "%d", run + 1);
    setenv("EMU_SEED", seed, 1);
#else
    (void)run;
#endif
}
