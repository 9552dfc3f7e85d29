/* emu_fault_test.cu - kernels that are wrong: the emulator must say so, or show it in the result.
 * Each kernel runs in a child process whose last words are read. */
#include "tests/emu/emu_fault.h"

/* --- barriers and lanes ------------------------------------------------------------------------- */

__global__ void diverges() {
    if (threadIdx.x < 32) __syncthreads();
    else __syncthreads_count(1);
}
Test(emu_fault, divergent_barrier, .timeout = 60) {
    expect_fault([] { start(diverges, 2, 64, 0); }, "divergent barrier: it is at tests/");
}

__global__ void skips_a_barrier() {
    if (threadIdx.x != 5) __syncthreads();
    else __shfl_sync(ALL_LANES, 1, 0);
}
Test(emu_fault, barrier_that_one_thread_skips, .timeout = 60) {
    expect_fault([] { start(skips_a_barrier, 1, 64, 0); },
                 "threads 0-4, 6-63 wait at __syncthreads (tests/emu/emu_fault_test.cu:");
}

__global__ void not_in_mask(float *out) {
    out[threadIdx.x] = __shfl_sync(0x0000ffffu, 1.0f, 0);
}
__global__ void two_masks(float *out) {
    out[threadIdx.x] = __shfl_sync(threadIdx.x < 16 ? 0xffffffffu : 0xffff0000u, 1.0f, 16);
}
__global__ void pairs(float *out) {
    const unsigned own = threadIdx.x, next = (own + 1) % 32;
    out[own] = __shfl_sync(1u << own | 1u << next, 1.0f, (int)next);
}
__global__ void early_return(float *out) {
    if (threadIdx.x == 3) return;
    out[threadIdx.x] = __shfl_sync(ALL_LANES, 1.0f, 0);
}
__global__ void partial_warp(float *out) {
    out[threadIdx.x] = warp_sum(1.0f);
}
__global__ void two_calls(float *out) {
    out[threadIdx.x] = 1.0f;
    if (threadIdx.x & 1) __shfl_sync(ALL_LANES, 1, 0);
    else __any_sync(ALL_LANES, 1);
}
__global__ void reads_outside_mask(float *out) {
    if (threadIdx.x < 16) out[threadIdx.x] = __shfl_sync(0xffffu, 1.0f, 20);
}
Test(emu_fault, masks, .timeout = 60) {
    expect_fault([] { start(not_in_mask, 1, 32, 0, floats()); }, "is not in its own mask 0000ffff");
    expect_fault([] { start(two_masks, 1, 32, 0, floats()); },
                 "returned while other lanes wait for it at __shfl_sync (tests/");
    expect_fault([] { start(pairs, 1, 32, 0, floats()); }, "other lanes of its warp wait at");
    expect_fault([] { start(early_return, 1, 32, 0, floats()); }, "returned");
    expect_fault([] { start(partial_warp, 1, 48, 0, floats()); },
                 "names lanes that have returned or never were (there are 0000ffff)");
    expect_fault([] { start(two_calls, 1, 32, 0, floats()); }, "lanes of it wait at");
    expect_fault([] { start(reads_outside_mask, 1, 32, 0, floats()); },
                 "reads lane 20, which is not in mask 0000ffff");
}

__global__ void wrong_barrier(int id, int threads) {
    barrier_sync(id, threads);
}
Test(emu_fault, named_barriers, .timeout = 60) {
    expect_fault([] { start(wrong_barrier, 1, 64, 0, 0, 64); }, "0 is __syncthreads");
    expect_fault([] { start(wrong_barrier, 1, 64, 0, 16, 64); }, "named barriers are 1 to 15");
    expect_fault([] { start(wrong_barrier, 1, 64, 0, 3, 48); }, "whole warps meet");
    expect_fault([] { start(wrong_barrier, 1, 96, 0, 3, 64); }, "deadlock");
}

