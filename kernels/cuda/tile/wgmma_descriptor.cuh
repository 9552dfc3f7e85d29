/* wgmma_descriptor.cuh - how wgmma finds its operands in shared memory: the same bits for a GPU and for
 * the emulator, which takes them apart again. Both include it and have a shared_address().
 *
 * a and b are boxes of 64 elements by any number of lines, swizzled by 128 bytes (ptx_hopper.cuh). The
 * 64 may run along the depth or across it:
 *
 *     K_MAJOR    a line is a row of a (a column of b), its elements are depths; more rows are more
 *                lines. Groups of 8 lines are 1024 bytes apart ("stride"); "leading" is not used
 *     MN_MAJOR   a line is a depth, its elements are rows of a (columns of b). Groups of 8 depths are
 *                1024 bytes apart ("stride"), groups of 64 rows are boxes of their own ("leading")
 *
 * A descriptor (9.7.15.5.1.2.2) names them from one depth on: start address / 16 in bits 0-13, leading
 * offset / 16 in 16-29, stride / 16 in 32-45, 3 bits of base offset in 49-51 (0: the swizzle's pattern
 * begins at multiples of 1024), swizzle 1 = 128 bytes in 62-63. As the hardware swaps by bits of the
 * address, a step of 16 in depth is 32 bytes on in the start address in K_MAJOR whatever the row,
 * and 16 lines in MN_MAJOR. */
#ifndef TURTLE_KERNELS_CUDA_TILE_WGMMA_DESCRIPTOR_CUH
#define TURTLE_KERNELS_CUDA_TILE_WGMMA_DESCRIPTOR_CUH

enum Major { K_MAJOR = 0, MN_MAJOR = 1 };
enum WgmmaType { WGMMA_F16, WGMMA_BF16 };

__device__ __forceinline__ uint64_t wgmma_descriptor(uint32_t start, uint32_t leading,
                                                     uint32_t stride) {
    return (uint64_t)(start >> 4 & 0x3fff) | (uint64_t)(leading >> 4 & 0x3fff) << 16 |
           (uint64_t)(stride >> 4 & 0x3fff) << 32 | (uint64_t)1 << 62;
}
/* Returns the descriptor of depths 16 step and on of boxes at `tile`. Boxes of MN_MAJOR are `leading` bytes
 * apart. */
template <Major MAJOR>
__device__ __forceinline__ uint64_t tile_descriptor(const void *tile, int step,
                                                    uint32_t leading = 16) {
    const uint32_t on = MAJOR == K_MAJOR ? 32u : 2048u;
    return wgmma_descriptor(shared_address(tile) + on * (uint32_t)step, leading, 1024);
}

#endif
