/* sweep.c - turtle_sweep: many trainings of features that are loaded once, several side by side.
 *
 * Every run is an ordinary run directory (run_dir.h) below the sweep's folder. What is finished is
 * read back from its run.json, so that a sweep can be stopped, killed, cut into pieces and resumed. */
#include "host/sweep/sweep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/clock.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/train/predict.h"
#include "host/train/run.h"
#include "io/datasets/datasets.h"

void turtle_sweep_defaults(TurtleSweepOptions *o) {
    TurtleTrainOptions t;
    turtle_train_defaults(&t);
    *o = (TurtleSweepOptions){.common = t.common,
                              .T = t.T,
                              .M = t.M,
                              .batch_size = t.batch_size,
                              .save_every = t.save_every,
                              .prior = t.prior,
                              .rng = t.rng};
}

void turtle_sweep_result_free(TurtleSweepResult *r) {
    if (!r) return;
    for (int64_t i = 0; i < r->runs; i++) free(r->run[i].failed);
    free(r->run);
    free(r->classes);
    free(r->folder);
    free(r->json);
    *r = (TurtleSweepResult){0};
}

/* --- a sweep ---------------------------------------------------------------------------------- */

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sweep: out of memory");
}

char *sweep_run_path(const Sweep *s, int64_t r, const char *file) {
    return format_text("%s/%s/%s", s->result->folder, s->result->run[r].name, file);
}

TurtleTrainOptions sweep_train_options(const Sweep *s, int64_t r, const char *folder) {
    const TurtleSweepOptions *o = s->options;
    const TurtleSweepRun *run = &s->result->run[r];
    TurtleTrainOptions t;
    turtle_train_defaults(&t);
    t.common = s->common;
    t.common.seed = run->seed;
    t.inputs = o->inputs;
    t.inputs.classes = run->classes;
    t.gamma = run->gamma;
    t.inner_lr = run->inner_lr;
    t.outer_lr = run->outer_lr;
    t.warm_start = run->warm_start;
    t.T = o->T;
    t.M = o->M;
    t.batch_size = o->batch_size;
    t.prior = o->prior;
    t.rng = o->rng;
    t.eval_every = 0;
    t.save_every = o->save_every;
    t.cross_val = !o->no_score;
    t.restart = o->restart;
    t.out = folder;
    return t;
}

/* Locks the piece: the others of a sweep may be at work beside it, each on its own runs. */
static Status lock_piece(Sweep *s, Error *err) {
    if (s->shard.pieces > 1)
        snprintf(s->piece, sizeof s->piece, ".%lldof%lld", (long long)s->shard.number,
                 (long long)s->shard.pieces);
    char *path = format_text("%s/.turtle%s.lock", s->result->folder, s->piece);
    Status st = path ? folder_make(s->result->folder, err) : out_of_memory(err);
    if (st == OK) st = lock_open(&s->alone, path, s->result->folder, err);
    free(path);
    return st;
}

/* --- what the runs found ---------------------------------------------------------------------- */

static double size_entropy(const int64_t *cluster, int64_t N, int64_t C, int64_t *found) {
    int64_t *size = calloc((size_t)C, sizeof *size);
    double H = 0.0;
    if (!size) return NAN;
    *found = 0;
    for (int64_t i = 0; i < N; i++) size[cluster[i]]++;
    for (int64_t c = 0; c < C; c++) {
        const double share = (double)size[c] / (double)N;
        *found += size[c] > 0;
        if (size[c]) H -= share * log(share);
    }
    free(size);
    return H / log((double)C);
}

