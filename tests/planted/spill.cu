/* spill.cu - planted faults: kernels that the check for spills (tests/spills) must report. */
#include <cuda_runtime.h>

/* An array that is indexed by data cannot lie in registers. */
__global__ void keeps_an_array(float *x, const int *order) {
    float own[32];
    for (int i = 0; i < 32; i++) own[i] = x[i * 1024 + threadIdx.x];
    for (int i = 0; i < 32; i++) x[i * 1024 + threadIdx.x] = own[order[i]];
}

/* 1024 threads leave 64 registers each; 96 sums live at once do not fit. */
__global__ void __launch_bounds__(1024) spills_registers(float *x, const float *y, int n) {
    float sum[96];
#pragma unroll
    for (int i = 0; i < 96; i++) sum[i] = x[i * 1024 + threadIdx.x];
    for (int j = 0; j < n; j++) {
#pragma unroll
        for (int i = 0; i < 96; i++) sum[i] = sum[i] * y[j] + sum[(i + 7) % 96];
    }
#pragma unroll
    for (int i = 0; i < 96; i++) x[i * 1024 + threadIdx.x] = sum[i];
}
