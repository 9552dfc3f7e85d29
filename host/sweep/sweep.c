/* sweep.c - turtle_sweep: many trainings of features that are loaded once, several side by side.
 *
 * Every run is an ordinary run directory (run_dir.h) below the sweep's folder. What is finished is
 * read back from its run.json, so that a sweep can be stopped, killed, cut into pieces and resumed. */
#include "host/sweep/sweep.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/prior.h"
#include "host/tell/clock.h"
#include "host/tell/json.h"
#include "host/tell/notify.h"
#include "host/tell/shard.h"
#include "host/train/predict.h"
#include "host/train/run.h"
#include "host/train/run_dir.h"
#include "io/datasets/datasets.h"
#include "io/text/json_reader.h"

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

typedef struct {
    const TurtleSweepOptions *options;
    TurtleCommon common;      /* the caller's, with what `auto` means on the device */
    const TurtleHooks *hooks; /* the caller's: called by one thread at a time */
    TurtleSweepResult *result;
    Shard shard;
    Inputs in;
    Made features; /* those of the runs, where earlier ones are kept */
    Ops ops;
    Features train[MAX_SPACES], val[MAX_SPACES]; /* on the device */
    bool *done;                                  /* (runs) finished before */
    int64_t **cluster;                           /* (runs) of the training split; NULL: failed */
    int jobs;
    char piece[48]; /* ".2of8" in the names of its files, or "" */
    Lock alone;     /* no other call works on this piece */

    pthread_mutex_t lock; /* of all below, and of the hooks */
    int64_t next;         /* run that the next free thread takes */
    TurtleProgress progress;
    double started;
    volatile sig_atomic_t stop; /* the caller's wish, or a failure */
    Status status;              /* the first failure */
    Error error;
    const TurtleSweepRun *speaker; /* the first run that had something to say */
} Sweep;

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "sweep: out of memory");
}

static char *run_path(const Sweep *s, int64_t r, const char *file) {
    return format_text("%s/%s/%s", s->result->folder, s->result->run[r].name, file);
}

