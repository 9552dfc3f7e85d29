/* device.cu - opens GPUs, allocates their memory, puts features on them or beside them. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/backend/cuda.h"
#include "kernels/cuda/tile/compiled.cuh"

#if defined(__CUDACC__)
#include <cuda_profiler_api.h>
constexpr bool EMULATED = false;
#else
constexpr bool EMULATED = true;
#endif

#ifndef CUDA_ARCHITECTURES
#define CUDA_ARCHITECTURES "" /* the Makefile names the architectures that are built in */
#endif

Status cuda_fail(Error *err, const Device *device, const char *what, cudaError_t error) {
    char gave_up[240];
    return fail(err, error == cudaErrorMemoryAllocation ? ERR_MEMORY : ERR_DEVICE,
                "%s: %s: %s (%s)%s", device->kind, what, cudaGetErrorString(error),
                cudaGetErrorName(error), cuda_wait_text(gave_up, device->wait));
}

/* --- memory ----------------------------------------------------------------------------------- */

/* Trainings of a sweep allocate side by side. */
static void count_bytes(int64_t *sum, int64_t bytes) {
    __atomic_fetch_add(sum, bytes, __ATOMIC_RELAXED);
}

static void memory(Device *device, MemoryUse *out) {
    size_t free = 0, total = 0;
    cudaMemGetInfo(&free, &total);
    *out = device->used;
    out->free = (int64_t)free;
    out->total = (int64_t)total;
}

static Status out_of_memory(Device *device, int64_t bytes, const char *lower, Error *err) {
    MemoryUse use;
    char asked[24], left[24], total[24];
    cudaGetLastError(); /* the next launch would report it again */
    memory(device, &use);
    return fail(err, ERR_MEMORY, "memory: %s are asked of %s, %s of its %s are free%s: %s",
                bytes_text(asked, bytes), device->kind, bytes_text(left, use.free),
                bytes_text(total, use.total),
                use.free + use.arrays + use.resident < use.total / 2 ? " (others use it too)" : "",
                lower);
}

static Status alloc(Device *device, Buffer *out, int64_t bytes, Error *err) {
    *out = (Buffer){};
    if (bytes < 0) return fail(err, ERR_ARG, "memory: %lld bytes", (long long)bytes);
    const size_t size = bytes > 0 ? (size_t)bytes : 1;
    cudaError_t error = cudaMalloc(&out->data, size);
    if (error == cudaErrorMemoryAllocation) {
        out->data = NULL;
        return out_of_memory(device, bytes, "lower --batch_size, or use --device cpu", err);
    }
    if (error == cudaSuccess) error = cudaMemset(out->data, 0, size);
    if (error == cudaSuccess)
        error = cudaStreamSynchronize(0); /* queues do not wait for the memset */
    if (error != cudaSuccess) {
        cudaFree(out->data);
        *out = (Buffer){};
        return cuda_fail(err, device, "memory", error);
    }
    out->bytes = bytes;
    count_bytes(&device->used.arrays, bytes);
    return OK;
}

static void release(Device *device, Buffer *buffer) {
    if (!buffer->data) return;
    cudaFree(buffer->data);
    count_bytes(&device->used.arrays, -buffer->bytes);
    *buffer = (Buffer){};
}

/* --- features --------------------------------------------------------------------------------- */

static int64_t features_bytes(const Features *f) {
    return f->N * f->d * dtype_bytes(f->type);
}

/* Returns the bytes that stay free beside resident features, for later allocations and for other programs. */
static int64_t head_room(int64_t total) {
    return total / 32;
}

/* Copies features to the device. Returns ERR_MEMORY if they do not fit. */
static Status make_resident(Device *device, Features *out, const Features *host, Error *err) {
    const int64_t bytes = features_bytes(host);
    MemoryUse use;
    void *data = NULL;
    memory(device, &use);
    if (!device->resident || bytes > use.free - head_room(use.total)) return ERR_MEMORY;
    cudaError_t error = cudaMalloc(&data, bytes > 0 ? (size_t)bytes : 1);
    if (error == cudaErrorMemoryAllocation) {
        cudaGetLastError();
        return ERR_MEMORY;
    }
    if (error == cudaSuccess)
        error = cudaMemcpy(data, host->data, (size_t)bytes, cudaMemcpyHostToDevice);
    if (error != cudaSuccess) {
        cudaFree(data);
        return cuda_fail(err, device, "features", error);
    }
    *out = *host;
    out->data = data;
    count_bytes(&device->used.resident, bytes);
    return OK;
}

