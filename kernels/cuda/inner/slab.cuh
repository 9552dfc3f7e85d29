/*
 * slab.cuh - what one CTA of the slab form does with its rows: copies, forward, softmax, gradient
 *
 * slab_steps.cuh has what the CTAs do together, inner_slab.cu cost and pictures.
 */
#ifndef TURTLE_KERNELS_CUDA_INNER_SLAB_CUH
#define TURTLE_KERNELS_CUDA_INNER_SLAB_CUH

#include "kernels/cuda/inner/inner_forms.cuh"
#include "kernels/cuda/train/adam.cuh"
#include "kernels/cuda/train/residual.cuh"

/* --- arguments -------------------------------------------------------------------------------- */

template <class T> struct SlabSpace {
    const typename T::Element *Z; /* (N, row) */
    const int64_t *chosen;        /* (B) rows that are the batch; NULL: the first B rows */
    int64_t row, N;
    int d;
    float unit; /* power of two: Z times unit are the features; W is multiplied by it */
    float *head, *m1, *m2;
    typename T::Element *W; /* (C, 16 strips) rounded W, zeros behind */
    float *partial;         /* (count, floats) gradient (C, 16 strips), then its bias */
    double *loss, *losses;  /* (2, count) losses of two steps; (M) losses of the launch's steps */
    unsigned *arrived;      /* counter of the space's barrier, zero at the start */
    int first, count;       /* its CTAs: the first one, how many */
    SlabCut cut;
    int passes, stride, strips;
    int at_slab, at_logits, at_R, at_small; /* bytes from the start of shared memory; W lies at 0 */
};

template <class T> struct Slab {
    SlabSpace<T> space[PLAN_MAX_SPACES];
    int spaces, C;
    int64_t B;
    int M;
    int64_t done; /* M: steps of this launch; done: steps of earlier launches of the same call */
    const float *Y;
    const int64_t *step;
    double lr;
    float scale;        /* factor of gradients: 1 / (residual_scale B) */
    float *losses;      /* (M) losses, or NULL */
    unsigned *finished; /* count of spaces that have ended, zero at the start */
};
static_assert(sizeof(Slab<Fp16>) <= 4096, "a kernel has 4 KB of parameters");

/* The small part of shared memory. */
struct SlabSmall {
    float bias[SLAB_MOST_CLASSES];
    float grad_bias[SLAB_MOST_CLASSES]; /* warp 0's sums of R so far */
    float slope[SLAB_MOST_CLASSES];     /* slopes of the entropy (iteration_slab.cu) */
    float most[SLAB_WARPS];
    double loss[SLAB_WARPS];
    AdamStep adam;
    unsigned before;
};
static_assert(sizeof(SlabSmall) <= SLAB_SMALL, "bands.h counts with it");

/* Returns the floats of one CTA's partial sums, a multiple of 4. */
__host__ __device__ constexpr int64_t slab_floats(int64_t C, int64_t strips) {
    return C * strips * SLAB_FRAGMENT + round_up(C, 4);
}

/* --- pieces of rows (plan_rows.h says which) ------------------------------------------------------ */

/* Begins the copies of rows [begin, begin + count) of the CTA, features [16 strip, 16 strip_end). As in gather, a
 * row that does not exist becomes NaN. */
template <class T>
__device__ void slab_load(const SlabSpace<T> &space, const SlabRows &r, int64_t B,
                          typename T::Element *to, int begin, int count, int strip, int strip_end) {
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    for (int base = warp; base < count; base += SLAB_THREADS) {
        /* the lane reads the number of its own row of the warp's next 32, so that all are under way together */
        const int own = base + SLAB_WARPS * lane;
        int64_t source = r.first + begin + own;
        if (space.chosen) source = own < count && source < B ? space.chosen[source] : 0;
        for (int n = 0; n < WARP && base + SLAB_WARPS * n < count; n++) {
            const int i = base + SLAB_WARPS * n;
            const bool inside = r.first + begin + i < B;
            const int64_t row = __shfl_sync(ALL_LANES, source, n);
            const bool known = !inside || (row >= 0 && row < space.N);
            for (int c = 2 * strip + lane; c < 2 * strip_end; c += WARP) {
                const int left = inside && known ? space.d - 8 * c : 0;
                const int bytes = left >= 8 ? 16 : left > 0 ? left * 2 : 0;
                if (known)
                    cp_async_16(to + i * space.stride + 8 * c,
                                bytes ? space.Z + row * space.row + 8 * c : space.Z, bytes);
                else to[i * space.stride + 8 * c] = T::from(NAN);
            }
        }
    }
}

