/* stream.cpp - streams, events, and graphs captured from them.
 *
 * Enqueued work is kept; it runs when somebody waits: cudaStreamSynchronize, cudaEventSynchronize,
 * blocking copies, cudaDeviceSynchronize, cudaFree; a query lets one operation run. Among streams
 * whose next operation nothing holds back, EMU_SEED draws which goes on. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <deque>
#include <memory>
#include <thread>
#include <vector>

#include "kernels/emu/device.h"
#include "kernels/emu/fiber.h"

using namespace emu;

struct Node {
    std::function<void()> work;
    std::vector<size_t> after; /* nodes of the same graph, all before this one */
};
struct Capture {
    std::vector<Node> nodes;
    cudaStreamCaptureMode mode;
    bool spoilt; /* whether a call that a capture forbids was made */
    std::thread::id thread = std::this_thread::get_id();
};
struct EmuGraph {
    std::vector<Node> nodes;
};
struct EmuGraphExec {
    std::shared_ptr<const std::vector<Node>> nodes; /* kept by what is enqueued */
};

struct EventState {
    uint64_t recorded = 0, done = 0; /* how many recordings were enqueued, and finished */
    double seconds = 0.0;            /* the time when the last one finished */
    std::shared_ptr<Capture> capture;
    std::vector<size_t> after; /* nodes of this capture before the recording */
};
struct EmuEvent {
    std::shared_ptr<EventState> state; /* kept by what is enqueued */
    unsigned flags;
    int device;
};

struct Operation {
    std::function<void()> work;
    std::shared_ptr<EventState>
        waits;                /* NULL, or the operation is held back until waits->done >= version */
    uint64_t version, number; /* `number` counts the operations of all streams */
    bool host; /* whether it is a function of the host, which may not touch device memory */
};
struct EmuStream {
    std::deque<Operation> queue;
    bool apart; /* cudaStreamNonBlocking: not ordered with the legacy stream */
    int device; /* current device of the thread that created the stream */
    std::shared_ptr<Capture> capture;
    bool origin;               /* whether the capture began in this stream */
    std::vector<size_t> after; /* nodes before the next captured one */
    /* The worker of the stream, for ThreadSanitizer. It knows what the host knew when the stream was created, not
     * what the host knows when work begins. */
    void *watch = watch_create();
    char enqueued, finished; /* their addresses stand for these two moments, for ThreadSanitizer */
};

/* The list is never destroyed, for leaks are looked for after that. */
static auto &streams = *new std::vector<EmuStream *>;
static EmuStream *legacy() {
    static EmuStream *s;
    if (!s) streams.insert(streams.begin(), s = new EmuStream());
    return s;
}
static EmuStream *stream_of(cudaStream_t s) {
    EmuStream *own = legacy();
    return s ? s : own;
}

static double now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- running ---------------------------------------------------------------------------------- */

static bool later(const EmuStream *s, uint64_t number) {
    return s->queue.empty() || s->queue.front().number > number;
}

static bool can_go_on(const EmuStream *s) {
    if (s->queue.empty()) return false;
    const Operation &first = s->queue.front();
    if (first.waits && first.waits->done < first.version) return false;
    if (s->apart) return true;
    if (s != legacy()) return later(legacy(), first.number);
    for (const EmuStream *other : streams)
        if (other != s && !other->apart && !later(other, first.number)) return false;
    return true;
}

static void run_first(EmuStream *s) {
    Operation first = std::move(s->queue.front());
    s->queue.pop_front();
    void *host = watch_enter(s->watch);
    {
        Unwatched unwatched; /* kernels, copies and functions of the host are watched again */
        order_acquire(&s->enqueued);
        if (first.waits) order_acquire(first.waits.get());
        for (const EmuStream *other : streams)
            if (!s->apart && !other->apart && (s == legacy() || other == legacy()))
                order_acquire(&other->finished);
        if (first.work && first.host) {
            first.work();
        } else if (first.work) {
            DeviceMemoryOpen open;
            first.work();
            check_red_zones("a copy or fill");
        }
        first.work = nullptr;
        order_release(&s->finished);
    }
    watch_leave(host);
}

/* Runs one operation of any stream. Returns false where none can go on. */
static bool run_one() {
    std::vector<EmuStream *> able;
    for (EmuStream *s : streams)
        if (can_go_on(s)) able.push_back(s);
    if (able.empty()) return false;
    run_first(able[random_below((uint32_t)able.size())]);
    return true;
}

/* Runs operations of all streams, one after the other, until `done`. */
template <class Done> static void run_until(Done done) {
    random_begin();
    if (done()) return;
    DeviceMemoryOpen open; /* opened once, not for every operation */
    while (!done())
        if (!run_one()) {
            fprintf(stderr, "emulator: streams wait for events that nobody records\n");
            abort();
        }
}

