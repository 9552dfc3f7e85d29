/* cores.c - how many cores this process may use: its affinity mask, and what its control group grants.
 *
 * A group's quota is processor time in a period, "150000 100000" for one and a half cores. It is rounded
 * up: threads beyond it would only be stopped together, all of them, once a period. Version 2 has one
 * file, cpu.max, in each folder from the group up to the root, and the least of them holds; version 1
 * has cpu.cfs_quota_us and cpu.cfs_period_us. In a container the group's own path may not be there; the
 * root then stands for it. */
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cpu/cores.h"

enum { PATH_BYTES = 4096 };

/* Reads the first line of root/group/name, without its newline. Returns false where there is none. */
static bool read_line(char *line, int bytes, const char *root, const char *group,
                      const char *name) {
    char path[PATH_BYTES];
    if (snprintf(path, sizeof path, "%s%s/%s", root, group, name) >= (int)sizeof path) return false;
    FILE *file = fopen(path, "r");
    const bool read = file && fgets(line, bytes, file);
    if (file) fclose(file);
    if (read) line[strcspn(line, "\n")] = '\0';
    return read;
}

static int cores_of(double quota, double period) {
    if (!(quota > 0.0) || !(period > 0.0) || quota / period >= 1 << 20) return 0;
    const int whole = (int)(quota / period);
    return whole + (quota / period > whole);
}

/* Returns the quota of one folder in cores, or 0 where it sets none. */
static int folder_quota(const char *root, const char *group) {
    char line[128], period[128];
    if (read_line(line, sizeof line, root, group, "cpu.max")) {
        char *end;
        const double quota = strtod(line, &end); /* "max": 0 */
        return cores_of(quota, strtod(end, NULL));
    }
    if (read_line(line, sizeof line, root, group, "cpu.cfs_quota_us") &&
        read_line(period, sizeof period, root, group, "cpu.cfs_period_us"))
        return cores_of(strtod(line, NULL), strtod(period, NULL)); /* -1: none */
    return 0;
}

/* Returns the least quota of the folders from the group up to the root. */
static int least_quota(const char *root, char *group) {
    int least = 0;
    for (;;) {
        const int quota = folder_quota(root, group);
        if (quota && (!least || quota < least)) least = quota;
        char *slash = strrchr(group, '/');
        if (!slash) return least;
        *slash = '\0';
    }
}

int cores_of_quota(const char *membership, const char *mount) {
    FILE *file = fopen(membership, "r");
    char line[PATH_BYTES], root[PATH_BYTES];
    int least = 0;
    while (file && fgets(line, sizeof line, file)) { /* number:controllers:/path */
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':'),
             *group = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!group) continue;
        *group++ = '\0';
        controllers++;
        if (!*controllers) snprintf(root, sizeof root, "%s", mount);
        else if (strcmp(controllers, "cpu") == 0 || strncmp(controllers, "cpu,", 4) == 0 ||
                 strstr(controllers, ",cpu,") ||
                 (strlen(controllers) > 4 &&
                  strcmp(controllers + strlen(controllers) - 4, ",cpu") == 0))
            snprintf(root, sizeof root, "%s/cpu", mount);
        else continue;
        if (strcmp(group, "/") == 0) *group = '\0';
        const int quota = least_quota(root, group);
        if (quota && (!least || quota < least)) least = quota;
    }
    if (file) fclose(file);
    return least;
}

/* Returns the cores of the affinity mask, or 0 where the system does not tell. A machine may have more
 * than the 1024 of a cpu_set_t, so the mask grows until the system takes it. */
static int cores_of_mask(void) {
    int cores = 0;
#if defined(__linux__)
    for (int most = 1024; !cores && most <= 1 << 20; most *= 4) {
        cpu_set_t *set = CPU_ALLOC((size_t)most);
        const size_t bytes = CPU_ALLOC_SIZE((size_t)most);
        if (!set) break;
        if (sched_getaffinity(0, bytes, set) == 0) cores = CPU_COUNT_S(bytes, set);
        CPU_FREE(set);
    }
#endif
    return cores;
}

int cpu_cores(void) {
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    const int mask = cores_of_mask(),
              all = mask         ? mask
                    : online > 0 ? (int)online
                                 : 1,
              quota = cores_of_quota("/proc/self/cgroup", "/sys/fs/cgroup");
    return quota && quota < all ? quota : all;
}
