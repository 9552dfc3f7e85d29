/* probe.c - turtle_probe: logistic regression on known classes, C given or chosen. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/inputs/inputs_json.h"
#include "host/inputs/rng.h"
#include "host/score/logreg.h"
#include "host/score/result.h"
#include "host/tell/clock.h"
#include "host/tell/common.h"
#include "host/tell/locale.h"
#include "host/tell/notify.h"

void turtle_probe_defaults(TurtleProbeOptions *o) {
    *o = (TurtleProbeOptions){.common = common_defaults(),
                              .C = 1.0,
                              .Cs = 96,
                              .Crange = 6.0,
                              .share = 0.2,
                              .max_iter = 1000,
                              .tol = 1e-8};
}

static void result_reset(TurtleProbeResult *r) {
    *r = (TurtleProbeResult){.train_acc = NAN, .val_acc = NAN, .validation_acc = NAN};
}

void turtle_probe_result_free(TurtleProbeResult *r) {
    if (!r) return;
    for (int64_t c = 0; r->class_names && c < r->model.classes; c++) free(r->class_names[c]);
    free(r->class_names);
    model_free(&r->model);
    free(r->line);
    free(r->json);
    result_reset(r);
}

/* One value of C that was tried. */
typedef struct {
    double C, accuracy;
    LogregResult fit;
} Trial;

typedef struct {
    const TurtleProbeOptions *options;
    const TurtleHooks *hooks;
    Inputs in;
    Ops ops;
    int64_t C;       /* classes of both splits */
    int64_t *rows;   /* (samples) of the training split whose label is known */
    int64_t samples; /* how many these are */
    Logreg train;
    float *head;
    Trial *trials; /* (Cs) */
} Probe;

static Status check_options(const TurtleProbeOptions *o, Error *err) {
    const Status st = common_check(&o->common, err);
    if (st != OK) return st;
    if (!(o->C > 0.0) || !isfinite(o->C))
        return fail(err, ERR_USAGE, "probe: --C %g: must be positive and finite", o->C);
    if (o->validation && o->C != 1.0)
        return fail(err, ERR_USAGE,
                    "probe: --C %g with --validation, which chooses C: expected one of them", o->C);
    if (o->Cs < 1 || o->Cs > 1000000)
        return fail(err, ERR_USAGE, "probe: --Cs %lld: expected 1 to 1000000", (long long)o->Cs);
    if (!(o->Crange >= 0.0 && o->Crange <= 30.0))
        return fail(err, ERR_USAGE, "probe: --Crange %g: expected 0 to 30", o->Crange);
    if (!(o->share > 0.0 && o->share < 1.0))
        return fail(err, ERR_USAGE, "probe: --share %g: expected more than 0, less than 1",
                    o->share);
    if (o->max_iter < 1 || o->max_iter > 1000000000)
        return fail(err, ERR_USAGE, "probe: --max_iter %lld: expected 1 to 1000000000",
                    (long long)o->max_iter);
    if (!(o->tol >= 0.0) || !isfinite(o->tol))
        return fail(err, ERR_USAGE, "probe: --tol %g: must be 0 or more and finite", o->tol);
    return OK;
}

/* Labels that are learnt are to be classes. */
static Status check_classes(const Probe *p, const Split *split, Error *err) {
    const LabelFacts *f = &split->labels;
    const int64_t asked = p->options->inputs.classes;
    if (f->fraction >= 0)
        return fail(err, ERR_FORMAT,
                    "probe: %s: label %s of sample %lld is not a class: expected whole numbers or "
                    "names",
                    split->labels_path, f->fraction_text, (long long)f->fraction);
    if (asked && asked < p->in.labels.count)
        return fail(err, ERR_ARG,
                    "probe: --classes %lld, but the labels have %lld classes: leave --classes out, "
                    "the labels say it",
                    (long long)asked, (long long)p->in.labels.count);
    return OK;
}

