/* runtime.cpp - memory, streams, events and graphs of the emulated device (cuda_host.h).
 *
 * What is enqueued is kept; it runs when somebody waits: cudaStreamSynchronize, cudaEventSynchronize,
 * blocking copies, cudaDeviceSynchronize, cudaFree. Among streams whose next operation nothing holds
 * back, EMU_SEED draws which goes on. */
#include <cuda_runtime.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "device.h"
#include "schedule.h"

namespace emu {

/* --- the device ------------------------------------------------------------------------------- */

static const Chip chips[] = {
    {"tiny", "emulated tiny", 4, 9, 0, 227 << 10, 228 << 10, (size_t)8 << 30, 4 << 20},
    {"h200", "emulated H200", 132, 9, 0, 227 << 10, 228 << 10, (size_t)141 << 30, 50 << 20},
    {"a100", "emulated A100", 108, 8, 0, 163 << 10, 164 << 10, (size_t)80 << 30, 40 << 20},
    {"ada", "emulated RTX 4090", 128, 8, 9, 99 << 10, 100 << 10, (size_t)24 << 30, 72 << 20},
};

const Chip &chip() {
    const char *key = getenv("EMU_DEVICE");
    if (!key || !*key) return chips[0];
    for (const Chip &c : chips)
        if (strcmp(c.key, key) == 0) return c;
    fprintf(stderr, "emulator: EMU_DEVICE=%s: expected tiny, h200, a100 or ada\n", key);
    exit(2);
}

uint64_t seed() {
    const char *text = getenv("EMU_SEED");
    return text && *text ? strtoull(text, NULL, 10) : 1;
}

/* xorshift64*: the schedule only has to differ from seed to seed. */
uint32_t random_below(uint32_t n) {
    static uint64_t state, of;
    const uint64_t now = seed();
    if (state == 0 || of != now) {
        of = now;
        state = (now + 1) * 0x9E3779B97F4A7C15u;
    }
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)(((state * 0x2545F4914F6CDD1Du >> 32) * n) >> 32);
}

static cudaError_t last_error = cudaSuccess;
static cudaError_t failed(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}

/* --- memory ----------------------------------------------------------------------------------- */

constexpr size_t RED_ZONE = 256;
constexpr unsigned char RED = 0xa5;

struct Allocation {
    size_t bytes;
    bool device; /* else pinned host memory */
};
static std::map<char *, Allocation> allocations; /* by what the caller holds */
static std::map<char *, size_t> registered;
static size_t device_bytes;

static size_t device_capacity() {
    const char *text = getenv("EMU_MEMORY"); /* bytes */
    return text && *text ? strtoull(text, NULL, 10) : chip().memory;
}

static void check_red_zone(const char *memory, const Allocation &a) {
    for (size_t i = 0; i < RED_ZONE; i++)
        if ((unsigned char)memory[-(long)RED_ZONE + (long)i] != RED ||
            (unsigned char)memory[a.bytes + i] != RED) {
            fprintf(stderr, "emulator: a kernel or copy wrote outside the %zu bytes at %p\n",
                    a.bytes, (const void *)memory);
            abort();
        }
}
static void check_red_zones() {
    for (const auto &a : allocations)
        if (a.second.device) check_red_zone(a.first, a.second);
}

static cudaError_t allocate(void **out, size_t bytes, bool device) {
    *out = NULL;
    if (device && device_bytes + bytes > device_capacity())
        return failed(cudaErrorMemoryAllocation);
    const size_t all = (bytes + 2 * RED_ZONE + 255) / 256 * 256;
    char *base = (char *)aligned_alloc(256, all);
    if (!base) return failed(cudaErrorMemoryAllocation);
    memset(base, RED, all);
    memset(base + RED_ZONE, 0xff, bytes);
    allocations[base + RED_ZONE] = {bytes, device};
    if (device) device_bytes += bytes;
    *out = base + RED_ZONE;
    return cudaSuccess;
}

