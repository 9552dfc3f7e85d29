/* roofs_memory.cu - bytes per second: device memory, L2, pinned host memory.
 *
 *     device memory   1 GiB, twenty times an L2: read and summed, written, copied (both counted)
 *     L2              15, 30 and 45 MB read over and over by all SMs, every pass each part by
 *                     another SM, past L1. A batch of 10 000 x 768 in 16 bits is 15 MB. An L2 of two
 *                     halves may keep a copy in each: then 30 MB already do not fit.
 *     host            256 MiB, pinned, one way at a time
 */
#include "bench/roofs/roofs.h"

enum { THREADS = 512, UNROLLED = 4 };

/* Loads past L1, which would answer instead of the L2 on another pass. */
__device__ __forceinline__ float4 load_past_l1(const float4 *p) {
#if defined(__CUDACC__)
    return __ldcg(p);
#else
    return *p;
#endif
}

/* Reads n float4 `passes` times. Part p of a pass is read by block (p + pass) % blocks. The sum is
 * stored nowhere: the store depends on a value that no data has. */
__global__ void __launch_bounds__(THREADS)
    roof_read(const float4 *__restrict__ x, int64_t n, int passes, float *sink) {
    float sum = 0.0f;
    const int64_t stride = (int64_t)gridDim.x * THREADS;
    for (int pass = 0; pass < passes; pass++) {
        const int64_t block = (blockIdx.x + (unsigned)pass) % gridDim.x;
        for (int64_t i = block * THREADS + threadIdx.x; i < n; i += UNROLLED * stride) {
            float4 v[UNROLLED];
            UNROLL
            for (int u = 0; u < UNROLLED; u++)
                v[u] = i + u * stride < n ? load_past_l1(x + i + u * stride)
                                          : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            UNROLL
            for (int u = 0; u < UNROLLED; u++) sum += (v[u].x + v[u].y) + (v[u].z + v[u].w);
        }
    }
    if (sum == -1.0f) *sink = sum;
}

__global__ void __launch_bounds__(THREADS) roof_write(float4 *x, int64_t n, float value) {
    const int64_t stride = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += stride)
        x[i] = make_float4(value, value, value, value);
}

__global__ void __launch_bounds__(THREADS)
    roof_copy(float4 *__restrict__ to, const float4 *__restrict__ from, int64_t n) {
    const int64_t stride = (int64_t)gridDim.x * THREADS;
    for (int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x; i < n; i += UNROLLED * stride) {
        float4 v[UNROLLED];
        UNROLL
        for (int u = 0; u < UNROLLED; u++)
            if (i + u * stride < n) v[u] = load_past_l1(from + i + u * stride);
        UNROLL
        for (int u = 0; u < UNROLLED; u++)
            if (i + u * stride < n) to[i + u * stride] = v[u];
    }
}

static void device_memory(const Gpu *gpu, float4 *x, float4 *y, float *sink, int64_t bytes) {
    const int64_t n = bytes / 16;
    const int grid = 4 * gpu->sms;
    const double GB = 1e-9 * (double)bytes;
    const double read = roof(gpu, "device memory read", GB, "GB/s", [&] {
        start(gpu, PLAIN, 1, roof_read, grid, THREADS, 0, x, n, 1, sink);
    });
    roof(gpu, "device memory write", GB, "GB/s",
         [&] { start(gpu, PLAIN, 1, roof_write, grid, THREADS, 0, x, n, 0.5f); });
    const double copied = roof(gpu, "device memory copy", 2.0 * GB, "GB/s",
                               [&] { start(gpu, PLAIN, 1, roof_copy, grid, THREADS, 0, y, x, n); });
    gpu->rates->memory = read > copied ? read : copied;
}

static void l2(const Gpu *gpu, const float4 *x, float *sink) {
    static const struct {
        int megabytes;
        const char *name;
    } sizes[] = {{15, "L2 read 15 MB"}, {24, "L2 read 24 MB"},   {30, "L2 read 30 MB"},
                 {46, "L2 read 46 MB"}, {120, "L2 read 120 MB"}};
    const int passes = gpu->shrink > 1 ? 2 : 50;
    for (int s = 0; s < (gpu->quiet ? 1 : (int)(sizeof sizes / sizeof *sizes)); s++) {
        const int64_t n = (int64_t)sizes[s].megabytes * 1000000 / 16 / gpu->shrink;
        const double rate = roof(gpu, sizes[s].name, 16e-9 * (double)n * passes, "GB/s", [&] {
            start(gpu, PLAIN, 1, roof_read, 2 * gpu->sms, THREADS, 0, x, n, passes, sink);
        });
        if (s == 0) gpu->rates->l2 = rate;
    }
}

static void host(const Gpu *gpu, float4 *x) {
    const int64_t bytes = ((int64_t)256 << 20) / gpu->shrink;
    void *pinned = NULL;
    if (!good(cudaMallocHost(&pinned, (size_t)bytes), "pinned memory")) return;
    const double GB = 1e-9 * (double)bytes;
    roof(gpu, "pinned host to device", GB, "GB/s", [&] {
        good(cudaMemcpyAsync(x, pinned, (size_t)bytes, cudaMemcpyHostToDevice, gpu->stream),
             "copy");
    });
    roof(gpu, "device to pinned host", GB, "GB/s", [&] {
        good(cudaMemcpyAsync(pinned, x, (size_t)bytes, cudaMemcpyDeviceToHost, gpu->stream),
             "copy");
    });
    cudaFreeHost(pinned);
}

void roofs_memory(const Gpu *gpu) {
    const int64_t bytes = ((int64_t)1 << 30) / gpu->shrink;
    void *x = NULL, *y = NULL, *sink = NULL;
    good(cudaMalloc(&x, (size_t)bytes), "1 GiB of device memory");
    good(cudaMalloc(&y, (size_t)bytes), "1 GiB of device memory");
    good(cudaMalloc(&sink, sizeof(float)), "device memory");
    if (all_good()) {
        /* the write fills both */
        start(gpu, PLAIN, 1, roof_write, 4 * gpu->sms, THREADS, 0, (float4 *)y, bytes / 16, 0.5f);
        start(gpu, PLAIN, 1, roof_write, 4 * gpu->sms, THREADS, 0, (float4 *)x, bytes / 16, 0.5f);
        device_memory(gpu, (float4 *)x, (float4 *)y, (float *)sink, bytes);
        l2(gpu, (const float4 *)x, (float *)sink);
        if (!gpu->quiet) host(gpu, (float4 *)x);
    }
    cudaFree(x);
    cudaFree(y);
    cudaFree(sink);
}