/* Return the first strip of a sweep of the gradient, and the strip behind its last. */
template <int STRIPS> __device__ __forceinline__ int pass_begin(int pass) {
    return pass * SLAB_WARPS * STRIPS;
}
template <int STRIPS> __device__ __forceinline__ int pass_end(int pass, int strips) {
    const int end = (pass + 1) * SLAB_WARPS * STRIPS;
    return end < strips ? end : strips;
}

/* In a step every piece is streamed once. Where the gradient has several passes, every piece is streamed once more
 * for each of them, with the pass's features alone. Begins the copies of the q-th of these loads, counted over
 * all steps, and closes their group; past the end the group is empty. */
template <class T, int STRIPS>
__device__ __forceinline__ void slab_fetch(const SlabSpace<T> &space, const SlabRows &r, int64_t B,
                                           int q, int steps) {
    const int phases = space.passes == 1 ? 1 : 1 + space.passes;
    if (r.streams > 0 && q < steps * r.streams * phases) {
        const int at = q % (r.streams * phases), phase = at / r.streams;
        const int begin = r.resident + at % r.streams * space.cut.stage;
        const int count = r.have - begin < space.cut.stage ? r.have - begin : space.cut.stage;
        slab_load(space, r, B,
                  shared_mem<typename T::Element>(space.at_slab) +
                      (space.cut.resident + q % space.cut.stages * space.cut.stage) * space.stride,
                  begin, count, phase ? pass_begin<STRIPS>(phase - 1) : 0,
                  phase ? pass_end<STRIPS>(phase - 1, space.strips) : space.strips);
    }
    cp_async_commit();
}

/* --- products --------------------------------------------------------------------------------- */

/* Fragments of NB bands of Z and of W, two sets of either: the next product's are on their way while one runs. */
template <class T, int CT, int NB> struct SlabFragments {
    static constexpr int PAIRS = CT / 16, STRIP = 2 * SLAB_FRAGMENT; /* STRIP: bytes */
    uint32_t x[2][4], y[2][PAIRS][4];
    int z[NB], w[PAIRS]; /* bytes of the lane's rows */

    __device__ __forceinline__ void load_W(int set, int at) {
        UNROLL
        for (int c = 0; c < PAIRS; c++) ldmatrix_x4(y[set][c], shared_mem<char>(w[c] + at));
    }
    __device__ __forceinline__ void advance(int bytes) {
        UNROLL
        for (int r = 0; r < NB; r++) z[r] += bytes;
        UNROLL
        for (int c = 0; c < PAIRS; c++) w[c] += bytes;
    }
    /* Adds the products of the strip H from z and w on, and loads fragments of the strip `next` bytes from
     * them on, where the first band's is. A strip begins with the sets that the one before left. */
    template <int H> __device__ __forceinline__ void multiply(float (*sum)[CT / 8][4], int next) {
        load_W((H + 1) % 2, next);
        UNROLL
        for (int r = 0; r < NB; r++) {
            constexpr int FIRST =
                H * NB; /* number of the fragment; two strips have an even number */
            ldmatrix_x4(x[(FIRST + r + 1) % 2],
                        shared_mem<char>(r + 1 < NB ? z[(r + 1) % NB] + H * STRIP : z[0] + next));
            UNROLL
            for (int c = 0; c < CT / 8; c++)
                T::mma(sum[r][c], x[(FIRST + r) % 2], y[H % 2][c / 2] + c % 2 * 2);
        }
    }
};

/* Adds the products of NB bands and of `strips` strips to sum. Z, W: bytes of the lane's rows in the first strip;
 * `band`: bytes between bands. */
template <class T, int CT, int NB>
__device__ __forceinline__ void slab_products(float (*sum)[CT / 8][4], int Z,
                                              const int (&W)[CT / 16], int band, int strips) {
    SlabFragments<T, CT, NB> f;
    constexpr int STRIP = f.STRIP;
    if (strips == 0) return;
    UNROLL
    for (int r = 0; r < NB; r++) f.z[r] = opaque(Z + r * band);
    UNROLL
    for (int c = 0; c < CT / 16; c++) f.w[c] = opaque(W[c]);
    f.load_W(0, 0);
    ldmatrix_x4(f.x[0], shared_mem<char>(f.z[0]));
    int left = strips; /* the last strip loads one again in place of a next one */
    NO_UNROLL
    for (; left > 1; left -= 2) {
        f.template multiply<0>(sum, STRIP);
        f.template multiply<1>(sum, left > 2 ? 2 * STRIP : STRIP);
        f.advance(2 * STRIP);
    }
    if (left) f.template multiply<0>(sum, 0);
}

