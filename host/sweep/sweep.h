/* sweep.h - many trainings of the same features, ranked without labels; what its files share. */
#ifndef TURTLE_HOST_SWEEP_SWEEP_H
#define TURTLE_HOST_SWEEP_SWEEP_H

#include <pthread.h>

#include "host/tell/shard.h"
#include "host/train/run_dir.h"
#include "kernels/ops.h"

/* A training that fills a GPU together with n - 1 like it has SWEEP_PARTS / n parts; n is a power of two. */
enum { SWEEP_PARTS = 16 };

/* A sweep at work. */
typedef struct {
    const TurtleSweepOptions *options;
    TurtleCommon common;      /* the caller's, with what `auto` means on the device */
    const TurtleHooks *hooks; /* the caller's: called by one thread at a time */
    TurtleSweepResult *result;
    Shard shard;
    Inputs in;
    Made features; /* features of the runs, where earlier ones are kept */
    Ops ops;
    Features train[MAX_SPACES], val[MAX_SPACES]; /* on the device */
    bool *done;                                  /* (runs) finished before */
    int64_t **cluster;                           /* (runs) of the training split; NULL: failed */
    int jobs;
    char piece[48]; /* ".2of8" in the names of its files, or "" */
    Lock alone;     /* no other call works on this piece */

    pthread_mutex_t lock; /* guards all below, and the hooks */
    int64_t next;         /* run that the next free thread takes */
    int64_t begun;        /* runs up to here have begun; they begin in order */
    int taken;            /* parts of the device that runs at work have, of SWEEP_PARTS */
    pthread_cond_t freed; /* a run has ended or begun, or all are to stop */
    TurtleProgress progress;
    double started;
    volatile sig_atomic_t stop; /* the caller's wish, or a failure */
    Status status;              /* the first failure */
    Error error;
    const TurtleSweepRun *speaker; /* the first run that had something to say */
} Sweep;

/* Returns <folder>/<name of run r>/<file> in fresh memory; NULL: out of memory. */
char *sweep_run_path(const Sweep *s, int64_t r, const char *file);
/* Returns how many trainings like run r fill the device, side by side. */
int sweep_trainings(const Sweep *s, int64_t r);
/* Returns the training options of run r; `folder` is its directory. */
TurtleTrainOptions sweep_train_options(const Sweep *s, int64_t r, const char *folder);

/* sweep_grid.c: makes the runs that the lists stand for, in the order classes, start, learning
 * rates, gamma, seed; the last changes fastest. `known_classes` serves where no list of classes is
 * given; 0: none is known. Entries of lists are numbers and, for whole numbers, ranges 20..50 or
 * 20..50..5. *runs is fresh memory, zeroed but for the options. */
Status sweep_grid(TurtleSweepRun **runs, int64_t *count, const TurtleSweepOptions *options,
                  int64_t known_classes, Error *err);

/* sweep_earlier.c: finds the runs that an earlier sweep finished, with their results, or throws away what
 * it left. ERR_ARG: something is there and the options say neither resume nor restart, or it was made
 * otherwise. */
Status sweep_look_back(Sweep *s, Error *err);

/* sweep_jobs.c: trains every run that is not finished, at most s->jobs at a time, on a GPU as many as fit side by
 * side. ERR_STOPPED: the hooks asked to
 * stop; any other failure is that of the first run that failed. */
Status sweep_train(Sweep *s, Error *err);

/* sweep_rank.c: computes what can be said without labels of runs whose `cluster` is known: stability, the
 * corrected score; then the order of the runs, the best first, and one row per number of classes. */
Status sweep_judge(TurtleSweepResult *result, int64_t *const *cluster, int64_t samples, Error *err);

/* sweep_report.c: writes the tables and the JSON object of a judged sweep. */
Status sweep_write(const TurtleSweepOptions *options, const char *precision,
                   TurtleSweepResult *result, const char *folder, const char *piece, Error *err);

#endif
