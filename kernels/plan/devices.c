/* devices.c - GPUs and the rates that good code reaches on them. */
#include "kernels/plan/devices.h"

#include <stddef.h>
#include <string.h>

/* Sources. ds: the maker's data sheet; meas: measured, by others, on that part or a near one (H100 for
 * H200: same SM and clocks); est: our estimate, to be replaced by bench/roofs on the device.
 *
 *               SMs, shared   clock     L2           memory        barrier           node
 *     h200      ds            meas      est, of the  ds 4.8, meas  meas on other     meas, H100,
 *                             1.83 GHz  6.9-7.8 of   4.2-4.4       parts: 0.66-1.17  in a CUDA graph
 *                             in loops  an H800
 *     h100      as h200       as h200   as h200      ds 3.35,      as h200           as h200
 *               (SXM5)                               meas 3.0-3.1
 *     a100      ds            ds        est          ds            meas 0.5-2        est
 *     rtx4090   ds            ds        est          ds            meas, 3090: 0.7   est
 *     tiny      the emulator's: 4 SMs of an H200 and their share of what SMs share
 *
 *               fp32            mma.sync 16 bits       tf32            wgmma 16 bits
 *     h200      meas, cuBLAS    meas 65 % of ds 989    half of that    meas, cuBLAS 795 of ds 989
 *     h100      as h200
 *     a100      ds 19.5         meas 271 of ds 312     half of that    has none
 *     rtx4090   ds 82.6, est    ds 165 (sums float32)  ds              has none
 *
 *               clocks from L1, shared memory, L2, memory, another block's shared memory
 *     h200      meas, H100: 41, 29, 263, 479, 180 (arXiv 2402.13499); a GH200: L2 281, memory 690 (the table of latencies
 *     h100      in github.com/markdewing/AI_kernels)
 *     a100      est: as h100 but for its L2, 200 (arXiv 2208.11174)
 *     rtx4090   meas, L2 296, memory 636 (AI_kernels); est: the others
 *
 * Signals of a barrier: 2376 clocks of a grid.sync of 148 SMs, measured on a B300, are 1.17 us. Its drain: one trip to the
 * L2 cache, 0.14 us, and est 0.16 for the last SM; together 0.1 to 0.6.
 * Cooperative kernels and memsets as nodes: est 2 us (1.5 to 2.5), for no figure was found.
 * L2 cache: ds 50 MB (h200, h100), 40 (a100), 72 (rtx4090). */
/* clang-format off */
static const PlanDevice devices[] = {
    {"h200", 132, 232448, 1, 1.83e9, 5.5e12, 4.3e12, 1.2e-6, 1.3e-6, 52e12, 640e12, 320e12, 795e12,
     0.3e-6, 2.0e-6, 50e6, 41, 29, 263, 479, 180},
    {"h100", 132, 232448, 1, 1.83e9, 5.5e12, 3.05e12, 1.2e-6, 1.3e-6, 52e12, 640e12, 320e12, 795e12,
     0.3e-6, 2.0e-6, 50e6, 41, 29, 263, 479, 180},
    {"a100", 108, 166912, 0, 1.41e9, 4.0e12, 1.8e12, 1.5e-6, 1.5e-6, 19e12, 271e12, 135e12, 0.0,
     0.3e-6, 2.2e-6, 40e6, 41, 29, 200, 479, 0},
    {"rtx4090", 128, 101376, 0, 2.52e9, 5.0e12, 0.92e12, 1.0e-6, 1.3e-6, 70e12, 160e12, 80e12, 0.0,
     0.3e-6, 2.0e-6, 72e6, 41, 30, 296, 636, 0},
    {"tiny", 4, 232448, 1, 1.83e9, 5.5e12 * 4 / 132, 4.3e12 * 4 / 132, 1.2e-6, 1.3e-6,
     52e12 * 4 / 132, 640e12 * 4 / 132, 320e12 * 4 / 132, 795e12 * 4 / 132,
     0.3e-6, 2.0e-6, 50e6, 41, 29, 263, 479, 180},
};
/* clang-format on */
enum { DEVICES = sizeof devices / sizeof *devices };

