/* watch.h - evaluations of a run that trains on: enqueued between iterations, matched by a thread.
 *
 *     the host enqueues   iterations | evaluation | iterations | evaluation | ...
 *     the device          works through them, and is never waited for
 *     an evaluation       clusters and losses come back -> checked -> matched, logged in order
 *
 * Checked: the loss is finite. Matched, by a thread of its own: the Hungarian assignment and the
 * line of the log. Both may lag behind the training. */
#ifndef TURTLE_HOST_TRAIN_WATCH_H
#define TURTLE_HOST_TRAIN_WATCH_H

#include <pthread.h>

#include "host/train/predict.h"
#include "host/train/run_dir.h"
#include "host/train/train.h"

/* One evaluation, from enqueued to logged. */
typedef struct {
    int64_t iteration, mark;
    float loss[MAX_SPACES], entropy[MAX_SPACES];
    int32_t *cluster; /* (n) argmax of the labels */
    double seconds;   /* at which it came back */
} Evaluation;

enum { EVALUATIONS = 8 }; /* on their way at once; more would wait for the oldest */

typedef struct {
    /* set by the caller */
    Train *train;
    Predictor *predictor;
    const Split *split;       /* the samples that are scored, */
    const Features *features; /* on the device, */
    int64_t n;                /* the first n of them */
    RunDir *dir;
    double started; /* now_seconds() when the run began */

    /* rings: evaluation number i is ring[i % EVALUATIONS] */
    Evaluation ring[EVALUATIONS];
    int32_t *clusters;         /* their memory; owned */
    int64_t enqueued, checked; /* the host's: how many */

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t changed;
    pthread_t thread;
    bool threaded, ends;
    int64_t to_match, matched;
    Predictions predictions; /* clusters of the evaluation that is being matched */
    Status status;           /* status of the thread's first failure */
    Error error;
    TurtleProgress latest; /* loss to cluster_acc of the last matched evaluation */
} Watch;

/* Opens a watch whose fields of the caller are set, all others zero. On failure *w can still be
 * closed. */
Status watch_open(Watch *w, Error *err);
/* Matches what has been checked, and ends the thread. NULL and twice are fine. */
void watch_close(Watch *w);

/* Enqueues an evaluation after `iteration`. Waits only if EVALUATIONS are on their way. */
Status watch_evaluate(Watch *w, int64_t iteration, Error *err);
/* Takes what has come back, without waiting. ERR_ARG: a loss is not finite, the message names its
 * iteration; or the first failure of the thread. */
Status watch_look(Watch *w, Error *err);
/* Takes all evaluations that are enqueued and waits until they are logged; fails as watch_look
 * does. */
Status watch_finish(Watch *w, Error *err);
/* Writes loss, entropy, clusters_found and cluster_acc of the last matched evaluation. */
void watch_progress(Watch *w, TurtleProgress *out);

#endif
