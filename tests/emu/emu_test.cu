/* emu_test.cu - the emulator executes right kernels rightly, whatever the schedule: collectives,
 * layouts, copies, blocks that wait for each other, streams, graphs. emu_fault_test.cu has wrong ones. */
#include "tests/emu/emu_test.h"

#define SEEDS(seed) for (int seed = set_seed(1); seed <= 5; seed = set_seed(seed + 1))

static int set_seed(int seed) {
    char text[16];
    snprintf(text, sizeof text, "%d", seed);
    setenv("EMU_SEED", text, 1);
    return seed;
}

/* --- blocks ----------------------------------------------------------------------------------- */

__global__ void sums(double *out, const float *x, int n) {
    double *slots = shared_mem<double>();
    double sum = 0.0;
    for (int i = (int)threadIdx.x; i < n; i += 96) sum += x[blockIdx.x * (unsigned)n + (unsigned)i];
    sum = block_sum<96>(sum, slots);
    if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

Test(emu, block_sums_do_not_depend_on_the_schedule, .timeout = 120) {
    enum { BLOCKS = 23, N = 211 };
    float *x = device_memory<float>(BLOCKS * N);
    double *out = device_memory<double>(BLOCKS), first[BLOCKS], got[BLOCKS];
    float host[BLOCKS * N];
    for (int i = 0; i < BLOCKS * N; i++) host[i] = 1.0f / (float)(i + 1);
    OKAY(cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice));
    SEEDS(seed) {
        start(sums, BLOCKS, 96, 64, out, x, (int)N);
        OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
        if (seed == 1) memcpy(first, got, sizeof got);
        cr_expect(!memcmp(first, got, sizeof got), "seed %d", seed);
        for (int b = 0; b < BLOCKS; b++) {
            double sum = 0.0;
            for (int i = 0; i < N; i++) sum += host[b * N + i];
            cr_expect(fabs(sum - got[b]) <= 1e-14 * N * sum, "block %d: %g, got %g", b, sum,
                      got[b]);
        }
    }
    cudaFree(x);
    cudaFree(out);
}

/* Half of the block makes what the other half uses, through two named barriers. */
__global__ void hand_over(int *out, int rounds) {
    int *box = shared_mem<int>();
    const int t = (int)threadIdx.x % 64;
    for (int i = 0; i < rounds; i++) {
        if (threadIdx.x < 64) {
            box[t] = 1000 * i + t;
            barrier_arrive(1, 128);
            barrier_sync(2, 128);
        } else {
            barrier_sync(1, 128);
            out[64 * i + t] = box[63 - t];
            barrier_arrive(2, 128);
        }
    }
}
__global__ void counts(int *out) {
    const int t = (int)threadIdx.x;
    const int n = __syncthreads_count(t % 3 == 0);
    const int any = __syncthreads_or(t == 77), none = __syncthreads_or(t > 1000);
    const int all = __syncthreads_and(t < 100), not_all = __syncthreads_and(t != 5);
    out[t] = n * 10000 + any * 1000 + none * 100 + all * 10 + not_all;
    if (t >= 64) return; /* nobody waits for a thread that has returned */
    __syncthreads();
}

Test(emu, barriers_count_and_have_names, .timeout = 60) {
    int *out = device_memory<int>(64 * 9), got[64 * 9];
    SEEDS(seed) {
        start(hand_over, 1, 128, 256, out, 9);
        OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
        for (int i = 0; i < 64 * 9; i++)
            cr_assert(got[i] == 1000 * (i / 64) + 63 - i % 64, "seed %d, %d: %d", seed, i, got[i]);
        start(counts, 1, 100, 0, out);
        OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
        for (int i = 0; i < 100; i++) cr_assert(got[i] == 341010, "thread %d: %d", i, got[i]);
    }
    cudaFree(out);
}

/* --- warps ------------------------------------------------------------------------------------ */

