/* zeroshot.c - turtle_zeroshot: images classified from the names of classes alone, clusters named. */
#include "host/baseline/zeroshot.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host/encode/models.h"
#include "host/inputs/inputs_json.h"
#include "host/inputs/label_names.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"
#include "host/train/predict.h"

void turtle_zeroshot_defaults(TurtleZeroshotOptions *o) {
    *o = (TurtleZeroshotOptions){.common = common_defaults()};
}

void turtle_zeroshot_result_free(TurtleZeroshotResult *r) {
    if (!r) return;
    for (int64_t k = 0; k < r->clusters; k++) {
        free(r->cluster[k].name);
        free(r->cluster[k].runner_up);
        free(r->cluster[k].mean_name);
    }
    for (int64_t k = 0; r->class_names && k < r->classes; k++) free(r->class_names[k]);
    free(r->class_names);
    free(r->class_sizes);
    free(r->class_of);
    free(r->probability);
    free(r->cluster);
    free(r->line);
    free(r->json);
    *r = (TurtleZeroshotResult){.top1 = NAN, .mean_class_acc = NAN};
}

static Status out_of_memory(Error *err) {
    return fail(err, ERR_MEMORY, "zeroshot: out of memory");
}

/* --- a call ----------------------------------------------------------------------------------- */

typedef struct {
    const TurtleZeroshotOptions *options;
    const TurtleHooks *hooks;
    Inputs in;
    const Split *split;
    Prompts prompts;
    TaskEncoder task; /* K = 0: no clusters are to be named */
    Ops ops;
    TextEncoder *text;
    Precision precision; /* of the text encoder's products */
    const Space *space;  /* the CLIP space */
    float *weights;      /* (classes,d) */
    Classifier classifier;
    Predictions classes, clusters; /* classes and clusters of the samples */
} Call;

static int by_text(const void *a, const void *b) {
    return strcasecmp(*(const char *const *)a, *(const char *const *)b);
}

/* Says that a template stands twice, for its prompts count twice in the vector of every class. Templates
 * that differ by capital letters alone are the same to the tokenizer. */
static Status tell_repeated(const Call *c, Error *err) {
    const PromptTexts *t = &c->prompts.templates;
    const char **sorted = malloc((size_t)(t->count + 1) * sizeof *sorted), *first = NULL;
    int64_t repeated = 0;
    if (!sorted) return out_of_memory(err);
    for (int64_t i = 0; i < t->count; i++) sorted[i] = t->item[i];
    qsort(sorted, (size_t)t->count, sizeof *sorted, by_text);
    for (int64_t i = 1; i < t->count; i++) {
        if (strcasecmp(sorted[i - 1], sorted[i]) != 0) continue;
        if (repeated++ == 0) first = sorted[i];
    }
    if (repeated)
        notice(
            c->hooks,
            "templates: %s: %lld of %lld stand there already, as '%.80s': each counts again in the "
            "vector of every class",
            c->options->templates ? c->options->templates : "template_texts", (long long)repeated,
            (long long)t->count, first);
    free(sorted);
    return OK;
}

/* The published list of aircraft has three names elsewhere than the labels, which are ranks of folders. */
static Status order_names(Call *c, Error *err) {
    const TurtleZeroshotOptions *o = c->options;
    if (!o->inputs.dataset || strcmp(o->inputs.dataset, "aircraft") != 0 || o->names ||
        o->class_names.count)
        return OK;
    if (o->published_order) {
        notice(c->hooks, "zeroshot: aircraft: names are in the published order: three of them are "
                         "other classes than the labels'");
        return OK;
    }
    const int64_t moved = prompts_sort_as_folders(&c->prompts);
    if (moved < 0) return fail(err, ERR_MEMORY, "zeroshot: out of memory");
    notice(
        c->hooks,
        "zeroshot: aircraft: %lld names stand where the labels have them; --published_order takes "
        "the published list as it is",
        (long long)moved);
    return OK;
}

