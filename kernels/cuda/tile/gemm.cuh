/*
 * gemm.cuh - the tiled matrix product that every matrix kernel shares
 *
 *     product (ROWS,COLS) = A (ROWS,depth) B (depth,COLS), one tile of it per block
 *
 * Operands either lie ALONG the depth (its elements side by side: Z and W of Z W^T) or ACROSS it
 * (a depth's elements side by side: R and Z of R^T Z). Tiles of 64 bytes of depth travel through
 * shared memory in a ring of STAGES, copied asynchronously; what lies outside the matrices arrives
 * as zeros, so ragged shapes need no other path.
 *
 *      global             shared memory, one stage                registers
 *      A   ----cp.async-->  ALONG  [ROWS][DEPTH] + 16 bytes   \
 *                           ACROSS [DEPTH][ROWS] + padding     > ldmatrix, mma.sync or FMAs
 *      B   ----cp.async-->  the same with COLS                /
 *
 * The paddings make every access of a warp meet 32 banks: lines of 80 bytes put the eight rows of
 * an ldmatrix (and the float4s of the FMA path) on eight different 16-byte groups, ACROSS lines of
 * 4-byte elements end 8 banks further on.
 *
 *     Fp32   FMAs; each thread a tile of its own             exact products
 *     Tf32   mma.sync m16n8k8, operands rounded to 10 bits   half the rate of Fp16 and Bf16
 *     Fp16   mma.sync m16n8k16                               Bf16 has 7 bits, and 8 of range
 *
 * Sums are float32, in an order that the shapes alone decide. Small kernels lead here: kernels/cuda/ladder/step2_tiles.cu,
 * then ladder/step5_mma.cu.
 */
#ifndef TURTLE_KERNELS_CUDA_TILE_GEMM_CUH
#define TURTLE_KERNELS_CUDA_TILE_GEMM_CUH

#include "kernels/cuda/backend/cuda.h"

enum Layout { ALONG, ACROSS };

constexpr int STAGES = 3;
constexpr int DEPTH_BYTES = 64;

/* --- element types ---------------------------------------------------------------------------- */

struct Fp32 {
    using Element = float;
};
struct Tf32 {
    using Element = float;
};
struct Fp16 {
    using Element = uint16_t;
    static __device__ __forceinline__ Element from(float x) {
        return f16_of(x);
    }
    static __device__ __forceinline__ float widen(Element x) {
        return f32_of_f16(x);
    }
    static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4],
                                               const uint32_t b[2]) {
        mma_f16(d, a, b);
    }
};
struct Bf16 {
    using Element = uint16_t;
    static __device__ __forceinline__ Element from(float x) {
        return bf16_of(x);
    }
    static __device__ __forceinline__ float widen(Element x) {
        return f32_of_bf16(x);
    }
    static __device__ __forceinline__ void mma(float d[4], const uint32_t a[4],
                                               const uint32_t b[2]) {
        mma_bf16(d, a, b);
    }
};

template <class T> __device__ __forceinline__ float to_float(typename T::Element x) {
    if constexpr (sizeof x == 4) return x;
    else return T::widen(x);
}
template <class T> __device__ __forceinline__ typename T::Element from_float(float x) {
    if constexpr (sizeof(typename T::Element) == 4) return x;
    else return T::from(x);
}
/* Returns two numbers of 16 bits, `low` in bits 0..15. */
template <class T> __device__ __forceinline__ uint32_t pair_of(float low, float high) {
    if constexpr (std::is_same<T, Bf16>::value) return bf16x2_of(low, high);
    else return f16x2_of(low, high);
}

/* Calls f(T()) with the type whose products a batch asks for. */
template <class F> Status with_type(const Batch *Z, F f) {
    if (Z->type == DTYPE_F16) return f(Fp16());
    if (Z->type == DTYPE_BF16) return f(Bf16());
    return Z->tf32 ? f(Tf32()) : f(Fp32());
}

/* Returns whether the spaces' batches are of one operand type, as kernels for all spaces need. */
template <class Steps> bool one_type(const Steps *in) {
    for (int k = 1; k < in->K; k++)
        if (in->space[k].Z.type != in->space[0].Z.type ||
            in->space[k].Z.tf32 != in->space[0].Z.tf32)
            return false;
    return true;
}

/* --- operands --------------------------------------------------------------------------------- */

