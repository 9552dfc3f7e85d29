/* ptx_hopper.cuh - the instructions of compute capability 9.0: clusters, mbarriers, copies by the TMA,
 * registers that warp groups hand over, dependent launches, wgmma.
 *
 * Built for an older GPU these functions trap: the host asks for the device's compute capability before it
 * launches a kernel that needs them. HAS_WGMMA tells a kernel whether it is being compiled for 9.0a, the
 * only target that has wgmma. Section numbers are those of the PTX ISA's chapter 9 (version 9.0).
 * kernels/emu/include/ptx_hopper.h and ptx_wgmma.h hold the same names for the emulator. */
#ifndef TURTLE_KERNELS_CUDA_TILE_PTX_HOPPER_CUH
#define TURTLE_KERNELS_CUDA_TILE_PTX_HOPPER_CUH

#include "kernels/cuda/tile/ptx.cuh"

#if !defined(__CUDACC__)
#include <ptx_hopper.h>
#include <ptx_wgmma.h>
#else

#include <cuda.h> /* CUtensorMap */

#include "kernels/cuda/tile/wgmma_descriptor.cuh"

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
/* HOPPER((text : operands), arguments...) is an instruction of 9.0. Built for older GPUs it is a trap, and the
 * function's arguments are not used. */
#if HAS_CLUSTERS
#define HOPPER(instruction, ...) asm volatile instruction
#else
template <class... Arguments> __device__ __forceinline__ void unused(const Arguments &...) {}
#define HOPPER(instruction, ...) (unused(__VA_ARGS__), __trap())
#endif

/* --- clusters (9.7.13 barrier.cluster, 9.7.9 mapa) ----------------------------------------------
 *
 * The blocks of a cluster run side by side on one GPC and reach each other's shared memory.
 * Every thread of every block of the cluster calls cluster_sync, whole warps at once; it orders memory
 * among them. A thread may do other things between its arrive and its wait, which alternate. No
 * block may return while another one still reads its shared memory. */

__device__ __forceinline__ unsigned cluster_rank() {
    unsigned rank = 0;
#if HAS_CLUSTERS
    asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
#endif
    return rank;
}
__device__ __forceinline__ unsigned cluster_size() {
    unsigned size = 1;
#if HAS_CLUSTERS
    asm volatile("mov.u32 %0, %%cluster_nctarank;" : "=r"(size));
#endif
    return size;
}
__device__ __forceinline__ void cluster_arrive() {
    HOPPER(("barrier.cluster.arrive.release.aligned;" ::: "memory"));
}
__device__ __forceinline__ void cluster_wait() {
#if HAS_CLUSTERS
    asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
#endif
}
__device__ __forceinline__ void cluster_sync() {
    cluster_arrive();
    cluster_wait();
}
/* Returns the address, in the window of the whole cluster, of what lies at `shared` in block `rank`. */
__device__ __forceinline__ uint32_t cluster_address(const void *shared, unsigned rank) {
    uint32_t there = 0;
    HOPPER(("mapa.shared::cluster.u32 %0, %1, %2;"
            : "=r"(there)
            : "r"(shared_address(shared)), "r"(rank)),
           shared, rank);
    return there;
}
/* Loads 16 bytes from another block's shared memory. */
__device__ __forceinline__ float4 cluster_load_float4(uint32_t there) {
    float4 x = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    HOPPER(("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
            : "=f"(x.x), "=f"(x.y), "=f"(x.z), "=f"(x.w)
            : "r"(there)
            : "memory"),
           there);
    return x;
}

__device__ __forceinline__ void cluster_store_float4(uint32_t there, float4 x) {
    HOPPER(("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(there), "f"(x.x), "f"(x.y),
            "f"(x.z), "f"(x.w)
            : "memory"),
           there, x);
}

/* --- mbarriers (9.7.13.15) ----------------------------------------------------------------------
 *
 * 8 bytes of shared memory, aligned to 8, that count down in phases. A phase ends when `count`
 * arrivals have come and all the bytes that were announced with them; then the next one begins.
 *
 *     mbarrier_init            by one thread; then fence_mbarrier_init and a barrier of all (of the
 *                              cluster, if copies or arrivals come from other blocks)
 *     mbarrier_arrive          makes so many arrivals at once; releases
 *     mbarrier_arrive_expect   makes one arrival and announces so many bytes of copies
 *     mbarrier_arrive_at       makes one arrival at the mbarrier of the same place in block `rank`. It says
 *                              that the caller has read; it publishes no stores to the other block
 *     mbarrier_wait            waits until the phase of this parity is over: 0 for the first, 1 for the
 *                              second, 0 ...; parity 1 of a fresh mbarrier is over already. Acquires
 *                              within the block: data of other blocks comes by copies alone. */

