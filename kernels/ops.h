/* ops.h - the contract between the algorithms and the processors that run them.
 *
 * A device has memory (buffers) and queues. Operations are enqueued with plain pointers into device
 * memory, run in the order of their queue and may finish later: only wait() and the copies to the
 * host tell. An operation that cannot serve its arguments enqueues nothing, returns its status, and
 * marks the queue failed: later ones return the same status at once and wait() reports it, so the
 * host enqueues a whole iteration and asks once. Operations never allocate, print or wait; scratch
 * memory is the caller's.
 *
 * Replay. The host describes an iteration as a function that enqueues it; replay() may call it
 * once, record it (a CUDA graph) and afterwards enqueue the record. So that the record stays true,
 * all that changes between iterations - row indices, step counts, the iteration number - lies in
 * device memory, and pointers and shapes stay the same.
 *
 * Shapes are row-major with the last index fastest, sizes are 64-bit. Results do not depend on the
 * number of threads, on the schedule or on how often they are computed: same bits.
 */
#ifndef TURTLE_KERNELS_OPS_H
#define TURTLE_KERNELS_OPS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/status.h"
#include "kernels/cluster.h"
#include "kernels/encode.h"
#include "kernels/matrix.h"
#include "kernels/train.h"

typedef struct Graph Graph; /* a recorded iteration */

/* Memory of one device. */
typedef struct {
    void *data; /* a device pointer: the host may pass it on, not read it */
    int64_t bytes;
} Buffer;

/* The use of a device's own memory. All are 0 on a device that uses the host's memory. */
typedef struct {
    int64_t total, free;      /* bytes of the device, bytes of these that nobody uses */
    int64_t arrays;           /* bytes of buffers */
    int64_t resident, remote; /* bytes of features on the device, and in pinned host memory */
} MemoryUse;

/* Writes "1.13 GB" or "38.4 KB", in decimal units, as GPUs are sold. Returns `text`. */
const char *bytes_text(char text[24], int64_t bytes);

/* One line of a profile: a kernel and all its launches. */
typedef struct {
    char kernel[96];
    int64_t calls;
    double total_ms, median_us;
    double bytes, flops; /* bytes that all its calls must move, flops that they compute */
} ProfileRow;

/* The functions of a device and its queues beside arithmetic. */
typedef struct {
    void (*close)(Device *device); /* ops_close calls it */
    /* Called first by a thread that did not open the device and has queues of its own on it, for CUDA's
     * current device belongs to a thread. The thread is one of `beside` that share the device from now
     * on: its launches whose blocks wait for each other take that part of a GPU. 1: all of it. */
    Status (*enter)(Device *device, int beside, Error *err);
    /* Allocates zeroed memory, aligned to 64 bytes at least. The message of ERR_MEMORY names the size. */
    Status (*alloc)(Device *device, Buffer *out, int64_t bytes, Error *err);
    void (*free)(Device *device, Buffer *buffer); /* zeroes *buffer; its data may be NULL */
    void (*memory)(Device *device, MemoryUse *out);
    /* Makes a host matrix readable by gather: the CPU reads it where it lies; a GPU copies it if it
     * fits beside what is allocated already, else reads it over the bus.
     * `host` must outlive *out. */
    Status (*features_open)(Device *device, Features *out, const Features *host, Error *err);
    /* Returns whether the features are read over a bus. Then rows are better gathered one iteration
     * ahead. */
    bool (*features_remote)(Device *device, const Features *features);
    void (*features_close)(Device *device, Features *features);

    Status (*queue_open)(Device *device, Queue **out, Error *err);
    void (*queue_close)(Queue *queue); /* waits first; queue may be NULL */
    /* Waits until all that was enqueued is done. Returns the first failure since the last wait, and
     * forgets it. */
    Status (*wait)(Queue *queue, Error *err);

    /* Copies run in queue order. `to_device` has read `from` when it returns; `to_host` has written
     * `to` when a later wait() returns. */
    Status (*to_device)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*to_host)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*copy)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*zero)(Queue *queue, void *to, int64_t bytes);
    /* Adds `by` to *counter in device memory. A replayed iteration counts with it. */
    Status (*count)(Queue *queue, int64_t *counter, int64_t by);

    /* A mark is a point in the queue's order, reached when all that was enqueued before is done. So
     * a host that stays ahead of the device learns how far it is, without waiting for the rest. */
    Status (*mark)(Queue *queue, int64_t *mark);
    bool (*reached)(Queue *queue, int64_t mark);
    /* Waits for a mark. Then to_host has written all that was enqueued before the mark. Returns the
     * first failure since the last wait(), and keeps it. */
    Status (*reach)(Queue *queue, int64_t mark, Error *err);

    /* Returns a second queue beside this one. Its work begins after all that is enqueued here and runs
     * beside what follows here; what follows join() comes after both. A branch may be recorded. The
     * CPU returns the queue itself, for there work runs at once. */
    Queue *(*branch)(Queue *queue);
    void (*join)(Queue *queue);

    /* Enqueues what `iteration(context)` enqueues. *graph is NULL at first and belongs to the
     * caller, who gives it back to graph_free. */
    Status (*replay)(Queue *queue, Graph **graph, Status (*iteration)(void *context),
                     void *context);
    void (*graph_free)(Graph *graph);

    /* Tells profilers that the phase `name` (a literal) begins and the last one ends. NULL begins none. */
    void (*phase)(Queue *queue, const char *name);
    /* Switches a profiler's recording on or off; launches are not replayed meanwhile. `capture` and
     * `profile` return ERR_DEVICE on a device that has nothing to record. */
    Status (*capture)(Device *device, bool on, Error *err);
    /* Times every launch from now on, and replays none. */
    Status (*profile)(Device *device, Error *err);
    /* Writes what was timed, most time first, at most `capacity` rows. Returns how many there are. */
    int (*profile_rows)(Device *device, ProfileRow *rows, int capacity);
} DeviceOps;