/* Says how many samples of the validation split have a class that nothing was learnt of. */
static Status tell_strangers(const Probe *p, Error *err) {
    const Split *train = &p->in.train, *val = &p->in.val;
    int64_t strangers = 0, known = 0, first = -1;
    bool *learnt = calloc((size_t)p->in.labels.count + 1, sizeof *learnt);
    if (!learnt) return fail(err, ERR_MEMORY, "probe: out of memory");
    for (int64_t i = 0; i < train->N; i++)
        if (train->y_true[i] >= 0) learnt[train->y_true[i]] = true;
    for (int64_t i = 0; i < val->N; i++) {
        const int64_t y = val->y_true[i];
        known += y >= 0;
        if (y < 0 || learnt[y]) continue;
        if (strangers++ == 0) first = y;
    }
    if (strangers)
        notice(p->hooks,
               "probe: %s: %lld of %lld samples have a class that the training split has not, as "
               "'%.60s': they count as wrong",
               val->labels_path, (long long)strangers, (long long)known,
               label_table_text(&p->in.labels, first));
    free(learnt);
    return OK;
}

static Status open_inputs(Probe *p, Error *err) {
    const TurtleProbeOptions *o = p->options;
    Status st = inputs_open(&p->in, &o->inputs, &o->common,
                            INPUTS_TRAINING | INPUTS_LEARNING | INPUTS_GRADIENTS, err);
    if (st != OK) return st;
    const Split *train = &p->in.train, *val = &p->in.val;
    if (p->in.K != 1)
        return fail(err, ERR_USAGE, "probe: %d spaces: expected one: probe each of them alone",
                    p->in.K);
    if (!train->y_true && train->labels_path)
        return fail(err, ERR_ARG, "probe: %s: no label is known: there is nothing to learn",
                    train->labels_path);
    if (!train->y_true)
        return fail(err, ERR_USAGE, "probe: the classes of the training split are needed: %s",
                    o->inputs.dataset ? "`turtle labels` writes root_dir/labels/<dataset>_train.npy"
                                      : "give --labels FILE.npy");
    if (val->N && !val->y_true)
        notice(p->hooks, "probe: the validation split has no labels: it is not scored");
    p->C = p->in.labels.count;
    if (p->C < 2) p->C = 2; /* one class alone: predicted everywhere */
    st = check_classes(p, train, err);
    if (st == OK && val->y_true) st = check_classes(p, val, err);
    return st == OK && val->y_true ? tell_strangers(p, err) : st;
}

/* Returns the numbers of the samples whose label is known, in fresh memory; NULL: out of memory. */
static int64_t *known_rows(const Split *split, int64_t *count) {
    int64_t *rows = malloc((size_t)split->N * sizeof *rows);
    *count = 0;
    for (int64_t i = 0; rows && i < split->N; i++)
        if (split->y_true[i] >= 0) rows[(*count)++] = i;
    return rows;
}

/* Copies the training split to the device: as it lies, or in the order that train_test_split draws. */
static Status open_samples(Probe *p, Error *err) {
    const Split *train = &p->in.train;
    const char *why = NULL;
    Features features = {0};
    Status st = ops_open(&p->ops, p->options->common.device, p->options->common.threads, &why, err);
    if (st != OK) return st;
    if (why) notice(p->hooks, "device: %s", why);
    p->rows = known_rows(train, &p->samples);
    p->head = calloc((size_t)linear_size(p->C, train->space[0].features.d), sizeof *p->head);
    if (!p->rows || !p->head) return fail(err, ERR_MEMORY, "probe: out of memory");
    if (p->options->validation) {
        Mt19937 rng;
        int64_t *order = malloc((size_t)p->samples * sizeof *order);
        if (!order) return fail(err, ERR_MEMORY, "probe: out of memory");
        mt19937_seed(&rng, p->options->common.seed);
        numpy_permutation(&rng, order, p->samples);
        for (int64_t i = 0; i < p->samples; i++) order[i] = p->rows[order[i]];
        memcpy(p->rows, order, (size_t)p->samples * sizeof *order);
        free(order);
    }
    st = p->ops.mem.features_open(p->ops.device, &features, &train->space[0].features, err);
    if (st == OK)
        st = logreg_open(&p->train, &p->ops, &features, p->rows, p->samples, train->y_true, p->C,
                         err);
    p->ops.mem.features_close(p->ops.device, &features);
    return st;
}

static void close_probe(Probe *p) {
    logreg_close(&p->train);
    free(p->trials);
    free(p->head);
    free(p->rows);
    if (p->ops.device) ops_close(&p->ops);
    inputs_close(&p->in);
}

/* --- fits ------------------------------------------------------------------------------------- */