/* Computes a warp's part of a piece's logits, by its features of all rows, and leaves it in shared memory. Z: bytes
 * of the piece. */
template <class T, int CT>
__device__ __forceinline__ void slab_forward(const SlabSpace<T> &space, int C, int Z, int bands) {
    constexpr int BANDS = SLAB_MOST_BANDS(CT), NC = CT / 8, LOGITS = CT + 8;
    const int warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const int line = lane % 8, matrix = lane / 8, g = lane / 4, t = lane % 4;
    const int row_bytes = 2 * space.stride;
    float sum[BANDS][NC][4];
    UNROLL
    for (int r = 0; r < BANDS; r++) {
        UNROLL
        for (int c = 0; c < NC; c++) {
            UNROLL
            for (int i = 0; i < 4; i++) sum[r][c][i] = 0.0f;
        }
    }
    const int begin = space.strips * warp / SLAB_WARPS,
              strips = space.strips * (warp + 1) / SLAB_WARPS - begin,
              first = begin * 2 * SLAB_FRAGMENT; /* bytes */
    /* classes beyond C read the last class's row again; nobody reads their logits */
    int W[NC / 2];
    UNROLL
    for (int c = 0; c < NC / 2; c++) {
        const int row = 16 * c + matrix / 2 * 8 + line;
        W[c] = (row < C ? row : C - 1) * row_bytes + matrix % 2 * 16 + first;
    }
    const int z = Z + (matrix % 2 * 8 + line) * row_bytes + matrix / 2 * 16 + first;
    const int band = SLAB_FRAGMENT * row_bytes;
    if (bands == BANDS) slab_products<T, CT, BANDS>(sum, z, W, band, strips);
    else if (bands == 1) slab_products<T, CT, 1>(sum, z, W, band, strips);
    else if (BANDS > 2 && bands == 2)
        slab_products < T, CT, BANDS<2 ? BANDS : 2>(sum, z, W, band, strips);
    else if (BANDS > 3 && bands == 3)
        slab_products < T, CT, BANDS<3 ? BANDS : 3>(sum, z, W, band, strips);
    else if (BANDS > 4 && bands == 4)
        slab_products < T, CT, BANDS<4 ? BANDS : 4>(sum, z, W, band, strips);
    float *out =
        shared_mem<float>(space.at_logits) + warp * (16 * bands) * LOGITS + g * LOGITS + 2 * t;
    UNROLL
    for (int r = 0; r < BANDS; r++) {
        if (r >= bands) continue;
        UNROLL
        for (int c = 0; c < NC; c++) {
            UNROLL
            for (int i = 0; i < 2; i++)
                *reinterpret_cast<float2 *>(out + (16 * r + 8 * i) * LOGITS + 8 * c) =
                    make_float2(sum[r][c][2 * i], sum[r][c][2 * i + 1]);
        }
    }
}

/* --- softmax ---------------------------------------------------------------------------------- */

/* Two lanes share a row, a warp has a band: lane h of a row owns the quads h, h + 2, ... of its classes. */
template <int CT> struct SlabLabels {
    static constexpr int OWN = CT / 2; /* classes that a lane owns */
    float y[OWN];

    static __device__ __forceinline__ int class_of(int i) {
        return 8 * (i / 4) + 4 * (threadIdx.x % 2) + i % 4;
    }
    /* Loads row b of Y, zeros beyond, long before it is needed: the latency hides behind the products. */
    __device__ __forceinline__ void load(const float *Y, int64_t b, int64_t B, int C) {
        UNROLL
        for (int i = 0; i < OWN; i++)
            y[i] = b < B && class_of(i) < C ? Y[b * C + class_of(i)] : 0.0f;
    }
};

/* Adds up a row's logits: the parts that the warps have left, in order, and the bias; -infinity beyond C. Returns
 * their maximum. Warps beyond the bands do not call it. */
template <class T, int CT>
__device__ __forceinline__ float row_logits(const SlabSpace<T> &space, int C, int bands,
                                            float (&x)[CT / 2]) {
    constexpr int OWN = SlabLabels<CT>::OWN, LOGITS = CT + 8;
    const int row = threadIdx.x / 2, h = threadIdx.x % 2;
    const float *in = shared_mem<float>(space.at_logits) + row * LOGITS + 4 * h;
    const float *bias = shared_mem<SlabSmall>(space.at_small)->bias;
    float top = -INFINITY;
    constexpr int AT_ONCE = CT == 16 ? SLAB_WARPS : 4; /* warps whose loads are on their way */
    UNROLL
    for (int i = 0; i < OWN; i++) x[i] = 0.0f;
    NO_UNROLL
    for (int first = 0; first < SLAB_WARPS; first += AT_ONCE) {
        UNROLL
        for (int w = 0; w < AT_ONCE; w++) {
            UNROLL
            for (int q = 0; q < OWN / 4; q++) {
                const float4 p = load_float4(in + (first + w) * 16 * bands * LOGITS + 8 * q);
                x[4 * q] += p.x, x[4 * q + 1] += p.y, x[4 * q + 2] += p.z, x[4 * q + 3] += p.w;
            }
        }
    }
    UNROLL
    for (int i = 0; i < OWN; i++) {
        const int c = SlabLabels<CT>::class_of(i);
        x[i] = c < C ? x[i] + bias[c] : -INFINITY;
        top = fmaxf(top, x[i]);
    }
    return group_max<2>(top);
}

