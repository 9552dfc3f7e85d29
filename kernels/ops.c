/* ops.c - opens a device by name. */
#include "kernels/ops.h"

#include <stdlib.h>
#include <string.h>

const char *bytes_text(char text[24], int64_t bytes) {
    static const char *const units[] = {"B", "KB", "MB", "GB"};
    double x = (double)bytes;
    int unit = 0;
    for (; unit < 3 && x >= 999.5; unit++) x /= 1000.0;
    snprintf(text, 24, "%.3g %s", x, units[unit]);
    return text;
}

/* Returns the number behind "cuda:", -1 where there is none, or -2 where it is not a number. */
static int ordinal_of(const char *device) {
    char *end;
    if (device[4] == '\0') return -1;
    if (device[5] < '0' || device[5] > '9') return -2;
    const long n = strtol(device + 5, &end, 10);
    return *end == '\0' && n < 1000 ? (int)n : -2;
}

/* Opens a GPU. Of the host's cores beside it one enqueues; the others may decode, draw, match. */
static Status open_cuda(Ops *out, int ordinal, int threads, Error *err) {
    const Status st = cuda_open(out, ordinal < 0 ? 0 : ordinal, err);
    if (st != OK) return st;
    out->cores = cpu_cores();
    out->threads = threads > 0 ? threads : out->cores > 1 ? out->cores - 1 : 1;
    return OK;
}

static Status open_named(Ops *out, const char *device, int threads, Error *err) {
    Error reason = {""};
    const int ordinal = ordinal_of(device);
    if (ordinal == -2)
        return fail(err, ERR_USAGE, "device: '%s': expected auto, cpu, cuda or cuda:N", device);
    const Status st = open_cuda(out, ordinal, threads, &reason);
    if (st == OK) return OK;
    return fail(err, st, "device: %s: %s: use --device cpu", device, reason.text);
}

static Status open_auto(Ops *out, int threads, Error *err) {
    Error reason = {""};
    if (open_cuda(out, -1, threads, &reason) == OK) {
        if (!out->emulated) return OK;
        snprintf(reason.text, sizeof reason.text, "the CUDA device of this build is emulated");
        ops_close(out);
    }
    const Status st = cpu_open(out, threads, err);
    if (st == OK) snprintf(out->why, sizeof out->why, "cpu: %.240s", reason.text);
    return st;
}

Status ops_open(Ops *out, const char *device, int threads, const char **why, Error *err) {
    Status st;
    *out = (Ops){0};
    if (why) *why = NULL;
    if (strcmp(device, "cpu") == 0) st = cpu_open(out, threads, err);
    else if (strcmp(device, "auto") == 0) st = open_auto(out, threads, err);
    else if (strncmp(device, "cuda", 4) == 0 && (device[4] == '\0' || device[4] == ':'))
        st = open_named(out, device, threads, err);
    else return fail(err, ERR_USAGE, "device: '%s': expected auto, cpu, cuda or cuda:N", device);
    if (st == OK && why && out->why[0]) *why = out->why;
    return st;
}

void ops_close(Ops *ops) {
    if (!ops) return;
    if (ops->device) ops->mem.close(ops->device);
    *ops = (Ops){0};
}