/* The training options of a run; `folder` is its directory. */
static TurtleTrainOptions train_options(const Sweep *s, int64_t r, const char *folder) {
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

/* --- finished runs ---------------------------------------------------------------------------- */

enum { MOST_OPTIONS = 4096 };

/* What run.json says. */
typedef struct {
    bool finished, scored;
    int64_t T;
    char options[MOST_OPTIONS];
} Saved;

/* The member as it was written, for run_options_json writes the same options in the same way. */
static void read_options(Saved *saved, JsonReader *r) {
    if (json_peek(r) != '{') r->bad = true;
    const char *from = r->at;
    if (!json_skip(r)) return;
    if (r->at - from < MOST_OPTIONS) memcpy(saved->options, from, (size_t)(r->at - from));
    else r->bad = true;
}

/* Whether the options that a run was made with are those of these lines. */
static bool same_options(const Saved *saved, const char *lines) {
    Json j = {0};
    json_open(&j, NULL);
    run_options_json(&j, lines);
    json_close(&j);
    char *text = json_take(&j), *object = text ? strchr(text + 1, '{') : NULL;
    if (object) object[strlen(object) - 1] = '\0'; /* the brace that closes the outer one */
    const bool same = object && strcmp(object, saved->options) == 0;
    free(text);
    return same;
}

static bool read_saved(Saved *saved, TurtleSweepRun *run, const FileMap *map) {
    char key[64];
    JsonReader r = json_reader(map->data, map->bytes);
    const struct {
        const char *key;
        double *at;
    } numbers[] = {{"generalization_score", &run->generalization_score},
                   {"loss", &run->loss},
                   {"entropy", &run->entropy},
                   {"cluster_acc", &run->cluster_acc},
                   {"seconds", &run->seconds}};
    enum { NUMBERS = sizeof numbers / sizeof *numbers };
    json_enter(&r, '{');
    while (json_next_key(&r, key, sizeof key)) {
        int i = 0;
        while (i < NUMBERS && strcmp(key, numbers[i].key) != 0) i++;
        if (i < NUMBERS) json_real_value(&r, numbers[i].at);
        else if (strcmp(key, "finished") == 0) json_bool_value(&r, &saved->finished);
        else if (strcmp(key, "cross_val") == 0) json_bool_value(&r, &saved->scored);
        else if (strcmp(key, "T") == 0) json_integer_value(&r, &saved->T);
        else if (strcmp(key, "options") == 0) read_options(saved, &r);
        else json_skip(&r);
    }
    return json_finished(&r);
}

/* A run that diverged left the reason in failed.txt. */
static Status read_failure(Sweep *s, int64_t r, Error *err) {
    FileMap map;
    char *path = run_path(s, r, "failed.txt");
    Status st = path ? OK : out_of_memory(err);
    if (st == OK && file_exists(path)) {
        st = file_map(&map, path, err);
        if (st == OK) {
            const size_t n = map.bytes ? (size_t)map.bytes - 1 : 0; /* without the newline */
            s->result->run[r].failed = strndup(n ? (const char *)map.data : "", n);
            s->done[r] = true;
            file_unmap(&map);
            if (!s->result->run[r].failed) st = out_of_memory(err);
        }
    }
    free(path);
    return st;
}

/* The results of a run that is finished. */
static Status read_run(Sweep *s, int64_t r, Error *err) {
    TurtleSweepRun *run = &s->result->run[r];
    Saved saved = {0};
    FileMap map;
    Prior prior = {0};
    char *path = run_path(s, r, "run.json"), *options = NULL;
    Status st = path ? file_map(&map, path, err) : out_of_memory(err);
    if (st != OK) goto out;
    const bool whole = read_saved(&saved, run, &map);
    file_unmap(&map);
    if (!whole) {
        st = fail(err, ERR_FORMAT, "sweep: %s is damaged: remove its folder, or --restart", path);
        goto out;
    }
    s->done[r] = saved.finished;
    char differs[MADE_TEXT];
    if (run_features_differ(differs, path, &s->features)) {
        st = fail(err, ERR_ARG,
                  "sweep: %s was made of %s: give those features, another --out, or --restart",
                  path, differs);
        goto out;
    }
    if (!saved.finished) goto out;
    Inputs in = s->in;
    in.C = run->classes;
    const TurtleTrainOptions t = train_options(s, r, NULL);
    st = prior_open(&prior, t.prior, in.C, err);
    if (st == OK && !(options = run_options(&t, &in, prior.name))) st = out_of_memory(err);
    if (st == OK &&
        (!same_options(&saved, options) || saved.T != t.T || saved.scored != t.cross_val))
        st = fail(err, ERR_ARG,
                  "sweep: %s was made with other options or data: give those (--T, --batch_size, "
                  "--no_score, ...), another --out, or --restart",
                  path);
out:
    prior_free(&prior);
    free(options);
    free(path);
    return st;
}

/* Removes what an earlier sweep left of a run, unless another call is at work there. */
static Status throw_away(const Sweep *s, int64_t r, Error *err) {
    static const char *const left[] = {"run.json", "resume.pt", "failed.txt"};
    Lock lock = {0};
    char *folder = format_text("%s/%s", s->result->folder, s->result->run[r].name);
    Status st = folder ? OK : out_of_memory(err);
    if (st == OK && file_exists(folder)) st = run_dir_lock(&lock, folder, err);
    for (int i = 0; st == OK && i < 3; i++) {
        char *path = run_path(s, r, left[i]);
        if (!path) st = out_of_memory(err);
        else if (file_exists(path) && remove(path) != 0)
            st = fail(err, ERR_IO, "sweep: %s: %s", path, strerror(errno));
        free(path);
    }
    lock_close(&lock);
    free(folder);
    return st;
}

static bool run_has(const Sweep *s, int64_t r, const char *file) {
    char *path = run_path(s, r, file);
    const bool has = path && file_exists(path);
    free(path);
    return has;
}

/* Which runs are finished; what is there without --resume or --restart is an error. */
static Status look_back(Sweep *s, Error *err) {
    const TurtleSweepOptions *o = s->options;
    char *table = format_text("%s/sweep%s.json", s->result->folder, s->piece);
    bool there = table && file_exists(table);
    free(table);
    Status st = OK;
    if (o->resume) run_features_made(&s->features, &s->in);
    for (int64_t r = 0; st == OK && r < s->result->runs; r++) {
        const bool made = run_has(s, r, "run.json"), failed = run_has(s, r, "failed.txt");
        there |= made || failed || run_has(s, r, "resume.pt");
        if (o->restart) st = throw_away(s, r, err);
        else if (o->resume && failed) st = read_failure(s, r, err);
        else if (o->resume && made) st = read_run(s, r, err);
    }
    if (st == OK && there && !o->resume && !o->restart)
        st = fail(err, ERR_ARG,
                  "sweep: %s holds runs of an earlier sweep: keep them with --resume or "
                  "throw them away with --restart",
                  s->result->folder);
    return st;
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

/* --- one run ---------------------------------------------------------------------------------- */

/* What the hooks of a run know. */
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

/* Warnings are passed on, and all lines of the first run: what they say is true of the others too. */
static void on_notice(void *context, const char *line) {
    const Job *job = context;
    Sweep *s = job->sweep;
    pthread_mutex_lock(&s->lock);
    if (!s->speaker) s->speaker = job->run;
    if (s->speaker == job->run || strncmp(line, "warning", 7) == 0)
        notice(s->hooks, "%s: %s", job->run->name, line);
    pthread_mutex_unlock(&s->lock);
}

/* A diverged run is a result, not the end of the sweep. */
static Status keep_failure(Sweep *s, int64_t r, const Error *why, Error *err) {
    char *path = run_path(s, r, "failed.txt");
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
         *state = run_path(s, r, "resume.pt");
    TurtleResult result = {0};
    Error why;
    Status st = folder && state ? OK : out_of_memory(err);
    if (st == OK) {
        TurtleTrainOptions t = train_options(s, r, folder);
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

/* The next run that is to be trained; the number of runs when there is none. */
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

static Status train_all(Sweep *s, Error *err) {
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

/* The clusters of the training split, from the checkpoint that a run left. */
static Status label_run(Sweep *s, int64_t r, Error *err) {
    TurtleSweepRun *run = &s->result->run[r];
    TaskEncoder task = {0};
    Predictor predictor = {0};
    Predictions p = {0};
    char *path = run_path(s, r, "checkpoint.pt");
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

/* The folder of the sweep. */
static char *sweep_folder(const Sweep *s) {
    const TurtleSweepOptions *o = s->options;
    return o->out ? format_text("%s", o->out)
                  : format_text("%s/task_checkpoints/%dspace/%s/%s/sweep", o->common.root_dir,
                                s->in.K, s->in.phis, s->in.dataset);
}

/* The runs of this piece: every N-th of the grid, so that pieces take about as long as each other. */
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

/* As many trainings side by side as fill the device: a CPU is filled by one thread per training (B
 * 10000, C 10, d 768 on two EPYC cores: two threads are 1.74 times as fast as one, README), a GPU by as
 * many as its plan says (kernels/plan/plan.h). */
static int jobs_of(const Sweep *s) {
    const RunShared shared = {.in = &s->in, .ops = &s->ops};
    int most = 1;
    if (s->options->jobs) return s->options->jobs;
    if (strcmp(s->ops.kind, "cpu") == 0) return s->ops.threads;
    for (int64_t r = 0; r < s->result->runs; r++) {
        const TurtleTrainOptions t = train_options(s, r, NULL);
        const int trainings = s->done[r] ? 1 : run_trainings(&t, &shared);
        if (trainings > most) most = trainings;
    }
    return most;
}

/* The features, once for all. */
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
    if (st == OK) st = look_back(s, err);
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
    Sweep s = {.options = options,
               .common = options->common,
               .hooks = &options->common.hooks,
               .result = out};
    *out = (TurtleSweepResult){0};
    pthread_mutex_init(&s.lock, NULL);
    Status st = open_sweep(&s, err);
    if (st == OK) st = train_all(&s, err);
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
    pthread_mutex_destroy(&s.lock);
    if (st != OK) turtle_sweep_result_free(out);
    return st;
}
