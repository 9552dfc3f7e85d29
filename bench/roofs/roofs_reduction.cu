/* roofs_reduction.cu - the time that blocks take to add up their gradients, with the same bits on
 * every run, and to wait for one another.
 *
 * Blocks 0 ... G-1 hold one gradient of n floats each; all shall know the sum. One launch adds them
 * ROUNDS times, as a persistent kernel would once a step:
 *
 *     stores    every block stores its gradient; barrier; block b adds slice b of all gradients in
 *               the order of blocks and publishes it; barrier. 2 barriers, 4 n G bytes out and back
 *     integers  every block adds its gradient to one array, as fixed point in 64 or 32 bits, which is
 *               associative, so that order does not change bits; barrier. Three arrays take turns:
 *               one is added to, the last round's may still be read, the next round's is cleared.
 *                                                              1 barrier, 8 n G bytes of atomics
 *
 * Rows count the bytes of the gradients, 4 n G, whatever a version moves: a rate twice as high is
 * half the time. 30 KB: C 10, d 768. 300 KB: C 100. 3 MB: C 1000. 22 blocks: row groups of a tiled
 * gradient; 132: one per SM of an H200. */
#include "bench/roofs/roofs.h"

#if defined(__CUDACC__)
#include <cooperative_groups.h>
#endif

enum { THREADS = 256 };

typedef unsigned long long Fixed;

/* Waits for every thread of every block; *epoch counts this block's barriers. */
__device__ __forceinline__ void grid_barrier(unsigned *counter, unsigned *epoch) {
    __syncthreads();
    if (threadIdx.x == 0) {
        add_release(counter, 1);
        wait_for(counter, (*epoch + 1) * gridDim.x);
    }
    __syncthreads();
    (*epoch)++;
}

__global__ void __launch_bounds__(THREADS)
    reduce_stores(float *sum, float *parts, unsigned *counter, int n, int rounds) {
    unsigned epoch = 0;
    const int G = (int)gridDim.x, b = (int)blockIdx.x;
    const int slice = (int)round_up(ceil_div(n, G), 4);
    const int from = b * slice, to = from + slice < n ? from + slice : n;
    for (int round = 0; round < rounds; round++) {
        float *mine = parts + (int64_t)b * n;
        for (int i = 4 * (int)threadIdx.x; i < n; i += 4 * THREADS) {
            const float x = (float)(b + round + i % 3);
            store_float4(mine + i, make_float4(x, x, x, x));
        }
        grid_barrier(counter, &epoch);
        for (int i = from + 4 * (int)threadIdx.x; i < to; i += 4 * THREADS) {
            float4 s = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
            for (int g = 0; g < G; g++) { /* blocks in their order */
                const float4 p = load_float4(parts + (int64_t)g * n + i);
                s.x += p.x, s.y += p.y, s.z += p.z, s.w += p.w;
            }
            store_float4(sum + i, s);
        }
        grid_barrier(counter, &epoch);
    }
}

/* `arrays` holds three arrays of n. The last round's sum stays in arrays[(rounds - 1) % 3]. */
template <typename Number>
__global__ void __launch_bounds__(THREADS)
    reduce_integers(Number *arrays, float *sink, unsigned *counter, int n, int rounds) {
    unsigned epoch = 0;
    const int first = (int)(blockIdx.x * THREADS + threadIdx.x), all = (int)gridDim.x * THREADS;
    float seen = 0.0f;
    for (int round = 0; round < rounds; round++) {
        Number *now = arrays + (int64_t)(round % 3) * n;
        Number *next = arrays + (int64_t)((round + 1) % 3) * n;
        for (int i = first; i < n; i += all) next[i] = 0;
        for (int i = (int)threadIdx.x; i < n; i += THREADS)
            atomicAdd(now + i, (Number)((int)blockIdx.x + round + i % 3));
        grid_barrier(counter, &epoch);
        for (int i = (int)threadIdx.x; i < n; i += THREADS) /* every block reads the whole sum */
            seen += (float)now[i];
    }
    if (seen == -1.0f) *sink = seen;
}

/* Does nothing but barriers. */
__global__ void __launch_bounds__(THREADS) own_barriers(unsigned *counter, int rounds) {
    unsigned epoch = 0;
    for (int round = 0; round < rounds; round++) grid_barrier(counter, &epoch);
}

__global__ void __launch_bounds__(THREADS) library_barriers(int rounds) {
#if defined(__CUDACC__)
    for (int round = 0; round < rounds; round++) cooperative_groups::this_grid().sync();
#else
    (void)rounds;
#endif
}

/* Returns the sum of the numbers that G blocks added at element 0 in the last of `rounds`
 * rounds. */
static double expected_sum(int G, int rounds) {
    return 0.5 * G * (G - 1) + (double)G * (rounds - 1);
}

