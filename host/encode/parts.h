/* parts.h - the memory of a batch, buffer by buffer: a network lists its buffers and their bytes once, and they are
 * counted, allocated and freed by that list. */
#ifndef TURTLE_HOST_ENCODE_PARTS_H
#define TURTLE_HOST_ENCODE_PARTS_H

#include "kernels/ops.h"

typedef struct {
    Buffer *buffer;
    int64_t bytes; /* 0: the buffer is not needed */
} Part;

enum { MOST_PARTS = 8 };

/* The buffers of one network and batch. */
typedef struct {
    Part part[MOST_PARTS];
    int count;
} Parts;

/* Returns the sum of their bytes. */
static inline int64_t parts_bytes(const Parts *p) {
    int64_t sum = 0;
    for (int i = 0; i < p->count; i++) sum += p->part[i].bytes;
    return sum;
}

/* Allocates all of them on the device. ERR_MEMORY: some may be allocated, and parts_free frees these. */
static inline Status parts_alloc(const Parts *p, const Ops *ops, Error *err) {
    Status st = OK;
    for (int i = 0; st == OK && i < p->count; i++)
        st = ops->mem.alloc(ops->device, p->part[i].buffer, p->part[i].bytes, err);
    return st;
}

/* Frees those that are allocated. */
static inline void parts_free(const Parts *p, const Ops *ops) {
    for (int i = 0; i < p->count; i++) ops->mem.free(ops->device, p->part[i].buffer);
}

#endif
