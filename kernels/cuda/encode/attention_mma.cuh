/*
 * attention_mma.cuh - attention in 16 bits on tensor cores (mma.sync m16n8k16, sm_80 and later)
 *
 * Mapping  a block has up to 4 warps and a tile of queries of one head; a warp owns 16 R queries from scores to
 *          outputs. Keys and values come 64 at a time through a ring of two stages:
 *
 *              global      shared memory              registers of a warp
 *              q  -------> stage 1, at first -------> q     (16 R, W)     fragments a
 *              k  -cp.async-> stage [64][W + 8] ----> s     (16 R, KEYS)  = q k^T, then p = 2^(scale (s - max))
 *              v  -cp.async-> stage [64][W + 8] ----> out   (16 R, W)    += p v: the accumulators s are packed
 *                                                                         in place as fragments a of p
 *              out <------- stage 0, at the end <---- out / sum
 *
 *          Lines of W + 8 elements put the eight rows of an ldmatrix on eight different groups of 16 bytes. The last
 *          keys, and those on the diagonal of a causal head, go in steps of 16 with a mask.
 *
 *          Heads of a width between two W are zeros up to W: 72 costs as 80, 88 as 96, 104 to 120 as 128.
 *
 * R        2 up to W 80: a fragment of keys or values that ldmatrix brings serves 32 queries. With 16 queries shared
 *          memory binds before the tensor cores do: a step of 16 x 64 x 64 has 64 MMAs, 103 clocks of an SM of 9.0
 *          at 0.62 an SM and clock, and 32 ldmatrix of 512 bytes, 128 clocks. Wider heads leave no registers for R 2.
 *
 * Waste    rows of queries are rounded up to 16 R, keys to 16; blocks have as many warps as there are rows for:
 *
 *              tokens                    50     77    197    257    577   1370   1374
 *              products, R 2          1.64x  1.29x  1.20x  1.19x  1.08x  1.01x  1.00x
 *              warps without rows       0/2    0/3    1/8    0/9   1/20   1/44   1/44
 *              tiles of 64 x 64       1.64x  2.76x  1.69x  1.55x  1.23x  1.06x  1.05x
 *
 * Time     an SM has n = B heads ceil(queries to 16 R) ceil(keys to 16) / SMs pairs of query and key. The floor of its
 *          clocks is the largest of these; q, k, v and out at the memory's rate are a floor beside it:
 *
 *              MMA     n W / 1024 / rate             rate: 0.5 of m16n8k16 a clock on 8.0, 0.62 on 9.0
 *              exp     n / 16                        16 ex2 a clock
 *              LDS     n W / (512 R)                 fragments of keys and values, 128 bytes a clock
 *              issue   n (W / 1024 + W / (2048 R) + W / (32 KEYS) + 0.167 + 0.13 / R) / 4
 *                      MMAs; ldmatrix; outputs that shrink once a step; 5.3 instructions a score and lane; 135 a stage
 *                      that copy and wait. Rotation adds 220 a stage, 0.22 / R
 *
 *          ViT-L/14, 64 images on an H200: n 608000, MMA 61300 clocks, exp 38000, LDS 38000, issue 51900 (700
 *          instructions for the 128 MMAs of a stage, nvcc 13.0 for sm_90a): 35 us a layer at 1.755 GHz, memory 28 us.
 *          3072 blocks on 264 places are 11.6 waves, so the last one costs 3 %. A rotated head of 64 is bound by issue:
 *          68300 clocks, 39 us.
 */
#ifndef TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_MMA_CUH
#define TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_MMA_CUH

#include "kernels/cuda/encode/attention.cuh"
#include "kernels/layer_tiles.h"

/* Sizes of a kernel for heads of up to W. */
template <int W> struct AttentionShape {
    static constexpr int ROWS = ATTENTION_ROWS(W); /* queries of a warp */
    static constexpr int R = ROWS / 16;            /* fragments of 16 queries a warp */
    static constexpr int KEYS = W == 80 ? 32 : 64; /* of a step, as registers allow */
    static constexpr int STRIDE = W + 8;
    static constexpr int TILE = ATTENTION_STAGE_KEYS * STRIDE; /* elements of the keys of a stage */
    static constexpr int SHARED = 2 * 2 * TILE * 2;            /* bytes */
    static constexpr int BLOCKS = W == 96 ? 3 : 2;             /* on an SM: 168 or 255 registers */
    static_assert(ATTENTION_WIDTH(W) == W, "the model's width is the kernel's");
    static_assert(ATTENTION_FRAGMENT == 16, "an MMA has 16 queries; the last keys come as many");
    static_assert(W % 16 == 0 && ROWS % 16 == 0, "whole fragments of depth and queries");
    static_assert(ATTENTION_WARPS * ROWS <= 2 * ATTENTION_STAGE_KEYS, "q and out fit a stage");
    static_assert(SHARED <= 99 << 10, "fits every GPU from sm_80 on");
};

