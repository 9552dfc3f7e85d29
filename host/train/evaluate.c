/* evaluate.c - turtle_evaluate: scores a checkpoint, or applies it to samples without labels. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/inputs/inputs_json.h"
#include "host/score/clusters.h"
#include "host/score/result.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/train/probability_file.h"

void turtle_evaluate_defaults(TurtleEvaluateOptions *o) {
    *o = (TurtleEvaluateOptions){.common = common_defaults()};
}

static bool is_folder(const char *path) {
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Finds the checkpoint: the file given, or in a folder the run's checkpoint.pt or the authors'
 * {1space,2space}/<phis>/<dataset>.pt. *out is fresh memory. */
static Status find_checkpoint(char **out, const TurtleEvaluateOptions *o, const Inputs *in,
                              Error *err) {
    *out = NULL;
    if (!o->ckpt_path)
        return fail(err, ERR_USAGE,
                    "evaluate: which checkpoint? give --ckpt_path FILE or a folder");
    if (!is_folder(o->ckpt_path)) {
        *out = format_text("%s", o->ckpt_path);
        return *out ? OK : fail(err, ERR_MEMORY, "evaluate: out of memory");
    }
    char *run = format_text("%s/checkpoint.pt", o->ckpt_path);
    char *authors = format_text("%s/%dspace/%s/%s.pt", o->ckpt_path, in->K, in->phis, in->dataset);
    Status st = run && authors ? OK : fail(err, ERR_MEMORY, "evaluate: out of memory");
    if (st == OK && file_exists(run)) {
        *out = run;
        run = NULL;
    } else if (st == OK && file_exists(authors)) {
        *out = authors;
        authors = NULL;
    } else if (st == OK) {
        st = fail(err, ERR_IO, "evaluate: %s holds neither checkpoint.pt nor %s", o->ckpt_path,
                  authors + strlen(o->ckpt_path) + 1);
    }
    free(run);
    free(authors);
    return st;
}

/* Describes and scores the clusters of a split, and writes the file of predictions. `names` may be
 * NULL. */
static Status describe(const TurtleEvaluateOptions *o, int64_t C, const ClusterNames *names,
                       const Split *split, const Predictions *p, TurtleResult *result, Error *err) {
    const TurtleHooks *hooks = &o->common.hooks;
    Status st = result_score(result, split, p, C, hooks, err);
    if (st == OK) st = clusters_describe(&result->clusters, C, split, p, names, hooks, err);
    if (st == OK && names) st = clusters_score_named(&result->named, split, p, names, err);
    if (st != OK || !o->predictions) return st;
    return names ? predictions_write_named(o->predictions, split, p,
                                           (const char *const *)names->name, err)
                 : predictions_write(o->predictions, split, p, err);
}

/* Applies the labelling to the split and fills the result but for its texts. */
static Status score(const TurtleEvaluateOptions *o, const Ops *ops, const TaskEncoder *task,
                    const ClusterNames *names, const Split *split, TurtleResult *result,
                    Error *err) {
    Features features[MAX_SPACES] = {{0}};
    Predictor predictor = {0};
    Predictions predictions = {0};
    ProbabilityFile soft = {0};
    Status st = OK;
    for (int k = 0; st == OK && k < task->K; k++)
        st = ops->mem.features_open(ops->device, &features[k], &split->space[k].features, err);
    if (st == OK) st = predictor_open(&predictor, ops, task->K, task->C, task->d, NULL, err);
    if (st == OK)
        st = probability_file_open(&soft, &predictor, o->probabilities, o->soft_labels, split->N,
                                   err);
    if (st == OK) st = predictor_run(&predictor, task, features, split->N, &predictions, err);
    if (st == OK) st = probability_file_commit(&soft, &result->probability, err);
    else probability_file_abort(&soft);
    if (st == OK) st = describe(o, task->C, names, split, &predictions, result, err);
    if (st == OK) result->cluster_of = predictions_take(&predictions);
    predictions_free(&predictions);
    predictor_close(&predictor);
    for (int k = 0; k < task->K; k++) ops->mem.features_close(ops->device, &features[k]);
    return st;
}

static char *evaluate_json(const TurtleEvaluateOptions *o, const Ops *ops, const Inputs *in,
                           const TurtleResult *result) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "evaluate", &o->common, ops->kind, "fp32");
    json_result(&j, result);
    json_inputs(&j, in);
    json_close(&j);
    return json_take(&j);
}

Status turtle_evaluate(const TurtleEvaluateOptions *o, TurtleResult *out, Error *err) {
    PLAIN_LOCALE;
    Inputs in = {0};
    Ops ops = {0};
    TaskEncoder task = {0};
    ClusterNames names = {0};
    char *path = NULL;
    const char *why = NULL;
    const double started = now_seconds();
    result_clear(out);

    Status st = common_check(&o->common, err);
    if (st == OK && o->model && o->ckpt_path)
        st = fail(err, ERR_USAGE, "evaluate: model and ckpt_path: expected one of them");
    if (st == OK) st = probability_file_check(o->probabilities, err);
    if (st == OK) st = inputs_open(&in, &o->inputs, &o->common, INPUTS_SCORING, err);
    if (st == OK && o->model) st = task_encoder_of(&task, o->model, "evaluate", err);
    else if (st == OK) st = find_checkpoint(&path, o, &in, err);
    if (st == OK && !o->model) st = checkpoint_load(&task, path, err);
    if (st != OK) goto out;
    const Split *split = in.val.N ? &in.val : &in.train;
    const char *given = path ? path : "the model";
    if (task.K != in.K)
        st = fail(err, ERR_ARG, "evaluate: %s has %d spaces, %d are given", given, task.K, in.K);
    else if (o->inputs.classes && o->inputs.classes != task.C)
        st = fail(err, ERR_ARG, "evaluate: %s has %lld classes, --classes says %lld", given,
                  (long long)task.C, (long long)o->inputs.classes);
    if (st == OK) st = split_check_dimensions(split, in.K, task.d, given, err);
    if (st == OK && o->cluster_names)
        st = cluster_names_read(o->cluster_names, task.C, &names, err);
    if (st == OK) st = ops_open(&ops, o->common.device, o->common.threads, &why, err);
    if (st != OK) goto out;
    if (why) notice(&o->common.hooks, "device: %s", why);
    st = score(o, &ops, &task, o->cluster_names ? &names : NULL, split, out, err);
    if (st != OK) goto out;

    out->seconds = now_seconds() - started;
    snprintf(out->device, sizeof out->device, "%s", ops.kind);
    out->checkpoint = path;
    path = NULL;
    out->line = result_line(out, &in);
    out->json = evaluate_json(o, &ops, &in, out);
    if (!out->line || !out->json) st = fail(err, ERR_MEMORY, "evaluate: out of memory");
out:
    if (st != OK) turtle_result_free(out);
    free(path);
    cluster_names_free(&names);
    task_encoder_free(&task);
    ops_close(&ops);
    inputs_close(&in);
    return st;
}
