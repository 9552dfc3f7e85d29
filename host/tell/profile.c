/* profile.c - the kernels of a run, as a table for people and as JSON.
 *
 *     kernel           calls   total ms    median us      GB/s   TFLOP/s      share
 *
 * GB/s and TFLOP/s are what the operations must move and compute, over the time they took: bytes
 * count once however often a kernel reads them. */
#include "host/tell/profile.h"

#include <stdlib.h>
#include <string.h>

enum { ROWS = 128, LINE = 192 };

typedef struct {
    ProfileRow row[ROWS];
    int count;
    double total_ms;
} Rows;

static Rows *read_rows(const Ops *ops) {
    Rows *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->count = ops->mem.profile_rows(ops->device, r->row, ROWS);
    if (r->count > ROWS) r->count = ROWS;
    for (int i = 0; i < r->count; i++) r->total_ms += r->row[i].total_ms;
    return r;
}

/* Returns a rate per second as text: "-" where nothing was counted or took no time. */
static const char *rate(char text[24], double amount, double ms, double unit) {
    if (!(amount > 0) || !(ms > 0)) return "-";
    snprintf(text, 24, "%.4g", amount / unit / (1e-3 * ms));
    return text;
}

char *profile_table(const Ops *ops) {
    Rows *r = read_rows(ops);
    char *text = r ? calloc((size_t)r->count + 3, LINE) : NULL;
    if (text) {
        size_t used = (size_t)snprintf(
            text, LINE, "kernels on %s\n%-40s %8s %10s %10s %9s %9s %6s\n", ops->name, "kernel",
            "calls", "total ms", "median us", "GB/s", "TFLOP/s", "share");
        for (int i = 0; i < r->count; i++) {
            const ProfileRow *k = &r->row[i];
            char bytes[24], flops[24];
            used += (size_t)snprintf(
                text + used, LINE, "%-40s %8lld %10.3f %10.2f %9s %9s %5.1f%%\n", k->kernel,
                (long long)k->calls, k->total_ms, k->median_us,
                rate(bytes, k->bytes, k->total_ms, 1e9), rate(flops, k->flops, k->total_ms, 1e12),
                r->total_ms > 0 ? 100.0 * k->total_ms / r->total_ms : 0.0);
        }
    }
    free(r);
    return text;
}

void json_profile(Json *j, const Ops *ops) {
    Rows *r = read_rows(ops);
    json_open_array(j, "profile");
    for (int i = 0; r && i < r->count; i++) {
        const ProfileRow *k = &r->row[i];
        json_open(j, NULL);
        json_text(j, "kernel", k->kernel);
        json_integer(j, "calls", k->calls);
        json_real(j, "total_ms", k->total_ms);
        json_real(j, "median_us", k->median_us);
        json_real(j, "bytes", k->bytes);
        json_real(j, "flops", k->flops);
        json_close(j);
    }
    json_close_array(j);
    free(r);
}
