/* ptx_hopper.cuh - the instructions of compute capability 9.0 and later: clusters, dependent
 * launches and products of a whole warp group. Included by ptx.cuh; not emulated yet, so whoever
 * calls them stands inside #if defined(__CUDACC__).
 *
 * Section numbers as in ptx.cuh. Built for an older GPU these trap: the host asks for the device's
 * compute capability before it launches a kernel that needs them. HAS_WGMMA tells a kernel whether
 * it is being compiled for 9.0a, the only target that has wgmma. */
#ifndef TURTLE_KERNELS_CUDA_PTX_HOPPER_CUH
#define TURTLE_KERNELS_CUDA_PTX_HOPPER_CUH

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
#define HAS_CLUSTERS 1
#else
#define HAS_CLUSTERS 0
#endif
#if defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define HAS_WGMMA 1
#else
#define HAS_WGMMA 0
#endif

/* --- clusters (9.7.13 barrier.cluster, 9.7.9 mapa) ----------------------------------------------
 *
 * The blocks of a cluster run side by side on one GPC and reach each other's shared memory.
 * cluster_sync: every thread of every block of the cluster; orders shared memory among them. No
 * block may return while another still reads its shared memory. */

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank = 0;
#if HAS_CLUSTERS
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
}
__device__ __forceinline__ void cluster_sync() {
#if HAS_CLUSTERS
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
#else
    __trap();
#endif
}
/* The address, in the window of the whole cluster, of what lies at `shared` in block `rank`. */
__device__ __forceinline__ uint32_t cluster_address(const void *shared, unsigned rank) {
    uint32_t there = 0;
#if HAS_CLUSTERS
    asm volatile("mapa.shared::cluster.u32 %0, %1, %2;"
                 : "=r"(there)
                 : "r"(shared_address(shared)), "r"(rank));
#else
    (void)shared, (void)rank;
    __trap();
#endif
    return there;
}
/* 16 bytes from another block's shared memory. */
__device__ __forceinline__ float4 cluster_load_float4(uint32_t there) {
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
#if HAS_CLUSTERS
    asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
                 : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
                 : "r"(there)
                 : "memory");
#else
    (void)there;
    __trap();
#endif
    return x;
}

/* --- dependent launches (9.7.13 griddepcontrol) -------------------------------------------------
 *
 * A kernel launched with cudaLaunchAttributeProgrammaticStreamSerialization may begin while the one
 * before it still runs, once every block of that has called grid_launch_dependents or returned. It
 * reads what the one before wrote only after grid_wait. Without the attribute both do nothing. */

__device__ __forceinline__ void grid_launch_dependents() {
#if HAS_CLUSTERS
    asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}
__device__ __forceinline__ void grid_wait() {
#if HAS_CLUSTERS
    asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/* --- products of a warp group (9.7.15 wgmma) ----------------------------------------------------
 *
 * d (64 x 256, float32) += a (64 x 16) b (16 x 256), both of float16 in shared memory, by 128
 * threads: 4 consecutive warps, the first of which has a number divisible by 4. Asynchronous: order is
 *
 *     fence_proxy_async + barrier       what ordinary stores put into shared memory becomes visible
 *     wgmma_fence                       before the first, and when other code touched d
 *     wgmma_f16_m64n256 ...             as many as there are
 *     wgmma_commit, wgmma_wait<N>       all but the N youngest groups are done; then d may be read
 *
 * d of warp w (of the group), lane 4g + t:
 *
 *     d[4j], d[4j + 1]       row 16w + g,     columns 8j + 2t, 8j + 2t + 1        j = 0 ... 31
 *     d[4j + 2], d[4j + 3]   row 16w + g + 8, the same columns
 *
 * a and b lie as tiles of 64 elements of depth: a row of a (a column of b) is 128 bytes, rows follow
 * each other, and the eight 16-byte pieces of row r are swapped by r % 8 (swizzle of 128 bytes):
 *
 *     byte of (r, depth) = 128 r + 16 ((depth / 8) ^ (r % 8)) + 2 (depth % 8)        base: 1024-aligned
 *
 *     row 0   p0 p1 p2 p3 p4 p5 p6 p7      so a column of pieces, which the unit reads at once,
 *     row 1   p1 p0 p3 p2 p5 p4 p7 p6      meets all banks
 *     row 2   p2 p3 p0 p1 p6 p7 p4 p5
 *
 * tile_descriptor names such a tile from depth 16 step on: start address / 16 in bits 0-13, leading
 * offset (unused here: 1) in 16-29, offset between groups of 8 rows / 16 in 32-45, swizzle 1 = 128
 * bytes in 62-63. The hardware swaps by bits of the address, so that a step of 16 in depth is 32
 * bytes on in the start address whatever the row. */

__device__ __forceinline__ uint64_t tile_descriptor(const void *tile, int step) {
    const uint64_t start = (shared_address(tile) + 32u * (unsigned)step) >> 4;
    return (start & 0x3fff) | (uint64_t)1 << 16 | (uint64_t)(1024 >> 4) << 32 | (uint64_t)1 << 62;
}
__device__ __forceinline__ void fence_proxy_async() {
#if HAS_CLUSTERS
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
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

#define WGMMA_8(d, i)                                                                             \
    "+f"((d)[i]), "+f"((d)[(i) + 1]), "+f"((d)[(i) + 2]), "+f"((d)[(i) + 3]), "+f"((d)[(i) + 4]), \
        "+f"((d)[(i) + 5]), "+f"((d)[(i) + 6]), "+f"((d)[(i) + 7])
#define WGMMA_32(d, i) \
    WGMMA_8(d, i), WGMMA_8(d, (i) + 8), WGMMA_8(d, (i) + 16), WGMMA_8(d, (i) + 24)

__device__ __forceinline__ void wgmma_f16_m64n256(float (&d)[128], uint64_t a, uint64_t b) {
#if HAS_WGMMA
    asm volatile(
        "{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n" /* d is added to */
        "wgmma.mma_async.sync.aligned.m64n256k16.f32.f16.f16 {"
        "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "
        "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "
        "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "
        "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "
        "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "
        "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "
        "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, "
        "%111, %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, "
        "%125, %126, %127}, %128, %129, add, 1, 1, 0, 0;\n}"
        : WGMMA_32(d, 0), WGMMA_32(d, 32), WGMMA_32(d, 64), WGMMA_32(d, 96)
        : "l"(a), "l"(b));
#else
    (void)d, (void)a, (void)b;
    __trap();
#endif
}

#endif
