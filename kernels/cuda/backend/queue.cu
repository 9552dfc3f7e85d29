/* queue.cu - queues of the CUDA backend: streams, copies between host and device, replay.
 *
 * Copies between host and device go through a ring of pinned slots, so that they are asynchronous
 * whatever memory the host has:
 *
 *     to_device   from -> slot (now)            slot -> device (in the stream's order)
 *     to_host     device -> slot (in order)     slot -> to     (when the slot is retired)
 *
 * A slot's event tells that the stream has come by. Slots are retired in the order in which they were taken:
 * by wait(), by reach(), or because the ring is full, which waits. So a mark is the number of a slot that
 * carries nothing. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend/cuda.h"

#if defined(__CUDACC__)
#include <nvtx3/nvToolsExt.h>
#endif

struct Graph {
    bool
        ran; /* true: it ran once unrecorded, for kernels load and events are made outside a recording */
    cudaGraphExec_t record; /* NULL: the iteration is not recorded yet */
};

/* --- failures --------------------------------------------------------------------------------- */

Status cuda_queue_fail(Queue *q, const char *operation) {
    if (q->status == OK)
        q->status =
            fail(&q->error, ERR_ARG, "%s: shapes or pointers that it cannot serve", operation);
    return q->status;
}

Status cuda_queue_error(Queue *q, const char *operation, cudaError_t error) {
    if (q->status == OK) q->status = cuda_fail(&q->error, q->device, operation, error);
    return q->status;
}

Status cuda_queue_check(Queue *q, const char *operation) {
    const cudaError_t error = cudaStreamSynchronize(q->stream);
    return error == cudaSuccess ? OK : cuda_queue_error(q, operation, error);
}

/* --- slots and marks -------------------------------------------------------------------------- */

static char *memory_of(const Queue *q, const Slot *s) {
    return q->pinned + (s - q->slots) * SLOT_BYTES;
}

/* Retires all slots before number `end`, even after a failure, so that nothing of the host is written later. */
static void retire(Queue *q, int64_t end) {
    for (; q->retired < end; q->retired++) {
        Slot *s = &q->slots[q->retired % SLOTS];
        const cudaError_t error = cudaEventSynchronize(s->passed);
        if (error != cudaSuccess) cuda_queue_error(q, "copy to the host", error);
        else if (s->to) memcpy(s->to, memory_of(q, s), (size_t)s->bytes);
        s->to = NULL;
    }
}

/* Returns the next slot, free to be filled. It has pinned memory only if it is to carry something. */
static Slot *take_slot(Queue *q, bool carries) {
    if (q->taken - q->retired == SLOTS) retire(q, q->retired + 1);
    Slot *s = &q->slots[q->taken % SLOTS];
    cudaError_t error = cudaSuccess;
    if (!s->passed) error = cudaEventCreateWithFlags(&s->passed, cudaEventDisableTiming);
    if (error == cudaSuccess && carries && !q->pinned)
        error = cudaHostAlloc((void **)&q->pinned, SLOTS * SLOT_BYTES, cudaHostAllocDefault);
    if (error == cudaSuccess) return s;
    cuda_queue_error(q, "pinned host memory for copies", error);
    return NULL;
}

/* Lets the slot's event happen when everything enqueued before this call is done. */
static Status pass_slot(Queue *q, Slot *s, cudaError_t error) {
    if (error == cudaSuccess) error = cudaEventRecord(s->passed, q->stream);
    if (error != cudaSuccess) {
        s->to = NULL;
        return cuda_queue_error(q, "copy", error);
    }
    q->taken++;
    return OK;
}

Status cuda_to_device(Queue *q, void *to, const void *from, int64_t bytes) {
    REQUIRE(q, to && from && bytes >= 0 && !q->recording, "copy to the device");
    for (int64_t at = 0; at < bytes && q->status == OK; at += SLOT_BYTES) {
        const size_t n = (size_t)(bytes - at < SLOT_BYTES ? bytes - at : SLOT_BYTES);
        Slot *s = take_slot(q, true);
        if (!s) break;
        memcpy(memory_of(q, s), (const char *)from + at, n);
        pass_slot(q, s,
                  cudaMemcpyAsync((char *)to + at, memory_of(q, s), n, cudaMemcpyHostToDevice,
                                  q->stream));
    }
    return q->status;
}