/* Begins the copies of head h of image b, `lines` tokens from `first` on, of each of N operands; their tiles are TILE
 * apart. What lies beyond the last token or the head's width arrives as zeros, for a copy of 0 bytes does not touch its
 * source. Neighbouring threads share a line; a thread keeps its columns and goes down the lines, so that
 * addresses are sums. */
template <class T, int W, int N>
__device__ __forceinline__ void load_tokens(uint16_t *tile, const Tokens (&from)[N],
                                            const Attention &a, int b, int h, int lines, int first,
                                            int tokens) {
    using S = AttentionShape<W>;
    constexpr int SHARE = W == 80 ? 2 : W == 96 ? 4 : 8; /* threads of a line */
    constexpr int COLUMNS = SHARE * 8;                   /* that they copy at once */
    static_assert(W % COLUMNS == 0, "whole copies");
    const int sweep = (int)blockDim.x / SHARE, own = (int)threadIdx.x / SHARE,
              column = (int)threadIdx.x % SHARE * 8;
    const uint16_t *source[N];
    UNROLL
    for (int n = 0; n < N; n++)
        source[n] = head_of<T>(from[n], a, b, h) + (first + own) * from[n].row + column;
    uint16_t *to = tile + own * S::STRIDE + column;
    NO_UNROLL
    for (int line = own; line < lines; line += sweep) {
        UNROLL
        for (int c = 0; c < W; c += COLUMNS) {
            const int bytes = first + line < tokens && column + c < a.width ? 16 : 0;
            UNROLL
            for (int n = 0; n < N; n++) cp_async_16(to + n * S::TILE + c, source[n] + c, bytes);
        }
        UNROLL
        for (int n = 0; n < N; n++) source[n] += sweep * from[n].row;
        to += sweep * S::STRIDE;
    }
}

/* The registers of a warp: its queries, outputs, and the softmax of the rows that a lane shares: g and g + 8 of
 * every fragment. */
