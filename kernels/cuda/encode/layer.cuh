/*
 * layer.cuh - a linear layer or a convolution as one product, out = times act(add out + scale (A W^T) + bias)
 *
 * Rows of A are rows of a matrix, or the windows of images, which never exist unfolded: depth runs over a kernel's
 * places, then channels, as the weight is packed. A matrix is images of one pixel with a kernel of one place, so both
 * have the same fields. Three loaders fill A's tiles of the main loop (tile/gemm.cuh):
 *
 *     Rows       rows of the operands' type, aligned (float32: any)         cp.async, one address a line
 *     Windows    images whose pixels are whole vectors of 16 bytes          cp.async, a pixel's vector is inside or zero
 *     Elements   all others: 3 channels, odd rows, float32 to be rounded    one number at a time, through registers
 *
 * An element's sum runs along the depth in steps of one MMA, whatever loader and tile: the choice changes no bit. Where
 * the device has wgmma, takes_boxes() says which layers of rows go to linear_wgmma.cu instead, in every batch.
 */
#ifndef TURTLE_KERNELS_CUDA_ENCODE_LAYER_CUH
#define TURTLE_KERNELS_CUDA_ENCODE_LAYER_CUH

#include "kernels/cuda/backend/operations.h"
#include "kernels/cuda/encode/activations.cuh"
#include "kernels/cuda/tile/gemm.cuh"
#include "kernels/layer_tiles.h"

struct Layer {
    Matrix out, in;
    const void *weight; /* (cols,weight_row) as cuda_pack has laid it out */
    int64_t weight_row;
    Epilogue epilogue;
    int rows, cols, depth;
    int64_t in_image, out_image; /* elements from one image to the next */
    int pixels, out_width;       /* of an output image */
    int channels, kernel, stride, pad, height, width;
    bool aligned; /* rows of `in` begin at multiples of 16 bytes */
    bool wide; /* eight columns of out and the epilogue's operands are whole vectors of 16 bytes */
};

/* Row r of A: where its image begins, and the window's first pixel, which may lie outside. */
struct Corner {
    int64_t image;
    int y, x;
};

static __device__ __forceinline__ Corner corner_of(const Layer &l, int r) {
    const int image = r / l.pixels, pixel = r - image * l.pixels, y = pixel / l.out_width;
    return {image * l.in_image, y * l.stride - l.pad, (pixel - y * l.out_width) * l.stride - l.pad};
}

/* Depth k of A: a place of the kernel, and a channel. */
struct Place {
    int y, x, channel;
};

static __device__ __forceinline__ Place place_of(const Layer &l, int k) {
    const int tap = k / l.channels, y = tap / l.kernel;
    return {y, tap - y * l.kernel, k - tap * l.channels};
}

/* Returns the index in `in` of a window's place, or -1 outside the image. */
static __device__ __forceinline__ int64_t index_of(const Layer &l, const Corner &c,
                                                   const Place &p) {
    const int y = c.y + p.y, x = c.x + p.x;
    if ((unsigned)y >= (unsigned)l.height || (unsigned)x >= (unsigned)l.width) return -1;
    return c.image + (int64_t)(y * l.width + x) * l.channels + p.channel;
}

static __device__ __forceinline__ int64_t index_out(const Layer &l, int r, int col) {
    if (l.pixels == 1) return r * l.out_image + col;
    const int image = r / l.pixels;
    return image * l.out_image + (int64_t)(r - image * l.pixels) * l.cols + col;
}

/* --- the epilogue ----------------------------------------------------------------------------- */

/* Returns x / (1 + exp(-a)). exp2_approx is off by two places and the rounding of its argument: less than 3e-7 of
 * what counts beside x. */
static __device__ __forceinline__ float times_sigmoid(float x, float a) {
    return __fdividef(x, 1.0f + exp2_approx(fminf(-1.44269504f * a, 126.0f)));
}

/* Returns x (1 + erf(x / sqrt 2)) / 2. The tail erfc(|x| / sqrt 2) / 2 is a polynomial in 1 / (1 + p |x| / sqrt 2) times
 * exp(-x^2 / 2), off by 2.2e-7 (Abramowitz and Stegun 7.1.26): half of erff's instructions. */
static __device__ __forceinline__ float gelu(float x) {
    const float t = __fdividef(1.0f, fmaf(0.231641889f, fabsf(x), 1.0f));
    float tail = fmaf(t, 0.5307027145f, -0.7265760135f);
    tail = fmaf(t, tail, 0.7107068705f);
    tail = fmaf(t, tail, -0.142248368f);
    tail = fmaf(t, tail, 0.127414796f);
    tail *= t * exp2_approx(-0.72134752f * x * x);
    return x >= 0.0f ? fmaf(-x, tail, x) : x * tail;
}

