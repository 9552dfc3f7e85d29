/* device.cpp - the emulated device: limits, settings, errors, and launches within the limits. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <pthread.h>

#include <map>
#include <mutex>
#include <set>

#include "kernels/emu/device.h"
#include "kernels/emu/thread.h"

#include <cuda.h>

namespace emu {

/* --- settings --------------------------------------------------------------------------------- */

static const Chip chips[] = {
    /* key, name, SMs, GPCs, capability, shared memory of a block and an SM, threads of an SM, memory, L2 */
    {"tiny", "emulated tiny", 4, 1, 9, 0, 227 << 10, 228 << 10, 2048, (size_t)8 << 30, 4 << 20},
    {"slice", "emulated slice of a GPU", 4, 2, 9, 0, 227 << 10, 228 << 10, 2048, (size_t)1 << 30,
     1 << 20},
    {"h200", "emulated H200", 132, 8, 9, 0, 227 << 10, 228 << 10, 2048, (size_t)141 << 30,
     50 << 20},
    {"a100", "emulated A100", 108, 7, 8, 0, 163 << 10, 164 << 10, 2048, (size_t)80 << 30, 40 << 20},
    {"ada", "emulated RTX 4090", 128, 11, 8, 9, 99 << 10, 100 << 10, 1536, (size_t)24 << 30,
     72 << 20},
};

const Chip &chip() {
    const char *key = getenv("EMU_DEVICE");
    if (!key || !*key) return chips[0];
    for (const Chip &c : chips)
        if (strcmp(c.key, key) == 0) return c;
    fprintf(stderr, "emulator: EMU_DEVICE=%s: expected tiny, slice, h200, a100 or ada\n", key);
    exit(2);
}

static uint64_t number(const char *variable, uint64_t otherwise) {
    const char *text = getenv(variable);
    if (!text || !*text) return otherwise;
    char *end;
    const unsigned long long value = strtoull(text, &end, 10);
    if (!*end && text[0] != '-') return value;
    fprintf(stderr, "emulator: %s=%s: expected a number\n", variable, text);
    exit(2);
}
uint64_t seed() {
    return number("EMU_SEED", 1);
}
size_t device_capacity() {
    return number("EMU_MEMORY", chip().memory);
}
int code_built() {
    const Chip &c = chip();
    return (int)number("EMU_CODE", (uint64_t)(10 * c.major + c.minor));
}

int gpcs(int sms[MAX_GPCS]) {
    const Chip &c = chip();
    const char *text = getenv("EMU_GPCS");
    int n = 0;
    for (const int pairs = c.sms / 2; (!text || !*text) && n < c.gpcs; n++)
        sms[n] = 2 * (pairs / c.gpcs + (n < pairs % c.gpcs)); /* SMs come in pairs */
    for (char *end; text && *text; text = *end == ',' ? end + 1 : end) {
        const long count = strtol(text, &end, 10);
        if (n == MAX_GPCS || count < 1 || count > 64 || (*end && *end != ',') || end == text) {
            fprintf(stderr, "emulator: EMU_GPCS: expected the SMs of 1 to %d GPCs, as 16,18,16\n", MAX_GPCS);
            exit(2);
        }
        sms[n++] = (int)count;
    }
    return n;
}
int device_sms() {
    int sms[MAX_GPCS], sum = 0;
    for (int i = gpcs(sms); i > 0; i--) sum += sms[i - 1];
    return sum;
}

void fence() {
    static char
        all; /* a fence orders more here than on a GPU: all before it, for every later fence */
    order_release(&all);
    order_acquire(&all);
}

/* --- host threads and their devices -------------------------------------------------------------- */

static std::recursive_mutex inside; /* a function of the runtime may call another */
Entry::Entry() {
    inside.lock();
}
Entry::~Entry() {
    inside.unlock();
}

/* All devices are the same chip. */
int device_count() {
    const uint64_t n = number("EMU_DEVICES", 1);
    if (n >= 1 && n <= MAX_DEVICES) return (int)n;
    fprintf(stderr, "emulator: EMU_DEVICES: expected 1 to %d\n", MAX_DEVICES);
    exit(2);
}

