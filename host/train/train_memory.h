/* train_memory.h - the arrays of a training run: one allocation on the device, and what the host needs. */
#ifndef TURTLE_HOST_TRAIN_TRAIN_MEMORY_H
#define TURTLE_HOST_TRAIN_TRAIN_MEMORY_H

#include "host/train/train.h"

/* Returns how a batch of space k is kept on the device; its data is not set. */
Batch train_batch(const TrainConfig *config, const Ops *ops, int k);
/* Returns the bytes of a batch of B rows. */
int64_t train_batch_bytes(const Batch *Z, int64_t B);

/* Allocates every array of a run whose config, ops, N and d are set. ERR_MEMORY: the device or the host
 * has too little; train_free_arrays is still safe. */
Status train_allocate(Train *r, Error *err);
/* Allocates the second batch of a run whose features are gathered one iteration ahead. */
Status train_allocate_ahead(Train *r, Error *err);
void train_free_arrays(Train *r);

#endif
