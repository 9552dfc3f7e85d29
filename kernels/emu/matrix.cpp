/* matrix.cpp - ldmatrix and mma.sync for a whole warp, from the layouts that ptx.cuh pictures. */
#include "kernels/cuda/tile/ptx.cuh"
#include "kernels/emu/vector.h"

namespace emu {

/* --- ldmatrix --------------------------------------------------------------------------------- */

template <int MATRICES, bool TRANSPOSED> static inline void load_matrices(void *const *operands) {
    for (int i = 0; i < MATRICES; i++) {
        uint16_t m[8][8];
        const void *rows[8];
        for (int row = 0; row < 8; row++) {
            rows[row] = ((LoadMatrix *)operands[8 * i + row])->row;
            memcpy(m[row], rows[row], 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4;
            LoadMatrix *own = (LoadMatrix *)operands[lane];
            const uint16_t low = TRANSPOSED ? m[2 * t][g] : m[g][2 * t];
            const uint16_t high = TRANSPOSED ? m[2 * t + 1][g] : m[g][2 * t + 1];
            own->r[i] = (uint32_t)high << 16 | low;
            own->rows[i][0] = rows[TRANSPOSED ? 2 * t : g];
            own->rows[i][1] = rows[TRANSPOSED ? 2 * t + 1 : g];
        }
    }
}
void load_x4(void *const *operands, unsigned) {
    load_matrices<4, false>(operands);
}
void load_x4_trans(void *const *operands, unsigned) {
    load_matrices<4, true>(operands);
}
void load_x2(void *const *operands, unsigned) {
    load_matrices<2, false>(operands);
}
void load_x2_trans(void *const *operands, unsigned) {
    load_matrices<2, true>(operands);
}

/* --- mma.sync ---------------------------------------------------------------------------------- */

/* d (16 x 8) += a (16 x DEPTH) b (DEPTH x 8): products exact, sums in float32, depth by depth. */
template <int DEPTH>
INLINE void multiply_rows(void *const *operands, const float (*a)[DEPTH], const Row *b) {
    Row d[16];
    for (int lane = 0; lane < 32; lane++) {
        const float *own = ((const Multiply *)operands[lane])->d;
        const int g = lane / 4, t = lane % 4;
        memcpy((float *)&d[g] + 2 * t, own, 8);
        memcpy((float *)&d[g + 8] + 2 * t, own + 2, 8);
    }
    for (int row = 0; row < 16; row++) {
        Row sum = d[row];
        for (int k = 0; k < DEPTH; k++) sum += a[row][k] * b[k];
        d[row] = sum;
    }
    for (int lane = 0; lane < 32; lane++) {
        float *own = ((const Multiply *)operands[lane])->d;
        const int g = lane / 4, t = lane % 4;
        memcpy(own, (float *)&d[g] + 2 * t, 8);
        memcpy(own + 2, (float *)&d[g + 8] + 2 * t, 8);
    }
}

/* A register holds two elements of 16 bits. */
template <class Type> INLINE void multiply_16(void *const *operands) {
    alignas(32) uint16_t a16[16][16], b16[16][8];
    alignas(32) float a[16][16];
    Row b[16];
    for (int lane = 0; lane < 32; lane++) {
        const Multiply *own = (const Multiply *)operands[lane];
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) memcpy(&a16[g + i % 2 * 8][2 * t + i / 2 * 8], &own->a[i], 4);
        for (int i = 0; i < 2; i++) {
            b16[2 * t + 8 * i][g] = (uint16_t)own->b[i];
            b16[2 * t + 8 * i + 1][g] = (uint16_t)(own->b[i] >> 16);
        }
    }
    for (int i = 0; i < 32; i++) {
        Row wide;
        Type::widen(&wide, __builtin_convertvector(((const Halves *)a16)[i], Words));
        memcpy((float *)a + 8 * i, &wide, sizeof wide);
    }
    for (int k = 0; k < 16; k++)
        Type::widen(&b[k], __builtin_convertvector(((const Halves *)b16)[k], Words));
    multiply_rows<16>(operands, a, b);
}

/* A register holds one element; the hardware ignores its last 13 bits. */
INLINE void multiply_8(void *const *operands) {
    alignas(32) float a[16][8];
    Row b[8] = {};
    for (int lane = 0; lane < 32; lane++) {
        const Multiply *own = (const Multiply *)operands[lane];
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            a[g + i % 2 * 8][t + i / 2 * 4] = f32_from_bits(own->a[i] & ~0x1fffu);
        for (int i = 0; i < 2; i++)
            ((float *)&b[t + i * 4])[g] = f32_from_bits(own->b[i] & ~0x1fffu);
    }
    multiply_rows<8>(operands, a, b);
}

#define MULTIPLY(name, how)                                    \
    WITH_AVX2 static void name##_avx2(void *const *operands) { \
        how(operands);                                         \
    }                                                          \
    void name(void *const *operands, unsigned) {               \
        if (has_avx2) name##_avx2(operands);                   \
        else how(operands);                                    \
    }
MULTIPLY(multiply_f16, multiply_16<F16>)
MULTIPLY(multiply_bf16, multiply_16<Bf16>)
MULTIPLY(multiply_tf32, multiply_8)

} // namespace emu
