/* cuda.h - what the files of the CUDA backend share: device, queue, launch. */
#ifndef TURTLE_KERNELS_CUDA_BACKEND_CUDA_H
#define TURTLE_KERNELS_CUDA_BACKEND_CUDA_H

extern "C" {
#include "kernels/ops.h"
#include "kernels/pieces.h"
}
#include "kernels/cuda/backend/profile.h"
#include "kernels/cuda/tile/tile.cuh"

/* --- device and queue ------------------------------------------------------------------------- */

/* Features in host memory that the device reads. */
struct Remote {
    const char *data; /* as gather is given it; NULL: this entry is free */
    int64_t bytes;
    void *base;      /* of the pinned memory */
    bool registered; /* the host's own pages, pinned; else a copy */
};
constexpr int MAX_REMOTES = 4 * MAX_SPACES;

struct Device {
    int ordinal;          /* of the CUDA runtime */
    int sms;              /* streaming multiprocessors */
    int capability;       /* 90: 9.0 */
    int shared_per_block; /* most dynamic shared memory of a block, bytes */
    bool naive;           /* TURTLE_KERNELS=naive: the v1 kernels, for readers and as oracle */
    Profile *profile;     /* NULL: launches are not timed */
    bool replays;         /* iterations are recorded and replayed */
    bool resident;        /* features may be copied to the device */
    char kind[16];        /* "cuda:0" */
    MemoryUse used;
    Remote remotes[MAX_REMOTES];
    WaitRecord *wait; /* of builds whose waits give up (wait.h), else NULL */
};

/* A piece of a copy between host and device, on its way through pinned memory (queue.cu). */
struct Slot {
    cudaEvent_t passed; /* the device has come by */
    void *to;           /* of the host, or NULL: the slot's memory goes there when it is retired */
    int64_t bytes;
};
constexpr int SLOTS = 64;
constexpr int64_t SLOT_BYTES = 256 << 10;

struct Queue {
    Device *device;
    cudaStream_t stream;
    Status status; /* the first failure since the last wait */
    Error error;
    double flops, bytes; /* of the next launch, as cost() announced them */
    bool recording;      /* what is enqueued goes into a graph */
    Slot slots[SLOTS];   /* a ring: slot number n is slots[n % SLOTS] */
    char *pinned;        /* (SLOTS, SLOT_BYTES) or NULL: nothing was carried yet */
    int64_t taken, retired;
    Queue *side; /* of branch(), or NULL */
    cudaEvent_t forked, joined;
    const char *phase; /* NULL: none */
};

/* Of device.cu, queue.cu, table.cu and profile.cu. */
bool cuda_features_remote(Device *device, const Features *f); /* they lie in host memory */
void cuda_device_ops(DeviceOps *mem);
void cuda_queue_ops(DeviceOps *mem);
void cuda_table(MatrixOps *matrix, TrainOps *train, ClusterOps *cluster);
/* "cuda:0: <what>: <what CUDA says>", as a status. */
Status cuda_fail(Error *err, const Device *device, const char *what, cudaError_t error);

/* Marks the queue failed. */
Status cuda_queue_fail(Queue *queue, const char *operation); /* arguments: ERR_ARG */
Status cuda_queue_error(Queue *queue, const char *operation, cudaError_t error); /* ERR_DEVICE */
/* Waits for the launch just made and tells what it did: of builds that check every launch. */
Status cuda_queue_check(Queue *queue, const char *operation);
#if defined(CHECK_LAUNCHES)
constexpr bool CHECKED = true; /* nothing is replayed then */
#else
constexpr bool CHECKED = false;
#endif

/* What every operation begins with: nothing runs on a failed queue, and bad shapes fail it. */
#define REQUIRE(queue, condition, operation)                        \
    do {                                                            \
        if ((queue)->status != OK) return (queue)->status;          \
        if (!(condition)) return cuda_queue_fail(queue, operation); \
    } while (0)

/* Floating-point operations and bytes that must move once, of the next launch: the profile's
 * columns. */
static inline void cost(Queue *queue, double flops, double bytes) {
    queue->flops = flops;
    queue->bytes = bytes;
}

/* --- launch ----------------------------------------------------------------------------------- */

/* A grid of that many blocks; of none, which the launch refuses, where CUDA has no such grid. */
static inline dim3 grid_of(int64_t blocks) {
    return dim3(blocks <= INT32_MAX ? (unsigned)blocks : 0u);
}

