/* attention.cuh - what the three kernels of attention share: operands, rotation, the running softmax of a row. */
#ifndef TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_CUH
#define TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_CUH

#include "kernels/cuda/encode/activations.cuh"
#include "kernels/cuda/tile/gemm.cuh"

struct Attention {
    Tokens out, q, k, v;
    int queries, keys, heads, width;
    bool causal;
    Rope rope;   /* cos NULL: no token is rotated */
    bool eights; /* rows of cos and sin are whole vectors of 8 at addresses of 16 bytes */
    float scale; /* log2(e) / sqrt(width): p = 2^(scale (score - max)) */
};

/* Returns the first element of head h of image b. */
template <class T>
__device__ __forceinline__ typename T::Element *head_of(const Tokens &x, const Attention &a,
                                                        int64_t b, int h) {
    return (typename T::Element *)x.data + b * x.image + (int64_t)h * a.width;
}

/* A block's work: a tile of queries of one head. Tiles of a head are neighbours, so its keys stay in the L2. */
struct Piece {
    int b, h, tile;
    __device__ __forceinline__ Piece(const Attention &a, int tiles) {
        const int head = (int)(blockIdx.x / (unsigned)tiles);
        tile = (int)(blockIdx.x % (unsigned)tiles);
        h = head % a.heads;
        b = head / a.heads;
    }
};

/* Returns whether query t sees a key. */
__device__ __forceinline__ bool sees(const Attention &a, int t, int key) {
    return key < a.keys && (!a.causal || key <= t);
}

/* Rotates N neighbours of both halves, u and w, by their angles. */
template <int N>
__device__ __forceinline__ void rotate(float (&u)[N], float (&w)[N], const float (&c)[N],
                                       const float (&s)[N]) {
    UNROLL
    for (int i = 0; i < N; i++) {
        const float x = u[i] * c[i] - w[i] * s[i];
        w[i] = w[i] * c[i] + u[i] * s[i];
        u[i] = x;
    }
}

/* Rotates the tokens first, first + 1, ... of a tile of rows in shared memory, STRIDE elements apart. SHARE threads have
 * a row. All threads of the block call it, between barriers. */
template <class T, int STRIDE>
__device__ __forceinline__ void rotate_rows(typename T::Element *tile, const Attention &a, int rows,
                                            int first, int tokens) {
    constexpr int SHARE = 4;
    constexpr Precision TYPE = std::is_same<T, Fp32>::value   ? PRECISION_FP32
                               : std::is_same<T, Fp16>::value ? PRECISION_FP16
                                                              : PRECISION_BF16;
    const int half = a.width / 2;
    NO_UNROLL
    for (int line = (int)threadIdx.x / SHARE; line < rows; line += (int)blockDim.x / SHARE) {
        const int64_t place = first + line - a.rope.first;
        if (place < 0 || first + line >= tokens) continue;
        const Matrix x = {tile + line * STRIDE, 0, TYPE};
        const Matrix cos = {(void *)(a.rope.cos + place * half), 0, PRECISION_FP32},
                     sin = {(void *)(a.rope.sin + place * half), 0, PRECISION_FP32};
        if (a.eights) {
            NO_UNROLL
            for (int i = (int)threadIdx.x % SHARE * 8; i < half; i += SHARE * 8) {
                float u[8], w[8], c[8], s[8];
                get_eight(u, x, i);
                get_eight(w, x, half + i);
                get_eight(c, cos, i);
                get_eight(s, sin, i);
                rotate(u, w, c, s);
                put_eight(x, i, u);
                put_eight(x, half + i, w);
            }
        } else {
            NO_UNROLL
            for (int i = (int)threadIdx.x % SHARE; i < half; i += SHARE) {
                float u[1] = {get(x, i)}, w[1] = {get(x, half + i)};
                rotate(u, w, {get(cos, i)}, {get(sin, i)});
                put(x, i, u[0]);
                put(x, half + i, w[0]);
            }
        }
    }
}

/* Maximum and sum of the softmax of a row so far. Every thread that shares the row holds the whole maximum, and the
 * sum over its own keys. */
struct RunningRow {
    float max, sum;
    static __device__ __forceinline__ RunningRow none() {
        return {-INFINITY, 0.0f};
    }
    /* Takes the maximum of new scores; returns by what sums and outputs shrink. The first keys hold one that the
     * row sees, so the new maximum is finite where scores are. */
    __device__ __forceinline__ float meet(float score, float scale) {
        const float before = max;
        max = fmaxf(max, score);
        const float shrink =
            exp2_approx((before - max) * scale); /* 0 at first: max was -infinity */
        sum *= shrink;
        return shrink;
    }
};

#endif
