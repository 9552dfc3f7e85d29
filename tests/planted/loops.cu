/* loops.cu - planted faults: loops whose machine code tests/sass must report, each for one figure. */
#include "kernels/cuda/tile/ptx.cuh"

__device__ static void multiply(float sum[4]) {
    const uint32_t a[4] = {threadIdx.x, 1, 2, 3}, b[2] = {threadIdx.x, 5};
    mma_f16(sum, a, b);
}

/* Every turn of the main loop waits until the whole GPU sees the thread's stores. */
__global__ void fences_in_a_loop(float *out, int n) {
    float sum[4] = {};
    for (int i = 0; i < n; i++) {
        multiply(sum);
        out[threadIdx.x] = sum[0];
        __threadfence();
    }
}

/* An array that is indexed by data lies in local memory. */
__global__ void keeps_an_array_in_a_loop(float *out, const int *index, int n) {
    float sum[4] = {}, kept[64] = {};
    for (int i = 0; i < n; i++) {
        multiply(sum);
        kept[index[i] % 64] = sum[1];
        sum[2] += kept[index[i + 1] % 64];
    }
    out[threadIdx.x] = sum[2];
}

/* Each load needs what the one before it brought. */
__global__ void loads_one_after_another(int *out, const int *next, int n) {
    int at = threadIdx.x;
    for (int i = 0; i < n; i++)
#pragma unroll
        for (int j = 0; j < 16; j++) at = next[at];
    out[threadIdx.x] = at;
}

/* Two products change places after every turn. */
__global__ void moves_accumulators(float *out, int n) {
    float one[4] = {}, two[4] = {1.0f};
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        multiply(one);
        for (int j = 0; j < 4; j++) {
            const float other = one[j];
            one[j] = two[j], two[j] = other;
        }
    }
    out[threadIdx.x] = one[0] + two[1];
}

/* A hundred multiplications for one product. */
__global__ void works_beside_a_product(float *out, int n) {
    float sum[4] = {}, x = out[threadIdx.x];
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        multiply(sum);
#pragma unroll
        for (int j = 0; j < 120; j++) x = x * x + 1.0f;
    }
    out[threadIdx.x] = sum[0] + x;
}

/* An element's loads wait for one another. */
__global__ void waits_for_every_element(int *out, const int *a, const int *b, int n) {
#pragma unroll 1
    for (int i = threadIdx.x; i < n; i += 32) out[i] = b[a[b[a[b[a[i]]]]]];
}

/* The plan does not know of this memory. */
__global__ void has_memory_of_its_own(float *out, int n) {
    __shared__ float kept[512];
    kept[threadIdx.x] = out[threadIdx.x];
    __syncthreads();
    out[threadIdx.x] = kept[(threadIdx.x + n) % 512];
}

/* 160 sums are live at once: an SM has registers for no more than 384 such threads. */
__global__ void holds_many_registers(float *out, const float *in, int n) {
    float sum[160];
#pragma unroll
    for (int j = 0; j < 160; j++) sum[j] = in[j];
#pragma unroll 1
    for (int i = 0; i < n; i++) {
        const float x = in[i];
#pragma unroll
        for (int j = 0; j < 160; j++) sum[j] = sum[j] * x + sum[(j + 1) % 160];
    }
#pragma unroll
    for (int j = 0; j < 160; j++) out[j * 1024 + threadIdx.x] = sum[j];
}

/* Its loads are under way together, and its loop multiplies alone: nothing to report. */
__global__ void has_no_fault(float *out, const float *in, int n) {
    float sum[4] = {};
    for (int i = 0; i < n; i++) multiply(sum);
#pragma unroll
    for (int j = 0; j < 16; j++) sum[0] += in[j * 32 + threadIdx.x];
    out[threadIdx.x] = sum[0];
}

/* The table of the model has a wrong figure of it. */
__global__ void multiplies_alone(float *out, int n) {
    float sum[4] = {};
    for (int i = 0; i < n; i++) {
        multiply(sum);
        multiply(sum);
    }
    out[threadIdx.x] = sum[0];
}
