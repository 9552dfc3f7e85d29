/* devices.h - GPUs as the plan and the model see them: limits, rates, times. */
#ifndef TURTLE_KERNELS_PLAN_DEVICES_H
#define TURTLE_KERNELS_PLAN_DEVICES_H

#include <stdbool.h>

/* The limits and rates that a layout and its time depend on. Good code reaches these rates, where one was measured;
 * devices.c names the source of each. Rates of bytes and flops are of all SMs together. */
typedef struct {
    const char *name;
    int sms;                        /* streaming multiprocessors */
    int shared_per_block;           /* most dynamic shared memory of a block, bytes */
    int wgmma;                      /* 1: compute capability 9.0, which has wgmma; else 0 */
    double clock_hz;                /* clock of the SMs under load */
    double l2_bytes_s, hbm_bytes_s; /* bandwidths of the L2 cache and of the memory */
    double
        barrier_s; /* time in which all SMs signal that they have come, and see it of the others */
    double node_s; /* time from one plain kernel of a graph to the next */
    double simt_flops, mma_flops_16, mma_flops_tf32, wgmma_flops_16; /* 0: the device has none */
    double drain_s; /* what a barrier takes beside: stores drain, and the last SM is waited for */
    double heavy_node_s; /* time of a node that is a cooperative kernel or a memset */
    double l2_bytes;     /* size of the L2 cache */
    /* Clocks from a load to the use of what it brought, from L1, from shared memory, from the L2 cache, from memory, and
     * from the shared memory of another block of the cluster. */
    double l1_clocks, shared_clocks, l2_clocks, hbm_clocks, dsmem_clocks;
} PlanDevice;

/* Returns the device of that name: "h200", "h100", "a100", "rtx4090" or "tiny" (the emulator's default). Returns
 * NULL for a name that is not in the table. */
const PlanDevice *plan_device(const char *name);
/* Returns the i-th device of the table, or NULL beyond the last. */
const PlanDevice *plan_device_at(int i);
/* Returns a device that is at hand: its own limits, with the rates of its nearest relative in the table.
 * Bandwidths and flop rates grow and shrink with the number of SMs. capability: 90 is 9.0. */
PlanDevice plan_device_like(int sms, int shared_per_block, int capability);
/* Returns a device cut down to `sms` SMs; bandwidths and flop rates shrink in proportion. */
PlanDevice plan_part(const PlanDevice *device, int sms);

/* A figure of the devices that is not known well: which one, and the factors of its least and greatest value. */
typedef struct {
    const char *name;
    int offset; /* of the field in PlanDevice, a double */
    double least, most;
} PlanRange;
/* Returns the i-th of them, or NULL beyond the last. */
const PlanRange *plan_range_at(int i);
/* Returns the device with that figure times its least or its greatest factor. */
PlanDevice plan_device_with(const PlanDevice *device, const PlanRange *range, bool greatest);

#endif
