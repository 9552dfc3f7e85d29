/*
 * gather.cu - the rows of a batch, converted to its type: Z[b,:] = features[rows[b],:]
 *
 * Shapes   features (N,d) float16, float32 or float64 of either byte order; rows (B) int64; Z (B,d),
 *          `row` elements apart, float32, float16 or bfloat16.
 * Cost     size_in Bd bytes read in runs of one row, size_out Bd written, no flops: memory bound.
 *          B=10000 d=768 float16 to float16: 30.7 MB, floor 6.4 us at 4.8 TB/s (H200 data sheet); to
 *          float32: 46.1 MB, 9.6 us.
 * Mapping  warp per row, 8 neighbouring elements a lane where source and batch are aligned to 16 bytes
 *          and 8 divides d; else one element a lane.
 *
 *              lane        0     1    ...   31     0    ...
 *              elements  0..7  8..15     248..255  256..263       d = 768: 3 rounds
 *
 *          Elements d .. row of a 16-bit batch are written as zeros: products read them. Features in
 *          host memory are read by four large blocks, on SMs that the iteration beside them leaves free
 *          (NOTES.md). A warp has several rows under way there, so that the bus is never idle.
 * Needs    B, d >= 1. A row outside [0, N), which nobody knows when this is enqueued, becomes NaN: it
 *          reads nothing, and every loss of the batch shows it.
 * History  Not measured yet. v1, byte by byte: kept as the readable oracle; it serves data that is not
 *          aligned to its own elements.
 */
#include <math.h>
#include <string.h>
#include <type_traits>

#include "kernels/cuda/backend/operations.h"

constexpr int THREADS = 256;
constexpr int VECTOR = 8; /* elements of a lane: 16 bytes of the narrowest type */
/* 4 blocks of 1024 threads with 32 bytes each are 128 KB under way: 64 GB/s at 2 us, as fast as the bus. */
constexpr int REMOTE_BLOCKS = 4, REMOTE_THREADS = 1024, REMOTE_BYTES = 32;

/* --- types ------------------------------------------------------------------------------------ */

/* Types of elements. One that files hold has its bits and the float32 that they stand for (the nearest for
 * float64). One that batches hold has what a float32 becomes, to the nearest, ties to even. */
struct Half {
    typedef uint16_t Bits, Element;
    static __device__ __forceinline__ float value(Bits b) {
        return f32_of_f16(b);
    }
    static __device__ __forceinline__ Element of(float x) {
        return f16_of(x);
    }
};
struct Bfloat {
    typedef uint16_t Element;
    static __device__ __forceinline__ Element of(float x) {
        return bf16_of(x);
    }
};
struct Single {
    typedef uint32_t Bits;
    typedef float Element;
    static __device__ __forceinline__ float value(Bits b) {
        return __uint_as_float(b);
    }
    static __device__ __forceinline__ Element of(float x) {
        return x;
    }
};
struct Double {
    typedef uint64_t Bits;
    static __device__ __forceinline__ float value(Bits b) {
        double x;
        memcpy(&x, &b, sizeof x);
        return (float)x;
    }
};

template <typename Bits> __device__ __forceinline__ Bits swap_bytes(Bits x) {
    Bits y = 0;
    UNROLL
    for (int i = 0; i < (int)sizeof(Bits); i++) y = (Bits)(y << 8 | (x >> 8 * i & 0xff));
    return y;
}

struct GatherShape {
    int64_t B, N, d, row;
    int64_t end; /* end of the elements that are written of a row: d, or `row` where zeros follow */
    bool swapped, remote;
    float scale; /* factor before rounding to float16: 2^-exponent of the batch */
};

template <class From, class To>
__device__ __forceinline__ typename To::Element convert(typename From::Bits bits,
                                                        const GatherShape &s) {
    if (s.swapped) bits = swap_bytes(bits);
    constexpr bool scales = std::is_same<To, Half>::value;
    if constexpr (scales && std::is_same<From, Half>::value)
        if (s.scale == 1.0f) return bits; /* NaN too */
    const float x = From::value(bits);
    return To::of(scales ? x * s.scale : x);
}

/* --- 8 elements at a time --------------------------------------------------------------------- */