/* Stores a lane's residuals of a row of R, rounded; classes beyond C and rows beyond the batch get zeros. */
template <class T, int CT, class Residual>
__device__ __forceinline__ void store_residuals(typename T::Element *R, int C, bool inside,
                                                Residual residual) {
    uint32_t *out =
        reinterpret_cast<uint32_t *>(R + threadIdx.x / 2 * (CT + 8) + 4 * (threadIdx.x % 2));
    auto rounded = [&](int i) -> uint32_t {
        const bool real = inside && SlabLabels<CT>::class_of(i) < C;
        return real ? T::from(residual(i)) : (uint16_t)0;
    };
    UNROLL
    for (int q = 0; q < SlabLabels<CT>::OWN / 4; q++) {
        out[4 * q] = rounded(4 * q) | rounded(4 * q + 1) << 16;
        out[4 * q + 1] = rounded(4 * q + 2) | rounded(4 * q + 3) << 16;
    }
}

/* Makes residuals of a piece's logits. Returns this lane's share of the loss. Warps beyond the bands do not call
 * it. */
template <class T, int CT>
__device__ double slab_softmax(const SlabSpace<T> &space, int C, const SlabLabels<CT> &labels,
                               int bands, bool inside, typename T::Element *R) {
    constexpr int OWN = SlabLabels<CT>::OWN;
    float x[OWN], sum = 0.0f, mass = 0.0f, dot = 0.0f;
    const float top = row_logits<T, CT>(space, C, bands, x);
    UNROLL
    for (int i = 0; i < OWN; i++) { /* beyond C labels are 0, logits -infinity */
        const float shifted = x[i] - top;
        mass += labels.y[i];
        dot += labels.y[i] * (SlabLabels<CT>::class_of(i) < C ? shifted : 0.0f);
        x[i] = expf(shifted);
        sum += x[i];
    }
    sum = group_sum<2>(sum);
    mass = group_sum<2>(mass);
    dot = group_sum<2>(dot);
    const float share = mass / sum;
    store_residuals<T, CT>(
        R, C, inside, [&](int i) { return (x[i] * share - labels.y[i]) * residual_scale<T>(); });
    return inside && threadIdx.x % 2 == 0 ? (double)(mass * logf(sum) - dot) : 0.0;
}

/* --- gradient --------------------------------------------------------------------------------- */

