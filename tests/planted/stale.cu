/* stale.cu - planted faults: persistent kernels that read what another block may have written through the
 * read-only cache, which the check for it (tests/coherent) must report; and one that does not. */
#include <cuda_runtime.h>

__global__ void inner_slab_reads_stale(float *__restrict__ out, const float *__restrict__ shared) {
    out[threadIdx.x] = shared[threadIdx.x];
}

__global__ void inner_slab_asks_for_stale(float *out, const float *shared) {
    out[threadIdx.x] = __ldg(shared + threadIdx.x);
}

__global__ void inner_slab_reads_fresh(float *out, const float *shared) {
    out[threadIdx.x] = shared[threadIdx.x];
}
