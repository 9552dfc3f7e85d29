/* profile.cu - a table of kernels from CUDA events.
 *
 * Two events stand around every launch. The time between them is the launch's, with a microsecond or two of
 * the events themselves. When PENDING launches are under way all their events are read at once: that waits, so
 * a profiled run is slower and its kernels are not. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend/cuda.h"

enum { PENDING = 2048, KERNELS = 128 };

struct Launch {
    cudaEvent_t begin, end;
    int kernel; /* index into kernels */
};

struct Kernel {
    const char *name; /* static storage; compared as text */
    float *ms;        /* (calls) time of each call */
    int64_t calls, room;
    double bytes, flops;
};

struct Profile {
    Launch launches[PENDING]; /* whose events are made once and used again */
    int made, pending;
    Kernel kernels[KERNELS];
    int count;
};

/* --- names ------------------------------------------------------------------------------------ */

/* Copies the argument out of
 *
 *     static const char* NameOf<KERNEL>::function() [with auto KERNEL = inner_slab<Fp16, 16>]        gcc
 *     static const char *NameOf<&inner_slab<Fp16, 16>>::function() [KERNEL = &inner_slab<Fp16, 16>]  clang
 *
 * with the types of operands as --precision names them. */
KernelName::KernelName(const char *function) : text{} {
    static const char *const types[][2] = {
        {"Fp32", "fp32"}, {"Tf32", "tf32"}, {"Fp16", "fp16"}, {"Bf16", "bf16"}};
    const char *from = strstr(function, "KERNEL = ");
    from = from ? from + strlen("KERNEL = ") : function;
    from += strspn(from, "(& ");
    size_t length = strcspn(from, "];");
    while (length > 0 && from[length - 1] == ')') length--;
    if (length >= sizeof text) length = sizeof text - 1;
    memcpy(text, from, length);
    for (const auto &type : types)
        for (char *at = text; (at = strstr(at, type[0])) != NULL; at++)
            if (!isalnum(at[4]) && (at == text || !isalnum(at[-1]))) memcpy(at, type[1], 4);
    for (char *at = text; (at = strstr(at, "> >")) != NULL;) /* gcc writes them apart, nvcc does not */
        memmove(at + 1, at + 2, strlen(at + 2) + 1);
}

/* --- times ------------------------------------------------------------------------------------ */

Profile *profile_open(void) {
    return (Profile *)calloc(1, sizeof(Profile));
}

void profile_close(Profile *p) {
    if (!p) return;
    for (int i = 0; i < p->made; i++) {
        cudaEventDestroy(p->launches[i].begin);
        cudaEventDestroy(p->launches[i].end);
    }
    for (int i = 0; i < p->count; i++) free(p->kernels[i].ms);
    free(p);
}

static void add_call(Kernel *k, float ms) {
    if (k->calls == k->room) {
        const int64_t room = k->room ? 2 * k->room : 64;
        float *more = (float *)realloc(k->ms, (size_t)room * sizeof *more);
        if (!more) return; /* this call is missing in the table */
        k->ms = more;
        k->room = room;
    }
    k->ms[k->calls++] = ms;
}

/* Reads the events of all pending launches. */
static void collect(Profile *p) {
    for (int i = 0; i < p->pending; i++) {
        const Launch *l = &p->launches[i];
        float ms = 0.0f;
        if (cudaEventSynchronize(l->end) == cudaSuccess &&
            cudaEventElapsedTime(&ms, l->begin, l->end) == cudaSuccess)
            add_call(&p->kernels[l->kernel], ms);
    }
    p->pending = 0;
}

/* Returns the index of the kernel, or -1 if the table is full. */
static int find_kernel(Profile *p, const char *name) {
    for (int i = 0; i < p->count; i++)
        if (strcmp(p->kernels[i].name, name) == 0) return i;
    if (p->count == KERNELS) return -1;
    p->kernels[p->count].name = name;
    return p->count++;
}

int profile_begin(Profile *p, const char *name, double flops, double bytes, cudaStream_t stream) {
    if (!p) return -1;
    if (p->pending == PENDING) collect(p);
    Launch *l = &p->launches[p->pending];
    l->kernel = find_kernel(p, name);
    if (l->kernel < 0) return -1;
    if (p->pending == p->made) {
        if (cudaEventCreate(&l->begin) != cudaSuccess) return -1;
        if (cudaEventCreate(&l->end) != cudaSuccess) {
            cudaEventDestroy(l->begin);
            return -1;
        }
        p->made++;
    }
    p->kernels[l->kernel].flops += flops;
    p->kernels[l->kernel].bytes += bytes;
    cudaEventRecord(l->begin, stream);
    return p->pending++;
}

void profile_end(Profile *p, int ticket, cudaStream_t stream) {
    if (ticket >= 0) cudaEventRecord(p->launches[ticket].end, stream);
}

static int compare_ms(const void *a, const void *b) {
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static int compare_rows(const void *a, const void *b) {
    const double x = ((const ProfileRow *)a)->total_ms, y = ((const ProfileRow *)b)->total_ms;
    return (x < y) - (x > y);
}

int profile_rows(Profile *p, ProfileRow *rows, int capacity) {
    if (!p) return 0;
    collect(p);
    ProfileRow all[KERNELS];
    for (int i = 0; i < p->count; i++) {
        const Kernel *k = &p->kernels[i];
        ProfileRow row = {};
        snprintf(row.kernel, sizeof row.kernel, "%s", k->name);
        row.calls = k->calls;
        row.bytes = k->bytes;
        row.flops = k->flops;
        for (int64_t c = 0; c < k->calls; c++) row.total_ms += k->ms[c];
        qsort(k->ms, (size_t)k->calls, sizeof *k->ms, compare_ms);
        if (k->calls) row.median_us = 1e3 * k->ms[k->calls / 2];
        all[i] = row;
    }
    qsort(all, (size_t)p->count, sizeof *all, compare_rows);
    for (int i = 0; i < capacity && i < p->count; i++) rows[i] = all[i];
    return p->count;
}