__global__ void neighbour(float *out, int how) {
    float *s = shared_mem<float>();
    s[threadIdx.x] = (float)threadIdx.x;
    if (how == 1) __syncthreads();
    if (how == 2) __syncwarp();
    out[threadIdx.x] = s[(threadIdx.x + 1) % blockDim.x];
}
Test(emu_fault, missing_barrier, .timeout = 120) {
    expect_silence([] { start(neighbour, 1, 64, 256, floats(), 1); });
    expect_silence([] { start(neighbour, 1, 32, 256, floats(), 2); });
    expect_race([] { start(neighbour, 1, 64, 256, floats(), 0); }, "neighbour");
    expect_race([] { start(neighbour, 1, 32, 256, floats(), 0); }, "neighbour");
    expect_race([] { start(neighbour, 1, 64, 256, floats(), 2); }, "neighbour");
}
/* Without ThreadSanitizer the schedule shows it: some lane reads an element that is not written yet. */
Test(emu_fault, missing_barrier_by_luck, .timeout = 60) {
    int wrong = 0;
    if (RACE) cr_skip_test("reported, rightly");
    for (const char *seed : {"1", "2", "3"}) {
        setenv("EMU_SEED", seed, 1);
        start(neighbour, 1, 32, 256, floats(), 0);
        for (int i = 0; i < 32; i++) wrong += float_at(i) != (float)((i + 1) % 32);
    }
    cr_expect(wrong > 0, "no schedule of three showed it");
}

/* --- blocks ------------------------------------------------------------------------------------- */

__global__ void waits(unsigned *counter, unsigned target, int how) {
    if (threadIdx.x == 0) add_release(counter, 1);
    if (how == 0) wait_for(counter, target);
    else
        while (load_acquire(counter) < target) {}
}
static void wait_in_vain(bool cooperative, int blocks, unsigned target, int how) {
    unsigned *counter = (unsigned *)floats();
    cudaMemset(counter, 0, sizeof *counter);
    try_start(cooperative, NULL, waits, blocks, 32, 0, counter, target, how);
}
Test(emu_fault, deadlock, .timeout = 60) {
    expect_fault([] { wait_in_vain(true, 2, 3, 0); }, "is 2, they want 3");
    expect_fault([] { wait_in_vain(true, 2, 3, 1); }, "load_acquire in a loop");
    /* more blocks than exist at once, and not cooperative: some never begin */
    expect_fault([] { wait_in_vain(false, 3000, 3000, 0); }, "deadlock: nobody can go on");
    expect_silence([] { wait_in_vain(true, 2, 2, 0); });
    expect_silence([] { wait_in_vain(true, 2, 2, 1); });
}

__global__ void passes_on(float *x, unsigned *counter, int right) {
    if (blockIdx.x == 0 && threadIdx.x == 0) x[1] = 7.0f;
    if (right) {
        unsigned epoch = 0;
        grid_barrier(counter, epoch);
    }
    if (blockIdx.x == 1 && threadIdx.x == 0) x[2] = x[1];
}
static void pass_on(int right) {
    cudaMemset(floats(), 0, 16);
    start_cooperative(passes_on, 2, 32, 0, floats(), (unsigned *)floats(), right);
}
Test(emu_fault, missing_grid_barrier, .timeout = 120) {
    expect_silence([] { pass_on(1); });
    expect_race([] { pass_on(0); }, "passes_on");
}
/* Nothing orders two blocks, even if they never exist at the same time. */
__global__ void one_place(float *x) {
    x[0] = (float)blockIdx.x;
}
Test(emu_fault, blocks_write_one_place, .timeout = 120) {
    expect_race([] { start(one_place, 500, 1, 0, floats()); }, "one_place");
}

/* --- memory ------------------------------------------------------------------------------------- */