static thread_local int current;
int current_device() {
    return current;
}

/* How many launches each device had so far, and from how many host threads. `held`: the SMs that the last launch
 * of waiting blocks of each host thread takes, until the thread chooses a device again; `most_held`: their largest
 * sum so far. */
static struct {
    int64_t launches;
    std::set<pthread_t> threads;
    std::map<pthread_t, int64_t> held;
    int64_t most_held;
} use[MAX_DEVICES];

static void count_launch(int64_t held) {
    auto &u = use[current];
    u.launches++;
    u.threads.insert(pthread_self());
    if (!held) return;
    int64_t sum = 0;
    u.held[pthread_self()] = held;
    for (const auto &h : u.held) sum += h.second;
    if (sum > u.most_held) u.most_held = sum;
}

/* --- launches --------------------------------------------------------------------------------- */

constexpr int DEFAULT_SHARED = 48 << 10; /* shared memory that a kernel has without asking */
static std::map<const void *, int> shared_allowed;

static int allowed_shared(const void *kernel) {
    const auto found = shared_allowed.find(kernel);
    return found == shared_allowed.end() ? DEFAULT_SHARED : found->second;
}

/* Registers are not emulated. We assume 128 for every thread, which leaves 512 threads on an SM. */
int occupancy(const void *kernel, int threads, size_t shared) {
    const Entry entry;
    if (threads < 1 || threads > 1024 || (int64_t)shared > allowed_shared(kernel)) return 0;
    const int whole = (threads + 31) / 32 * 32;
    const int by_threads = 512 / whole < 1 ? 1 : 512 / whole;
    const int by_shared = chip().shared_per_sm / ((int)shared + 1024);
    return by_threads < by_shared ? by_threads : by_shared;
}

/* Returns how many clusters of `size` blocks fit at once, each in one GPC. */
static int64_t clusters_at_once(int per_sm, int size) {
    int sms[MAX_GPCS];
    int64_t sum = 0;
    for (int g = gpcs(sms); g > 0; g--) sum += sms[g - 1] * per_sm / size;
    return sum;
}

/* Returns the blocks of a cluster, which lie side by side in x, or 0 where no launch may ask for them. */
static int cluster_of(const cudaLaunchConfig_t *config) {
    int size = 1;
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const cudaLaunchAttribute &a = config->attrs[i];
        if (a.id != cudaLaunchAttributeClusterDimension) continue;
        const auto &dim = a.val.clusterDim;
        if (chip().major < 9 || dim.y != 1 || dim.z != 1 || dim.x < 1 || dim.x > 8 ||
            config->gridDim.x % dim.x)
            return 0;
        size = (int)dim.x;
    }
    return size;
}

cudaError_t max_clusters(int *clusters, const void *kernel, const cudaLaunchConfig_t *config) {
    const Entry entry;
    const int size = cluster_of(config), threads = (int)config->blockDim.x;
    *clusters = 0;
    if (size == 0) return failed(cudaErrorInvalidClusterSize);
    *clusters = (int)clusters_at_once(occupancy(kernel, threads, config->dynamicSmemBytes), size);
    return cudaSuccess;
}

cudaError_t attributes(cudaFuncAttributes *out, const void *kernel) {
    const Entry entry;
    *out = cudaFuncAttributes();
    out->maxThreadsPerBlock = 1024;
    out->numRegs = 128;
    out->ptxVersion = code_built();
    out->binaryVersion = chip().major * 10 + chip().minor; /* PTX is compiled for the chip, whatever it lacks */
    out->maxDynamicSharedSizeBytes = allowed_shared(kernel);
    return cudaSuccess;
}

static thread_local const char *next_name;
void name_launch(const char *name) {
    next_name = name;
}

/* Returns how many blocks exist at once. Where blocks do not wait for each other, few are enough, and they stay
 * in the cache. ThreadSanitizer knows 8128 fibers, of which a copying thread takes two. */
