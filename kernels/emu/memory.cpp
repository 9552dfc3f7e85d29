/* memory.cpp - memory of the emulated device, and copies.
 *
 * Device memory is one mapping, inaccessible while the host runs. Allocations are filled with 0xff
 * (NaN) and stand between red zones, which are looked at behind every launch and copy. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <map>
#include <memory>
#include <string>

#include "kernels/emu/device.h"
#include "kernels/emu/thread.h"

extern "C" {
void __asan_poison_memory_region(const volatile void *memory, size_t bytes) __attribute__((weak));
void __asan_unpoison_memory_region(const volatile void *memory, size_t bytes) __attribute__((weak));
}

namespace emu {

constexpr size_t RED_ZONE = 256, PAGE = 4096;
constexpr unsigned char RED = 0xa5;

enum Kind { DEVICE, MANAGED, PINNED };
struct Allocation {
    size_t bytes;
    Kind kind;
    int device;
};
static std::map<char *, Allocation> allocations; /* the key is the caller's pointer */
static std::map<char *, size_t> registered;
static size_t device_bytes[MAX_DEVICES];

/* --- the mapping ------------------------------------------------------------------------------ */

static char *arena;
static size_t arena_bytes, top;       /* nothing is allocated behind `top` */
static size_t reach;                  /* the largest value that `top` ever had */
static std::map<size_t, size_t> gaps; /* free ranges below `top`: offset, bytes */
static int open_count;

static void protect(int how) {
    if (reach && mprotect(arena, (reach + PAGE - 1) / PAGE * PAGE, how) != 0) {
        perror("emulator: mprotect");
        abort();
    }
}
DeviceMemoryOpen::DeviceMemoryOpen() {
    if (open_count++ == 0) protect(PROT_READ | PROT_WRITE);
}
DeviceMemoryOpen::~DeviceMemoryOpen() {
    if (--open_count == 0) protect(PROT_NONE);
}

static size_t padded(size_t bytes) {
    return (bytes + 2 * RED_ZONE + 255) / 256 * 256;
}

/* Returns NULL where no memory is left. */
static char *arena_take(size_t bytes) {
    if (!arena) {
        const size_t want = (size_t)device_count() * (device_capacity() / 8 * 9 + (64 << 20));
        void *m = mmap(NULL, want, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (m == MAP_FAILED) return NULL;
        arena = (char *)m;
        arena_bytes = want;
        watch_crashes();
    }
    for (auto gap = gaps.begin(); gap != gaps.end(); ++gap) {
        if (gap->second < bytes) continue;
        const size_t at = gap->first, rest = gap->second - bytes;
        gaps.erase(gap);
        if (rest) gaps[at + bytes] = rest;
        return arena + at;
    }
    if (bytes > arena_bytes - top) return NULL;
    char *out = arena + top;
    top += bytes;
    if (top > reach) reach = top;
    if (open_count) protect(PROT_READ | PROT_WRITE);
    return out;
}

static void arena_give(char *block, size_t bytes) {
    size_t at = (size_t)(block - arena);
    auto next = gaps.lower_bound(at);
    if (next != gaps.end() && next->first == at + bytes) {
        bytes += next->second;
        next = gaps.erase(next);
    }
    if (next != gaps.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second == at) {
            at = before->first;
            bytes += before->second;
            gaps.erase(before);
        }
    }
    if (at + bytes == top) top = at;
    else gaps[at] = bytes;
}

/* --- allocations ------------------------------------------------------------------------------ */

static cudaError_t allocate(void **out, size_t bytes, Kind kind) {
    *out = NULL;
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    if (bytes == 0) return cudaSuccess;
    size_t &used = device_bytes[current_device()];
    if (kind != PINNED && bytes > device_capacity() - used)
        return failed(cudaErrorMemoryAllocation);
    const size_t all = padded(bytes);
    char *base = kind == DEVICE ? arena_take(all) : (char *)aligned_alloc(256, all);
    if (!base) return failed(cudaErrorMemoryAllocation);
    DeviceMemoryOpen open;
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(base, all);
    memset(base, RED, all);
    memset(base + RED_ZONE, 0xff, bytes);
    if (__asan_poison_memory_region) {
        __asan_poison_memory_region(base, RED_ZONE);
        __asan_poison_memory_region(base + RED_ZONE + bytes, all - RED_ZONE - bytes);
    }
    allocations[base + RED_ZONE] = {bytes, kind, current_device()};
    if (kind != PINNED) used += bytes;
    *out = base + RED_ZONE;
    return cudaSuccess;
}

