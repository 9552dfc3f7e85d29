/* sweep_jobs.c - the runs of a sweep trained side by side, a thread each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/sweep/sweep.h"
#include "host/tell/clock.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/train/run.h"
#include "io/thread.h"

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sweep: out of memory");
}

/* --- one run ---------------------------------------------------------------------------------- */

/* Facts that the hooks of a run know. */
typedef struct {
    Sweep *sweep;
    const TurtleSweepRun *run;
    int64_t counted; /* iterations that the progress has */
} Job;

/* Stops all runs where the caller wants it. */
static int on_progress(void *context, const TurtleProgress *p) {
    Job *job = context;
    Sweep *s = job->sweep;
    pthread_mutex_lock(&s->lock);
    if (stop_asked(s->hooks)) s->stop = 1;
    if (strcmp(p->unit, "it") == 0) { /* the fits of the score are not counted */
        if (!job->counted) s->progress.first += p->first;
        s->progress.iteration += p->iteration - job->counted;
        s->progress.seconds = now_seconds() - s->started;
        job->counted = p->iteration;
        if (progress_tell(s->hooks, &s->progress)) s->stop = 1;
    }
    pthread_mutex_unlock(&s->lock);
    return 0; /* runs look at `stop` */
}

/* Passes warnings on, and all lines of the first run: what they say is true of the others too. */
static void on_notice(void *context, const char *line) {
    const Job *job = context;
    Sweep *s = job->sweep;
    pthread_mutex_lock(&s->lock);
    if (!s->speaker) s->speaker = job->run;
    if (s->speaker == job->run || strncmp(line, "warning", 7) == 0)
        notice(s->hooks, "%s: %s", job->run->name, line);
    pthread_mutex_unlock(&s->lock);
}

/* Keeps the reason of a run that diverged: it is a result, not the end of the sweep. */
static Status keep_failure(Sweep *s, int64_t r, const Error *why, Error *err) {
    char *path = sweep_run_path(s, r, "failed.txt");
    s->result->run[r].failed = strdup(why->text);
    const Status st = path && s->result->run[r].failed ? file_write_text(path, why->text, err)
                                                       : out_of_memory(err);
    free(path);
    return st;
}

static Status train_run(Sweep *s, int64_t r, Error *err) {
    TurtleSweepRun *run = &s->result->run[r];
    Job job = {.sweep = s, .run = run};
    const RunShared shared = {.in = &s->in, .ops = &s->ops, .train = s->train, .val = s->val};
    char *folder = format_text("%s/%s", s->result->folder, run->name),
         *state = sweep_run_path(s, r, "resume.pt");
    TurtleResult result = {0};
    Error why;
    Status st = folder && state ? OK : out_of_memory(err);
    if (st == OK) {
        TurtleTrainOptions t = sweep_train_options(s, r, folder);
        t.common.hooks = (TurtleHooks){.progress = on_progress,
                                       .notice = s->hooks->notice ? on_notice : NULL,
                                       .context = &job,
                                       .stop = &s->stop};
        t.resume = s->options->resume && file_exists(state);
        st = run_shared(&t, &shared, &result, &why);
        if (st == OK) {
            run->generalization_score = result.generalization_score;
            run->loss = result.loss;
            run->entropy = result.entropy;
            run->cluster_acc = result.cluster_acc;
            run->seconds = result.seconds;
            turtle_result_free(&result);
        } else if (st == ERR_DIVERGED) {
            st = keep_failure(s, r, &why, err);
        } else {
            error_write(err, "%s: %.400s", run->name, why.text);
        }
    }
    free(folder);
    free(state);
    return st;
}

/* --- side by side -----------------------------------------------------------------------------
 *
 * On a GPU a run begins when its part of the device is free, in the order of the runs. Launches whose blocks wait
 * for each other then never take more than there is, whatever the driver starts first. */

static bool stopped(Sweep *s) {
    if (stop_asked(s->hooks)) s->stop = 1;
    return s->stop != 0;
}

