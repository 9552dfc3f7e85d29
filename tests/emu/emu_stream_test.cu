/* emu_stream_test.cu - memory, streams, events and graphs of the emulator behave as in the CUDA runtime. */
#include "tests/emu/emu_test.h"

static void seed(int number) {
    char text[16];
    snprintf(text, sizeof text, "%d", number);
    setenv("EMU_SEED", text, 1);
}

/* x = x * factor + add: the result shows the order of the steps. */
__global__ void step(int *x, int factor, int add) {
    if (threadIdx.x == 0) *x = *x * factor + add;
}
static void enqueue_step(cudaStream_t stream, int *x, int factor, int add) {
    OKAY(try_start(false, stream, step, 1, 32, 0, x, factor, add));
}
static int value(const int *x) {
    int out = -1;
    OKAY(cudaMemcpy(&out, x, sizeof out, cudaMemcpyDeviceToHost));
    return out;
}
static cudaStream_t stream_apart() {
    cudaStream_t s;
    OKAY(cudaStreamCreateWithFlags(&s, cudaStreamNonBlocking));
    return s;
}
static cudaEvent_t event() {
    cudaEvent_t e;
    OKAY(cudaEventCreate(&e));
    return e;
}

/* --- streams and events ------------------------------------------------------------------------- */

Test(emu_stream, nothing_runs_before_somebody_waits, .timeout = 60) {
    int *x = NULL;
    if (RACE) cr_skip_test("the race is reported, rightly");
    cudaStream_t s = stream_apart();
    OKAY(cudaMallocManaged((void **)&x, sizeof *x));
    *x = 1;
    enqueue_step(s, x, 0, 5);
    cr_expect(*x == 1);
    OKAY(cudaStreamSynchronize(s));
    cr_expect(*x == 5);
    OKAY(cudaStreamDestroy(s));
    OKAY(cudaFree(x));
}

Test(emu_stream, order_is_that_of_the_stream_and_of_events_alone, .timeout = 120) {
    int *x = device_memory<int>(1), *y = device_memory<int>(1), seen = 0;
    if (RACE) cr_skip_test("the race is reported, rightly");
    cudaStream_t a = stream_apart(), b = stream_apart();
    cudaEvent_t e = event();
    for (int s = 1; s <= 12; s++) {
        seed(s);
        OKAY(cudaMemset(x, 0, 4));
        OKAY(cudaMemset(y, 0, 4));
        for (int i = 1; i <= 4; i++) enqueue_step(a, x, 10, i);
        OKAY(cudaEventRecord(e, a));
        OKAY(cudaStreamWaitEvent(b, e));
        enqueue_step(a, x, 10, 5);
        enqueue_step(b, y, 1, 7);
        OKAY(cudaMemcpyAsync(y, x, 4, cudaMemcpyDeviceToDevice, b)); /* before a's last, or after */
        OKAY(cudaStreamSynchronize(b));
        const int got = value(y);
        cr_expect(got == 1234 || got == 12345, "%d", got);
        seen |= got == 1234 ? 1 : 2;
        OKAY(cudaStreamSynchronize(a));
        cr_expect(value(x) == 12345);
    }
    cr_expect(seen == 3, "every schedule ordered what nothing orders");
    OKAY(cudaStreamDestroy(a));
    OKAY(cudaStreamDestroy(b));
    OKAY(cudaEventDestroy(e));
}

Test(emu_stream, the_legacy_stream_waits_for_blocking_ones, .timeout = 60) {
    int *x = device_memory<int>(1);
    cudaStream_t a, b;
    OKAY(cudaStreamCreate(&a));
    OKAY(cudaStreamCreate(&b));
    for (int s = 1; s <= 6; s++) {
        seed(s);
        OKAY(cudaMemset(x, 0, 4));
        enqueue_step(a, x, 10, 1);
        enqueue_step(NULL, x, 10, 2);
        enqueue_step(b, x, 10, 3);
        enqueue_step(NULL, x, 10, 4);
        OKAY(cudaStreamSynchronize(NULL));
        cr_expect(value(x) == 1234, "seed %d: %d", s, value(x));
    }
    OKAY(cudaStreamDestroy(a));
    OKAY(cudaStreamDestroy(b));
}

