/* device.h - the emulated device: its limits, its memory, the work that is enqueued. */
#ifndef TURTLE_EMU_DEVICE_H
#define TURTLE_EMU_DEVICE_H

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include <functional>

namespace emu {

/* --- settings (device.cpp, schedule.cpp) --------------------------------------------------------- */

struct Chip {
    const char *key, *name;              /* the value of EMU_DEVICE; the runtime's name */
    int sms, gpcs, major, minor;         /* a cluster lies in one GPC */
    int shared_per_block, shared_per_sm; /* bytes */
    int threads_per_sm;
    size_t memory, l2; /* bytes */
};
const Chip &chip();       /* Returns the chip that EMU_DEVICE names, tiny where it is unset. */
constexpr int MAX_GPCS = 16;
/* Finds the SMs of every GPC: those of EMU_GPCS, else of the chip. Returns how many GPCs there are. */
int gpcs(int sms[MAX_GPCS]);
int device_sms(); /* Returns the SMs of all GPCs. */
/* Returns the architecture that kernels are compiled for: EMU_CODE, else the chip's capability; 90 is 9.0. */
int code_built();
size_t device_capacity(); /* Returns EMU_MEMORY, else the chip's memory, in bytes. */
uint64_t seed();          /* Returns EMU_SEED, 1 where it is unset. */
void random_begin();      /* Begins a new sequence if EMU_SEED has changed. */
uint32_t random_below(uint32_t n); /* Returns a number below n from the schedule's sequence. */

cudaError_t
failed(cudaError_t error); /* Keeps the error for the thread's cudaGetLastError, and returns it. */

/* --- host threads and their devices (device.cpp) ---------------------------------------------------- */

/* One host thread at a time is inside the emulator: functions of the runtime begin with one of these. */
struct Entry {
    Entry();
    ~Entry();
    Entry(const Entry &) = delete;
    Entry &operator=(const Entry &) = delete;
};
constexpr int MAX_DEVICES = 8;
int device_count();   /* Returns EMU_DEVICES, 1 where it is unset. */
int current_device(); /* Returns the calling host thread's device: 0 until cudaSetDevice. */

/* --- memory (memory.cpp) ------------------------------------------------------------------------ */

/* While an object of this type lives, during an operation, device memory may be touched. At any other time
 * touching it, as the host must not, is a crash. */
struct DeviceMemoryOpen {
    DeviceMemoryOpen();
    ~DeviceMemoryOpen();
    DeviceMemoryOpen(const DeviceMemoryOpen &) = delete;
    DeviceMemoryOpen &operator=(const DeviceMemoryOpen &) = delete;
};
/* Reports writes beside an allocation, as made by `who`. */
void check_red_zones(const char *who);
/* Returns whether a copy between host and device memory may be enqueued. */
bool copy_fits(const void *to, const void *from, size_t bytes, cudaMemcpyKind kind);
bool set_fits(const void *to, size_t bytes);
/* Returns whether a copy reads the memory when it runs: pinned or managed memory. Pageable memory is read at
 * the call. */
bool read_late(const void *host);

/* --- streams (stream.cpp) ----------------------------------------------------------------------- */

/* Enqueues work, which runs in the order of its stream or goes into the graph that captures the stream. */
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);
/* Runs everything that is enqueued, to its end. */
void finish_all();
/* Functions that may not be called while a stream is captured call it: it spoils the capture and returns
 * true if there is one. */
bool capture_forbids();

} // namespace emu

#endif