/* A matrix in global memory: `lines` lines of `width` elements, `stride` apart. */
template <class T> struct View {
    const typename T::Element *data;
    int64_t stride, lines, width;
    bool aligned; /* every line begins at a multiple of 16 bytes */
};

template <class T> View<T> view(const void *data, int64_t stride, int64_t lines, int64_t width) {
    constexpr int size = sizeof(typename T::Element);
    View<T> v = {(const typename T::Element *)data, stride, lines, width, false};
    v.aligned = (uintptr_t)data % 16 == 0 && stride * size % 16 == 0;
    return v;
}

/* One operand's tile in shared memory: it has N rows (or columns) of the product. */
template <class T, Layout L, int N> struct Tile {
    using Element = typename T::Element;
    static constexpr int SIZE = sizeof(Element);
    static constexpr int DEPTH = DEPTH_BYTES / SIZE;
    static constexpr int CHUNK = 16 / SIZE; /* elements of a copy */
    static constexpr int LINES = L == ALONG ? N : DEPTH;
    static constexpr int WIDTH = L == ALONG ? DEPTH : N;
    static constexpr int STRIDE = WIDTH + (L == ACROSS && SIZE == 4 ? 8 : CHUNK);
    static constexpr int BYTES = LINES * STRIDE * SIZE;
    static_assert(WIDTH % CHUNK == 0, "a line is whole copies");
    static_assert(STRIDE * SIZE % 16 == 0, "every line is aligned for copies and ldmatrix");

    /* Begins the copies of the tile whose first row is `first` and whose first depth is `depth`. */
    template <int THREADS>
    static __device__ void load(Element *tile, const View<T> &m, int64_t first, int64_t depth) {
        const int64_t line0 = L == ALONG ? first : depth, column0 = L == ALONG ? depth : first;
        if (SIZE == 2 || m.aligned) {
            constexpr int PER_LINE = WIDTH / CHUNK;
            UNROLL
            for (int i = threadIdx.x; i < LINES * PER_LINE; i += THREADS) {
                const int line = i / PER_LINE, column = i % PER_LINE * CHUNK;
                const int64_t left = m.width - column0 - column;
                const bool inside = line0 + line < m.lines && left > 0;
                const int bytes = !inside ? 0 : left < CHUNK ? (int)left * SIZE : 16;
                cp_async_16(tile + line * STRIDE + column,
                            inside ? m.data + (line0 + line) * m.stride + column0 + column : m.data,
                            bytes);
            }
        } else { /* float32 rows of any length */
            NO_UNROLL
            for (int i = threadIdx.x; i < LINES * WIDTH; i += THREADS) {
                const int line = i / WIDTH, column = i % WIDTH;
                const bool inside = line0 + line < m.lines && column0 + column < m.width;
                cp_async_4(tile + line * STRIDE + column,
                           inside ? m.data + (line0 + line) * m.stride + column0 + column : m.data,
                           inside ? 4 : 0);
            }
        }
    }
};

/* --- the product of one block ----------------------------------------------------------------- */

/* A tile of R x C over which WR x WC warps lie in a grid. */
template <int R, int C, int WR, int WC> struct Shape2 {
    static constexpr int ROWS = R, COLS = C, WARP_ROWS = WR, WARP_COLS = WC;
    static constexpr int THREADS = WARP * WR * WC;
    /* Floats between rows of the product in shared memory. Lanes of a fragment write pairs: 8 beyond a
     * multiple of 32. Threads walk along rows of 16: an odd number. */
    static constexpr int RESULT_STRIDE = C == 16 ? 17 : C + 8;
    static constexpr int RESULT_BYTES = R * RESULT_STRIDE * (int)sizeof(float);
};

/* Accumulators of Fp32: the block is a grid of 16 x THREADS/16 threads; a thread's rows and columns
 * are 16 (THREADS/16) apart where tiles lie ALONG the depth, in fours where they lie ACROSS it,
 * which a float4 then loads at once. */
