/* device.c - memory and queues of the CPU: operations run when they are enqueued. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/cpu/cpu.h"

enum { ALIGN = 64, HUGE_PAGE = 2 << 20 };

static void close_device(Device *device) {
    if (!device) return;
    threads_close(device->pool);
    free(device);
}

static Status enter(Device *device, int beside, Error *err) {
    (void)device;
    (void)beside;
    (void)err;
    return OK;
}

static Status alloc(Device *device, Buffer *out, int64_t bytes, Error *err) {
    (void)device;
    *out = (Buffer){.bytes = bytes};
    if (bytes < 0) return fail(err, ERR_ARG, "memory: %lld bytes", (long long)bytes);
    const int64_t align = bytes >= 4 * HUGE_PAGE ? HUGE_PAGE : ALIGN;
    out->data = aligned_alloc((size_t)align, (size_t)round_up(bytes > 0 ? bytes : 1, align));
    if (!out->data)
        return fail(err, ERR_MEMORY, "memory: %.1f MiB are not to be had: lower --batch_size",
                    (double)bytes / (1 << 20));
#if defined(MADV_HUGEPAGE)
    /* A sample is most of a small page: every row of a batch would miss the translation cache. */
    if (align == HUGE_PAGE) madvise(out->data, (size_t)bytes, MADV_HUGEPAGE);
#endif
    memset(out->data, 0, (size_t)bytes);
    return OK;
}

static void release(Device *device, Buffer *buffer) {
    (void)device;
    free(buffer->data);
    *buffer = (Buffer){0};
}

static void memory(Device *device, MemoryUse *out) {
    (void)device;
    *out = (MemoryUse){0};
}

static Status features_open(Device *device, Features *out, const Features *host, Error *err) {
    (void)device;
    (void)err;
    *out = *host; /* features are read where they lie */
    return OK;
}

static bool features_remote(Device *device, const Features *features) {
    (void)device;
    (void)features;
    return false;
}

static void features_close(Device *device, Features *features) {
    (void)device;
    *features = (Features){0};
}

static Status queue_open(Device *device, Queue **out, Error *err) {
    *out = calloc(1, sizeof **out);
    if (!*out) return fail(err, ERR_MEMORY, "queue: out of memory");
    (*out)->device = device;
    return OK;
}

static void queue_close(Queue *queue) {
    free(queue);
}

Status cpu_queue_fail(Queue *queue, const char *operation) {
    queue->status =
        fail(&queue->error, ERR_ARG, "%s: shapes or pointers that it cannot serve", operation);
    return queue->status;
}

static Status wait_done(Queue *queue, Error *err) {
    const Status st = queue->status;
    if (st != OK) error_write(err, "%s", queue->error.text);
    queue->status = OK;
    return st;
}

static Status copy(Queue *queue, void *to, const void *from, int64_t bytes) {
    REQUIRE(queue, to && from && bytes >= 0, "copy");
    memmove(to, from, (size_t)bytes);
    return OK;
}

static Status zero(Queue *queue, void *to, int64_t bytes) {
    REQUIRE(queue, to && bytes >= 0, "zero");
    memset(to, 0, (size_t)bytes);
    return OK;
}

static Status count(Queue *queue, int64_t *counter, int64_t by) {
    REQUIRE(queue, counter, "count");
    *counter += by;
    return OK;
}

/* A mark is reached at once, for all that was enqueued is done. */
static Status mark(Queue *queue, int64_t *out) {
    *out = 0;
    return queue->status;
}

static bool reached(Queue *queue, int64_t at) {
    (void)queue;
    (void)at;
    return true;
}

static Status reach(Queue *queue, int64_t at, Error *err) {
    (void)at;
    if (queue->status != OK) error_write(err, "%s", queue->error.text);
    return queue->status;
}

static Queue *branch(Queue *queue) {
    return queue;
}

static void join(Queue *queue) {
    (void)queue;
}

static Status replay(Queue *queue, Graph **graph, Status (*iteration)(void *context),
                     void *context) {
    (void)graph; /* nothing to record: calling it again costs nothing */
    REQUIRE(queue, iteration, "replay");
    iteration(context);
    return queue->status;
}

static void graph_free(Graph *graph) {
    (void)graph;
}

static void phase(Queue *queue, const char *name) {
    (void)queue;
    (void)name;
}

static Status no_kernels(Error *err) {
    return fail(err, ERR_DEVICE,
                "profile: only the kernels of a GPU are profiled: use --device cuda");
}

static Status capture(Device *device, bool on, Error *err) {
    (void)device;
    (void)on;
    return no_kernels(err);
}

static Status profile(Device *device, Error *err) {
    (void)device;
    return no_kernels(err);
}

static int profile_rows(Device *device, ProfileRow *rows, int capacity) {
    (void)device;
    (void)rows;
    (void)capacity;
    return 0;
}

void cpu_device_ops(DeviceOps *mem) {
    *mem = (DeviceOps){.close = close_device,
                       .enter = enter,
                       .alloc = alloc,
                       .free = release,
                       .memory = memory,
                       .features_open = features_open,
                       .features_remote = features_remote,
                       .features_close = features_close,
                       .queue_open = queue_open,
                       .queue_close = queue_close,
                       .wait = wait_done,
                       .to_device = copy,
                       .to_host = copy,
                       .copy = copy,
                       .zero = zero,
                       .count = count,
                       .mark = mark,
                       .reached = reached,
                       .reach = reach,
                       .branch = branch,
                       .join = join,
                       .replay = replay,
                       .graph_free = graph_free,
                       .phase = phase,
                       .capture = capture,
                       .profile = profile,
                       .profile_rows = profile_rows};
}