/* Fits with one C, the first `held` samples left out; head is where it starts, if `warm`. */
static Status fit(Probe *p, double C, int64_t held, bool warm, LogregResult *out, Error *err) {
    TurtleProgress progress = {.unit = "it",
                               .iterations = p->options->max_iter,
                               .loss = NAN,
                               .entropy = NAN,
                               .cluster_acc = NAN};
    const LogregOptions options = {.strength = C,
                                   .tol = p->options->tol,
                                   .max_iter = (int)p->options->max_iter,
                                   .warm = warm,
                                   .held_n = held,
                                   .hooks = p->hooks,
                                   /* of several fits choose_C tells the number */
                                   .progress = p->options->validation ? NULL : &progress,
                                   .started = now_seconds()};
    const Status st = logreg_fit(&p->train, &options, p->head, out, err);
    if (st == ERR_STOPPED) error_write(err, "probe: stopped: nothing is kept");
    return st;
}

static double C_of_trial(const TurtleProbeOptions *o, int64_t i) {
    const double at = o->Cs > 1 ? (double)i / (double)(o->Cs - 1) : 0.0;
    return pow(10.0, o->Crange * (2.0 * at - 1.0));
}

/* Finds the C of the highest accuracy on the samples held back, the least one of equals. */
static Status choose_C(Probe *p, double *best, double *best_acc, Error *err) {
    const TurtleProbeOptions *o = p->options;
    const int64_t N = p->samples, held = (int64_t)ceil(o->share * (double)N);
    const double started = now_seconds();
    TurtleProgress progress = {
        .unit = "fits", .iterations = o->Cs, .loss = NAN, .entropy = NAN, .cluster_acc = NAN};
    Status st = OK;
    if (held >= N)
        return fail(err, ERR_ARG, "probe: --share %g of %lld samples leaves none to fit", o->share,
                    (long long)N);
    p->trials = calloc((size_t)o->Cs, sizeof *p->trials);
    if (!p->trials) return fail(err, ERR_MEMORY, "probe: out of memory");
    *best_acc = -1.0;
    for (int64_t i = 0; st == OK && i < o->Cs; i++) {
        Trial *t = &p->trials[i];
        int64_t correct = 0;
        t->C = C_of_trial(o, i);
        st = fit(p, t->C, held, i > 0, &t->fit, err);
        if (st == OK) st = logreg_correct(&p->train, p->head, 0, held, &correct, err);
        if (st != OK) break;
        t->accuracy = (double)correct / (double)held;
        if (t->accuracy > *best_acc) {
            *best_acc = t->accuracy;
            *best = t->C;
        }
        progress.iteration = i + 1;
        progress.seconds = now_seconds() - started;
        if (progress_tell(p->hooks, &progress) && i + 1 < o->Cs)
            st = fail(err, ERR_STOPPED, "probe: stopped: nothing is kept");
    }
    return st;
}

static Status accuracy(Logreg *samples, const float *head, double *out, Error *err) {
    int64_t correct = 0;
    const Status st = logreg_correct(samples, head, 0, samples->N, &correct, err);
    *out = (double)correct / (double)samples->N;
    return st;
}

static Status score_val(Probe *p, double *out, Error *err) {
    const Split *val = &p->in.val;
    Features features = {0};
    Logreg samples = {0};
    if (!val->y_true) return OK;
    int64_t known, *rows = known_rows(val, &known);
    if (!rows) return fail(err, ERR_MEMORY, "probe: out of memory");
    Status st = p->ops.mem.features_open(p->ops.device, &features, &val->space[0].features, err);
    if (st == OK)
        st = logreg_open(&samples, &p->ops, &features, rows, known, val->y_true, p->C, err);
    if (st == OK) st = accuracy(&samples, p->head, out, err);
    logreg_close(&samples);
    p->ops.mem.features_close(p->ops.device, &features);
    free(rows);
    return st;
}

/* --- what it tells ---------------------------------------------------------------------------- */

static char *probe_line(const Probe *p, const TurtleProbeResult *r) {
    char C[REAL_TEXT], val[48] = "";
    if (!isnan(r->val_acc)) snprintf(val, sizeof val, ", Val Accuracy: %.2f", 100.0 * r->val_acc);
    return format_text("%-12s, %s, validation %s, C=%s, Train Accuracy: %.2f%s", p->in.dataset,
                       p->in.phis, p->options->validation ? "True" : "False", format_real(C, r->C),
                       100.0 * r->train_acc, val);
}

static void json_fit(Json *j, double C, const LogregResult *fit) {
    json_real(j, "C", C);
    json_real(j, "objective", fit->objective);
    json_integer(j, "iterations", fit->iterations);
    json_real(j, "gradient_norm", fit->gradient_norm);
    json_bool(j, "converged", fit->reason != LBFGS_ITERATIONS);
    json_text(j, "stopped_by", lbfgs_reason(fit->reason));
}

