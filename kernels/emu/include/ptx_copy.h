/* ptx_copy.h - cp.async of kernels/cuda/tile/ptx.cuh, emulated: bytes are copied when they are waited
 * for, and until then the destination holds 0xff. */
#ifndef TURTLE_KERNELS_EMU_INCLUDE_PTX_COPY_H
#define TURTLE_KERNELS_EMU_INCLUDE_PTX_COPY_H

#include <cuda_runtime.h>

namespace emu {
void copy_begin(void *shared, const void *global, int bytes, int size, const char *file, int line);
void copy_commit();
void copy_wait(int youngest);
} // namespace emu

inline void cp_async_16(void *shared, const void *global, int bytes,
                        const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    emu::copy_begin(shared, global, bytes, 16, file, line);
}
inline void cp_async_4(void *shared, const void *global, int bytes,
                       const char *file = __builtin_FILE(), int line = __builtin_LINE()) {
    emu::copy_begin(shared, global, bytes, 4, file, line);
}
inline void cp_async_commit() {
    emu::copy_commit();
}
template <int YOUNGEST> void cp_async_wait() {
    emu::copy_wait(YOUNGEST);
}

#endif
