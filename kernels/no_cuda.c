/* no_cuda.c - stands for kernels/cuda in a build without CUDA kernels. */
#include "kernels/ops.h"

static const char reason[] = "this build has no CUDA kernels";

Status cuda_open(Ops *out, int ordinal, Error *err) {
    (void)ordinal;
    *out = (Ops){0};
    return fail(err, ERR_DEVICE, "%s", reason);
}

int cuda_devices(CudaDevice devices[CUDA_MAX_DEVICES], char versions[128], Error *err) {
    (void)devices;
    versions[0] = '\0';
    error_write(err, "%s", reason);
    return 0;
}
