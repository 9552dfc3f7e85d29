/* wgmma.cuh - the main loop of products on compute capability 9.0: one warp group loads, two multiply. The same with one
 * group that multiplies, and nothing shared, is kernels/cuda/ladder/step8_wgmma.cu.
 *
 *     d (128 x COLS) += A (128 x depth) B (depth x COLS), operands of 16 bits, 64 depths a tile
 *
 * Every tile is made of boxes of 64 elements by 64 lines (8 KB, swizzled: ptx_hopper.cuh): two boxes of A and
 * COLS / 64 of B, four at most. A box's elements run along the depth (K_MAJOR: Z and W of Z W^T) or across it
 * (MN_MAJOR: R and Z of R^T Z). Boxes outside of a matrix are zeros.
 *
 *     stage 0                        stage 1, 2, 3
 *     A0 A1 | B0 B1 B2 B3            ...                 group 2, one thread: loads into empty stages
 *     |  |    \_________/
 *     |  group 1: rows 64-127, all columns              full[s]   all boxes have landed
 *     group 0: rows 0-63                                empty[s]  8 warps of each block are done
 *
 * A cluster may share A or B: each block loads a part of the boxes for those that need them. Then a stage is empty when
 * all blocks are done with it; without sharing a warp also arrives in place of the other blocks' warps. Each phase begins
 * at stage 0, so that the blocks of a cluster agree. Each block counts a stage's parity on its own.
 *
 *     SHARE_B                        SHARE_BOTH, splits = 4: the ranks of a cluster of 8
 *     B is the same in all           0 1 2 3   the same A
 *                                    4 5 6 7   the same A;  0 and 4 have the same B, 1 and 5, 2 and 6, 3 and 7 */
#ifndef TURTLE_KERNELS_CUDA_TILE_WGMMA_CUH
#define TURTLE_KERNELS_CUDA_TILE_WGMMA_CUH

#include <type_traits>

#include "kernels/cuda/tile/gemm.cuh"
#include "kernels/cuda/tile/ptx_hopper.cuh"
#include "kernels/cuda/tile/tensor_map.cuh"
#include "kernels/tiles.h"

constexpr int WIDE_STAGES = 4, WIDE_DEPTH = 64, WIDE_CONSUMERS = 256;
constexpr int BOX_BYTES = 64 * WIDE_DEPTH * 2, STAGE_BYTES = 6 * BOX_BYTES;
constexpr int RING_BYTES = WIDE_STAGES * STAGE_BYTES;
constexpr int RING_SHARED = RING_BYTES + 2 * WIDE_STAGES * 8; /* the ring with its mbarriers */

/* A block's tile, and the threads that multiply. A third warp group of 128 threads does the loading. One warp
 * would do, but setmaxnreg works on whole warp groups: a lone warp would keep its 168 registers a thread. */
struct WideTile {
    static constexpr int ROWS = WGMMA_ROWS, COLS = WGMMA_MOST_CLASSES, THREADS = WIDE_CONSUMERS;
};
constexpr int WIDE_THREADS = WGMMA_THREADS;
static_assert(WIDE_THREADS == WIDE_CONSUMERS + 128, "a warp group that loads");
static_assert((int)WGMMA_FEATURES == (int)WGMMA_MOST_CLASSES,
              "one tile serves logits and gradient");
/* Registers of a thread that loads, and of one that multiplies. All threads begin with 168. */
constexpr int LOADER_REGISTERS = 56, CONSUMER_REGISTERS = 224;
static_assert(128 * LOADER_REGISTERS + WIDE_CONSUMERS * CONSUMER_REGISTERS <= 65536,
              "the register file");

/* Named barriers: of one group that multiplies, and of both. */
enum { OF_GROUP = 1 /* and 2 */, OF_CONSUMERS = 3 };

template <class T>
constexpr WgmmaType WGMMA_OF = std::is_same<T, Bf16>::value ? WGMMA_BF16 : WGMMA_F16;

struct Ring {
    int stage = 0;
    unsigned parities = 0; /* bit s: parity of the phase that stage s is in */

    __device__ unsigned char *box(int i) const {
        return shared_mem<unsigned char>(stage * STAGE_BYTES + i * BOX_BYTES);
    }
    static __device__ uint64_t *full(int stage) {
        return shared_mem<uint64_t>(RING_BYTES) + stage;
    }
    static __device__ uint64_t *empty(int stage) {
        return full(WIDE_STAGES + stage);
    }
    __device__ unsigned parity() const {
        return parities >> stage & 1;
    }
    __device__ void next() {
        parities ^= 1u << stage;
        stage = (stage + 1) % WIDE_STAGES;
    }
    /* All threads of the cluster call it, before anything else. */
    static __device__ void begin() {
        if (threadIdx.x == 0) {
            for (int s = 0; s < WIDE_STAGES; s++) {
                mbarrier_init(full(s), 1);
                mbarrier_init(empty(s), WIDE_CONSUMERS / WARP * cluster_size());
            }
            fence_mbarrier_init();
        }
        __syncwarp();
        cluster_sync();
    }
};

