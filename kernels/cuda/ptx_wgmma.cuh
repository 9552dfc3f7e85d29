/* ptx_wgmma.cuh - products of a warp group: wgmma, of compute capability 9.0a alone. Included by
 * ptx_hopper.cuh; kernels/emu/ptx_wgmma.h has the same names for the emulator.
 *
 * 9.7.15 wgmma: d (64 x N, float32) += a (64 x 16) b (16 x N), both of 16 bits in shared memory, by 128
 * threads: 4 consecutive warps, the first of which has a number divisible by 4. Asynchronous:
 *
 *     fence_proxy_async + barrier   if ordinary stores, not TMA, put a and b into shared memory
 *     wgmma_fence                   before the first, and whenever other code has touched d
 *     wgmma<T, N, A, B>(d, a, b)    as many as there are
 *     wgmma_commit                  closes a group of them
 *     wgmma_wait<Y>()               all but the Y youngest groups are done: a and b may be overwritten
 *     wgmma_wait<Y>(d)              the same, and then d may be read
 *
 * d of warp w (of the group), lane 4g + t:
 *
 *     d[4j], d[4j + 1]       row 16w + g,     columns 8j + 2t, 8j + 2t + 1        j = 0 ... N/8 - 1
 *     d[4j + 2], d[4j + 3]   row 16w + g + 8, the same columns
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
#ifndef TURTLE_KERNELS_CUDA_PTX_WGMMA_CUH
#define TURTLE_KERNELS_CUDA_PTX_WGMMA_CUH

enum Major { K_MAJOR = 0, MN_MAJOR = 1 };
enum WgmmaType { WGMMA_F16, WGMMA_BF16 };

__device__ __forceinline__ uint64_t wgmma_descriptor(uint32_t start, uint32_t leading,
                                                     uint32_t stride) {
    return (uint64_t)(start >> 4 & 0x3fff) | (uint64_t)(leading >> 4 & 0x3fff) << 16 |
           (uint64_t)(stride >> 4 & 0x3fff) << 32 | (uint64_t)1 << 62;
}
/* Depths 16 step and on of boxes at `tile`; of MN_MAJOR `leading` bytes apart. */
template <Major MAJOR>
__device__ __forceinline__ uint64_t tile_descriptor(const void *tile, int step,
                                                    uint32_t leading = 16) {
    const uint32_t on = MAJOR == K_MAJOR ? 32u : 2048u;
    return wgmma_descriptor(shared_address(tile) + on * (uint32_t)step, leading, 1024);
}

#if defined(__CUDACC__)

__device__ __forceinline__ void wgmma_fence() {
#if HAS_WGMMA
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void wgmma_commit() {
#if HAS_WGMMA
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
template <int YOUNGEST> __device__ __forceinline__ void wgmma_wait() {
#if HAS_WGMMA
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(YOUNGEST) : "memory");
#endif
}
/* The compiler learns that d changes here: it reads none of it before. */
template <int YOUNGEST, int FLOATS> __device__ __forceinline__ void wgmma_wait(float (&d)[FLOATS]) {
    wgmma_wait<YOUNGEST>();
#pragma unroll
    for (int i = 0; i < FLOATS; i++) asm volatile("" : "+f"(d[i])::"memory");
}

#define WGMMA_8(d, i)                                                                             \
    "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3]), "+f"((d)[(i) + 4]), \
        "+f"((d)[(i) + 5]), "+f"((d)[(i) + 6]), "+f"((d)[(i) + 7])
#define WGMMA_32(d, i) \
    WGMMA_8(d, i), WGMMA_8(d, (i) + 8), WGMMA_8(d, (i) + 16), WGMMA_8(d, (i) + 24)
#define WGMMA_D64 WGMMA_32(d, 0)
#define WGMMA_D128 WGMMA_D64, WGMMA_32(d, 32)
#define WGMMA_D256 WGMMA_D128, WGMMA_32(d, 64), WGMMA_32(d, 96)

#define WGMMA_NAMES64                                                        \
    "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define WGMMA_NAMES128                                                                     \
    WGMMA_NAMES64                                                                          \
        ", "                                                                               \
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NAMES256                                                                           \
    WGMMA_NAMES128                                                                               \
        ", "                                                                                     \
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "       \
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "       \
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, " \
        "%111, "                                                                                 \
        "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, "   \
        "%126, %127"
#define WGMMA_OPERANDS64 "%32, %33, add, 1, 1, %34, %35;\n}"
#define WGMMA_OPERANDS128 "%64, %65, add, 1, 1, %66, %67;\n}"
#define WGMMA_OPERANDS256 "%128, %129, add, 1, 1, %130, %131;\n}"
/* d is added to; the scales of a and b are 1; then their majors. */
#define WGMMA(N, TYPE)                                                           \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"                  \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE \
                 " {" WGMMA_NAMES##N "}, " WGMMA_OPERANDS##N                     \
                 : WGMMA_D##N                                                    \
                 : "l"(a), "l"(b), "n"((int)A), "n"((int)B))

template <WgmmaType TYPE, int N, Major A, Major B>
__device__ __forceinline__ void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b) {
    static_assert(N == 64 || N == 128 || N == 256, "what is spelt out here");
#if HAS_WGMMA
    if constexpr (N == 64 && TYPE == WGMMA_F16) WGMMA(64, "f16");
    if constexpr (N == 64 && TYPE == WGMMA_BF16) WGMMA(64, "bf16");
    if constexpr (N == 128 && TYPE == WGMMA_F16) WGMMA(128, "f16");
    if constexpr (N == 128 && TYPE == WGMMA_BF16) WGMMA(128, "bf16");
    if constexpr (N == 256 && TYPE == WGMMA_F16) WGMMA(256, "f16");
    if constexpr (N == 256 && TYPE == WGMMA_BF16) WGMMA(256, "bf16");
#else
    (void)d, (void)a, (void)b;
    __trap();
#endif
}

#endif
#endif