/* Returns the first run from r on that is not finished. */
static int64_t unfinished(const Sweep *s, int64_t r) {
    while (r < s->result->runs && s->done[r]) r++;
    return r;
}

/* Returns the next run that is to be trained, with `trainings` like it side by side, once its parts are free and
 * taken. Returns the number of runs when there is none. */
static int64_t next_run(Sweep *s, int *parts, int *trainings) {
    const bool shared = strcmp(s->ops.kind, "cpu") != 0;
    pthread_mutex_lock(&s->lock);
    s->next = unfinished(s, s->next);
    int64_t r = stopped(s) ? s->result->runs : s->next++;
    *trainings = shared && r < s->result->runs ? sweep_trainings(s, r) : 1;
    *parts = shared ? SWEEP_PARTS / *trainings : 0;
    while (r < s->result->runs && !stopped(s) &&
           (unfinished(s, s->begun) != r || s->taken + *parts > SWEEP_PARTS))
        pthread_cond_wait(&s->freed, &s->lock);
    if (r < s->result->runs && stopped(s)) { /* it stays to be done */
        if (r < s->next) s->next = r;
        r = s->result->runs;
    }
    if (r < s->result->runs) {
        s->taken += *parts;
        s->begun = r + 1;
        pthread_cond_broadcast(&s->freed);
    }
    pthread_mutex_unlock(&s->lock);
    return r;
}

static void end_run(Sweep *s, int parts, bool well) {
    pthread_mutex_lock(&s->lock);
    s->taken -= parts;
    if (!well) s->stop = 1;
    pthread_cond_broadcast(&s->freed);
    pthread_mutex_unlock(&s->lock);
}

/* Takes runs until none is left, or one fails. */
static void *work(void *sweep) {
    PLAIN_LOCALE;
    Sweep *s = sweep;
    Error err;
    int parts, trainings;
    Status st = OK;
    for (int64_t r; st == OK && (r = next_run(s, &parts, &trainings)) < s->result->runs;) {
        st = s->ops.mem.enter(s->ops.device, trainings, &err);
        if (st == OK) st = train_run(s, r, &err);
        Error alone;
        const Status whole = s->ops.mem.enter(s->ops.device, 1, &alone); /* gives the part back */
        if (st == OK && whole != OK) st = whole, err = alone;
        end_run(s, parts, st == OK);
    }
    if (st == OK) return NULL;
    pthread_mutex_lock(&s->lock);
    if (s->status == OK || (s->status == ERR_STOPPED && st != ERR_STOPPED)) {
        s->status = st;
        s->error = err;
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

Status sweep_train(Sweep *s, Error *err) {
    int64_t todo = 0;
    for (int64_t r = 0; r < s->result->runs; r++) todo += !s->done[r];
    s->progress = (TurtleProgress){.unit = "it",
                                   .iterations = todo * s->options->T,
                                   .loss = NAN,
                                   .entropy = NAN,
                                   .cluster_acc = NAN};
    s->started = now_seconds();
    pthread_t *thread = malloc((size_t)s->jobs * sizeof *thread);
    if (!thread) return out_of_memory(err);
    int threads = 0; /* beside this one */
    while (threads < s->jobs - 1 && start_thread(&thread[threads], work, s) == 0) threads++;
    work(s);
    for (int t = 0; t < threads; t++) pthread_join(thread[t], NULL);
    free(thread);
    while (s->next < s->result->runs && s->done[s->next]) s->next++;
    if (s->status == OK && s->next < s->result->runs) s->status = ERR_STOPPED;
    if (s->status == ERR_STOPPED)
        return fail(err, ERR_STOPPED,
                    "sweep: stopped: finished runs and the states of the others are in %s: "
                    "continue with --resume",
                    s->result->folder);
    if (s->status != OK) error_write(err, "%s", s->error.text);
    return s->status;
}