static void note(void *context) {
    ++*(int *)context;
}
Test(emu_stream, events_are_asked_and_timed, .timeout = 60) {
    int *x = device_memory<int>(1), notes = 0;
    float ms = -1.0f;
    cudaStream_t s = stream_apart();
    cudaEvent_t begin = event(), end = event(), untimed;
    OKAY(cudaEventCreateWithFlags(&untimed, cudaEventDisableTiming));
    cr_expect(cudaEventQuery(end) == cudaSuccess, "never recorded");
    OKAY(cudaMemsetAsync(x, 0, 4, s));
    OKAY(cudaEventRecord(begin, s));
    enqueue_step(s, x, 1, 1);
    OKAY(cudaLaunchHostFunc(s, note, &notes));
    OKAY(cudaEventRecord(end, s));
    cr_expect(cudaEventElapsedTime(&ms, begin, end) == cudaErrorNotReady);
    int asked = 0;
    while (cudaEventQuery(end) == cudaErrorNotReady) asked++; /* time goes on between questions */
    cr_expect(asked > 0 && asked < 100 && notes == 1, "%d questions", asked);
    OKAY(cudaEventElapsedTime(&ms, begin, end));
    cr_expect(ms >= 0.0f && ms < 1e4f, "%g ms", (double)ms);
    OKAY(cudaEventRecord(untimed, s));
    OKAY(cudaStreamSynchronize(s));
    cr_expect(cudaEventElapsedTime(&ms, begin, untimed) == cudaErrorInvalidResourceHandle);
    OKAY(cudaEventDestroy(begin));
    OKAY(cudaEventRecord(end, s));
    OKAY(cudaEventDestroy(end)); /* while work on it is enqueued */
    OKAY(cudaEventDestroy(untimed));
    OKAY(cudaStreamDestroy(s));
}

/* --- copies ------------------------------------------------------------------------------------- */

Test(emu_stream, pageable_memory_is_read_at_once_pinned_when_it_is_its_turn, .timeout = 60) {
    int *x = device_memory<int>(3), *pinned = NULL, pageable = 1, registered = 1, got[3];
    void *seen = NULL;
    if (RACE) cr_skip_test("the race is reported, rightly");
    cudaStream_t s = stream_apart();
    OKAY(cudaHostAlloc((void **)&pinned, sizeof *pinned, cudaHostAllocMapped));
    OKAY(cudaHostRegister(&registered, sizeof registered, cudaHostRegisterDefault));
    *pinned = 1;
    OKAY(cudaMemcpyAsync(x, &pageable, 4, cudaMemcpyHostToDevice, s));
    OKAY(cudaMemcpyAsync(x + 1, pinned, 4, cudaMemcpyHostToDevice, s));
    OKAY(cudaMemcpyAsync(x + 2, &registered, 4, cudaMemcpyHostToDevice, s));
    pageable = *pinned = registered = 2;
    OKAY(cudaStreamSynchronize(s));
    OKAY(cudaMemcpy(got, x, sizeof got, cudaMemcpyDeviceToHost));
    cr_expect(got[0] == 1 && got[1] == 2 && got[2] == 2, "%d %d %d", got[0], got[1], got[2]);
    OKAY(cudaHostGetDevicePointer(&seen, pinned, 0));
    cr_expect(seen == pinned && cudaHostGetDevicePointer(&seen, &pageable, 0) != cudaSuccess);
    OKAY(cudaHostUnregister(&registered));
    cr_expect(cudaHostUnregister(&registered) == cudaErrorHostMemoryNotRegistered);
    OKAY(cudaFreeHost(pinned));
    OKAY(cudaStreamDestroy(s));
    cudaGetLastError();
}