static int64_t resident_blocks(bool cooperative, int64_t most, int threads) {
    if (cooperative) return most;
    const int64_t few = watched ? (2048 / threads < 1 ? 1 : 2048 / threads) : 8;
    return most < few ? most : few;
}

cudaError_t enqueue_launch(const cudaLaunchConfig_t *config, const void *kernel,
                           std::function<void()> one) {
    const Entry entry;
    const dim3 grid = config->gridDim, block = config->blockDim;
    const uint64_t threads = (uint64_t)block.x * block.y * block.z;
    const uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
    Launch launch = {};
    bool cooperative = false;
    launch.name = next_name;
    next_name = NULL;
    for (unsigned i = 0; i < config->numAttrs; i++) {
        const cudaLaunchAttribute &a = config->attrs[i];
        if (a.id == cudaLaunchAttributeCooperative) cooperative = a.val.cooperative != 0;
    }
    if (threads == 0 || threads > 1024 || blocks == 0 || grid.x > 0x7fffffffu || grid.y > 65535 ||
        grid.z > 65535 || block.y != 1 || block.z != 1) /* tile.cuh: threads are numbered x only */
        return failed(cudaErrorInvalidConfiguration);
    if ((int64_t)config->dynamicSmemBytes > allowed_shared(kernel))
        return failed(cudaErrorInvalidValue);
    launch.cluster = cluster_of(config);
    if (launch.cluster == 0) return failed(cudaErrorInvalidClusterSize);
    const int per_sm = occupancy(kernel, (int)threads, config->dynamicSmemBytes);
    const int64_t most = launch.cluster == 1
                             ? (int64_t)per_sm * device_sms()
                             : launch.cluster * clusters_at_once(per_sm, launch.cluster);
    if (launch.cluster > 1 && most == 0) return failed(cudaErrorInvalidClusterSize);
    if (cooperative && (int64_t)blocks > most) return failed(cudaErrorCooperativeLaunchTooLarge);
    count_launch(cooperative ? ((int64_t)blocks + per_sm - 1) / per_sm : 0);
    launch.kernel = kernel;
    launch.grid = grid;
    launch.threads = (int)threads;
    launch.shared = config->dynamicSmemBytes;
    launch.resident = resident_blocks(cooperative, most, (int)threads);
    return enqueue(config->stream, [launch, one]() {
        Launch own = launch;
        own.one = &one;
        run_launch(&own);
    });
}

} // namespace emu

using namespace emu;

