/* roofs.h - the vocabulary of the roofs: launches, time by events, rows. */
#ifndef TURTLE_BENCH_ROOFS_ROOFS_H
#define TURTLE_BENCH_ROOFS_ROOFS_H

#include <stdio.h>

extern "C" {
#include "bench/programs/bench.h"
}
#include "kernels/cuda/tile/tile.cuh"

/* The highest rates that were seen: GB/s, and TFLOP/s of products by the type of their operands. */
struct Rates {
    double memory, l2, fp32, tf32, fp16, bf16;
};

/* The GPU that is measured. */
struct Gpu {
    cudaStream_t stream;
    cudaEvent_t begin, end;
    int sms, major, minor;
    int64_t l2_bytes;
    int shared_per_block; /* largest dynamic shared memory of a block, in bytes */
    int shrink;           /* divisor of sizes and counts: 1 on a GPU, more where all is emulated */
    int repeats;
    bool quiet; /* not NULL: no rows are printed, and only the rates of Rates are measured */
    Rates *rates;
};

/* Opens device 0. Returns false, after a line on stderr, if there is none. */
bool gpu_open(Gpu *out, int repeats, int shrink);
bool gpu_close(Gpu *gpu); /* returns true if nothing failed since gpu_open */

/* Reports a CUDA error with the call that failed. The rest of the family of rows is then not
 * measured. */
bool good(cudaError_t error, const char *what);
bool all_good(void);
/* Begins another family: only gpu_close remembers earlier failures. */
void next_family(void);

enum LaunchKind { PLAIN, TOGETHER, DEPENDENT };

/* Starts kernel(args...). A shape that the device refuses is an error of good(). */
template <typename... Params, typename... Args>
void start(const Gpu *gpu, LaunchKind kind, int cluster, void (*kernel)(Params...), int grid,
           int threads, int shared, Args... args) {
    if (!all_good()) return;
    cudaLaunchConfig_t config = {};
    cudaLaunchAttribute attributes[2] = {};
    config.gridDim = dim3((unsigned)grid);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.stream = gpu->stream;
    config.attrs = attributes;
    if (kind == TOGETHER) {
        attributes[config.numAttrs].id = cudaLaunchAttributeCooperative;
        attributes[config.numAttrs++].val.cooperative = 1;
    }
#if defined(__CUDACC__)
    if (kind == DEPENDENT) {
        attributes[config.numAttrs].id = cudaLaunchAttributeProgrammaticStreamSerialization;
        attributes[config.numAttrs++].val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster > 1) {
        attributes[config.numAttrs].id = cudaLaunchAttributeClusterDimension;
        attributes[config.numAttrs].val.clusterDim.x = (unsigned)cluster;
        attributes[config.numAttrs].val.clusterDim.y = 1;
        attributes[config.numAttrs++].val.clusterDim.z = 1;
    }
#else
    (void)cluster;
#endif
    if (shared > 48 << 10)
        good(cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                  cudaFuncAttributeMaxDynamicSharedMemorySize, shared),
             "shared memory of a block");
    good(cudaLaunchKernelEx(&config, kernel, Params(args)...), "launch");
}

/* Runs `enqueue` once to warm up, then gpu->repeats times between two events, and prints the
 * row `what` with `work` in `unit` per call. Returns the median rate; 0 after an error. */
template <typename Enqueue>
double roof(const Gpu *gpu, const char *what, double work, const char *unit, Enqueue enqueue) {
    static Row row;
    row = Row{};
    row.what = what;
    row.program = "GPU";
    row.threads = 1;
    row.work = work;
    row.unit = unit;
    row.repeats = gpu->repeats;
    enqueue();
    for (int i = 0; i < row.repeats && all_good(); i++) {
        float ms = 0.0f;
        good(cudaEventRecord(gpu->begin, gpu->stream), what);
        enqueue();
        good(cudaEventRecord(gpu->end, gpu->stream), what);
        good(cudaEventSynchronize(gpu->end), what);
        good(cudaEventElapsedTime(&ms, gpu->begin, gpu->end), what);
        row.seconds[i] = 1e-3 * (double)ms;
    }
    if (!all_good()) return 0.0;
    if (!gpu->quiet) row_print(&row);
    return work / row_median(&row);
}

/* Prints a number of the device as a row of one second. */
void fact(const char *what, double value, const char *unit);

void roofs_memory(const Gpu *gpu);     /* roofs_memory.cu */
void roofs_reduction(const Gpu *gpu);  /* roofs_reduction.cu */
void roofs_launch(const Gpu *gpu);     /* roofs_launch.cu */
void roofs_arithmetic(const Gpu *gpu); /* roofs_arithmetic.cu */

#endif