/* Whether copies from it are made when they run; pageable memory is read at the call. */
static bool pinned(const void *memory) {
    auto inside = [memory](const auto &map, auto bytes_of) {
        auto after = map.upper_bound((char *)memory);
        if (after == map.begin()) return false;
        --after;
        return (char *)memory < after->first + bytes_of(after->second);
    };
    return inside(allocations, [](const Allocation &a) { return a.bytes; }) ||
           inside(registered, [](size_t n) { return n; });
}

} // namespace emu

using namespace emu;

/* --- streams, events, graphs ------------------------------------------------------------------ */

struct Node {
    std::function<void()> work;
    std::vector<int> after; /* of the same graph */
};
struct EmuGraph {
    std::vector<Node> nodes;
};
struct EmuGraphExec {
    std::vector<Node> nodes;
};

struct EmuEvent {
    uint64_t recorded = 0, done = 0; /* recordings enqueued, finished */
    double seconds = 0.0;            /* when the last one finished */
    EmuGraph *graph = NULL;          /* recorded while capturing: into this, */
    std::vector<int> after;          /* behind these */
};

struct Operation {
    std::function<void()> work;
    EmuEvent *waits; /* held back until waits->done >= version; or NULL */
    uint64_t version;
};
struct EmuStream {
    std::deque<Operation> queue;
    EmuGraph *graph = NULL; /* being captured */
    bool origin = false;
    std::vector<int> after; /* what the next captured node comes behind */
};

static std::vector<EmuStream *> streams;
static EmuStream *stream_of(cudaStream_t s) {
    static EmuStream legacy;
    if (s) return s;
    if (streams.empty() || streams[0] != &legacy) streams.insert(streams.begin(), &legacy);
    return &legacy;
}

static double now() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool can_go_on(const EmuStream *s) {
    if (s->queue.empty()) return false;
    const Operation &first = s->queue.front();
    return !first.waits || first.waits->done >= first.version;
}

/* Operations of all streams, one after the other, until `done`. */
template <class Done> static void run_until(Done done) {
    while (!done()) {
        std::vector<EmuStream *> able;
        for (EmuStream *s : streams)
            if (can_go_on(s)) able.push_back(s);
        if (able.empty()) {
            fprintf(stderr, "emulator: streams wait for events that nobody records\n");
            abort();
        }
        EmuStream *s = able[random_below((uint32_t)able.size())];
        Operation first = std::move(s->queue.front());
        s->queue.pop_front();
        if (first.work) first.work();
    }
}

static cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
    EmuStream *s = stream_of(stream);
    if (s->graph) {
        s->graph->nodes.push_back({std::move(work), s->after});
        s->after.assign(1, (int)s->graph->nodes.size() - 1);
    } else {
        s->queue.push_back({std::move(work), NULL, 0});
    }
    return cudaSuccess;
}