/* A warp's strips of R^T Z, summed over the pieces visited so far. */
template <class T, int CT> struct SlabGradient {
    using Element = typename T::Element;
    static constexpr int STRIPS = SLAB_MOST_STRIPS(CT), NR = CT / 16;
    float sum[STRIPS][NR][2][4];

    __device__ __forceinline__ void clear() {
        UNROLL
        for (int u = 0; u < STRIPS; u++) {
            UNROLL
            for (int r = 0; r < NR; r++) {
                UNROLL
                for (int i = 0; i < 4; i++) sum[u][r][0][i] = sum[u][r][1][i] = 0.0f;
            }
        }
    }
    __device__ __forceinline__ void multiply(float by) {
        UNROLL
        for (int u = 0; u < STRIPS; u++) {
            UNROLL
            for (int r = 0; r < NR; r++) {
                UNROLL
                for (int i = 0; i < 4; i++) sum[u][r][0][i] *= by, sum[u][r][1][i] *= by;
            }
        }
    }
    /* Adds R^T Z of so many bands of rows to the first `mine` strips, MINE where their number is known. R, Z: bytes
     * of the lane's rows in the first strip; `band`: bytes between bands of Z. */
    template <int MINE>
    __device__ __forceinline__ void add_strips(int R, int Z, int band, int bands, int mine) {
        constexpr int STRIP = 2 * SLAB_FRAGMENT; /* bytes */
        R = opaque(R), Z = opaque(Z);
        NO_UNROLL
        for (int n = 0; n < bands; n++) {
            uint32_t x[NR][4], y[2][4]; /* two sets: the next strip is on its way */
            UNROLL
            for (int c = 0; c < NR; c++) ldmatrix_x4_trans(x[c], shared_mem<char>(R + c * STRIP));
            if (MINE) ldmatrix_x4_trans(y[0], shared_mem<char>(Z));
            UNROLL
            for (int u = 0; u < (MINE ? MINE : STRIPS); u++) {
                if (!MINE && u >= mine) continue;
                if (!MINE || u + 1 < MINE)
                    ldmatrix_x4_trans(y[MINE ? (u + 1) % 2 : 0],
                                      shared_mem<char>(Z + (MINE ? u + 1 : u) * STRIP));
                UNROLL
                for (int c = 0; c < NR; c++) {
                    T::mma(sum[u][c][0], x[c], y[MINE ? u % 2 : 0]);
                    T::mma(sum[u][c][1], x[c], y[MINE ? u % 2 : 0] + 2);
                }
            }
            R += SLAB_FRAGMENT * (CT + 8) * 2, Z += band;
        }
    }
    /* Adds R^T Z of so many bands of rows; R, Z: bytes of the piece. The warp has the features
     * [16 strip, 16 (strip + mine)). At 16 classes 12, 6 and 8 strips are 1536, 768 and 1024 features. */
    __device__ __forceinline__ void add(const SlabSpace<T> &space, int R, int Z, int bands,
                                        int strip, int mine) {
        const int lane = threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
        const int row_bytes = 2 * space.stride, band = SLAB_FRAGMENT * row_bytes;
        const int r = R + ((matrix / 2 * 8 + line) * (CT + 8) + matrix % 2 * 8) * 2;
        const int z =
            Z + (matrix % 2 * 8 + line) * row_bytes + 2 * SLAB_FRAGMENT * strip + matrix / 2 * 16;
        if (mine == STRIPS) add_strips<STRIPS>(r, z, band, bands, mine);
        else if (mine == STRIPS / 2) add_strips<STRIPS / 2>(r, z, band, bands, mine);
        else if (mine == STRIPS * 2 / 3) add_strips<STRIPS * 2 / 3>(r, z, band, bands, mine);
        else add_strips<0>(r, z, band, bands, mine);
    }
    /* Adds the sums of R, which are the product with the column of ones. Warp 0 calls it. Each of its lanes keeps
     * its own sums in shared memory, for registers are few. */
    static __device__ __forceinline__ void add_ones(const SlabSpace<T> &space, int R, int Z,
                                                    int bands, float *sums) {
        const int lane = threadIdx.x % WARP, line = lane % 8, matrix = lane / 8, g = lane / 4;
        UNROLL
        for (int c = 0; c < NR; c++) {
            float sum[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            int r = opaque(R + ((matrix / 2 * 8 + line) * (CT + 8) + matrix % 2 * 8 + 16 * c) * 2),
                ones = opaque(Z + 2 * (lane % 16 * space.stride + SLAB_FRAGMENT * space.strips));
            NO_UNROLL
            for (int band = 0; band < bands; band++) {
                uint32_t x[4], y[2];
                ldmatrix_x4_trans(x, shared_mem<char>(r));
                ldmatrix_x2_trans(y, shared_mem<char>(ones));
                T::mma(sum, x, y);
                r += SLAB_FRAGMENT * (CT + 8) * 2, ones += SLAB_FRAGMENT * 2 * space.stride;
            }
            if (lane % 4 == 0) { /* column 0 of the product is with the ones */
                sums[16 * c + g] += sum[0];
                sums[16 * c + g + 8] += sum[2];
            }
        }
    }
    /* Stores the warp's strips among the CTA's partial sums. */
    __device__ __forceinline__ void store(const SlabSpace<T> &space, int C, float *out, int strip,
                                          int mine) const {
        const int lane = threadIdx.x % WARP, g = lane / 4, t = lane % 4;
        const int width = space.strips * SLAB_FRAGMENT;
        UNROLL
        for (int r = 0; r < NR; r++) {
            UNROLL
            for (int i = 0; i < 2; i++) {
                const int c = 16 * r + 8 * i + g;
                if (c >= C) continue;
                float *line = out + c * width + 16 * strip + 2 * t;
                UNROLL
                for (int u = 0; u < STRIPS; u++) {
                    if (u >= mine) continue;
                    UNROLL
                    for (int n = 0; n < 2; n++)
                        *reinterpret_cast<float2 *>(line + 16 * u + 8 * n) =
                            make_float2(sum[u][r][n][2 * i], sum[u][r][n][2 * i + 1]);
                }
            }
        }
    }
};

#endif