/* One device, opened, and all it can do. */
typedef struct {
    Device *device;
    char name[96]; /* name for people: "cpu (AVX2, 2 threads)" */
    char kind[16]; /* name for `--device` and JSON: "cpu", "cuda:0" */
    int threads;   /* threads of the processor that the host may use beside the device */
    int cores;     /* cores that the process may use */
    bool
        f16_products; /* whether batches of float16 are multiplied as such; else they are widened first */
    bool emulated;         /* whether the processor executes a GPU: for tests, not for speed */
    const char *precision; /* type of matrix operands that --precision auto means on this device */
    int64_t
        busy_rows; /* rows of a matrix that an operation wants at a time to use the whole device */
    char why[256]; /* the line that ops_open gives to *why */
    DeviceOps mem;
    MatrixOps matrix;
    TrainOps train;
    EncodeOps encode;
    ClusterOps cluster;
} Ops;

/* Opens a device: "auto", "cpu", "cuda" or "cuda:N". `threads` 0 means every core the process may use.
 * `auto` takes a usable GPU, else the CPU, and *why receives one line that says so (part of *out; NULL
 * where there is nothing to say). It is an error if a GPU asked for by name cannot be had. The
 * environment variable TURTLE_ISA forces the instruction set of the CPU backend (kernels/README.md). */
Status ops_open(Ops *out, const char *device, int threads, const char **why, Error *err);
void ops_close(Ops *ops); /* ops may be NULL, and closed already */

/* The CPU backend (kernels/cpu); `ops_open` is what callers use. */
Status cpu_open(Ops *out, int threads, Error *err);
/* Lists the instruction sets that are built in and usable here, best first; NULL ends the list. */
enum { CPU_MAX_SETS = 8 };
void cpu_instruction_sets(const char *names[CPU_MAX_SETS + 1]);
int cpu_cores(void); /* Returns how many cores the process may use. */
/* Returns whether code outside the kernels may use AVX2: the processor has it, and TURTLE_ISA names no
 * set of plain C (portable, reference). */
bool cpu_uses_avx2(void);

/* The CUDA backend (kernels/cuda; kernels/no_cuda.c where it is not built). The message is a reason
 * without a subject: "no CUDA device was found". */
Status cuda_open(Ops *out, int ordinal, Error *err);

typedef struct {
    char name[96];                         /* "NVIDIA H200 (132 SMs, 141 GB, sm_90)" */
    char why[256];                         /* why it cannot be used; "" where it can */
    int sms, shared_per_block, capability; /* SMs; bytes of shared memory; 90 means 9.0 */
} CudaDevice;
enum { CUDA_MAX_DEVICES = 16 };
/* Lists the devices of this machine. `versions` receives driver, runtime and the architectures built in
 * ("" in a build without CUDA kernels). Returns how many there are; where it is none, *err says why. */
int cuda_devices(CudaDevice devices[CUDA_MAX_DEVICES], char versions[128], Error *err);

#endif