/* Waiting is not allowed while a stream is captured (the toolkit's global mode). */
static bool capturing() {
    for (const EmuStream *s : streams)
        if (s->graph) return true;
    return false;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned) {
    *out = new EmuStream();
    streams.push_back(*out);
    return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *out) {
    return cudaStreamCreateWithFlags(out, 0);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (capturing()) return failed(cudaErrorStreamCaptureUnsupported);
    EmuStream *s = stream_of(stream);
    run_until([s]() { return s->queue.empty(); });
    check_red_zones();
    return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (!stream) return failed(cudaErrorInvalidResourceHandle);
    cudaStreamSynchronize(stream);
    for (size_t i = 0; i < streams.size(); i++)
        if (streams[i] == stream) streams.erase(streams.begin() + (long)i--);
    delete stream;
    return cudaSuccess;
}
cudaError_t cudaStreamQuery(cudaStream_t stream) {
    return stream_of(stream)->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaDeviceSynchronize() {
    if (capturing()) return failed(cudaErrorStreamCaptureUnsupported);
    run_until([]() {
        for (const EmuStream *s : streams)
            if (!s->queue.empty()) return false;
        return true;
    });
    check_red_zones();
    return cudaSuccess;
}
cudaError_t cudaDeviceReset() {
    return cudaDeviceSynchronize();
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned) {
    *out = new EmuEvent();
    return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *out) {
    return cudaEventCreateWithFlags(out, 0);
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
    cudaEventSynchronize(event); /* the toolkit keeps it alive until then */
    delete event;
    return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    EmuStream *s = stream_of(stream);
    if (s->graph) {
        event->graph = s->graph;
        event->after = s->after;
        return cudaSuccess;
    }
    event->graph = NULL;
    const uint64_t version = ++event->recorded;
    return enqueue(stream, [event, version]() {
        event->done = version;
        event->seconds = now();
    });
}
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
    EmuStream *s = stream_of(stream);
    if (event->graph) { /* the stream joins the capture, or a fork comes back to it */
        if (s->graph && s->graph != event->graph) return failed(cudaErrorStreamCaptureInvalidated);
        s->graph = event->graph;
        s->after.insert(s->after.end(), event->after.begin(), event->after.end());
        return cudaSuccess;
    }
    if (s->graph) return cudaSuccess; /* recorded before the capture: nothing of it to wait for */
    s->queue.push_back({nullptr, event, event->recorded});
    return cudaSuccess;
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    const uint64_t version = event->recorded;
    run_until([event, version]() { return event->done >= version; });
    return cudaSuccess;
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
    return event->done >= event->recorded ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t begin, cudaEvent_t end) {
    if (cudaEventQuery(begin) != cudaSuccess || cudaEventQuery(end) != cudaSuccess)
        return cudaErrorNotReady;
    *ms = (float)(1e3 * (end->seconds - begin->seconds));
    return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
    if (!stream) return failed(cudaErrorStreamCaptureUnsupported);
    if (stream->graph) return failed(cudaErrorInvalidValue);
    stream->graph = new EmuGraph();
    stream->origin = true;
    stream->after.clear();
    return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out) {
    *out = NULL;
    if (!stream || !stream->graph || !stream->origin)
        return failed(cudaErrorStreamCaptureUnmatched);
    EmuGraph *graph = stream->graph;
    for (EmuStream *s : streams) { /* forks must have come back: their last nodes are ours too */
        if (s->graph != graph) continue;
        for (int node : s->after) {
            bool joined = s == stream || node < 0;
            for (const Node &n : graph->nodes)
                for (int a : n.after) joined = joined || a == node;
            for (int a : stream->after) joined = joined || a == node;
            if (!joined) {
                fprintf(stderr, "emulator: a stream that joined a capture did not come back\n");
                abort();
            }
        }
        s->graph = NULL;
        s->origin = false;
        s->after.clear();
    }
    *out = graph;
    return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus *status) {
    *status =
        stream_of(stream)->graph ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long) {
    *out = new EmuGraphExec{graph->nodes};
    return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    delete graph;
    return cudaSuccess;
}
/* Nodes in a random order that their dependencies allow. */
static void run_graph(const std::vector<Node> &nodes) {
    std::vector<bool> done(nodes.size());
    for (size_t left = nodes.size(); left > 0; left--) {
        std::vector<size_t> able;
        for (size_t i = 0; i < nodes.size(); i++) {
            bool ready = !done[i];
            for (int a : nodes[i].after) ready = ready && done[(size_t)a];
            if (ready) able.push_back(i);
        }
        const size_t chosen = able[random_below((uint32_t)able.size())];
        nodes[chosen].work();
        done[chosen] = true;
    }
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream) {
    if (stream_of(stream)->graph) return failed(cudaErrorStreamCaptureUnsupported);
    return enqueue(stream, [graph]() { run_graph(graph->nodes); });
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) {
    cudaDeviceSynchronize();
    delete graph;
    return cudaSuccess;
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *context) {
    return enqueue(stream, [function, context]() { function(context); });
}

/* --- launches --------------------------------------------------------------------------------- */

static std::map<const void *, int> shared_allowed;