static Status to_host(Queue *q, void *to, const void *from, int64_t bytes) {
    REQUIRE(q, to && from && bytes >= 0 && !q->recording, "copy to the host");
    for (int64_t at = 0; at < bytes && q->status == OK; at += SLOT_BYTES) {
        Slot *s = take_slot(q, true);
        if (!s) break;
        s->to = (char *)to + at;
        s->bytes = bytes - at < SLOT_BYTES ? bytes - at : SLOT_BYTES;
        pass_slot(q, s,
                  cudaMemcpyAsync(memory_of(q, s), (const char *)from + at, (size_t)s->bytes,
                                  cudaMemcpyDeviceToHost, q->stream));
    }
    return q->status;
}

static Status mark(Queue *q, int64_t *out) {
    *out = q->taken;
    REQUIRE(q, !q->recording, "mark");
    Slot *s = take_slot(q, false);
    return s ? pass_slot(q, s, cudaSuccess) : q->status;
}

static bool reached(Queue *q, int64_t at) {
    return at < q->retired || at >= q->taken ||
           cudaEventQuery(q->slots[at % SLOTS].passed) != cudaErrorNotReady;
}

static Status reach(Queue *q, int64_t at, Error *err) {
    retire(q, at < q->taken ? at + 1 : q->taken);
    if (q->status != OK) error_write(err, "%s", q->error.text);
    return q->status;
}

static Status wait_done(Queue *q, Error *err) {
    retire(q, q->taken);
    const cudaError_t error = cudaStreamSynchronize(q->stream);
    if (error != cudaSuccess) cuda_queue_error(q, "wait", error);
    const Status st = q->status;
    if (st != OK) error_write(err, "%s", q->error.text);
    q->status = OK;
    return st;
}

/* --- within the device ------------------------------------------------------------------------ */

static Status copy(Queue *q, void *to, const void *from, int64_t bytes) {
    REQUIRE(q, to && from && bytes >= 0, "copy");
    const cudaError_t error =
        cudaMemcpyAsync(to, from, (size_t)bytes, cudaMemcpyDeviceToDevice, q->stream);
    return error == cudaSuccess ? OK : cuda_queue_error(q, "copy", error);
}

static Status zero(Queue *q, void *to, int64_t bytes) {
    REQUIRE(q, to && bytes >= 0, "zero");
    const cudaError_t error = cudaMemsetAsync(to, 0, (size_t)bytes, q->stream);
    return error == cudaSuccess ? OK : cuda_queue_error(q, "zero", error);
}

__global__ void count_kernel(int64_t *counter, int64_t by) {
    *counter += by;
}

static Status count(Queue *q, int64_t *counter, int64_t by) {
    REQUIRE(q, counter, "count");
    return launch(q, count_kernel, dim3(1), 1, 0, counter, by);
}

/* --- beside each other ------------------------------------------------------------------------ */

static Status open_queue(Device *device, Queue **out, bool aside, Error *err);

static Status open_side(Queue *q) {
    Status st = open_queue(q->device, &q->side, true, &q->error);
    cudaError_t error = cudaEventCreateWithFlags(&q->forked, cudaEventDisableTiming);
    if (error == cudaSuccess) error = cudaEventCreateWithFlags(&q->joined, cudaEventDisableTiming);
    if (st == OK && error != cudaSuccess) st = cuda_queue_error(q, "branch", error);
    q->status = st;
    return st;
}

/* Returns the queue itself on failure, which then runs nothing. */
static Queue *branch(Queue *q) {
    if (q->status != OK || (!q->side && open_side(q) != OK)) return q;
    cudaError_t error = cudaEventRecord(q->forked, q->stream);
    if (error == cudaSuccess) error = cudaStreamWaitEvent(q->side->stream, q->forked, 0);
    if (error != cudaSuccess) cuda_queue_error(q, "branch", error);
    return error == cudaSuccess ? q->side : q;
}

static void join(Queue *q) {
    if (!q->side) return;
    cudaError_t error = cudaEventRecord(q->joined, q->side->stream);
    if (error == cudaSuccess) error = cudaStreamWaitEvent(q->stream, q->joined, 0);
    if (error != cudaSuccess) cuda_queue_error(q, "join", error);
    if (q->side->status != OK && q->status == OK) {
        q->status = q->side->status;
        q->error = q->side->error;
    }
    q->side->status = OK;
}

/* --- replay ----------------------------------------------------------------------------------- */