__device__ __forceinline__ void mbarrier_init(uint64_t *barrier, unsigned count) {
    HOPPER(("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(count)
            : "memory"),
           barrier, count);
}
__device__ __forceinline__ void fence_mbarrier_init() {
#if HAS_CLUSTERS
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void mbarrier_arrive(uint64_t *barrier, unsigned count = 1) {
    HOPPER(("{\n.reg .b64 state;\n"
            "mbarrier.arrive.release.cta.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
                shared_address(barrier)),
            "r"(count)
            : "memory"),
           barrier, count);
}
__device__ __forceinline__ void mbarrier_arrive_expect(uint64_t *barrier, unsigned bytes) {
    HOPPER(("{\n.reg .b64 state;\n"
            "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
                shared_address(barrier)),
            "r"(bytes)
            : "memory"),
           barrier, bytes);
}
#if defined(TURTLE_AB_ARRIVE_RELEASE) /* the other side of a measurement: a fence of the whole GPU each time */
#define ARRIVE_AT "mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];"
#else
#define ARRIVE_AT "mbarrier.arrive.shared::cluster.b64 _, [%0];"
#endif
__device__ __forceinline__ void mbarrier_arrive_at(uint64_t *barrier, unsigned rank) {
    HOPPER((ARRIVE_AT ::"r"(cluster_address(barrier, rank))
            : "memory"),
           barrier, rank);
}
__device__ __forceinline__ void mbarrier_wait(uint64_t *barrier, unsigned parity,
                                              const char *file = __builtin_FILE(),
                                              int line = __builtin_LINE()) {
#if HAS_CLUSTERS
    const Patience patience;
    for (unsigned over = 0; !over; patience.lose(barrier, parity ^ 1, parity, file, line))
        asm volatile("{\n.reg .pred over;\n"
                     "mbarrier.try_wait.parity.shared::cta.b64 over, [%1], %2;\n"
                     "selp.u32 %0, 1, 0, over;\n}"
                     : "=r"(over)
                     : "r"(shared_address(barrier)), "r"(parity)
                     : "memory");
#else
    (void)barrier, (void)parity, (void)file, (void)line;
    __trap();
#endif
}

/* --- proxies (9.7.13.4 fence.proxy.async) ---------------------------------------------------------
 *
 * TMA and wgmma reach memory by a way of their own. They may read what ordinary stores wrote only behind such a
 * fence. For shared memory the threads that stored call it, before the barrier. For global memory the threads
 * that stored call it before the release, and the thread that starts the copy calls it behind the acquire. What
 * the TMA wrote into shared memory and a mbarrier announced needs no fence. */

__device__ __forceinline__ void fence_proxy_async() { /* for the block's shared memory */
#if HAS_CLUSTERS
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}
__device__ __forceinline__ void fence_proxy_async_global() {
#if HAS_CLUSTERS
    asm volatile("fence.proxy.async.global;" ::: "memory");
#endif
}

/* --- copies by the TMA (9.7.9.25 cp.async.bulk) ----------------------------------------------------
 *
 * One thread starts them; their bytes are announced by mbarrier_arrive_expect and counted off the
 * mbarrier as they land.
 *
 *     copy_bulk            copies so many bytes in a row: a multiple of 16, both addresses too
 *     load_box             copies the box of a matrix whose first element is (x, y): x along a line. What
 *                          lies outside the matrix arrives as zeros, and counts as bytes
 *     load_box_multicast   copies the box into the same place of every block in the mask (bit = rank);
 *                          each block's own mbarrier counts the bytes
 *
 * The map, made by tensor_map() (tensor_map.cuh), is a kernel's parameter (__grid_constant__). A box
 * of lines of 128 bytes with swizzle is aligned to 1024 and lies as the picture shows: the eight 16-byte
 * pieces of line r are swapped by r % 8, for the hardware swaps by bits of the address (4-6 by 7-9):
 *
 *     byte of (r, x) = 128 r + 16 ((x / 8) ^ (r % 8)) + 2 (x % 8)        elements of 16 bits
 *
 *     line 0   p0 p1 p2 p3 p4 p5 p6 p7      so a column of pieces, which a product reads at once,
 *     line 1   p1 p0 p3 p2 p5 p4 p7 p6      meets all banks
 *     line 2   p2 p3 p0 p1 p6 p7 p4 p5 */