enum { SHUFFLES = 14 };
__global__ void shuffles(int *out) {
    const int lane = (int)threadIdx.x % 32, x = 100 + (int)threadIdx.x;
    int *own = out + SHUFFLES * threadIdx.x;
    own[0] = __shfl_sync(ALL_LANES, x, 7);
    own[1] = __shfl_sync(ALL_LANES, x, lane + 3, 8);
    own[2] = __shfl_xor_sync(ALL_LANES, x, 5);
    own[3] = __shfl_xor_sync(ALL_LANES, x, 9, 8);
    own[4] = __shfl_up_sync(ALL_LANES, x, 3);
    own[5] = __shfl_up_sync(ALL_LANES, x, 1, 4);
    own[6] = __shfl_down_sync(ALL_LANES, x, 3);
    own[7] = __shfl_down_sync(ALL_LANES, x, 1, 4);
    own[8] = (int)__ballot_sync(ALL_LANES, lane % 5 == 0);
    own[9] = 4 * __any_sync(ALL_LANES, lane == 9) + 2 * __all_sync(ALL_LANES, lane < 32) +
             __all_sync(ALL_LANES, lane < 31);
    own[10] = __reduce_add_sync(ALL_LANES, x);
    own[11] = __reduce_min_sync(ALL_LANES, lane - 16);
    own[12] = (int)__reduce_max_sync(ALL_LANES, (unsigned)lane - 16u);
    /* quarters of the warp meet on their own, in different iterations */
    const unsigned quarter = 0xffu << lane / 8 * 8;
    int sum = 0;
    for (int i = 0; i <= lane / 8; i++) sum += __reduce_add_sync(quarter, x);
    __syncwarp();
    own[13] = sum + (int)__shfl_sync(ALL_LANES, (double)x, 31);
}
static void expect_shuffles(int thread, const int *own) {
    const int lane = thread % 32, base = 100 + thread / 32 * 32, q = lane / 8;
    const int quarter = 8 * base + 64 * q + 28;
    const int expected[SHUFFLES] = {
        base + 7,
        base + lane / 8 * 8 + (lane + 3) % 8,
        base + (lane ^ 5),
        base + ((lane ^ 9) / 8 <= lane / 8 ? lane ^ 9 : lane), /* a shuffle reaches only lower groups */
        base + (lane < 3 ? lane : lane - 3),
        base + (lane % 4 == 0 ? lane : lane - 1),
        base + (lane > 28 ? lane : lane + 3),
        base + (lane % 4 == 3 ? lane : lane + 1),
        0x42108421,
        6,
        32 * base + 496,
        -16,
        -1,
        (q + 1) * quarter + base + 31};
    for (int i = 0; i < SHUFFLES; i++)
        cr_expect(own[i] == expected[i], "thread %d, result %d: %d, expected %d", thread, i, own[i],
                  expected[i]);
}

Test(emu, lanes_exchange_what_cuda_says, .timeout = 60) {
    int *out = device_memory<int>(96 * SHUFFLES), got[96 * SHUFFLES];
    SEEDS(seed) {
        start(shuffles, 1, 96, 0, out);
        OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
        for (int t = 0; t < 96; t++) expect_shuffles(t, got + SHUFFLES * t);
    }
    cudaFree(out);
}

__global__ void add_up(int *sum, unsigned *most, float *real, unsigned long long *big,
                       unsigned *lock, int *inside) {
    atomicAdd(sum, (int)threadIdx.x);
    atomicMax(most, blockIdx.x * 1000 + threadIdx.x);
    atomicAdd(real, 0.5f);
    atomicAdd(big, 1ull << 33);
    if (threadIdx.x % 32 == 0) { /* a lock: loops until another thread has run */
        while (atomicCAS(lock, 0u, 1u) != 0u) {}
        __threadfence();
        *inside = *inside + 1;
        __threadfence();
        atomicExch(lock, 0u);
    }
}

