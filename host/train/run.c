/* run.c - turtle_train: one training run, from files to files. The algorithm is in train.c. */
#include "host/train/run.h"

#include "host/score/result.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/train/run_parts.h"
#include "host/train/train_state.h"

void turtle_train_defaults(TurtleTrainOptions *o) {
    *o = (TurtleTrainOptions){
        .common = common_defaults(),
        .gamma = 10.0,
        .T = 6000,
        .M = 10,
        .inner_lr = 0.001,
        .outer_lr = 0.001,
        .batch_size = 10000,
        .prior = "uniform",
        .rng = "philox",
        .eval_every = 20,
        .save_every = 500,
        .inner = "auto",
    };
}

/* --- while it runs ---------------------------------------------------------------------------- */

/* The host enqueues at most 2 PACE iterations ahead of the device, so that it stops soon. */
enum { PACE = 16 };
static Status keep_pace(Run *run, Error *err) {
    const DeviceOps *mem = &run->ops.mem;
    if (run->iteration % PACE != 0) return OK;
    const Status st = run->pace >= 0 ? mem->reach(run->train.queue, run->pace, err) : OK;
    if (st == OK) mem->mark(run->train.queue, &run->pace);
    return st;
}

/* Lets a profiler begin or end to record before iteration t, counted from 1. */
static Status profile_range(Run *run, int64_t t, Error *err) {
    const bool on = t >= run->profile_first && t <= run->profile_last && t <= run->options->T;
    if (on == run->profiled) return OK;
    run->profiled = on;
    return run->ops.mem.capture(run->ops.device, on, err);
}

/* Returns whether the caller wants the run to stop. */
static bool tell_progress(Run *run) {
    TurtleProgress *p = &run->progress;
    p->iteration = run->iteration;
    p->seconds = now_seconds() - run->started;
    watch_progress(&run->watch, p);
    return progress_tell(run->hooks, p);
}

/* Finishes and logs all that is enqueued, then saves the state. */
static Status save(Run *run, Error *err) {
    const Status st = watch_finish(&run->watch, err);
    if (!run->dir.folder) return st;
    return st == OK ? train_save(&run->train, run->dir.resume, run->dir.options, err) : st;
}

/* Runs one iteration, and what follows it. */
static Status advance(Run *run, Error *err) {
    const TurtleTrainOptions *o = run->options;
    Status st = profile_range(run, run->iteration + 1, err);
    if (st == OK) st = train_iteration(&run->train, err);
    if (st != OK) return st;
    const int64_t t = ++run->iteration;
    if (t == o->T || (o->eval_every && t % o->eval_every == 0))
        st = watch_evaluate(&run->watch, t, err);
    else st = watch_look(&run->watch, err);
    if (st == OK) st = keep_pace(run, err);
    if (st == OK && t == o->T) st = watch_finish(&run->watch, err);
    return st;
}

static Status train_loop(Run *run, Error *err) {
    const TurtleTrainOptions *o = run->options;
    run->progress = (TurtleProgress){
        .unit = "it", .first = run->iteration, .iterations = o->T, .classes = run->in.C};
    run->started = now_seconds();
    run->pace = -1;
    run->watch = (Watch){.train = &run->train,
                         .predictor = &run->predictor,
                         .split = run->scored,
                         .features = run->scored_features,
                         .n = run->watched,
                         .dir = &run->dir,
                         .started = run->started};
    Status st = watch_open(&run->watch, err);
    while (st == OK && run->iteration < o->T) {
        st = advance(run, err);
        if (st != OK) return st;
        const int64_t t = run->iteration;
        const bool stop = tell_progress(run) && t < o->T;
        if (stop || (o->save_every && t % o->save_every == 0 && t < o->T)) st = save(run, err);
        if (st == OK && stop && !run->dir.folder)
            return fail(
                err, ERR_STOPPED,
                "training: stopped after iteration %lld of %lld: nothing is kept, for there "
                "is no run directory",
                (long long)t, (long long)o->T);
        if (st == OK && stop)
            return fail(err, ERR_STOPPED,
                        "training: stopped after iteration %lld of %lld, state saved in %s: "
                        "continue with --resume",
                        (long long)t, (long long)o->T, run->dir.resume);
    }
    return st == OK ? profile_range(run, run->iteration + 1, err) : st;
}

/* --- all of it -------------------------------------------------------------------------------- */

Status turtle_train(const TurtleTrainOptions *options, TurtleResult *out, Error *err) {
    PLAIN_LOCALE;
    return run_shared(options, NULL, out, err);
}

Status run_shared(const TurtleTrainOptions *options, const RunShared *shared, TurtleResult *out,
                  Error *err) {
    Run run = {.resolved = *options, .hooks = &options->common.hooks, .shared = shared};
    run.options = &run.resolved;
    result_clear(out);
    Status st = run_open(&run, err);
    if (st == OK) st = run_record(&run, err);
    if (st == OK) st = train_loop(&run, err);
    if (st == OK) st = run_finish(&run, out, err);
    if (st != OK) turtle_result_free(out);
    run_close(&run);
    return st;
}