template <class T, int W> struct WarpAttention {
    using S = AttentionShape<W>;
    static constexpr int R = S::R;
    uint32_t q[R][W / 16][4];
    float out[R][W / 8][4];
    RunningRow row[R][2];

    __device__ __forceinline__ void begin(const uint16_t *tile) {
        const int lane = (int)threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int k = 0; k < W / 16; k++)
                ldmatrix_x4(q[r][k], tile + (16 * r + matrix % 2 * 8 + line) * S::STRIDE + 16 * k +
                                         matrix / 2 * 8);
            UNROLL
            for (int c = 0; c < W / 8; c++) {
                UNROLL
                for (int i = 0; i < 4; i++) out[r][c][i] = 0.0f;
            }
            row[r][0] = row[r][1] = RunningRow::none();
        }
    }

    /* s = q k^T for N keys. */
    template <int N>
    __device__ __forceinline__ void scores(float (&s)[R][N / 8][4], const uint16_t *keys) const {
        const int lane = (int)threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int c = 0; c < N / 8; c++) {
                UNROLL
                for (int i = 0; i < 4; i++) s[r][c][i] = 0.0f;
            }
        }
        UNROLL
        for (int k = 0; k < W / 16; k++) {
            UNROLL
            for (int c = 0; c < N / 8; c += 2) {
                uint32_t pair[4]; /* (keys, depth) = (0,0) (0,8) (8,0) (8,8) */
                ldmatrix_x4(pair, keys + (8 * c + matrix / 2 * 8 + line) * S::STRIDE + 16 * k +
                                      matrix % 2 * 8);
                UNROLL
                for (int r = 0; r < R; r++) {
                    T::mma(s[r][c], q[r][k], pair);
                    T::mma(s[r][c + 1], q[r][k], pair + 2);
                }
            }
        }
    }

    /* Turns scores into p, and lets sums and outputs follow the new maxima. */
    template <int N> __device__ __forceinline__ void softmax(float (&s)[R][N / 8][4], float scale) {
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                float most = s[r][0][2 * half];
                UNROLL
                for (int c = 0; c < N / 8; c++)
                    most = fmaxf(most, fmaxf(s[r][c][2 * half], s[r][c][2 * half + 1]));
                const float shrink = row[r][half].meet(group_max<4>(most), scale);
                UNROLL
                for (int c = 0; c < W / 8; c++)
                    out[r][c][2 * half] *= shrink, out[r][c][2 * half + 1] *= shrink;
                const float shift = -row[r][half].max * scale;
                UNROLL
                for (int c = 0; c < N / 8; c++) {
                    UNROLL
                    for (int i = 2 * half; i < 2 * half + 2; i++) {
                        s[r][c][i] = exp2_approx(fmaf(s[r][c][i], scale, shift));
                        row[r][half].sum += s[r][c][i];
                    }
                }
            }
        }
    }

    /* out += p v for N keys. */
    template <int N>
    __device__ __forceinline__ void mix(const float (&p)[R][N / 8][4], const uint16_t *values) {
        const int lane = (int)threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
        UNROLL
        for (int k = 0; k < N / 16; k++) {
            uint32_t x[R][4]; /* two accumulators of 16 x 8 are one fragment a of 16 x 16 */
            UNROLL
            for (int r = 0; r < R; r++) {
                UNROLL
                for (int i = 0; i < 4; i++)
                    x[r][i] = pair_of<T>(p[r][2 * k + i / 2][i % 2 * 2],
                                         p[r][2 * k + i / 2][i % 2 * 2 + 1]);
            }
            UNROLL
            for (int c = 0; c < W / 8; c += 2) {
                uint32_t pair[4]; /* (keys, columns) = (0,0) (8,0) (0,8) (8,8) */
                ldmatrix_x4_trans(pair, values + (16 * k + matrix % 2 * 8 + line) * S::STRIDE +
                                            8 * c + matrix / 2 * 8);
                UNROLL
                for (int r = 0; r < R; r++) {
                    T::mma(out[r][c], x[r], pair);
                    T::mma(out[r][c + 1], x[r], pair + 2);
                }
            }
        }
    }

    /* Takes N keys whose first one is number `key`; MASKED: some queries do not see all of them. */
    template <int N, bool MASKED>
    __device__ __forceinline__ void step(const Attention &a, const uint16_t *keys,
                                         const uint16_t *values, int first_row, int key) {
        float s[R][N / 8][4];
        scores<N>(s, keys);
        if constexpr (MASKED) {
            const int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
            UNROLL
            for (int r = 0; r < R; r++) {
                UNROLL
                for (int c = 0; c < N / 8; c++) {
                    UNROLL
                    for (int i = 0; i < 4; i++)
                        if (!sees(a, first_row + 16 * r + g + i / 2 * 8,
                                  key + 8 * c + 2 * t + i % 2))
                            s[r][c][i] = -INFINITY;
                }
            }
        }
        softmax<N>(s, a.scale);
        mix<N>(s, values);
    }

    /* Takes a stage whose keys are seen by all queries of the block. */
    __device__ __forceinline__ void whole_stage(const Attention &a, const uint16_t *keys) {
        NO_UNROLL
        for (int j = 0; j < ATTENTION_STAGE_KEYS * S::STRIDE; j += S::KEYS * S::STRIDE)
            step<S::KEYS, false>(a, keys + j, keys + S::TILE + j, 0, 0);
    }
    /* Takes the keys of a stage that some of the warp's queries see. */
    __device__ __forceinline__ void last_stage(const Attention &a, const uint16_t *keys,
                                               int first_row, int key) {
        const int seen = a.causal && first_row + S::ROWS < a.keys ? first_row + S::ROWS : a.keys;
        const int left = seen - key < ATTENTION_STAGE_KEYS ? seen - key : ATTENTION_STAGE_KEYS;
        NO_UNROLL
        for (int j = 0; j < left; j += 16)
            step<16, true>(a, keys + j * S::STRIDE, keys + S::TILE + j * S::STRIDE, first_row,
                           key + j);
    }

    /* Writes outputs in 16 bits to the warp's own rows of shared memory. */
    __device__ __forceinline__ void end(uint16_t *tile) const {
        const int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
        UNROLL
        for (int r = 0; r < R; r++) {
            UNROLL
            for (int half = 0; half < 2; half++) {
                const float inverse = 1.0f / group_sum<4>(row[r][half].sum);
                UNROLL
                for (int c = 0; c < W / 8; c++)
                    *(uint32_t *)(tile + (16 * r + g + 8 * half) * S::STRIDE + 8 * c + 2 * t) =
                        pair_of<T>(out[r][c][2 * half] * inverse,
                                   out[r][c][2 * half + 1] * inverse);
            }
        }
    }
};