template <typename Bits> __device__ __forceinline__ void load(Bits (&x)[VECTOR], const Bits *p) {
    uint32_t word[VECTOR * sizeof(Bits) / 4];
    UNROLL
    for (int i = 0; i < (int)sizeof(Bits) / 2; i++) { /* 16 bytes each */
        const float4 v = load_float4((const float *)p + 4 * i);
        word[4 * i] = __float_as_uint(v.x), word[4 * i + 1] = __float_as_uint(v.y);
        word[4 * i + 2] = __float_as_uint(v.z), word[4 * i + 3] = __float_as_uint(v.w);
    }
    UNROLL
    for (int e = 0; e < VECTOR; e++) {
        if constexpr (sizeof(Bits) == 2) x[e] = (Bits)(word[e / 2] >> 16 * (e % 2));
        else if constexpr (sizeof(Bits) == 4) x[e] = word[e];
        else x[e] = (Bits)word[2 * e + 1] << 32 | word[2 * e];
    }
}
template <typename Bits> __device__ __forceinline__ void load(Bits (&x)[1], const Bits *p) {
    x[0] = *p;
}

__device__ __forceinline__ void store(float *p, const float (&x)[VECTOR]) {
    store_float4(p, make_float4(x[0], x[1], x[2], x[3]));
    store_float4(p + 4, make_float4(x[4], x[5], x[6], x[7]));
}
__device__ __forceinline__ void store(uint16_t *p, const uint16_t (&x)[VECTOR]) {
    float pair[VECTOR / 2];
    UNROLL
    for (int i = 0; i < VECTOR / 2; i++)
        pair[i] = __uint_as_float((uint32_t)x[2 * i + 1] << 16 | x[2 * i]);
    store_float4((float *)p, make_float4(pair[0], pair[1], pair[2], pair[3]));
}
template <typename Element>
__device__ __forceinline__ void store(Element *p, const Element (&x)[1]) {
    *p = x[0];
}

/* --- kernels ---------------------------------------------------------------------------------- */

template <class From, class To>
__global__ void gather_v1_naive(typename To::Element *out, const uint8_t *data, const int64_t *rows,
                                GatherShape s) {
    constexpr int BYTES = (int)sizeof(typename From::Bits);
    const int64_t b = blockIdx.x;
    const bool known = rows[b] >= 0 && rows[b] < s.N;
    for (int64_t j = threadIdx.x; j < s.end; j += THREADS) {
        typename To::Element x = To::of(j < s.d ? NAN : 0.0f);
        if (j < s.d && known) {
            typename From::Bits bits = 0;
            const uint8_t *p = data + (rows[b] * s.d + j) * BYTES;
            for (int i = BYTES - 1; i >= 0; i--) bits = (typename From::Bits)(bits << 8 | p[i]);
            x = convert<From, To>(bits, s);
        }
        out[b * s.row + j] = x;
    }
}

/* A lane has E elements: VECTOR, which divides d and `end`, or 1. The bound of four blocks an SM is there because
 * nvcc 13.0, left alone, aims at 32 registers on sm_80 and spills two. */
template <class From, class To, int E>
__global__ void __launch_bounds__(THREADS, 4)
    gather_v2_warp(typename To::Element *__restrict__ out,
                   const typename From::Bits *__restrict__ data, const int64_t *__restrict__ rows,
                   GatherShape s) {
    constexpr int WARPS = THREADS / WARP;
    const int lane = (int)threadIdx.x % WARP;
    const int64_t first = (int64_t)blockIdx.x * WARPS + (int)threadIdx.x / WARP;
    for (int64_t b = first; b < s.B; b += (int64_t)gridDim.x * WARPS) {
        const int64_t r = rows[b];
        const bool known = r >= 0 && r < s.N;
        const typename From::Bits *from = data + (known ? r * s.d : 0);
        typename To::Element *to = out + b * s.row;
        for (int64_t j = lane * E; j < s.end; j += WARP * E) {
            typename To::Element x[E];
            if (j < s.d && known) {
                typename From::Bits bits[E];
                load(bits, from + j);
                UNROLL
                for (int e = 0; e < E; e++) x[e] = convert<From, To>(bits[e], s);
            } else {
                UNROLL
                for (int e = 0; e < E; e++) x[e] = To::of(j < s.d ? NAN : 0.0f);
            }
            store(to + j, x);
        }
    }
}

/* Rows that come over a bus. A warp takes ROWS rows at a time and loads from all of them before it stores: so much
 * is under way that few blocks fill the bus. Rows that are unknown, or beyond the batch, load row 0 in place. */
