/* ptx_hopper.cuh - the instructions of compute capability 9.0 and later: clusters, mbarriers, copies
 * by the tensor memory accelerator (TMA), dependent launches; products of a warp group are in
 * ptx_wgmma.cuh. Included by ptx.cuh; kernels/emu/ptx_hopper.h has the same names for the emulator.
 *
 * Section numbers as in ptx.cuh. Built for an older GPU these trap: the host asks for the device's
 * compute capability before it launches a kernel that needs them. HAS_WGMMA tells a kernel whether
 * it is being compiled for 9.0a, the only target that has wgmma. */
#ifndef TURTLE_KERNELS_CUDA_PTX_HOPPER_CUH
#define TURTLE_KERNELS_CUDA_PTX_HOPPER_CUH

#include <cuda.h> /* CUtensorMap */

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
 * cluster_sync: every thread of every block of the cluster, whole warps at once; orders memory
 * among them. A thread may do other things between its arrive and its wait, which alternate. No
 * block may return while another still reads its shared memory. */

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
#if HAS_CLUSTERS
    asm volatile("barrier.cluster.arrive.release.aligned;" ::: "memory");
#else
    __trap();
#endif
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

__device__ __forceinline__ void cluster_store_float4(uint32_t there, float4 x) {
#if HAS_CLUSTERS
    asm volatile("st.shared::cluster.v4.f32 [%0], {%1, %2, %3, %4};" ::"r"(there), "f"(x.x),
                 "f"(x.y), "f"(x.z), "f"(x.w)
                 : "memory");
#else
    (void)there, (void)x;
    __trap();
#endif
}

/* --- mbarriers (9.7.13.15) ----------------------------------------------------------------------
 *
 * 8 bytes of shared memory, aligned to 8, that count down in phases. A phase ends when `count`
 * arrivals have come and all the bytes that were announced with them; then the next one begins.
 *
 *     mbarrier_init            by one thread; then fence_mbarrier_init and a barrier of all (of the
 *                              cluster, if copies or arrivals come from other blocks)
 *     mbarrier_arrive          so many arrivals at once; release
 *     mbarrier_arrive_expect   one arrival, and so many bytes that copies will bring
 *     mbarrier_arrive_at       one arrival at the mbarrier of the same place in block `rank`
 *     mbarrier_wait            until the phase of this parity is over: 0 for the first, 1 for the
 *                              second, 0 ...; parity 1 of a fresh mbarrier is over already. Acquire,
 *                              within the block: data of other blocks comes by copies alone. */

__device__ __forceinline__ void mbarrier_init(uint64_t *barrier, unsigned count) {
#if HAS_CLUSTERS
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)),
                 "r"(count)
                 : "memory");
#else
    (void)barrier, (void)count;
    __trap();
#endif
}
__device__ __forceinline__ void fence_mbarrier_init() {
#if HAS_CLUSTERS
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}
__device__ __forceinline__ void mbarrier_arrive(uint64_t *barrier, unsigned count = 1) {
#if HAS_CLUSTERS
    asm volatile("{\n.reg .b64 state;\n"
                 "mbarrier.arrive.release.cta.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
                     shared_address(barrier)),
                 "r"(count)
                 : "memory");
#else
    (void)barrier, (void)count;
    __trap();
#endif
}
__device__ __forceinline__ void mbarrier_arrive_expect(uint64_t *barrier, unsigned bytes) {
#if HAS_CLUSTERS
    asm volatile("{\n.reg .b64 state;\n"
                 "mbarrier.arrive.expect_tx.release.cta.shared::cta.b64 state, [%0], %1;\n}" ::"r"(
                     shared_address(barrier)),
                 "r"(bytes)
                 : "memory");
#else
    (void)barrier, (void)bytes;
    __trap();
#endif
}
__device__ __forceinline__ void mbarrier_arrive_at(uint64_t *barrier, unsigned rank) {
#if HAS_CLUSTERS
    asm volatile("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                     cluster_address(barrier, rank))
                 : "memory");
#else
    (void)barrier, (void)rank;
    __trap();
#endif
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
 * TMA and wgmma reach memory by a way of their own. What ordinary stores wrote is theirs to read
 * only behind such a fence: in shared memory by the threads that stored, before the barrier; in
 * global memory by those, before the release, and by the thread that starts the copy, behind the
 * acquire. What TMA itself wrote into shared memory and a mbarrier announced needs none. */

__device__ __forceinline__ void fence_proxy_async() { /* of the block's shared memory */
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
 *     copy_bulk            so many bytes in a row: a multiple of 16, both addresses too
 *     load_box             the box of a matrix whose first element is (x, y): x along a line. What
 *                          lies outside the matrix arrives as zeros, and counts as bytes
 *     load_box_multicast   the same into the same place of every block in the mask (bit = rank), each
 *                          block's own mbarrier counting the bytes
 *
 * The map, made by tensor_map() (tensor_map.cuh), is a kernel's parameter (__grid_constant__). A box
 * of lines of 128 bytes with swizzle lies so, aligned to 1024: the eight 16-byte pieces of line r are
 * swapped by r % 8, for the hardware swaps by bits of the address (4-6 by 7-9):
 *
 *     byte of (r, x) = 128 r + 16 ((x / 8) ^ (r % 8)) + 2 (x % 8)        elements of 16 bits
 *
 *     line 0   p0 p1 p2 p3 p4 p5 p6 p7      so a column of pieces, which a product reads at once,
 *     line 1   p1 p0 p3 p2 p5 p4 p7 p6      meets all banks
 *     line 2   p2 p3 p0 p1 p6 p7 p4 p5 */

__device__ __forceinline__ void copy_bulk(void *shared, const void *global, unsigned bytes,
                                          uint64_t *barrier) {
#if HAS_CLUSTERS
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, "
        "[%3];" ::"r"(shared_address(shared)),
        "l"(global), "r"(bytes), "r"(shared_address(barrier))
        : "memory");
#else
    (void)shared, (void)global, (void)bytes, (void)barrier;
    __trap();
#endif
}
__device__ __forceinline__ void load_box(void *shared, const CUtensorMap *map, int x, int y,
                                         uint64_t *barrier) {
#if HAS_CLUSTERS
    asm volatile("cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes "
                 "[%0], [%1, {%2, %3}], [%4];" ::"r"(shared_address(shared)),
                 "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier))
                 : "memory");
#else
    (void)shared, (void)map, (void)x, (void)y, (void)barrier;
    __trap();
#endif
}
__device__ __forceinline__ void load_box_multicast(void *shared, const CUtensorMap *map, int x,
                                                   int y, uint64_t *barrier, unsigned mask) {
#if HAS_CLUSTERS
    asm volatile(
        "cp.async.bulk.tensor.2d.shared::cluster.global.tile.mbarrier::complete_tx::bytes"
        ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(shared_address(shared)),
        "l"(map), "r"(x), "r"(y), "r"(shared_address(barrier)), "h"((uint16_t)mask)
        : "memory");
#else
    (void)shared, (void)map, (void)x, (void)y, (void)barrier, (void)mask;
    __trap();
#endif
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

#include "ptx_wgmma.cuh"

#endif
