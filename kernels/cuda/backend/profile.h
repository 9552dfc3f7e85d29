/* profile.h - a table of kernels from CUDA events: calls, time, bytes, flops. Works where a
 * profiler's counters are forbidden. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_PROFILE_H
#define TURTLE_KERNELS_CUDA_BACKEND_PROFILE_H

#include <cuda_runtime.h>

typedef struct Profile Profile;

Profile *profile_open(void); /* NULL: out of memory */
void profile_close(Profile *profile);
/* DeviceOps.profile_rows (kernels/ops.h). */
int profile_rows(Profile *profile, ProfileRow *rows, int capacity);

/* What a profile and a failed launch call a kernel: its name with the values of its template arguments, as
 * inner_wgmma<fp16, 128>. */
struct KernelName {
    char text[sizeof(ProfileRow::kernel)];
    explicit KernelName(
        const char *function); /* how the compiler spells NameOf<kernel>::function() */
};
/* The compiler knows the values; it tells them by the name of a function of the same arguments. Made before
 * main, so that threads only read it. */
template <auto KERNEL> struct NameOf {
    static const char *function() {
        return __PRETTY_FUNCTION__;
    }
    inline static const KernelName name{function()};
};

/* Around one launch; begin returns a ticket for end. Nothing happens where profile is NULL. */
int profile_begin(Profile *profile, const char *kernel, double flops, double bytes,
                  cudaStream_t stream);
void profile_end(Profile *profile, int ticket, cudaStream_t stream);

#endif