template <class S, Layout LA, Layout LB> struct FmaProduct {
    static constexpr int GRID_ROWS = 16, GRID_COLS = S::THREADS / 16;
    static constexpr int NR = S::ROWS / GRID_ROWS, NC = S::COLS / GRID_COLS;
    using TileA = Tile<Fp32, LA, S::ROWS>;
    using TileB = Tile<Fp32, LB, S::COLS>;
    float sum[NR][NC];

    /* Returns where a thread's i-th of N rows lies in a grid of so many threads. */
    template <Layout L, int N, int GRID>
    static __device__ __forceinline__ int place(int at, int i) {
        return L == ACROSS && N % 4 == 0 ? i / 4 * 4 * GRID + 4 * at + i % 4 : at + GRID * i;
    }
    /* Loads the thread's N elements at depths k .. k + 3. */
    template <class TileX, Layout L, int N, int GRID>
    static __device__ __forceinline__ void fetch(float x[4][N], const float *tile, int k, int at) {
        UNROLL
        for (int i = 0; i < N; i++) {
            if constexpr (L == ALONG) {
                const float4 v = load_float4(tile + place<L, N, GRID>(at, i) * TileX::STRIDE + k);
                x[0][i] = v.x, x[1][i] = v.y, x[2][i] = v.z, x[3][i] = v.w;
            } else if constexpr (N % 4 == 0) {
                if (i % 4 == 0) {
                    UNROLL
                    for (int j = 0; j < 4; j++) {
                        const float4 v =
                            load_float4(tile + (k + j) * TileX::STRIDE + place<L, N, GRID>(at, i));
                        x[j][i] = v.x, x[j][i + 1] = v.y, x[j][i + 2] = v.z, x[j][i + 3] = v.w;
                    }
                }
            } else {
                UNROLL
                for (int j = 0; j < 4; j++)
                    x[j][i] = tile[(k + j) * TileX::STRIDE + place<L, N, GRID>(at, i)];
            }
        }
    }

    __device__ __forceinline__ void step(const float *a, const float *b) {
        const int row = threadIdx.x / GRID_COLS, col = threadIdx.x % GRID_COLS;
        UNROLL
        for (int k = 0; k < TileA::DEPTH; k += 4) {
            float x[4][NR], y[4][NC];
            fetch<TileA, LA, NR, GRID_ROWS>(x, a, k, row);
            fetch<TileB, LB, NC, GRID_COLS>(y, b, k, col);
            UNROLL
            for (int j = 0; j < 4; j++) {
                UNROLL
                for (int r = 0; r < NR; r++) {
                    UNROLL
                    for (int c = 0; c < NC; c++) sum[r][c] = fmaf(x[j][r], y[j][c], sum[r][c]);
                }
            }
        }
    }
    __device__ __forceinline__ void clear() {
        UNROLL
        for (int r = 0; r < NR; r++) {
            UNROLL
            for (int c = 0; c < NC; c++) sum[r][c] = 0.0f;
        }
    }
    __device__ __forceinline__ void store(float *out) const {
        const int row = threadIdx.x / GRID_COLS, col = threadIdx.x % GRID_COLS;
        UNROLL
        for (int r = 0; r < NR; r++) {
            UNROLL
            for (int c = 0; c < NC; c++)
                out[place<LA, NR, GRID_ROWS>(row, r) * S::RESULT_STRIDE +
                    place<LB, NC, GRID_COLS>(col, c)] = sum[r][c];
        }
    }
};

