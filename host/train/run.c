/* run.c - turtle_train: one training run, from files to files. The algorithm is in train.c. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/inputs_json.h"
#include "host/inputs/prior.h"
#include "host/score/crossval.h"
#include "host/score/result.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/notify.h"
#include "host/tell/profile.h"
#include "host/train/probability_file.h"
#include "host/train/run.h"
#include "host/train/run_dir.h"
#include "host/train/train_state.h"
#include "host/train/watch.h"

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

/* --- everything a run holds ------------------------------------------------------------------- */

typedef struct {
    TurtleTrainOptions resolved; /* the caller's, with the device's own precision for `auto` */
    const TurtleTrainOptions *options;   /* those */
    int64_t profile_first, profile_last; /* iterations, counted from 1; 0: none */
    bool profiled;                       /* a profiler records just now */
    const TurtleHooks *hooks;
    const RunShared *shared; /* of a sweep, or NULL */
    Inputs in;
    Prior prior;
    Ops ops;
    RunDir dir;
    Train train;
    TaskEncoder task;
    Predictor predictor;
    Features val_features[MAX_SPACES]; /* on the device */
    const Features *scored_features;   /* of the scored split */
    const Split *scored;               /* the validation split, else the training split */
    int64_t watched;                   /* samples of it that are scored while training goes on */
    Predictions predictions;
    Watch watch;
    int64_t iteration;
    int64_t pace; /* a mark PACE iterations back */
    double started;
    TurtleProgress progress;
} Run;

static Status check_options(const TurtleTrainOptions *o, Error *err) {
    const Status named = probability_file_check(o->probabilities, err);
    if (named != OK) return named;
    const struct {
        const char *name;
        int64_t value, least;
    } sizes[] = {{"T", o->T, 1},
                 {"M", o->M, 1},
                 {"batch_size", o->batch_size, 1},
                 {"eval_every", o->eval_every, 0},
                 {"save_every", o->save_every, 0}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value < sizes[i].least)
            return fail(err, ERR_USAGE, "training: --%s %lld: at least %lld is needed",
                        sizes[i].name, (long long)sizes[i].value, (long long)sizes[i].least);
    if (!(o->inner_lr > 0) || !(o->outer_lr > 0) || !isfinite(o->inner_lr + o->outer_lr))
        return fail(err, ERR_USAGE, "training: learning rates must be positive and finite");
    if (!(o->gamma >= 0) || !isfinite(o->gamma))
        return fail(err, ERR_USAGE, "training: --gamma must be 0 or more and finite");
    if (strcmp(o->rng, "philox") != 0 && strcmp(o->rng, "torch") != 0)
        return fail(err, ERR_USAGE, "training: --rng %s: expected philox or torch", o->rng);
    if (strcmp(o->inner, "auto") != 0 && strcmp(o->inner, "unfused") != 0 &&
        strcmp(o->inner, "fused") != 0 && strcmp(o->inner, "mega") != 0)
        return fail(err, ERR_USAGE, "training: --inner %s: expected auto, unfused, fused or mega",
                    o->inner);
    return OK;
}

/* "A:B", 1 <= A <= B. */
static Status parse_range(Run *run, Error *err) {
    const char *text = run->options->profile_range;
    long long first, last;
    char rest;
    if (!text) return OK;
    if (sscanf(text, "%lld:%lld%c", &first, &last, &rest) != 2 || first < 1 || last < first)
        return fail(err, ERR_USAGE,
                    "training: --profile_range %s: expected A:B, iterations counted from 1", text);
    run->profile_first = first;
    run->profile_last = last;
    return OK;
}

static Status open_ops(Run *run, Error *err) {
    TurtleCommon *common = &run->resolved.common;
    const char *why = NULL;
    Status st = OK;
    if (run->shared) run->ops = *run->shared->ops;
    else st = ops_open(&run->ops, common->device, common->threads, &why, err);
    if (st != OK) return st;
    if (why) notice(run->hooks, "device: %s", why);
    if (strcmp(common->precision, "tf32") == 0 && !run->ops.f16_products)
        return fail(err, ERR_USAGE,
                    "training: --precision tf32: the CPU backend has fp32, fp16 and bf16");
    if (run->profile_last) st = run->ops.mem.capture(run->ops.device, false, err);
    if (st == OK && run->options->profile) {
        st = run->ops.mem.profile(run->ops.device, err);
        if (st == OK)
            notice(run->hooks, "profile: launches are timed one by one and not replayed: this run "
                               "is slower than others");
    }
    return st;
}

