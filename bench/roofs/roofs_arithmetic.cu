/* roofs_arithmetic.cu - operations per second: float32 units, tensor cores from registers, tensor
 * cores from shared memory.
 *
 * Operands are normally distributed: on zeros the power budget allows a clock that no real work
 * sees. Every SM is filled; accumulators are many enough that none waits for its own last result.
 *
 *     fp32             16 chains of multiply-adds a thread, each between two random numbers
 *     mma.sync         2 x 4 fragments a warp, 8 accumulators: m16n8k16 in fp16 and bf16, m16n8k8 tf32
 *     wgmma fp16       two warp groups a block, each m64n256k16, over four tiles of 64 in depth that
 *                      stay in shared memory (4 x 40 KiB; the groups share a): the rate of a kernel
 *                      that never waits for a copy
 */
#include "bench/roofs/roofs.h"
#include "kernels/cuda/tile/compiled.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"

#include <math.h>
#include <stdlib.h>

extern "C" {
#include "io/dtype.h"
#include "kernels/philox.h"
}

enum { THREADS = 256, CHAINS = 16 };

__global__ void __launch_bounds__(THREADS) fma_chains(float *sink, const float *normal, int steps) {
    float x[CHAINS]; /* the chain is x, b - x, x, ..., but the compiler does not see that a is -1 */
    const float b = normal[threadIdx.x % WARP + WARP], a = b > 100.0f ? b : -1.0f;
    UNROLL
    for (int i = 0; i < CHAINS; i++) x[i] = normal[(threadIdx.x + (unsigned)i) % WARP];
    for (int s = 0; s < steps; s++) {
        UNROLL
        for (int i = 0; i < CHAINS; i++) x[i] = fmaf(x[i], a, b);
    }
    float sum = 0.0f;
    UNROLL
    for (int i = 0; i < CHAINS; i++) sum += x[i];
    if (sum == -1.0f) *sink = sum;
}

enum Operand { F16, BF16, TF32 };

template <Operand TYPE> __device__ __forceinline__ uint32_t operand(const float *normal, int i) {
    const float low = normal[i % 512], high = normal[(i + 256) % 512];
    if (TYPE == F16) return f16x2_of(low, high);
    if (TYPE == BF16) return bf16x2_of(low, high);
    return tf32_of(low);
}

template <Operand TYPE>
__device__ __forceinline__ void product(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    if (TYPE == F16) mma_f16(d, a, b);
    else if (TYPE == BF16) mma_bf16(d, a, b);
    else mma_tf32(d, a, b);
}

template <Operand TYPE>
__global__ void __launch_bounds__(THREADS)
    mma_registers(float *sink, const float *normal, int steps) {
    uint32_t a[2][4], b[4][2];
    float d[2][4][4];
    const int lane = (int)(threadIdx.x % WARP);
    UNROLL
    for (int i = 0; i < 2; i++) {
        UNROLL
        for (int r = 0; r < 4; r++) a[i][r] = operand<TYPE>(normal, lane * 16 + i * 4 + r);
    }
    UNROLL
    for (int j = 0; j < 4; j++) {
        UNROLL
        for (int r = 0; r < 2; r++) b[j][r] = operand<TYPE>(normal, lane * 16 + 8 + j * 2 + r);
    }
    UNROLL
    for (int i = 0; i < 32; i++) d[i / 16][i / 4 % 4][i % 4] = 0.0f;
    for (int s = 0; s < steps; s++) {
        UNROLL
        for (int i = 0; i < 2; i++) {
            UNROLL
            for (int j = 0; j < 4; j++) product<TYPE>(d[i][j], a[i], b[j]);
        }
    }
    float sum = 0.0f;
    UNROLL
    for (int i = 0; i < 32; i++) sum += d[i / 16][i / 4 % 4][i % 4];
    if (sum == -1.0f) *sink = sum;
}

/* --- wgmma ------------------------------------------------------------------------------------ */

#if defined(__CUDACC__)

enum {
    GROUPS = 2, /* warp groups */
    TILES = 4,  /* tiles of 64 in depth */
    ROWS = 64,  /* rows of a, for both groups */
    COLS = 256,
    DEPTH = 64,
    A_BYTES = ROWS * DEPTH * 2,
    B_BYTES = COLS * DEPTH * 2,
    WGMMA_SHARED = TILES * (A_BYTES + B_BYTES)
};
static_assert(WGMMA_SHARED <= 227 << 10, "fits the shared memory of a block");