static const char *kind_name(Kind kind) {
    return kind == PINNED ? "pinned" : kind == MANAGED ? "managed" : "device";
}

static void check_red_zone(const char *memory, const Allocation &a, const char *who) {
    if (__asan_poison_memory_region) return; /* AddressSanitizer would have reported it at once */
    long wrong = 0;
    bool found = false;
    for (size_t i = 0; i < RED_ZONE && !found; i++) {
        found = (unsigned char)memory[a.bytes + i] != RED;
        wrong = (long)(a.bytes + i);
    }
    for (long i = 1; i <= (long)RED_ZONE && !found; i++) {
        found = (unsigned char)memory[-i] != RED;
        wrong = -i;
    }
    if (!found) return;
    fprintf(stderr, "emulator: %s wrote outside the %zu bytes of %s memory at %p: byte %ld\n", who,
            a.bytes, kind_name(a.kind), (const void *)memory, wrong);
    abort();
}
void check_red_zones(const char *who) {
    DeviceMemoryOpen open;
    for (const auto &a : allocations) check_red_zone(a.first, a.second, who);
}

static cudaError_t release_memory(void *memory, bool pinned) {
    if (!memory) return cudaSuccess;
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    finish_all(); /* enqueued work may use the memory */
    const auto found = allocations.find((char *)memory);
    if (found == allocations.end() || (found->second.kind == PINNED) != pinned)
        return failed(cudaErrorInvalidValue);
    const Allocation a = found->second;
    char *base = (char *)memory - RED_ZONE;
    const size_t all = padded(a.bytes);
    DeviceMemoryOpen open;
    check_red_zone(found->first, a, "somebody");
    allocations.erase(found);
    if (a.kind != PINNED) device_bytes[a.device] -= a.bytes;
    if (__asan_unpoison_memory_region) __asan_unpoison_memory_region(base, all);
    memset(base, 0xff, all); /* a late reader finds NaN */
    if (a.kind != DEVICE) {
        free(base);
    } else {
        if (__asan_poison_memory_region) __asan_poison_memory_region(base, all);
        arena_give(base, all);
    }
    return cudaSuccess;
}

/* Returns the allocation that holds the byte, or end(). */
static std::map<char *, Allocation>::const_iterator find(const void *memory) {
    auto after = allocations.upper_bound((char *)memory);
    if (after == allocations.begin()) return allocations.end();
    --after;
    return (char *)memory < after->first + after->second.bytes ? after : allocations.end();
}
static bool is_registered(const void *memory) {
    auto after = registered.upper_bound((char *)memory);
    if (after == registered.begin()) return false;
    --after;
    return (char *)memory < after->first + after->second;
}
static bool in_arena(const void *memory) {
    return arena && (char *)memory >= arena && (char *)memory < arena + arena_bytes;
}

/* --- what may be copied ----------------------------------------------------------------------- */

/* on_device and on_host return whether the device, or the host, reaches the whole range. */
static bool on_device(const void *memory, size_t bytes) {
    const auto a = find(memory);
    if (a == allocations.end()) return is_registered(memory);
    return bytes <= a->second.bytes - (size_t)((char *)memory - a->first);
}
static bool on_host(const void *memory, size_t bytes) {
    if (in_arena(memory)) return false;
    const auto a = find(memory);
    return a == allocations.end() || bytes <= a->second.bytes - (size_t)((char *)memory - a->first);
}

bool set_fits(const void *to, size_t bytes) {
    return on_device(to, bytes);
}
bool copy_fits(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    if (kind == cudaMemcpyDefault)
        return (on_device(to, bytes) || on_host(to, bytes)) &&
               (on_device(from, bytes) || on_host(from, bytes));
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    return (to_device ? on_device : on_host)(to, bytes) &&
           (from_device ? on_device : on_host)(from, bytes);
}
bool read_late(const void *host) {
    return find(host) != allocations.end() || is_registered(host);
}