static DType operand_type(const TurtleCommon *common) {
    const char *precision = precision_used(common);
    return strcmp(precision, "fp16") == 0   ? DTYPE_F16
           : strcmp(precision, "bf16") == 0 ? DTYPE_BF16
                                            : DTYPE_F32;
}

static InnerTier inner_tier(const char *name) {
    return strcmp(name, "mega") == 0      ? INNER_MEGA
           : strcmp(name, "fused") == 0   ? INNER_FUSED
           : strcmp(name, "unfused") == 0 ? INNER_UNFUSED
                                          : INNER_AUTO;
}

/* "1.9 GB of 141 GB on cuda:0: ..." where the device has memory of its own. */
static void tell_memory(const Run *run) {
    MemoryUse use;
    char used[24], total[24], resident[24], arrays[24], left[24], remote[24];
    run->ops.mem.memory(run->ops.device, &use);
    if (use.total == 0) return;
    notice(run->hooks,
           "memory: %s of %s on %s: features %s resident, arrays %s, %s stay free%s%s%s",
           bytes_text(used, use.resident + use.arrays), bytes_text(total, use.total), run->ops.kind,
           bytes_text(resident, use.resident), bytes_text(arrays, use.arrays),
           bytes_text(left, use.free), use.remote ? "; features of " : "",
           use.remote ? bytes_text(remote, use.remote) : "",
           use.remote ? " stay in pinned host memory, gathered one iteration ahead" : "");
}

/* What the options ask for on these inputs. */
static TrainConfig train_config(const TurtleTrainOptions *o, const Inputs *in, int64_t C) {
    const Split *train = &in->train;
    TrainConfig c = {.K = in->K,
                     .C = C,
                     .B = o->batch_size < train->N ? o->batch_size : train->N,
                     .M = o->M,
                     .operands = operand_type(&o->common),
                     .tf32 = strcmp(o->common.precision, "tf32") == 0,
                     .tier = inner_tier(o->inner),
                     .gamma = o->gamma,
                     .inner_lr = o->inner_lr,
                     .outer_lr = o->outer_lr,
                     .warm_start = o->warm_start,
                     .torch_rng = strcmp(o->rng, "torch") == 0,
                     .seed = o->common.seed};
    for (int k = 0; k < c.K; k++) {
        c.features[k] = &train->space[k].features;
        c.exponent[k] = space_exponent(&train->space[k]);
    }
    return c;
}

int run_trainings(const TurtleTrainOptions *options, const RunShared *shared) {
    const TrainConfig c = train_config(options, shared->in, options->inputs.classes);
    return train_outlook(shared->ops, &c).trainings;
}

static Status open_training(Run *run, Error *err) {
    Status st = OK;
    const Split *train = &run->in.train;
    TrainConfig config = train_config(run->options, &run->in, run->in.C);
    config.on_device = run->shared ? run->shared->train : NULL;
    config.prior = run->prior.pi;
    if (run->options->batch_size > train->N)
        notice(run->hooks,
               "training: --batch_size %lld is more than the %lld samples: using all of them",
               (long long)run->options->batch_size, (long long)train->N);
    const InnerOutlook outlook = train_outlook(&run->ops, &config);
    if (run->shared) config.beside = outlook.trainings;
    if (outlook.note[0]) notice(run->hooks, "training: %s", outlook.note);
    if (config.operands == DTYPE_F16)
        st = inputs_check_float16(&run->in, run->ops.f16_products, err);
    if (st == OK) st = train_open(&run->train, &run->ops, &config, err);
    if (st != OK) return st;

    /* the training split is scored by its first samples only until the end: all of it would cost
     * as much as the training itself */
    run->scored = run->in.val.N ? &run->in.val : train;
    run->watched = run->scored == train ? config.B : run->scored->N;
    run->scored_features = run->scored == train ? run->train.features : run->val_features;
    for (int k = 0; st == OK && run->in.val.N && k < config.K; k++)
        if (run->shared) run->val_features[k] = run->shared->val[k];
        else
            st = run->ops.mem.features_open(run->ops.device, &run->val_features[k],
                                            &run->in.val.space[k].features, err);
    /* between iterations nobody reads the soft labels: their memory serves the evaluation */
    const Buffer labels = {run->train.P, config.K * config.B * config.C * (int64_t)sizeof(float)};
    if (st == OK)
        st = predictor_open(&run->predictor, &run->ops, config.K, config.C, run->train.d, &labels,
                            err);
    if (st == OK) st = task_encoder_alloc(&run->task, config.K, config.C, run->train.d, err);
    if (st == OK) tell_memory(run);
    return st;
}

