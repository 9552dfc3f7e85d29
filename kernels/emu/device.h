/* device.h - the emulated device: its limits, its memory, what is enqueued. */
#ifndef TURTLE_EMU_DEVICE_H
#define TURTLE_EMU_DEVICE_H

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>

namespace emu {

/* --- settings (device.cpp, schedule.cpp) --------------------------------------------------------- */

struct Chip {
    const char *key, *name; /* EMU_DEVICE, what the runtime calls it */
    int sms, gpcs, major, minor; /* a cluster lies in one GPC */
    int shared_per_block, shared_per_sm; /* bytes */
    int threads_per_sm;
    size_t memory, l2; /* bytes */
};
const Chip &chip();                /* EMU_DEVICE, tiny where unset */
size_t device_capacity();          /* EMU_MEMORY, else what the chip has */
uint64_t seed();                   /* EMU_SEED, 1 where unset */
void random_begin();               /* a changed EMU_SEED begins a new sequence */
uint32_t random_below(uint32_t n); /* of the schedule */

cudaError_t failed(cudaError_t error); /* notes it for the thread's cudaGetLastError, returns it */

/* --- host threads and their devices (device.cpp) ---------------------------------------------------- */

/* One host thread at a time is inside the emulator: functions of the runtime begin with one of these. */
struct Entry {
    Entry();
    ~Entry();
    Entry(const Entry &) = delete;
    Entry &operator=(const Entry &) = delete;
};
constexpr int MAX_DEVICES = 8;
int device_count();   /* EMU_DEVICES, 1 where unset */
int current_device(); /* of the calling host thread: 0 until cudaSetDevice */

/* --- memory (memory.cpp) ------------------------------------------------------------------------ */

/* While one of these lives, device memory may be touched: while an operation runs. Else touching it,
 * as the host must not, is a crash. */
struct DeviceMemoryOpen {
    DeviceMemoryOpen();
    ~DeviceMemoryOpen();
    DeviceMemoryOpen(const DeviceMemoryOpen &) = delete;
    DeviceMemoryOpen &operator=(const DeviceMemoryOpen &) = delete;
};
/* Reports what was written beside an allocation; by whom. */
void check_red_zones(const char *who);
/* Whether a copy between host and device memory may be enqueued. */
bool copy_fits(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
bool set_fits(const void *to, size_t bytes);
/* Pinned or managed: a copy reads it when it runs; pageable memory is read at the call. */
bool read_late(const void *host);

/* --- streams (stream.cpp) ----------------------------------------------------------------------- */

/* Runs in the order of its stream, or goes into the graph that captures it. */
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
/* Everything that is enqueued, to its end. */
void finish_all();
/* What may not be called while a stream is captured: then the capture is spoilt. */
bool capture_forbids();

} // namespace emu

#endif
