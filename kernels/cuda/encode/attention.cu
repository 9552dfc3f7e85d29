/*
 * attention.cu - out = softmax(q k^T / sqrt(width) [+ causal mask]) v, head by head, with rotary positions where
 * there are some (kernels/encode.h)
 *
 *     max' = max(max, s)   sum' = sum 2^(c (max - max')) + 2^(c (s - max'))   out' likewise      c = log2(e) / sqrt(width)
 *
 * Shapes   q, out (B,queries,heads width); k, v (B,keys,heads width), each with strides and all of one type. All images
 *          may share their queries: q.image is 0 then.
 * Cost     4 B heads queries keys width flops, B heads queries keys exponentials; scores never leave a block.
 *          64 images of 257 tokens, 16 heads of 64: 17.3 GFLOP, floor 17.5 us at 989 TFLOP/s, 29 at the 0.6 of them that
 *          mma.sync reaches; q, k, v and out are 135 MB, 28 us at 4.8 TB/s (H200 data sheet).
 * Mapping  attention_mma (attention_mma.cuh)    16 bits, widths of 8, 16, ... 128 at addresses of 16 bytes
 *          attention_fma                        float32, any width: 64 queries and 64 keys a block and step
 *          attention_v1_naive                   what neither serves, and the oracle: a warp per query
 *
 * Needs    no scratch. A query's bits depend on its head, the keys and its place in the image alone: sums run in an
 *          order that queries, keys and width decide, without atomics.
 * History  Not measured yet.
 */
#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/encode/attention_mma.cuh"

/* --- the readable kernel ---------------------------------------------------------------------- */

constexpr int NAIVE_WARPS = 4;
constexpr int NAIVE_COLUMNS = MAX_HEAD_DIM / WARP; /* of a lane: lane, lane + 32, ... */

/* Returns element i of token t, which begins at x, rotated to its place, before rounding. */
template <class T>
static __device__ float rotated(const typename T::Element *x, const Attention &a, int t, int i) {
    const float own = to_float<T>(x[i]);
    const int64_t place = t - a.rope.first;
    if (!a.rope.cos || place < 0) return own;
    const int half = a.width / 2, at = i < half ? i : i - half;
    const float c = a.rope.cos[place * half + at], s = a.rope.sin[place * half + at];
    return i < half ? own * c - to_float<T>(x[i + half]) * s : own * c + to_float<T>(x[at]) * s;
}

template <class T> __global__ void attention_v1_naive(const Attention a, int64_t work) {
    const int64_t n = (int64_t)blockIdx.x * NAIVE_WARPS + (int)threadIdx.x / WARP;
    if (n >= work) return; /* a whole warp leaves */
    const int lane = (int)threadIdx.x % WARP, t = (int)(n % a.queries),
              h = (int)(n / a.queries % a.heads);
    const int64_t b = n / a.queries / a.heads;
    const auto *q = head_of<T>(a.q, a, b, h) + t * a.q.row, *k = head_of<T>(a.k, a, b, h),
               *v = head_of<T>(a.v, a, b, h);
    float query[NAIVE_COLUMNS], out[NAIVE_COLUMNS];
    RunningRow row = RunningRow::none();
    UNROLL
    for (int j = 0; j < NAIVE_COLUMNS; j++) {
        const int i = lane + j * WARP;
        query[j] = i < a.width ? rotated<T>(q, a, t, i) : 0.0f;
        out[j] = 0.0f;
    }
    for (int key = 0; key < a.keys && sees(a, t, key); key++) {
        float product = 0.0f;
        UNROLL
        for (int j = 0; j < NAIVE_COLUMNS; j++) {
            const int i = lane + j * WARP;
            if (i < a.width) product += query[j] * rotated<T>(k + key * a.k.row, a, key, i);
        }
        const float score = warp_sum(product), shrink = row.meet(score, a.scale);
        const float p = exp2_approx((score - row.max) * a.scale);
        row.sum += p;
        UNROLL
        for (int j = 0; j < NAIVE_COLUMNS; j++) {
            const int i = lane + j * WARP;
            if (i < a.width) out[j] = out[j] * shrink + p * to_float<T>(v[key * a.v.row + i]);
        }
    }
    auto *to = head_of<T>(a.out, a, b, h) + t * a.out.row;
    UNROLL
    for (int j = 0; j < NAIVE_COLUMNS; j++)
        if (lane + j * WARP < a.width) to[lane + j * WARP] = from_float<T>(out[j] / row.sum);
}