const char *describe_address(const void *address) {
    static char text[160];
    if (!in_arena(address)) return NULL;
    const auto a = find(address);
    const bool host = !run.launch;
    if (a != allocations.end())
        snprintf(text, sizeof text, "%s touched device memory: byte %zu of the %zu at %p",
                 host ? "the host" : "somebody", (size_t)((char *)address - a->first),
                 a->second.bytes, (void *)a->first);
    else
        snprintf(text, sizeof text, "access to %p in device memory, where nothing is allocated",
                 address);
    return text;
}

} // namespace emu

using namespace emu;

/* --- the runtime's functions ------------------------------------------------------------------ */

cudaError_t cudaMalloc(void **out, size_t bytes) {
    const Entry entry;
    return allocate(out, bytes, DEVICE);
}
cudaError_t cudaMallocManaged(void **out, size_t bytes, unsigned) {
    const Entry entry;
    if (bytes == 0) return failed(cudaErrorInvalidValue);
    return allocate(out, bytes, MANAGED);
}
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
    const Entry entry;
    return allocate(out, bytes, PINNED);
}
cudaError_t cudaMallocHost(void **out, size_t bytes, unsigned) {
    const Entry entry;
    return allocate(out, bytes, PINNED);
}
cudaError_t cudaFree(void *memory) {
    const Entry entry;
    return release_memory(memory, false);
}
cudaError_t cudaFreeHost(void *memory) {
    const Entry entry;
    return release_memory(memory, true);
}
cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned) {
    const Entry entry;
    if (!memory || !bytes) return failed(cudaErrorInvalidValue);
    if (is_registered(memory)) return failed(cudaErrorHostMemoryAlreadyRegistered);
    registered[(char *)memory] = bytes;
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void *memory) {
    const Entry entry;
    finish_all();
    return registered.erase((char *)memory) ? cudaSuccess
                                            : failed(cudaErrorHostMemoryNotRegistered);
}
cudaError_t cudaHostGetDevicePointer(void **device, void *memory, unsigned) {
    const Entry entry;
    const auto a = find(memory);
    *device = NULL;
    if (!is_registered(memory) && (a == allocations.end() || a->second.kind == DEVICE))
        return failed(cudaErrorInvalidValue);
    *device = memory;
    return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    const Entry entry;
    *total = device_capacity();
    const size_t used = device_bytes[current_device()];
    *free_bytes = *total > used ? *total - used : 0;
    return cudaSuccess;
}
cudaError_t cudaPointerGetAttributes(cudaPointerAttributes *out, const void *memory) {
    const Entry entry;
    const auto a = find(memory);
    *out = cudaPointerAttributes();
    out->type = cudaMemoryTypeUnregistered;
    if (is_registered(memory)) out->type = cudaMemoryTypeHost;
    if (a != allocations.end())
        out->type = a->second.kind == DEVICE    ? cudaMemoryTypeDevice
                    : a->second.kind == MANAGED ? cudaMemoryTypeManaged
                                                : cudaMemoryTypeHost;
    if (out->type != cudaMemoryTypeUnregistered) out->devicePointer = (void *)memory;
    if (out->type != cudaMemoryTypeDevice) out->hostPointer = (void *)memory;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    if (!to || !from || kind < cudaMemcpyHostToHost || kind > cudaMemcpyDefault ||
        !copy_fits(to, from, bytes, kind))
        return failed(cudaErrorInvalidValue);
    cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream, &capture);
    if (!read_late(from) && capture == cudaStreamCaptureStatusNone) {
        const auto staged = std::make_shared<std::string>((const char *)from, bytes);
        return enqueue(stream, [to, staged]() {
            Watched watched;
            memcpy(to, staged->data(), staged->size());
        });
    }
    return enqueue(stream, [to, from, bytes]() {
        Watched watched;
        memmove(to, from, bytes);
    });
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    const Entry entry;
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    const Entry entry;
    if (bytes == 0) return cudaSuccess;
    if (!to || !set_fits(to, bytes)) return failed(cudaErrorInvalidValue);
    return enqueue(stream, [to, byte, bytes]() {
        Watched watched;
        memset(to, byte, bytes);
    });
}
cudaError_t cudaMemset(void *to, int byte, size_t bytes) {
    const Entry entry;
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    const cudaError_t error = cudaMemsetAsync(to, byte, bytes, NULL);
    return error == cudaSuccess ? cudaStreamSynchronize(NULL) : error;
}
