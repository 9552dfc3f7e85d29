/* gpu.cu - services of a GPU for the programs here: its peaks, a clock of a queue, an empty L2. */
#include <stdlib.h>

#include "kernels/cuda/backend/cuda.h"
#include "bench/roofs/roofs.h"
extern "C" {
#include "bench/programs/gpu.h"
}

#if defined(__CUDACC__)
constexpr int SHRINK = 1;
#else
constexpr int SHRINK = 4000; /* rates mean nothing on the emulator */
#endif

/* --- device ----------------------------------------------------------------------------------- */

static cudaError_t first_error = cudaSuccess; /* a call of this family failed */
static bool failed = false;                   /* a call of any family failed */

bool good(cudaError_t error, const char *what) {
    if (error != cudaSuccess && first_error == cudaSuccess) {
        first_error = error;
        fprintf(stderr, "gpu: %s: %s\n", what, cudaGetErrorString(error));
    }
    return first_error == cudaSuccess;
}

bool all_good(void) {
    return first_error == cudaSuccess;
}

void next_family(void) {
    failed |= !all_good();
    first_error = cudaSuccess;
    cudaGetLastError(); /* taken away here, or the next launch would report it again */
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

bool gpu_open(Gpu *gpu, int repeats, int shrink) {
    int devices = 0;
    *gpu = Gpu{};
    next_family();
    failed = false;
    gpu->repeats = repeats;
    gpu->shrink = shrink;
    if (cudaGetDeviceCount(&devices) != cudaSuccess || devices < 1) {
        fputs("gpu: no CUDA device\n", stderr);
        return false;
    }
    gpu->sms = attribute(cudaDevAttrMultiProcessorCount);
    gpu->major = attribute(cudaDevAttrComputeCapabilityMajor);
    gpu->minor = attribute(cudaDevAttrComputeCapabilityMinor);
    gpu->l2_bytes = attribute(cudaDevAttrL2CacheSize);
    gpu->shared_per_block = attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin);
    good(cudaStreamCreateWithFlags(&gpu->stream, cudaStreamNonBlocking), "stream");
    good(cudaEventCreate(&gpu->begin), "event");
    good(cudaEventCreate(&gpu->end), "event");
    return all_good();
}

bool gpu_close(Gpu *gpu) {
    cudaEventDestroy(gpu->begin);
    cudaEventDestroy(gpu->end);
    cudaStreamDestroy(gpu->stream);
    *gpu = Gpu{};
    next_family();
    return !failed;
}

extern "C" bool gpu_peaks(GpuPeaks *out) {
    Gpu gpu;
    Rates rates = {};
    *out = GpuPeaks{};
    if (!gpu_open(&gpu, 5, SHRINK)) return false;
    gpu.quiet = true;
    gpu.rates = &rates;
    roofs_memory(&gpu);
    roofs_arithmetic(&gpu);
    out->memory = rates.memory;
    out->l2 = rates.l2;
    out->fp32 = 1e3 * rates.fp32;
    out->tf32 = 1e3 * rates.tf32;
    out->fp16 = 1e3 * rates.fp16;
    out->bf16 = 1e3 * rates.bf16;
    out->l2_bytes = gpu.l2_bytes;
    return gpu_close(&gpu);
}

/* --- clock ------------------------------------------------------------------------------------ */

struct GpuClock {
    cudaStream_t stream;
    cudaEvent_t *events;
    int count;
    void *l2; /* bytes of the L2 */
    int64_t l2_bytes;
};

extern "C" GpuClock *gpu_clock_open(Queue *queue, int marks) {
    GpuClock *clock = (GpuClock *)calloc(1, sizeof *clock);
    if (!clock) return NULL;
    clock->stream = queue->stream;
    clock->events = (cudaEvent_t *)calloc((size_t)marks, sizeof *clock->events);
    clock->l2_bytes = attribute(cudaDevAttrL2CacheSize);
    good(cudaMalloc(&clock->l2, (size_t)clock->l2_bytes), "memory of the size of the L2");
    for (; clock->events && clock->count < marks; clock->count++)
        if (!good(cudaEventCreate(&clock->events[clock->count]), "event")) break;
    if (clock->count == marks && all_good()) return clock;
    gpu_clock_close(clock);
    return NULL;
}

extern "C" void gpu_clock_close(GpuClock *clock) {
    if (!clock) return;
    for (int i = 0; i < clock->count; i++) cudaEventDestroy(clock->events[i]);
    cudaFree(clock->l2);
    free(clock->events);
    free(clock);
}

extern "C" void gpu_clock_evict(GpuClock *clock) {
    good(cudaMemsetAsync(clock->l2, 0, (size_t)clock->l2_bytes, clock->stream), "evict");
}

extern "C" void gpu_clock_mark(GpuClock *clock, int mark) {
    good(cudaEventRecord(clock->events[mark], clock->stream), "event");
}

extern "C" double gpu_clock_between(GpuClock *clock, int from, int to) {
    float ms = 0.0f;
    good(cudaEventSynchronize(clock->events[to]), "event");
    good(cudaEventElapsedTime(&ms, clock->events[from], clock->events[to]), "event");
    return all_good() ? 1e-3 * (double)ms : 0.0;
}
