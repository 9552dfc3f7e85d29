/* device.h - the emulated device's limits, and its settings. */
#ifndef TURTLE_EMU_DEVICE_H
#define TURTLE_EMU_DEVICE_H

#include <stddef.h>
#include <stdint.h>

namespace emu {

struct Chip {
    const char *key, *name; /* EMU_DEVICE, what the runtime calls it */
    int sms, major, minor;
    int shared_per_block, shared_per_sm; /* bytes */
    size_t memory, l2;                   /* bytes */
};
const Chip &chip();                /* EMU_DEVICE, tiny where unset */
uint64_t seed();                   /* EMU_SEED, 1 where unset */
uint32_t random_below(uint32_t n); /* of the schedule */

/* Most dynamic shared memory that a kernel was allowed to ask for. */
int allowed_shared(const void *kernel);

} // namespace emu

#endif