cudaError_t cudaFuncSetAttribute(const void *kernel, cudaFuncAttribute attribute, int value) {
    const Entry entry;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > chip().shared_per_block)
        return failed(cudaErrorInvalidValue);
    shared_allowed[kernel] = value > DEFAULT_SHARED ? value : DEFAULT_SHARED;
    return cudaSuccess;
}
cudaError_t cudaFuncGetName(const char **name, const void *kernel) {
    const Entry entry;
    *name = symbol_name(kernel);
    return *name ? cudaSuccess : failed(cudaErrorInvalidDeviceFunction);
}
cudaError_t cudaGetDriverEntryPointByVersion(const char *symbol, void **function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult *found) {
    const Entry entry;
    const bool known = strcmp(symbol, "cuTensorMapEncodeTiled") == 0;
    *function = known ? (void *)cuTensorMapEncodeTiled : NULL;
    if (found) *found = known ? cudaDriverEntryPointSuccess : cudaDriverEntryPointSymbolNotFound;
    return cudaSuccess;
}
long long clock64() {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (long long)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- what there is ---------------------------------------------------------------------------- */

cudaError_t cudaGetDeviceCount(int *count) {
    *count = device_count();
    return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
    const Entry entry;
    if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
    use[current].held.erase(pthread_self());
    current = device;
    return cudaSuccess;
}
cudaError_t cudaGetDevice(int *device) {
    *device = current;
    return cudaSuccess;
}
extern "C" int64_t emu_launches(int device, int *host_threads) {
    const Entry entry;
    *host_threads = (int)use[device].threads.size();
    return use[device].launches;
}
extern "C" int64_t emu_most_held(int device) {
    const Entry entry;
    return use[device].most_held;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device) {
    const Entry entry;
    if (device < 0 || device >= device_count()) return failed(cudaErrorInvalidDevice);
    const Chip &c = chip();
    *p = cudaDeviceProp();
    snprintf(p->name, sizeof p->name, "%s", c.name);
    p->totalGlobalMem = device_capacity();
    p->sharedMemPerBlock = (size_t)DEFAULT_SHARED;
    p->sharedMemPerBlockOptin = (size_t)c.shared_per_block;
    p->sharedMemPerMultiprocessor = (size_t)c.shared_per_sm;
    p->reservedSharedMemPerBlock = 1024;
    p->regsPerBlock = p->regsPerMultiprocessor = 65536;
    p->warpSize = 32;
    p->maxThreadsPerBlock = 1024;
    p->maxThreadsPerMultiProcessor = c.threads_per_sm;
    p->maxBlocksPerMultiProcessor = c.threads_per_sm / 64;
    p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
    p->maxThreadsDim[2] = 64;
    p->maxGridSize[0] = 0x7fffffff;
    p->maxGridSize[1] = p->maxGridSize[2] = 65535;
    p->major = c.major;
    p->minor = c.minor;
    p->multiProcessorCount = device_sms();
    p->l2CacheSize = (int)c.l2;
    p->cooperativeLaunch = p->managedMemory = p->unifiedAddressing = 1;
    p->canMapHostMemory = p->concurrentKernels = p->asyncEngineCount = 1;
    return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *value, cudaDeviceAttr attribute, int device) {
    const Entry entry;
    cudaDeviceProp p;
    const cudaError_t error = cudaGetDeviceProperties(&p, device);
    if (error != cudaSuccess) return error;
    switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = (int)p.sharedMemPerBlock; break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
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
cudaError_t cudaProfilerStart() {
    return cudaSuccess;
}
cudaError_t cudaProfilerStop() {
    return cudaSuccess;
}

/* --- errors ----------------------------------------------------------------------------------- */

static thread_local cudaError_t last_error = cudaSuccess;

namespace emu {
cudaError_t failed(cudaError_t error) {
    if (error != cudaSuccess) last_error = error;
    return error;
}
} // namespace emu

cudaError_t cudaGetLastError() {
    const cudaError_t error = last_error;
    last_error = cudaSuccess;
    return error;
}
cudaError_t cudaPeekAtLastError() {
    return last_error;
}
#define ERROR(name, text) \
    { name, #name, text }
static const struct {
    cudaError_t error;
    const char *name, *text;
} errors[] = {
    ERROR(cudaSuccess, "no error"),
    ERROR(cudaErrorInvalidValue, "invalid argument"),
    ERROR(cudaErrorMemoryAllocation, "out of memory"),
    ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for the runtime"),
    ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    ERROR(cudaErrorNotReady, "device not ready"),
    ERROR(cudaErrorHostMemoryAlreadyRegistered, "memory is already pinned or mapped"),
    ERROR(cudaErrorHostMemoryNotRegistered, "memory has not been pinned or mapped"),
    ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    ERROR(cudaErrorCooperativeLaunchTooLarge, "too many blocks in cooperative launch"),
    ERROR(cudaErrorNotSupported, "operation not supported"),
    ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    ERROR(cudaErrorStreamCaptureInvalidated,
          "operation failed due to a previous error during capture"),
    ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate captures"),
    ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the stream in which it began"),
    ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    ERROR(cudaErrorStreamCaptureIsolation,
          "dependency created on uncaptured work in another stream"),
    ERROR(cudaErrorStreamCaptureImplicit,
          "operation would make the legacy stream depend on a capturing blocking stream"),
    ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capture"),
    ERROR(cudaErrorInvalidClusterSize, "invalid cluster size"),
    ERROR(cudaErrorUnknown, "unknown error"),
};
#undef ERROR
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