static void range_begin(const char *name) {
#if defined(__CUDACC__)
    nvtxRangePushA(name);
#else
    (void)name;
#endif
}

static void range_end(void) {
#if defined(__CUDACC__)
    nvtxRangePop();
#endif
}

static void phase(Queue *q, const char *name) {
    if (q->phase) range_end();
    q->phase = name;
    if (name) range_begin(name);
}

/* Records what the iteration enqueues without running it. */
static Status record(Queue *q, cudaGraphExec_t *out, Status (*iteration)(void *context),
                     void *context) {
    cudaGraph_t graph = NULL;
    cudaError_t error = cudaStreamBeginCapture(q->stream, cudaStreamCaptureModeThreadLocal);
    if (error != cudaSuccess) return cuda_queue_error(q, "replay", error);
    q->recording = true;
    iteration(context);
    q->recording = false;
    error = cudaStreamEndCapture(q->stream, &graph);
    if (error == cudaSuccess && q->status == OK) error = cudaGraphInstantiate(out, graph, 0);
    if (graph) cudaGraphDestroy(graph);
    return error == cudaSuccess ? q->status : cuda_queue_error(q, "replay", error);
}

static Status replay(Queue *q, Graph **graph, Status (*iteration)(void *context), void *context) {
    REQUIRE(q, iteration, "replay");
    if (!*graph) *graph = (Graph *)calloc(1, sizeof **graph);
    Graph *g = *graph;
    range_begin("outer");
    if (!g || !g->ran || !q->device->replays) {
        iteration(context);
        phase(q, NULL);
        if (g) g->ran = true;
    } else {
        if (!g->record) record(q, &g->record, iteration, context);
        phase(q, NULL);
        const cudaError_t error =
            q->status == OK ? cudaGraphLaunch(g->record, q->stream) : cudaSuccess;
        if (error != cudaSuccess) cuda_queue_error(q, "replay", error);
    }
    range_end();
    return q->status;
}

static void graph_free(Graph *graph) {
    if (graph && graph->record) cudaGraphExecDestroy(graph->record);
    free(graph);
}

/* --- a queue's life --------------------------------------------------------------------------- */

/* Opens a stream. Where two queues have work, a GPU takes the one first that is not aside. */
static cudaError_t open_stream(cudaStream_t *out, bool aside) {
    int least = 0, greatest = 0;
#if defined(__CUDACC__)
    const cudaError_t error = cudaDeviceGetStreamPriorityRange(&least, &greatest);
    if (error != cudaSuccess) return error;
    return cudaStreamCreateWithPriority(out, cudaStreamNonBlocking, aside ? least : greatest);
#else
    (void)least, (void)greatest, (void)aside;
    return cudaStreamCreateWithFlags(out, cudaStreamNonBlocking);
#endif
}

static Status open_queue(Device *device, Queue **out, bool aside, Error *err) {
    Queue *q = (Queue *)calloc(1, sizeof *q);
    *out = NULL;
    if (!q) return fail(err, ERR_MEMORY, "queue: out of memory");
    q->device = device;
    const cudaError_t error = open_stream(&q->stream, aside);
    if (error != cudaSuccess) {
        free(q);
        return cuda_fail(err, device, "queue", error);
    }
    *out = q;
    return OK;
}

static Status queue_open(Device *device, Queue **out, Error *err) {
    return open_queue(device, out, false, err);
}

static void queue_close(Queue *q) {
    if (!q) return;
    wait_done(q, NULL);
    queue_close(q->side);
    for (int i = 0; i < SLOTS; i++) {
        if (q->slots[i].passed) cudaEventDestroy(q->slots[i].passed);
    }
    if (q->pinned) cudaFreeHost(q->pinned);
    if (q->forked) cudaEventDestroy(q->forked);
    if (q->joined) cudaEventDestroy(q->joined);
    cudaStreamDestroy(q->stream);
    free(q);
}

void cuda_queue_ops(DeviceOps *mem) {
    mem->queue_open = queue_open;
    mem->queue_close = queue_close;
    mem->wait = wait_done;
    mem->to_device = cuda_to_device;
    mem->to_host = to_host;
    mem->copy = copy;
    mem->zero = zero;
    mem->count = count;
    mem->mark = mark;
    mem->reached = reached;
    mem->reach = reach;
    mem->branch = branch;
    mem->join = join;
    mem->replay = replay;
    mem->graph_free = graph_free;
    mem->phase = phase;
}