Test(emu, atomics_lose_nothing, .timeout = 60) {
    struct Totals {
        unsigned long long big;
        int sum, inside;
        unsigned most, lock;
        float real;
    } got, *t = device_memory<Totals>(1);
    SEEDS(seed) {
        OKAY(cudaMemset(t, 0, sizeof *t));
        start(add_up, 9, 64, 0, &t->sum, &t->most, &t->real, &t->big, &t->lock, &t->inside);
        OKAY(cudaMemcpy(&got, t, sizeof got, cudaMemcpyDeviceToHost));
        cr_expect(got.sum == 9 * 2016 && got.most == 8063 && got.real == 288.0f &&
                      got.big == 576ull << 33 && got.inside == 18,
                  "%d %u %g %d", got.sum, got.most, (double)got.real, got.inside);
    }
    cudaFree(t);
}

/* --- blocks that wait for each other ------------------------------------------------------------ */

/* In every round each block takes the sum of what all wrote in the round before. */
__global__ void rounds(int *values, unsigned *counter, int n) {
    unsigned epoch = 0;
    for (int i = 0; i < n; i++) {
        int sum = 1;
        for (unsigned b = 0; b < gridDim.x; b++) sum += values[b];
        grid_barrier(counter, epoch);
        if (threadIdx.x == 0) values[blockIdx.x] = sum % 1000 + (int)blockIdx.x;
        grid_barrier(counter, epoch);
    }
}

Test(emu, a_grid_barrier_holds_all_blocks, .timeout = 120) {
    enum { BLOCKS = 7, ROUNDS = 5 };
    int *values = device_memory<int>(BLOCKS), got[BLOCKS], expected[BLOCKS] = {0};
    unsigned *counter = device_memory<unsigned>(1);
    for (int i = 0; i < ROUNDS; i++) {
        int sum = 1;
        for (int b = 0; b < BLOCKS; b++) sum += expected[b];
        for (int b = 0; b < BLOCKS; b++) expected[b] = sum % 1000 + b;
    }
    SEEDS(seed) {
        OKAY(cudaMemset(values, 0, sizeof expected));
        OKAY(cudaMemset(counter, 0, sizeof *counter));
        start_cooperative(rounds, BLOCKS, 64, 0, values, counter, (int)ROUNDS);
        OKAY(cudaMemcpy(got, values, sizeof got, cudaMemcpyDeviceToHost));
        cr_expect(!memcmp(got, expected, sizeof got), "seed %d: %d, expected %d", seed, got[0],
                  expected[0]);
    }
    cudaFree(values);
    cudaFree(counter);
}

/* --- asynchronous copies ------------------------------------------------------------------------ */

/* Sums of 64-float tiles that come through a ring of STAGES; the last piece is cut off at n. */
template <int STAGES> __global__ void pipeline(float *out, const float *x, int n) {
    float *ring = shared_mem<float>();
    const int tiles = (n + 63) / 64, t = (int)threadIdx.x;
    auto fetch = [&](int tile) {
        const int left = n - 64 * tile - 4 * t;
        if (tile < tiles && t < 16)
            cp_async_16(ring + tile % STAGES * 64 + 4 * t, x + (left > 0 ? 64 * tile + 4 * t : 0),
                        left <= 0  ? 0
                        : left < 4 ? 4 * left
                                   : 16);
        cp_async_commit();
    };
    for (int tile = 0; tile < STAGES - 1; tile++) fetch(tile);
    for (int tile = 0; tile < tiles; tile++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        fetch(tile + STAGES - 1);
        float sum = 0.0f;
        for (int i = 0; i < 64; i++) sum += ring[tile % STAGES * 64 + (i + t) % 64];
        if (t == tile % 32) out[tile] = sum;
    }
}

Test(emu, a_pipeline_of_copies_delivers, .timeout = 60) {
    enum { N = 64 * 8 + 37, TILES = 9 };
    float host[N], got[TILES], *x = device_memory<float>(N), *out = device_memory<float>(TILES);
    for (int i = 0; i < N; i++) host[i] = (float)(i % 23);
    OKAY(cudaMemcpy(x, host, sizeof host, cudaMemcpyHostToDevice));
    SEEDS(seed) {
        if (seed % 2) start(pipeline<3>, 1, 32, 3 * 256, out, (const float *)x, (int)N);
        else start(pipeline<4>, 1, 32, 4 * 256, out, (const float *)x, (int)N);
        OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
        for (int tile = 0; tile < TILES; tile++) {
            float sum = 0.0f;
            for (int i = 64 * tile; i < 64 * (tile + 1) && i < N; i++) sum += host[i];
            cr_expect(got[tile] == sum, "tile %d: %g, expected %g", tile, (double)got[tile],
                      (double)sum);
        }
    }
    cudaFree(x);
    cudaFree(out);
}

