/* ops.c - opens a device by name. */
#include "ops.h"

#include <stdlib.h>
#include <string.h>

Status ops_open(Ops *out, const char *device, int threads, const char **why, Error *err) {
    *out = (Ops){0};
    if (why) *why = NULL;
    if (strcmp(device, "cpu") == 0) return cpu_open(out, threads, err);
    if (strcmp(device, "auto") == 0) {
        if (why) *why = "cpu: this version has no CUDA kernels";
        return cpu_open(out, threads, err);
    }
    if (strncmp(device, "cuda", 4) == 0 && (device[4] == '\0' || device[4] == ':'))
        return fail(err, ERR_DEVICE,
                    "device: %s: this version has no CUDA kernels: use --device cpu", device);
    return fail(err, ERR_USAGE, "device: '%s': expected auto, cpu, cuda or cuda:N", device);
}

void ops_close(Ops *ops) {
    if (!ops) return;
    free(ops->device);
    *ops = (Ops){0};
}
