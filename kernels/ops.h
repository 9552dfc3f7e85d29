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

#include "../io/status.h"
#include "cluster.h"
#include "encode.h"
#include "matrix.h"
#include "train.h"

typedef struct Graph Graph; /* a recorded iteration */

/* Memory of one device. */
typedef struct {
    void *data; /* a device pointer: the host may pass it on, not read it */
    int64_t bytes;
} Buffer;

/* What a device and its queues can do beside arithmetic. */
typedef struct {
    /* Zeroed memory, aligned to 64 bytes at least. ERR_MEMORY names the size. */
    Status (*alloc)(Device *device, Buffer *out, int64_t bytes, Error *err);
    void (*free)(Device *device, Buffer *buffer); /* NULL data is fine; zeroes *buffer */
    /* Makes a host matrix readable by gather: a GPU copies it, the CPU reads it where it lies.
     * `host` must outlive *out. */
    Status (*features_open)(Device *device, Features *out, const Features *host, Error *err);
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

    /* Enqueues what `iteration(context)` enqueues. *graph is NULL at first and belongs to the
     * caller, who gives it back to graph_free. */
    Status (*replay)(Queue *queue, Graph **graph, Status (*iteration)(void *context),
                     void *context);
    void (*graph_free)(Graph *graph);
} DeviceOps;

/* One device, opened, and all it can do. */
typedef struct {
    Device *device;
    char name[96]; /* "cpu (AVX2, 2 threads)": for people */
    char kind[16]; /* "cpu", "cuda:0": for `--device` and JSON */
    int threads;   /* of the processor that the host may use beside it */
    int cores;     /* that the process may use */
    DeviceOps mem;
    MatrixOps matrix;
    TrainOps train;
    EncodeOps encode;
    ClusterOps cluster;
} Ops;

/* device: "auto", "cpu", "cuda" or "cuda:N"; threads: 0 = every core the process may use.
 * `auto` takes a usable GPU, else the CPU, and *why receives one line saying so (static storage;
 * NULL where there is nothing to say). A GPU asked for by name is had or it is an error. The
 * environment variable TURTLE_ISA=amx|avx512bf16|avx512|avx2|portable|reference forces the instruction set of the
 * CPU backend; `reference` is the plainest code, which judges all others. */
Status ops_open(Ops *out, const char *device, int threads, const char **why, Error *err);
void ops_close(Ops *ops); /* NULL and twice are fine */

/* The CPU backend (kernels/cpu); `ops_open` is what callers use. */
Status cpu_open(Ops *out, int threads, Error *err);
/* Instruction sets built in and usable here, best first, ending with NULL. */
enum { CPU_MAX_SETS = 7 };
void cpu_instruction_sets(const char *names[CPU_MAX_SETS + 1]);

#endif
