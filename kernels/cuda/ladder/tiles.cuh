/* tiles.cuh - both products of a step by tiles of 16 x 16 in shared memory: step 2 explains them, 3 and 4 use them.
 *
 *     global                     shared memory                threads of a block, 256
 *     Z  rows row..row+15  --->  z [16][32 + 1]   \
 *                                                  > 32 multiply-adds each, 16 x 16 results
 *     W  rows col..col+15  --->  w [16][32 + 1]   /           thread t has result (t / 16, t % 16)
 *
 * The column more puts neighbours of a column into different banks. Sums run in the order of step 1. */
#ifndef TURTLE_KERNELS_CUDA_LADDER_TILES_CUH
#define TURTLE_KERNELS_CUDA_LADDER_TILES_CUH

#include "kernels/cuda/ladder/ladder.cuh"

constexpr int SIDE = 16, DEPTH = 32, TILE_THREADS = SIDE * SIDE;
constexpr int LOGITS_TILE_BYTES = 2 * SIDE * (DEPTH + 1) * 4;
constexpr int GRADIENT_TILE_BYTES = 2 * DEPTH * (SIDE + 1) * 4;

/* Returns the thread's logit of the tile whose first row and class are these. All threads of the block call it. */
__device__ inline float logits_tile(const Ladder &a, int row, int col) {
    float(*z)[DEPTH + 1] = shared_mem<float[DEPTH + 1]>(), (*w)[DEPTH + 1] = z + SIDE;
    const int r = (int)threadIdx.x / SIDE, c = (int)threadIdx.x % SIDE;
    const int line = (int)threadIdx.x / DEPTH, j = (int)threadIdx.x % DEPTH; /* copied; line + 8 as well */
    const float *from_z = a.Z + (int64_t)(row + line) * a.d + j,
                *from_w = a.head + (int64_t)(col + line) * a.d + j;
    float sum = 0.0f;
    for (int j0 = 0; j0 < a.d; j0 += DEPTH) {
        UNROLL
        for (int i = 0; i < SIDE; i += TILE_THREADS / DEPTH) {
            z[line + i][j] = row + line + i < a.B ? from_z[i * a.d + j0] : 0.0f;
            w[line + i][j] = col + line + i < a.C ? from_w[i * a.d + j0] : 0.0f;
        }
        __syncthreads(); /* all have stored */
        UNROLL
        for (int k = 0; k < DEPTH; k++) sum = fmaf(z[r][k], w[c][k], sum);
        __syncthreads(); /* all have read: the next tile may come */
    }
    return sum + (col + c < a.C ? a.head[(int64_t)a.C * a.d + col + c] : 0.0f);
}

/* Returns the thread's sum over rows first to end - 1 of the batch, for the tile of the gradient whose first class and
 * feature are these. Feature d is the bias's, always 1. All threads of the block call it. */
__device__ inline float gradient_tile(const Ladder &a, int row, int col, int first, int end) {
    float(*r)[SIDE + 1] = shared_mem<float[SIDE + 1]>(), (*z)[SIDE + 1] = r + DEPTH;
    const int c = (int)threadIdx.x / SIDE, j = (int)threadIdx.x % SIDE;
    const bool has_c = row + j < a.C, bias = col + j >= a.d; /* thread t copies columns t mod 16 */
    const float *from_r = a.R + (int64_t)(first + c) * a.C + row + j,
                *from_z = a.Z + (int64_t)(first + c) * a.d + col + j;
    float sum = 0.0f;
    for (int b = first + c; b - c < end; b += DEPTH) {
        UNROLL
        for (int i = 0; i < DEPTH; i += TILE_THREADS / SIDE) {
            r[c + i][j] = b + i < end && has_c ? from_r[i * a.C] : 0.0f;
            z[c + i][j] = b + i < end && !bias ? from_z[i * a.d] : 1.0f;
        }
        from_r += DEPTH * a.C, from_z += DEPTH * a.d;
        __syncthreads();
        UNROLL
        for (int k = 0; k < DEPTH; k++) sum = fmaf(r[k][c], z[k][j], sum);
        __syncthreads();
    }
    return sum;
}

#endif