/* A box of a matrix, by its first element. */
struct BoxAt {
    const CUtensorMap *map;
    int x, y;
};

/* The operands that blocks of a cluster share: none; B in all blocks; or A in `splits` ranks one after the other and B
 * in every `splits`-th rank. */
enum SharedOperand { SHARE_NONE, SHARE_B, SHARE_BOTH };

/* The blocks that load an operand for one another: how many, the place of this one among them, and their ranks. */
struct Sharers {
    int count, own;
    unsigned mask;
};
__device__ __forceinline__ Sharers sharers_of_a(int split_bits) {
    const int rank = (int)cluster_rank(), splits = 1 << split_bits, own = rank & (splits - 1);
    return {splits, own, ((1u << splits) - 1) << (rank - own)};
}
__device__ __forceinline__ Sharers sharers_of_b(int split_bits) {
    const int rank = (int)cluster_rank(), size = (int)cluster_size(), splits = 1 << split_bits;
    unsigned mask = 0;
    for (int other = rank & (splits - 1); other < size; other += splits) mask |= 1u << other;
    return {size >> split_bits, rank >> split_bits, mask};
}

/* Loads the boxes of an operand. Of a SHARED operand the block loads its own part for all that share it. */
template <bool SHARED, int BOXES, class At>
__device__ __forceinline__ void load_boxes(const Ring &ring, int first, int t, const Sharers &by,
                                           At at) {
    for (int i = SHARED ? by.own : 0; i < BOXES; i += SHARED ? by.count : 1) {
        const BoxAt box = at(i, t);
        uint64_t *full = Ring::full(ring.stage);
        if (SHARED && by.count > 1)
            load_box_multicast(ring.box(first + i), box.map, box.x, box.y, full, by.mask);
        else load_box(ring.box(first + i), box.map, box.x, box.y, full);
    }
}

/* One thread calls it: loads `tiles` tiles; a(i, t) and b(j, t) say where the boxes of tile t begin. 2^split_bits
 * ranks share A; SHARE_BOTH alone asks for it. */
template <SharedOperand SHARED, int COLS = WideTile::COLS, class A, class B>
__device__ __forceinline__ void ring_load(Ring &ring, int tiles, int split_bits, A a,
                                          B b) {
    static_assert(2 + COLS / 64 <= STAGE_BYTES / BOX_BYTES, "boxes of a stage");
    constexpr bool BOTH = SHARED == SHARE_BOTH;
    const Sharers of_a = sharers_of_a(BOTH ? split_bits : 0),
                  of_b = sharers_of_b(BOTH ? split_bits : 0);
    for (int t = 0; t < tiles; t++) {
        mbarrier_wait(Ring::empty(ring.stage), ring.parity() ^ 1);
        mbarrier_arrive_expect(Ring::full(ring.stage), (2 + COLS / 64) * BOX_BYTES);
        load_boxes<BOTH, 2>(ring, 0, t, of_a, a);
        load_boxes<SHARED != SHARE_NONE, COLS / 64>(ring, 2, t, of_b, b);
        ring.next();
    }
}

/* A warp calls it when it is done with a stage. */
template <SharedOperand SHARED> __device__ __forceinline__ void ring_release(int stage) {
    const unsigned lane = threadIdx.x % WARP, size = cluster_size();
    __syncwarp();
    if (SHARED != SHARE_NONE && lane < size) mbarrier_arrive_at(Ring::empty(stage), lane);
    if (SHARED == SHARE_NONE && lane == 0) mbarrier_arrive(Ring::empty(stage), size);
    __syncwarp();
}

/* The two groups call it: d = the product over `tiles` tiles. Each group has 64 rows, which lie in d, COLS / 2
 * numbers a thread, as ptx_hopper.cuh says. each_tile(box) sees the group's box of A. */
template <class T, Major MAJOR, SharedOperand SHARED, int COLS_2, class EachTile>
__device__ __forceinline__ void ring_multiply(Ring &ring, float (&d)[COLS_2], int tiles,
                                              EachTile each_tile) {
    const int group = (int)threadIdx.x / 128;
    int before = 0;
    UNROLL
    for (int i = 0; i < COLS_2; i++) d[i] = 0.0f;
    NO_UNROLL
    for (int t = 0; t < tiles; t++) {
        const unsigned char *a = ring.box(group), *b = ring.box(2);
        mbarrier_wait(Ring::full(ring.stage), ring.parity());
        __syncwarp();
        wgmma_fence();
        UNROLL
        for (int step = 0; step < WIDE_DEPTH / 16; step++)
            wgmma<WGMMA_OF<T>, 2 * COLS_2, MAJOR, MAJOR>(
                d, tile_descriptor<MAJOR>(a, step, BOX_BYTES),
                tile_descriptor<MAJOR>(b, step, BOX_BYTES));
        wgmma_commit();
        each_tile(a);
        wgmma_wait<1>();
        if (t > 0) ring_release<SHARED>(before);
        before = ring.stage;
        ring.next();
    }
    wgmma_wait<0>(d);
    if (tiles > 0) ring_release<SHARED>(before);
}

#endif