/* Returns the entry that holds this address, or a free entry for NULL. */
static Remote *find_remote(Device *device, const void *data) {
    for (Remote &r : device->remotes)
        if (data ? r.data && (const char *)data >= r.data && (const char *)data < r.data + r.bytes
                 : !r.data)
            return &r;
    return NULL;
}

/* Pins the file's own pages. Drivers and file systems may refuse. */
static bool pin_pages(Remote *r, const void *data, int64_t bytes) {
#if defined(__CUDACC__)
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t begin = (uintptr_t)data / page * page;
    const uintptr_t end = ((uintptr_t)data + (uintptr_t)bytes + page - 1) / page * page;
    void *seen = NULL;
    r->base = (void *)begin;
    r->registered =
        cudaHostRegister(r->base, end - begin, cudaHostRegisterMapped | cudaHostRegisterReadOnly) ==
        cudaSuccess;
    if (r->registered && cudaHostGetDevicePointer(&seen, r->base, 0) == cudaSuccess) {
        r->data = (char *)seen + ((uintptr_t)data - begin);
        r->bytes = bytes;
        return true;
    }
    if (r->registered) cudaHostUnregister(r->base);
    cudaGetLastError();
#else
    (void)data;
    (void)bytes;
#endif
    *r = Remote{};
    return false;
}

/* A pinned copy. */
static cudaError_t pin_copy(Remote *r, const void *data, int64_t bytes) {
    void *seen = NULL;
    cudaError_t error = cudaHostAlloc(&r->base, (size_t)bytes, cudaHostAllocMapped);
    if (error != cudaSuccess) {
        *r = Remote{};
        return error;
    }
    memcpy(r->base, data, (size_t)bytes);
    error = cudaHostGetDevicePointer(&seen, r->base, 0);
    if (error != cudaSuccess) {
        cudaFreeHost(r->base);
        *r = Remote{};
    } else {
        r->data = (char *)seen;
        r->bytes = bytes;
    }
    return error;
}

/* Leaves them in host memory. */
static Status make_remote(Device *device, Features *out, const Features *host, Error *err) {
    const int64_t bytes = features_bytes(host);
    char text[24];
    Remote *r = find_remote(device, NULL);
    if (!r || bytes < 1) return fail(err, ERR_ARG, "features: too many matrices, or an empty one");
    if (!pin_pages(r, host->data, bytes)) {
        const cudaError_t error = pin_copy(r, host->data, bytes);
        cudaGetLastError();
        if (error == cudaErrorMemoryAllocation)
            return fail(err, ERR_MEMORY,
                        "memory: features of %s fit neither on %s nor in pinned host memory: "
                        "store them as float16, or use --device cpu",
                        bytes_text(text, bytes), device->kind);
        if (error != cudaSuccess)
            return cuda_fail(err, device, "features in pinned host memory", error);
    }
    *out = *host;
    out->data = r->data;
    count_bytes(&device->used.remote, bytes);
    return OK;
}

static Status features_open(Device *device, Features *out, const Features *host, Error *err) {
    *out = Features{};
    const Status st = make_resident(device, out, host, err);
    return st == ERR_MEMORY ? make_remote(device, out, host, err) : st;
}

bool cuda_features_remote(Device *device, const Features *f) {
    return f->data && find_remote(device, f->data) != NULL;
}

static void features_close(Device *device, Features *f) {
    Remote *r = f->data ? find_remote(device, f->data) : NULL;
    if (r) {
        if (r->registered) cudaHostUnregister(r->base);
        else cudaFreeHost(r->base);
        *r = Remote{};
        count_bytes(&device->used.remote, -features_bytes(f));
    } else if (f->data) {
        cudaFree((void *)f->data);
        count_bytes(&device->used.resident, -features_bytes(f));
    }
    *f = Features{};
}

/* --- profilers -------------------------------------------------------------------------------- */

static bool may_replay(const Device *device) {
    const char *wish = getenv("TURTLE_REPLAY");
    return !CHECKED && !device->profile && !(wish && strcmp(wish, "0") == 0);
}