static __device__ __forceinline__ float activate(float x, Activation activation) {
    switch (activation) {
    case ACT_NONE: return x;
    case ACT_RELU: return x > 0.0f ? x : 0.0f;
    case ACT_QUICK_GELU: return times_sigmoid(x, 1.702f * x);
    case ACT_GELU: return gelu(x);
    case ACT_GELU_TANH: /* (1 + tanh(u)) / 2 is the sigmoid of 2 u */
        return times_sigmoid(x, 1.59576912f * (x + 0.044715f * x * x * x));
    case ACT_SILU: return times_sigmoid(x, x);
    }
    return x;
}

/* Writes one number of out. */
static __device__ void finish_one(const Layer &l, float x, int r, int col) {
    const Epilogue &e = l.epilogue;
    const int64_t at = index_out(l, r, col);
    if (e.scale) x *= e.scale[col];
    if (e.bias) x += e.bias[col];
    if (e.add) x += get(l.out, at);
    x = activate(x, e.activation);
    if (e.times.data) x *= get(e.times, r * e.times.row + col);
    put(l.out, at, x);
}

/* Applies an activation to eight numbers, AT_ONCE a turn, which change places with the others: eight at once want more
 * registers than there are beside a tile of 256 columns. */
template <Activation A, int AT_ONCE> __device__ __forceinline__ void activate_all(float (&x)[8]) {
    static_assert(AT_ONCE == 4 || AT_ONCE == 8, "halves, or all");
    NO_UNROLL
    for (int turn = 0; turn < 8 / AT_ONCE; turn++) {
        UNROLL
        for (int i = 0; i < AT_ONCE; i++) {
            const float y = activate(x[i], A);
            if (AT_ONCE == 4) x[i] = x[(i + 4) & 7];
            x[(i + AT_ONCE) & 7] = y;
        }
    }
}
template <int AT_ONCE>
__device__ __forceinline__ void activate_eight(float (&x)[8], Activation activation) {
    switch (activation) {
    case ACT_NONE: return;
    case ACT_RELU: activate_all<ACT_RELU, AT_ONCE>(x); return;
    case ACT_QUICK_GELU: activate_all<ACT_QUICK_GELU, AT_ONCE>(x); return;
    case ACT_GELU: activate_all<ACT_GELU, AT_ONCE>(x); return;
    case ACT_GELU_TANH: activate_all<ACT_GELU_TANH, AT_ONCE>(x); return;
    case ACT_SILU: activate_all<ACT_SILU, AT_ONCE>(x); return;
    }
}

/* The scales and biases of eight columns. */
struct OfColumns {
    Eight scale, bias;

    __device__ __forceinline__ OfColumns(const Epilogue &e, int col) {
        if (e.scale) scale = load_eight(Matrix{(void *)e.scale, 0, PRECISION_FP32}, col);
        if (e.bias) bias = load_eight(Matrix{(void *)e.bias, 0, PRECISION_FP32}, col);
    }
};

/* Load the sum that eight neighbours of a row join, at index `at` of out, and their gate. */
__device__ __forceinline__ Eight load_sum(const Layer &l, int64_t at) {
    return l.epilogue.add ? load_eight(l.out, at) : Eight{};
}
__device__ __forceinline__ Eight load_gate(const Layer &l, int r, int col) {
    const Matrix &gate = l.epilogue.times;
    return gate.data ? load_eight(gate, r * gate.row + col) : Eight{};
}

/* Writes eight neighbours at index `at` of out; `wide` holds. What memory holds beside them was loaded before. */
template <int AT_ONCE>
__device__ __forceinline__ void finish_eight(const Layer &l, float (&x)[8], const OfColumns &of,
                                             const Eight &sum, const Eight &gate, int64_t at) {
    const Epilogue &e = l.epilogue;
    float y[8];
    if (e.scale) {
        widen_eight(y, of.scale, PRECISION_FP32);
        UNROLL
        for (int i = 0; i < 8; i++) x[i] *= y[i];
    }
    if (e.bias) {
        widen_eight(y, of.bias, PRECISION_FP32);
        UNROLL
        for (int i = 0; i < 8; i++) x[i] += y[i];
    }
    if (e.add) {
        widen_eight(y, sum, l.out.type);
        UNROLL
        for (int i = 0; i < 8; i++) x[i] += y[i];
    }
    activate_eight<AT_ONCE>(x, e.activation);
    if (e.times.data) {
        widen_eight(y, gate, e.times.type);
        UNROLL
        for (int i = 0; i < 8; i++) x[i] *= y[i];
    }
    put_eight(l.out, at, x);
}

