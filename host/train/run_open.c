/* run_open.c - a training run opened: options checked, device, inputs, run directory and training. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/tell/common.h"
#include "host/tell/notify.h"
#include "host/train/probability_file.h"
#include "host/train/run_parts.h"
#include "host/train/train_state.h"

static const int64_t MOST_COUNT = (int64_t)1 << 40; /* bytes of as many numbers can be counted */

static Status check_options(const TurtleTrainOptions *o, Error *err) {
    Status st = common_check(&o->common, err);
    if (st == OK) st = probability_file_check(o->probabilities, err);
    if (st != OK) return st;
    if (!o->prior || !o->rng || !o->inner)
        return fail(err, ERR_USAGE,
                    "training: prior, rng and inner are texts, not NULL: begin with the defaults");
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
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        if (sizes[i].value > MOST_COUNT)
            return fail(err, ERR_USAGE, "training: --%s %lld: at most %lld is served",
                        sizes[i].name, (long long)sizes[i].value, (long long)MOST_COUNT);
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

/* Reads "A:B", 1 <= A <= B. */
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

/* Says "1.9 GB of 141 GB on cuda:0: ..." where the device has memory of its own. */
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

/* Returns the training that the options ask for on these inputs. */
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

/* Replaces `auto` by what the device has for these features. */
static void settle_precision(Run *run) {
    TurtleCommon *common = &run->resolved.common;
    if (strcmp(common->precision, "auto") != 0) return;
    common->precision = inputs_precision(&run->in, run->ops.precision);
    if (strcmp(common->precision, run->ops.precision) != 0)
        notice(run->hooks, "training: --precision %s, for a feature is beyond %s",
               common->precision, run->ops.precision);
}

/* Goes on where an earlier call stopped, if it left a state. */
static Status continue_run(Run *run, Error *err) {
    if (!file_exists(run->dir.resume)) {
        notice(run->hooks, "training: %s holds no unfinished run: starting from the beginning",
               run->dir.folder);
        return OK;
    }
    Status st = train_restore(&run->train, run->dir.resume, run->dir.options, err);
    if (st != OK) return st;
    run->ops.mem.to_host(run->train.queue, &run->iteration, run->train.iteration,
                         sizeof run->iteration);
    st = run->ops.mem.wait(run->train.queue, err);
    if (st == OK && run->iteration > run->options->T)
        st = fail(err, ERR_ARG,
                  "training: %s has done %lld iterations, --T %lld are fewer: expected at "
                  "least these, or --restart",
                  run->dir.folder, (long long)run->iteration, (long long)run->options->T);
    if (st == OK)
        notice(run->hooks, "training: continuing %s after iteration %lld", run->dir.folder,
               (long long)run->iteration);
    return st;
}

Status run_open(Run *run, Error *err) {
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
    if (st == OK && run->prior.blank)
        notice(run->hooks, "prior: %s: line %lld is blank: it is no class and is passed over",
               o->prior, (long long)run->prior.blank);
    if (st == OK)
        st = run_dir_open(&run->dir, o, run->ops.precision, run->prior.name, &run->in, err);
    if (st == OK) st = open_training(run, err);
    if (st == OK && o->resume) st = continue_run(run, err);
    if (st == OK) st = run_dir_open_log(&run->dir, run->iteration, err);
    return st;
}

void run_close(Run *run) {
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