/* The ranges of these figures. The ends are those of an H200, in the comment; of other devices the same part:
 *     L2 cache 4.0 to 7.8 TB/s; memory 4.2 to 4.4 TB/s; trips 200 to 281, 479 to 690 and 180 to 213 clocks (the last: another
 *     reading of the same paper); drain 0.1 to 0.6 us; heavy nodes 1.5 to 2.5 us; wgmma 660 to 810 and mma.sync 400 to 640
 *     TFLOP/s; clock 1.755 to 1.98 GHz; the L2 cache keeps as much as one of half or twice its size might */
static const PlanRange ranges[] = {
    {"the rate of the L2 cache", offsetof(PlanDevice, l2_bytes_s), 0.73, 1.42},
    {"the rate of the memory", offsetof(PlanDevice, hbm_bytes_s), 0.977, 1.023},
    {"the trip to the L2 cache", offsetof(PlanDevice, l2_clocks), 0.76, 1.07},
    {"the trip to memory", offsetof(PlanDevice, hbm_clocks), 1.0, 1.44},
    {"the trip to another block's shared memory", offsetof(PlanDevice, dsmem_clocks), 1.0, 1.18},
    {"the drain of a barrier", offsetof(PlanDevice, drain_s), 0.33, 2.0},
    {"a cooperative or memset node", offsetof(PlanDevice, heavy_node_s), 0.75, 1.25},
    {"the rate of wgmma", offsetof(PlanDevice, wgmma_flops_16), 0.83, 1.02},
    {"the rate of mma.sync", offsetof(PlanDevice, mma_flops_16), 0.625, 1.0},
    {"the clock", offsetof(PlanDevice, clock_hz), 0.96, 1.08},
    {"what the L2 cache keeps of a step", offsetof(PlanDevice, l2_bytes), 0.5, 2.0},
};
enum { RANGES = sizeof ranges / sizeof *ranges };

const PlanRange *plan_range_at(int i) {
    return i >= 0 && i < RANGES ? &ranges[i] : NULL;
}

PlanDevice plan_device_with(const PlanDevice *device, const PlanRange *range, bool greatest) {
    PlanDevice other = *device;
    double figure;
    memcpy(&figure, (char *)&other + range->offset, sizeof figure);
    figure *= greatest ? range->most : range->least;
    memcpy((char *)&other + range->offset, &figure, sizeof figure);
    return other;
}

const PlanDevice *plan_device_at(int i) {
    return i >= 0 && i < DEVICES ? &devices[i] : NULL;
}

const PlanDevice *plan_device(const char *name) {
    for (int i = 0; i < DEVICES; i++)
        if (strcmp(devices[i].name, name) == 0) return &devices[i];
    return NULL;
}

PlanDevice plan_device_like(int sms, int shared_per_block, int capability) {
    const char *like = capability >= 90 && capability < 120 ? "h200"
                       : capability == 80                   ? "a100"
                                                            : "rtx4090";
    PlanDevice p = *plan_device(like);
    p.name = "this device";
    p.shared_per_block = shared_per_block;
    p.wgmma = capability == 90;
    if (!p.wgmma) p.wgmma_flops_16 = 0.0;
    return plan_part(&p, sms);
}

PlanDevice plan_part(const PlanDevice *device, int sms) {
    PlanDevice p = *device;
    const double share = (double)sms / p.sms;
    p.sms = sms;
    p.l2_bytes_s *= share, p.hbm_bytes_s *= share;
    p.simt_flops *= share, p.mma_flops_16 *= share, p.mma_flops_tf32 *= share;
    p.wgmma_flops_16 *= share;
    return p;
}