static void run_all() {
    run_until([]() {
        for (const EmuStream *s : streams)
            if (!s->queue.empty()) return false;
        return true;
    });
    for (const EmuStream *s : streams) order_acquire(&s->finished);
}

static cudaError_t put(cudaStream_t stream, std::function<void()> work, bool host) {
    static uint64_t numbers;
    EmuStream *s = stream_of(stream);
    if (stream && s->device != current_device()) return failed(cudaErrorInvalidResourceHandle);
    if (s->capture) {
        s->capture->nodes.push_back({std::move(work), s->after});
        s->after.assign(1, s->capture->nodes.size() - 1);
        return cudaSuccess;
    }
    if (s == legacy() && capture_forbids()) return failed(cudaErrorStreamCaptureImplicit);
    order_release(&s->enqueued);
    s->queue.push_back({std::move(work), nullptr, 0, ++numbers, host});
    return cudaSuccess;
}

namespace emu {

cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
    const Entry entry;
    return put(stream, std::move(work), false);
}
void finish_all() {
    const Entry entry;
    run_all();
}
bool capture_forbids() {
    const Entry entry;
    bool found = false;
    for (const EmuStream *s : streams)
        if (s->capture && s->capture->mode != cudaStreamCaptureModeRelaxed &&
            (s->capture->mode == cudaStreamCaptureModeGlobal ||
             s->capture->thread == std::this_thread::get_id()))
            found = s->capture->spoilt = true;
    return found;
}

} // namespace emu

/* --- streams ---------------------------------------------------------------------------------- */

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags) {
    const Entry entry;
    legacy();
    *out = new EmuStream();
    (*out)->apart = flags & cudaStreamNonBlocking;
    (*out)->device = current_device();
    streams.push_back(*out);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) {
    const Entry entry;
    return cudaStreamCreateWithFlags(out, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t *out, unsigned flags, int) {
    const Entry entry;
    return cudaStreamCreateWithFlags(out, flags);
}
cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    *least = *greatest = 0;
    return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    const Entry entry;
    EmuStream *s = stream_of(stream);
    if (capture_forbids() || s->capture) return failed(cudaErrorStreamCaptureUnsupported);
    run_until([s]() {
        for (const EmuStream *other : streams)
            if ((other == s || (s == legacy() && !other->apart)) && !other->queue.empty())
                return false;
        return true;
    });
    order_acquire(&s->finished);
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    const Entry entry;
    EmuStream *s = stream_of(stream);
    if (capture_forbids() || s->capture) return failed(cudaErrorStreamCaptureUnsupported);
    if (!s->queue.empty()) {
        random_begin();
        run_one();
    }
    if (!s->queue.empty()) return cudaErrorNotReady;
    order_acquire(&s->finished);
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    const Entry entry;
    if (!stream) return failed(cudaErrorInvalidResourceHandle);
    run_until([stream]() { return stream->queue.empty(); });
    order_acquire(&stream->finished);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream) streams.erase(streams.begin() + (long)i--);
    watch_destroy(stream->watch);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() {
    const Entry entry;
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    run_all();
    return cudaSuccess;
}
cudaError_t cudaDeviceReset() {
    const Entry entry;
    return cudaDeviceSynchronize();
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context) {
    const Entry entry;
    return put(
        stream,
        [function, context]() {
            Watched watched;
            function(context);
        },
        true);
}

/* --- events ----------------------------------------------------------------------------------- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags) {
    const Entry entry;
    *out = new EmuEvent{std::make_shared<EventState>(), flags, current_device()};
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) {
    const Entry entry;
    return cudaEventCreateWithFlags(out, cudaEventDefault);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    const Entry entry;
    if (!event) return failed(cudaErrorInvalidResourceHandle);
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    const Entry entry;
    EmuStream *s = stream_of(stream);
    const std::shared_ptr<EventState> e = event->state;
    if (stream && s->device != event->device) return failed(cudaErrorInvalidResourceHandle);
    e->capture = s->capture;
    if (s->capture) {
        e->after = s->after;
        return cudaSuccess;
    }
    const uint64_t version = ++e->recorded;
    return enqueue(stream, [e, version]() {
        e->done = version;
        e->seconds = now();
        order_release(e.get());
    });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    const Entry entry;
    EmuStream *s = stream_of(stream);
    const std::shared_ptr<EventState> e = event->state;
    if (e->capture) { /* the stream joins the capture, or a fork comes back to it */
        bool going_on = false;
        for (const EmuStream *other : streams) going_on = going_on || other->capture == e->capture;
        if (!going_on) return failed(cudaErrorCapturedEvent);
        if (s->capture && s->capture != e->capture) {
            s->capture->spoilt = e->capture->spoilt = true;
            return failed(cudaErrorStreamCaptureMerge);
        }
        s->capture = e->capture;
        s->after.insert(s->after.end(), e->after.begin(), e->after.end());
        return cudaSuccess;
    }
    if (e->recorded == 0) return cudaSuccess;
    if (s->capture) {
        s->capture->spoilt = true;
        return failed(cudaErrorStreamCaptureIsolation);
    }
    const cudaError_t error = put(stream, nullptr, false);
    if (error != cudaSuccess) return error;
    s->queue.back().waits = e;
    s->queue.back().version = e->recorded;
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const Entry entry;
    const std::shared_ptr<EventState> e = event->state;
    const uint64_t version = e->recorded;
    if (e->capture) return failed(cudaErrorCapturedEvent);
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    run_until([&e, version]() { return e->done >= version; });
    order_acquire(e.get());
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    const Entry entry;
    const EventState *e = event->state.get();
    if (e->capture) return failed(cudaErrorCapturedEvent);
    if (capture_forbids()) return failed(cudaErrorStreamCaptureUnsupported);
    if (e->done < e->recorded) {
        random_begin();
        run_one();
    }
    if (e->done < e->recorded) return cudaErrorNotReady;
    order_acquire(e);
    return cudaSuccess;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end) {
    const Entry entry;
    for (cudaEvent_t event : {begin, end}) {
        if ((event->flags & cudaEventDisableTiming) || event->state->recorded == 0)
            return failed(cudaErrorInvalidResourceHandle);
        if (event->state->done < event->state->recorded) return cudaErrorNotReady;
    }
    *ms = (float)(1e3 * (end->state->seconds - begin->state->seconds));
    return cudaSuccess;
}

