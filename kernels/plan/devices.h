/* devices.h - GPUs as the plan and the model see them: limits, rates, times. */
#ifndef TURTLE_KERNELS_PLAN_DEVICES_H
#define TURTLE_KERNELS_PLAN_DEVICES_H

/* What a layout and its time depend on. Rates are what good code reaches, where a measurement is
 * known; devices.c names the source of each. */
typedef struct {
    const char *name;
    int sms, shared_per_block;      /* SMs; most dynamic shared memory of a block, bytes */
    int wgmma;                      /* 1: compute capability 9.0 */
    double clock_hz;                /* SMs under load */
    double l2_bytes_s, hbm_bytes_s; /* all SMs together */
    double barrier_s, node_s;       /* all SMs meet; from one kernel of a graph to the next */
    double simt_flops, mma_flops_16, mma_flops_tf32, wgmma_flops_16; /* 0: it has none */
} PlanDevice;

/* "h200", "a100", "rtx4090", "tiny" (the emulator's default); NULL: not known. */
const PlanDevice *plan_device(const char *name);
/* All of them, in the order of the table; NULL beyond the last. */
const PlanDevice *plan_device_at(int i);
/* A device that is at hand: its own limits, with the rates of its nearest relative in the table,
 * those that all SMs share in proportion to their number. capability: 90 is 9.0. */
PlanDevice plan_device_like(int sms, int shared_per_block, int capability);
/* Of a device, so many SMs, with their share of the rates that all share. */
PlanDevice plan_part(const PlanDevice *device, int sms);

#endif
