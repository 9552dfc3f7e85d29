/* memory.c - features and labels that lie in the caller's memory, in place of files. */
#include "host/inputs/memory.h"

#include <stdio.h>
#include <stdlib.h>

Status memory_check(const TurtleInputs *w, Error *err) {
    const int K = w->Z.count;
    if (w->dataset || w->phis.count || w->features.count || w->val_features.count || w->labels ||
        w->val_labels)
        return fail(err, ERR_USAGE, "inputs: give Z with y_true, or a data set or files, not both");
    if (K < 1 || K > MAX_SPACES)
        return fail(err, ERR_USAGE, "inputs: %d matrices Z: expected 1 to %d, one per space", K,
                    MAX_SPACES);
    if (w->val_Z.count && w->val_Z.count != K)
        return fail(err, ERR_USAGE, "inputs: %d matrices Z but %d val_Z: one per space", K,
                    w->val_Z.count);
    if (w->val_y_true && !w->val_Z.count)
        return fail(err, ERR_USAGE, "inputs: val_y_true without val_Z");
    return OK;
}

static Status matrix_open(Space *out, const char *prefix, int k, const TurtleMatrix *Z,
                          const TurtleHooks *hooks, Error *err) {
    char name[32];
    snprintf(name, sizeof name, "%sZ%d", prefix, k + 1);
    if (!Z->data || Z->rows < 1 || Z->dims < 1)
        return fail(err, ERR_ARG,
                    "features: %s: expected a non-empty (samples, dimension) matrix, "
                    "got %s(%lld, %lld)",
                    name, Z->data ? "" : "no memory of ", (long long)Z->rows, (long long)Z->dims);
    if (Z->type != TURTLE_FLOAT32 && Z->type != TURTLE_FLOAT16)
        return fail(err, ERR_ARG,
                    "features: %s: type %d: expected TURTLE_FLOAT32 or TURTLE_FLOAT16", name,
                    (int)Z->type);
    if (Z->dims > INT64_MAX / 8 / Z->rows)
        return fail(err, ERR_ARG, "features: %s: (%lld, %lld) is more than memory holds", name,
                    (long long)Z->rows, (long long)Z->dims);
    const ArrayFile array = {.type = Z->type == TURTLE_FLOAT16 ? DTYPE_F16 : DTYPE_F32,
                             .axes = 2,
                             .shape = {Z->rows, Z->dims},
                             .count = Z->rows * Z->dims,
                             .data = Z->data};
    return space_open_array(out, name, &array, hooks, err);
}

static Status labels_take(Split *out, const char *prefix, const int64_t *y_true, LabelTable *table,
                          Error *err) {
    char name[32];
    snprintf(name, sizeof name, "%sy_true", prefix);
    out->y_true = malloc((size_t)out->N * sizeof *out->y_true);
    out->labels_path = format_text("%s", name);
    if (!out->y_true || !out->labels_path)
        return fail(err, ERR_MEMORY, "labels: %s: out of memory", name);
    const Status st =
        labels_from_memory(out->y_true, out->N, y_true, name, table, &out->labels, err);
    out->unlabelled = out->labels.unknown;
    return st;
}

Status memory_split_open(Split *out, const char *prefix, const TurtleMatrices *Z,
                         const int64_t *y_true, LabelTable *table, const TurtleHooks *hooks,
                         Error *err) {
    for (int k = 0; k < Z->count; k++) {
        if (Z->item[k].rows != Z->item[0].rows)
            return fail(err, ERR_FORMAT,
                        "features: %sZ1 has %lld rows, %sZ%d has %lld: one row per sample, in the "
                        "same order",
                        prefix, (long long)Z->item[0].rows, prefix, k + 1,
                        (long long)Z->item[k].rows);
        const Status st = matrix_open(&out->space[k], prefix, k, &Z->item[k], hooks, err);
        if (st != OK) return st;
    }
    out->N = Z->item[0].rows;
    return y_true ? labels_take(out, prefix, y_true, table, err) : OK;
}