/* Whether vectors of 16 bytes may be read there. */
static inline bool aligned_16(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

/* launch(queue, kernel, grid, threads, shared, args...) enqueues kernel(args...) with grid blocks of `threads` threads and `shared` bytes of dynamic
 * shared memory each. COOPERATIVE: blocks wait for each other, so all of them are resident at once
 * or the launch fails. */
enum { COOPERATIVE = 1 };
/* Blocks in clusters of `size`, side by side; with the other flags. */
static inline int clusters_of(int size) {
    return size << 8;
}
#define launch(queue, kernel, ...) launch_with(queue, 0, kernel, __VA_ARGS__)
#define launch_with(queue, flags, kernel, ...) \
    launch_kernel(queue, flags, NameOf<kernel>::name.text, kernel, __VA_ARGS__)

/* A kernel and its name, where one function chooses it and another one launches it. */
template <typename... Params> struct NamedKernel {
    const char *name;
    void (*kernel)(Params...);
};
template <typename... Params>
NamedKernel<Params...> named_kernel(const char *name, void (*kernel)(Params...)) {
    return {name, kernel};
}
#define named(kernel) named_kernel(NameOf<kernel>::name.text, kernel)

/* More than 48 KiB is there for the asking. */
template <typename... Params> cudaError_t allow_shared(void (*kernel)(Params...), int bytes) {
    if (bytes <= 48 << 10) return cudaSuccess;
    return cudaFuncSetAttribute(reinterpret_cast<const void *>(kernel),
                                cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
}

template <typename... Params, typename... Args>
Status launch_kernel(Queue *q, int flags, const char *name, void (*kernel)(Params...), dim3 grid,
                     int threads, int shared, Args... args) {
    if (q->status != OK) return q->status;
    cudaLaunchAttribute attributes[2] = {};
    unsigned n = 0;
    if (flags & COOPERATIVE) {
        attributes[n].id = cudaLaunchAttributeCooperative;
        attributes[n++].val.cooperative = 1;
    }
    if (flags >> 8) {
        attributes[n].id = cudaLaunchAttributeClusterDimension;
        attributes[n].val.clusterDim.x = (unsigned)(flags >> 8);
        attributes[n].val.clusterDim.y = attributes[n].val.clusterDim.z = 1;
        n++;
    }
    cudaLaunchConfig_t config = {};
    config.gridDim = grid;
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.stream = q->stream;
    config.attrs = attributes;
    config.numAttrs = n;
    cudaError_t error = allow_shared(kernel, shared);
    const int timed = profile_begin(q->device->profile, name, q->flops, q->bytes, q->stream);
#if defined(TURTLE_EMULATED)
    emu::name_launch(name);
#endif
    if (error == cudaSuccess) error = cudaLaunchKernelEx(&config, kernel, Params(args)...);
    profile_end(q->device->profile, timed, q->stream);
    q->flops = q->bytes = 0.0;
    if (error != cudaSuccess) return cuda_queue_error(q, name, error);
    return CHECKED ? cuda_queue_check(q, name) : OK;
}

/* Blocks of a kernel that the device holds at once: the most that a cooperative launch may have. 0
 * where it cannot run. */
template <typename... Params>
int resident_blocks(const Device *device, void (*kernel)(Params...), int threads, int shared) {
    int per_sm = 0;
    if (allow_shared(kernel, shared) != cudaSuccess ||
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel, threads, (size_t)shared) !=
            cudaSuccess)
        return 0;
    return per_sm * device->sms;
}

/* Clusters of `size` blocks that the device holds at once. */
template <typename... Params>
cudaError_t resident_clusters(int *clusters, void (*kernel)(Params...), int size, int threads,
                              int shared) {
    cudaLaunchAttribute attribute = {};
    attribute.id = cudaLaunchAttributeClusterDimension;
    attribute.val.clusterDim.x = (unsigned)size;
    attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
    cudaLaunchConfig_t config = {};
    config.gridDim = dim3((unsigned)size);
    config.blockDim = dim3((unsigned)threads);
    config.dynamicSmemBytes = (size_t)shared;
    config.attrs = &attribute;
    config.numAttrs = 1;
    *clusters = 0;
    const cudaError_t error = allow_shared(kernel, shared);
    return error == cudaSuccess ? cudaOccupancyMaxActiveClusters(clusters, kernel, &config) : error;
}

#endif
