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

/* Features in host memory that the device reads: an entry of Device.remotes. */
struct Remote {
    const char *data; /* address that gather is given; NULL: this entry is free */
    int64_t bytes;
    void *base;      /* start of the pinned memory */
    bool registered; /* true: the host's own pages, pinned; false: a copy */
};
constexpr int MAX_REMOTES = 4 * MAX_SPACES;

struct Device {
    int ordinal;          /* number of the device in the CUDA runtime */
    int sms;              /* streaming multiprocessors, at most TURTLE_SMS of them */
    int capability;       /* compute capability that the kernels' code serves; 90 is 9.0 with wgmma */
    int shared_per_block; /* most dynamic shared memory of a block, bytes */
    bool naive;           /* TURTLE_KERNELS=naive: the readable kernels run, as oracle */
    Profile *profile;     /* NULL: launches are not timed */
    bool replays;         /* true: iterations are recorded and replayed */
    bool resident;        /* true: features may be copied to the device */
    char kind[16];        /* "cuda:0" */
    MemoryUse used;
    Remote remotes[MAX_REMOTES];
    WaitRecord *wait; /* record of builds whose waits give up (wait.h), else NULL */
};

/* A piece of a copy between host and device, on its way through pinned memory (queue.cu). */
struct Slot {
    cudaEvent_t passed; /* happens when the device has come by */
    void *to;           /* host memory that receives the bytes when the slot is retired, or NULL */
    int64_t bytes;
};
constexpr int SLOTS = 64;
constexpr int64_t SLOT_BYTES = 256 << 10;

struct Queue {
    Device *device;
    cudaStream_t stream;
    Status status; /* the first failure since the last wait */
    Error error;
    double flops, bytes; /* cost of the next launch, as cost() announced it */
    bool recording;      /* true: what is enqueued goes into a graph */
    Slot slots[SLOTS];   /* a ring: slot number n is slots[n % SLOTS] */
    char *pinned;        /* (SLOTS, SLOT_BYTES) or NULL: nothing was carried yet */
    int64_t taken, retired;
    Queue *side; /* the queue that branch() returns, or NULL */
    cudaEvent_t forked, joined;
    const char *phase; /* name of the NVTX range that is open, or NULL */
};

/* Returns whether the features lie in host memory. */
bool cuda_features_remote(Device *device, const Features *f);
/* Fill their part of the table of operations. */
void cuda_device_ops(DeviceOps *mem);
void cuda_queue_ops(DeviceOps *mem);
void cuda_table(MatrixOps *matrix, TrainOps *train, EncodeOps *encode, ClusterOps *cluster);
/* Writes "cuda:0: <what>: <what CUDA says>" and returns its status. */
Status cuda_fail(Error *err, const Device *device, const char *what, cudaError_t error);

/* Both mark the queue failed and return its status: ERR_ARG for bad arguments, the status of a CUDA error. */
Status cuda_queue_fail(Queue *queue, const char *operation);
Status cuda_queue_error(Queue *queue, const char *operation, cudaError_t error);
/* Copies in the queue's order; `from` has been read when it returns (DeviceOps.to_device). */
Status cuda_to_device(Queue *queue, void *to, const void *from, int64_t bytes);
/* Waits for the launch just made and returns its status; builds that check every launch call it. */
Status cuda_queue_check(Queue *queue, const char *operation);
#if defined(CHECK_LAUNCHES)
constexpr bool CHECKED = true; /* such builds replay nothing */
#else
constexpr bool CHECKED = false;
#endif

/* Every operation begins with it: nothing runs on a failed queue, and bad shapes fail the queue. */
#define REQUIRE(queue, condition, operation)                        \
    do {                                                            \
        if ((queue)->status != OK) return (queue)->status;          \
        if (!(condition)) return cuda_queue_fail(queue, operation); \
    } while (0)

/* Announces the next launch's floating-point operations and the bytes that must move once, for the columns of
 * the profile. */
static inline void cost(Queue *queue, double flops, double bytes) {
    queue->flops = flops;
    queue->bytes = bytes;
}

/* --- launch ----------------------------------------------------------------------------------- */

/* Returns a grid of that many blocks. Where CUDA has no such grid it has none, which the launch refuses. */
static inline dim3 grid_of(int64_t blocks) {
    return dim3(blocks <= INT32_MAX ? (unsigned)blocks : 0u);
}

/* Returns whether vectors of 16 bytes may be read at p. */
static inline bool aligned_16(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

/* launch(queue, kernel, grid, threads, shared, args...) enqueues kernel(args...) with grid blocks of `threads`
 * threads and `shared` bytes of dynamic shared memory each. launch_with takes flags besides. COOPERATIVE: blocks
 * wait for each other, so all of them are resident at once or the launch fails. */
enum { COOPERATIVE = 1 };
/* Returns the flag for blocks in clusters of `size`, to be combined with the other flags. */
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

/* A kernel may have more than 48 KiB of dynamic shared memory if the host asks for it. */
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

/* Launches whose blocks wait for each other take no more of the device than is meant for them: TURTLE_SMS at
 * most, and of these the calling host thread's part (DeviceOps.enter). So trainings side by side always fit, and
 * none waits for blocks that another one keeps from starting.
 *
 * Returns how many of the device's `sms` SMs such a launch of this host thread may take: one at least. */
int cuda_sms_allowed(int sms);
/* Returns how many of the `clusters` clusters of `size` blocks such a launch may have; 0 where none fits. */
int cuda_clusters_allowed(int clusters, int size);

/* Returns the blocks of a kernel that a cooperative launch may have: those that the device holds at once, of the
 * SMs that the launch may take. Returns 0 if the kernel cannot run. */
template <typename... Params>
int resident_blocks(const Device *device, void (*kernel)(Params...), int threads, int shared) {
    int per_sm = 0;
    if (allow_shared(kernel, shared) != cudaSuccess ||
        cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, kernel, threads, (size_t)shared) !=
            cudaSuccess)
        return 0;
    return per_sm * cuda_sms_allowed(device->sms);
}

/* Counts the clusters of `size` blocks that the device holds at once and the launch may take. */
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
    cudaError_t error = allow_shared(kernel, shared);
    if (error == cudaSuccess) error = cudaOccupancyMaxActiveClusters(clusters, kernel, &config);
    *clusters = error == cudaSuccess ? cuda_clusters_allowed(*clusters, size) : 0;
    return error;
}

#endif