namespace emu {

int allowed_shared(const void *kernel) {
    const auto found = shared_allowed.find(kernel);
    return found == shared_allowed.end() ? 48 << 10 : found->second;
}

/* Registers are not emulated: 128 for every thread, which leaves 512 threads on an SM. */
int occupancy(const void *kernel, int threads, size_t shared) {
    if (threads < 1 || threads > 1024 || (int)shared > allowed_shared(kernel)) return 0;
    const int by_threads = 512 / threads < 1 ? 1 : 512 / threads;
    const int by_shared = chip().shared_per_sm / ((int)shared + 1024);
    return by_threads < by_shared ? by_threads : by_shared;
}

cudaError_t attributes(cudaFuncAttributes *out, const void *kernel) {
    *out = cudaFuncAttributes();
    out->maxThreadsPerBlock = 1024;
    out->numRegs = 128;
    out->maxDynamicSharedSizeBytes = allowed_shared(kernel);
    return cudaSuccess;
}

static const char *next_name = "kernel";
void name_launch(const char *name) {
    next_name = name;
}

cudaError_t enqueue_launch(const cudaLaunchConfig_t *config, const void *kernel,
                           std::function<void()> body) {
    const dim3 grid = config->gridDim, block = config->blockDim;
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    bool cooperative = false;
    for (unsigned i = 0; i < config->numAttrs; i++)
        if (config->attrs[i].id == cudaLaunchAttributeCooperative)
            cooperative = config->attrs[i].val.cooperative != 0;
    if (threads == 0 || threads > 1024 || blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535)
        return failed(cudaErrorInvalidConfiguration);
    if (block.y != 1 || block.z != 1) return failed(cudaErrorInvalidConfiguration); /* tile.cuh */
    if ((int64_t)config->dynamicSmemBytes > allowed_shared(kernel))
        return failed(cudaErrorInvalidValue);
    const int64_t resident =
        (int64_t)occupancy(kernel, (int)threads, config->dynamicSmemBytes) * chip().sms;
    if (cooperative && (int64_t)blocks > resident)
        return failed(cudaErrorCooperativeLaunchTooLarge);
    if (resident == 0) return failed(cudaErrorInvalidConfiguration);
    Launch launch = {};
    launch.name = next_name;
    next_name = "kernel";
    launch.grid = grid;
    launch.threads = (int)threads;
    launch.shared = config->dynamicSmemBytes;
    /* blocks that nothing makes wait for one another need not exist at once: fewer stay in cache */
    launch.resident_blocks = cooperative || resident < 8 ? resident : 8;
    return enqueue(config->stream, [launch, body]() {
        Launch own = launch;
        own.body = &body;
        run_launch(&own);
    });
}

} // namespace emu

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > chip().shared_per_block)
        return failed(cudaErrorInvalidValue);
    shared_allowed[kernel] = value > 48 << 10 ? value : 48 << 10;
    return cudaSuccess;
}

/* --- copies ----------------------------------------------------------------------------------- */