/* --- matrices ----------------------------------------------------------------------------------- */

/* Matrix m, row r, column c of what ldmatrix loads is 64 m + 8 r + c. */
__global__ void fragments(uint32_t *out) {
    uint16_t *s = shared_mem<uint16_t>();
    const int lane = (int)threadIdx.x;
    for (int i = lane; i < 256; i += 32) s[i] = (uint16_t)i;
    __syncwarp();
    ldmatrix_x4(out + 12 * lane, s + 8 * lane);
    ldmatrix_x4_trans(out + 12 * lane + 4, s + 8 * lane);
    ldmatrix_x2(out + 12 * lane + 8, s + 8 * (lane % 16));
    ldmatrix_x2_trans(out + 12 * lane + 10, s + 8 * (lane % 16));
}

Test(emu, ldmatrix_gives_the_pictured_elements, .timeout = 60) {
    uint32_t *out = device_memory<uint32_t>(384), got[384];
    start(fragments, 1, 32, 512, out);
    OKAY(cudaMemcpy(got, out, sizeof got, cudaMemcpyDeviceToHost));
    for (int lane = 0; lane < 32; lane++) {
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 12; i++) {
            const bool transposed = i / 4 == 1 || i >= 10;
            const int m = i < 8 ? i % 4 : i % 2;
            const int low = 64 * m + (transposed ? 8 * 2 * t + g : 8 * g + 2 * t);
            const uint32_t expected = (uint32_t)(low + (transposed ? 8 : 1)) << 16 | (uint32_t)low;
            cr_expect(got[12 * lane + i] == expected, "lane %d, register %d: %08x, expected %08x",
                      lane, i, got[12 * lane + i], expected);
        }
    }
    cudaFree(out);
}

enum Type { F16, BF16, TF32 };
__device__ uint32_t narrow(Type type, float x) {
    return type == F16 ? f16_of(x) : type == BF16 ? bf16_of(x) : tf32_of(x);
}
/* d (16 x 8) = 3 + a (16 x depth) b (depth x 8), fragments laid out by hand from ptx.cuh's picture. */
__global__ void products(float *d, const float *a, const float *b, Type type) {
    const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4, depth = type == TF32 ? 8 : 16;
    uint32_t fa[4], fb[2];
    float fd[4] = {3.0f, 3.0f, 3.0f, 3.0f};
    auto A = [=](int row, int k) { return narrow(type, a[row * depth + k]); };
    auto B = [=](int k, int column) { return narrow(type, b[k * 8 + column]); };
    for (int i = 0; i < 4; i++) {
        const int row = g + i % 2 * 8;
        fa[i] = type == TF32 ? A(row, t + i / 2 * 4)
                             : A(row, 2 * t + i / 2 * 8) | A(row, 2 * t + 1 + i / 2 * 8) << 16;
    }
    for (int i = 0; i < 2; i++)
        fb[i] =
            type == TF32 ? B(t + i * 4, g) : B(2 * t + i * 8, g) | B(2 * t + 1 + i * 8, g) << 16;
    if (type == F16) mma_f16(fd, fa, fb);
    else if (type == BF16) mma_bf16(fd, fa, fb);
    else mma_tf32(fd, fa, fb);
    for (int i = 0; i < 4; i++) d[(g + i / 2 * 8) * 8 + 2 * t + i % 2] = fd[i];
}
/* Products whose operands come through ldmatrix: a as it lies, b stored (depth, columns) and (columns, depth). */
__global__ void loaded_products(float *d, const float *a, const float *b) {
    uint16_t *sa = shared_mem<uint16_t>(), *sb = sa + 256, *sbt = sb + 128;
    const int lane = (int)threadIdx.x, g = lane / 4, t = lane % 4;
    uint32_t fa[4], fb[2];
    for (int i = lane; i < 256; i += 32) sa[i] = f16_of(a[i]);
    for (int i = lane; i < 128; i += 32) sb[i] = sbt[i % 8 * 16 + i / 8] = f16_of(b[i]);
    __syncwarp();
    ldmatrix_x4(fa, sa + (lane % 16) * 16 + lane / 16 * 8);
    for (int way = 0; way < 2; way++) {
        float fd[4] = {3.0f, 3.0f, 3.0f, 3.0f};
        if (way == 0) ldmatrix_x2_trans(fb, sb + lane % 16 * 8);
        else ldmatrix_x2(fb, sbt + lane % 8 * 16 + lane / 8 % 2 * 8);
        mma_f16(fd, fa, fb);
        for (int i = 0; i < 4; i++) d[128 * way + (g + i / 2 * 8) * 8 + 2 * t + i % 2] = fd[i];
    }
}