/* --- loaders ---------------------------------------------------------------------------------- */

/* N lines of a matrix from `first` on, for tiles whose depths follow each other. In 16 bits a thread has the vector at
 * the same columns of OWN lines of every tile and keeps their addresses, and a copy costs an addition. A line past the
 * last repeats it: what it gives is never stored. */
template <class T, int N, int THREADS> struct Lines {
    using TileX = Tile<T, ALONG, N>;
    using Element = typename T::Element;
    static constexpr int PER_LINE = TileX::WIDTH / TileX::CHUNK, STEP = THREADS / PER_LINE;
    static constexpr int OWN = N / STEP;
    static constexpr bool NARROW = sizeof(Element) == 2;
    static_assert(N % STEP == 0, "whole rounds");
    const Element *from[OWN];
    View<T> view;
    int first;

    __device__ __forceinline__ Lines(const View<T> &v, int line0) : view(v), first(line0) {
        if constexpr (NARROW) {
            UNROLL
            for (int i = 0; i < OWN; i++) {
                const int line = first + (int)threadIdx.x / PER_LINE + i * STEP;
                from[i] = v.data + (line < v.lines ? line : v.lines - 1) * v.stride +
                          (int)threadIdx.x % PER_LINE * TileX::CHUNK;
            }
        }
    }
    __device__ __forceinline__ void load(Element *tile, int depth) const {
        if constexpr (NARROW) {
            const int column = (int)threadIdx.x % PER_LINE * TileX::CHUNK;
            const int left = (int)view.width - depth - column;
            const int bytes = left >= TileX::CHUNK ? 16 : left > 0 ? left * 2 : 0;
            UNROLL
            for (int i = 0; i < OWN; i++)
                cp_async_16(tile + ((int)threadIdx.x / PER_LINE + i * STEP) * TileX::STRIDE +
                                column,
                            bytes > 0 ? from[i] + depth : view.data, bytes);
        } else {
            TileX::template load<THREADS>(tile, view, first, depth);
        }
    }
};

struct Rows {};
struct Windows {};
struct Elements {};

template <class T, class S, class Source> struct Loader;

template <class T, class S> struct Loader<T, S, Rows> {
    using Element = typename T::Element;
    Lines<T, S::ROWS, S::THREADS> lines;
    __device__ __forceinline__ Loader(const Layer &l, int first)
        : lines({(const Element *)l.in.data, l.in_image, l.rows, l.depth, l.aligned}, first) {}
    __device__ __forceinline__ void load(const Layer &, Element *tile, int depth) {
        lines.load(tile, depth);
    }
};

/* A thread has the vector at the same columns of OWN lines of every tile. It keeps their windows, and the place of its
 * columns, which moves on by a tile's depth: tiles follow each other. */
template <class T, class S> struct Loader<T, S, Windows> {
    using TileA = Tile<T, ALONG, S::ROWS>;
    using Element = typename T::Element;
    static constexpr int PER_LINE = TileA::WIDTH / TileA::CHUNK, LINES = S::THREADS / PER_LINE;
    static constexpr int OWN = S::ROWS / LINES;
    static_assert(S::ROWS % LINES == 0, "whole rounds");
    Corner corner[OWN];
    Place place;

    __device__ __forceinline__ Loader(const Layer &l, int first)
        : place(place_of(l, (int)threadIdx.x % PER_LINE * TileA::CHUNK)) {
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int r = first + (int)threadIdx.x / PER_LINE + i * LINES;
            corner[i] = corner_of(l, r < l.rows ? r : l.rows - 1);
        }
    }
    __device__ __forceinline__ void load(const Layer &l, Element *tile, int depth) {
        const int column = (int)threadIdx.x % PER_LINE * TileA::CHUNK;
        const Element *in = (const Element *)l.in.data;
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int64_t at = depth + column < l.depth ? index_of(l, corner[i], place) : -1;
            cp_async_16(tile + ((int)threadIdx.x / PER_LINE + i * LINES) * TileA::STRIDE + column,
                        in + (at < 0 ? 0 : at), at < 0 ? 0 : 16);
        }
        place.channel += TileA::DEPTH;
        NO_UNROLL
        while (place.channel >= l.channels) {
            place.channel -= l.channels;
            if (++place.x == l.kernel) place.x = 0, place.y++;
        }
    }
};

