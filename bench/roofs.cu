/* roofs.cu - what a GPU can do at most, in under a minute: the numbers that designs rest on.
 * usage: bench-roofs [REPEATS [SHRINK]]
 *     SHRINK   divides sizes and counts, for where every thread is emulated; the rows then say
 *              nothing but that the kernels run
 * Prints rows as bench/results holds them. Only one thing varies within a family of rows. */
#include <stdio.h>
#include <stdlib.h>

#include "roofs.h"

static cudaError_t first_error = cudaSuccess;

bool good(cudaError_t error, const char *what) {
    if (error != cudaSuccess && first_error == cudaSuccess) {
        first_error = error;
        fprintf(stderr, "bench-roofs: %s: %s\n", what, cudaGetErrorString(error));
    }
    return first_error == cudaSuccess;
}

bool all_good(void) {
    return first_error == cudaSuccess;
}

void fact(const char *what, double value, const char *unit) {
    static Row row;
    row = Row{};
    row.what = what;
    row.program = "GPU";
    row.threads = 1;
    row.work = value;
    row.unit = unit;
    row.repeats = 1;
    row.seconds[0] = 1.0;
    row_print(&row);
}

static int attribute(cudaDeviceAttr which) {
    int value = 0;
    good(cudaDeviceGetAttribute(&value, which, 0), "device attribute");
    return value;
}

int main(int argc, char **argv) {
    Gpu gpu = {};
    int devices = 0;
    gpu.repeats = argc > 1 ? (int)argument(argc, argv, 1, MAX_REPEATS) : 10;
    gpu.shrink = argc > 2 ? (int)argument(argc, argv, 2, 1 << 20) : 1;
    if (argc > 3 || !gpu.repeats || !gpu.shrink) {
        fputs("usage: bench-roofs [REPEATS [SHRINK]]\n", stderr);
        return 2;
    }
    if (!good(cudaGetDeviceCount(&devices), "device")) return 1;
    if (devices < 1) {
        fputs("bench-roofs: device: no CUDA device\n", stderr);
        return 1;
    }
    gpu.sms = attribute(cudaDevAttrMultiProcessorCount);
    gpu.major = attribute(cudaDevAttrComputeCapabilityMajor);
    gpu.minor = attribute(cudaDevAttrComputeCapabilityMinor);
    gpu.l2_bytes = attribute(cudaDevAttrL2CacheSize);
    gpu.shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    good(cudaStreamCreateWithFlags(&gpu.stream, cudaStreamNonBlocking), "stream");
    good(cudaEventCreate(&gpu.begin), "event");
    good(cudaEventCreate(&gpu.end), "event");
    if (!all_good()) return 1;

    fact("compute capability", gpu.major + 0.1 * gpu.minor, "capability");
    fact("multiprocessors", gpu.sms, "SMs");
    fact("L2 cache", 1e-6 * (double)gpu.l2_bytes, "MB");
    fact("shared memory of a block", gpu.shared_per_block / 1024.0, "KiB");
    roofs_memory(&gpu);
    roofs_reduction(&gpu);
    roofs_launch(&gpu);
    roofs_arithmetic(&gpu);

    cudaEventDestroy(gpu.begin);
    cudaEventDestroy(gpu.end);
    cudaStreamDestroy(gpu.stream);
    return !all_good();
}