static void check(const char *what, double found, double expected) {
    if (found != expected) {
        fprintf(stderr, "bench-roofs: %s: sum is %.0f, expected %.0f\n", what, found, expected);
        good(cudaErrorLaunchFailure, what);
    }
}

static void reductions(const Gpu *gpu, int G, int n, const char *size) {
    char what[96];
    const int rounds = gpu->shrink > 1 ? 4 : n < 100000 ? 200 : 40;
    const double GB = 4e-9 * n * G * rounds;
    const size_t part_bytes = (size_t)n * (size_t)G * sizeof(float),
                 array_bytes = 3 * (size_t)n * sizeof(Fixed);
    float *parts = NULL, *sum = NULL;
    Fixed *arrays = NULL;
    unsigned *counter = NULL;
    good(cudaMalloc((void **)&parts, part_bytes), "partial gradients");
    good(cudaMalloc((void **)&arrays, array_bytes), "sums");
    good(cudaMalloc((void **)&sum, (size_t)n * sizeof(float)), "sum");
    good(cudaMalloc((void **)&counter, sizeof *counter), "counter");

    const auto fresh = [&] {
        good(cudaMemsetAsync(counter, 0, sizeof *counter, gpu->stream), "counter");
    };
    snprintf(what, sizeof what, "reduction %s from %d blocks, stores", size, G);
    roof(gpu, what, GB, "GB/s", [&] {
        fresh();
        start(gpu, TOGETHER, 1, reduce_stores, G, THREADS, 0, sum, parts, counter, n, rounds);
    });
    float total = 0.0f;
    good(cudaMemcpy(&total, sum, sizeof total, cudaMemcpyDeviceToHost), what);
    check(what, total, expected_sum(G, rounds));

    const int last = (rounds - 1) % 3;
    snprintf(what, sizeof what, "reduction %s from %d blocks, 64-bit integers", size, G);
    roof(gpu, what, GB, "GB/s", [&] {
        fresh();
        good(cudaMemsetAsync(arrays, 0, array_bytes, gpu->stream), what);
        start(gpu, TOGETHER, 1, reduce_integers<Fixed>, G, THREADS, 0, arrays, sum, counter, n,
              rounds);
    });
    Fixed total64 = 0;
    good(cudaMemcpy(&total64, arrays + (int64_t)last * n, sizeof total64, cudaMemcpyDeviceToHost),
         what);
    check(what, (double)total64, expected_sum(G, rounds));

    snprintf(what, sizeof what, "reduction %s from %d blocks, 32-bit integers", size, G);
    unsigned *arrays32 = (unsigned *)arrays, total32 = 0;
    roof(gpu, what, GB, "GB/s", [&] {
        fresh();
        good(cudaMemsetAsync(arrays, 0, array_bytes / 2, gpu->stream), what);
        start(gpu, TOGETHER, 1, reduce_integers<unsigned>, G, THREADS, 0, arrays32, sum, counter, n,
              rounds);
    });
    good(cudaMemcpy(&total32, arrays32 + (int64_t)last * n, sizeof total32, cudaMemcpyDeviceToHost),
         what);
    check(what, total32, expected_sum(G, rounds));

    cudaFree(parts);
    cudaFree(arrays);
    cudaFree(sum);
    cudaFree(counter);
}

static void barriers(const Gpu *gpu) {
    char what[96];
    const int rounds = gpu->shrink > 1 ? 10 : 1000;
    unsigned *counter = NULL;
    if (!good(cudaMalloc((void **)&counter, sizeof *counter), "counter")) return;
    snprintf(what, sizeof what, "barrier of %d blocks, own", gpu->sms);
    roof(gpu, what, rounds, "/s", [&] {
        good(cudaMemsetAsync(counter, 0, sizeof *counter, gpu->stream), what);
        start(gpu, TOGETHER, 1, own_barriers, gpu->sms, THREADS, 0, counter, rounds);
    });
#if defined(__CUDACC__)
    snprintf(what, sizeof what, "barrier of %d blocks, grid.sync", gpu->sms);
    roof(gpu, what, rounds, "/s",
         [&] { start(gpu, TOGETHER, 1, library_barriers, gpu->sms, THREADS, 0, rounds); });
#else
    (void)library_barriers;
#endif
    cudaFree(counter);
}

void roofs_reduction(const Gpu *gpu) {
    static const struct {
        int floats;
        const char *name;
    } sizes[] = {{7680, "30 KB"}, {76800, "300 KB"}, {768000, "3 MB"}};
    for (int s = 0; s < 3; s++) {
        const int n = (int)round_up(sizes[s].floats / gpu->shrink, 4);
        reductions(gpu, gpu->sms < 22 ? gpu->sms : 22, n, sizes[s].name);
        if (gpu->sms > 22) reductions(gpu, gpu->sms, n, sizes[s].name);
    }
    next_family();
    barriers(gpu);
}