template <class From, class To, int E>
__global__ void __launch_bounds__(REMOTE_THREADS, 1)
    gather_remote(typename To::Element *__restrict__ out,
                  const typename From::Bits *__restrict__ data, const int64_t *__restrict__ rows,
                  GatherShape s) {
    constexpr int WARPS = REMOTE_THREADS / WARP, BYTES = E * (int)sizeof(typename From::Bits);
    constexpr int ROWS = BYTES >= REMOTE_BYTES ? 1 : 2 * BYTES >= REMOTE_BYTES ? 2 : 4;
    const int lane = (int)threadIdx.x % WARP;
    const int64_t warp = (int64_t)blockIdx.x * WARPS + (int)threadIdx.x / WARP;
    for (int64_t b = warp * ROWS; b < s.B; b += (int64_t)gridDim.x * WARPS * ROWS) {
        int64_t r[ROWS];
        UNROLL
        for (int i = 0; i < ROWS; i++) {
            r[i] = b + i < s.B ? rows[b + i] : -1;
            if (r[i] >= s.N) r[i] = -1;
        }
        for (int64_t j = lane * E; j < s.end; j += WARP * E) {
            typename From::Bits bits[ROWS][E];
            const int64_t from = j < s.d ? j : 0;
            UNROLL
            for (int i = 0; i < ROWS; i++) load(bits[i], data + (r[i] < 0 ? 0 : r[i]) * s.d + from);
            UNROLL
            for (int i = 0; i < ROWS; i++) {
                typename To::Element x[E];
                if (b + i >= s.B) break;
                UNROLL
                for (int e = 0; e < E; e++)
                    x[e] = j >= s.d ? To::of(0.0f) : r[i] < 0 ? To::of(NAN) : convert<From, To>(bits[i][e], s);
                store(out + (b + i) * s.row + j, x);
            }
        }
    }
}

/* --- launcher --------------------------------------------------------------------------------- */

template <class From, class To>
static Status start(Queue *q, void *to, const void *data, const int64_t *rows, GatherShape s) {
    typedef typename From::Bits Bits;
    typedef typename To::Element Element;
    Element *out = (Element *)to;
    const Bits *from = (const Bits *)data;
    const dim3 grid = grid_of(ceil_div(s.B, THREADS / WARP));
    const bool vectors = s.d % VECTOR == 0 && aligned_16(data) && aligned_16(to) &&
                         s.row * (int64_t)sizeof(Element) % 16 == 0;
    cost(q, 0.0, (double)s.B * s.d * (sizeof(Bits) + sizeof(Element)));
    if (s.remote && vectors && !q->device->naive)
        return launch(q, (gather_remote<From, To, VECTOR>), grid_of(REMOTE_BLOCKS), REMOTE_THREADS, 0, out, from, rows, s);
    if (vectors && !q->device->naive)
        return launch(q, (gather_v2_warp<From, To, VECTOR>), grid, THREADS, 0, out, from, rows, s);
    if (s.remote && (uintptr_t)data % sizeof(Bits) == 0 && !q->device->naive)
        return launch(q, (gather_remote<From, To, 1>), grid_of(REMOTE_BLOCKS), REMOTE_THREADS, 0, out, from, rows, s);
    if ((uintptr_t)data % sizeof(Bits) == 0 && !q->device->naive)
        return launch(q, (gather_v2_warp<From, To, 1>), grid, THREADS, 0, out, from, rows, s);
    return launch(q, (gather_v1_naive<From, To>), grid_of(s.B), THREADS, 0, out,
                  (const uint8_t *)data, rows, s);
}

template <class From>
static Status start_to(Queue *q, const Batch *out, const void *data, const int64_t *rows,
                       GatherShape s) {
    if (out->type == DTYPE_F32) return start<From, Single>(q, out->data, data, rows, s);
    if (out->type == DTYPE_F16) return start<From, Half>(q, out->data, data, rows, s);
    return start<From, Bfloat>(q, out->data, data, rows, s);
}

extern "C" Status cuda_gather(Queue *q, const Batch *out, const Features *f, const int64_t *rows,
                              int64_t B) {
    REQUIRE(q, batch_servable(out) && f && f->data && f->d == out->d && rows && B >= 1, "gather");
    const int64_t end = out->type == DTYPE_F32 ? out->d : out->row;
    const GatherShape s = {B,
                           f->N,
                           f->d,
                           out->row,
                           end,
                           f->swapped,
                           cuda_features_remote(q->device, f),
                           1.0f / batch_unit(out)};
    if (f->type == DTYPE_F16) return start_to<Half>(q, out, f->data, rows, s);
    if (f->type == DTYPE_F32) return start_to<Single>(q, out, f->data, rows, s);
    if (f->type == DTYPE_F64) return start_to<Double>(q, out, f->data, rows, s);
    return cuda_queue_fail(q, "gather");
}
