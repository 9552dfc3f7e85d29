/* run_parts.h - a training run from files to files, in three parts: opened, trained (run.c), finished. */
#ifndef TURTLE_HOST_TRAIN_RUN_PARTS_H
#define TURTLE_HOST_TRAIN_RUN_PARTS_H

#include "host/inputs/prior.h"
#include "host/train/run.h"
#include "host/train/run_dir.h"
#include "host/train/watch.h"

/* Everything that a run holds. */
typedef struct {
    TurtleTrainOptions resolved; /* the caller's, with the device's own precision for `auto` */
    const TurtleTrainOptions *options;   /* `resolved` */
    int64_t profile_first, profile_last; /* iterations, counted from 1; 0: none */
    bool profiled;                       /* a profiler records just now */
    const TurtleHooks *hooks;
    const RunShared *shared; /* what the runs of a sweep share, or NULL */
    Inputs in;
    Prior prior;
    Ops ops;
    RunDir dir;
    Train train;
    TaskEncoder task;
    Predictor predictor;
    Features val_features[MAX_SPACES]; /* on the device */
    const Features *scored_features;   /* features of the scored split */
    const Split *scored;               /* the validation split, else the training split */
    int64_t watched;                   /* samples of it that are scored while training goes on */
    Predictions predictions;
    Watch watch;
    int64_t iteration; /* outer iterations that were enqueued */
    int64_t pace;      /* the queue's mark PACE iterations back */
    double started;
    TurtleProgress progress;
} Run;

/* run_open.c: checks the options, opens device, inputs, run directory and training, and continues an
 * unfinished run where the options say so. `resolved`, `options`, `hooks` and `shared` are set, all else
 * is zero. After a failure, too, run_close frees what was opened. */
Status run_open(Run *run, Error *err);
void run_close(Run *run);

/* run_finish.c: writes run.json of a run that begins: its options and inputs. */
Status run_record(const Run *run, Error *err);
/* Writes the checkpoint, predictions and results of a run that is trained, and fills *result in. */
Status run_finish(Run *run, TurtleResult *result, Error *err);

#endif
