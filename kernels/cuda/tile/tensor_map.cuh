/* tensor_map.cuh - the host describes matrices for copies by the TMA (ptx_hopper.cuh). */
#ifndef TURTLE_KERNELS_CUDA_TILE_TENSOR_MAP_CUH
#define TURTLE_KERNELS_CUDA_TILE_TENSOR_MAP_CUH

#include <cuda.h>
#include <cuda_runtime.h>
#include <stdint.h>

/* Describes a matrix of `lines` lines of `width` 16-bit elements, `stride` elements apart, in boxes of box_width
 * elements by box_lines lines. Boxes are swizzled by 128 bytes where box_width is 64. Returns false if the
 * driver refuses (data or lines not aligned to 16 bytes) or has no such function. The runtime finds the
 * function, so that nothing links with the driver. */
inline bool tensor_map(CUtensorMap *map, const void *data, int64_t width, int64_t lines,
                       int64_t stride, int box_width, int box_lines) {
    void *function = NULL;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000,
                                         cudaEnableDefault, &found) != cudaSuccess ||
        found != cudaDriverEntryPointSuccess || !function)
        return false;
    const cuuint64_t dims[2] = {(cuuint64_t)width, (cuuint64_t)lines};
    const cuuint64_t strides[1] = {(cuuint64_t)stride * 2};
    const cuuint32_t box[2] = {(cuuint32_t)box_width, (cuuint32_t)box_lines}, ones[2] = {1, 1};
    const auto encode = (decltype(&cuTensorMapEncodeTiled))function;
    return encode(map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 2, (void *)data, dims, strides, box, ones,
                  CU_TENSOR_MAP_INTERLEAVE_NONE,
                  box_width == 64 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE,
                  CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

#endif