__device__ __forceinline__ void copy_bulk(void *shared, const void *global, unsigned bytes,
                                          uint64_t *barrier) {
    HOPPER(("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
            "[%3];" ::"r"(shared_address(shared)),
            "l"(global), "r"(bytes), "r"(shared_address(barrier))
            : "memory"),
           shared, global, bytes, barrier);
}
__device__ __forceinline__ void load_box(void *shared, const CUtensorMap *map, int x, int y,
                                         uint64_t *barrier) {
    HOPPER(("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
            "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(shared)),
            "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier))
            : "memory"),
           shared, map, x, y, barrier);
}
__device__ __forceinline__ void load_box_multicast(void *shared, const CUtensorMap *map, int x,
                                                   int y, uint64_t *barrier, unsigned mask) {
    HOPPER(("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
            ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
            "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier)), "h"((uint16_t)mask)
            : "memory"),
           shared, map, x, y, barrier, mask);
}

/* --- registers (9.7.19.5 setmaxnreg) --------------------------------------------------------------
 *
 * A warp group gives registers back, or takes free ones; all its warps call it. */

template <int REGISTERS> __device__ __forceinline__ void registers_give() {
#if HAS_WGMMA
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(REGISTERS));
#endif
}
template <int REGISTERS> __device__ __forceinline__ void registers_take() {
#if HAS_WGMMA
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(REGISTERS));
#endif
}

/* --- dependent launches (9.7.13 griddepcontrol) -------------------------------------------------
 *
 * A kernel launched with cudaLaunchAttributeProgrammaticStreamSerialization may begin while the kernel
 * before it still runs, once every block of that kernel has called grid_launch_dependents or returned. It
 * reads what the kernel before it wrote only after grid_wait. Without the attribute both do nothing. */

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

/* --- products of a warp group (wgmma, of 9.0a alone) -----------------------------------------------
 *
 * 9.7.15 wgmma: d (64 x N, float32) += a (64 x 16) b (16 x N), both of 16 bits in shared memory, by 128
 * threads: 4 consecutive warps, the first of which has a number divisible by 4. Asynchronous:
 *
 *     fence_proxy_async + barrier   if ordinary stores, not TMA, put a and b into shared memory
 *     wgmma_fence                   before the first product, and whenever other code has touched d
 *     wgmma<T, N, A, B>(d, a, b)    as many products as there are
 *     wgmma_commit                  closes a group of products
 *     wgmma_wait<Y>()               all but the Y youngest groups are done: a and b may be overwritten
 *     wgmma_wait<Y>(d)              all but the Y youngest groups are done, and then d may be read
 *
 * d of warp w (of the group), lane 4g + t:
 *
 *     d[4j], d[4j + 1]       row 16w + g,     columns 8j + 2t, 8j + 2t + 1        j = 0 ... N/8 - 1
 *     d[4j + 2], d[4j + 3]   row 16w + g + 8, the same columns
 *
 * wgmma_descriptor.cuh says how a and b lie and are named. */

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
/* Tells the compiler that d changes here, so that it reads none of d before. */
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
#define WGMMA_NAMES128                                                                 \
    WGMMA_NAMES64                                                                      \
    ", "                                                                               \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define WGMMA_NAMES256                                                                       \
    WGMMA_NAMES128                                                                           \
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
/* The product is added to d; the scales of a and b are 1; then their majors follow. */
#define WGMMA(N, TYPE)                                                           \
    asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, 1, 0;\n"                  \
                 "wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE \
                 " {" WGMMA_NAMES##N "}, " WGMMA_OPERANDS##N                     \
                 : WGMMA_D##N                                                    \
                 : "l"(a), "l"(b), "n"((int)A), "n"((int)B))

template <WgmmaType TYPE, int N, Major A, Major B>
__device__ __forceinline__ void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b) {
    static_assert(N == 64 || N == 128 || N == 256, "the widths that WGMMA spells out");
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