/* Elements are small integers: products and sums are exact, so the order of the sum does not matter. */
static void expect_product(const float *got, const float *a, const float *b, int depth,
                           const char *what) {
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            float sum = 3.0f;
            for (int k = 0; k < depth; k++) sum += a[row * depth + k] * b[k * 8 + column];
            cr_expect(got[row * 8 + column] == sum, "%s: (%d,%d) is %g, expected %g", what, row,
                      column, (double)got[row * 8 + column], (double)sum);
        }
}

Test(emu, mma_multiplies_the_pictured_elements, .timeout = 60) {
    float a[256], b[128], got[256];
    float *da = device_memory<float>(256), *db = device_memory<float>(128);
    float *d = device_memory<float>(256);
    for (int i = 0; i < 256; i++) a[i] = (float)(i * 37 % 19 - 9);
    for (int i = 0; i < 128; i++) b[i] = (float)(i * 53 % 23 - 11);
    OKAY(cudaMemcpy(da, a, sizeof a, cudaMemcpyHostToDevice));
    OKAY(cudaMemcpy(db, b, sizeof b, cudaMemcpyHostToDevice));
    for (Type type : {F16, BF16, TF32}) {
        start(products, 1, 32, 0, d, (const float *)da, (const float *)db, type);
        OKAY(cudaMemcpy(got, d, sizeof got / 2, cudaMemcpyDeviceToHost));
        expect_product(got, a, b, type == TF32 ? 8 : 16,
                       type == F16    ? "f16"
                       : type == BF16 ? "bf16"
                                      : "tf32");
    }
    start(loaded_products, 1, 32, 1024, d, (const float *)da, (const float *)db);
    OKAY(cudaMemcpy(got, d, sizeof got, cudaMemcpyDeviceToHost));
    expect_product(got, a, b, 16, "f16, b (depth, columns)");
    expect_product(got + 128, a, b, 16, "f16, b (columns, depth)");
    cudaFree(da);
    cudaFree(db);
    cudaFree(d);
}