/* --- float32 ---------------------------------------------------------------------------------- */

/* A thread has queries at + 16 i and keys on + 16 j of the scores, and of the outputs the queries at + 16 i and
 * columns 4 on + 64 j + 0..3, where at = thread / 16 and on = thread % 16. A row is shared by 16 neighbouring lanes.
 *
 *     shared   q [64][W + 4]   k, then v [64][W + 4]   p [64][68]            rows of an odd number of float4s */
template <int W> struct FmaShape {
    static constexpr int TILE = ATTENTION_FLOAT_TILE, THREADS = 256, STRIDE = W + 4,
                         P_STRIDE = TILE + 4;
    static constexpr int SHARED = (2 * TILE * STRIDE + TILE * P_STRIDE) * 4;
    static_assert(ATTENTION_FLOAT_WIDTH(W) == W, "the model's width is the kernel's");
    static_assert(TILE == 64, "16 x 16 threads have 4 x 4 scores each");
    static_assert(W % 64 == 0 && STRIDE / 4 % 2 == 1, "whole groups of columns, no conflicts");
    static_assert(SHARED <= 99 << 10, "fits every GPU from sm_80 on");
};

template <int W>
static __device__ void load_floats(float *tile, const float *from, int64_t row, int first,
                                   int tokens, int width, bool vectors) {
    using S = FmaShape<W>;
    if (vectors) {
        for (int i = (int)threadIdx.x; i < S::TILE * (W / 4); i += S::THREADS) {
            const int line = i / (W / 4), column = i % (W / 4) * 4;
            const bool inside = first + line < tokens && column < width;
            cp_async_16(tile + line * S::STRIDE + column,
                        inside ? from + (first + line) * row + column : from, inside ? 16 : 0);
        }
    } else {
        for (int i = (int)threadIdx.x; i < S::TILE * W; i += S::THREADS) {
            const int line = i / W, column = i % W;
            const bool inside = first + line < tokens && column < width;
            cp_async_4(tile + line * S::STRIDE + column,
                       inside ? from + (first + line) * row + column : from, inside ? 4 : 0);
        }
    }
    cp_async_commit();
}

/* sum[i][j] += <a row at + 16 i of x, row on + 16 j of y>. */
template <int W>
static __device__ __forceinline__ void multiply_rows(float (&sum)[4][4], const float *x,
                                                     const float *y, int at, int on) {
    using S = FmaShape<W>;
    NO_UNROLL
    for (int k = 0; k < W; k += 4) {
        float4 u[4], w[4];
        UNROLL
        for (int i = 0; i < 4; i++) {
            u[i] = load_float4(x + (at + 16 * i) * S::STRIDE + k);
            w[i] = load_float4(y + (on + 16 * i) * S::STRIDE + k);
        }
        UNROLL
        for (int i = 0; i < 4; i++) {
            UNROLL
            for (int j = 0; j < 4; j++)
                sum[i][j] = fmaf(
                    u[i].w, w[j].w,
                    fmaf(u[i].z, w[j].z, fmaf(u[i].y, w[j].y, fmaf(u[i].x, w[j].x, sum[i][j]))));
        }
    }
}

/* out += p v, over the keys of a tile. */
template <int W>
static __device__ __forceinline__ void mix_rows(float (&out)[4][W / 16], const float *p,
                                                const float *v, int at, int on) {
    using S = FmaShape<W>;
    NO_UNROLL
    for (int j = 0; j < S::TILE; j += 4) {
        float e[4][4];
        UNROLL
        for (int i = 0; i < 4; i++) load_few(e[i], p + (at + 16 * i) * S::P_STRIDE + j);
        UNROLL
        for (int n = 0; n < 4; n++) {
            UNROLL
            for (int c = 0; c < W / 64; c++) {
                float w[4];
                load_few(w, v + (j + n) * S::STRIDE + 64 * c + 4 * on);
                UNROLL
                for (int i = 0; i < 4; i++) {
                    UNROLL
                    for (int x = 0; x < 4; x++)
                        out[i][4 * c + x] = fmaf(e[i][n], w[x], out[i][4 * c + x]);
                }
            }
        }
    }
}