/* `auto` becomes what the device has for these features. */
static void settle_precision(Run *run) {
    TurtleCommon *common = &run->resolved.common;
    if (strcmp(common->precision, "auto") != 0) return;
    common->precision = inputs_precision(&run->in, run->ops.precision);
    if (strcmp(common->precision, run->ops.precision) != 0)
        notice(run->hooks, "training: --precision %s, for a feature is beyond %s",
               common->precision, run->ops.precision);
}

static Status open_run(Run *run, Error *err) {
    const TurtleTrainOptions *o = run->options;
    Status st = check_options(o, err);
    if (st == OK) st = parse_range(run, err);
    if (st == OK) st = open_ops(run, err);
    if (run->shared) {
        run->in = *run->shared->in;
        run->in.C = o->inputs.classes;
    } else if (st == OK) {
        st = inputs_open(&run->in, &o->inputs, &o->common, INPUTS_TRAINING | INPUTS_GRADIENTS, err);
    }
    if (st == OK) settle_precision(run);
    if (st == OK && run->in.C == 0)
        st = fail(err, ERR_USAGE, "training: the number of classes is not known: give --classes C");
    if (st == OK && !run->shared) st = inputs_check_classes(&run->in, run->in.C, err);
    if (st == OK) st = prior_open(&run->prior, o->prior, run->in.C, err);
    if (st == OK)
        st = run_dir_open(&run->dir, o, run->ops.precision, run->prior.name, &run->in, err);
    if (st == OK) st = open_training(run, err);
    if (st == OK && o->resume) {
        if (file_exists(run->dir.resume)) {
            st = train_restore(&run->train, run->dir.resume, run->dir.options, err);
            if (st == OK) {
                run->ops.mem.to_host(run->train.queue, &run->iteration, run->train.iteration,
                                     sizeof run->iteration);
                st = run->ops.mem.wait(run->train.queue, err);
            }
            if (st == OK && run->iteration > run->options->T)
                st = fail(err, ERR_ARG,
                          "training: %s has done %lld iterations, --T %lld are fewer: expected at "
                          "least these, or --restart",
                          run->dir.folder, (long long)run->iteration, (long long)run->options->T);
            if (st == OK)
                notice(run->hooks, "training: continuing %s after iteration %lld", run->dir.folder,
                       (long long)run->iteration);
        } else {
            notice(run->hooks, "training: %s holds no unfinished run: starting from the beginning",
                   run->dir.folder);
        }
    }
    if (st == OK) st = run_dir_open_log(&run->dir, run->iteration, err);
    return st;
}

static void close_run(Run *run) {
    watch_close(&run->watch);
    predictor_close(&run->predictor);
    task_encoder_free(&run->task);
    for (int k = 0; !run->shared && run->ops.device && k < run->in.K; k++)
        run->ops.mem.features_close(run->ops.device, &run->val_features[k]);
    train_close(&run->train);
    if (!run->shared) ops_close(&run->ops);
    predictions_free(&run->predictions);
    run_dir_close(&run->dir);
    prior_free(&run->prior);
    if (!run->shared) inputs_close(&run->in);
}

/* --- while it runs ---------------------------------------------------------------------------- */

static bool stop_asked(const TurtleHooks *hooks) {
    return hooks->stop && *hooks->stop;
}

/* The host enqueues at most 2 PACE iterations ahead of the device, so that it stops soon. */
enum { PACE = 16 };
static Status keep_pace(Run *run, Error *err) {
    const DeviceOps *mem = &run->ops.mem;
    if (run->iteration % PACE != 0) return OK;
    const Status st = run->pace >= 0 ? mem->reach(run->train.queue, run->pace, err) : OK;
    if (st == OK) mem->mark(run->train.queue, &run->pace);
    return st;
}