template <class T, int W>
__global__ void __launch_bounds__(ATTENTION_WARPS *WARP, AttentionShape<W>::BLOCKS)
    attention_mma(const Attention a) {
    using S = AttentionShape<W>;
    const int rows = (int)blockDim.x / WARP * S::ROWS; /* queries of the block */
    const Piece piece(a, (a.queries + rows - 1) / rows);
    const int warp = (int)threadIdx.x / WARP, first = piece.tile * rows,
              first_row = first + warp * S::ROWS;
    const int last = a.causal && first + rows < a.keys ? first + rows : a.keys; /* keys it sees */
    const auto stage = [](int n) { return shared_mem<uint16_t>() + n % 2 * 2 * S::TILE; };
    const auto load = [&](int key) {
        const int b = opaque(piece.b), h = opaque(piece.h); /* no address lives through all steps */
        const Tokens from[2] = {a.k, a.v};
        load_tokens<T, W>(stage(key / ATTENTION_STAGE_KEYS), from, a, b, h, ATTENTION_STAGE_KEYS,
                          key, a.keys);
        cp_async_commit();
    };

    const Tokens queries[1] = {a.q};
    load_tokens<T, W>(stage(1), queries, a, piece.b, piece.h, rows, first, a.queries);
    load(0);
    cp_async_wait<0>();
    __syncthreads();
    if (a.rope.cos) {
        rotate_rows<T, S::STRIDE>(stage(1), a, rows, first, a.queries);
        __syncthreads();
    }
    WarpAttention<T, W> mine;
    mine.begin(stage(1) + warp * S::ROWS * S::STRIDE);

    const auto arrive =
        [&](int key) { /* the stage has landed, and nobody reads the other one any more */
                       cp_async_wait<0>();
                       __syncthreads();
                       if (key + ATTENTION_STAGE_KEYS < last) load(key + ATTENTION_STAGE_KEYS);
                       uint16_t *keys = stage(key / ATTENTION_STAGE_KEYS);
                       if (a.rope.cos) {
                           rotate_rows<T, S::STRIDE>(keys, a, ATTENTION_STAGE_KEYS, key, a.keys);
                           __syncthreads();
                       }
                       return keys;
        };
    const bool works = first_row < a.queries; /* a warp without rows copies and waits */
    const int whole =
        a.causal && first + 1 < a.keys ? first + 1 : a.keys; /* all queries see them */
    int key = 0;
    NO_UNROLL
    for (; key + ATTENTION_STAGE_KEYS <= whole; key += ATTENTION_STAGE_KEYS) {
        const uint16_t *keys = arrive(key);
        if (works) mine.whole_stage(a, keys);
    }
    NO_UNROLL
    for (; key < last; key += ATTENTION_STAGE_KEYS) {
        const uint16_t *keys = arrive(key);
        if (works) mine.last_stage(a, keys, first_row, key);
    }

    __syncthreads(); /* stages become rows of outputs */
    if (!works) return;
    uint16_t *own = stage(0) + warp * S::ROWS * S::STRIDE;
    mine.end(own);
    __syncwarp();
    uint16_t *out = head_of<T>(a.out, a, piece.b, piece.h);
    for (int i = (int)threadIdx.x % WARP; i < S::ROWS * (W / 8); i += WARP) {
        const int line = i / (W / 8), column = i % (W / 8) * 8;
        if (first_row + line < a.queries && column < a.width)
            store_float4((float *)(out + (first_row + line) * a.out.row + column),
                         load_float4((const float *)(own + line * S::STRIDE + column)));
    }
}

#endif