__global__ void misaligned(float *x, int what) {
    float *s = shared_mem<float>();
    uint32_t r[4];
    if (what == 0) x[0] = load_float4(x + 1).x;
    if (what == 1) store_float4(x + 2, make_float4(1.0f, 2.0f, 3.0f, 4.0f));
    if (what == 2) cp_async_16(s + 1, x, 16);
    if (what == 3) cp_async_16(s, x + 3, 16);
    if (what == 4) ldmatrix_x4(r, s + threadIdx.x + 1);
    if (what == 5) cp_async_16(s + 64, x, 16);
    if (what == 6) s = shared_mem<float>(257);
    if (what == 7) x[0] = *shared_mem<float>(258);
    if (what == 8) atomicAdd((unsigned *)((char *)x + 2), 1u);
}
template <int WHAT> static void misalign() {
    start(misaligned, 1, 32, 256, floats(), WHAT);
}
Test(emu_fault, alignment, .timeout = 60) {
    expect_fault(misalign<0>, "load_float4 at tests/emu/emu_fault_test.cu:");
    expect_fault(misalign<1>, "store_float4 at tests/emu/emu_fault_test.cu:");
    expect_fault(misalign<2>, "in shared memory is not aligned to 16 bytes");
    expect_fault(misalign<3>, "in global memory is not aligned to 16 bytes");
    expect_fault(misalign<4>, "ldmatrix at tests/emu/emu_fault_test.cu:");
    expect_fault(misalign<5>, "16 bytes to byte 256 of the 256 of shared memory");
    expect_fault(misalign<6>, "shared_mem: byte 257");
    expect_fault(misalign<7>, "shared_mem: byte 258");
    expect_fault(misalign<8>, "is not aligned to 4 bytes");
}

__global__ void uninitialised(float *out) {
    out[threadIdx.x] = shared_mem<float>()[threadIdx.x];
}
__global__ void copies(float *out, const float *x, int waits) {
    float *s = shared_mem<float>();
    cp_async_16(s + 4 * threadIdx.x, x, 16);
    cp_async_commit();
    if (waits) cp_async_wait<0>();
    out[threadIdx.x] = s[4 * threadIdx.x];
}
Test(emu_fault, what_is_not_there_yet_is_nan, .timeout = 60) {
    const float one[4] = {1.0f, 1.0f, 1.0f, 1.0f};
    cr_expect(isnan(float_at(1000)), "cudaMalloc");
    start(uninitialised, 1, 32, 128, floats());
    cr_expect(isnan(float_at(0)) && isnan(float_at(31)), "shared memory");
    cudaMemcpy(floats() + 512, one, sizeof one, cudaMemcpyHostToDevice);
    if (!RACE) { /* ThreadSanitizer would report it, rightly */
        start(copies, 1, 32, 512, floats(), (const float *)floats() + 512, 0);
        cr_expect(isnan(float_at(0)) && isnan(float_at(31)), "a copy that nobody waited for");
    }
    start(copies, 1, 32, 512, floats(), (const float *)floats() + 512, 1);
    cr_expect(float_at(0) == 1.0f && float_at(31) == 1.0f);
}
/* The barrier is there, but before the wait: other threads' copies may still be on their way. */
__global__ void barrier_before_wait(float *out, const float *x, int right) {
    float *s = shared_mem<float>();
    cp_async_16(s + 4 * threadIdx.x, x + 4 * threadIdx.x, 16);
    cp_async_commit();
    if (!right) __syncthreads();
    cp_async_wait<0>();
    if (right) __syncthreads();
    out[threadIdx.x] = s[(4 * threadIdx.x + 4) % (4 * blockDim.x)];
}
__global__ void matrix_before_wait(const uint16_t *x, int right) {
    uint16_t *s = shared_mem<uint16_t>();
    uint32_t r[4];
    cp_async_16(s + 8 * threadIdx.x, x, 16);
    cp_async_commit();
    cp_async_wait<0>();
    if (right) __syncwarp();
    ldmatrix_x4(r, s + 8 * threadIdx.x);
}
Test(emu_fault, copies_of_others, .timeout = 120) {
    expect_silence([] { start(barrier_before_wait, 1, 32, 512, floats(), floats() + 512, 1); });
    expect_silence([] { start(matrix_before_wait, 1, 32, 512, (const uint16_t *)floats(), 1); });
    expect_race([] { start(barrier_before_wait, 1, 32, 512, floats(), floats() + 512, 0); },
                "barrier_before_wait");
    expect_race([] { start(matrix_before_wait, 1, 32, 512, (const uint16_t *)floats(), 0); },
                "ldmatrix");
}

