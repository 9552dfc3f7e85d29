/* ptx.cuh - the instructions that C does not have, one small function each. The only file with
 * inline PTX; kernels/emu/include/ptx_*.h hold the same names for the emulator.
 *
 * Section numbers are those of the PTX ISA's chapter 9 (version 9.0). g = lane / 4, t = lane % 4. */
#ifndef TURTLE_KERNELS_CUDA_TILE_PTX_CUH
#define TURTLE_KERNELS_CUDA_TILE_PTX_CUH

#include <stdint.h>

#include "kernels/cuda/backend/wait.h"

#if !defined(__CUDACC__)
#include <ptx_copy.h>
#include <ptx_hopper.h>
#include <ptx_matrix.h>
#include <ptx_scalar.h>
#include <ptx_wgmma.h>
#else

#include <cuda.h> /* CUtensorMap */

/* --- conversions (cvt) ------------------------------------------------------------------------ */

/* To the nearest, ties to even; beyond the range of float16 infinity. */
__device__ __forceinline__ uint16_t f16_of(float x) {
    uint16_t h;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ __forceinline__ float f32_of_f16(uint16_t h) {
    float x;
    asm("cvt.f32.f16 %0, %1;" : "=f"(x) : "h"(h));
    return x;
}
__device__ __forceinline__ uint16_t bf16_of(float x) {
    uint16_t h;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(h) : "f"(x));
    return h;
}
__device__ __forceinline__ float f32_of_bf16(uint16_t h) {
    return __uint_as_float((uint32_t)h << 16);
}
/* Two in one register, `low` in bits 0..15: the order of elements in memory. */
__device__ __forceinline__ uint32_t f16x2_of(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
__device__ __forceinline__ uint32_t bf16x2_of(float low, float high) {
    uint32_t pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}
/* A float32 whose mantissa keeps 10 bits, to the nearest, ties away from zero. */
__device__ __forceinline__ uint32_t tf32_of(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

/* --- asynchronous copies, global to shared (cp.async) ------------------------------------------
 *
 * The copies of a thread go into a group that cp_async_commit closes; cp_async_wait<N> returns when
 * all but the N youngest groups of this thread have landed. Other threads see the bytes after a
 * barrier behind the wait. What is copied may be the first `bytes` of the 16 (or 4): the rest of
 * the destination is filled with zeros, and with 0 bytes the source is not touched. Both addresses
 * are aligned to the size. */

__device__ __forceinline__ uint32_t shared_address(const void *shared) {
    return (uint32_t)__cvta_generic_to_shared(shared);
}
__device__ __forceinline__ void cp_async_16(void *shared, const void *global, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void cp_async_4(void *shared, const void *global, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)),
                 "l"(global), "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void cp_async_commit() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int YOUNGEST> __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(YOUNGEST) : "memory");
}

/* --- matrix fragments (ldmatrix) ----------------------------------------------------------------
 *
 * Loads four 8 x 8 matrices of 16-bit elements. Lane l names a row of 16 bytes in shared memory,
 * aligned to 16: row l % 8 of matrix l / 8. Register i then holds of matrix i
 *
 *     ldmatrix_x4         row g, columns 2t and 2t + 1  (low half: the even one)
 *     ldmatrix_x4_trans   rows 2t and 2t + 1, column g
 *
 * x2 loads two: lanes 0..15 name the rows, the others' addresses are not used but must be valid. All
 * 32 lanes call them. */

__device__ __forceinline__ void ldmatrix_x4(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t r[4], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x2(uint32_t r[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}
__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t r[2], const void *row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(r[0]), "=r"(r[1])
                 : "r"(shared_address(row))
                 : "memory");
}

/* --- matrix products (mma.sync) -----------------------------------------------------------------
 *
 * d (16 x 8, float32) += a (16 x depth, row by row) b (depth x 8). Fragments of a lane:
 *
 *     d[0] d[1]   row g,     columns 2t, 2t + 1         depth 16, two elements of 16 bits a register:
 *     d[2] d[3]   row g + 8, columns 2t, 2t + 1             a[0] row g,     depth 2t, 2t + 1
 *                                                           a[1] row g + 8, depth 2t, 2t + 1
 *     depth 8, tf32, one element a register:                a[2] row g,     depth 2t + 8, 2t + 9
 *         a[0] row g, depth t      b[0] depth t,     col g  a[3] row g + 8, depth 2t + 8, 2t + 9
 *         a[1] row g + 8, depth t  b[1] depth t + 4, col g  b[0] depth 2t, 2t + 1, column g
 *         a[2] row g, depth t + 4                           b[1] depth 2t + 8, 2t + 9, column g
 *         a[3] row g + 8, depth t + 4
 *
 * So ldmatrix_x4 of (rows 0-7, 8-15) x (depth 0-7, 8-15) is a, and ldmatrix_x2_trans of a b stored
 * (depth, columns) or ldmatrix_x2 of one stored (columns, depth) is b. All 32 lanes call them. */

__device__ __forceinline__ void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
__device__ __forceinline__ void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
                 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* --- memory between blocks ----------------------------------------------------------------------
 *
 * What blocks tell each other through: a counter that is added to with release and read with
 * acquire orders the ordinary loads and stores around it (device scope). A loop that waits calls
 * wait_for, which the emulator turns into a yield. */

__device__ __forceinline__ unsigned add_release(unsigned *counter, unsigned by) {
    unsigned before;
    asm volatile("atom.add.release.gpu.global.u32 %0, [%1], %2;"
                 : "=r"(before)
                 : "l"(counter), "r"(by)
                 : "memory");
    return before;
}
__device__ __forceinline__ unsigned load_acquire(const unsigned *counter) {
    unsigned value;
    asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(counter) : "memory");
    return value;
}

