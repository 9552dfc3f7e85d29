/* ptx_wgmma.h - wgmma of kernels/cuda/tile/ptx_hopper.cuh, emulated: the 128 threads of a warp group meet; the
 * product is made then or when somebody waits for it, and until then d is NaN (wgmma.cpp). */
#ifndef TURTLE_KERNELS_EMU_INCLUDE_PTX_WGMMA_H
#define TURTLE_KERNELS_EMU_INCLUDE_PTX_WGMMA_H

#include "kernels/emu/include/ptx_hopper.h"

#include "kernels/cuda/tile/wgmma_descriptor.cuh"

#define CALLER const char *file = __builtin_FILE(), int line = __builtin_LINE()

namespace emu {
struct Product {
    uint64_t a, b; /* descriptors */
    int columns;
    bool bf16, a_mn_major, b_mn_major;
};
void wgmma(float *d, const Product &product, const char *file, int line);
void wgmma_fence();
void wgmma_commit();
void wgmma_wait(int youngest, const char *file, int line);
} // namespace emu

inline void wgmma_fence() {
    emu::wgmma_fence();
}
inline void wgmma_commit() {
    emu::wgmma_commit();
}
template <int YOUNGEST> inline void wgmma_wait(CALLER) {
    emu::wgmma_wait(YOUNGEST, file, line);
}
template <int YOUNGEST, int FLOATS> inline void wgmma_wait(float (&)[FLOATS], CALLER) {
    emu::wgmma_wait(YOUNGEST, file, line);
}
template <WgmmaType TYPE, int N, Major A, Major B>
inline void wgmma(float (&d)[N / 2], uint64_t a, uint64_t b, CALLER) {
    static_assert(N == 64 || N == 128 || N == 256, "what ptx_hopper.cuh spells out");
    emu::wgmma(d, {a, b, N, TYPE == WGMMA_BF16, A == MN_MAJOR, B == MN_MAJOR}, file, line);
}

#undef CALLER

#endif