static Status capture(Device *device, bool on, Error *err) {
    const cudaError_t error = cudaDeviceSynchronize();
    if (error != cudaSuccess) return cuda_fail(err, device, "profile", error);
    device->replays = !on && may_replay(device);
#if defined(__CUDACC__)
    if (on) cudaProfilerStart();
    else cudaProfilerStop();
#endif
    return OK;
}

static Status profile(Device *device, Error *err) {
    if (!device->profile) device->profile = profile_open();
    if (!device->profile) return fail(err, ERR_MEMORY, "profile: out of memory");
    device->replays = false;
    return OK;
}

static int rows_of(Device *device, ProfileRow *rows, int capacity) {
    return profile_rows(device->profile, rows, capacity);
}

/* --- a device's life -------------------------------------------------------------------------- */

/* Returns why there is no device, or NULL if there is one. */
static const char *no_devices(int *count, char text[128]) {
    int runtime = 0, driver = 0;
    *count = 0;
    const cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaSuccess && *count > 0) return NULL;
    cudaGetLastError();
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    if (error == cudaErrorInsufficientDriver && driver == 0)
        snprintf(text, 128, "no CUDA driver is installed");
    else if (error == cudaErrorInsufficientDriver)
        snprintf(text, 128, "the driver knows CUDA %d.%d, this build needs %d.%d", driver / 1000,
                 driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    else if (error == cudaSuccess || error == cudaErrorNoDevice)
        snprintf(text, 128, "no CUDA device was found");
    else snprintf(text, 128, "%.100s", cudaGetErrorString(error));
    return text;
}

/* Returns whether the kernels run on the device; if not, `why` says what it lacks. */
static bool usable(const cudaDeviceProp *p, char *why, size_t size) {
    if (p->major >= 8) return true;
    snprintf(why, size, "%.80s has compute capability %d.%d, the kernels need 8.0", p->name,
             p->major, p->minor);
    return false;
}

static void describe(char *text, size_t size, const cudaDeviceProp *p) {
    snprintf(text, size, "%.48s (%d SMs, %.0f GB", p->name, p->multiProcessorCount,
             (double)p->totalGlobalMem / 1e9);
}

/* The number of host threads that share the device, this one among them. */
static thread_local int sharers = 1;

/* Returns the number that TURTLE_SMS holds; INT_MAX where it is unset, 0 where it is no number of SMs. */
static int sms_limit() {
    const char *text = getenv("TURTLE_SMS");
    char *end = NULL;
    if (!text || !*text) return INT_MAX;
    const long n = strtol(text, &end, 10);
    return *end || n < 1 || n > INT_MAX ? 0 : (int)n;
}

int cuda_sms_allowed(int sms) {
    return (int)most(1, least(sms, sms_limit()) / sharers);
}
int cuda_clusters_allowed(int clusters, int size) {
    return (int)least(clusters, sms_limit() / size) / sharers;
}

/* One kernel stands for all, for they are compiled for the same architectures. */
__global__ void asked_kernel() {}

static int capability_of(const cudaDeviceProp *p) {
    const int capability = 10 * p->major + p->minor;
    return capability != 90 || has_wgmma(compiled_for(asked_kernel)) ? capability : 80;
}

static Status enter(Device *device, int beside, Error *err) {
    const cudaError_t error = cudaSetDevice(device->ordinal);
    sharers = beside > 1 ? beside : 1;
    return error == cudaSuccess ? OK : cuda_fail(err, device, "choosing it", error);
}

static void close_device(Device *device) {
    profile_close(device->profile);
    cuda_waits_close(device);
    free(device);
}