/* Finds the clusters of the training split, by the checkpoint that a run left. */
static Status label_run(Sweep *s, int64_t r, Error *err) {
    TurtleSweepRun *run = &s->result->run[r];
    TaskEncoder task = {0};
    Predictor predictor = {0};
    Predictions p = {0};
    char *path = sweep_run_path(s, r, "checkpoint.pt");
    Status st = path ? checkpoint_load(&task, path, err) : out_of_memory(err);
    if (st == OK && (task.K != s->in.K || task.C != run->classes))
        st = fail(err, ERR_FORMAT, "sweep: %s is not of this sweep: --restart", path);
    if (st == OK) st = split_check_dimensions(&s->in.train, task.K, task.d, path, err);
    if (st == OK) st = predictor_open(&predictor, &s->ops, task.K, task.C, task.d, NULL, err);
    if (st == OK) st = predictor_run(&predictor, &task, s->train, s->in.train.N, &p, err);
    if (st == OK) {
        run->space_agreement = p.space_agreement;
        run->size_entropy = size_entropy(p.cluster, p.n, task.C, &run->clusters_found);
        s->cluster[r] = p.cluster;
        p.cluster = NULL;
    }
    predictions_free(&p);
    predictor_close(&predictor);
    task_encoder_free(&task);
    free(path);
    return st;
}

/* --- all of it -------------------------------------------------------------------------------- */

/* Returns the folder of the sweep in fresh memory. */
static char *sweep_folder(const Sweep *s) {
    const TurtleSweepOptions *o = s->options;
    return o->out ? format_text("%s", o->out)
                  : format_text("%s/task_checkpoints/%dspace/%s/%s/sweep", o->common.root_dir,
                                s->in.K, s->in.phis, s->in.dataset);
}

/* Lists the runs of this piece: every N-th of the grid, so that pieces take about as long as each
 * other. */
static Status open_grid(Sweep *s, Error *err) {
    TurtleSweepResult *out = s->result;
    int64_t all, kept = 0;
    const DatasetFacts *facts = s->options->inputs.dataset && !s->options->inputs.classes
                                    ? dataset_find(s->options->inputs.dataset)
                                    : NULL;
    Status st = sweep_grid(&out->run, &all, s->options,
                           facts ? facts->classes : s->options->inputs.classes, err);
    for (int64_t r = 0; st == OK && r < all; r++) {
        const int64_t C = out->run[r].classes;
        if (C < 2 || C > s->in.train.N)
            st = fail(err, ERR_ARG, "sweep: --classes %lld: expected 2 to %lld, the samples",
                      (long long)C, (long long)s->in.train.N);
        if (r % s->shard.pieces == s->shard.number - 1) out->run[kept++] = out->run[r];
    }
    out->runs = st == OK ? kept : 0;
    if (st == OK && kept == 0)
        st = fail(err, ERR_USAGE, "sweep: --shard: the grid has %lld runs, none is in this piece",
                  (long long)all);
    if (st != OK) return st;
    s->done = calloc((size_t)kept, sizeof *s->done);
    s->cluster = calloc((size_t)kept, sizeof *s->cluster);
    return s->done && s->cluster ? OK : out_of_memory(err);
}

static Status open_device(Sweep *s, Error *err) {
    const char *why = NULL;
    const Status st = ops_open(&s->ops, s->common.device, s->common.threads, &why, err);
    if (st == OK && why) notice(s->hooks, "device: %s", why);
    return st;
}

int sweep_trainings(const Sweep *s, int64_t r) {
    const RunShared shared = {.in = &s->in, .ops = &s->ops};
    const TurtleTrainOptions t = sweep_train_options(s, r, NULL);
    return run_trainings(&t, &shared);
}

/* Returns how many trainings side by side fill the device. A CPU is filled by one thread per
 * training: for B 10000, C 10, d 768 on two EPYC cores, two threads are 1.74 times as fast as one
 * (README). A GPU takes as many as its plan says (kernels/plan/plan.h), of the runs that need least of it;
 * sweep_jobs.c lets a run begin when its part is free. */
static int jobs_of(const Sweep *s) {
    int most = 1;
    if (s->options->jobs) return s->options->jobs;
    if (strcmp(s->ops.kind, "cpu") == 0) return s->ops.threads;
    for (int64_t r = 0; r < s->result->runs; r++) {
        const int trainings = s->done[r] ? 1 : sweep_trainings(s, r);
        if (trainings > most) most = trainings;
    }
    return most;
}