/* Before iteration t, counted from 1: a profiler begins to record, or no longer does. */
static Status profile_range(Run *run, int64_t t, Error *err) {
    const bool on = t >= run->profile_first && t <= run->profile_last && t <= run->options->T;
    if (on == run->profiled) return OK;
    run->profiled = on;
    return run->ops.mem.capture(run->ops.device, on, err);
}

static void tell_progress(Run *run) {
    TurtleProgress *p = &run->progress;
    p->iteration = run->iteration;
    p->seconds = now_seconds() - run->started;
    watch_progress(&run->watch, p);
    if (run->hooks->progress) run->hooks->progress(run->hooks->context, p);
}

/* All that is enqueued is done and logged; then the state is saved. */
static Status save(Run *run, Error *err) {
    const Status st = watch_finish(&run->watch, err);
    return st == OK ? train_save(&run->train, run->dir.resume, run->dir.options, err) : st;
}

/* One iteration, and what follows it. */
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
        tell_progress(run);
        const int64_t t = run->iteration;
        const bool stop = stop_asked(run->hooks) && t < o->T;
        if (stop || (o->save_every && t % o->save_every == 0 && t < o->T)) st = save(run, err);
        if (st == OK && stop)
            return fail(err, ERR_STOPPED,
                        "training: stopped after iteration %lld of %lld, state saved in %s: "
                        "continue with --resume",
                        (long long)t, (long long)o->T, run->dir.resume);
    }
    return st == OK ? profile_range(run, run->iteration + 1, err) : st;
}

/* --- what it leaves --------------------------------------------------------------------------- */

/* The options and inputs; with a result, all of it. */
static char *run_json(const Run *run, const TurtleResult *result) {
    const TurtleTrainOptions *o = run->options;
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "train", &o->common, run->ops.kind, precision_used(&o->common));
    json_bool(&j, "finished", result != NULL);
    run_options_json(&j, run->dir.options);
    made_json(&j, &run->dir.made);
    if (result) json_result(&j, result);
    if (result && o->profile) json_profile(&j, &run->ops);
    json_text(&j, "command_line", o->common.command_line);
    json_text(&j, "backend", run->ops.name);
    json_inputs(&j, &run->in);
    json_integer(&j, "C", run->in.C);
    json_real(&j, "gamma", o->gamma);
    json_integer(&j, "T", o->T);
    json_integer(&j, "M", o->M);
    json_real(&j, "inner_lr", o->inner_lr);
    json_real(&j, "outer_lr", o->outer_lr);
    json_integer(&j, "batch_size", run->train.config.B);
    json_bool(&j, "warm_start", o->warm_start);
    json_text(&j, "prior", run->prior.name);
    json_text(&j, "rng", o->rng);
    json_text(&j, "inner", o->inner);
    json_integer(&j, "eval_every", o->eval_every);
    json_integer(&j, "save_every", o->save_every);
    json_bool(&j, "cross_val", o->cross_val);
    json_close(&j);
    return json_take(&j);
}

static Status write_run_json(const Run *run, const char *json, Error *err) {
    char *path = format_text("%s/run.json", run->dir.folder);
    const Status st = path && json ? file_write_text(path, json, err)
                                   : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    return st;
}

/* predictions_<split>.csv of one split; the scores of the scored one go into *result. */
static Status finish_split(Run *run, const Split *split, const Features *on_device,
                           TurtleResult *result, Error *err) {
    const bool scored = split == run->scored;
    ProbabilityFile soft;
    Status st = probability_file_open(&soft, &run->predictor,
                                      scored ? run->options->probabilities : NULL, split->N, err);
    if (st == OK)
        st =
            predictor_run(&run->predictor, &run->task, on_device, split->N, &run->predictions, err);
    if (st == OK) st = probability_file_commit(&soft, err);
    else probability_file_abort(&soft);
    if (st == OK && scored && run->options->predictions)
        st = predictions_write(run->options->predictions, split, &run->predictions, err);
    if (st == OK && scored)
        st = result_score(result, split, &run->predictions, run->in.C, run->hooks, err);
    if (st == OK && split == &run->in.train)
        st = score_accuracy(&result->train_cluster_acc, split, &run->predictions, err);
    char *path = format_text("%s/predictions_%s.csv", run->dir.folder, split->name);
    if (st == OK)
        st = path ? predictions_write(path, split, &run->predictions, err)
                  : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    return st;
}

