/* wait.cu - the host's side of waits that give up (wait.h). */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/backend/cuda.h"

static WaitFile *files; /* zero before any constructor runs */

WaitFile::WaitFile(const void *where, const char *path) : state(where), name(path), next(files) {
    const char *slash = strrchr(path, '/');
    if (slash) name = slash + 1;
    files = this;
}

/* Copies `state` to every file's WaitState, with the number of the file. */
static void tell(WaitState state) {
#if defined(__CUDACC__)
    for (const WaitFile *f = files; f; f = f->next, state.source++)
        cudaMemcpyToSymbol(f->state, &state, sizeof state, 0, cudaMemcpyHostToDevice);
#else
    (void)state; /* the emulator detects a deadlock without a clock */
#endif
}

void cuda_waits_open(Device *device) {
    const char *text = getenv("TURTLE_WAIT_SECONDS");
    const double seconds = text ? strtod(text, NULL) : 0.0;
    WaitState state = {};
    if (!files) return;
    if (cudaHostAlloc((void **)&device->wait, sizeof *device->wait, cudaHostAllocMapped) !=
        cudaSuccess)
        device->wait = NULL;
    if (device->wait) {
        memset(device->wait, 0, sizeof *device->wait);
        state.limit = (uint64_t)(1e9 * (seconds > 0.0 ? seconds : 2.0));
        if (cudaHostGetDevicePointer((void **)&state.record, device->wait, 0) == cudaSuccess)
            tell(state);
    }
    cudaGetLastError(); /* without the record waits last forever */
}

void cuda_waits_close(Device *device) {
    if (!device->wait) return;
    tell(WaitState{});
    cudaFreeHost(device->wait);
    device->wait = NULL;
    cudaGetLastError(); /* the device may have failed */
}

const char *cuda_wait_text(char text[240], const WaitRecord *record) {
    WaitRecord r = {};
    text[0] = '\0';
    if (record) memcpy(&r, record, sizeof r);
    if (!r.written) return text;
    const WaitFile *file = files;
    for (int i = 0; file && i < r.source; i++) file = file->next;
    r.where[sizeof r.where - 1] = '\0';
    snprintf(text, 240,
             "; %s: block (%u,%u,%u) of %u, thread %u gave up at %s:%d: the counter at %#llx is "
             "%u, it wants %u",
             file ? file->name : "?", r.block[0], r.block[1], r.block[2], r.blocks, r.thread,
             r.where, r.line, (unsigned long long)r.counter, r.value, r.target);
    return text;
}
