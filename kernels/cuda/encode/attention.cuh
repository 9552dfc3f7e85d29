/* attention.cuh - what the three kernels of attention share: operands, rotation, the running softmax of a row. */
#ifndef TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_CUH
#define TURTLE_KERNELS_CUDA_ENCODE_ATTENTION_CUH

#include "kernels/cuda/tile/gemm.cuh"

struct Attention {
    Tokens out, q, k, v;
    int queries, keys, heads, width;
    bool causal;
    Rope rope;   /* cos NULL: no token is rotated */
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

/* Rotates the tokens first, first + 1, ... of a tile of ROWS rows in shared memory, STRIDE elements apart. Eight
 * threads share a row. All threads of the block call it, between barriers. */
template <class T, int STRIDE>
__device__ __forceinline__ void rotate_rows(typename T::Element *tile, const Attention &a, int rows,
                                            int first, int tokens) {
    constexpr int SHARE = 8;
    const int half = a.width / 2;
    NO_UNROLL
    for (int line = (int)threadIdx.x / SHARE; line < rows; line += (int)blockDim.x / SHARE) {
        const int64_t place = first + line - a.rope.first;
        if (place < 0 || first + line >= tokens) continue;
        typename T::Element *x = tile + line * STRIDE;
        for (int i = (int)threadIdx.x % SHARE; i < half; i += SHARE) {
            const float c = a.rope.cos[place * half + i], s = a.rope.sin[place * half + i];
            const float u = to_float<T>(x[i]), w = to_float<T>(x[half + i]);
            x[i] = from_float<T>(u * c - w * s);
            x[half + i] = from_float<T>(w * c + u * s);
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
        const float shrink = exp2_approx((before - max) * scale); /* 0 at first: max was -infinity */
        sum *= shrink;
        return shrink;
    }
};

#endif
