/* ptx.cuh - the instructions that C does not have, one small function each.
 *
 * Inline PTX stands here and in ptx_hopper.cuh (compute capability 9.0) alone. kernels/emu/include/ptx_*.h
 * hold the same names for the emulator. g = lane / 4, t = lane % 4. */
#ifndef TURTLE_KERNELS_CUDA_TILE_PTX_CUH
#define TURTLE_KERNELS_CUDA_TILE_PTX_CUH

#include <stdint.h>

#include "kernels/cuda/backend/wait.h"

#if !defined(__CUDACC__)
#include <ptx_copy.h>
#include <ptx_matrix.h>
#include <ptx_scalar.h>
#else

/* --- conversions (cvt) ------------------------------------------------------------------------ */

/* Round to the nearest, ties to even; what is beyond the range of float16 becomes infinity. */
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
/* Put two numbers into one register, `low` in bits 0..15: the order of elements in memory. */
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
/* Returns a float32 whose mantissa keeps 10 bits, rounded to the nearest, ties away from zero. */
__device__ __forceinline__ uint32_t tf32_of(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

/* Returns 2^x, off by two places at most; 0 below 2^-126. */
__device__ __forceinline__ float exp2_approx(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* --- asynchronous copies, global to shared (cp.async) ------------------------------------------
 *
 * The copies of a thread go into a group that cp_async_commit closes; cp_async_wait<N> returns when
 * all but the N youngest groups of this thread have landed. Other threads see the bytes after a
 * barrier behind the wait. A copy may take only the first `bytes` of the 16 (or 4): zeros fill the rest
 * of the destination, and with 0 bytes the source is not touched. Both addresses are aligned to the size. */

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
 * x2 loads two: lanes 0..15 name the rows; the addresses of the other lanes are not used but must be valid.
 * All 32 lanes call them. */

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
 * Blocks tell each other through counters: adding with release and reading with acquire orders the ordinary
 * loads and stores around them (device scope). A loop that waits calls wait_for, which the emulator turns into
 * a yield. */

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

/* Returns nanoseconds of a clock that all SMs share. */
__device__ __forceinline__ uint64_t global_timer() {
    uint64_t now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    return now;
}

#if defined(BOUNDED_WAITS)
static __device__ WaitState wait_state;
static WaitFile wait_file(&wait_state, __BASE_FILE__);

/* A loop that waits for other blocks keeps a Patience and calls lose() in every round, which writes the record
 * (wait.h) and traps after the limit. */
struct Patience {
    uint64_t since;
    __device__ Patience() : since(global_timer()) {}
    __device__ void lose(const void *counter, unsigned value, unsigned target, const char *file,
                         int line) const {
        if (global_timer() - since < wait_state.limit || !wait_state.record) return;
        while (atomicExch(&wait_state.taken, 1u)) {
        } /* the trap of the thread that writes ends this one too */
        WaitRecord *r = wait_state.record;
        r->source = wait_state.source;
        r->line = line;
        for (int n = 0; *file && n < (int)sizeof r->where - 1;
             file++) { /* the file without its folders */
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

/* Returns when *counter has reached `target`. It compares by difference, for counters may wrap. */
__device__ __forceinline__ void wait_for(const unsigned *counter, unsigned target,
                                         const char *file = __builtin_FILE(),
                                         int line = __builtin_LINE()) {
    const Patience patience;
    for (unsigned value; (int)((value = load_acquire(counter)) - target) < 0;)
        patience.lose(counter, value, target, file, line);
}

/* --- barriers of a part of the block (bar.sync) ---------------------------------------------------
 *
 * Waits until `threads` threads of the block, in whole warps, have come to barrier `id`, 1 to 15. */
__device__ __forceinline__ void barrier_sync(int id, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* Keeps the compiler from moving loads and stores across, and lets it forget what it has derived from x: so only
 * so much is in registers at once. */
__device__ __forceinline__ void keep_order(int &x) {
    asm volatile("" : "+r"(x)::"memory");
}

/* Returns x, of which the compiler knows nothing any more: addresses behind it are one register and constants,
 * where the compiler would compute each of them from the kernel's parameters. */
__device__ __forceinline__ int opaque(int x) {
    asm volatile("" : "+r"(x));
    return x;
}

/* --- vectors ------------------------------------------------------------------------------------
 * They move 16 bytes at once; the address is aligned to 16 (the emulator checks it). */
__device__ __forceinline__ float4 load_float4(const float *p) {
    return *reinterpret_cast<const float4 *>(p);
}
__device__ __forceinline__ void store_float4(float *p, float4 x) {
    *reinterpret_cast<float4 *>(p) = x;
}

#endif
#endif