/* --- graphs ----------------------------------------------------------------------------------- */

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
    const Entry entry;
    if (!stream) return failed(cudaErrorStreamCaptureUnsupported);
    if (stream->capture) return failed(cudaErrorIllegalState);
    stream->capture = std::make_shared<Capture>();
    stream->capture->mode = mode;
    stream->origin = true;
    stream->after.clear();
    return cudaSuccess;
}

/* Returns whether all nodes lie before the ones from which the stream would continue: no fork is left over. */
static bool all_joined(const std::vector<Node> &nodes, const std::vector<size_t> &last) {
    std::vector<bool> before(nodes.size());
    for (size_t i : last) before[i] = true;
    for (size_t i = nodes.size(); i-- > 0;)
        if (before[i])
            for (size_t a : nodes[i].after) before[a] = true;
    for (bool b : before)
        if (!b) return false;
    return true;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    const Entry entry;
    *out = NULL;
    if (!stream || !stream->capture) return failed(cudaErrorIllegalState);
    if (!stream->origin) return failed(cudaErrorStreamCaptureUnmatched);
    const std::shared_ptr<Capture> capture = stream->capture;
    const bool joined = all_joined(capture->nodes, stream->after);
    for (EmuStream *s : streams) {
        if (s->capture != capture) continue;
        s->capture = nullptr;
        s->origin = false;
        s->after.clear();
    }
    if (capture->spoilt) return failed(cudaErrorStreamCaptureInvalidated);
    if (!joined) return failed(cudaErrorStreamCaptureUnjoined);
    *out = new EmuGraph{capture->nodes};
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
    const Entry entry;
    const EmuStream *s = stream_of(stream);
    *status = !s->capture          ? cudaStreamCaptureStatusNone
              : s->capture->spoilt ? cudaStreamCaptureStatusInvalidated
                                   : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    const Entry entry;
    *out = new EmuGraphExec{std::make_shared<const std::vector<Node>>(graph->nodes)};
    return cudaSuccess;
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) {
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    const Entry entry;
    delete graph;
    return cudaSuccess;
}

/* Runs the nodes in a random order that their dependencies allow. */
static void run_graph(const std::vector<Node> &nodes) {
    std::vector<bool> done(nodes.size());
    for (size_t left = nodes.size(); left > 0; left--) {
        std::vector<size_t> able;
        for (size_t i = 0; i < nodes.size(); i++) {
            bool ready = !done[i];
            for (size_t a : nodes[i].after) ready = ready && done[a];
            if (ready) able.push_back(i);
        }
        const size_t chosen = able[random_below((uint32_t)able.size())];
        void *watch = watch_create(), *before = watch_enter(watch);
        {
            Unwatched unwatched;
            for (size_t a : nodes[chosen].after) order_acquire(&nodes[a]);
            nodes[chosen].work();
            order_release(&nodes[chosen]);
        }
        watch_leave(before);
        watch_destroy(watch);
        done[chosen] = true;
    }
    for (const Node &n : nodes) order_acquire(&n);
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    const Entry entry;
    if (stream_of(stream)->capture) return failed(cudaErrorStreamCaptureUnsupported);
    const auto nodes = graph->nodes;
    return enqueue(stream, [nodes]() { run_graph(*nodes); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    const Entry entry;
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    const Entry entry;
    if (nodes) return failed(cudaErrorNotSupported);
    *count = graph->nodes.size();
    return cudaSuccess;
}