__global__ void writes_at(char *global, int at, int byte) {
    if (threadIdx.x == 9) (global ? global : shared_mem<char>())[at] = (char)byte;
}
static void write_shared(int bytes, int at) {
    start(writes_at, 3, 32, bytes, (char *)NULL, at, 0);
}
static void write_global(int at) {
    char *x = NULL;
    cudaMalloc((void **)&x, 1000);
    start(writes_at, 1, 32, 0, x, at, 0);
}
Test(emu_fault, writes_beside_memory, .timeout = 120) {
    const char *asan = "AddressSanitizer";
    expect_fault([] { write_shared(1000, 1000); }, "wrote past its 1000 bytes of shared memory",
                 asan);
    expect_fault([] { write_shared(1024, 1024); }, "outside its 1024 bytes of shared memory", asan);
    expect_fault([] { write_shared(1000, -1); }, "wrote past its 1000 bytes of shared memory",
                 asan);
    expect_fault([] { write_global(1000); }, "wrote outside the 1000 bytes of device memory", asan);
    expect_fault([] { write_global(-1); }, "wrote outside the 1000 bytes of device memory", asan);
    expect_fault([] { write_global(1 << 30); }, "access to 0x", asan);
}
Test(emu_fault, the_host_touches_device_memory, .timeout = 60) {
    expect_fault([] { floats()[3] = 1.0f; }, "the host touched device memory: byte 12 of the 4096",
                 "AddressSanitizer");
}

__global__ void deep(float *out, int depth) {
    volatile char much[4096];
    much[0] = (char)depth;
    if (depth > 0) deep(out, depth - 1);
    out[0] = much[0];
}
Test(emu_fault, stack_overflow, .timeout = 60) {
    expect_fault([] { start(deep, 1, 1, 0, floats(), 1000); }, "its stack", "stack-overflow");
}

/* --- streams ------------------------------------------------------------------------------------ */

__global__ void fill(float *x, float value) {
    x[threadIdx.x] = value;
}
static void two_streams(bool with_event) {
    cudaStream_t a, b;
    cudaEvent_t done;
    cudaStreamCreateWithFlags(&a, cudaStreamNonBlocking);
    cudaStreamCreateWithFlags(&b, cudaStreamNonBlocking);
    cudaEventCreate(&done);
    try_start(false, a, fill, 1, 32, 0, floats(), 1.0f);
    cudaEventRecord(done, a);
    if (with_event) cudaStreamWaitEvent(b, done);
    try_start(false, b, fill, 1, 32, 0, floats(), 2.0f);
    cudaStreamSynchronize(a);
    cudaStreamSynchronize(b);
}
Test(emu_fault, streams_that_nothing_orders, .timeout = 120) {
    expect_silence([] { two_streams(true); });
    expect_race([] { two_streams(false); }, "fill");
}

/* --- limits: as errors, for the program may ask for less ---------------------------------------- */

__global__ void nothing() {}

Test(emu_fault, launch_limits, .timeout = 60) {
    setenv("EMU_DEVICE", "tiny", 1);
    cr_expect(try_start(false, NULL, nothing, 1, 1025, 0) == cudaErrorInvalidConfiguration);
    cr_expect(try_start(false, NULL, nothing, 1, 0, 0) == cudaErrorInvalidConfiguration);
    cr_expect(try_start(false, NULL, nothing, 0, 32, 0) == cudaErrorInvalidConfiguration);
    cr_expect(try_start(false, NULL, nothing, 1, 32, 49 << 10) == cudaErrorInvalidValue);
    cr_expect(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   228 << 10) == cudaErrorInvalidValue);
    cr_expect(cudaGetLastError() == cudaErrorInvalidValue && cudaGetLastError() == cudaSuccess);
    OKAY(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize, 227 << 10));
    OKAY(try_start(false, NULL, nothing, 1, 32, 227 << 10));
    OKAY(try_start(true, NULL, nothing, 4, 512, 227 << 10));
    cr_expect(try_start(true, NULL, nothing, 5, 512, 100) == cudaErrorCooperativeLaunchTooLarge);
    OKAY(try_start(false, NULL, nothing, 50, 512, 100));
    OKAY(cudaDeviceSynchronize());
    setenv("EMU_DEVICE", "ada", 1);
    cr_expect(cudaFuncSetAttribute(nothing, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   100 << 10) == cudaErrorInvalidValue);
}