extern "C" Status cuda_open(Ops *out, int ordinal, Error *err) {
    char why[256];
    int count = 0;
    cudaDeviceProp p;
    *out = Ops{};
    const char *none = no_devices(&count, why);
    if (none) return fail(err, ERR_DEVICE, "%s", none);
    if (ordinal < 0 || ordinal >= count)
        return fail(err, ERR_DEVICE, "there %s %d CUDA device%s, numbered from 0",
                    count == 1 ? "is" : "are", count, count == 1 ? "" : "s");
    cudaError_t error = cudaSetDevice(ordinal);
    if (error == cudaSuccess) error = cudaGetDeviceProperties(&p, ordinal);
    if (error != cudaSuccess)
        return fail(err, ERR_DEVICE, "cuda:%d: %s", ordinal, cudaGetErrorString(error));
    if (!usable(&p, why, sizeof why)) return fail(err, ERR_DEVICE, "%s", why);
    if (sms_limit() < 1)
        return fail(err, ERR_DEVICE, "TURTLE_SMS=%s: expected a number of SMs", getenv("TURTLE_SMS"));

    Device *device = (Device *)calloc(1, sizeof *device);
    if (!device) return fail(err, ERR_MEMORY, "out of memory");
    const char *resident = getenv("TURTLE_RESIDENT"), *kernels = getenv("TURTLE_KERNELS");
    device->ordinal = ordinal;
    device->sms = (int)least(p.multiProcessorCount, sms_limit());
    device->capability = capability_of(&p);
    device->shared_per_block = (int)p.sharedMemPerBlockOptin;
    device->naive = kernels && strcmp(kernels, "naive") == 0;
    device->resident = !(resident && strcmp(resident, "0") == 0);
    device->replays = may_replay(device);
    cuda_waits_open(device);
    if (EMULATED) snprintf(device->kind, sizeof device->kind, "cuda (emulated)");
    else snprintf(device->kind, sizeof device->kind, "cuda:%d", ordinal);

    char card[96];
    describe(card, sizeof card, &p);
    out->device = device;
    out->emulated = EMULATED;
    out->f16_products = true;
    out->precision = "fp16";
    out->busy_rows = EMULATED ? 256 : 10240;
    snprintf(out->kind, sizeof out->kind, "%s", device->kind);
    if (EMULATED) snprintf(out->name, sizeof out->name, "%s", device->kind);
    else snprintf(out->name, sizeof out->name, "%s %.78s)", device->kind, card);
    cuda_device_ops(&out->mem);
    cuda_queue_ops(&out->mem);
    cuda_table(&out->matrix, &out->train, &out->encode, &out->cluster);
    return OK;
}

extern "C" int cuda_devices(CudaDevice devices[CUDA_MAX_DEVICES], char versions[128], Error *err) {
    char why[128];
    int count = 0, runtime = 0, driver = 0;
    cudaRuntimeGetVersion(&runtime);
    cudaDriverGetVersion(&driver);
    snprintf(versions, 128, "driver %d.%d, runtime %d.%d, built for %s", driver / 1000,
             driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10,
             EMULATED ? "the emulator" : CUDA_ARCHITECTURES);
    if (no_devices(&count, why)) {
        error_write(err, "%s", why);
        return 0;
    }
    if (count > CUDA_MAX_DEVICES) count = CUDA_MAX_DEVICES;
    int current = 0;
    cudaGetDevice(&current);
    for (int i = 0; i < count; i++) {
        cudaDeviceProp p;
        char card[96];
        devices[i] = CudaDevice{};
        cudaError_t error = cudaGetDeviceProperties(&p, i);
        if (error == cudaSuccess) error = cudaSetDevice(i); /* capability_of asks it */
        if (error != cudaSuccess) {
            snprintf(devices[i].why, sizeof devices[i].why, "%s", cudaGetErrorString(error));
            continue;
        }
        devices[i].sms = (int)most(1, least(p.multiProcessorCount, sms_limit()));
        devices[i].shared_per_block = (int)p.sharedMemPerBlockOptin;
        devices[i].capability = capability_of(&p);
        describe(card, sizeof card, &p);
        snprintf(devices[i].name, sizeof devices[i].name, "%.75s, sm_%d%d)", card, p.major,
                 p.minor);
        usable(&p, devices[i].why, sizeof devices[i].why);
    }
    cudaSetDevice(current);
    return count;
}

void cuda_device_ops(DeviceOps *mem) {
    mem->close = close_device;
    mem->enter = enter;
    mem->alloc = alloc;
    mem->free = release;
    mem->memory = memory;
    mem->features_open = features_open;
    mem->features_remote = cuda_features_remote;
    mem->features_close = features_close;
    mem->capture = capture;
    mem->profile = profile;
    mem->profile_rows = rows_of;
}