/* Neighbouring threads have neighbouring depths. Stores to shared memory come before the next barrier. */
template <class T, class S> struct Loader<T, S, Elements> {
    using TileA = Tile<T, ALONG, S::ROWS>;
    using Element = typename T::Element;
    static constexpr int LINES = S::THREADS / TileA::WIDTH, OWN = S::ROWS / LINES;
    static_assert(S::ROWS % LINES == 0, "whole rounds");
    int first;

    __device__ __forceinline__ Loader(const Layer &, int row) : first(row) {}
    __device__ __forceinline__ void load(const Layer &l, Element *tile, int depth) {
        const int column = (int)threadIdx.x % TileA::WIDTH, line = (int)threadIdx.x / TileA::WIDTH;
        const bool inside = depth + column < l.depth;
        const Place place = place_of(l, inside ? depth + column : 0);
        float x[OWN];
        UNROLL
        for (int i = 0; i < OWN; i++) {
            const int r = first + line + i * LINES;
            const int64_t at = inside && r < l.rows ? index_of(l, corner_of(l, r), place) : -1;
            x[i] = at < 0 ? 0.0f : get(l.in, at);
        }
        UNROLL
        for (int i = 0; i < OWN; i++)
            tile[(line + i * LINES) * TileA::STRIDE + column] = from_float<T>(x[i]);
    }
};

/* --- kernels ---------------------------------------------------------------------------------- */

/* Blocks that an SM has at least, 0 where the compiler decides. Left alone it takes 64 registers for small tiles in 16 bits,
 * and computes addresses anew in the main loop. */
template <class T, class S>
constexpr int LAYERS_PER_SM = sizeof(typename T::Element) == 2 ? 512 / S::THREADS : 0;

template <class T, class S, class Source>
__global__ void __launch_bounds__(S::THREADS, (LAYERS_PER_SM<T, S>)) layer_tiled(const Layer l) {
    using G = Gemm<T, S, ALONG, ALONG>;
    using Element = typename T::Element;
    constexpr int VECTORS = S::COLS / 8; /* of a row of the tile */
    const int across = (l.cols + S::COLS - 1) / S::COLS;
    const int row = (int)(blockIdx.x / across) * S::ROWS,
              col = (int)(blockIdx.x % across) * S::COLS;
    Loader<T, S, Source> a(l, row);
    const Lines<T, S::COLS, S::THREADS> w({(const Element *)l.weight, l.weight_row, l.cols, l.depth,
                                           l.weight_row * sizeof(Element) % 16 == 0},
                                          col);
    const float *tile = G::run_from(
        0, [&](Element *to, int64_t t) { a.load(l, to, (int)t * G::DEPTH); },
        [&](Element *to, int64_t t) { w.load(to, (int)t * G::DEPTH); },
        (l.depth + G::DEPTH - 1) / G::DEPTH, Nothing());
    NO_UNROLL
    for (int i = threadIdx.x; i < S::ROWS * VECTORS; i += S::THREADS) {
        const int r = row + i / VECTORS, c = col + i % VECTORS * 8;
        if (r >= l.rows || c >= l.cols) continue;
        const float *from = tile + i / VECTORS * S::RESULT_STRIDE + i % VECTORS * 8;
        if (l.wide) {
            float x[8];
            get_eight(x, Matrix{(void *)from, 0, PRECISION_FP32}, 0);
            const int64_t at = index_out(l, r, c);
            const Eight sum = load_sum(l, at), gate = load_gate(l, r, c);
            finish_eight<8>(l, x, OfColumns(l.epilogue, c), sum, gate, at);
        } else {
            const int n = l.cols - c < 8 ? l.cols - c : 8;
            NO_UNROLL
            for (int j = 0; j < n; j++) finish_one(l, from[j], r, c + j);
        }
    }
}

/* The oracle: a thread per element of out. */
template <class T> __global__ void layer_v1_naive(const Layer l) {
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= (int64_t)l.rows * l.cols) return;
    const int r = (int)(i / l.cols), col = (int)(i % l.cols);
    const Corner corner = corner_of(l, r);
    const auto *w = (const typename T::Element *)l.weight + col * l.weight_row;
    float sum = 0.0f;
    for (int k = 0; k < l.depth; k++) {
        const int64_t at = index_of(l, corner, place_of(l, k));
        if (at >= 0) sum = fmaf(to_float<T>(from_float<T>(get(l.in, at))), to_float<T>(w[k]), sum);
    }
    finish_one(l, sum, r, col);
}

/* --- launches --------------------------------------------------------------------------------- */

