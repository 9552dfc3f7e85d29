/* watch.c - evaluations of a run that trains on. */
#include "host/train/watch.h"

#include <math.h>
#include <stdlib.h>

#include "host/score/result.h"
#include "host/tell/clock.h"
#include "io/thread.h"

/* --- matching --------------------------------------------------------------------------------- */

static double sum(const float *x, int K) {
    double total = 0.0;
    for (int k = 0; k < K; k++) total += x[k];
    return total;
}

/* Scores one evaluation and writes its line. No lock is held. */
static Status match(Watch *w, const Evaluation *e, TurtleProgress *p, Error *err) {
    const TrainConfig *c = &w->train->config;
    Predictions *labels = &w->predictions;
    for (int64_t i = 0; i < w->n; i++) labels->cluster[i] = e->cluster[i];
    *p = (TurtleProgress){.iteration = e->iteration,
                          .seconds = e->seconds,
                          .loss = sum(e->loss, c->K),
                          .entropy = sum(e->entropy, c->K),
                          .clusters_found = count_clusters(labels, c->C)};
    const Status st = score_accuracy(&p->cluster_acc, w->split, labels, err);
    return st == OK ? run_dir_log(w->dir, p, err) : st;
}

/* Matches the oldest one that waits. The lock is held, but not while it works. */
static void match_next(Watch *w) {
    const Evaluation *e = &w->ring[w->matched % EVALUATIONS];
    TurtleProgress p;
    Error error = {""};
    if (w->status == OK) {
        pthread_mutex_unlock(&w->lock);
        const Status st = match(w, e, &p, &error);
        pthread_mutex_lock(&w->lock);
        if (st == OK) w->latest = p;
        w->status = st;
        w->error = error;
    }
    w->matched++;
    pthread_cond_broadcast(&w->changed);
}

static void *match_all(void *watch) {
    Watch *w = watch;
    pthread_mutex_lock(&w->lock);
    while (!w->ends || w->matched < w->to_match) {
        if (w->matched < w->to_match) match_next(w);
        else pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* --- a watch's life --------------------------------------------------------------------------- */

Status watch_open(Watch *w, Error *err) {
    w->latest =
        (TurtleProgress){.loss = NAN, .entropy = NAN, .cluster_acc = NAN, .clusters_found = -1};
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->changed, NULL);
    w->clusters = malloc((size_t)(EVALUATIONS * w->n) * sizeof *w->clusters);
    w->predictions.cluster = malloc((size_t)w->n * sizeof *w->predictions.cluster);
    w->predictions.n = w->n;
    if (!w->clusters || !w->predictions.cluster)
        return fail(err, ERR_MEMORY, "evaluation: out of memory for %lld samples", (long long)w->n);
    for (int i = 0; i < EVALUATIONS; i++) w->ring[i].cluster = w->clusters + i * w->n;
    /* where no thread is to be had the host matches itself */
    w->threaded = start_thread(&w->thread, match_all, w) == 0;
    return OK;
}

void watch_close(Watch *w) {
    if (!w || !w->train) return;
    w->train->ops->mem.wait(w->train->queue, NULL); /* what is on its way lands in the ring */
    if (w->threaded) {
        pthread_mutex_lock(&w->lock);
        w->ends = true;
        pthread_cond_broadcast(&w->changed);
        pthread_mutex_unlock(&w->lock);
        pthread_join(w->thread, NULL);
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    predictions_free(&w->predictions);
    free(w->clusters);
    *w = (Watch){0};
}

/* --- the host's side -------------------------------------------------------------------------- */

/* Takes the oldest evaluation on its way, which has come back: its losses are finite, or the run
 * ends; then it is to be matched. */
static Status check_next(Watch *w, Error *err) {
    Evaluation *e = &w->ring[w->checked % EVALUATIONS];
    const int K = w->train->config.K;
    const Status st = w->train->ops->mem.reach(w->train->queue, e->mark, err);
    if (st != OK) return st;
    e->seconds = now_seconds() - w->started;
    w->checked++;
    if (!isfinite(sum(e->loss, K)) || !isfinite(sum(e->entropy, K)))
        return fail(err, ERR_DIVERGED,
                    "training: the loss is not finite after iteration %lld: lower --outer_lr or "
                    "--inner_lr, or scale the features down",
                    (long long)e->iteration);
    pthread_mutex_lock(&w->lock);
    w->to_match++;
    if (w->threaded) pthread_cond_broadcast(&w->changed);
    else match_next(w);
    pthread_mutex_unlock(&w->lock);
    return OK;
}

/* Waits until `matched` evaluations are done. Returns the thread's first failure. */
static Status wait_matched(Watch *w, int64_t matched, Error *err) {
    pthread_mutex_lock(&w->lock);
    while (w->matched < matched) pthread_cond_wait(&w->changed, &w->lock);
    const Status st = w->status;
    if (st != OK) error_write(err, "%s", w->error.text);
    pthread_mutex_unlock(&w->lock);
    return st;
}

Status watch_look(Watch *w, Error *err) {
    const Train *r = w->train;
    Status st = OK;
    while (st == OK && w->checked < w->enqueued &&
           r->ops->mem.reached(r->queue, w->ring[w->checked % EVALUATIONS].mark))
        st = check_next(w, err);
    return st == OK ? wait_matched(w, 0, err) : st;
}

Status watch_finish(Watch *w, Error *err) {
    Status st = OK;
    while (st == OK && w->checked < w->enqueued) st = check_next(w, err);
    return st == OK ? wait_matched(w, w->enqueued, err) : st;
}

Status watch_evaluate(Watch *w, int64_t iteration, Error *err) {
    Train *r = w->train;
    const DeviceOps *mem = &r->ops->mem;
    const int64_t bytes = r->config.K * (int64_t)sizeof(float);
    Status st = OK;
    if (w->enqueued - w->checked == EVALUATIONS) st = check_next(w, err);
    if (st == OK) st = wait_matched(w, w->enqueued - EVALUATIONS + 1, err);
    if (st != OK) return st;

    Evaluation *e = &w->ring[w->enqueued % EVALUATIONS];
    e->iteration = iteration;
    mem->phase(r->queue, "eval");
    mem->to_host(r->queue, e->loss, r->loss, bytes);
    mem->to_host(r->queue, e->entropy, r->entropy, bytes);
    predictor_clusters(w->predictor, r->queue, r->task, w->features, w->n, e->cluster);
    mem->phase(r->queue, NULL);
    if (mem->mark(r->queue, &e->mark) != OK) return mem->wait(r->queue, err);
    w->enqueued++;
    return watch_look(w, err);
}

void watch_progress(Watch *w, TurtleProgress *out) {
    pthread_mutex_lock(&w->lock);
    out->loss = w->latest.loss;
    out->entropy = w->latest.entropy;
    out->clusters_found = w->latest.clusters_found;
    out->cluster_acc = w->latest.cluster_acc;
    pthread_mutex_unlock(&w->lock);
}
