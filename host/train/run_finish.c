/* run_finish.c - what a training run leaves: run.json, the checkpoint, predictions, its line of results. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/inputs/inputs_json.h"
#include "host/score/clusters.h"
#include "host/score/crossval.h"
#include "host/score/result.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/profile.h"
#include "host/train/probability_file.h"
#include "host/train/run_parts.h"
#include "host/train/train_state.h"

/* --- run.json --------------------------------------------------------------------------------- */

/* Returns the options and inputs as one object; with a result, that too. */
static char *run_json(const Run *run, const TurtleResult *result) {
    const TurtleTrainOptions *o = run->options;
    char *here = getcwd(NULL, 0); /* NULL: the folder is gone, and null says so */
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "train", &o->common, run->ops.kind, precision_used(&o->common));
    json_bool(&j, "finished", result != NULL);
    run_options_json(&j, run->dir.options);
    made_json(&j, &run->dir.made);
    if (result) json_result(&j, result);
    if (result && o->profile) json_profile(&j, &run->ops);
    json_text(&j, "command_line", o->common.command_line);
    json_text(&j, "working_directory", here);
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
    free(here);
    return json_take(&j);
}

static Status write_run_json(const Run *run, const char *json, Error *err) {
    if (json && !run->dir.folder) return OK;
    char *path = format_text("%s/run.json", run->dir.folder);
    const Status st = path && json ? file_write_text(path, json, err)
                                   : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    return st;
}

Status run_record(const Run *run, Error *err) {
    char *json = run_json(run, NULL);
    const Status st = write_run_json(run, json, err);
    free(json);
    return st;
}

/* --- results ---------------------------------------------------------------------------------- */

/* Writes predictions_<split>.csv of one split, where there is a run directory. */
static Status write_split(const Run *run, const Split *split, Error *err) {
    if (!run->dir.folder) return OK;
    char *path = format_text("%s/predictions_%s.csv", run->dir.folder, split->name);
    const Status st = path ? predictions_write(path, split, &run->predictions, err)
                           : fail(err, ERR_MEMORY, "training: out of memory");
    free(path);
    return st;
}

/* Keeps the clusters of a split in the result. */
static Status keep_clusters(int64_t **out, const Predictions *p, Error *err) {
    *out = malloc((size_t)p->n * sizeof **out);
    if (!*out) return fail(err, ERR_MEMORY, "training: out of memory");
    memcpy(*out, p->cluster, (size_t)p->n * sizeof **out);
    return OK;
}

/* Predicts one split, and leaves what is found in the run directory; the scores of the scored one go into
 * *result. */
static Status finish_split(Run *run, const Split *split, const Features *on_device,
                           TurtleResult *result, Error *err) {
    const bool scored = split == run->scored;
    ProbabilityFile soft;
    Status st =
        probability_file_open(&soft, &run->predictor, scored ? run->options->probabilities : NULL,
                              scored && run->options->soft_labels, split->N, err);
    if (st == OK)
        st =
            predictor_run(&run->predictor, &run->task, on_device, split->N, &run->predictions, err);
    float *kept = NULL;
    if (st == OK) st = probability_file_commit(&soft, &kept, err);
    else probability_file_abort(&soft);
    if (kept) result->probability = kept;
    if (st == OK && scored && run->options->predictions)
        st = predictions_write(run->options->predictions, split, &run->predictions, err);
    if (st == OK && scored)
        st = result_score(result, split, &run->predictions, run->in.C, run->hooks, err);
    if (st == OK && split == &run->in.train)
        st = score_accuracy(&result->train_cluster_acc, split, &run->predictions, err);
    if (st == OK) st = write_split(run, split, err);
    if (st == OK && scored) st = keep_clusters(&result->cluster_of, &run->predictions, err);
    if (st == OK && split == &run->in.train) {
        result->train_samples = split->N;
        st = keep_clusters(&result->train_cluster_of, &run->predictions, err);
    }
    if (st == OK && scored)
        st = clusters_describe(&result->clusters, run->in.C, split, &run->predictions, NULL,
                               run->hooks, err);
    return st;
}

/* Computes the generalisation score of the labels just predicted for the training split. */
static Status cross_validate(Run *run, TurtleResult *result, Error *err) {
    const char *dataset = run->options->inputs.dataset;
    const Status st = generalization_score(
        &run->ops, run->in.K, run->train.features, run->predictions.cluster, run->in.C,
        crossval_iterations(dataset), run->hooks, &result->generalization_score, err);
    if (st != ERR_STOPPED) return st;
    if (!run->dir.folder)
        return fail(err, ERR_STOPPED,
                    "training: stopped while computing the generalisation score: nothing is kept, "
                    "for there is no run directory");
    const Status saved = train_save(&run->train, run->dir.resume, run->dir.options, err);
    return saved != OK ? saved
                       : fail(err, ERR_STOPPED,
                              "training: stopped while computing the generalisation score, after "
                              "all %lld iterations, state saved in %s: continue with --resume",
                              (long long)run->iteration, run->dir.resume);
}

/* Appends the line of the run to <root>/results/<K>space/<phis>/turtle_<dataset>.txt, the published place. */
static Status append_result_line(const Run *run, const TurtleResult *result, Error *err) {
    const TurtleTrainOptions *o = run->options;
    if (o->out || !run->dir.folder)
        return OK; /* everything goes there, and the line is in run.json */
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

Status run_finish(Run *run, TurtleResult *result, Error *err) {
    TrainLosses losses;
    Status st = train_losses(&run->train, &losses, err);
    if (st == OK) st = train_read_task(&run->train, run->task.linear, err);
    if (st == OK && run->dir.folder) st = checkpoint_save(run->dir.checkpoint, &run->task, err);
    if (st == OK)
        st = model_copy(&result->model, run->task.K, run->task.C, run->task.d, run->task.linear,
                        err);
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
    const char *folder = run->dir.folder;
    if (folder) {
        result->checkpoint = format_text("%s", run->dir.checkpoint);
        result->predictions =
            format_text("%s/predictions_train.csv%s%s%s", folder, run->in.val.N ? "\n" : "",
                        run->in.val.N ? folder : "", run->in.val.N ? "/predictions_val.csv" : "");
    }
    result->line = result_line(result, &run->in);
    if (run->options->profile) result->profile = profile_table(&run->ops);
    result->json = run_json(run, result);
    if ((folder && !result->checkpoint) || !result->line || !result->json)
        return fail(err, ERR_MEMORY, "training: out of memory");
    st = write_run_json(run, result->json, err);
    if (st == OK) st = append_result_line(run, result, err);
    if (st == OK && folder)
        remove(run->dir.resume); /* nothing is unfinished any more; it may not exist */
    return st;
}
