/* ptx_copy.h - cp.async of kernels/cuda/ptx.cuh, emulated: bytes are copied when they are waited
 * for, and until then the destination holds 0xff. */
#ifndef TURTLE_EMU_PTX_COPY_H
#define TURTLE_EMU_PTX_COPY_H

#include <cuda_runtime.h>

inline void cp_async_16(void *shared, const void *global, int bytes) {
    emu::copy_begin(shared, global, bytes, 16);
}
inline void cp_async_4(void *shared, const void *global, int bytes) {
    emu::copy_begin(shared, global, bytes, 4);
}
inline void cp_async_commit() {
    emu::copy_commit();
}
template <int YOUNGEST> void cp_async_wait() {
    emu::copy_wait(YOUNGEST);
}

#endif