template <int W>
__global__ void __launch_bounds__(FmaShape<W>::THREADS)
    attention_fma(const Attention a, bool vectors) {
    using S = FmaShape<W>;
    const Piece piece(a, (a.queries + S::TILE - 1) / S::TILE);
    const int at = (int)threadIdx.x / 16, on = (int)threadIdx.x % 16, first = piece.tile * S::TILE;
    float *q = shared_mem<float>(), *kv = q + S::TILE * S::STRIDE, *p = kv + S::TILE * S::STRIDE;
    const auto load = [&](float *to, const Tokens &from, int token, int tokens) {
        const int b = opaque(piece.b), h = opaque(piece.h); /* no address lives through all steps */
        load_floats<W>(to, head_of<Fp32>(from, a, b, h), from.row, token, tokens, a.width, vectors);
    };
    const int last = a.causal && first + S::TILE < a.keys ? first + S::TILE : a.keys;
    float out[4][W / 16] = {};
    RunningRow row[4];
    UNROLL
    for (int i = 0; i < 4; i++) row[i] = RunningRow::none();

    load(q, a.q, first, a.queries);
    NO_UNROLL
    for (int key = 0; key < last; key += S::TILE) {
        load(kv, a.k, key, a.keys);
        cp_async_wait<0>();
        __syncthreads();
        if (a.rope.cos) {
            if (key == 0) rotate_rows<Fp32, S::STRIDE>(q, a, S::TILE, first, a.queries);
            rotate_rows<Fp32, S::STRIDE>(kv, a, S::TILE, key, a.keys);
            __syncthreads();
        }
        float s[4][4] = {};
        multiply_rows<W>(s, q, kv, at, on);
        __syncthreads(); /* values take the place of the keys */
        load(kv, a.v, key, a.keys);
        UNROLL
        for (int i = 0; i < 4; i++) {
            float most = -INFINITY;
            UNROLL
            for (int j = 0; j < 4; j++) {
                if (!sees(a, first + at + 16 * i, key + on + 16 * j)) s[i][j] = -INFINITY;
                most = fmaxf(most, s[i][j]);
            }
            const float shrink = row[i].meet(group_max<16>(most), a.scale);
            UNROLL
            for (int c = 0; c < W / 16; c++) out[i][c] *= shrink;
            UNROLL
            for (int j = 0; j < 4; j++) {
                const float e = exp2_approx((s[i][j] - row[i].max) * a.scale);
                row[i].sum += e;
                p[(at + 16 * i) * S::P_STRIDE + on + 16 * j] = e;
            }
        }
        cp_async_wait<0>();
        __syncthreads();
        mix_rows<W>(out, p, kv, at, on);
        __syncthreads(); /* the next keys take the place of the values */
    }

    float *to = head_of<Fp32>(a.out, a, piece.b, piece.h);
    UNROLL
    for (int i = 0; i < 4; i++) {
        const int t = first + at + 16 * i;
        const float inverse = 1.0f / group_sum<16>(row[i].sum);
        if (t >= a.queries) continue;
        UNROLL
        for (int c = 0; c < W / 16; c++) {
            const int column = 64 * (c / 4) + 4 * on + c % 4;
            if (column < a.width) to[t * a.out.row + column] = out[i][c] * inverse;
        }
    }
}

/* --- launch ----------------------------------------------------------------------------------- */

static bool vectors_of_16(const Tokens &x) {
    const int64_t bytes = precision_bytes(x.type);
    return aligned_16(x.data) && x.image * bytes % 16 == 0 && x.row * bytes % 16 == 0;
}

