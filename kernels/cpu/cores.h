/* cores.h - how many cores this process may use. */
#ifndef TURTLE_KERNELS_CPU_CORES_H
#define TURTLE_KERNELS_CPU_CORES_H

#include "kernels/ops.h" /* cpu_cores */

/* Returns the quota of the control groups named in `membership` (/proc/self/cgroup), whose folders lie
 * below `mount` (/sys/fs/cgroup), in whole cores, rounded up; 0 where there is none. */
int cores_of_quota(const char *membership, const char *mount);

#endif