/* Accumulators of the tensor cores: a warp owns HEIGHT x WIDTH, in fragments of 16 x 8 (ptx.cuh). */
template <class T, class S, Layout LA, Layout LB> struct MmaProduct {
    using Element = typename T::Element;
    using TileA = Tile<T, LA, S::ROWS>;
    using TileB = Tile<T, LB, S::COLS>;
    static constexpr int HEIGHT = S::ROWS / S::WARP_ROWS, WIDTH = S::COLS / S::WARP_COLS;
    static constexpr int NR = HEIGHT / 16, NC = WIDTH / 8;
    static_assert(HEIGHT % 16 == 0 && WIDTH % 16 == 0, "whole fragments, b by pairs");
    float sum[NR][NC][4];

    static __device__ __forceinline__ int first_row() {
        return threadIdx.x / WARP / S::WARP_COLS * HEIGHT;
    }
    static __device__ __forceinline__ int first_col() {
        return threadIdx.x / WARP % S::WARP_COLS * WIDTH;
    }

    __device__ __forceinline__ void step(const Element *a, const Element *b) {
        if constexpr (sizeof(Element) == 2) step16(a, b);
        else step_tf32(a, b);
    }

    __device__ __forceinline__ void step16(const Element *a, const Element *b) {
        const int lane = threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
        UNROLL
        for (int k = 0; k < TileA::DEPTH; k += 16) {
            uint32_t x[NR][4], y[NC][2];
            /* a: matrices are (rows, depth) = (0,0) (8,0) (0,8) (8,8) */
            UNROLL
            for (int r = 0; r < NR; r++) {
                const int row = first_row() + 16 * r + matrix % 2 * 8, deep = k + matrix / 2 * 8;
                if constexpr (LA == ALONG)
                    ldmatrix_x4(x[r], a + (row + line) * TileA::STRIDE + deep);
                else ldmatrix_x4_trans(x[r], a + (deep + line) * TileA::STRIDE + row);
            }
            /* two b at a time: (columns, depth) = (0,0) (0,8) (8,0) (8,8) */
            UNROLL
            for (int c = 0; c < NC; c += 2) {
                const int col = first_col() + 8 * c + matrix / 2 * 8, deep = k + matrix % 2 * 8;
                uint32_t pair[4];
                if constexpr (LB == ALONG)
                    ldmatrix_x4(pair, b + (col + line) * TileB::STRIDE + deep);
                else ldmatrix_x4_trans(pair, b + (deep + line) * TileB::STRIDE + col);
                y[c][0] = pair[0], y[c][1] = pair[1];
                y[c + 1][0] = pair[2], y[c + 1][1] = pair[3];
            }
            UNROLL
            for (int r = 0; r < NR; r++) {
                UNROLL
                for (int c = 0; c < NC; c++) T::mma(sum[r][c], x[r], y[c]);
            }
        }
    }

    /* Returns the element (row, depth) of a tile of float32, rounded. */
    template <class TileX, Layout L>
    static __device__ __forceinline__ uint32_t rounded(const float *tile, int row, int deep) {
        return tf32_of(L == ALONG ? tile[row * TileX::STRIDE + deep]
                                  : tile[deep * TileX::STRIDE + row]);
    }
    __device__ __forceinline__ void step_tf32(const float *a, const float *b) {
        const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
        UNROLL
        for (int k = 0; k < TileA::DEPTH; k += 8) {
            uint32_t x[NR][4], y[NC][2];
            UNROLL
            for (int r = 0; r < NR; r++) {
                UNROLL
                for (int i = 0; i < 4; i++)
                    x[r][i] = rounded<TileA, LA>(a, first_row() + 16 * r + g + i % 2 * 8,
                                                 k + t + i / 2 * 4);
            }
            UNROLL
            for (int c = 0; c < NC; c++) {
                UNROLL
                for (int i = 0; i < 2; i++)
                    y[c][i] = rounded<TileB, LB>(b, first_col() + 8 * c + g, k + t + i * 4);
            }
            UNROLL
            for (int r = 0; r < NR; r++) {
                UNROLL
                for (int c = 0; c < NC; c++) mma_tf32(sum[r][c], x[r], y[c]);
            }
        }
    }
    __device__ __forceinline__ void clear() {
        UNROLL
        for (int r = 0; r < NR; r++) {
            UNROLL
            for (int c = 0; c < NC; c++) {
                UNROLL
                for (int i = 0; i < 4; i++) sum[r][c][i] = 0.0f;
            }
        }
    }
    __device__ __forceinline__ void store(float *out) const {
        const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
        UNROLL
        for (int r = 0; r < NR; r++) {
            UNROLL
            for (int c = 0; c < NC; c++) {
                UNROLL
                for (int i = 0; i < 4; i++)
                    out[(first_row() + 16 * r + g + i / 2 * 8) * S::RESULT_STRIDE + first_col() +
                        8 * c + 2 * t + i % 2] = sum[r][c][i];
            }
        }
    }
};

template <class T, class S, Layout LA, Layout LB> struct ProductOf {
    using Type = MmaProduct<T, S, LA, LB>;
};
template <class S, Layout LA, Layout LB> struct ProductOf<Fp32, S, LA, LB> {
    using Type = FmaProduct<S, LA, LB>;
};

/* The pipeline around one product, as kernels use it.
 *
 *     Gemm<T, S, ALONG, ALONG>::run(shared, a, row, b, col, first_tile, tiles, nothing)
 *
 * leaves the tile at (row, col) in shared memory, RESULT_STRIDE floats between rows, summed over
 * `tiles` tiles of depth from first_tile on; `each_tile(a_tile)` sees every tile of A on its way,
 * between the barriers that guard it. All threads of the block call it. */