/* `normal` holds WGMMA_SHARED bytes of operands. */
__global__ void __launch_bounds__(GROUPS * 128, 1)
    wgmma_shared(float *sink, const uint4 *normal, int steps) {
    unsigned char *tiles = shared_mem<unsigned char>();
    for (int i = (int)threadIdx.x; i < WGMMA_SHARED / 16; i += GROUPS * 128)
        shared_mem<uint4>()[i] = normal[i];
    fence_proxy_async();
    __syncthreads();
    float d[128];
    UNROLL
    for (int i = 0; i < 128; i++) d[i] = 0.0f;
    for (int s = 0; s < steps; s++) {
        wgmma_fence();
        UNROLL
        for (int tile = 0; tile < TILES; tile++) {
            const unsigned char *a = tiles + tile * (A_BYTES + B_BYTES), *b = a + A_BYTES;
            UNROLL
            for (int step = 0; step < DEPTH / 16; step++)
                wgmma<WGMMA_F16, 256, K_MAJOR, K_MAJOR>(d, tile_descriptor<K_MAJOR>(a, step),
                                                        tile_descriptor<K_MAJOR>(b, step));
        }
        wgmma_commit();
        wgmma_wait<0>();
    }
    float sum = 0.0f;
    UNROLL
    for (int i = 0; i < 128; i++) sum += d[i];
    if (sum == -1.0f) *sink = sum;
}

static double warp_groups(const Gpu *gpu, float *sink, const float *normal_host, int count) {
    const int halves = WGMMA_SHARED / 2, steps = 2000;
    uint16_t *tile = (uint16_t *)malloc(WGMMA_SHARED);
    void *tile_dev = NULL;
    for (int i = 0; tile && i < halves; i++) tile[i] = f16_from_f32(normal_host[i % count]);
    good(cudaMalloc(&tile_dev, WGMMA_SHARED), "operands");
    if (tile && all_good())
        good(cudaMemcpy(tile_dev, tile, WGMMA_SHARED, cudaMemcpyHostToDevice), "operands");
    const double flops = 2.0 * ROWS * COLS * DEPTH * TILES * GROUPS * (double)steps * gpu->sms;
    const double rate = roof(gpu, "wgmma fp16 m64n256k16", 1e-12 * flops, "TFLOP/s", [&] {
        start(gpu, PLAIN, 1, wgmma_shared, gpu->sms, GROUPS * 128, (int)WGMMA_SHARED, sink,
              (const uint4 *)tile_dev, steps);
    });
    free(tile);
    cudaFree(tile_dev);
    return rate;
}

#endif

/* --- all -------------------------------------------------------------------------------------- */

/* Makes normally distributed numbers by Box-Muller. */
static void normal_floats(float *x, int n) {
    for (int i = 0; i + 1 < n; i += 2) {
        const Philox words = philox_at(7, 15, 0, 0, (uint64_t)i);
        const double u = ((double)words.word[0] + 1.0) / 4294967297.0;
        const double angle = 6.283185307179586 * (double)words.word[1] / 4294967296.0;
        x[i] = (float)(sqrt(-2.0 * log(u)) * cos(angle));
        x[i + 1] = (float)(sqrt(-2.0 * log(u)) * sin(angle));
    }
}

template <Operand TYPE>
static double mma(const Gpu *gpu, const char *what, int depth, float *sink, const float *normal) {
    const int steps = gpu->shrink > 1 ? 4 : 20000, grid = 2 * gpu->sms;
    const double flops = 2.0 * 16 * 8 * depth * 8 * (THREADS / WARP) * (double)steps * grid;
    return roof(gpu, what, 1e-12 * flops, "TFLOP/s", [&] {
        start(gpu, PLAIN, 1, mma_registers<TYPE>, grid, THREADS, 0, sink, normal, steps);
    });
}

void roofs_arithmetic(const Gpu *gpu) {
    enum { NORMALS = 16384 };
    static float normal[NORMALS];
    float *normal_dev = NULL, *sink = NULL;
    normal_floats(normal, NORMALS);
    good(cudaMalloc((void **)&normal_dev, sizeof normal), "operands");
    good(cudaMalloc((void **)&sink, sizeof *sink), "operands");
    if (all_good())
        good(cudaMemcpy(normal_dev, normal, sizeof normal, cudaMemcpyHostToDevice), "operands");
    if (all_good()) {
        const int steps = gpu->shrink > 1 ? 4 : 20000, grid = 8 * gpu->sms;
        Rates *r = gpu->rates;
        r->fp32 = roof(
            gpu, "fp32 multiply-adds", 2e-12 * CHAINS * THREADS * (double)steps * grid, "TFLOP/s",
            [&] { start(gpu, PLAIN, 1, fma_chains, grid, THREADS, 0, sink, normal_dev, steps); });
        r->fp16 = mma<F16>(gpu, "mma.sync fp16 m16n8k16", 16, sink, normal_dev);
        r->bf16 = mma<BF16>(gpu, "mma.sync bf16 m16n8k16", 16, sink, normal_dev);
        r->tf32 = mma<TF32>(gpu, "mma.sync tf32 m16n8k8", 8, sink, normal_dev);
#if defined(__CUDACC__)
        const double group = has_wgmma(compiled_for(wgmma_shared))
                                 ? warp_groups(gpu, sink, normal, NORMALS)
                                 : 0.0;
        if (group > r->fp16) r->fp16 = r->bf16 = group;
#endif
    }
    cudaFree(normal_dev);
    cudaFree(sink);
}