/* The generalisation score of the labels just predicted for the training split. */
static Status cross_validate(Run *run, TurtleResult *result, Error *err) {
    const char *dataset = run->options->inputs.dataset;
    const Status st = generalization_score(
        &run->ops, run->in.K, run->train.features, run->predictions.cluster, run->in.C,
        crossval_iterations(dataset), run->hooks, &result->generalization_score, err);
    if (st != ERR_STOPPED) return st;
    const Status saved = train_save(&run->train, run->dir.resume, run->dir.options, err);
    return saved != OK ? saved
                       : fail(err, ERR_STOPPED,
                              "training: stopped while computing the generalisation score, after "
                              "all %lld iterations, state saved in %s: continue with --resume",
                              (long long)run->iteration, run->dir.resume);
}

/* <root>/results/<K>space/<phis>/turtle_<dataset>.txt: the published place, one line per run. */
static Status append_result_line(const Run *run, const TurtleResult *result, Error *err) {
    const TurtleTrainOptions *o = run->options;
    if (o->out) return OK; /* everything goes there, and the line is in run.json */
    char *path = format_text("%s/results/%dspace/%s/turtle_%s.txt", o->common.root_dir, run->in.K,
                             run->in.phis, run->in.dataset);
    const char *name = strrchr(run->dir.checkpoint, '/') + 1;
    char score[64] = ""; /* spelt as published: it is what readers of these files look for */
    if (run->options->cross_val)
        snprintf(score, sizeof score, ", Generalizatoin Score %.4f", result->generalization_score);
    char *line = format_text("%s%s, %s", result->line, score, name);
    const Status st = path && line ? file_append_line(path, line, err)
                                   : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    free(line);
    return st;
}

static Status finish_run(Run *run, TurtleResult *result, Error *err) {
    TrainLosses losses;
    Status st = train_losses(&run->train, &losses, err);
    if (st == OK) st = train_read_task(&run->train, run->task.linear, err);
    if (st == OK) st = checkpoint_save(run->dir.checkpoint, &run->task, err);
    if (st == OK) st = finish_split(run, &run->in.train, run->train.features, result, err);
    if (st == OK && run->options->cross_val) st = cross_validate(run, result, err);
    if (st == OK && run->in.val.N)
        st = finish_split(run, &run->in.val, run->val_features, result, err);
    if (st != OK) return st;
    result->loss = losses.loss;
    result->entropy = losses.entropy;
    result->iterations = run->iteration;
    result->seconds = now_seconds() - run->started;
    snprintf(result->device, sizeof result->device, "%s", run->ops.kind);
    result->checkpoint = format_text("%s", run->dir.checkpoint);
    result->predictions = format_text(
        "%s/predictions_train.csv%s%s%s", run->dir.folder, run->in.val.N ? "\n" : "",
        run->in.val.N ? run->dir.folder : "", run->in.val.N ? "/predictions_val.csv" : "");
    result->line = result_line(result, &run->in);
    if (run->options->profile) result->profile = profile_table(&run->ops);
    result->json = run_json(run, result);
    if (!result->checkpoint || !result->line || !result->json)
        return fail(err, ERR_MEMORY, "training: out of memory");
    st = write_run_json(run, result->json, err);
    if (st == OK) st = append_result_line(run, result, err);
    if (st == OK) remove(run->dir.resume); /* nothing is unfinished any more; it may not exist */
    return st;
}

Status turtle_train(const TurtleTrainOptions *options, TurtleResult *out, Error *err) {
    return run_shared(options, NULL, out, err);
}

Status run_shared(const TurtleTrainOptions *options, const RunShared *shared, TurtleResult *out,
                  Error *err) {
    Run run = {.resolved = *options, .hooks = &options->common.hooks, .shared = shared};
    run.options = &run.resolved;
    result_clear(out);
    Status st = open_run(&run, err);
    if (st == OK) {
        char *json = run_json(&run, NULL);
        st = write_run_json(&run, json, err);
        free(json);
    }
    if (st == OK) st = train_loop(&run, err);
    if (st == OK) st = finish_run(&run, out, err);
    if (st != OK) turtle_result_free(out);
    close_run(&run);
    return st;
}
