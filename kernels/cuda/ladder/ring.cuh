/* ring.cuh - three stages of shared memory that the TMA fills and wgmma empties (step 8 of the ladder).
 *
 *     stage s    A (64 x 64)   B0   B1   B2   B3     boxes of 8 KB, swizzled by 128 bytes (ptx_hopper.cuh)
 *     full(s)    counts the bytes that land           empty(s)    counts the 4 warps that have multiplied */
#ifndef TURTLE_KERNELS_CUDA_LADDER_RING_CUH
#define TURTLE_KERNELS_CUDA_LADDER_RING_CUH

#include "kernels/cuda/ladder/bands.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/cuda/tile/tensor_map.cuh"

constexpr int RING = 3, BOX = 64 * 64 * 2, STAGE = 5 * BOX;
constexpr int RING_BYTES = RING * STAGE + 2 * RING * 8;

__device__ inline uint64_t *full(int s) {
    return shared_mem<uint64_t>(RING * STAGE) + s;
}
__device__ inline uint64_t *empty(int s) {
    return full(RING + s);
}
__device__ inline void begin_ring() {
    if (threadIdx.x == 0) {
        for (int s = 0; s < RING; s++) mbarrier_init(full(s), 1), mbarrier_init(empty(s), 4);
        fence_mbarrier_init();
    }
    __syncthreads();
}

/* The boxes of an operand begin at (x + t dx, y + t dy) for tile t. */
struct Walk {
    const CUtensorMap *map;
    int x, y, dx, dy;
};

#endif
