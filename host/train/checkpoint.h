/* checkpoint.h - task checkpoints: the found labelling as linear layers, in the published layout.
 *
 * {phi1: {bias (C), weight (C,d1)}, phi2: ...} of float32, weight norm removed. The published
 * implementation's files load here and the other way round; any order of keys is read. */
#ifndef TURTLE_HOST_TRAIN_CHECKPOINT_H
#define TURTLE_HOST_TRAIN_CHECKPOINT_H

#include "host/turtle.h"
#include "io/status.h"
#include "kernels/train.h"

/* The labelling of every space: softmax of a linear layer, averaged over spaces. */
typedef struct {
    int K;
    int64_t C, d[MAX_SPACES];
    float *linear[MAX_SPACES]; /* weight (C,d), then bias (C); owned */
} TaskEncoder;

/* Allocates memory for K layers. On failure *out is zeroed. */
Status task_encoder_alloc(TaskEncoder *out, int K, int64_t C, const int64_t *d, Error *err);
void task_encoder_free(TaskEncoder *task); /* NULL and twice are fine */
/* Copies a labelling that the caller of `who` has in memory; refuses one that is empty. */
Status task_encoder_of(TaskEncoder *out, const TurtleModel *model, const char *who, Error *err);

Status checkpoint_save(const char *path, const TaskEncoder *task, Error *err);
/* Reads a checkpoint. Refuses, naming the tensor, what is none (ERR_FORMAT). On failure *out is
 * zeroed. */
Status checkpoint_load(TaskEncoder *out, const char *path, Error *err);

#endif