cudaError_t cudaMalloc(void **out, size_t bytes) {
    return allocate(out, bytes, true);
}
cudaError_t cudaMallocManaged(void **out, size_t bytes, unsigned) {
    return allocate(out, bytes, true);
}
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned) {
    return allocate(out, bytes, false);
}
cudaError_t cudaMallocHost(void **out, size_t bytes) {
    return allocate(out, bytes, false);
}
static cudaError_t release_memory(void *memory, bool device) {
    if (!memory) return cudaSuccess;
    cudaDeviceSynchronize(); /* what is enqueued may use it */
    const auto found = allocations.find((char *)memory);
    if (found == allocations.end() || found->second.device != device)
        return failed(cudaErrorInvalidValue);
    check_red_zone(found->first, found->second);
    if (device) device_bytes -= found->second.bytes;
    free((char *)memory - RED_ZONE);
    allocations.erase(found);
    return cudaSuccess;
}
cudaError_t cudaFree(void *memory) {
    return release_memory(memory, true);
}
cudaError_t cudaFreeHost(void *memory) {
    return release_memory(memory, false);
}
cudaError_t cudaHostRegister(void *memory, size_t bytes, unsigned) {
    if (!memory || !bytes || registered.count((char *)memory)) return failed(cudaErrorInvalidValue);
    registered[(char *)memory] = bytes;
    return cudaSuccess;
}
cudaError_t cudaHostUnregister(void *memory) {
    cudaDeviceSynchronize();
    return registered.erase((char *)memory) ? cudaSuccess : failed(cudaErrorInvalidValue);
}
cudaError_t cudaHostGetDevicePointer(void **device, void *memory, unsigned) {
    *device = memory;
    return pinned(memory) ? cudaSuccess : failed(cudaErrorInvalidValue);
}
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total) {
    *total = device_capacity();
    *free_bytes = *total > device_bytes ? *total - device_bytes : 0;
    return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    if (!to || !from) return failed(cudaErrorInvalidValue);
    if (kind == cudaMemcpyHostToDevice && !pinned(from)) { /* staged before the call returns */
        const auto staged = std::make_shared<std::string>((const char *)from, bytes);
        return enqueue(stream, [to, staged]() { memcpy(to, staged->data(), staged->size()); });
    }
    return enqueue(stream, [to, from, bytes]() { memmove(to, from, bytes); });
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, cudaMemcpyKind kind) {
    cudaError_t error = cudaMemcpyAsync(to, from, bytes, kind, NULL);
    return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}
cudaError_t cudaMemsetAsync(void *to, int byte, size_t bytes, cudaStream_t stream) {
    if (bytes == 0) return cudaSuccess;
    if (!to) return failed(cudaErrorInvalidValue);
    return enqueue(stream, [to, byte, bytes]() { memset(to, byte, bytes); });
}
cudaError_t cudaMemset(void *to, int byte, size_t bytes) {
    const cudaError_t error = cudaMemsetAsync(to, byte, bytes, NULL);
    return error == cudaSuccess ? cudaDeviceSynchronize() : error;
}

/* --- what there is ---------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = 1;
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    return device == 0 ? cudaSuccess : failed(cudaErrorInvalidDevice);
}
cudaError_t cudaGetDevice(int *device) {
    *device = 0;
    return cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
    if (device != 0) return failed(cudaErrorInvalidDevice);
    *p = cudaDeviceProp();
    snprintf(p->name, sizeof p->name, "%s", chip().name);
    p->totalGlobalMem = device_capacity();
    p->sharedMemPerBlock = 48 << 10;
    p->sharedMemPerBlockOptin = (size_t)chip().shared_per_block;
    p->sharedMemPerMultiprocessor = (size_t)chip().shared_per_sm;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = 2048;
    p->major = chip().major;
    p->minor = chip().minor;
    p->multiProcessorCount = chip().sms;
    p->l2CacheSize = (int)chip().l2;
    p->cooperativeLaunch = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    cudaDeviceProp p;
    const cudaError_t error = cudaGetDeviceProperties(&p, device);
    if (error != cudaSuccess) return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrClockRate: *value = 1000000; break; /* kHz */
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
        *value = (int)p.sharedMemPerMultiprocessor;
        break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerMultiprocessor; break;
    case cudaDevAttrPageableMemoryAccess: *value = 0; break;
    case cudaDevAttrCooperativeLaunch: *value = 1; break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = (int)p.sharedMemPerBlockOptin; break;
    default: return failed(cudaErrorInvalidValue);
    }
    return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *version) {
    *version = CUDART_VERSION;
    return cudaSuccess;
}
cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}
static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorCooperativeLaunchTooLarge, "cudaErrorCooperativeLaunchTooLarge",
     "too many blocks in cooperative launch"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not initiated in this stream"},
};
const char *cudaGetErrorString(cudaError_t error) {
    for (const auto &e : errors)
        if (e.error == error) return e.text;
    return "unrecognized error code";
}
const char *cudaGetErrorName(cudaError_t error) {
    for (const auto &e : errors)
        if (e.error == error) return e.name;
    return "unrecognized error code";
}
cudaError_t cudaProfilerStart() {
    return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
    return cudaSuccess;
}
