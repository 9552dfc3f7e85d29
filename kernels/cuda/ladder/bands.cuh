/* bands.cuh - 64 rows of the batch in one block, on tensor cores: step 5 explains it, steps 6 to 8 take parts of it.
 *
 *     shared memory   z (64, d + 8)         w (CLASSES, d + 8)        r (64, CLASSES + 8)       float16
 *     warp v          logits and softmax of rows 16v .. 16v + 15;     then strips v, v + 4, ... of 16 features of R^T Z
 *
 * Eight more elements a line: then the eight rows that ldmatrix reads at once lie in different banks. */
#ifndef TURTLE_KERNELS_CUDA_LADDER_BANDS_CUH
#define TURTLE_KERNELS_CUDA_LADDER_BANDS_CUH

#include "kernels/cuda/ladder/ladder.cuh"

constexpr int BAND = 16, BAND_WARPS = LADDER_ROWS / BAND, BAND_THREADS = BAND_WARPS * WARP;
constexpr float R_SCALE = 32768.0f; /* residuals lie in [-1, 1]: times 2^15 those from 2^-29 on keep 11 bits */

/* Returns the bytes of shared memory of z, w and r. */
inline int band_bytes(int classes, int d) {
    return 2 * ((LADDER_ROWS + classes) * (d + 8) + LADDER_ROWS * (classes + 8));
}

/* Copies `lines` lines of d from `from` into lines that are d + 8 apart; those beyond `inside` become zeros. */
__device__ inline void copy_lines(uint16_t *to, const uint16_t *from, int lines, int inside, int d) {
    for (int i = (int)threadIdx.x; i < lines * (d / 8); i += BAND_THREADS) {
        const int line = i / (d / 8), j = i % (d / 8) * 8;
        cp_async_16(to + line * (d + 8) + j, line < inside ? from + (int64_t)line * d + j : from,
                    line < inside ? 16 : 0);
    }
}

/* A fragment is 16 x 8 numbers, 4 a lane: x[4f .. 4f + 3] has rows g and g + 8 of the band, classes 8f + 2t and on
 * (ptx.cuh). w_at(class, feature) is where 8 features of W begin. The logits of the warp's band become x. */
template <int CLASSES, class At>
__device__ __forceinline__ void band_logits(float (&x)[CLASSES / 2], const uint16_t *z, int d,
                                            At w_at) {
    const int lane = (int)threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
    z += ((int)threadIdx.x / WARP * BAND + matrix % 2 * 8 + line) * (d + 8) + matrix / 2 * 8;
    UNROLL
    for (int i = 0; i < CLASSES / 2; i++) x[i] = 0.0f;
    for (int k = 0; k < d; k += 16) {
        uint32_t a[4], b[4];
        ldmatrix_x4(a, z + k);
        UNROLL
        for (int c = 0; c < CLASSES; c += 16) { /* two fragments of 8 classes */
            ldmatrix_x4(b, w_at(c + matrix / 2 * 8 + line, k + matrix % 2 * 8));
            mma_f16(x + c / 2, a, b);
            mma_f16(x + c / 2 + 4, a, b + 2);
        }
    }
}

/* Turns logits in fragments into residuals: four lanes have a row. row0: number of the band's first row in the batch.
 * store(row, class, pair): residuals of two neighbours, times 2^15, in float16; zeros beyond B and C. */
template <int CLASSES, class Store>
__device__ __forceinline__ void band_residuals(const Ladder &a, float (&x)[CLASSES / 2], int row0,
                                               Store store) {
    const int lane = (int)threadIdx.x % WARP, g = lane / 4, t = lane % 4;
    const float *bias = a.head + (int64_t)a.C * a.d;
    UNROLL
    for (int h = 0; h < 2; h++) { /* rows g and g + 8 */
        const int row = row0 + g + 8 * h;
        const float *y = a.Y + (int64_t)row * a.C;
        float top = -INFINITY, sum = 0.0f, mass = 0.0f;
        UNROLL
        for (int i = 0; i < CLASSES / 4; i++) { /* numbers i of fragment i / 2 */
            const int c = i / 2 * 8 + 2 * t + i % 2;
            float &logit = h ? x[i / 2 * 4 + 2 + i % 2] : x[i / 2 * 4 + i % 2];
            if (c < a.C) logit += bias[c], top = fmaxf(top, logit);
        }
        top = group_max<4>(top);
        UNROLL
        for (int i = 0; i < CLASSES / 4; i++) {
            const int c = i / 2 * 8 + 2 * t + i % 2;
            float &p = h ? x[i / 2 * 4 + 2 + i % 2] : x[i / 2 * 4 + i % 2];
            p = c < a.C ? expf(p - top) : 0.0f;
            sum += p;
            if (c < a.C && row < a.B) mass += y[c];
        }
        const float share = group_sum<4>(mass) / group_sum<4>(sum); /* 0 beyond the batch */
        UNROLL
        for (int f = 0; f < CLASSES / 8; f++) {
            const int c = f * 8 + 2 * t;
            const float y0 = c < a.C && row < a.B ? y[c] : 0.0f,
                        y1 = c + 1 < a.C && row < a.B ? y[c + 1] : 0.0f;
            const float p0 = h ? x[f * 4 + 2] : x[f * 4], p1 = h ? x[f * 4 + 3] : x[f * 4 + 1];
            store(row, c, f16x2_of(fmaf(p0, share, -y0) * R_SCALE, fmaf(p1, share, -y1) * R_SCALE));
        }
    }
}

/* Stores the block's part of R^T Z, times 2^15, to `partial` (C, d + 1); the last column has the sums of R. */
template <int CLASSES>
__device__ __forceinline__ void band_gradient(const Ladder &a, const uint16_t *z, const uint16_t *r,
                                              float *partial) {
    const int lane = (int)threadIdx.x % WARP, line = lane % 8, matrix = lane / 8;
    for (int j = (int)threadIdx.x / WARP * 16; j < a.d; j += BAND_WARPS * 16) {
        float grad[CLASSES / 16][2][4] = {};
        UNROLL
        for (int k = 0; k < LADDER_ROWS; k += 16) { /* the depth of this product is the batch */
            uint32_t x[4], b[4];
            ldmatrix_x4_trans(b, z + (k + matrix % 2 * 8 + line) * (a.d + 8) + j + matrix / 2 * 8);
            UNROLL
            for (int c = 0; c < CLASSES; c += 16) {
                ldmatrix_x4_trans(x, r + (k + matrix / 2 * 8 + line) * (CLASSES + 8) + c + matrix % 2 * 8);
                mma_f16(grad[c / 16][0], x, b);
                mma_f16(grad[c / 16][1], x, b + 2);
            }
        }
        UNROLL
        for (int i = 0; i < CLASSES / 2; i++) {
            const int c = i / 8 * 16 + i / 2 % 2 * 8 + lane / 4;
            const int feature = j + i / 4 % 2 * 8 + lane % 4 * 2 + i % 2;
            if (c < a.C) partial[(int64_t)c * (a.d + 1) + feature] = grad[i / 8][i / 4 % 2][i % 4];
        }
    }
    if ((int)threadIdx.x >= a.C) return;
    float sum = 0.0f;
    for (int b = 0; b < LADDER_ROWS; b++) sum += f32_of_f16(r[b * (CLASSES + 8) + threadIdx.x]);
    partial[(int64_t)threadIdx.x * (a.d + 1) + a.d] = sum;
}

#endif