static Status open_prompts(Call *c, Error *err) {
    const TurtleZeroshotOptions *o = c->options;
    const char *dataset = o->inputs.dataset;
    const int named = !!o->names + !!o->class_names.count,
              templates = !!o->templates + !!o->template_texts.count;
    if (templates + o->default_template_only > 1)
        return fail(err, ERR_USAGE,
                    "zeroshot: --templates and --default_template_only exclude each other");
    if (named > 1)
        return fail(err, ERR_USAGE, "zeroshot: give names or class_names, a file or texts");
    if (!named && !dataset)
        return fail(err, ERR_USAGE, "zeroshot: which classes? --features needs --names FILE");
    Status st = dataset ? prompts_find(&c->prompts, dataset, err) : OK;
    if (named && (st == ERR_ARG || !dataset)) st = prompts_default_template(&c->prompts, err);
    if (st == OK && o->names) st = prompts_read_names(&c->prompts, o->names, err);
    else if (st == OK && named)
        st = prompts_take_names(&c->prompts, o->class_names.item, o->class_names.count, err);
    if (st == OK && o->templates) st = prompts_read_templates(&c->prompts, o->templates, err);
    else if (st == OK && templates)
        st = prompts_take_templates(&c->prompts, o->template_texts.item, o->template_texts.count,
                                    err);
    if (st == OK && templates) st = tell_repeated(c, err);
    if (st == OK && o->default_template_only) st = prompts_default_template(&c->prompts, err);
    if (st == OK) st = order_names(c, err);
    if (st == OK && o->inputs.classes > 0 && o->inputs.classes != c->prompts.classes)
        st = fail(err, ERR_USAGE,
                  "zeroshot: --classes %lld, but %s has %lld names: leave --classes out",
                  (long long)o->inputs.classes,
                  o->names ? o->names
                  : named  ? "class_names"
                           : dataset,
                  (long long)c->prompts.classes);
    return st;
}

/* Finds the labelling whose clusters are to be named; there may be none. */
static Status open_task(Call *c, Error *err) {
    const TurtleZeroshotOptions *o = c->options;
    if (o->clusters && o->model)
        return fail(err, ERR_USAGE, "zeroshot: give clusters or model, a file or the labelling");
    if (o->model) return task_encoder_of(&c->task, o->model, "zeroshot", err);
    if (!o->clusters) return OK;
    char *run = format_text("%s/checkpoint.pt", o->clusters); /* --clusters may be a run's folder */
    const Status st = run ? checkpoint_load(&c->task, file_exists(run) ? run : o->clusters, err)
                          : out_of_memory(err);
    free(run);
    return st;
}

static Status open_inputs(Call *c, Error *err) {
    const TurtleZeroshotOptions *o = c->options;
    const bool names_clusters = o->clusters || o->model;
    const char *given = o->clusters ? o->clusters : "the model";
    Status st =
        inputs_open(&c->in, &o->inputs, &o->common,
                    INPUTS_SCORING | INPUTS_NAMES | (names_clusters ? 0 : INPUTS_SCALABLE), err);
    if (st != OK) return st;
    Split *split = c->in.val.N ? &c->in.val : &c->in.train;
    c->split = split;
    st = label_names_apply(split, &c->in.labels, &c->prompts, c->hooks, err);
    if (st == OK) st = open_task(c, err);
    if (st != OK) return st;
    if (!names_clusters)
        return c->in.K == 1 ? OK
                            : fail(err, ERR_USAGE,
                                   "zeroshot: expected one space, a CLIP encoder's, "
                                   "got %d",
                                   c->in.K);
    if (c->in.K != c->task.K && c->in.K != c->task.K + 1)
        return fail(err, ERR_ARG,
                    "zeroshot: %s has %d spaces, %d are given: expected these, and "
                    "behind them CLIP's if it is not one of them",
                    given, c->task.K, c->in.K);
    return split_check_dimensions(c->split, c->task.K, c->task.d, given, err);
}

/* Finds the file of the text encoder, in fresh memory, and the space that it belongs to; *space -1
 * means the first one of its dimension. */
static Status find_weights(const Call *c, char **path, int *space, Error *err) {
    const TurtleZeroshotOptions *o = c->options;
    const char *root = o->common.root_dir;
    *space = c->in.K == c->task.K + 1 ? c->task.K : -1; /* without clusters: the only one */
    *path = NULL;
    if (o->weights) return model_weights(path, root, "CLIP", o->weights, err);
    if (!o->inputs.dataset)
        return fail(err, ERR_USAGE,
                    "zeroshot: --features needs --weights FILE: the CLIP model that made them");
    if (*space >= 0) return model_weights(path, root, o->inputs.phis.item[*space], NULL, err);
    for (int k = 0; k < c->in.K; k++)
        if (phi_is_clip(o->inputs.phis.item[k])) {
            *space = k;
            return model_weights(path, root, o->inputs.phis.item[k], NULL, err);
        }
    return fail(err, ERR_USAGE,
                "zeroshot: none of the spaces is CLIP's by its name: give --weights "
                "FILE, or one more space behind those of the checkpoint");
}

