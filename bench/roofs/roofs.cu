/* roofs.cu - the most that a GPU can do, in under a minute: the numbers that designs rest on.
 * usage: bench-roofs [REPEATS [SHRINK [FAMILY]]]
 *     SHRINK   divides sizes and counts, for where every thread is emulated; the rows then say
 *              nothing but that the kernels run
 *     FAMILY   memory, arithmetic, reduction or launch: its rows alone
 * Prints rows as bench/results holds them. Only one thing varies within a family of rows. */
#include <string.h>

#include "bench/roofs/roofs.h"

int main(int argc, char **argv) {
    Gpu gpu;
    Rates rates = {};
    const int repeats = argc > 1 ? (int)argument(argc, argv, 1, MAX_REPEATS) : 10;
    const int shrink = argc > 2 ? (int)argument(argc, argv, 2, 1 << 20) : 1;
    static const char *const names[] = {"memory", "arithmetic", "reduction", "launch"};
    bool known = argc < 4;
    for (const char *name : names) known |= argc == 4 && strcmp(argv[3], name) == 0;
    if (argc > 4 || !repeats || !shrink || !known) {
        fputs("usage: bench-roofs [REPEATS [SHRINK [memory|arithmetic|reduction|launch]]]\n", stderr);
        return 2;
    }
    if (!gpu_open(&gpu, repeats, shrink)) return 1;
    gpu.rates = &rates;
    fact("compute capability", gpu.major + 0.1 * gpu.minor, "capability");
    fact("multiprocessors", gpu.sms, "SMs");
    fact("L2 cache", 1e-6 * (double)gpu.l2_bytes, "MB");
    fact("shared memory of a block", gpu.shared_per_block / 1024.0, "KiB");
    void (*const families[])(const Gpu *) = {roofs_memory, roofs_arithmetic, roofs_reduction,
                                             roofs_launch};
    for (int f = 0; f < 4; f++) {
        if (argc == 4 && strcmp(argv[3], names[f]) != 0) continue;
        next_family();
        families[f](&gpu);
    }
    return !gpu_close(&gpu);
}
