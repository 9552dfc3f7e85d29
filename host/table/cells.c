/* cells.c - one cell: its features, its labels, and the call that finds its accuracy. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host/encode/models.h"
#include "host/images/image_inputs.h"
#include "host/table/table.h"
#include "host/tell/notify.h"
#include "io/files/file.h"

/* --- features and labels ---------------------------------------------------------------------- */

static bool is_there(char *path) {
    const bool there = path && file_exists(path);
    free(path);
    return there;
}

static bool features_there(const char *root, const char *dataset, const char *phi,
                           const char *split) {
    char *stem = representation_stem(root, phi, dataset, split);
    const bool there = stem && is_there(format_text("%s.npy", stem));
    free(stem);
    return there;
}

static Status make_features(const TableCall *call, const char *dataset, const char *phi,
                            Error *err) {
    TurtleFeaturesOptions o;
    TurtleFilesResult made;
    turtle_features_defaults(&o);
    o.common = call->options->common;
    o.images.dataset = dataset;
    o.phis = (TurtleTexts){.item = &phi, .count = 1};
    o.resume = true; /* a split that is there keeps its rows */
    const Status st = turtle_features(&o, &made, err);
    if (st == OK) turtle_files_result_free(&made);
    return st;
}

static Status make_labels(const TableCall *call, const char *dataset, Error *err) {
    TurtleLabelsOptions o;
    TurtleFilesResult made;
    turtle_labels_defaults(&o);
    o.common = call->options->common;
    o.images.dataset = dataset;
    const Status st = turtle_labels(&o, &made, err);
    if (st == OK) turtle_files_result_free(&made);
    return st;
}

/* Returns whether the images of a data set are on the disk. */
static bool images_there(const TableCall *call, const char *dataset, Error *err) {
    ImageInputs in;
    const TurtleImages wanted = {.dataset = dataset};
    const Status st = image_inputs_open(&in, &wanted, call->options->common.root_dir, NULL, err);
    if (st == OK) image_inputs_close(&in);
    return st == OK;
}

Status table_features(const TableCall *call, const char *dataset, const char *phi, bool *absent,
                      Error *err) {
    const char *root = call->options->common.root_dir;
    const bool train = features_there(root, dataset, phi, "train"),
               val = features_there(root, dataset, phi, "val");
    char *weights = NULL;
    Status st = OK;
    *absent = false;
    if (!train || !val) { /* a set of one split has no more than these */
        st = model_weights(&weights, root, phi, NULL, err);
        if (st == OK && !images_there(call, dataset, err)) st = ERR_IO;
        *absent = st != OK && !train;
        if (st == OK) st = make_features(call, dataset, phi, err);
        else if (train) st = OK;
    }
    if (st == OK && !is_there(format_text("%s/labels/%s_train.npy", root, dataset)) &&
        !is_there(format_text("%s/labels/%s_val.npy", root, dataset)))
        st = make_labels(call, dataset, err);
    free(weights);
    return st;
}

/* --- calls ------------------------------------------------------------------------------------ */

static Status run_train(const TableCall *call, const TurtleInputs *inputs, double *accuracy,
                        Error *err) {
    TurtleTrainOptions o;
    TurtleResult found;
    turtle_train_defaults(&o);
    o.common = call->options->common;
    o.inputs = *inputs;
    o.T = call->options->T;
    o.resume = call->options->resume;
    o.restart = call->options->restart;
    const Status st = turtle_train(&o, &found, err);
    if (st != OK) return st;
    *accuracy = found.cluster_acc;
    turtle_result_free(&found);
    return OK;
}

static Status run_kmeans(const TableCall *call, const TurtleInputs *inputs, double *accuracy,
                         Error *err) {
    TurtleKmeansOptions o;
    TurtleKmeansResult found;
    turtle_kmeans_defaults(&o);
    o.common = call->options->common;
    o.inputs = *inputs;
    const Status st = turtle_kmeans(&o, &found, err);
    if (st != OK) return st;
    *accuracy = isnan(found.val_acc) ? found.train_acc : found.val_acc;
    turtle_kmeans_result_free(&found);
    return OK;
}

static Status run_probe(const TableCall *call, const TurtleInputs *inputs, double *accuracy,
                        Error *err) {
    TurtleProbeOptions o;
    TurtleProbeResult found;
    turtle_probe_defaults(&o);
    o.common = call->options->common;
    o.inputs = *inputs;
    o.validation = call->options->validation;
    const Status st = turtle_probe(&o, &found, err);
    if (st != OK) return st;
    *accuracy = found.val_acc; /* what was learned is no measure: NaN without a validation split */
    turtle_probe_result_free(&found);
    return OK;
}

static Status run_zeroshot(const TableCall *call, const TurtleInputs *inputs, double *accuracy,
                           Error *err) {
    TurtleZeroshotOptions o;
    TurtleZeroshotResult found;
    turtle_zeroshot_defaults(&o);
    o.common = call->options->common;
    o.inputs = *inputs;
    const Status st = turtle_zeroshot(&o, &found, err);
    if (st != OK) return st;
    *accuracy = found.top1;
    turtle_zeroshot_result_free(&found);
    return OK;
}

Status table_run(const TableCall *call, int method, TurtleTableCell *cell, Error *err) {
    static Status (*const runs[TABLE_METHODS])(const TableCall *, const TurtleInputs *, double *,
                                               Error *) = {run_train, run_train, run_kmeans,
                                                           run_probe, run_zeroshot};
    const char *phis[2] = {cell->phi, cell->partner};
    const TurtleInputs inputs = {.dataset = cell->dataset,
                                 .phis = {.item = phis, .count = cell->partner ? 2 : 1}};
    const Status st = runs[method](call, &inputs, &cell->accuracy, err);
    if (st != OK || !isnan(cell->accuracy)) return st;
    return fail(err, ERR_FORMAT, "table: %s: %s: no labels score it", cell->dataset, cell->method);
}