/* Chooses the space of dimension d that the texts share. */
static Status choose_space(Call *c, int space, const char *path, int64_t d, Error *err) {
    for (int k = 0; space < 0 && k < c->in.K; k++)
        if (c->split->space[k].features.d == d) space = k;
    c->space = &c->split->space[space < 0 ? 0 : space];
    if (space >= 0 && c->space->features.d == d) return OK;
    return fail(err, ERR_FORMAT,
                "zeroshot: %s: dimension %lld, but texts of %s have %lld: expected features of its "
                "own image encoder",
                c->space->path, (long long)c->space->features.d, path, (long long)d);
}

/* Returns how many prompts are encoded at a time: more than ZEROSHOT_TEXTS are never at hand. */
static int64_t texts_at_a_time(const TurtleZeroshotOptions *o) {
    return o->batch_size && o->batch_size < ZEROSHOT_TEXTS ? o->batch_size : ZEROSHOT_TEXTS;
}

static Status open_text(Call *c, Error *err) {
    char *path = NULL;
    const char *why = NULL;
    int space = -1;
    Status st = find_weights(c, &path, &space, err);
    if (st == OK)
        st = ops_open(&c->ops, c->options->common.device, c->options->common.threads, &why, err);
    if (st == OK && why) notice(c->hooks, "device: %s", why);
    const TurtleZeroshotOptions *o = c->options;
    const FactOptions known = {
        .given = o->encoder,
        .published = st == OK && !o->weights ? model_find(o->inputs.phis.item[space]) : NULL};
    if (st == OK) st = encoder_precision(&c->precision, o->common.precision, &c->ops, err);
    if (st == OK)
        st = text_open_as(&c->text, &c->ops, path, texts_at_a_time(o), &known, c->precision, err);
    if (st == OK) notices(c->hooks, text_said(c->text));
    if (st == OK) st = choose_space(c, space, path, text_features(c->text), err);
    const int64_t d = st == OK ? text_features(c->text) : 0;
    if (st == OK) {
        c->weights = malloc((size_t)(c->prompts.classes * d) * sizeof *c->weights);
        st = c->weights ? zeroshot_weights(c->weights, c->text, &c->prompts, c->options->truncate,
                                           c->precision, c->hooks, err)
                        : out_of_memory(err);
    }
    if (st == OK)
        st = classifier_open(&c->classifier, &c->ops, c->weights, c->prompts.classes, d, err);
    free(path);
    return st;
}

/* Finds the clusters of all samples under the checkpoint. */
static Status find_clusters(Call *c, Error *err) {
    Features features[MAX_SPACES] = {{0}};
    Predictor predictor = {0};
    const DeviceOps *mem = &c->ops.mem;
    const TaskEncoder *task = &c->task;
    Status st = OK;
    for (int k = 0; st == OK && k < task->K; k++)
        st = mem->features_open(c->ops.device, &features[k], &c->split->space[k].features, err);
    if (st == OK) st = predictor_open(&predictor, &c->ops, task->K, task->C, task->d, NULL, err);
    if (st == OK) st = predictor_run(&predictor, task, features, c->split->N, &c->clusters, err);
    predictor_close(&predictor);
    for (int k = 0; k < task->K; k++) mem->features_close(c->ops.device, &features[k]);
    return st;
}

/* --- results ---------------------------------------------------------------------------------- */

/* Computes the share of samples with a known label whose class was found, and the mean of these
 * shares over the classes that occur. */
