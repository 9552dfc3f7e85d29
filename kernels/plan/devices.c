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
 *     a100      ds            ds        est          ds            meas 0.5-2        est
 *     rtx4090   ds            ds        est          ds            meas, 3090: 0.7   est
 *     tiny      the emulator's: 4 SMs of an H200 and their share of what SMs share
 *
 *               fp32            mma.sync 16 bits       tf32            wgmma 16 bits
 *     h200      meas, cuBLAS    meas 65 % of ds 989    half of that    meas, cuBLAS 795 of ds 989
 *     a100      ds 19.5         meas 271 of ds 312     half of that    has none
 *     rtx4090   ds 82.6, est    ds 165 (sums float32)  ds              has none
 */
static const PlanDevice devices[] = {
    {"h200", 132, 232448, 1, 1.83e9, 5.5e12, 4.3e12, 1.2e-6, 1.3e-6, 52e12, 640e12, 320e12, 795e12},
    {"a100", 108, 166912, 0, 1.41e9, 4.0e12, 1.8e12, 1.5e-6, 1.5e-6, 19e12, 271e12, 135e12, 0.0},
    {"rtx4090", 128, 101376, 0, 2.52e9, 5.0e12, 0.92e12, 1.0e-6, 1.3e-6, 70e12, 160e12, 80e12, 0.0},
    {"tiny", 4, 232448, 1, 1.83e9, 5.5e12 * 4 / 132, 4.3e12 * 4 / 132, 1.2e-6, 1.3e-6,
     52e12 * 4 / 132, 640e12 * 4 / 132, 320e12 * 4 / 132, 795e12 * 4 / 132},
};
enum { DEVICES = sizeof devices / sizeof *devices };

const PlanDevice *plan_device_at(int i) {
    return i >= 0 && i < DEVICES ? &devices[i] : NULL;
}

const PlanDevice *plan_device(const char *name) {
    for (int i = 0; i < DEVICES; i++)
        if (strcmp(devices[i].name, name) == 0) return &devices[i];
    return NULL;
}

PlanDevice plan_device_like(int sms, int shared_per_block, int capability) {
    PlanDevice p = *plan_device(capability >= 90 ? "h200" : capability == 80 ? "a100" : "rtx4090");
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