/* Nanoseconds; the same clock on every SM. */
__device__ __forceinline__ uint64_t global_timer() {
    uint64_t now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
}

#if defined(BOUNDED_WAITS)
static __device__ WaitState wait_state;
static WaitFile wait_file(&wait_state, __BASE_FILE__);

/* Kept by a loop that waits for other blocks, and lost in every round of it: after the limit it writes
 * the record (wait.h) and traps. */
struct Patience {
    uint64_t since;
    __device__ Patience() : since(global_timer()) {}
    __device__ void lose(const void *counter, unsigned value, unsigned target, const char *file,
                         int line) const {
        if (global_timer() - since < wait_state.limit || !wait_state.record) return;
        while (atomicExch(&wait_state.taken, 1u)) {} /* another one's trap ends this one too */
        WaitRecord *r = wait_state.record;
        r->unit = wait_state.unit;
        r->line = line;
        for (int n = 0; *file && n < (int)sizeof r->where - 1; file++) { /* without its folders */
            n = *file == '/' ? 0 : n + 1;
            if (n > 0) r->where[n - 1] = *file, r->where[n] = '\0';
        }
        r->block[0] = blockIdx.x, r->block[1] = blockIdx.y, r->block[2] = blockIdx.z;
        r->thread = threadIdx.x, r->blocks = gridDim.x;
        r->counter = (uint64_t)counter;
        r->value = value, r->target = target;
        __threadfence_system();
        r->written = 1;
        __threadfence_system();
        asm volatile("trap;");
    }
};
#else
struct Patience {
    __device__ __forceinline__ void lose(const void *, unsigned, unsigned, const char *,
                                         int) const {}
};
#endif

/* Returns when *counter has reached `target` (as a difference: counters may wrap). */
__device__ __forceinline__ void wait_for(const unsigned *counter, unsigned target,
                                         const char *file = __builtin_FILE(),
                                         int line = __builtin_LINE()) {
    const Patience patience;
    for (unsigned value; (int)((value = load_acquire(counter)) - target) < 0;)
        patience.lose(counter, value, target, file, line);
}

/* --- barriers of a part of the block (bar.sync) ---------------------------------------------------
 *
 * Until `threads` of the block, whole warps, have come to barrier `id`, 1 to 15. */
__device__ __forceinline__ void barrier_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* The compiler moves no load or store across, and forgets what it has derived from x: so much is in
 * registers at once and no more. */
__device__ __forceinline__ void keep_order(int &x) {
    asm volatile("" : "+r"(x)::"memory");
}

/* --- vectors ------------------------------------------------------------------------------------
 * 16 bytes at once; the address is aligned to 16 (the emulator checks it). */
__device__ __forceinline__ float4 load_float4(const float *p) {
    return *reinterpret_cast<const float4 *>(p);
}
__device__ __forceinline__ void store_float4(float *p, float4 x) {
    *reinterpret_cast<float4 *>(p) = x;
}

/* --- compute capability 9.0 and later -------------------------------------------------------------
 *
 * Built for an older GPU what follows traps: the host asks for the device's compute capability before
 * it launches a kernel that needs it. HAS_WGMMA tells a kernel whether it is being compiled for 9.0a,
 * the only target that has wgmma. */

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
/* HOPPER((text : operands), arguments...): an instruction of 9.0; elsewhere a trap, and the function's
 * arguments are not used. */
#if HAS_CLUSTERS
#define HOPPER(instruction, ...) asm volatile instruction
#else
template <class... Arguments> __device__ __forceinline__ void unused(const Arguments &...) {}
#define HOPPER(instruction, ...) (unused(__VA_ARGS__), __trap())
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
/* The address, in the window of the whole cluster, of what lies at `shared` in block `rank`. */
__device__ __forceinline__ uint32_t cluster_address(const void *shared, unsigned rank) {
    uint32_t there = 0;
    HOPPER(("mapa.shared::cluster.u32 %0, %1, %2;"
            : "=r"(there)
            : "r"(shared_address(shared)), "r"(rank)),
           shared, rank);
    return there;
}
/* 16 bytes from another block's shared memory. */
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
 *     mbarrier_arrive          so many arrivals at once; release
 *     mbarrier_arrive_expect   one arrival, and so many bytes that copies will bring
 *     mbarrier_arrive_at       one arrival at the mbarrier of the same place in block `rank`
 *     mbarrier_wait            until the phase of this parity is over: 0 for the first, 1 for the
 *                              second, 0 ...; parity 1 of a fresh mbarrier is over already. Acquire,
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
__device__ __forceinline__ void mbarrier_arrive_at(uint64_t *barrier, unsigned rank) {
    HOPPER(("mbarrier.arrive.release.cluster.shared::cluster.b64 _, [%0];" ::"r"(
                cluster_address(barrier, rank))
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

#include "kernels/cuda/tile/wgmma_descriptor.cuh"

/* --- products of a warp group (wgmma, of 9.0a alone) -----------------------------------------------
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
 * How a and b lie and are named: wgmma_descriptor.cuh. */

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