static Status score(const Call *c, TurtleZeroshotResult *out, Error *err) {
    const int64_t *y = c->split->y_true, C = c->prompts.classes;
    if (!y) return OK;
    int64_t *n = calloc((size_t)C, sizeof *n), *hits = calloc((size_t)C, sizeof *hits);
    if (n && hits) {
        int64_t all = 0, occurring = 0;
        double shares = 0.0;
        for (int64_t i = 0; i < c->split->N; i++) {
            if (y[i] < 0) continue;
            n[y[i]]++;
            hits[y[i]] += c->classes.cluster[i] == y[i];
        }
        for (int64_t k = 0; k < C; k++) {
            all += hits[k];
            occurring += n[k] > 0;
            if (n[k]) shares += (double)hits[k] / (double)n[k];
        }
        out->top1 = (double)all / (double)(c->split->N - c->split->unlabelled);
        out->mean_class_acc = shares / (double)occurring;
    }
    const bool whole = n && hits;
    free(n);
    free(hits);
    return whole ? OK : out_of_memory(err);
}

/* Counts how many samples were given each name. */
static Status count_names(const Call *c, TurtleZeroshotResult *out, Error *err) {
    const Prompts *p = &c->prompts;
    out->class_sizes = calloc((size_t)p->classes, sizeof *out->class_sizes);
    out->class_names = calloc((size_t)p->classes, sizeof *out->class_names);
    if (!out->class_sizes || !out->class_names) return out_of_memory(err);
    for (int64_t i = 0; i < c->split->N; i++) out->class_sizes[c->classes.cluster[i]]++;
    for (int64_t k = 0; k < p->classes; k++) {
        out->class_names[k] = format_text("%s", p->names.item[p->begin[k]]);
        if (!out->class_names[k]) return out_of_memory(err);
    }
    return OK;
}

static Status name_clusters(Call *c, TurtleZeroshotResult *out, Error *err) {
    Status st = find_clusters(c, err);
    if (st != OK) return st;
    out->cluster = calloc((size_t)c->task.C, sizeof *out->cluster);
    if (!out->cluster) return out_of_memory(err);
    out->clusters = c->task.C;
    return clusters_name(out->cluster, c->task.C, &c->classifier, &c->space->features,
                         c->clusters.cluster, c->classes.cluster, &c->prompts, err);
}

/* Writes path,class,name,confidence,margin; the names are the first of each class. */
static Status write_predictions(const Call *c, Error *err) {
    const Prompts *p = &c->prompts;
    const char **names = malloc((size_t)p->classes * sizeof *names);
    if (!names) return out_of_memory(err);
    for (int64_t k = 0; k < p->classes; k++) names[k] = p->names.item[p->begin[k]];
    const Status st =
        predictions_write_classes(c->options->predictions, c->split, &c->classes, names, err);
    free(names);
    return st;
}

static char *zeroshot_json(const Call *c, const TurtleZeroshotResult *r) {
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "zeroshot", &c->options->common, r->device, precision_name(c->precision));
    json_real(&j, "seconds", r->seconds);
    json_text(&j, "split", r->split);
    json_integer(&j, "samples", r->samples);
    json_integer(&j, "unlabelled", r->unlabelled);
    json_real(&j, "top1", r->top1);
    json_real(&j, "mean_class_acc", r->mean_class_acc);
    json_integer(&j, "classes", r->classes);
    json_integer(&j, "prompts", r->prompts);
    json_inputs(&j, &c->in);
    json_open_array(&j, "sizes");
    for (int64_t k = 0; k < r->classes; k++) {
        json_open(&j, NULL);
        json_text(&j, "name", r->class_names[k]);
        json_integer(&j, "samples", r->class_sizes[k]);
        json_close(&j);
    }
    json_close_array(&j);
    json_open_array(&j, "clusters");
    for (int64_t k = 0; k < r->clusters; k++) {
        const TurtleClusterName *n = &r->cluster[k];
        json_open(&j, NULL);
        json_integer(&j, "cluster", n->cluster);
        json_integer(&j, "samples", n->samples);
        json_text(&j, "name", n->name);
        json_real(&j, "share", n->name ? n->share : NAN);
        json_text(&j, "runner_up", n->runner_up);
        json_real(&j, "runner_up_share", n->name ? n->runner_up_share : NAN);
        json_text(&j, "mean_name", n->mean_name);
        json_close(&j);
    }
    json_close_array(&j);
    json_close(&j);
    return json_take(&j);
}