template <class T, class S, Layout LA, Layout LB> struct Gemm {
    using Product = typename ProductOf<T, S, LA, LB>::Type;
    using TileA = Tile<T, LA, S::ROWS>;
    using TileB = Tile<T, LB, S::COLS>;
    using Element = typename T::Element;
    static constexpr int DEPTH = TileA::DEPTH;
    static constexpr int STAGE_BYTES = TileA::BYTES + TileB::BYTES;
    static constexpr int RING_BYTES = STAGES * STAGE_BYTES;
    static constexpr int SHARED_BYTES = /* the result takes the ring's place */
        RING_BYTES > S::RESULT_BYTES ? RING_BYTES : S::RESULT_BYTES;
    static_assert(SHARED_BYTES <= 99 << 10, "fits every GPU from sm_80 on");

    template <class EachTile>
    static __device__ float *run(int shared, const View<T> &a, int64_t row, const View<T> &b,
                                 int64_t col, int64_t first_tile, int64_t tiles,
                                 EachTile each_tile) {
        return run_from(
            shared,
            [&](Element *to, int64_t t) {
                TileA::template load<S::THREADS>(to, a, row, (first_tile + t) * DEPTH);
            },
            [&](Element *to, int64_t t) {
                TileB::template load<S::THREADS>(to, b, col, (first_tile + t) * DEPTH);
            },
            tiles, each_tile);
    }

    /* run() where load_a(tile, t) and load_b(tile, t) begin the copies of depth tile t into shared memory. A loader
     * may store there itself, too: two barriers lie between its call and the tile's product. */
    template <class LoadA, class LoadB, class EachTile>
    static __device__ __forceinline__ float *run_from(int shared, LoadA load_a, LoadB load_b,
                                                      int64_t tiles, EachTile each_tile) {
        Product product;
        product.clear();
        auto tile_a = [&](int64_t t) {
            return shared_mem<Element>(shared + (int)(t % STAGES) * STAGE_BYTES);
        };
        auto tile_b = [&](int64_t t) {
            return shared_mem<Element>(shared + (int)(t % STAGES) * STAGE_BYTES + TileA::BYTES);
        };
        auto load = [&](int64_t t) { /* one group of copies per tile, empty past the last */
                                     if (t < tiles) {
                                         load_a(tile_a(t), t);
                                         load_b(tile_b(t), t);
                                     }
                                     cp_async_commit();
        };
        __syncthreads(); /* shared memory may still be read by what came before */
        for (int t = 0; t < STAGES - 1; t++) load(t);
        for (int64_t t = 0; t < tiles; t++) {
            cp_async_wait<STAGES - 2>(); /* this thread's part of tile t has landed */
            __syncthreads();      /* all parts have landed, and nobody reads tile t - 1 any more */
            load(t + STAGES - 1); /* into the place of tile t - 1 */
            product.step(tile_a(t), tile_b(t));
            each_tile(tile_a(t));
        }
        cp_async_wait<0>();
        __syncthreads(); /* the ring becomes the result */
        float *result = shared_mem<float>(shared);
        product.store(result);
        __syncthreads();
        return result;
    }
};

struct Nothing {
    template <class Element> __device__ void operator()(const Element *) const {}
};

/* --- 16-bit copies of float32 operands -------------------------------------------------------- */

/* out (lines, round_up(width, 8)) = in (lines, width) times `unit` in 16 bits, zeros behind. */
template <class T>
__global__ void convert_rows(uint16_t *out, const float *in, int64_t lines, int64_t width,
                             float unit) {
    const int64_t stride = round_up(width, 8);
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < lines * stride;
         i += step) {
        const int64_t line = i / stride, column = i % stride;
        out[i] = column < width ? T::from(in[line * width + column] * unit) : (uint16_t)0;
    }
}

constexpr int64_t converted_bytes(int64_t lines, int64_t width) {
    return round_up(lines * round_up(width, 8) * 2, 64);
}

/* Returns a float32 matrix as operand of T: the matrix itself, or its copy, times `unit`, in `scratch`. */
template <class T>
View<T> operand(Queue *q, const float *matrix, int64_t lines, int64_t width, float unit,
                void *scratch) {
    if constexpr (sizeof(typename T::Element) == 4) {
        return view<T>(matrix, width, lines, width);
    } else {
        constexpr int THREADS = 256;
        const int64_t stride = round_up(width, 8), blocks = ceil_div(lines * stride, THREADS);
        cost(q, 0.0, 6.0 * (double)(lines * width));
        launch(q, convert_rows<T>, dim3((unsigned)(blocks < 4096 ? blocks : 4096)), THREADS, 0,
               (uint16_t *)scratch, matrix, lines, width, unit);
        return view<T>(scratch, stride, lines, width);
    }
}

#endif