/* Calls f(T()) with the type of a weight's products. */
template <class F> Status with_precision(Precision p, F f) {
    if (p == PRECISION_FP16) return f(Fp16());
    if (p == PRECISION_BF16) return f(Bf16());
    return f(Fp32());
}

/* Announces the cost of a layer whose operands have so many bytes an element. */
static inline void cost_of_layer(Queue *q, const Layer &l, int bytes) {
    cost(q, 2.0 * l.rows * (double)l.cols * l.depth,
         bytes * (double)l.depth * ((double)l.rows + l.cols) +
             (double)precision_bytes(l.out.type) * l.rows * l.cols * (l.epilogue.add ? 2 : 1));
}

template <class T, class S, class Source> Status start_layer(Queue *q, const Layer &l) {
    const int64_t blocks = ceil_div(l.rows, S::ROWS) * ceil_div(l.cols, S::COLS);
    cost_of_layer(q, l, (int)sizeof(typename T::Element));
    return launch(q, (layer_tiled<T, S, Source>), grid_of(blocks), S::THREADS,
                  (Gemm<T, S, ALONG, ALONG>::SHARED_BYTES), l);
}

/* Small tiles serve what large ones would not spread over half of the device. */
template <class T, class Source> Status start_sized(Queue *q, const Layer &l) {
    static_assert(LAYER_STEP_BYTES == DEPTH_BYTES, "the model's ring is the kernels'");
    if (LAYER_IS_LARGE((int64_t)l.rows, (int64_t)l.cols, q->device->sms))
        return start_layer<T, Shape2<LAYER_LARGE, LAYER_LARGE, 4, 2>, Source>(q, l);
    return start_layer<T, Shape2<LAYER_SMALL, LAYER_SMALL, 2, 2>, Source>(q, l);
}

/* Returns the elements of a packed row. */
static inline int64_t packed_row(const Weight *w) {
    const int64_t depth = w->in * w->taps;
    return w->precision == PRECISION_FP32 ? depth : round_up(depth, 8);
}

/* Returns the layer of a packed weight, whose fields of images the caller fills. */
static inline Layer layer_of(Matrix out, Matrix in, const Weight *w, const Epilogue *e) {
    Layer l = {};
    l.out = out, l.in = in, l.epilogue = *e;
    l.weight = w->packed;
    l.cols = (int)w->out, l.depth = (int)(w->in * w->taps), l.channels = (int)w->in;
    l.weight_row = packed_row(w);
    return l;
}

static inline bool can_apply(const Weight *w) {
    return w && w->packed && w->out >= 1 && w->in >= 1 && w->taps >= 1 && w->out <= INT32_MAX &&
           w->in <= INT32_MAX / w->taps;
}

/* Returns whether a matrix's rows `row` apart are whole vectors of 16 bytes; the matrix may be missing. */
static inline bool whole_vectors(const void *data, int64_t row, Precision type) {
    return !data || (aligned_16(data) && row * precision_bytes(type) % 16 == 0);
}

/* Returns whether a layer of rows is one of wgmma's, which keeps one operand of the epilogue in registers, a sum or a gate.
 * Hardware adds the products of wgmma otherwise than mma.sync's, so the answer depends on the layer and the device alone,
 * never on how many rows there are. */
static inline bool takes_boxes(const Device *device, const Layer &l, Precision precision) {
    return device->capability == 90 && precision != PRECISION_FP32 &&
           LAYER_IS_WIDE(l.cols, l.depth) && l.aligned && l.wide && aligned_16(l.weight) &&
           !(l.epilogue.add && l.epilogue.times.data);
}

/* Decides how the epilogue moves its numbers. Eights of 16 bits are 16 bytes; eights of float32 begin at 32. */
static inline bool is_wide(const Layer &l) {
    const Epilogue &e = l.epilogue;
    return l.cols % 8 == 0 && whole_vectors(l.out.data, l.out_image, l.out.type) &&
           whole_vectors(e.scale, 0, PRECISION_FP32) && whole_vectors(e.bias, 0, PRECISION_FP32) &&
           whole_vectors(e.times.data, e.times.row, e.times.type);
}

/* They run a layer by the loader of their names, or by the readable kernel. */
Status layer_naive(Queue *q, const Layer &l, Precision precision); /* linear.cu */
Status layer_of_rows(Queue *q, const Layer &l, Precision precision);
Status layer_of_boxes(Queue *q, const Layer &l, Precision precision);    /* linear_wgmma.cu */
Status layer_of_elements(Queue *q, const Layer &l, Precision precision); /* conv2d.cu */

#endif