/* Appends the published line to <root>/results/zeroshot.txt. */
static Status append_line(const Call *c, const TurtleZeroshotResult *r, Error *err) {
    if (!c->options->inputs.dataset || isnan(r->top1)) return OK;
    char *path = format_text("%s/results/zeroshot.txt", c->options->common.root_dir);
    const Status st = path ? file_append_line(path, r->line, err) : out_of_memory(err);
    free(path);
    return st;
}

/* Leaves the object as cluster_names.json in the directory of the run that the checkpoint belongs to, where
 * `report` finds it. A checkpoint that lies alone has no such directory. */
static Status leave_names(const Call *c, const TurtleZeroshotResult *r, Error *err) {
    const char *given = c->options->clusters;
    if (!given) return OK;
    const size_t n = strlen(given), name = strlen("/checkpoint.pt");
    const size_t cut = n > name && strcmp(given + n - name, "/checkpoint.pt") == 0 ? n - name
                       : n > 3 && strcmp(given + n - 3, ".pt") == 0                ? n - 3
                                                                                   : n;
    char *record = format_text("%.*s/run.json", (int)cut, given),
         *path = format_text("%.*s/cluster_names.json", (int)cut, given);
    Status st = record && path ? OK : out_of_memory(err);
    if (st == OK && file_exists(record)) st = file_write_text(path, r->json, err);
    free(record);
    free(path);
    return st;
}

static Status classify(Call *c, TurtleZeroshotResult *out, Error *err) {
    const size_t numbers = (size_t)(c->split->N * c->prompts.classes);
    if (c->options->soft_labels) {
        out->probability = malloc(numbers * sizeof *out->probability);
        if (!out->probability) return out_of_memory(err);
    }
    return classifier_run(&c->classifier, &c->space->features, c->space->path, &c->classes,
                          out->probability, err);
}

static Status finish(Call *c, TurtleZeroshotResult *out, Error *err) {
    out->split = c->split->name;
    out->samples = c->split->N;
    out->unlabelled = c->split->unlabelled;
    out->classes = c->prompts.classes;
    out->prompts = 0;
    for (int64_t k = 0; k < out->classes; k++) out->prompts += prompts_of(&c->prompts, k);
    snprintf(out->device, sizeof out->device, "%s", c->ops.kind);
    Status st = score(c, out, err);
    if (st == OK) st = count_names(c, out, err);
    if (st == OK && c->task.K) st = name_clusters(c, out, err);
    if (st == OK && c->options->predictions) st = write_predictions(c, err);
    if (st == OK) out->class_of = predictions_take(&c->classes);
    return st;
}

Status turtle_zeroshot(const TurtleZeroshotOptions *options, TurtleZeroshotResult *out,
                       Error *err) {
    PLAIN_LOCALE;
    Call c = {.options = options, .hooks = &options->common.hooks};
    const double started = now_seconds();
    *out = (TurtleZeroshotResult){.top1 = NAN, .mean_class_acc = NAN};
    Status st = OK;
    if (options->batch_size < 0)
        st = fail(err, ERR_USAGE, "zeroshot: --batch_size %lld: expected 1 or more",
                  (long long)options->batch_size);
    if (st == OK) st = open_prompts(&c, err);
    if (st == OK) st = open_inputs(&c, err);
    if (st == OK) st = open_text(&c, err);
    if (st == OK) st = classify(&c, out, err);
    if (st == OK) st = finish(&c, out, err);
    if (st == OK) {
        out->seconds = now_seconds() - started;
        out->line = isnan(out->top1)
                        ? format_text("%-12s, %-10s", c.in.dataset, c.in.phis)
                        : format_text("%-12s, %-10s, Top1 Accuracy %.2f, Mean Per Class Accuracy: "
                                      "%.2f ",
                                      c.in.dataset, c.in.phis, 100.0 * out->top1,
                                      100.0 * out->mean_class_acc);
        out->json = zeroshot_json(&c, out);
        st = out->line && out->json ? append_line(&c, out, err) : out_of_memory(err);
        if (st == OK) st = leave_names(&c, out, err);
    }
    if (st != OK) turtle_zeroshot_result_free(out);
    predictions_free(&c.classes);
    predictions_free(&c.clusters);
    classifier_close(&c.classifier);
    text_close(c.text);
    ops_close(&c.ops);
    free(c.weights);
    task_encoder_free(&c.task);
    prompts_free(&c.prompts);
    inputs_close(&c.in);
    return st;
}