/* Bits of a register beyond the type's precision do not count; subnormals do. */
__global__ void edges(float *d, uint32_t a, uint32_t b, Type type) {
    uint32_t fa[4] = {a, a, a, a}, fb[2] = {b, b};
    float fd[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    if (type == TF32) mma_tf32(fd, fa, fb);
    else mma_f16(fd, fa, fb);
    d[threadIdx.x] = fd[0];
}

Test(emu, operands_of_mma_are_what_hardware_sees, .timeout = 60) {
    float *d = device_memory<float>(32), got[32];
    /* tf32 has no 1 + 2^-11: the last 13 bits are dropped, not rounded */
    start(edges, 1, 32, 0, d, 0x3f801fffu, 0x3f801000u, TF32);
    OKAY(cudaMemcpy(got, d, sizeof got, cudaMemcpyDeviceToHost));
    cr_expect(got[0] == 8.0f && got[31] == 8.0f, "%.9g", (double)got[0]);
    /* the smallest float16, 2^-24, times 1, sixteen times */
    start(edges, 1, 32, 0, d, 0x00010001u, 0x3c003c00u, F16);
    OKAY(cudaMemcpy(got, d, sizeof got, cudaMemcpyDeviceToHost));
    cr_expect(got[0] == 0x1p-20f, "%a", (double)got[0]);
    /* an infinity stays infinite */
    start(edges, 1, 32, 0, d, 0x7c007c00u, 0x3c003c00u, F16);
    OKAY(cudaMemcpy(got, d, sizeof got, cudaMemcpyDeviceToHost));
    cr_expect(isinf(got[0]) && got[0] > 0.0f);
    cudaFree(d);
}

Test(emu, conversions_round_as_ptx_says) {
    cr_expect(f16_of(1.0f + 0x1p-11f) == 0x3c00 &&
              f16_of(1.0f + 3 * 0x1p-11f) == 0x3c02); /* ties to even */
    cr_expect(f16_of(65520.0f) == 0x7c00 && f16_of(65519.0f) == 0x7bff && f16_of(0x1p-24f) == 1);
    cr_expect(bf16_of(1.0f + 0x1p-8f) == 0x3f80 && bf16_of(1.0f + 3 * 0x1p-8f) == 0x3f82);
    cr_expect(f32_of_bf16(0x4049) == 3.140625f && f32_of_f16(0x3c01) == 1.0f + 0x1p-10f);
    cr_expect(f16x2_of(1.0f, 2.0f) == 0x40003c00u && bf16x2_of(1.0f, 2.0f) == 0x40003f80u);
    /* tf32 rounds ties away from zero, for either sign */
    cr_expect(tf32_of(1.0f + 0x1p-11f) == 0x3f802000u && tf32_of(-1.0f - 0x1p-11f) == 0xbf802000u);
    cr_expect(tf32_of(1.0f + 0x1p-12f) == 0x3f800000u && tf32_of(INFINITY) == 0x7f800000u);
    cr_expect(isnan(__uint_as_float(tf32_of(NAN))) && isnan(f32_of_f16(f16_of(NAN))));
}

/* --- speed ------------------------------------------------------------------------------------ */

__global__ void barriers(float *x, int n) {
    for (int i = 0; i < n; i++) __syncthreads();
    x[threadIdx.x] = 1.0f;
}
__global__ void shuffles(float *x, int n) {
    float sum = (float)threadIdx.x;
    for (int i = 0; i < n; i++) sum += __shfl_xor_sync(ALL_LANES, sum, 1);
    x[threadIdx.x] = sum;
}
/* Returns processor time, so that the work of other processes counts little. */
static double seconds() {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
static double nanoseconds_a_switch(void (*kernel)(float *, int), int threads) {
    float *x = device_memory<float>(1024);
    const int n = 1000000 / threads;
    double best = 1e9;
    for (int i = 0; i < 3; i++) {
        const double begin = seconds();
        start(kernel, 1, threads, 0, x, n);
        OKAY(cudaDeviceSynchronize());
        best = fmin(best, 1e9 * (seconds() - begin) / ((double)n * threads));
    }
    cudaFree(x);
    return best;
}

/* The budget is 0.1 us: a slow emulator makes slow tests of everything else. */
Test(emu, a_switch_is_within_its_budget, .timeout = 60) {
#if !defined(__OPTIMIZE__) || defined(CHECK_LAUNCHES)
    cr_skip_test("of release builds");
#endif
    if (RACE) cr_skip_test("ThreadSanitizer takes 1000 times that");
    for (int threads = 32; threads <= 1024; threads *= 32) {
        const double barrier = nanoseconds_a_switch(barriers, threads);
        const double shuffle = nanoseconds_a_switch(shuffles, threads);
        if (getenv("TURTLE_TEST_FULL"))
            fprintf(stderr, "%d threads: %.1f ns at a barrier, %.1f ns at a shuffle\n", threads,
                    barrier, shuffle);
        cr_expect(barrier < 100.0, "%d threads: %.1f ns at a barrier", threads, barrier);
        cr_expect(shuffle < 100.0, "%d threads: %.1f ns at a shuffle", threads, shuffle);
    }
}