template <class T> static Status start_naive(Queue *q, const Attention &a, int64_t B) {
    const int64_t work = B * a.heads * a.queries;
    return launch(q, attention_v1_naive<T>, grid_of(ceil_div(work, NAIVE_WARPS)),
                  NAIVE_WARPS * WARP, 0, a, work);
}

template <int W> static Status start_fma(Queue *q, const Attention &a, int64_t B, bool vectors) {
    using S = FmaShape<W>;
    return launch(q, attention_fma<W>, grid_of(B * a.heads * ceil_div(a.queries, S::TILE)),
                  S::THREADS, S::SHARED, a, vectors);
}

/* Blocks have equal numbers of warps, and together as many as there are rows for, if that is possible: 257 tokens
 * are 9 warps of 32 queries, three blocks of three. */
template <class T, int W> static Status start_mma(Queue *q, const Attention &a, int64_t B) {
    using S = AttentionShape<W>;
    const int64_t wanted = ceil_div(a.queries, S::ROWS), tiles = ceil_div(wanted, ATTENTION_WARPS),
                  warps = ceil_div(wanted, tiles);
    return launch(q, (attention_mma<T, W>), grid_of(B * a.heads * ceil_div(wanted, warps)),
                  (int)warps * WARP, S::SHARED, a);
}

template <class T> static Status start_16_bits(Queue *q, const Attention &a, int64_t B) {
    switch (ATTENTION_WIDTH(a.width)) {
    case 64: return start_mma<T, 64>(q, a, B);
    case 80: return start_mma<T, 80>(q, a, B);
    case 96: return start_mma<T, 96>(q, a, B);
    default: return start_mma<T, 128>(q, a, B);
    }
}

extern "C" int64_t cuda_attention_scratch(int64_t keys) {
    (void)keys;
    return 0;
}

extern "C" Status cuda_attention(Queue *q, Tokens out, Tokens query, Tokens k, Tokens v, int64_t B,
                                 int64_t queries, int64_t keys, int64_t heads, int64_t width,
                                 bool causal, const Rope *rope, void *scratch) {
    (void)scratch;
    REQUIRE(q,
            out.data && query.data && k.data && v.data && out.type == query.type &&
                k.type == query.type && v.type == query.type && B >= 1 && queries >= 1 &&
                keys >= 1 && queries <= INT32_MAX / 2 && keys <= INT32_MAX / 2 && heads >= 1 &&
                heads <= INT32_MAX && width >= 1 && width <= MAX_HEAD_DIM &&
                (!causal || queries == keys) &&
                (!rope || !rope->cos ||
                 (rope->sin && width % 2 == 0 && rope->first >= 0 && rope->first <= keys &&
                  queries <= keys)),
            "attention");
    const Rope angles = rope ? *rope : Rope{NULL, NULL, 0};
    const bool eights = width % 16 == 0 && aligned_16(angles.cos) && aligned_16(angles.sin);
    const Attention a = {
        out,          query,     k,          v,
        (int)queries, (int)keys, (int)heads, (int)width,
        causal,       angles,    eights,     (float)(1.4426950408889634 / sqrt((double)width))};
    const bool vectors =
        vectors_of_16(out) && vectors_of_16(query) && vectors_of_16(k) && vectors_of_16(v);
    const double pairs = (double)B * (double)heads * (double)queries * (double)keys;
    cost(q, 4.0 * pairs * (double)width / (causal ? 2.0 : 1.0),
         (double)precision_bytes(out.type) * (double)(B * heads * width) *
             (2.0 * (double)queries + 2.0 * (double)keys));
    if (out.type == PRECISION_FP32) {
        if (q->device->naive) return start_naive<Fp32>(q, a, B);
        if (ATTENTION_FLOAT_WIDTH(width) == 64)
            return start_fma<64>(q, a, B, vectors && width % 4 == 0);
        return start_fma<128>(q, a, B, vectors && width % 4 == 0);
    }
    const bool wide = vectors && width % 8 == 0 && !q->device->naive;
    if (out.type == PRECISION_FP16)
        return wide ? start_16_bits<Fp16>(q, a, B) : start_naive<Fp16>(q, a, B);
    return wide ? start_16_bits<Bf16>(q, a, B) : start_naive<Bf16>(q, a, B);
}
