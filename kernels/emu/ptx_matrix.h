/* ptx_matrix.h - ldmatrix and mma.sync of kernels/cuda/ptx.cuh, emulated: the 32 lanes meet, and the
 * last one moves or multiplies for all, from the layouts that ptx.cuh pictures. */
#ifndef TURTLE_EMU_PTX_MATRIX_H
#define TURTLE_EMU_PTX_MATRIX_H

#include <cuda_runtime.h>

#include "../../io/dtype.h"

namespace emu {

struct LoadMatrix {
    uint32_t *r;
    const void *row;
};

template <int MATRICES, bool TRANSPOSED> void load_matrix(void *const *operands, unsigned) {
    for (int i = 0; i < MATRICES; i++) {
        uint16_t m[8][8];
        for (int row = 0; row < 8; row++) {
            const void *from = ((LoadMatrix *)operands[8 * i + row])->row;
            check_aligned(from, 16, "ldmatrix");
            memcpy(m[row], from, 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            const int g = lane / 4, t = lane % 4;
            const uint16_t low = TRANSPOSED ? m[2 * t][g] : m[g][2 * t];
            const uint16_t high = TRANSPOSED ? m[2 * t + 1][g] : m[g][2 * t + 1];
            ((LoadMatrix *)operands[lane])->r[i] = (uint32_t)high << 16 | low;
        }
    }
}
template <int MATRICES, bool TRANSPOSED> void ldmatrix(uint32_t *r, const void *row) {
    LoadMatrix own = {r, row};
    meet(0xffffffffu, "ldmatrix", load_matrix<MATRICES, TRANSPOSED>, &own);
}

struct Multiply {
    float *d;
    const uint32_t *a, *b;
};

/* Products of DEPTH = 16 elements of 16 bits, or 8 of tf32; sums in float32, depth by depth. */
template <int DEPTH, class Widen> void multiply(void *const *operands, unsigned) {
    constexpr int PER = DEPTH / 8; /* elements in a register */
    float a[16][DEPTH], b[DEPTH][8];
    auto element = [](uint32_t word, int i) {
        return Widen::of(PER == 2 ? word >> 16 * i & 0xffff : word);
    };
    for (int lane = 0; lane < 32; lane++) {
        const auto *own = (const Multiply *)operands[lane];
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++)
            for (int j = 0; j < PER; j++)
                a[g + i % 2 * 8][PER * t + i / 2 * 4 * PER + j] = element(own->a[i], j);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < PER; j++) b[PER * t + i * 4 * PER + j][g] = element(own->b[i], j);
    }
    for (int lane = 0; lane < 32; lane++) {
        const auto *own = (const Multiply *)operands[lane];
        const int g = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            float sum = own->d[i];
            for (int k = 0; k < DEPTH; k++) sum += a[g + i / 2 * 8][k] * b[k][2 * t + i % 2];
            own->d[i] = sum;
        }
    }
}
struct WidenF16 {
    static float of(uint32_t x) {
        return f32_from_f16((uint16_t)x);
    }
};
struct WidenBf16 {
    static float of(uint32_t x) {
        return f32_from_bf16((uint16_t)x);
    }
};
struct WidenTf32 { /* the hardware does not look at the last 13 bits */
    static float of(uint32_t x) {
        return f32_from_bits(x & ~0x1fffu);
    }
};
template <int DEPTH, class Widen>
void mma(float *d, const uint32_t *a, const uint32_t *b, const char *what) {
    Multiply own = {d, a, b};
    meet(0xffffffffu, what, multiply<DEPTH, Widen>, &own);
}

} // namespace emu

inline void ldmatrix_x4(uint32_t r[4], const void *row) {
    emu::ldmatrix<4, false>(r, row);
}
inline void ldmatrix_x4_trans(uint32_t r[4], const void *row) {
    emu::ldmatrix<4, true>(r, row);
}
inline void ldmatrix_x2(uint32_t r[2], const void *row) {
    emu::ldmatrix<2, false>(r, row);
}
inline void ldmatrix_x2_trans(uint32_t r[2], const void *row) {
    emu::ldmatrix<2, true>(r, row);
}
inline void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    emu::mma<16, emu::WidenF16>(d, a, b, "mma_f16");
}
inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    emu::mma<16, emu::WidenBf16>(d, a, b, "mma_bf16");
}
inline void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2]) {
    emu::mma<8, emu::WidenTf32>(d, a, b, "mma_tf32");
}

#endif
