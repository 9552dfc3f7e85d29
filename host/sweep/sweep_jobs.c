/* sweep_jobs.c - the runs of a sweep trained side by side, a thread each. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/sweep/sweep.h"
#include "host/tell/clock.h"
#include "host/tell/notify.h"
#include "host/train/run.h"

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

static void on_progress(void *context, const TurtleProgress *p) {
    Job *job = context;
    Sweep *s = job->sweep;
    pthread_mutex_lock(&s->lock);
    if (s->hooks->stop && *s->hooks->stop) s->stop = 1;
    if (strcmp(p->unit, "it") == 0) { /* the fits of the score are not counted */
        if (!job->counted) s->progress.first += p->first;
        s->progress.iteration += p->iteration - job->counted;
        s->progress.seconds = now_seconds() - s->started;
        job->counted = p->iteration;
        if (s->hooks->progress) s->hooks->progress(s->hooks->context, &s->progress);
    }
    pthread_mutex_unlock(&s->lock);
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

/* --- side by side ----------------------------------------------------------------------------- */

/* Returns the next run that is to be trained; the number of runs when there is none. */
static int64_t next_run(Sweep *s) {
    pthread_mutex_lock(&s->lock);
    if (s->hooks->stop && *s->hooks->stop) s->stop = 1;
    while (s->next < s->result->runs && s->done[s->next]) s->next++;
    const int64_t r = s->stop ? s->result->runs : s->next++;
    pthread_mutex_unlock(&s->lock);
    return r;
}

/* Takes runs until none is left, or one fails. */
static void *work(void *sweep) {
    Sweep *s = sweep;
    Error err;
    Status st = s->ops.mem.enter(s->ops.device, &err);
    for (int64_t r; st == OK && (r = next_run(s)) < s->result->runs;) st = train_run(s, r, &err);
    if (st == OK) return NULL;
    pthread_mutex_lock(&s->lock);
    s->stop = 1;
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
    while (threads < s->jobs - 1 && pthread_create(&thread[threads], NULL, work, s) == 0) threads++;
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
