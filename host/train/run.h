/* run.h - one training run, alone or beside others that share its inputs and its device. */
#ifndef TURTLE_HOST_TRAIN_RUN_H
#define TURTLE_HOST_TRAIN_RUN_H

#include "host/inputs/inputs.h"
#include "kernels/ops.h"

/* Things that the runs of a sweep share: all read them, none changes them. */
typedef struct {
    const Inputs *in; /* each run has its own number of classes, options.inputs.classes */
    const Ops *ops;
    const Features *train, *val; /* (K) of both splits, on the device */
} RunShared;

/* Returns how many trainings like this one fill the device that they share, side by side: a matter
 * of shapes and device alone. The precision is settled. */
int run_trainings(const TurtleTrainOptions *options, const RunShared *shared);

/* Trains as turtle_train does; what `shared` has is neither opened nor copied. NULL: everything is
 * the run's own. */
Status run_shared(const TurtleTrainOptions *options, const RunShared *shared, TurtleResult *out,
                  Error *err);

#endif
