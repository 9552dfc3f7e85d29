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

/* What is allocated on a device that has memory of its own; zeros where it is the host's. */
typedef struct {
    int64_t total, free;      /* of the device, bytes */
    int64_t arrays;           /* buffers */
    int64_t resident, remote; /* features on the device; in pinned host memory */
} MemoryUse;

/* "1.13 GB", "38.4 KB": decimal units, as GPUs are sold. Returns `text`. */
const char *bytes_text(char text[24], int64_t bytes);

/* One line of a profile: a kernel and all its launches. */
typedef struct {
    char kernel[96];
    int64_t calls;
    double total_ms, median_us;
    double bytes, flops; /* that its calls must move and compute */
} ProfileRow;

/* What a device and its queues can do beside arithmetic. */
typedef struct {
    void (*close)(Device *device); /* ops_close calls it */
    /* Called first by a thread that did not open the device and has queues of its own on it, for CUDA's
     * current device belongs to a thread. */
    Status (*enter)(Device *device, Error *err);
    /* Zeroed memory, aligned to 64 bytes at least. ERR_MEMORY names the size. */
    Status (*alloc)(Device *device, Buffer *out, int64_t bytes, Error *err);
    void (*free)(Device *device, Buffer *buffer); /* NULL data is fine; zeroes *buffer */
    void (*memory)(Device *device, MemoryUse *out);
    /* Makes a host matrix readable by gather: the CPU reads it where it lies; a GPU copies it if it
     * fits beside what is allocated already, else reads it over the bus.
     * `host` must outlive *out. */
    Status (*features_open)(Device *device, Features *out, const Features *host, Error *err);
    /* They are read over a bus: rows are gathered better one iteration ahead. */
    bool (*features_remote)(Device *device, const Features *features);
    void (*features_close)(Device *device, Features *features);

    Status (*queue_open)(Device *device, Queue **out, Error *err);
    void (*queue_close)(Queue *queue); /* waits first; NULL is fine */
    /* Until all that was enqueued is done; the first failure since the last wait, then clean. */
    Status (*wait)(Queue *queue, Error *err);

    /* In queue order. `to_device` has read `from` when it returns; `to_host` has written `to` when
     * a later wait() returns. */
    Status (*to_device)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*to_host)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*copy)(Queue *queue, void *to, const void *from, int64_t bytes);
    Status (*zero)(Queue *queue, void *to, int64_t bytes);
    /* *counter += by, in device memory: what a replayed iteration counts with. */
    Status (*count)(Queue *queue, int64_t *counter, int64_t by);

    /* A mark is a point in the queue's order, reached when all that was enqueued before is done. So
     * a host that stays ahead of the device learns how far it is, without waiting for the rest. */
    Status (*mark)(Queue *queue, int64_t *mark);
    bool (*reached)(Queue *queue, int64_t mark);
    /* Waits for it. What to_host was to write before the mark is written. The first failure since
     * the last wait(), which stays. */
    Status (*reach)(Queue *queue, int64_t mark, Error *err);

    /* A second queue beside this one: it begins after all that is enqueued here, runs beside what
     * follows here, and what follows join() comes after both. May be recorded. The CPU returns the
     * queue itself: work runs at once. */
    Queue *(*branch)(Queue *queue);
    void (*join)(Queue *queue);

    /* Enqueues what `iteration(context)` enqueues. *graph is NULL at first and belongs to the
     * caller, who gives it back to graph_free. */
    Status (*replay)(Queue *queue, Graph **graph, Status (*iteration)(void *context),
                     void *context);
    void (*graph_free)(Graph *graph);

    /* For profilers: what follows is the phase `name` (a literal), until the next; NULL ends it. */
    void (*phase)(Queue *queue, const char *name);
    /* From here on, or no longer, a profiler records; launches are not replayed meanwhile.
     * ERR_DEVICE where there is nothing to record, of `capture` and of `profile`. */
    Status (*capture)(Device *device, bool on, Error *err);
    /* From now on every launch is timed, and none replayed. */
    Status (*profile)(Device *device, Error *err);
    /* What was timed, most time first, at most `capacity` rows; how many there are. */
    int (*profile_rows)(Device *device, ProfileRow *rows, int capacity);
} DeviceOps;

/* One device, opened, and all it can do. */
typedef struct {
    Device *device;
    char name[96];         /* "cpu (AVX2, 2 threads)": for people */
    char kind[16];         /* "cpu", "cuda:0": for `--device` and JSON */
    int threads;           /* of the processor that the host may use beside it */
    int cores;             /* that the process may use */
    bool f16_products;     /* batches of float16 are multiplied as such; else widened first */
    bool emulated;         /* a GPU executed by the processor: for tests, not for speed */
    const char *precision; /* of matrix operands, that --precision auto means on it */
    int64_t busy_rows;     /* of a matrix, that operations want at a time to use the whole device */
    char why[256];         /* what ops_open had to say */
    DeviceOps mem;
    MatrixOps matrix;
    TrainOps train;
    EncodeOps encode;
    ClusterOps cluster;
} Ops;

/* device: "auto", "cpu", "cuda" or "cuda:N"; threads: 0 = every core the process may use.
 * `auto` takes a usable GPU, else the CPU, and *why receives one line saying so (part of *out; NULL
 * where there is nothing to say). A GPU asked for by name is had or it is an error. The
 * environment variable TURTLE_ISA=amx|avx512bf16|avx512|avx2|portable|reference forces the instruction set of the
 * CPU backend; `reference` is the plainest code, which judges all others. */
Status ops_open(Ops *out, const char *device, int threads, const char **why, Error *err);
/* The same for callers that need a family which not every device has: `auto` passes such a device
 * by, and one asked for by name is an error. */
typedef enum { OPS_TRAIN, OPS_ENCODE, OPS_CLUSTER } OpsFamily;
Status ops_open_for(Ops *out, OpsFamily family, const char *device, int threads, const char **why,
                    Error *err);
void ops_close(Ops *ops); /* NULL and twice are fine */

/* The CPU backend (kernels/cpu); `ops_open` is what callers use. */
Status cpu_open(Ops *out, int threads, Error *err);
/* Instruction sets built in and usable here, best first, ending with NULL. */
enum { CPU_MAX_SETS = 8 };
void cpu_instruction_sets(const char *names[CPU_MAX_SETS + 1]);
int cpu_cores(void); /* that the process may use */
/* Whether code outside the kernels may use AVX2: the processor has it, and TURTLE_ISA names no set of
 * plain C (portable, reference). */
bool cpu_uses_avx2(void);

/* The CUDA backend (kernels/cuda; kernels/no_cuda.c where it is not built). The message is a reason
 * without a subject: "no CUDA device was found". */
Status cuda_open(Ops *out, int ordinal, Error *err);

typedef struct {
    char name[96];                         /* "NVIDIA H200 (132 SMs, 141 GB, sm_90)" */
    char why[256];                         /* it cannot be used; "" where it can */
    int sms, shared_per_block, capability; /* bytes; 90: 9.0 */
} CudaDevice;
enum { CUDA_MAX_DEVICES = 16 };
/* The devices of this machine, and in *versions driver, runtime and the architectures built in (""
 * where no CUDA kernels are). None: *err says why. */
int cuda_devices(CudaDevice devices[CUDA_MAX_DEVICES], char versions[128], Error *err);

#endif
