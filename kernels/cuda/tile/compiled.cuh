/* compiled.cuh - the host asks for which architecture a kernel was compiled. The capability of the device does not
 * tell: where a build has no code of its own for the device, the driver compiles the PTX of an older architecture,
 * and what ptx_hopper.cuh has for that one are traps. */
#ifndef TURTLE_KERNELS_CUDA_TILE_COMPILED_CUH
#define TURTLE_KERNELS_CUDA_TILE_COMPILED_CUH

#include <cuda_runtime.h>

/* Both are 90 for 9.0, and 0 where the runtime does not say. */
struct Compiled {
    int source; /* architecture of the PTX: which code of `#if __CUDA_ARCH__` the kernel has */
    int binary; /* architecture of the machine code */
};

template <typename... Params> Compiled compiled_for(void (*kernel)(Params...)) {
    cudaFuncAttributes a;
    if (cudaFuncGetAttributes(&a, kernel) == cudaSuccess) return {a.ptxVersion, a.binaryVersion};
    cudaGetLastError(); /* the next launch would report it again */
    return {0, 0};
}

/* Returns whether the kernel has clusters, mbarriers and the TMA (HAS_CLUSTERS of ptx_hopper.cuh). */
inline bool has_clusters(const Compiled &c) {
    return c.source >= 90 && c.binary >= 90;
}
/* Returns whether the kernel has wgmma (HAS_WGMMA), which is 9.0's alone. ARCH names it sm_90a, never sm_90. */
inline bool has_wgmma(const Compiled &c) {
    return c.source == 90 && c.binary == 90;
}

#endif
