/* ptx_matrix.h - ldmatrix and mma.sync of kernels/cuda/tile/ptx.cuh, emulated: the 32 lanes meet, and the
 * last one moves or multiplies for all (matrix.cpp). */
#ifndef TURTLE_KERNELS_EMU_INCLUDE_PTX_MATRIX_H
#define TURTLE_KERNELS_EMU_INCLUDE_PTX_MATRIX_H

#include <cuda_runtime.h>

#if defined(__SANITIZE_THREAD__)
#define EMU_WATCHED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define EMU_WATCHED 1
#endif
#endif

#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emu {

/* The row that a lane brings to ldmatrix, and the registers that it gets. */
struct LoadMatrix {
    uint32_t *r;
    const void *row, *rows[4][2]; /* whose elements it got: for ThreadSanitizer */
};
Compute load_x4, load_x4_trans, load_x2, load_x2_trans;

/* ThreadSanitizer learns that this lane has read its elements, for the lane that moved them all is
 * not watched. */
template <int MATRICES, bool TRANSPOSED> inline void note_reads(const LoadMatrix &own) {
#if defined(EMU_WATCHED)
    const int g = lane() / 4, t = lane() % 4;
    for (int i = 0; i < MATRICES; i++)
        for (int j = 0; j < 2; j++) {
            const int column = TRANSPOSED ? g : 2 * t + j;
            (void)((const volatile uint16_t *)own.rows[i][j])[column];
        }
#else
    (void)own;
#endif
}
template <int MATRICES, bool TRANSPOSED>
inline void ldmatrix(Compute *compute, uint32_t *r, const void *row, const char *file, int line) {
    check_aligned(row, 16, "ldmatrix", file, line);
    LoadMatrix own;
    own.r = r;
    own.row = row;
    meet(0xffffffffu, "ldmatrix", compute, &own, file, line);
    note_reads<MATRICES, TRANSPOSED>(own);
}

struct Multiply {
    float *d;
    const uint32_t *a, *b;
};
Compute multiply_f16, multiply_bf16, multiply_tf32;

} // namespace emu

inline void ldmatrix_x4(uint32_t r[4], const void *row, CALLER) {
    emu::ldmatrix<4, false>(emu::load_x4, r, row, file, line);
}
inline void ldmatrix_x4_trans(uint32_t r[4], const void *row, CALLER) {
    emu::ldmatrix<4, true>(emu::load_x4_trans, r, row, file, line);
}
inline void ldmatrix_x2(uint32_t r[2], const void *row, CALLER) {
    emu::ldmatrix<2, false>(emu::load_x2, r, row, file, line);
}
inline void ldmatrix_x2_trans(uint32_t r[2], const void *row, CALLER) {
    emu::ldmatrix<2, true>(emu::load_x2_trans, r, row, file, line);
}
inline void mma_f16(float d[4], const uint32_t a[4], const uint32_t b[2], CALLER) {
    emu::Multiply own = {d, a, b};
    emu::meet(0xffffffffu, "mma_f16", emu::multiply_f16, &own, file, line);
}
inline void mma_bf16(float d[4], const uint32_t a[4], const uint32_t b[2], CALLER) {
    emu::Multiply own = {d, a, b};
    emu::meet(0xffffffffu, "mma_bf16", emu::multiply_bf16, &own, file, line);
}
inline void mma_tf32(float d[4], const uint32_t a[4], const uint32_t b[2], CALLER) {
    emu::Multiply own = {d, a, b};
    emu::meet(0xffffffffu, "mma_tf32", emu::multiply_tf32, &own, file, line);
}

#undef CALLER

#endif
