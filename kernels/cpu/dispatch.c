/* dispatch.c - which instruction set serves: the best that this processor has, or TURTLE_ISA
 * (kernels/README.md, "Instruction sets"). */

#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu.h"

static bool always(void) {
    return true;
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Every processor with AVX2 has F16C too (clang's builtin does not know that name). */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static bool has_avx512(void) { /* what ISA_avx512 in the Makefile lets the compiler use */
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
}

#if HAVE_BF16 /* the compiler knows the instructions */
/* cpuid leaf 7, as Intel's manual numbers them */
enum { AVX512_BF16 = 1 << 5 /* subleaf 1, eax */, AMX_TILE_BF16 = 1 << 24 | 1 << 22 /* 0, edx */ };

static bool has_avx512vnni(void) {
    return has_avx512() && __builtin_cpu_supports("avx512vnni");
}

static bool has_avx512bf16(void) { /* no processor has it without VNNI */
    unsigned a = 0, b, c, d;
    return has_avx512vnni() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & AVX512_BF16);
}

/* The kernel gives a process the tiles' 8 KiB of state only when it asks (Linux 5.16 and newer). */
static bool has_amx(void) {
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    unsigned a, b, c, d = 0;
    return has_avx512bf16() && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & AMX_TILE_BF16) == AMX_TILE_BF16 &&
           syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
}
#endif
#endif

/* The sets, best first. */
static const struct {
    const char *name;
    bool (*usable)(void);
    CpuTable *table;
    Bf16Product *multiply_bf16;
    Int16Product *multiply_int16;
    const Bf16Few *few_bf16;
} sets[] = {
#if defined(__x86_64__)
#if HAVE_BF16
    {"amx", has_amx, cpu_table_avx512, bf16_product_amx, int16_product_avx512vnni, NULL},
    {"avx512bf16", has_avx512bf16, cpu_table_avx512, bf16_product_avx512bf16,
     int16_product_avx512vnni, &few_bf16_avx512bf16},
    {"avx512vnni", has_avx512vnni, cpu_table_avx512, bf16_product_avx512, int16_product_avx512vnni,
     NULL},
#endif
    {"avx512", has_avx512, cpu_table_avx512, bf16_product_avx512, NULL, NULL},
    {"avx2", has_avx2, cpu_table_avx2, bf16_product_avx2, NULL, NULL},
#endif
    {"portable", always, cpu_table_portable, bf16_product_portable, NULL, NULL},
    {"amx-emulated", always, cpu_table_portable, bf16_product_amx_emulated, int16_product_portable,
     NULL},
    {"reference", always, cpu_table_reference, NULL, NULL, NULL},
};
enum { SETS = sizeof sets / sizeof *sets };

void cpu_instruction_sets(const char *names[CPU_MAX_SETS + 1]) {
    int n = 0;
    for (int i = 0; i < SETS; i++)
        if (sets[i].usable()) names[n++] = sets[i].name;
    names[n] = NULL;
}

/* Returns the index of the set to use, or -1 where `forced` names none that is usable here. */
static int choose(const char *forced) {
    for (int i = 0; i < SETS; i++)
        if (sets[i].usable() && (!forced || strcmp(sets[i].name, forced) == 0)) return i;
    return -1;
}

bool cpu_uses_avx2(void) {
#if defined(__x86_64__)
    const char *forced = getenv("TURTLE_ISA");
    return has_avx2() &&
           !(forced && (strcmp(forced, "portable") == 0 || strcmp(forced, "reference") == 0));
#else
    return false;
#endif
}

Status cpu_open(Ops *out, int threads, Error *err) {
    enum { MOST_THREADS = 1024 };
    const char *forced = getenv("TURTLE_ISA");
    *out = (Ops){.kind = "cpu", .precision = "fp32", .busy_rows = 256};
    if (forced && !*forced) forced = NULL;
    const int set = choose(forced);
    if (set < 0) {
        const char *names[CPU_MAX_SETS + 1];
        char list[128] = "";
        cpu_instruction_sets(names);
        for (int i = 0; names[i]; i++) {
            const size_t used = strlen(list);
            snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
        }
        return fail(err, ERR_ARG, "cpu: TURTLE_ISA=%s: this processor and build have %s", forced,
                    list);
    }
    if (threads < 0) return fail(err, ERR_ARG, "cpu: %d threads", threads);
    if (threads == 0) threads = cpu_cores();
    if (threads > MOST_THREADS)
        return fail(err, ERR_ARG, "cpu: %d threads: expected at most %d", threads, MOST_THREADS);
    Threads *pool;
    const Status st = threads_open(&pool, threads, err);
    if (st != OK) return st;
    out->device = calloc(1, sizeof *out->device);
    if (!out->device) {
        threads_close(pool);
        return fail(err, ERR_MEMORY, "cpu: out of memory");
    }
    out->threads = threads;
    out->cores = cpu_cores();
    *out->device = (Device){.pool = pool,
                            .threads = threads,
                            .isa = sets[set].name,
                            .multiply_bf16 = sets[set].multiply_bf16,
                            .few_bf16 = sets[set].few_bf16,
                            .multiply_int16 = sets[set].multiply_int16};
    snprintf(out->name, sizeof out->name, "cpu (%s, %d thread%s)", sets[set].name, threads,
             threads == 1 ? "" : "s");
    cpu_device_ops(&out->mem);
    sets[set].table(&out->matrix, &out->train, &out->encode, &out->cluster);
    return OK;
}