Test(emu_stream, copies_and_memory_have_limits, .timeout = 60) {
    char host[100], *x = device_memory<char>(100), *y = NULL;
    size_t before, after, total;
    cr_expect(cudaMemcpy(x, host, 101, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cr_expect(cudaMemcpy(host, x + 50, 51, cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
    cr_expect(cudaMemcpy(host, host + 50, 1, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
    cr_expect(cudaMemset(x, 0, 101) == cudaErrorInvalidValue);
    OKAY(cudaMemset(x, 3, 100));
    OKAY(cudaMemcpy(host, x, 100, cudaMemcpyDefault));
    cr_expect(host[99] == 3);
    cr_expect(cudaFree(x + 1) == cudaErrorInvalidValue && cudaFreeHost(x) == cudaErrorInvalidValue);
    OKAY(cudaFree(x));
    OKAY(cudaFree(NULL));
    cr_expect(cudaFree(x) == cudaErrorInvalidValue);
    setenv("EMU_MEMORY", "1000000", 1);
    OKAY(cudaMemGetInfo(&before, &total));
    cr_expect(total == 1000000 && before == total);
    x = device_memory<char>(600000);
    cr_expect(cudaMalloc((void **)&y, 600000) == cudaErrorMemoryAllocation && y == NULL);
    OKAY(cudaMemGetInfo(&after, &total));
    cr_expect(before - after == 600000);
    OKAY(cudaFree(x));
    OKAY(cudaMalloc((void **)&y, 600000));
    OKAY(cudaFree(y));
    cudaGetLastError();
}

/* --- graphs ------------------------------------------------------------------------------------- */

Test(emu_stream, a_graph_replays_its_forks_and_joins, .timeout = 120) {
    int *x = device_memory<int>(3), got[3];
    cudaStream_t a = stream_apart(), b = stream_apart();
    cudaEvent_t forked = event(), joined = event();
    cudaGraph_t graph;
    cudaGraphExec_t replay;
    cudaStreamCaptureStatus status;
    size_t nodes = 0;
    OKAY(cudaMemset(x, 0, 12));
    OKAY(cudaStreamBeginCapture(a, cudaStreamCaptureModeThreadLocal));
    enqueue_step(a, x, 1, 1);
    OKAY(cudaEventRecord(forked, a));
    OKAY(cudaStreamWaitEvent(b, forked));
    OKAY(cudaStreamIsCapturing(b, &status));
    cr_expect(status == cudaStreamCaptureStatusActive);
    OKAY(cudaMemcpyAsync(x + 1, x, 4, cudaMemcpyDeviceToDevice, b)); /* it sees the value from before */
    enqueue_step(b, x + 1, 1, 100);
    OKAY(cudaMemcpyAsync(x + 2, x, 4, cudaMemcpyDeviceToDevice, a));
    OKAY(cudaEventRecord(joined, b));
    OKAY(cudaStreamWaitEvent(a, joined));
    enqueue_step(a, x, 10, 0);
    OKAY(cudaStreamEndCapture(a, &graph));
    OKAY(cudaGraphGetNodes(graph, NULL, &nodes));
    cr_expect(nodes == 5, "%zu", nodes);
    OKAY(cudaGraphInstantiate(&replay, graph));
    OKAY(cudaGraphDestroy(graph));
    cr_expect(value(x) == 0, "a capture runs nothing");
    for (int s = 1; s <= 6; s++) {
        seed(s);
        OKAY(cudaMemset(x, 0, 12));
        OKAY(cudaGraphLaunch(replay, a));
        OKAY(cudaGraphLaunch(replay, a));
        OKAY(cudaStreamSynchronize(a));
        OKAY(cudaMemcpy(got, x, sizeof got, cudaMemcpyDeviceToHost));
        cr_expect(got[0] == 110 && got[1] == 111 && got[2] == 11, "%d %d %d", got[0], got[1],
                  got[2]);
    }
    OKAY(cudaGraphLaunch(replay, a));
    OKAY(cudaGraphExecDestroy(replay)); /* while work on it is enqueued */
    OKAY(cudaStreamSynchronize(a));
    OKAY(cudaEventDestroy(forked));
    OKAY(cudaEventDestroy(joined));
    OKAY(cudaStreamDestroy(a));
    OKAY(cudaStreamDestroy(b));
}

Test(emu_stream, captures_refuse_what_the_runtime_refuses, .timeout = 60) {
    int *x = device_memory<int>(1);
    void *y = NULL;
    cudaStream_t a = stream_apart(), b = stream_apart();
    cudaEvent_t e = event(), early = event();
    cudaGraph_t graph;
    OKAY(cudaMemset(x, 0, 4));
    OKAY(cudaEventRecord(early, b));
    /* waiting */
    OKAY(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    cr_expect(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal) == cudaErrorIllegalState);
    cr_expect(cudaStreamSynchronize(a) == cudaErrorStreamCaptureUnsupported);
    cr_expect(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureInvalidated && !graph);
    /* allocating */
    OKAY(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    cr_expect(cudaMalloc(&y, 4) == cudaErrorStreamCaptureUnsupported);
    cr_expect(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureInvalidated);
    /* a fork that does not come back */
    OKAY(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    OKAY(cudaEventRecord(e, a));
    OKAY(cudaStreamWaitEvent(b, e));
    enqueue_step(b, x, 1, 1);
    cr_expect(cudaStreamEndCapture(b, &graph) == cudaErrorStreamCaptureUnmatched);
    cr_expect(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureUnjoined && !graph);
    /* what was enqueued outside */
    OKAY(cudaStreamBeginCapture(a, cudaStreamCaptureModeGlobal));
    cr_expect(cudaStreamWaitEvent(a, early) == cudaErrorStreamCaptureIsolation);
    cr_expect(cudaStreamEndCapture(a, &graph) == cudaErrorStreamCaptureInvalidated);
    cr_expect(cudaEventSynchronize(e) == cudaErrorCapturedEvent);
    /* and after all this, streams work */
    enqueue_step(a, x, 1, 1);
    OKAY(cudaStreamSynchronize(a));
    cr_expect(value(x) == 1, "%d", value(x));
    OKAY(cudaEventDestroy(e));
    OKAY(cudaEventDestroy(early));
    OKAY(cudaStreamDestroy(a));
    OKAY(cudaStreamDestroy(b));
    cudaGetLastError();
}

/* --- devices ------------------------------------------------------------------------------------ */

Test(emu_stream, devices_have_their_limits) {
    static const struct {
        const char *key;
        int sms, major, minor, shared;
    } expected[] = {{"tiny", 4, 9, 0, 227},
                    {"slice", 4, 9, 0, 227},
                    {"h200", 132, 9, 0, 227},
                    {"a100", 108, 8, 0, 163},
                    {"ada", 128, 8, 9, 99}};
    for (const auto &d : expected) {
        cudaDeviceProp p;
        int sms = 0, shared = 0;
        setenv("EMU_DEVICE", d.key, 1);
        OKAY(cudaGetDeviceProperties(&p, 0));
        OKAY(cudaDeviceGetAttribute(&sms, cudaDevAttrMultiProcessorCount, 0));
        OKAY(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0));
        cr_expect(sms == d.sms && p.multiProcessorCount == d.sms && shared == d.shared << 10 &&
                      p.major == d.major && p.minor == d.minor && !strncmp(p.name, "emulated ", 9),
                  "%s: %s", d.key, p.name);
    }
    cr_expect(cudaSetDevice(1) == cudaErrorInvalidDevice);
    cr_expect(!strcmp(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice"));
    const char *name = NULL;
    OKAY(cudaFuncGetName(&name, (const void *)step));
    cr_expect(!strcmp(name, "step"), "%s", name);
    cudaGetLastError();
}

/* All 132 SMs of an H200 run 50 688 threads at once, as a persistent kernel does. */
__global__ void everybody(int *count, unsigned *arrived) {
    unsigned epoch = 0;
    atomicAdd(count, 1);
    grid_barrier(arrived, epoch);
    if (*count != (int)(gridDim.x * blockDim.x)) __trap();
}
Test(emu_stream, a_whole_h200_is_resident, .timeout = 120) {
    if (RACE) cr_skip_test("ThreadSanitizer knows 8128 fibers");
    int *count = device_memory<int>(1);
    unsigned *arrived = device_memory<unsigned>(1);
    setenv("EMU_DEVICE", "h200", 1);
    OKAY(cudaMemset(count, 0, 4));
    OKAY(cudaMemset(arrived, 0, 4));
    start_cooperative(everybody, 132, 384, 0, count, arrived);
    OKAY(cudaDeviceSynchronize());
    cr_expect(value(count) == 132 * 384);
}