static char *probe_json(const Probe *p, const TurtleProbeResult *r, const LogregResult *last) {
    const TurtleProbeOptions *o = p->options;
    Json j = {0};
    json_open(&j, NULL);
    json_common(&j, "probe", &o->common, p->ops.kind, "fp32");
    json_real(&j, "seconds", r->seconds);
    json_real(&j, "train_acc", r->train_acc);
    json_real(&j, "val_acc", r->val_acc);
    json_integer(&j, "unlabelled", r->unlabelled);
    json_integer(&j, "val_unlabelled", r->val_unlabelled);
    json_fit(&j, r->C, last);
    json_integer(&j, "classes", r->classes);
    json_real(&j, "tol", o->tol);
    json_integer(&j, "max_iter", o->max_iter);
    json_bool(&j, "validation", o->validation);
    json_real(&j, "validation_acc", r->validation_acc);
    json_open_array(&j, "sweep");
    for (int64_t i = 0; p->trials && i < o->Cs; i++) {
        json_open(&j, NULL);
        json_fit(&j, p->trials[i].C, &p->trials[i].fit);
        json_real(&j, "accuracy", p->trials[i].accuracy);
        json_close(&j);
    }
    json_close_array(&j);
    json_inputs(&j, &p->in);
    json_close(&j);
    return json_take(&j);
}

static Status append_line(const Probe *p, const char *line, Error *err) {
    if (!p->options->inputs.dataset) return OK;
    char *path = format_text("%s/results/linear_probe.txt", p->options->common.root_dir);
    const Status st =
        path ? file_append_line(path, line, err) : fail(err, ERR_MEMORY, "probe: out of memory");
    free(path);
    return st;
}

/* Keeps the regression and the labels of its classes in the result. */
static Status keep_model(const Probe *p, TurtleProbeResult *out, Error *err) {
    const int64_t d = p->in.train.space[0].features.d;
    const Status st = model_copy(&out->model, 1, p->C, &d, &p->head, err);
    if (st != OK) return st;
    out->class_names = calloc((size_t)p->C, sizeof *out->class_names);
    for (int64_t c = 0; out->class_names && c < p->in.labels.count; c++)
        if (!(out->class_names[c] = format_text("%s", label_table_text(&p->in.labels, c))))
            return fail(err, ERR_MEMORY, "probe: out of memory");
    return out->class_names ? OK : fail(err, ERR_MEMORY, "probe: out of memory");
}

Status turtle_probe(const TurtleProbeOptions *o, TurtleProbeResult *out, Error *err) {
    PLAIN_LOCALE;
    Probe p = {.options = o, .hooks = &o->common.hooks};
    LogregResult last = {0};
    const double started = now_seconds();
    result_reset(out);
    out->C = o->C;
    Status st = check_options(o, err);
    if (st == OK) st = open_inputs(&p, err);
    if (st == OK) st = open_samples(&p, err);
    if (st == OK && o->validation) st = choose_C(&p, &out->C, &out->validation_acc, err);
    if (st == OK) st = fit(&p, out->C, 0, false, &last, err);
    if (st == OK) st = accuracy(&p.train, p.head, &out->train_acc, err);
    if (st == OK) st = score_val(&p, &out->val_acc, err);
    if (st == OK) {
        out->objective = last.objective;
        out->gradient_norm = last.gradient_norm;
        out->iterations = last.iterations;
        out->converged = last.reason != LBFGS_ITERATIONS;
        out->classes = last.classes;
        out->unlabelled = p.in.train.unlabelled;
        out->val_unlabelled = p.in.val.unlabelled;
        out->seconds = now_seconds() - started;
        snprintf(out->device, sizeof out->device, "%s", p.ops.kind);
        out->line = probe_line(&p, out);
        out->json = probe_json(&p, out, &last);
        if (!out->line || !out->json) st = fail(err, ERR_MEMORY, "probe: out of memory");
    }
    if (st == OK) st = keep_model(&p, out, err);
    if (st == OK && last.classes == 1)
        notice(p.hooks, "probe: the training split has one class only: it is predicted everywhere");
    if (st == OK) st = append_line(&p, out->line, err);
    if (st != OK) turtle_probe_result_free(out);
    close_probe(&p);
    return st;
}
