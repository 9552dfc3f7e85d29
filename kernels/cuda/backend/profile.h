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

/* Around one launch; begin returns a ticket for end. Nothing happens where profile is NULL. */
int profile_begin(Profile *profile, const char *kernel, double flops, double bytes,
                  cudaStream_t stream);
void profile_end(Profile *profile, int ticket, cudaStream_t stream);

#endif
