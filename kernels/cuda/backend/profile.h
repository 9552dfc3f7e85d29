/* profile.h - a table of kernels from CUDA events: calls, time, bytes, flops. It works where a profiler's
 * counters are forbidden. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_PROFILE_H
#define TURTLE_KERNELS_CUDA_BACKEND_PROFILE_H

#include <cuda_runtime.h>

typedef struct Profile Profile;

/* Returns NULL if there is no memory. */
Profile *profile_open(void);
void profile_close(Profile *profile);
/* DeviceOps.profile_rows (kernels/ops.h). */
int profile_rows(Profile *profile, ProfileRow *rows, int capacity);

/* The name of a kernel in profiles and messages: it has the values of the template arguments, as in
 * inner_wgmma<fp16, 128>. */
struct KernelName {
    char text[sizeof(ProfileRow::kernel)];
    explicit KernelName(const char *function); /* the spelling of NameOf<kernel>::function() */
};
/* The compiler spells the values in the name of a function that has the kernel as its template argument. Names
 * are made before main, so that threads only read them. */
template <auto KERNEL> struct NameOf {
    static const char *function() {
        return __PRETTY_FUNCTION__;
    }
    inline static const KernelName name{function()};
};

/* Stand before and behind one launch; begin returns a ticket for end. They do nothing if profile is NULL. */
int profile_begin(Profile *profile, const char *kernel, double flops, double bytes,
                  cudaStream_t stream);
void profile_end(Profile *profile, int ticket, cudaStream_t stream);

#endif