/* Opens the features once for all runs. */
static Status open_features(Sweep *s, Error *err) {
    const int threads = s->ops.threads;
    int64_t todo = 0;
    Status st = OK;
    for (int64_t r = 0; r < s->result->runs; r++) todo += !s->done[r];
    s->jobs = jobs_of(s);
    if (s->jobs > todo) s->jobs = todo > 1 ? (int)todo : 1;
    if (s->jobs > 1) { /* each is a thread; the helpers that are left serve all of them */
        ops_close(&s->ops);
        st = ops_open(&s->ops, s->common.device, threads > s->jobs ? threads - s->jobs + 1 : 1,
                      NULL, err);
    }
    for (int k = 0; st == OK && k < s->in.K; k++) {
        st = s->ops.mem.features_open(s->ops.device, &s->train[k], &s->in.train.space[k].features,
                                      err);
        if (st == OK && s->in.val.N)
            st = s->ops.mem.features_open(s->ops.device, &s->val[k], &s->in.val.space[k].features,
                                          err);
    }
    return st;
}

static Status open_sweep(Sweep *s, Error *err) {
    const TurtleSweepOptions *o = s->options;
    if (o->resume && o->restart)
        return fail(err, ERR_USAGE, "sweep: --resume and --restart exclude each other");
    if (!o->out && !o->inputs.dataset)
        return fail(err, ERR_USAGE, "sweep: --features needs --out DIR for the results");
    if (o->jobs < 0) return fail(err, ERR_USAGE, "sweep: --jobs %d", o->jobs);
    Status st = shard_parse(&s->shard, o->shard, err);
    if (st == OK) st = open_device(s, err);
    if (st == OK)
        st = inputs_open(&s->in, &o->inputs, &o->common, INPUTS_TRAINING | INPUTS_GRADIENTS, err);
    if (st == OK && strcmp(s->common.precision, "auto") == 0)
        s->common.precision = inputs_precision(&s->in, s->ops.precision);
    if (st == OK) st = open_grid(s, err);
    if (st == OK && !(s->result->folder = sweep_folder(s))) st = out_of_memory(err);
    if (st == OK) st = lock_piece(s, err);
    if (st == OK) st = sweep_look_back(s, err);
    return st == OK ? open_features(s, err) : st;
}

static Status finish_sweep(Sweep *s, Error *err) {
    TurtleSweepResult *out = s->result;
    Status st = OK;
    for (int64_t r = 0; st == OK && r < out->runs; r++)
        if (!out->run[r].failed) st = label_run(s, r, err);
    if (st == OK) st = sweep_judge(out, s->cluster, s->in.train.N, err);
    if (st != OK) return st;
    if (out->class_counts > 1 && !out->recommended)
        notice(s->hooks, "sweep: numbers of classes are compared by what several seeds find: give "
                         "two --seeds or more");
    out->seconds = now_seconds() - s->started;
    snprintf(out->device, sizeof out->device, "%s", s->ops.kind);
    return sweep_write(s->options, s->common.precision, out, out->folder, s->piece, err);
}

Status turtle_sweep(const TurtleSweepOptions *options, TurtleSweepResult *out, Error *err) {
    PLAIN_LOCALE;
    Sweep s = {.options = options,
               .common = options->common,
               .hooks = &options->common.hooks,
               .result = out};
    *out = (TurtleSweepResult){0};
    pthread_mutex_init(&s.lock, NULL);
    pthread_cond_init(&s.freed, NULL);
    Status st = open_sweep(&s, err);
    if (st == OK) st = sweep_train(&s, err);
    if (st == OK) st = finish_sweep(&s, err);
    for (int k = 0; s.ops.device && k < s.in.K; k++) {
        s.ops.mem.features_close(s.ops.device, &s.train[k]);
        if (s.in.val.N) s.ops.mem.features_close(s.ops.device, &s.val[k]);
    }
    for (int64_t r = 0; s.cluster && r < out->runs; r++) free(s.cluster[r]);
    free(s.cluster);
    free(s.done);
    ops_close(&s.ops);
    inputs_close(&s.in);
    lock_close(&s.alone);
    pthread_cond_destroy(&s.freed);
    pthread_mutex_destroy(&s.lock);
    if (st != OK) turtle_sweep_result_free(out);
    return st;
}
